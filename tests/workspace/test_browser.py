"""The consent page in a real browser: its policy lets the form through and nothing else."""

from __future__ import annotations

import http.server
import sys
import threading
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from tests.workspace.browser import Browser, chromium, type_code

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.workspace.lab import Lab

pytestmark = pytest.mark.skipif(sys.platform == "win32" or chromium() is None, reason="no Chromium to drive here")
VERIFIER = "v" * 43


class Receiver(http.server.BaseHTTPRequestHandler):
    """Where the browser comes back to."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<title>back</title>")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def redirect_uri() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/callback"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("decision", ["deny", "approve"])
def test_a_click_in_the_browser_leads_back_to_the_application(
    lab: Lab, tmp_path: Path, redirect_uri: str, decision: str, by_hand: bool
) -> None:
    client = lab.register()["client_id"]
    request = lab.request(client, VERIFIER, redirect_uri=redirect_uri, scope="user:read task:write")
    with Browser(tmp_path / "profile") as browser:
        if by_hand:
            browser.open(f"{lab.workspace.url}/oauth/authorize/?{urlencode(request)}")
            type_code(browser, lab.person_code())
        else:
            opened = urlencode({**request, "page_ticket": lab.page_ticket(request["code_challenge"])})
            browser.open(f"{lab.workspace.url}/oauth/authorize/?{opened}")
        browser.wait_for("document.querySelector('button[value=approve]') !== null")
        assert browser.evaluate("getComputedStyle(document.querySelector('main')).borderRadius") != "0px"
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        browser.click(f"button[value={decision}]")
        browser.wait_for("document.title === 'back'")
        back = urlsplit(browser.address)
        asked = {urlsplit(url).netloc for url in browser.requested if url.startswith("http")}
    assert back.path == "/callback"
    answer = dict(parse_qsl(back.query))
    assert (answer["state"], answer["iss"]) == ("st-1", lab.workspace.url)
    assert asked == {urlsplit(lab.workspace.url).netloc, urlsplit(redirect_uri).netloc}
    if decision == "deny":
        assert answer["error"] == "access_denied"
    else:
        bought = lab.exchange(client, answer["code"], VERIFIER, redirect_uri=redirect_uri)
        assert bought.status_code == 200
