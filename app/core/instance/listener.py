"""InstanceListener: the first process hears of further starts."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from app.core.background import BackgroundTasks
from app.core.instance.doors import InstanceDoor, listen
from app.core.instance.request import (
    LONGEST_LINE,
    NONCE,
    VERSION,
    Hello,
    UnreadableLine,
    decode_request,
    encode_hello,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.core.instance.lock import InstanceLock
    from app.core.instance.request import StartRequest

log = logging.getLogger(__name__)

# A start says everything at once.
VISIT_SECONDS = 5.0
MOST_VISITORS = 8
# So many turns of the loop asyncio needs to make a connection of what it accepted, or to close one.
TURNS = 4


class InstanceListener:
    """Calls `take` on the loop with what each further start asks for."""

    def __init__(
        self, folder: Path, lock: InstanceLock, take: Callable[[StartRequest], None], *, ending: Callable[[], bool]
    ) -> None:
        """While `ending` is true nothing is taken: who comes waits until `close`, and is first then."""
        self._folder, self._lock, self._take, self._ending = folder, lock, take, ending
        self._door: InstanceDoor | None = None
        self._server: asyncio.Server | None = None
        self._opening: asyncio.Future[InstanceDoor] | None = None
        self._visits = BackgroundTasks()
        self._visitors = 0

    async def start(self) -> None:
        """Listen from now on. Where that is impossible, further starts will say that nobody answers."""
        self._opening = asyncio.ensure_future(asyncio.to_thread(listen, self._folder))
        try:
            # What the thread opens is `close`'s to find, also where this is cancelled.
            door = self._door = await asyncio.shield(self._opening)
            self._server = await asyncio.start_server(self._visited, sock=door.socket, limit=LONGEST_LINE)
        except OSError as failure:
            log.warning("further starts cannot reach this window: %s", failure)

    async def close(self) -> None:
        """Listen no more, and let the next start be first. Safe to call twice."""
        if self._opening is not None:
            with suppress(OSError):
                self._door = await self._opening
        server, self._server = self._server, None
        if server is not None:
            # asyncio loses what it has accepted when the server is closed before it became a connection.
            with suppress(NotImplementedError):
                asyncio.get_running_loop().remove_reader(server.sockets[0])
            await _turns()
            server.close()
        await self._visits.close()
        await _turns()
        if self._door is not None:
            self._door.close()
        self._lock.release()

    def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._visitors >= MOST_VISITORS:
            # A start comes again at once.
            writer.close()
            return
        self._visitors += 1
        visit = self._visits.start(self._receive(reader, writer))

        # Not in the task: one that is cancelled before it begins runs nothing of its own.
        def gone(_visit: asyncio.Task[None]) -> None:
            self._visitors -= 1
            writer.close()

        visit.add_done_callback(gone)

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, UnreadableLine, TimeoutError):
            async with asyncio.timeout(VISIT_SECONDS):
                await self._listen_to(reader, writer)

    async def _listen_to(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        door = self._door
        if door is None or not door.vouches(writer.get_extra_info("socket")):
            return
        nonce = (await _line(reader)).decode("ascii", "replace").strip()
        if not NONCE.fullmatch(nonce):
            raise UnreadableLine("no nonce")
        own = os.urandom(16).hex()
        writer.write(encode_hello(Hello(VERSION, os.getpid(), own, door.proof(nonce, of_window=True))))
        request, proof = decode_request(await _line(reader))
        if not door.proves(proof, own, of_window=False):
            return
        if self._ending():
            writer.write(b"leaving\n")
        else:
            # In the same turn: what was taken is acted on, whatever becomes of the visitor.
            try:
                self._take(request)
            except Exception:
                log.exception("what a further start asked for failed")
            writer.write(b"taken\n")
        await writer.drain()


async def _line(reader: asyncio.StreamReader) -> bytes:
    """What the start says next. Raises `UnreadableLine`."""
    try:
        return await reader.readuntil(b"\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise UnreadableLine("no line") from None


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)
