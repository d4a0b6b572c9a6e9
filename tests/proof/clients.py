"""Released clients through the proxy while their tokens die: nothing fails, nothing is done twice.

Each client reads, lists and creates tasks with titles of its own. At the end the workspace's database says how often
each was created, and its counters how often a token was renewed. Meanwhile the port may change its owner.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from app.core.lab import Lab
from app.core.mcp.programs.program import OfferedServer
from app.core.mcp.programs.snippets import snippet
from app.core.mcp.programs.table import GENERIC
from app.core.mcp.servers.definitions import HttpServer
from app.workspace.runtime.database import FILE_NAME
from tests.conftest import RunningWorkspace
from tests.core.test_own_servers import sign_in as sign_in_to_server
from tests.core.test_services import services_in, signed_in
from tests.proof._peers import Peers, install
from tests.proof._rig import START_SECONDS, Proxy, proxy_of, workspace_in
from tests.proof.conformance import say

CONNECTIONS = 3
# What the titles begin with that the clients give.
NAMES = ("python ", "typescript ", "inspector ")
# Beyond the end of the load: what a client that hangs is given up after.
LATE_SECONDS = 60.0
INSPECTOR, SDK = "@modelcontextprotocol/inspector", "@modelcontextprotocol/sdk"


@dataclass
class Report:
    """What became of one client's requests."""

    name: str
    calls: int = 0
    failures: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)


