"""One connection of a client: its requests, one after the other, and their answers."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Protocol, cast

from app.core.mcp.proxy.http.answer import CONTINUE, ClientAnswer
from app.core.mcp.proxy.http.heads import BadRequest, RequestHead
from app.core.mcp.proxy.http.incoming import RequestReader
from app.core.mcp.proxy.http.turns import Waiter
from app.core.mcp.proxy.http.wire import refusal
from app.core.mcp.proxy.parts import Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.mcp.proxy.http.heads import HeadReader
    from app.core.mcp.proxy.http.limits import Limits
    from app.core.mcp.proxy.http.wire import DateLine
    from app.core.mcp.proxy.parts import Responder

log = logging.getLogger(__name__)

# What a client may send ahead, and what may wait to be sent to it, in bytes.
AHEAD = 64 * 1024
WAITING = 128 * 1024
# When to look whether a client answered a probe with a reset, in seconds after it. On one machine it does so at once.
LOOKS = (0.001, 0.02, 0.2, 2.0)


class ConnectionOwner(Protocol):
    """What a connection asks of its server."""

    limits: Limits
    heads: HeadReader
    clock: DateLine
    handler: Callable[[Request, Responder], Awaitable[None]]
    loop: asyncio.AbstractEventLoop
    read_buffer: memoryview
    closing: bool
    """No answer that begins now is followed by another one on its connection."""
    ended: bool
    """No connection goes on after its answer."""

    def opened(self, connection: ClientConnection) -> None: ...

    def lost(self, connection: ClientConnection) -> None: ...

    def take_turn(self, connection: ClientConnection) -> bool:
        """Whether the connection's request may run now. If not, `run` is called when it may."""

    def hold(self, size: int) -> bool:
        """So many more bytes of bodies are kept, or fewer; whether that is within bounds."""

    def end_slow_bodies(self) -> None:
        """More is kept than may be: refuse the bodies that have taken the longest to come."""

    def give_turn(self) -> None:
        """A request that had its turn does not need it any more."""


