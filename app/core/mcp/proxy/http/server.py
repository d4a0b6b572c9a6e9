"""LoopbackServer: accepts connections and keeps the limits that concern all of them."""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING

from app.core.mcp.proxy.http.connection import ClientConnection
from app.core.mcp.proxy.http.heads import HeadReader
from app.core.mcp.proxy.http.limits import Limits
from app.core.mcp.proxy.http.wire import DateLine

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Iterable

    from app.core.mcp.proxy.parts import Request, Responder

BACKLOG = 512
READ = 256 * 1024
# How long the end of an answer that was cancelled may take to be sent.
LAST_WORDS_SECONDS = 0.2


class LoopbackServer:
    """Serves with `handler` what comes in on its sockets."""

    def __init__(self, handler: Callable[[Request, Responder], Awaitable[None]], limits: Limits | None = None) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self.heads = HeadReader(self.limits)
        self.clock = DateLine()
        self.closing = False
        self.ended = False
        # Of all connections: what is in it is taken out before another one reads.
        self.read_buffer = memoryview(bytearray(READ))
        self.loop: asyncio.AbstractEventLoop
        self._servers: list[asyncio.Server] = []
        # By when it was opened, the oldest first.
        self._connections: dict[ClientConnection, None] = {}
        self._empty = asyncio.Event()
        self._running = 0
        self._held = 0
        self._queue: deque[ClientConnection] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        limited = (
            self.limits.head_seconds,
            self.limits.body_seconds,
            self.limits.idle_seconds,
            self.limits.turn_seconds,
        )
        self._sweep_seconds = min(0.5, *(seconds / 4 for seconds in limited))

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    @property
    def running(self) -> int:
        """How many requests wait for the head of their answer, and have not done so for long."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return sum(connection.wants_turn for connection in self._queue)

    @property
    def held(self) -> int:
        """How many bytes of bodies are kept that came in more than one piece."""
        return self._held

    @property
    def buffered(self) -> int:
        """How many bytes of answers wait to be sent, beyond what the system has taken."""
        return sum(connection.unsent for connection in self._connections)

    async def listen(self, sockets: Iterable[socket.socket]) -> None:
        """Accept on bound sockets, which are this server's from now on."""
        self.loop = asyncio.get_running_loop()
        for each in sockets:
            each.setblocking(False)
            server = await self.loop.create_server(lambda: ClientConnection(self), sock=each, backlog=BACKLOG)
            self._servers.append(server)

    async def close(self, grace: float = 0.0, linger: float = 0.0) -> None:
        """Accept no more and close. Requests that run have `grace` seconds to end.

        What arrives within `linger` seconds on a connection that is open is answered: its client cannot know that it is
        to be closed. Each answer that begins from now on says so.
        """
        self.closing = True
        servers, self._servers = self._servers, []
        for server in servers:
            self._accept_no_more(server)
        # Connections that were accepted count too. asyncio makes their transport in the first of these turns, unless
        # the server is closed by then: it would drop them. They are known in the second.
        for _turn in range(2):
            await asyncio.sleep(0)
        for server in servers:
            # Whoever gave the socket may have closed it, when listening was cut off.
            with suppress(ValueError):
                server.close()
        if linger:
            await self._all_closed(linger)
        self.ended = True
        sent_to = self._sent_to()
        for connection in list(self._connections):
            if connection not in sent_to:
                connection.close_when_done()
        await self._all_closed(grace)
        # A handler may still say that its answer will not come.
        tasks = [task for connection in list(self._connections) if (task := connection.cancel()) is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_WORDS_SECONDS)
            await self._all_closed(LAST_WORDS_SECONDS)
        for connection in list(self._connections):
            connection.abort()
        if tasks:
            await asyncio.wait(tasks)
        if self._connections:
            await self._empty.wait()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _accept_no_more(self, server: asyncio.Server) -> None:
        for each in server.sockets:
            # The loop of Windows that has no readers accepts in another way; a closed socket has no number.
            with suppress(NotImplementedError, ValueError):
                self.loop.remove_reader(each.fileno())

    async def _all_closed(self, seconds: float) -> None:
        """Wait until no connection is open, so long at most."""
        if self._connections:
            self._empty.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._empty.wait()

    def _sent_to(self) -> set[ClientConnection]:
        """The connections on which something has arrived that was not read yet.

        A busy loop comes late to them. Closing one would reset it, and its client could not know whether its request
        ran.
        """
        with selectors.DefaultSelector() as selector:
            for connection in self._connections:
                if connection.between_requests and connection.number() >= 0:
                    selector.register(connection.number(), selectors.EVENT_READ, connection)
            # An empty one raises on Windows.
            ready = selector.select(0) if selector.get_map() else []
        return {key.data for key, _events in ready}

    # What a connection asks.

    def opened(self, connection: ClientConnection) -> None:
        self._connections[connection] = None
        if self._sweep is None:
            self._sweep = self.loop.call_later(self._sweep_seconds, self._end_overdue)
        if self.ended:
            connection.abort()
        elif len(self._connections) > self.limits.connections:
            self._make_room(connection)

    def lost(self, connection: ClientConnection) -> None:
        self._connections.pop(connection, None)
        if not self._connections:
            self._empty.set()

    def take_turn(self, connection: ClientConnection) -> bool:
        if self._running < self.limits.requests:
            self._running += 1
            return True
        self._queue.append(connection)
        return False

    def hold(self, size: int) -> bool:
        self._held += size
        return self._held <= self.limits.bodies_bytes

    def end_slow_bodies(self) -> None:
        # Not the newest: whoever never ends what he sends must not keep the others out.
        coming = [each for each in self._connections if each.body_due is not None]
        for each in sorted(coming, key=attrgetter("body_due")):
            if self._held <= self.limits.bodies_bytes:
                return
            each.refuse(503, "Too many long requests at once.")

    def give_turn(self) -> None:
        while self._queue:
            connection = self._queue.popleft()
            if connection.wants_turn:
                connection.run()
                return
        self._running -= 1

    def _make_room(self, newest: ClientConnection) -> None:
        waiting = [each for each in self._connections if each.idle and each is not newest]
        if waiting:
            min(waiting, key=lambda each: each.since).abort()
        else:
            newest.refuse(503, "Too many connections.")

    def _end_overdue(self) -> None:
        now = self.loop.time()
        for connection in list(self._connections):
            connection.end_turn(now - self.limits.turn_seconds)
            if connection.deadline is not None and connection.deadline < now:
                connection.overdue()
        self._sweep = None
        if self._connections:
            self._sweep = self.loop.call_later(self._sweep_seconds, self._end_overdue)
