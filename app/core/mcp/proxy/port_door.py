"""PortDoor: where the owner of the port hands out its sockets to the processes that stand by."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from app.core.mcp.proxy.handover import STANDS_BY, YIELD, Holder, Role, hand_out
from app.core.private_socket import open_door

if TYPE_CHECKING:
    from pathlib import Path

    from app.core.mcp.proxy.listeners import Listeners

# How long to wait before looking again at a visitor that could not be let in.
PAUSE_SECONDS = 1.0


class PortDoor:
    """The owner's end of the connections of all who stand by."""

    def __init__(self, path: Path, holder: Holder, listeners: Listeners) -> None:
        self.path = path
        self._holder = holder
        self._listeners = listeners
        self._loop = asyncio.get_running_loop()
        self._watches: dict[asyncio.Task[None], socket.socket] = {}
        self._standing: set[socket.socket] = set()
        self._asked: socket.socket | None = None
        self._yield = asyncio.Event()
        self.socket = open_door(path)
        # From now on whoever comes is let in, whatever this process is busy with.
        self._loop.add_reader(self.socket, self._let_in)
        self._pause: asyncio.TimerHandle | None = None

    @property
    def followed(self) -> bool:
        """Whether a process stands by."""
        return bool(self._standing)

    async def asked(self, seconds: float) -> bool:
        """Wait that long for a window to ask for the port; whether one did."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._yield.wait()
        return self._yield.is_set()

    def mend(self) -> None:
        """Listen again where the socket was removed. Raises `OSError`."""
        if not self.path.exists():
            former, self.socket = self.socket, open_door(self.path)
            self._loop.remove_reader(former)
            former.close()
            self._loop.add_reader(self.socket, self._let_in)

    async def yielded(self, seconds: float) -> None:
        """The lock is free: tell who asked for it, and the others after a while."""
        asked, self._asked = self._asked, None
        try:
            if asked is not None:
                with contextlib.suppress(OSError):
                    asked.shutdown(socket.SHUT_RDWR)
                await asyncio.sleep(seconds)
        finally:
            self._end()

    def close(self) -> None:
        """Let nobody in any more. Who stands by learns it, unless one of them was asked to come first."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self.socket)
        self.socket.close()
        if self._asked is None:
            self._end()

    def _end(self) -> None:
        for watch in tuple(self._watches):
            watch.cancel()

    def _let_in(self) -> None:
        try:
            visitor, _address = self.socket.accept()
        except BlockingIOError:
            return
        except OSError:
            # Out of handles, most likely. The visitor still waits: looked at without a pause, that would never end.
            self._loop.remove_reader(self.socket)
            self._pause = self._loop.call_later(PAUSE_SECONDS, self._loop.add_reader, self.socket, self._let_in)
            return
        visitor.setblocking(False)
        if not hand_out(visitor, self._holder, self._listeners):
            visitor.close()
            return
        watch = self._loop.create_task(self._watch(visitor), name="a process that stands by")
        self._watches[watch] = visitor
        watch.add_done_callback(self._gone)

    async def _watch(self, visitor: socket.socket) -> None:
        """Read what it says until it ends."""
        with contextlib.suppress(OSError):
            while said := await self._loop.sock_recv(visitor, 64):
                if STANDS_BY in said:
                    self._standing.add(visitor)
                if YIELD in said and self._holder.role is Role.HEADLESS:
                    self._asked = visitor
                    self._yield.set()

    def _gone(self, watch: asyncio.Task[None]) -> None:
        visitor = self._watches.pop(watch)
        self._standing.discard(visitor)
        if self._asked is visitor:
            self._asked = None
        visitor.close()
