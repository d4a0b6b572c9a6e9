"""Reach: finds the process that serves the proxy, and starts one without a window where there is none.

Where that process is comes from its door, a private Unix socket of this user (`handover.py`), so the key is sent to no
other program that may have the port. One start at a time: the lock is passed on to the process that is started, which
holds it even if the one that started it is killed.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from app.core.background import retrieve
from app.core.mcp.proxy.handover import CAN_HAND_OVER, Role, Unreachable, door_path, visit
from app.core.mcp.proxy.listeners import close_all, number_of
from app.core.private import FILE_MODE, make_private_folder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

PROXY_FOLDER = "proxy"
START_LOCK = "start.lock"
# How long a process that was started may take until it serves.
START_SECONDS = 30.0
LOOK_SECONDS = 0.05
# How long a port is taken for Burrow's. Once its process has ended, another user's program may get it, and our key.
VALID_SECONDS = 1.0
# How long a port that is only kept is left to a window that is started again.
KEPT_SECONDS = 1.0


class NoProxy(Exception):
    """Nobody serves the proxy. The message is a sentence."""


class _Owner(NamedTuple):
    """Who holds the port. `keeps`: only until somebody serves."""

    port: int
    keeps: bool


class Reach:
    """The port of the proxy of one data folder."""

    def __init__(
        self,
        folder: Path,
        command: tuple[str, ...],
        *,
        may_start: Callable[[], Awaitable[bool]] | None = None,
        start_seconds: float = START_SECONDS,
    ) -> None:
        """`command` starts a process that serves the proxy, and goes on without this one, if `may_start` says so."""
        self._folder = folder / PROXY_FOLDER
        self._command = command
        self._may_start = may_start
        self._start_seconds = start_seconds
        self._port: int | None = None
        self._valid_until = 0.0
        self._looking: asyncio.Task[int] | None = None
        self._replacing: asyncio.Task[None] | None = None
        # Those that were started and have not ended yet.
        self._children: list[subprocess.Popen[bytes]] = []
        self.starts = 0
        """How often nobody served, and a process was started or waited for."""

    async def port(self) -> int:
        """The port, after starting a process if nobody serves. Raises `NoProxy`."""
        if self._port is None or asyncio.get_running_loop().time() > self._valid_until:
            # Several requests look together.
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._find_or_start())
            self._remember(await asyncio.shield(self._looking))
        assert self._port is not None
        return self._port

    async def known_port(self) -> int | None:
        """The port if somebody serves, or is about to; nothing is started."""
        if self._port is None:
            found = await self._find()
            if found is not None:
                self._remember(found.port)
        return self._port

    def _remember(self, port: int) -> None:
        self._port = port
        self._valid_until = asyncio.get_running_loop().time() + VALID_SECONDS

    def lost(self) -> None:
        """A connection failed: look again."""
        self._port = None

    async def close(self) -> None:
        """Stop looking."""
        tasks = [task for task in (self._looking, self._replacing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for child in self._children:
            # It goes on without this process, so nobody waits for its end here.
            child.returncode = 0

    async def _find(self) -> _Owner | None:
        self._children = [child for child in self._children if child.poll() is None]
        if not CAN_HAND_OVER:
            return await _owner_without_door(self._folder)
        try:
            return await asyncio.to_thread(_look, self._folder)
        except (Unreachable, OSError):
            return None

    async def _find_or_start(self) -> int:
        found = await self._find()
        if found is None:
            return await self._start()
        if found.keeps and (self._replacing is None or self._replacing.done()):
            # Requests wait in the port meanwhile.
            self._replacing = asyncio.create_task(self._replace_keeper())
            self._replacing.add_done_callback(retrieve)
        return found.port

    async def _replace_keeper(self) -> None:
        """Give a Burrow that is started again a moment, then start a process in its place."""
        await asyncio.sleep(KEPT_SECONDS)
        await self._start()

    async def _start(self) -> int:
        """Wait for a process that serves, and start it unless another shim does. Raises `NoProxy`."""
        self.starts += 1
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._start_seconds
        try:
            make_private_folder(self._folder)
            lock = os.open(self._folder / START_LOCK, os.O_RDWR | os.O_CREAT, FILE_MODE)
        except OSError as failure:
            raise NoProxy(f"Burrow's proxy cannot be started: {failure}.") from None
        started: subprocess.Popen[bytes] | None = None
        try:
            while loop.time() < deadline:
                # After the lock, too: another process may have come and gone since the look before.
                locked = started is None and _locked(lock)
                found = await self._find()
                if found is not None and not found.keeps:
                    return found.port
                if started is not None and started.poll() is not None:
                    raise NoProxy("Burrow's proxy ended when it was started. Start it to see why: burrow proxy")
                if locked:
                    if self._may_start is not None and not await self._may_start():
                        raise NoProxy(
                            "The local proxy is off. Switch it on in Burrow, under Connect, or run: burrow proxy"
                        )
                    started = _start(self._command, lock, self._folder)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            if started is not None:
                self._children.append(started)
            os.close(lock)
        raise NoProxy("Burrow's proxy does not start. Start it to see why: burrow proxy")


def _look(folder: Path) -> _Owner:
    """Who serves the port, or keeps it for the next one. Raises `Unreachable`, `OSError`."""
    connection, holder, listeners = visit(door_path(folder))
    try:
        return _Owner(number_of(listeners), holder.role is Role.KEEPER)
    finally:
        connection.close()
        close_all(listeners)


def _locked(lock: int) -> bool:
    """Try to take the lock, which belongs to the open file and so to a process that inherits it too."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _start(command: tuple[str, ...], lock: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start a process that no signal for this one or for its terminal reaches. Raises `NoProxy`."""
    ways: list[dict[str, object]] = [{"start_new_session": True, "pass_fds": (lock,)}]
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        # A program may keep its children in a job that they cannot leave, and then Windows refuses to start it so.
        ways = [{"creationflags": flags | subprocess.CREATE_BREAKAWAY_FROM_JOB}, {"creationflags": flags}]
    quiet = subprocess.DEVNULL
    refused: OSError | None = None
    for detached in ways:
        try:
            # In a folder of our own: the program's may be one that it wants to remove.
            return subprocess.Popen(command, cwd=folder, stdin=quiet, stdout=quiet, stderr=quiet, **detached)  # type: ignore[call-overload,no-any-return]
        except PermissionError as failure:
            refused = failure
        except OSError as failure:
            raise NoProxy(f"Burrow's proxy cannot be started: {failure}.") from None
    raise NoProxy(f"Burrow's proxy cannot be started: {refused}.")


async def _owner_without_door(folder: Path) -> _Owner | None:
    """As `_look` where the system cannot pass sockets on: the port of the settings, while the owner's lock is held."""
    from app.core.errors import StorageTrouble
    from app.core.mcp.proxy.port import LOCK
    from app.core.mcp.proxy.service import PORT_SETTING, USUAL_PORT
    from app.core.storage import Storage

    try:
        lock = os.open(folder / LOCK, os.O_RDWR)
    except OSError:
        return None
    try:
        if _locked(lock):
            return None
    finally:
        os.close(lock)
    try:
        storage = Storage.open(folder.parent)
    except StorageTrouble:
        return None
    port = storage.settings.get(PORT_SETTING, USUAL_PORT)
    await storage.close()
    return _Owner(port, keeps=False) if isinstance(port, int) else None