class ClientConnection(asyncio.BufferedProtocol):
    """Reads requests and gives them to the handler. `deadline` is in the loop's time, None while nothing is due."""

    __slots__ = (
        "_answer",
        "_arrival",
        "_discarding",
        "_drained",
        "_ended",
        "_held",
        "_in_body",
        "_owner",
        "_paused",
        "_reader",
        "_request",
        "_resting",
        "_task",
        "_transport",
        "_turn",
        "deadline",
        "since",
    )

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self._reader = RequestReader(owner.heads)
        self._request: Request | None = None
        # Answers its requests, one after the other, from the first one on.
        self._task: asyncio.Task[None] | None = None
        # What the task waits for between two requests.
        self._arrival: Waiter | None = None
        self._answer: ClientAnswer | None = None
        self._drained: asyncio.Future[None] | None = None
        self._paused = False
        self._ended = False
        # Between two requests, before the first byte of the next.
        self._resting = False
        self._in_body = False
        # Bytes of its body, as far as its server knows.
        self._held = 0
        self._discarding = False
        # Since when its request is one of those that may run at once, in the loop's time; None for one that is none.
        self._turn: float | None = None
        self.deadline: float | None = None
        self.since = owner.loop.time()

    @property
    def last(self) -> bool:
        """Whether no request may follow the one that is answered."""
        return self._owner.closing

    @property
    def idle(self) -> bool:
        """Whether no request has come in whole."""
        return self._request is None and not self._discarding

    @property
    def body_due(self) -> float | None:
        """When the body that is coming has to be complete, in the loop's time; None where nothing of one is kept."""
        return self.deadline if self.idle and self._held else None

    @property
    def wants_turn(self) -> bool:
        """Whether a request of it has not run yet."""
        return self._request is not None and self._answer is None and not self._transport.is_closing()

    @property
    def unsent(self) -> int:
        """Bytes of an answer that the system has not taken yet."""
        return self._transport.get_write_buffer_size()

    # What asyncio says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(WAITING)
        # asyncio does it only for sockets that were made with a protocol number.
        raw = self._transport.get_extra_info("socket")
        if raw.family != getattr(socket, "AF_UNIX", None):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.deadline = self.since + self._owner.limits.head_seconds
        self._owner.opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._owner.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._discarding:
            return
        data = self._owner.read_buffer[:nbytes]
        if self._request is None:
            self._read(data)
            return
        self._reader.keep(data)
        if self._reader.ahead > AHEAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._ended = True
        if self._request is None or self._discarding:
            return False
        self._probe()
        return True

    def _probe(self) -> None:
        """Find out whether the client is gone, or only has nothing more to send and waits for its answer.

        Both look alike until something is sent: a client that is gone answers with a reset.
        """
        # Without an answer, the request waits for its turn.
        answer = self._answer or ClientAnswer(self, cast(RequestHead, self._reader.head))
        probe = answer.probe()
        if probe:
            self._transport.write(probe)
            self._look(0)

    def _look(self, number: int) -> None:
        if self._transport.is_closing() or self._request is None:
            return
        if self._transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            # No longer read, the transport would learn it from what is written next.
            self.abort()
        elif number < len(LOOKS):
            self._owner.loop.call_later(LOOKS[number], self._look, number + 1)

    def connection_lost(self, error: Exception | None) -> None:
        self.deadline = None
        self._ended = True
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(ConnectionResetError("the client is gone"))
            # Whoever waits is cancelled below.
            self._drained.exception()
        if self._task is not None and self._answer is not None and not self._answer.complete:
            self._task.cancel()
        # A task that is cancelled before its first step does nothing at all.
        self._give_turn()
        self._hold(0)
        self._owner.lost(self)
        self._wake_soon()

    def pause_writing(self) -> None:
        self._drained = self._owner.loop.create_future()
        self.deadline = self._owner.loop.time() + self._owner.limits.stalled_seconds

    def resume_writing(self) -> None:
        if self._answer is not None:
            self.deadline = None
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None

    # Reading a request.

    def _read(self, data: memoryview | bytes) -> None:
        reader = self._reader
        try:
            request = reader.take(data)
        except BadRequest as refused:
            self.refuse(refused.status, refused.text)
            return
        if request is not None:
            self._request = request
            if self._owner.take_turn(self):
                self._begin()
                # Last: it may be answered before this returns.
                arrival, self._arrival = self._arrival, None
                if arrival is not None:
                    arrival.wake()
            else:
                self.deadline = self._owner.loop.time() + self._owner.limits.queue_seconds
        elif reader.head is not None:
            if not self._in_body:
                self._in_body = True
                self.deadline = self._owner.loop.time() + self._owner.limits.body_seconds
                if reader.head.expects_continue and reader.lacks_body:
                    self._transport.write(CONTINUE)
            if not self._hold(reader.held):
                self._owner.end_slow_bodies()
        elif self._resting and reader.ahead:
            self._resting = False
            self.deadline = self._owner.loop.time() + self._owner.limits.head_seconds

    def _hold(self, size: int) -> bool:
        more, self._held = size - self._held, size
        return self._owner.hold(more)

    # Answering it.

    def run(self) -> None:
        """Give the request to the handler, in the loop's next turn."""
        self._begin()
        self._wake_soon()

    def _begin(self) -> None:
        self.deadline = None
        self._turn = self._owner.loop.time()
        self._answer = ClientAnswer(self, cast(RequestHead, self._reader.head))
        if self._task is None:
            self._task = self._owner.loop.create_task(self._serve())

    def _wake_soon(self) -> None:
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            arrival.wake_soon()

    async def _serve(self) -> None:
        """Answer one request after the other, until the connection closes."""
        while not self._transport.is_closing():
            if self._answer is None:
                self._arrival = Waiter(self._owner.loop)
                await self._arrival
                continue
            await self._handle(cast(Request, self._request), self._answer)
            if self._answer is not None:
                # The next one was sent ahead. It must not keep others waiting.
                await asyncio.sleep(0)

    async def _handle(self, request: Request, answer: ClientAnswer) -> None:
        try:
            await self._owner.handler(request, answer)
        except asyncio.CancelledError:
            self.abort()
        except ConnectionResetError:
            # The client is gone, or the handler wants it to see that its answer is not whole.
            answer.flush()
            self.abort()
        except Exception:
            # Not the request: it may hold a key.
            log.exception("A request was not answered")
            if answer.started:
                self.abort()
            else:
                self.refuse(500, "The proxy has a defect.")
        finally:
            self._give_turn()
            self._next(answer)

    def _give_turn(self) -> None:
        if self._turn is not None:
            self._turn = None
            self._owner.give_turn()

    def end_turn(self, before: float) -> None:
        """Let another request run if this one has run since before that time."""
        if self._turn is not None and self._turn < before:
            self._give_turn()

    def _next(self, answer: ClientAnswer) -> None:
        transport = self._transport
        if self._held:
            self._hold(0)
        self._answer = self._request = None
        if transport.is_closing() or self._discarding:
            return
        if not answer.complete:
            # Cut off, so that the client does not take what it got for all of it.
            log.error("A handler ended without the end of its answer")
            answer.flush()
            self.abort()
            return
        if not answer.keep_alive or self._owner.ended:
            self._finish()
            return
        self._resting, self._in_body = True, False
        self.since = self._owner.loop.time()
        self.deadline = self.since + self._owner.limits.idle_seconds
        self._reader.follow()
        if self._paused:
            self._paused = False
            transport.resume_reading()
        if self._reader.ahead:
            self._read(b"")
        if self._ended and self._request is None:
            self._finish()

    def _finish(self) -> None:
        """Close when all is sent, which is when the client has read it."""
        self.deadline = self._owner.loop.time() + self._owner.limits.stalled_seconds
        self._transport.close()

    def refuse(self, status: int, text: str) -> None:
        """Answer instead of the handler, and close."""
        if self._transport.is_closing() or self._discarding:
            return
        self.deadline = self._owner.loop.time() + self._owner.limits.linger_seconds
        self._request = None
        self._reader.follow()
        self._hold(0)
        self._transport.write(refusal(status, text, self._owner.clock.line()))
        # Closing with something unread would reset the connection before the client has read the answer.
        self._discarding = True
        if self._ended:
            self._transport.close()
            return
        self._transport.write_eof()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def overdue(self) -> None:
        """The deadline has passed."""
        if self._answer is not None or self._discarding or self._transport.is_closing():
            # It reads nothing of its answer.
            self.abort()
        elif self._request is not None:
            self.refuse(503, "Too many requests wait for an answer.")
        elif self._resting:
            self._finish()
        else:
            self.refuse(408, "The request took too long.")

    def abort(self) -> None:
        """Close at once, also what is not sent yet."""
        self._transport.abort()

    @property
    def between_requests(self) -> bool:
        """Whether nothing of a request has been read that is not answered yet."""
        return self._request is None and self._reader.head is None and not self._reader.ahead

    def number(self) -> int:
        """The number of its socket, -1 once that is closed."""
        return int(self._transport.get_extra_info("socket").fileno())

    def close_when_done(self) -> None:
        """Close now, or after the answer to the request that is being read or answered."""
        if self.between_requests:
            self._finish()

    def cancel(self) -> asyncio.Task[None] | None:
        """End what runs. Returns the task to wait for, None where nothing runs."""
        if self._task is None:
            self.abort()
        else:
            self._task.cancel()
        return self._task

    def begin(self, answer: ClientAnswer) -> None:
        """The head of an answer is there."""
        self._give_turn()
        if answer.streams:
            self._owner.loop.call_soon(answer.flush)

    def send(self, data: bytes) -> None:
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has read enough of what was sent. Raises `ConnectionResetError`."""
        if self._drained is not None:
            await self._drained
        elif self._transport.is_closing():
            raise ConnectionResetError("the client is gone")

    @property
    def date(self) -> bytes:
        return self._owner.clock.line()
