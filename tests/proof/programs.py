"""Claude Code and Codex, as released, use the proxy with what Burrow gives to paste or writes into their files.

Each is connected both ways, over HTTP and through `burrow connect stdio`, and tried as the window does; Claude Code
connects to the servers when it lists them, Codex says what it read.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from app.core.mcp.programs.edits import add, our_entries, remove
from app.core.mcp.programs.entries import Access
from app.core.mcp.programs.places import Found, ProgramMachine, found
from app.core.mcp.programs.program import OfferedServer, Program, Via
from app.core.mcp.programs.snippets import remove_command, snippet
from app.core.mcp.programs.table import CLAUDE_CODE, CODEX
from app.core.mcp.programs.trial import TrialOutcome, try_client
from tests.proof._peers import PROGRAMS, install
from tests.proof._rig import Proxy, proxy_of
from tests.proof.conformance import everything, offered, say

SERVER_TITLE = "Everything"


async def prove() -> int:
    """Try both programs both ways; returns the exit code."""
    peers = await asyncio.to_thread(install, PROGRAMS)
    for package in PROGRAMS[1:]:
        name = package.rpartition("@")[0]
        say(f"{name} {peers.version(name)}")
    failed = 0
    with tempfile.TemporaryDirectory(dir=Path.home()) as name:
        folder = Path(name)
        variables = {"HOME": str(folder), "PATH": f"{peers.modules / '.bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"}
        os.environ.pop("XDG_CONFIG_HOME", None)
        os.environ.update(variables)
        machine = ProgramMachine("linux", {**os.environ, **variables}, folder)
        (folder / ".codex").mkdir()
        async with everything(peers) as url:
            server = OfferedServer(await offered(folder / "burrow", url), SERVER_TITLE)
            async with proxy_of(folder / "burrow") as proxy:
                for program in (CLAUDE_CODE, CODEX):
                    for via in program.vias:
                        failed += await connect(found(program, machine), server, proxy, via)
    say("everything works" if not failed else f"{failed} failed")
    return 1 if failed else 0


async def connect(there: Found, server: OfferedServer, proxy: Proxy, via: Via) -> int:
    """Connect a program one way, try it, and disconnect it; returns how many steps failed."""
    program = there.program
    access = Access(proxy.address, proxy.key if via is Via.HTTP else "", proxy.client, proxy.key_file.parent)
    assert there.file is not None
    if program.owns_file:
        await run(
            snippet(program, [server], access.address, access.key, client=access.client, data=access.data, via=via).text
        )
    else:
        await asyncio.to_thread(add(program, there.file.path, [server], access, via).write)
    failed = 0
    say(f"{program.title}, {via.value}")
    async for step in try_client(program, [server], proxy.address, client=access.client, installation=there):
        if step.outcome is not TrialOutcome.RUNNING:
            failed += step.outcome is not TrialOutcome.OK
            say(f"  {step.outcome.value:7} {step.title}: {step.words}")
    await disconnect(program, there.file.path)
    return failed


async def disconnect(program: Program, path: Path) -> None:
    """Take our entries away again, as they were made."""
    if program.owns_file:
        for entry in our_entries(program, path):
            await run(" ".join(remove_command(program, entry.name)))
    else:
        await asyncio.to_thread(remove(program, path).write)
    assert our_entries(program, path) == ()


async def run(line: str) -> None:
    """Run what is pasted into a terminal."""
    process = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.DEVNULL)
    if await process.wait() != 0:
        raise SystemExit(f"the command failed with {process.returncode}")
