"""A user's machine with the real proxy: Burrow's folder, a keyring, a browser, and programs that start the shim."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.core.mcp.proxy.clients import ProxyClients
from app.core.mcp.proxy.handover import Unreachable, door_path, visit
from app.core.mcp.proxy.listeners import bind, close_all, number_of
from app.core.mcp.proxy.service import PORT_SETTING
from app.core.mcp.proxy.shim.reach import PROXY_FOLDER
from app.core.mcp.servers.definitions import HttpServer
from app.core.services import HOST_SETTING, Services
from tests._command import SECONDS, command, environment
from tests.secret_service import SecretService
from tests.until import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STARTS = 5
NAMES = [f"program {number}" for number in range(STARTS)]


@dataclass
class ShimProcess:
    """A running shim."""

    process: asyncio.subprocess.Process

    def send(self, message: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    async def ask(self, message: Any) -> Any:
        """Send a request and wait for the next message."""
        self.send(message)
        return await self.receive()

    async def receive(self) -> Any:
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            return json.loads(await self.process.stdout.readline())

    async def ended(self) -> tuple[int, bytes, str]:
        """Its exit code, what else it wrote, and its words."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        async with asyncio.timeout(SECONDS):
            code = await self.process.wait()
            rest, words = await self.process.stdout.read(), (await self.process.stderr.read()).decode()
        self.process.stdin.close()
        assert "Traceback" not in words, words
        return code, rest, words


@asynccontextmanager
async def shim(folder: Path, *arguments: str, **variables: str) -> AsyncIterator[ShimProcess]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command("connect", "stdio", *arguments, "--data", str(folder)),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env=environment(**variables),
        limit=2**26,
    )
    try:
        yield ShimProcess(process)
    finally:
        if process.returncode is None:
            process.kill()
        # Reads what is left too, so that no pipe stays open.
        await process.communicate()


@dataclass
class Machine:
    """A user's machine: Burrow's folder, a keyring, and a browser that only writes down what it is to open."""

    folder: Path
    variables: dict[str, str]
    tabs_file: Path

    def tabs(self) -> list[str]:
        """The addresses that the browser was to open."""
        return self.tabs_file.read_text().splitlines() if self.tabs_file.exists() else []

    def owner(self) -> int | None:
        """The process that serves the proxy."""
        try:
            connection, holder, listeners = visit(door_path(self.folder / PROXY_FOLDER))
        except (Unreachable, OSError):
            return None
        connection.close()
        close_all(listeners)
        return holder.pid

    def proxies(self) -> list[int]:
        """The processes that were started to serve the proxy of this folder."""
        found = []
        for place in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (place / "cmdline").read_bytes().split(b"\0")
                if b"--while-used" in words and os.fsencode(self.folder) in words:
                    found.append(int(place.name))
        return found

    async def end(self, number: signal.Signals) -> None:
        """End the process that serves the proxy."""
        pid = self.owner()
        assert pid is not None
        os.kill(pid, number)
        await until(lambda: has_ended(pid), 20)


def has_ended(pid: int) -> bool:
    """Whether a process has closed everything that it had, even if nobody has asked for its exit code yet."""
    place = Path(f"/proc/{pid}")
    try:
        # Its threads share what is open, and the first one may end before the others.
        return (place / "stat").read_text().rpartition(") ")[2][0] in "ZX" and len(os.listdir(place / "task")) == 1
    except (FileNotFoundError, ProcessLookupError):
        return True


@asynccontextmanager
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    """The machine of a test. The proxies that were started on it are ended."""
    browser, tabs, folder = tmp_path / "browser", tmp_path / "tabs", tmp_path / "data"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {tabs}\n')
    browser.chmod(0o755)
    with SecretService() as service:
        found = Machine(folder, {**service.variables, "BROWSER": f"{browser} %s"}, tabs)
        try:
            yield found
        finally:
            for pid in found.proxies():
                os.kill(pid, signal.SIGTERM)
            await until(lambda: not found.proxies(), 20)


async def prepared(folder: Path, *urls: str, host: str = "") -> list[str]:
    """A folder with clients and these servers, whose ids are returned; nobody is signed in."""
    services = Services(folder, role="test", long_lived=False)
    if host:
        await services.storage.settings.set(HOST_SETTING, host)
    listeners = bind(0)
    await services.storage.settings.set(PORT_SETTING, number_of(listeners))
    close_all(listeners)
    ids = [(await services.own_servers.add(HttpServer("", "Ledger", url))).id for url in urls]
    clients = ProxyClients(services.storage.proxy_clients)
    await clients.start()
    for name in NAMES:
        await clients.create(name)
    await clients.close()
    await services.close()
    return ids
