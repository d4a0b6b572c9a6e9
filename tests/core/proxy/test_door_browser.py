"""Pages in a real browser on this machine: none of them reads an answer of the proxy, nor gets a request through it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.core.proxy._relay import KEY, call_of, proxied
from tests.workspace.browser import Browser, chromium

pytestmark = pytest.mark.skipif(sys.platform == "win32" or chromium() is None, reason="no Chromium to drive here")

NOT_ITS_ADDRESS = {"error": "This server answers to its own address only."}
# What a page can try at an address. It knows a key, which no page ever does.
TRIES = """
(async (bases, body, key) => {
  const found = {};
  const text = async (what, way, options) => {
    try { const a = await fetch(what, options); found[way] = `${a.type} ${a.status} ${await a.text()}`; }
    catch (error) { found[way] = "refused"; }
  };
  const loads = (way, element, address) => new Promise(done => {
    element.onload = () => { found[way] = "loaded"; done(); };
    element.onerror = () => { found[way] = "refused"; done(); };
    element.src = address;
    document.documentElement.append(element);
  });
  const opens = (way, stream) => new Promise(done => {
    stream.onopen = () => { found[way] = "opened"; done(); };
    stream.onerror = () => { stream.close(); found[way] = "refused"; done(); };
  });
  for (const base of bases) {
    const json = {"content-type": "application/json"}, auth = {authorization: `Bearer ${key}`};
    await text(`${base}/mcp/s`, `${base} get`, {});
    await text(`${base}/mcp/s`, `${base} get without cors`, {mode: "no-cors"});
    await text(`${base}/mcp/s`, `${base} get with the key`, {headers: auth});
    await text(`${base}/mcp/s`, `${base} simple post`, {method: "POST", body, mode: "no-cors"});
    await text(`${base}/mcp/s`, `${base} post`, {method: "POST", body, headers: json});
    await text(`${base}/mcp/s`, `${base} post with the key`, {method: "POST", body, headers: {...json, ...auth}});
    await text(`${base}/mcp/s`, `${base} delete`, {method: "DELETE", headers: auth});
    await loads(`${base} script`, document.createElement("script"), `${base}/mcp/s`);
    await loads(`${base} image`, new Image(), `${base}/mcp/s`);
    await opens(`${base} events`, new EventSource(`${base}/sse/s`));
    await opens(`${base} socket`, new WebSocket(`${base.replace("http", "ws")}/mcp/s`));
  }
  window.found = JSON.stringify(found);
})(%s)
"""


class Page(BaseHTTPRequestHandler):
    """Somebody's web page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>page</title>")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def page() -> Iterator[int]:
    """The port of a server with a web page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def tried(profile: Path, pages: dict[str, list[str]]) -> dict[str, dict[str, str]]:
    """What each page found at the addresses that it tried. `evil.test` is a name of this machine meanwhile."""
    found: dict[str, Any] = {}
    with Browser(profile, "--host-resolver-rules=MAP evil.test 127.0.0.1") as browser:
        for address, bases in pages.items():
            browser.open(address)
            browser.wait_for(f"location.href === {json.dumps(address)} && document.readyState === 'complete'")
            given = [bases, json.dumps(call_of("count")), KEY]
            browser.evaluate(TRIES % ", ".join(map(json.dumps, given)))
            found[address] = json.loads(browser.wait_for("window.found"))
    return found


async def test_no_page_reads_an_answer_or_reaches_a_server(tmp_path: Path, page: int) -> None:
    async with proxied(tmp_path / "data") as (_, view, proxy):
        bases = [f"http://{name}:{proxy.port}" for name in ("127.0.0.1", "localhost", "evil.test")]
        # The second page comes from a name that was bound to this machine after it was loaded: for the browser, the
        # proxy is its own server.
        rebound = f"http://evil.test:{proxy.port}"
        pages = {f"http://127.0.0.1:{page}/": bases, f"{rebound}/": [rebound]}
        elsewhere, own = (await asyncio.to_thread(tried, tmp_path / "profile", pages)).values()
        assert len(elsewhere) == 3 * 11
        assert set(elsewhere.values()) == {"refused", "opaque 0 "}
        read = {way: what for way, what in own.items() if what != "refused"}
        assert set(read.values()) == {f"basic 421 {json.dumps(NOT_ITS_ADDRESS)}"}, read
        assert f"{rebound} post with the key" in read
        assert not view.seen
