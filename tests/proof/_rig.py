"""What the proofs run against: a signed-in data folder, a workspace, and `burrow proxy` in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from app.core.embedded import Ready
from tests._command import DataFolder, command, environment
from tests.conftest import RunningWorkspace

START_SECONDS = 60.0


@dataclass
class Proxy:
    """A running proxy: scheme, host and port; the id of a client that may use every server, and a file with its key.

    `processes` are those that serve or stand by, in the order in which they get the port.
    """

    address: str
    client: str
    key_file: Path
    processes: list[asyncio.subprocess.Process]

    def url(self, server: str) -> str:
        """The address of a server."""
        return f"{self.address}/mcp/{server}"

    @property
    def key(self) -> str:
        """The client's key."""
        return self.key_file.read_text()

    async def hand_over(self) -> None:
        """Let another process have the port, and end the one that has it."""
        port = self.address.rpartition(":")[2]
        successor, _address = await _serve(self.key_file.parent, port)
        self.processes.append(successor)
        await _end(self.processes.pop(0))


@asynccontextmanager
async def workspace_in(folder: Path, *arguments: str) -> AsyncIterator[RunningWorkspace]:
    """A workspace process."""
    with _started(command("workspace", "--watch-stdin", "--data", str(folder), *arguments)) as process:
        try:
            assert process.stdout is not None
            line = await asyncio.to_thread(process.stdout.readline)
            ready = json.loads(line)
            assert Ready.parse(line)
            yield RunningWorkspace(ready["url"], ready, process, folder)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def _started(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@asynccontextmanager
async def proxy_of(data: Path) -> AsyncIterator[Proxy]:
    """`burrow proxy` on a data folder and a free port, with a client."""
    made = await asyncio.to_thread(DataFolder(data).run, "connect", "add", "Proof", "--json")
    if made.returncode != 0:
        raise SystemExit(f"burrow connect add failed:\n{made.stderr}")
    client = json.loads(made.stdout)
    key_file = data / "proof.key"
    key_file.touch(mode=0o600)
    key_file.write_text(client["key"])
    process, address = await _serve(data, str(free_port()))
    proxy = Proxy(address, client["id"], key_file, [process])
    try:
        yield proxy
    finally:
        for each in proxy.processes:
            await _end(each)


async def _serve(data: Path, port: str) -> tuple[asyncio.subprocess.Process, str]:
    """A process that has the port or stands by for it, and its address."""
    process = await asyncio.create_subprocess_exec(
        *command("proxy", "--json", "--ask", "allow", "--data", str(data), "--port", port),
        stdout=asyncio.subprocess.PIPE,
        stderr=sys.stderr,
        env=environment(),
    )
    assert process.stdout is not None
    async with asyncio.timeout(START_SECONDS):
        while line := await process.stdout.readline():
            status = json.loads(line)
            if status.get("address") and status.get("state") != "starting":
                return process, str(status["address"]).rstrip("/")
    raise SystemExit("burrow proxy ended before it served")


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    await process.communicate()


def free_port() -> int:
    """A port that nobody listens on now."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
