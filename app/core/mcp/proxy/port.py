"""Who serves the proxy's port: one process at a time, while the others stand by with duplicates of its sockets.

The owner holds the file lock `owner.lock`, which the system releases when it dies, and accepts connections. Each other
process is connected to the owner's door (`handover.py`) and holds the same listening sockets. So the port never closes
while the owner changes: connections queue in the sockets' backlog, and the next owner answers them. A window asks an
owner without a window to yield. Where the system cannot pass sockets on (Windows), the next owner binds the port anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from dataclasses import dataclass
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Any

from app.core.file_lock import file_lock
from app.core.mcp.proxy.handover import (
    CAN_HAND_OVER,
    STANDS_BY,
    TOOK,
    YIELD,
    Holder,
    Role,
    Unreachable,
    door_path,
    visit,
)
from app.core.mcp.proxy.keeper import KEEP_SECONDS, start_keeper
from app.core.mcp.proxy.listeners import NotLoopback, PortTaken, bind, close_all, number_of
from app.core.mcp.proxy.port_door import PortDoor
from app.core.private import make_private_folder

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path

    from filelock import FileLock

    from app.core.mcp.proxy.listeners import Listeners

log = logging.getLogger(__name__)

LOCK = "owner.lock"
# How soon to look again for a lock that is about to be free, and how slow that gets.
FIRST_LOOK_SECONDS, SLOWEST_LOOK_SECONDS = 0.005, 0.25
# After so many looks at a lock whose holder hands out no sockets the user is told.
PATIENCE_SECONDS = 5.0
# Processes that stand by take a port whose owner died within moments. One that is taken for longer is not ours.
SETTLE_TRIES, SETTLE_SECONDS = 8, 0.1
# A process that yields lets the one that asked come first.
COURTESY_SECONDS = 0.5
# How often the owner looks whether it can still be found.
LOOK_AFTER_SECONDS = 30.0
SLOW_LOOK_SECONDS = 0.5
# How long what is in flight may take once the port was left to a window.
DRAIN_SECONDS = 30.0


class PortState(Enum):
    """Of the port, as one process sees it."""

    STARTING = "starting"
    OWNED = "owned"
    ELSEWHERE = "elsewhere"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PortStatus:
    """`number` is the port that is served, 0 for none. `taken` is the port that was wanted where another program has
    it, else 0. `trouble` says in a sentence what failed. `owner` is the role of the process that serves, `pid` which
    one that is, as far as it is known.
    """

    state: PortState = PortState.STARTING
    number: int = 0
    taken: int = 0
    trouble: str = ""
    owner: Role | None = None
    pid: int = 0


class Acceptor:
    """What accepts connections for the owner; the functions are called on the loop of the port."""

    def __init__(
        self, accept: Callable[[Listeners], Awaitable[None]], release: Callable[[float], Coroutine[Any, Any, None]]
    ) -> None:
        """`accept` begins. `release` stops at once, and finishes what is in flight within the seconds given."""
        self.accept = accept
        self.release = release


class ProxyPort:
    """The part of one process in the port; all methods run on one loop."""

    def __init__(
        self,
        folder: Path,
        role: Role,
        number: int,
        acceptor: Acceptor,
        *,
        choose: Callable[[int], Awaitable[bool]],
        changed: Callable[[PortStatus], None],
        keep_seconds: float = KEEP_SECONDS,
    ) -> None:
        """`choose` is asked, with a free port that was found in place of `number`, whether to keep it from now on.

        `keep_seconds` is how long the port is kept for the next owner where nobody stands by.
        """
        self.keep_seconds = keep_seconds
        self._folder = folder
        self._role = role
        self._wanted = number
        self._acceptor = acceptor
        self._choose = choose
        self._changed = changed
        self.status = PortStatus()
        self._held: Listeners = ()
        self._taken = 0
        self._lock: FileLock | None = None
        self._door: PortDoor | None = None
        self._task: asyncio.Task[None] | None = None
        self._draining: set[asyncio.Task[None]] = set()
        # How often an owner was looked for, and since when; how often a taken port was tried.
        self._looks, self._since, self._tries = 0, 0.0, 0

    @property
    def followed(self) -> bool:
        """Whether this process owns the port and another one stands by. May be read on any thread."""
        door = self._door
        return door is not None and door.followed

    def start(self) -> None:
        """Begin to serve or to stand by, and go on until `stop`."""
        self._task = asyncio.create_task(self._live(), name="the port of the proxy")

    async def stop(self, *, drain: float, keep: bool) -> None:
        """Leave the port to the others. `drain` is how many seconds what is in flight may take.

        With `keep` a small process holds the port for a moment where nobody stands by, for a start of Burrow.
        """
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        door = self._door
        if self._lock is not None:
            if door is not None and door.followed:
                # Somebody stands by: it serves new connections while what is in flight here is finished.
                released = asyncio.ensure_future(self._acceptor.release(drain))
                await asyncio.sleep(0)
                self._leave()
                await released
            else:
                await self._acceptor.release(drain)
                # A temporary port is in no client's configuration, so nobody comes to it.
                if keep and door is not None and not door.followed and not self._taken:
                    self._keep(door)
                self._leave()
        await asyncio.gather(*self._draining, return_exceptions=True)
        self._leave()
        held, self._held = self._held, ()
        close_all(held)

    async def _live(self) -> None:
        try:
            make_private_folder(self._folder)
            os.chmod(self._folder, 0o700)
            while True:
                if self._locked():
                    await self._own()
                elif CAN_HAND_OVER:
                    await self._stand_by()
                else:
                    self._tell(PortStatus(PortState.ELSEWHERE, self._wanted))
                    await asyncio.sleep(SLOW_LOOK_SECONDS)
        except (OSError, NotLoopback) as failure:
            log.warning("the port of the proxy: %s", failure)
            await self._fail(f"The proxy cannot listen on this machine: {failure}.")
        except PortTaken:
            await self._fail("No port of this machine is free for the proxy.")
        except Exception as failure:
            log.exception("the port of the proxy is not served any more")
            await self._fail(f"The proxy ended because of a defect ({type(failure).__name__}).")

    async def _fail(self, words: str) -> None:
        """Serve nothing any more: another process may."""
        await self._acceptor.release(0.0)
        self._leave()
        held, self._held = self._held, ()
        close_all(held)
        self._tell(PortStatus(PortState.FAILED, trouble=words))

    def _locked(self) -> bool:
        """Try to become the owner."""
        from filelock import Timeout

        lock = file_lock(self._folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        self._lock = lock
        return True

    def _leave(self) -> None:
        """No longer be the owner."""
        door, self._door = self._door, None
        if door is not None:
            door.close()
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    async def _own(self) -> None:
        """Serve until a window asks for the port."""
        listeners = await self._listeners()
        if listeners is None:
            # A process that stands by is about to become the owner.
            self._leave()
            await asyncio.sleep(SETTLE_SECONDS)
            return
        self._held = listeners
        holder = Holder(self._role, os.getpid(), self._taken)
        if CAN_HAND_OVER:
            self._door = PortDoor(door_path(self._folder), holder, listeners)
        await self._acceptor.accept(listeners)
        self._tell(PortStatus(PortState.OWNED, number_of(listeners), self._taken, owner=self._role, pid=holder.pid))
        door = self._door
        if door is None:
            await asyncio.Event().wait()
            return
        while not await door.asked(LOOK_AFTER_SECONDS):
            # Something may have tidied the folder.
            self._mend(door)
        log.info("a window takes the port over")
        # Accepting stops before the first await inside.
        draining = asyncio.create_task(self._acceptor.release(DRAIN_SECONDS))
        self._draining.add(draining)
        draining.add_done_callback(self._draining.discard)
        await asyncio.sleep(0)
        self._leave()
        # Only who asked learns it now. The others would compete with it.
        await door.yielded(COURTESY_SECONDS)

    def _mend(self, door: PortDoor) -> None:
        """Open the door again where its socket is gone: nobody else would find this process."""
        try:
            door.mend()
        except OSError as failure:
            log.warning("the sockets of the proxy cannot be handed out: %s", failure)

    async def _listeners(self) -> Listeners | None:
        """The sockets to accept on: those held, those of a keeper, or new ones; None where another process has them."""
        if self._held:
            return self._held
        if CAN_HAND_OVER:
            with contextlib.suppress(Unreachable):
                connection, holder, listeners = await _visited(door_path(self._folder))
                with contextlib.suppress(OSError):
                    connection.send(TOOK)
                connection.close()
                self._taken = holder.taken
                return listeners
        try:
            listeners = bind(self._wanted)
        except PortTaken as failure:
            if self._settling():
                return None
            listeners = bind(0)
            kept = await self._choose(number_of(listeners))
            self._taken = 0 if kept else failure.number
            if kept:
                self._wanted = number_of(listeners)
        return listeners

    def _settling(self) -> bool:
        """Whether those who may hold the sockets have not had the time yet to become the owner."""
        if not CAN_HAND_OVER:
            return False
        self._tries += 1
        return self._tries < SETTLE_TRIES

    async def _stand_by(self) -> None:
        """Hold duplicates of the owner's sockets until it ends; returns when the lock may be free."""
        try:
            connection, holder, listeners = await _visited(door_path(self._folder))
        except Unreachable as failure:
            await self._look_again(str(failure))
            return
        if holder.role is Role.KEEPER:
            # Somebody else starts, and takes them.
            connection.close()
            close_all(listeners)
            await self._look_again("another Burrow is starting")
            return
        former, self._held = self._held, listeners
        close_all(former)
        self._taken = holder.taken
        self._looks, self._tries = 0, 0
        try:
            number = number_of(listeners)
            self._tell(PortStatus(PortState.ELSEWHERE, number, holder.taken, owner=holder.role, pid=holder.pid))
            asks = self._role is Role.WINDOW and holder.role is Role.HEADLESS
            with contextlib.suppress(OSError):
                connection.send(STANDS_BY + YIELD if asks else STANDS_BY)
                while await asyncio.get_running_loop().sock_recv(connection, 64):
                    """Nothing else is said."""
        finally:
            connection.close()

    async def _look_again(self, reason: str) -> None:
        """Wait a moment, longer each time; tell the user once it takes long."""
        if not self._looks:
            self._since = monotonic()
        self._looks += 1
        if monotonic() - self._since > PATIENCE_SECONDS:
            log.info("no sockets from the owner of the port: %s", reason)
            words = "Another Burrow holds the proxy's port and does not answer. End that one."
            self._tell(PortStatus(PortState.FAILED, trouble=words))
        await asyncio.sleep(min(FIRST_LOOK_SECONDS * 1.5**self._looks, SLOWEST_LOOK_SECONDS))

    def _keep(self, door: PortDoor) -> None:
        try:
            start_keeper(self._folder, door.path, door.socket, self._held, self._taken, seconds=self.keep_seconds)
        except OSError as failure:
            log.info("the port is not kept: %s", failure)

    def _tell(self, status: PortStatus) -> None:
        if status != self.status:
            self.status = status
            self._changed(status)


async def _visited(path: Path) -> tuple[socket.socket, Holder, Listeners]:
    """See `visit`. Nothing stays open when the caller is cancelled."""
    visiting = asyncio.ensure_future(asyncio.to_thread(visit, path))
    try:
        return await asyncio.shield(visiting)
    except asyncio.CancelledError:
        with contextlib.suppress(Unreachable):
            connection, _holder, listeners = await visiting
            connection.close()
            close_all(listeners)
        raise
