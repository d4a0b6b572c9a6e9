"""InstanceListener: the first process hears of further starts."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from app.core.instance.doors import Door, listen
from app.core.instance.request import (
    LONGEST_LINE,
    NONCE,
    VERSION,
    Hello,
    Unreadable,
    decode_request,
    encode_hello,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from app.core.instance.lock import InstanceLock
    from app.core.instance.request import StartRequest

log = logging.getLogger(__name__)

# A start says everything at once.
VISIT_SECONDS = 5.0
MOST_VISITORS = 8
# How long to wait when a visitor cannot be let in, such as without a free file handle.
PAUSE_SECONDS = 1.0
LONGEST_NONCE = 64


class InstanceListener:
    """Calls `take` on the loop with what each further start asks for."""

    def __init__(
        self, folder: Path, lock: InstanceLock, take: Callable[[StartRequest], None], *, ending: Callable[[], bool]
    ) -> None:
        """While `ending` is true nothing is taken: who comes waits until `close`, and is first then."""
        self._folder, self._lock, self._take, self._ending = folder, lock, take, ending
        self._door: Door | None = None
        self._serving: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Listen until `close`. Where that is impossible, further starts will say that nobody answers."""
        self._serving = asyncio.current_task()
        opening = asyncio.ensure_future(asyncio.to_thread(listen, self._folder))
        try:
            await asyncio.wait([opening])
        except asyncio.CancelledError:
            # The thread goes on, and `close` must find what it has opened.
            with suppress(OSError):
                self._door = await opening
            raise
        try:
            door = self._door = opening.result()
        except OSError as failure:
            log.warning("further starts cannot reach this window: %s", failure)
            return
        room = asyncio.Semaphore(MOST_VISITORS)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as visits:
            while True:
                await room.acquire()
                try:
                    visitor, _address = await loop.sock_accept(door.socket)
                except OSError:
                    room.release()
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                visit = visits.create_task(self._receive(door, visitor))

                # Not in the task: one that is cancelled before it begins runs nothing of its own.
                def gone(_visit: asyncio.Task[None], visitor: socket.socket = visitor) -> None:
                    visitor.close()
                    room.release()

                visit.add_done_callback(gone)

    async def close(self) -> None:
        """Listen no more, and let the next start be first. Safe to call twice."""
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.cancel()
            await asyncio.wait([serving])
        if self._door is not None:
            self._door.close()
        self._lock.release()

    async def _receive(self, door: Door, visitor: socket.socket) -> None:
        with suppress(OSError, Unreadable, TimeoutError):
            visitor.setblocking(False)
            async with asyncio.timeout(VISIT_SECONDS):
                await self._listen_to(door, visitor)

    async def _listen_to(self, door: Door, visitor: socket.socket) -> None:
        if not door.vouches(visitor):
            return
        loop = asyncio.get_running_loop()
        nonce = (await _line(visitor, LONGEST_NONCE)).decode("ascii", "replace").strip()
        if not NONCE.fullmatch(nonce):
            raise Unreadable("no nonce")
        own = os.urandom(16).hex()
        hello = Hello(VERSION, os.getpid(), own, door.proof(nonce, of_window=True))
        await loop.sock_sendall(visitor, encode_hello(hello))
        request, proof = decode_request(await _line(visitor, LONGEST_LINE))
        if not door.proves(proof, own, of_window=False):
            return
        if self._ending():
            await loop.sock_sendall(visitor, b"leaving\n")
            return
        # In the same turn: what was taken is acted on, whatever becomes of the visitor.
        try:
            self._take(request)
        except Exception:
            log.exception("what a further start asked for failed")
        await loop.sock_sendall(visitor, b"taken\n")


async def _line(visitor: socket.socket, longest: int) -> bytes:
    """What the start says next. Raises `Unreadable`."""
    loop = asyncio.get_running_loop()
    line = bytearray()
    while not line.endswith(b"\n"):
        some = await loop.sock_recv(visitor, 65536)
        line += some
        if not some or len(line) > longest:
            raise Unreadable("no line")
    return bytes(line)
