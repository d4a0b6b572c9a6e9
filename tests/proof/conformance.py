"""The official conformance suite in server mode, against the reference server directly and through the proxy.

The proxy must change nothing: each check of each scenario has the same status and the same words. The exceptions are
checks of what the proxy does itself: `OWN`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.core.mcp.servers.definitions import HttpServer
from tests.core.test_services import services_in
from tests.proof._peers import Peers, install
from tests.proof._rig import Proxy, free_port, proxy_of

SUITE, SERVER = "@modelcontextprotocol/conformance", "@modelcontextprotocol/server-everything"
STARTED = re.compile(rb"listening on port")
SUITE_SECONDS = 600.0
# What the proxy answers itself, by check: the status that it must have through it, and why.
OWN = {
    "localhost-host-rebinding-rejected": (
        "SUCCESS",
        "the proxy refuses foreign names of the host, the server does not",
    ),
    "server-session-terminated-returns-404": (
        "SUCCESS",
        "the session is the proxy's, and is gone as the protocol says",
    ),
}

Results = dict[str, str]


async def prove(suite: str) -> int:
    """Run both, print the differences, and return the exit code."""
    peers = await asyncio.to_thread(install)
    say(f"{SUITE} {peers.version(SUITE)}, {SERVER} {peers.version(SERVER)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A server for each run: what it remembers of one must not decide about the other.
        async with everything(peers) as url:
            direct = await run(peers, url, folder / "direct", suite)
        async with everything(peers) as url:
            server = await offered(folder / "burrow", url)
            async with proxy_of(folder / "burrow") as proxy:
                proxied = await run(peers, proxy.url(server), folder / "proxied", suite, proxy)
    return compared(direct, proxied)


@asynccontextmanager
async def everything(peers: Peers) -> AsyncIterator[str]:
    """The reference server."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(peers.node, peers.script("mcp-server-everything"), "streamableHttp"),
        env=peers.environment(PORT=str(port)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    drain = None
    try:
        async with asyncio.timeout(30):
            while not STARTED.search(await process.stdout.readline()):
                pass
        drain = asyncio.create_task(_drain(process.stdout))
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if drain is not None:
            await drain


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass


async def offered(data: Path, url: str) -> str:
    """The id of the server at `url` as an own server of a new data folder."""
    async with services_in(data) as services:
        server = await services.own_servers.add(HttpServer("", "Everything", url))
        return server.id


async def run(peers: Peers, url: str, output: Path, suite: str, proxy: Proxy | None = None) -> Results:
    """The status of each check, by scenario and check."""
    more = {}
    if proxy is not None:
        preload = Path(__file__).with_name("_key.mjs")
        more = {
            "NODE_OPTIONS": f"--import {preload.as_uri()}",
            "PROOF_KEY_FILE": str(proxy.key_file),
            "PROOF_ORIGIN": proxy.address,
        }
    process = await asyncio.create_subprocess_exec(
        *(peers.node, peers.script("conformance"), "server", "--url", url, "--suite", suite),
        *("--output-dir", str(output)),
        env=peers.environment(**more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(SUITE_SECONDS):
        printed, _nothing = await process.communicate()
    results = read(output)
    if not results:
        sys.stderr.write(printed.decode("utf-8", "replace"))
        raise SystemExit("the suite gave no results")
    return results


def read(output: Path) -> Results:
    """The results that the suite wrote."""
    results: Results = {}
    for file in sorted(output.glob("*/checks.json")):
        scenario = re.sub(r"^server-|-\d{4}-\d\d-\d\dT[\dZ-]+$", "", file.parent.name)
        for number, check in enumerate(json.loads(file.read_text())):
            status = f"{check['status']} {check.get('errorMessage', '')}".strip()
            results[f"{scenario} / {check['id']} #{number}"] = status
    return results


def compared(direct: Results, proxied: Results) -> int:
    """Print what differs; returns 1 if anything differs that should not."""
    count = {status: sum(each.startswith(status) for each in direct.values()) for status in ("SUCCESS", "FAILURE")}
    say(f"{len(direct)} checks directly: {count['SUCCESS']} succeed, {count['FAILURE']} fail")
    different = [name for name in sorted({*direct, *proxied}) if direct.get(name) != proxied.get(name)]
    bad = 0
    for name in different:
        was, is_ = direct.get(name, "missing"), proxied.get(name, "missing")
        status, reason = OWN.get(name.partition(" / ")[2].partition(" #")[0], ("", ""))
        expected = bool(status) and is_.startswith(status)
        bad += not expected
        say(f"  {'expected' if expected else 'DIFFERENT':9} {name}{f': {reason}' if expected else ''}")
        say(f"            directly: {was[:200]}\n            proxied:  {is_[:200]}")
    say(f"{len(different)} differences, {bad} of them unexpected")
    return 1 if bad else 0


def say(words: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()
