"""try_client: whether a program could use the proxy now, tried step by step with what the program would use."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from app.core.mcp.programs.edits import our_entries
from app.core.mcp.programs.entries import Access
from app.core.mcp.programs.listing import NotListed, listed_servers
from app.core.mcp.programs.places import found
from app.core.mcp.programs.program import TEST_AGENT
from app.core.mcp.programs.refused import ConfigRefused
from app.core.mcp.programs.rpc import HttpChannel, NoAnswer, RpcRefused, ShimChannel, result_of
from app.core.mcp.programs.shim_command import shim_command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from app.core.mcp.programs.entries import FoundEntry
    from app.core.mcp.programs.places import Found
    from app.core.mcp.programs.program import OfferedServer, Program
    from app.core.mcp.programs.rpc import RpcChannel

SERVER_SECONDS = 15.0
# Programs connect to every server of theirs before they say anything.
LIST_SECONDS = 40.0
VERSION = "2025-11-25"
STATELESS = "2026-07-28"
# -32601: no such method, -32022: no such version. A server without sessions answers one of them to `initialize`.
NO_INITIALIZE = frozenset({-32601, -32022})
PAGES_LIMIT = 100
BAD = re.compile(r"fail|error|✗|✘|needs auth|not logged|disconnect|disabled|could not|timed? ?out", re.IGNORECASE)


class TrialOutcome(Enum):
    """How a step stands. `SKIPPED`: it could not be tried here, which proves nothing."""

    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class TrialStep:
    """One thing that is tried. `words` say what came of it. The same `title` again replaces the step."""

    title: str
    outcome: TrialOutcome
    words: str = ""


async def try_client(
    program: Program,
    servers: Sequence[OfferedServer],
    address: str,
    key: str = "",
    *,
    client: str = "",
    data: Path | None = None,
    installation: Found | None = None,
) -> AsyncIterator[TrialStep]:
    """Try servers of the proxy as `program` would use them, and ask the program if it can be asked.

    What the program's file has is used, if it has entries of ours; else `key`, or the shim for `client` where there is
    no key. Nothing is raised: each failure is a step. Takes up to 55 seconds.
    """
    there = await asyncio.to_thread(found, program) if installation is None else installation
    entries, steps = await asyncio.to_thread(_in_file, there, servers, address)
    for step in steps:
        yield step
    access = Access(address, key, client, data)
    # No task group, which a generator that is closed by another task could not leave.
    tries = [asyncio.create_task(_try(server, entries.get(server.id), access)) for server in servers]
    try:
        for server in servers:
            yield TrialStep(server.title, TrialOutcome.RUNNING)
        for attempt in tries:
            yield await attempt
    finally:
        for attempt in tries:
            attempt.cancel()
        await asyncio.gather(*tries, return_exceptions=True)
    names = [entries[server.id].name for server in servers if server.id in entries]
    if program.lists and (names or there.command is None):
        yield TrialStep(_asking(program), TrialOutcome.RUNNING)
        yield await _asked(there, names)


def _in_file(
    there: Found, servers: Sequence[OfferedServer], address: str
) -> tuple[dict[str, FoundEntry], list[TrialStep]]:
    """Our entries in the program's file by server, and what is to be said of them."""
    if there.file is None:
        return {}, []
    path = there.file.path
    title = f"Entry in {path.name}"
    try:
        entries = {entry.server: entry for entry in our_entries(there.program, path)}
    except ConfigRefused as refused:
        return {}, [TrialStep(title, TrialOutcome.FAILED, refused.cause)]
    missing = [server.title for server in servers if server.id not in entries]
    if missing:
        return entries, [TrialStep(title, TrialOutcome.FAILED, f"There is none for {', '.join(missing)} yet.")]
    other = [each for each in entries.values() if each.url and not each.url.startswith(f"{address.rstrip('/')}/")]
    if other:
        names = ", ".join(each.name for each in other)
        return entries, [
            TrialStep(title, TrialOutcome.FAILED, f"{names}: it has another address than {address}. Add it again.")
        ]
    return entries, [TrialStep(title, TrialOutcome.OK, ", ".join(entries[server.id].name for server in servers))]


