"""Relay: a TCP relay in front of a server of this machine, so that connections break as they do on a network.

It runs on a thread with a loop of its own, beside the loop of the process that it disturbs.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any

CHUNK = 65_536
# A server that is being started again is waited for as a listening socket would.
CONNECT_SECONDS = 2.0


class _Connection:
    """One connection. `left` bytes still reach the client before it is cut; None: all of them."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.writers = writers
        self.left: int | None = None

    def abort(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class Relay:
    """Listens on a port of its own. Both ends see the other by the address that they know.

    That address is replaced in every chunk, so `target` and the own port need the same number of digits.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def origin(self) -> str:
        """Where clients find the server."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._thread.start()
        await self.accept()
        assert len(str(self.port)) == len(str(self.target)), "the address is replaced in place"

    async def accept(self) -> None:
        """Accept connections, if it does not already."""
        await self._there(self._listen())

    async def refuse(self) -> None:
        """Break every connection, and refuse new ones."""
        await self._there(self._refuse())

    async def cut(self, length: Callable[[], int]) -> int:
        """Break each connection after so many more bytes to the client; returns how many connections there are."""

        async def cut() -> int:
            for each in self._open:
                each.left = length()
            for each in [each for each in self._open if each.left == 0]:
                each.abort()
            return len(self._open)

        found: int = await self._there(cut())
        return found

    async def close(self) -> None:
        await self._there(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _there(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for each in tuple(self._open):
            each.abort()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except (OSError, TimeoutError):
            writer.transport.abort()
            self._serving.discard(task)
            return
        connection = _Connection(writer, to_server)
        self._open.add(connection)
        theirs, own = str(self.target).encode(), str(self.port).encode()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, to_server, connection, own, theirs, bounded=False))
                both.create_task(self._pump(from_server, writer, connection, theirs, own, bounded=True))
        finally:
            connection.abort()
            self._open.discard(connection)
            self._serving.discard(task)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: _Connection,
        former: bytes,
        later: bytes,
        *,
        bounded: bool,
    ) -> None:
        """Move what arrives until one side ends; then both do."""
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                for colon in (b":", b"%3A"):
                    chunk = chunk.replace(b"127.0.0.1" + colon + former, b"127.0.0.1" + colon + later)
                if bounded and connection.left is not None:
                    chunk, connection.left = chunk[: connection.left], connection.left - len(chunk[: connection.left])
                writer.write(chunk)
                await writer.drain()
                if bounded and connection.left == 0:
                    break
        # What was written still leaves; then the other direction ends too.
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()
        for each in connection.writers:
            each.close()