async def prove(minutes: float, every: float, handovers: float) -> int:
    """Run it, print the numbers, and return the exit code."""
    peers = await asyncio.to_thread(install)
    say(f"{INSPECTOR} {peers.version(INSPECTOR)}, {SDK} {peers.version(SDK)}, Python SDK {_python_sdk()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with workspace_in(folder / "workspace") as workspace:
            own = await set_up(folder / "burrow", workspace)
            async with proxy_of(folder / "burrow") as proxy:
                return await _load(peers, workspace, proxy, own, minutes * 60, every, handovers)


def _python_sdk() -> str:
    from importlib.metadata import version

    return version("mcp")


async def set_up(data: Path, workspace: RunningWorkspace) -> str:
    """Sign in to the workspace, and to an own server with an authorization server of its own; returns its id."""
    async with services_in(data) as services:
        await signed_in(services, workspace)
        own = await services.own_servers.add(HttpServer("", "Ledger", f"{workspace.url}/_vendor/ledger/mcp"))
        await sign_in_to_server(services, own.id)
        return own.id


async def _load(
    peers: Peers,
    workspace: RunningWorkspace,
    proxy: Proxy,
    own: str,
    seconds: float,
    every: float,
    handovers: float,
) -> int:
    lab = Lab(workspace.url, workspace.secret)
    await lab.reset()
    invoice = {"customer": "TITLE", "lines": [{"description": "proof", "unit_cents": 1}]}
    plans = [
        {"url": proxy.url("workspace"), "create": ["create_task", {"title": "TITLE"}], "read": ["who_am_i", {}]},
        {"url": proxy.url(own), "create": ["create_draft", invoice], "read": ["list_invoices", {"limit": 1}]},
    ]
    own_client = ("-m", "tests.proof._client")
    script = peers.placed(Path(__file__).with_name("_client.mjs"))
    loads = [
        asyncio.create_task(_client("python", [sys.executable, *own_client], peers, proxy, seconds, plans)),
        asyncio.create_task(_client("typescript", [peers.node, script], peers, proxy, seconds, plans)),
        asyncio.create_task(_inspector(peers, proxy, seconds)),
    ]
    handing_over = asyncio.create_task(_hand_over(proxy, seconds, handovers))
    deaths = await _kill(lab, seconds, every)
    say(f"the port changed its owner {await handing_over} times")
    reports = await asyncio.gather(*loads)
    counters = (await lab.state())["counters"]
    return _judged(reports, workspace.data, counters, deaths)


async def _kill(lab: Lab, seconds: float, every: float) -> tuple[int, int]:
    """Let all access tokens die again and again; returns how many died, of the workspace and of Ledger."""
    until, own, vendors = monotonic() + seconds - every / 2, 0, 0
    while monotonic() + every < until:
        await asyncio.sleep(every)
        own += await lab.kill_access_token()
        ended = await lab.vendor(vendor="ledger", action="kill_access_token")
        vendors += int(ended["ended"])
    return own, vendors


async def _hand_over(proxy: Proxy, seconds: float, every: float) -> int:
    """Let the port change its owner again and again, if `every` says how often; returns how many times."""
    until, count = monotonic() + seconds - START_SECONDS / 4, 0
    while every and monotonic() + every < until:
        await asyncio.sleep(every)
        await proxy.hand_over()
        count += 1
    return count


async def _client(
    name: str, words: list[str], peers: Peers, proxy: Proxy, seconds: float, plans: list[dict[str, Any]]
) -> Report:
    """A client in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(*words, name, str(proxy.key_file), str(seconds), str(CONNECTIONS), json.dumps(plans)),
        env=peers.environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds + LATE_SECONDS):
            printed, _nothing = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        return Report(name, failures=["it did not end"])
    if process.returncode != 0:
        return Report(name, failures=[f"it ended with code {process.returncode}"])
    found = json.loads(printed)
    return Report(name, found["calls"], found["failures"], found["created"])


async def _inspector(peers: Peers, proxy: Proxy, seconds: float) -> Report:
    """The Inspector's command line, one process for each call, with the configuration that Burrow gives to paste."""
    report, until = Report("inspector"), monotonic() + seconds
    config = proxy.key_file.with_name("inspector.json")
    config.write_text(snippet(GENERIC, [OfferedServer("workspace", "Workspace")], proxy.address, proxy.key).text)
    words = [peers.node, peers.script("mcp-inspector"), "--cli", "--config", str(config), "--server", "workspace"]
    number = 0
    while monotonic() < until:
        title = f"inspector {number}"
        number += 1
        create = ["--method", "tools/call", "--tool-name", "create_task", "--tool-arg", f"title={title}"]
        method = create if number % 2 else ["--method", "tools/list"]
        process = await asyncio.create_subprocess_exec(
            *(*words, *method),
            env=peers.environment(HOME=str(config.parent)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _nothing = await process.communicate()
        report.calls += 1
        if process.returncode != 0:
            report.failures.append(printed.decode("utf-8", "replace")[-500:])
        elif method is create:
            report.created.append(title)
        await asyncio.sleep(1)
    return report


def _judged(reports: list[Report], folder: Path, counters: dict[str, Any], deaths: tuple[int, int]) -> int:
    """Print the numbers; returns 1 if anything failed, was lost or was done twice, or a token was renewed in vain."""
    created = Counter(title for report in reports for title in report.created)
    stored = Counter(_stored(folder))
    twice = [title for title, count in stored.items() if count > 1]
    lost = [title for title in created if title not in stored]
    for report in reports:
        say(f"{report.name}: {report.calls} calls, {len(report.created)} created, {len(report.failures)} failed")
        for failure in report.failures[:10]:
            say(f"  {failure}")
    renewed = counters["refreshes_accepted"]
    tokens = {path: count for path, count in counters["requests"].items() if path.rstrip("/").endswith("/token")}
    vendors = sum(count for path, count in tokens.items() if "_vendor" in path)
    say(f"{len(twice)} created twice, {len(lost)} lost of {sum(created.values())}")
    say(f"workspace: {deaths[0]} tokens died, {renewed} renewed, {counters['refreshes_rejected']} refused")
    say(f"Ledger: {deaths[1]} tokens died, {vendors} renewed")
    failed = sum(len(report.failures) for report in reports)
    right = (renewed, vendors) == deaths and counters["refreshes_rejected"] == 0
    return 0 if right and not failed and not twice and not lost and created else 1


def _stored(folder: Path) -> list[str]:
    """The titles of all tasks, and the customers of all invoices."""
    file = folder / FILE_NAME
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        tasks = database.execute("SELECT title FROM tasks").fetchall()
        invoices = database.execute("SELECT customer FROM ledger_invoices").fetchall()
    return [title for (title,) in (*tasks, *invoices) if title.startswith(NAMES)]