async def _try(server: OfferedServer, entry: FoundEntry | None, access: Access) -> TrialStep:
    channel: RpcChannel
    if entry is not None and entry.command:
        channel = ShimChannel(entry.command, SERVER_SECONDS)
    elif entry is not None:
        channel = HttpChannel(entry.url, entry.key, SERVER_SECONDS)
    elif access.key:
        channel = HttpChannel(access.url(server), access.key, SERVER_SECONDS)
    elif access.client:
        channel = ShimChannel(shim_command(access.client, server.id, data=access.data), SERVER_SECONDS)
    else:
        return TrialStep(server.title, TrialOutcome.SKIPPED, "There is no entry and no key to try it with.")
    try:
        return TrialStep(server.title, TrialOutcome.OK, await _tools(channel))
    except NoAnswer as failure:
        return TrialStep(server.title, TrialOutcome.FAILED, str(failure))
    finally:
        await channel.close()


async def _tools(channel: RpcChannel) -> str:
    """Open a session and list the tools; what is to be said of it. Raises `NoAnswer`."""
    version = VERSION
    meta: dict[str, Any] = {}
    info = {"name": TEST_AGENT, "version": "1"}
    opening = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": info}
    try:
        opened = result_of(await channel.send(_request(0, "initialize", opening), ""))
        version = str(opened.get("protocolVersion") or VERSION)
        await channel.send({"jsonrpc": "2.0", "method": "notifications/initialized"}, version)
        name = opened.get("serverInfo")
        title = str(name.get("name", ""))[:80] if isinstance(name, dict) else ""
    except RpcRefused as refused:
        if refused.code not in NO_INITIALIZE:
            raise
        version, title = STATELESS, ""
        prefix = "io.modelcontextprotocol/"
        meta = {
            "_meta": {
                f"{prefix}protocolVersion": STATELESS,
                f"{prefix}clientCapabilities": {},
                f"{prefix}clientInfo": info,
            }
        }
    count, cursor, page = 0, None, 0
    while page < PAGES_LIMIT:
        page += 1
        params = {**meta, **({"cursor": cursor} if isinstance(cursor, str) else {})}
        try:
            result = result_of(await channel.send(_request(page, "tools/list", params), version))
        except RpcRefused as refused:
            if refused.code == -32601:
                return f"It answers{f' as {title}' if title else ''}, and has no tools."
            raise
        tools = result.get("tools")
        count += len(tools) if isinstance(tools, list) else 0
        cursor = result.get("nextCursor")
        if not isinstance(cursor, str):
            break
    return f"It answers{f' as {title}' if title else ''}, with {count} {'tool' if count == 1 else 'tools'}."


def _request(number: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


async def _asked(there: Found, names: Sequence[str]) -> TrialStep:
    """What the program itself says of our entries."""
    program = there.program
    title = _asking(program)
    if there.command is None:
        return TrialStep(title, TrialOutcome.SKIPPED, f"The command “{program.lists[0]}” is not installed.")
    try:
        lines = await listed_servers(there.command, program.lists[1:], LIST_SECONDS)
    except NotListed as failure:
        return TrialStep(title, TrialOutcome.FAILED, str(failure))
    ok, said = True, []
    for name in names:
        line = next((line for line in lines if re.match(rf"[^\w]*{re.escape(name)}(?![\w-])", line)), None)
        said.append(line or f"{program.title} does not list “{name}”.")
        ok = ok and line is not None and BAD.search(line.replace(name, "", 1)) is None
    return TrialStep(title, TrialOutcome.OK if ok else TrialOutcome.FAILED, "\n".join(said))


def _asking(program: Program) -> str:
    """The title of the step: the command as one would type it."""
    return " ".join(program.lists)
