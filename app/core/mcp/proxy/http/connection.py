"""One connection of a client: its requests, one after the other, and their answers."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Protocol, cast

from app.core.mcp.proxy.http.chunks import ChunkedBody
from app.core.mcp.proxy.http.heads import END, BadRequest, RequestHead, check_start, read_head
from app.core.mcp.proxy.http.wire import WITHOUT_BODY, header_lines, refusal, status_line
from app.core.mcp.proxy.parts import Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from app.core.mcp.proxy.http.limits import Limits
    from app.core.mcp.proxy.http.wire import DateLine
    from app.core.mcp.proxy.parts import Responder

log = logging.getLogger(__name__)

# What a client may send ahead, and what may wait to be sent to it, in bytes.
AHEAD = 64 * 1024
WAITING = 128 * 1024
# So much of an answer waits for the end of the loop's turn, to go out together with what follows.
SHORT = 16 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# When to look whether a client answered a probe with a reset, in seconds after it. On one machine it does so at once.
LOOKS = (0.001, 0.02, 0.2, 2.0)


class ConnectionOwner(Protocol):
    """What a connection asks of its server."""

    limits: Limits
    clock: DateLine
    handler: Callable[[Request, Responder], Awaitable[None]]
    loop: asyncio.AbstractEventLoop
    read_buffer: memoryview
    closing: bool

    def opened(self, connection: ClientConnection) -> None: ...

    def lost(self, connection: ClientConnection) -> None: ...

    def take_turn(self, connection: ClientConnection) -> bool:
        """Whether the connection's request may run now. If not, `run` is called when it may."""

    def give_turn(self) -> None:
        """A request that had its turn does not need it any more."""


class ClientConnection(asyncio.BufferedProtocol):
    """Reads requests and gives them to the handler. `deadline` is in the loop's time, None while nothing is due."""

    __slots__ = (
        "_answer",
        "_buffer",
        "_chunks",
        "_discarding",
        "_drained",
        "_ended",
        "_head",
        "_owner",
        "_paused",
        "_request",
        "_served",
        "_task",
        "_transport",
        "deadline",
        "since",
    )

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self._buffer = bytearray()
        self._head: RequestHead | None = None
        self._chunks: ChunkedBody | None = None
        self._request: Request | None = None
        self._task: asyncio.Task[None] | None = None
        self._answer: ClientAnswer | None = None
        self._drained: asyncio.Future[None] | None = None
        self._paused = False
        self._ended = False
        self._served = False
        self._discarding = False
        self.deadline: float | None = None
        self.since = owner.loop.time()

    @property
    def idle(self) -> bool:
        """Whether no request has come in whole."""
        return self._request is None and not self._discarding

    @property
    def wants_turn(self) -> bool:
        """Whether a request of it has not run yet."""
        return self._request is not None and self._task is None and not self._transport.is_closing()

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
        self._buffer += self._owner.read_buffer[:nbytes]
        if self._request is None:
            self._read()
        elif len(self._buffer) > AHEAD and not self._paused:
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
        answer = self._answer or ClientAnswer(self, cast(RequestHead, self._head))
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
        self._owner.lost(self)

    def pause_writing(self) -> None:
        self._drained = self._owner.loop.create_future()
        self.deadline = self._owner.loop.time() + self._owner.limits.stalled_seconds

    def resume_writing(self) -> None:
        if self._task is not None:
            self.deadline = None
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None

    # Reading a request.

    def _read(self) -> None:
        try:
            if self._head is None and not self._read_head():
                return
            body = self._read_body()
        except BadRequest as refused:
            self.refuse(refused.status, refused.text)
            return
        if body is None:
            return
        head = cast(RequestHead, self._head)
        self.deadline = None
        self._request = Request(head.method, head.path, head.query, head.headers, body)
        if self._owner.take_turn(self):
            self.run()
        else:
            self.deadline = self._owner.loop.time() + self._owner.limits.queue_seconds

    def _read_head(self) -> bool:
        owner, buffer = self._owner, self._buffer
        if self._served:
            # RFC 9112 section 2.2: an empty line before a request is no part of it.
            if buffer.startswith(b"\r\n"):
                del buffer[:2]
            if not buffer:
                return False
            self._served = False
            self.deadline = owner.loop.time() + owner.limits.head_seconds
        end = buffer.find(END, 0, owner.limits.head_bytes)
        if end < 0:
            check_start(buffer, owner.limits)
            return False
        end += len(END)
        self._head = head = read_head(bytes(buffer[:end]), owner.limits)
        del buffer[:end]
        if head.length is None:
            self._chunks = ChunkedBody(owner.limits)
        elif head.length > owner.limits.body_bytes:
            raise BadRequest(413, f"The body is longer than {owner.limits.body_bytes} bytes.")
        if head.length != 0:
            self.deadline = owner.loop.time() + owner.limits.body_seconds
            if head.expects_continue and not buffer:
                self._transport.write(CONTINUE)
        return True

    def _read_body(self) -> bytes | None:
        if self._chunks is not None:
            return bytes(self._chunks.body) if self._chunks.take(self._buffer) else None
        length = cast(int, cast(RequestHead, self._head).length)
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    # Answering it.

    def run(self) -> None:
        """Give the request to the handler."""
        self.deadline = None
        self._answer = answer = ClientAnswer(self, cast(RequestHead, self._head))
        self._task = self._owner.loop.create_task(self._handle(cast(Request, self._request), answer))

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
            if not answer.started:
                self._owner.give_turn()
            self._next(answer)

    def _next(self, answer: ClientAnswer) -> None:
        transport = self._transport
        self._task = self._answer = self._request = self._head = self._chunks = None
        if transport.is_closing() or self._discarding:
            return
        if not answer.complete:
            # Cut off, so that the client does not take what it got for all of it.
            log.error("A handler ended without the end of its answer")
            answer.flush()
            self.abort()
            return
        self._served = True
        now = self.since = self._owner.loop.time()
        if not answer.keep_alive or self._owner.closing:
            self._finish()
            return
        self.deadline = now + self._owner.limits.idle_seconds
        if self._paused:
            self._paused = False
            transport.resume_reading()
        if self._buffer:
            self._read()
        if self._ended and self._request is None:
            self._finish()

    def _finish(self) -> None:
        """Close when all is sent, which is when the client has read it."""
        self.deadline = self._owner.loop.time() + self._owner.limits.linger_seconds
        self._transport.close()

    def refuse(self, status: int, text: str) -> None:
        """Answer instead of the handler, and close."""
        if self._transport.is_closing() or self._discarding:
            return
        self.deadline = self._owner.loop.time() + self._owner.limits.linger_seconds
        self._request = None
        self._buffer.clear()
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
        if self._task is not None or self._discarding or self._transport.is_closing():
            # It reads nothing of its answer.
            self.abort()
        elif self._request is not None:
            self.refuse(503, "Too many requests wait for an answer.")
        elif self._served and not self._buffer:
            self._finish()
        else:
            self.refuse(408, "The request took too long.")

    def abort(self) -> None:
        """Close at once, also what is not sent yet."""
        self._transport.abort()

    def close_when_done(self) -> None:
        """Close now, or after the answer that is being given."""
        if self._request is None:
            self._finish()

    def cancel(self) -> asyncio.Task[None] | None:
        """End what runs. Returns the task to wait for."""
        if self._task is not None:
            self._task.cancel()
        self.abort()
        return self._task

    def begin(self, answer: ClientAnswer) -> None:
        """The head of an answer is there."""
        self._owner.give_turn()
        # What the handler writes in this turn of the loop goes out with it, in one packet.
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


class ClientAnswer:
    """The `Responder` of one request."""

    __slots__ = ("_bare", "_chunked", "_connection", "_left", "_unsent", "complete", "keep_alive", "modern", "started")

    def __init__(self, connection: ClientConnection, head: RequestHead) -> None:
        self._connection = connection
        self._bare = head.method == "HEAD"
        self.modern = head.modern
        self.keep_alive = head.keep_alive
        self._chunked = False
        self._left: int | None = None
        self._unsent = b""
        self.started = False
        self.complete = False

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]], *, length: int | None = None) -> None:
        """Send the head. Raises `ValueError` for headers that are none."""
        if self.started:
            raise RuntimeError("the head is sent already")
        headers = list(headers)
        parts = [status_line(status), header_lines(headers)]
        if not any(name == b"date" for name, _ in headers):
            parts.append(self._connection.date)
        if status in WITHOUT_BODY:
            self._bare = True
        elif length is not None:
            parts.append(b"content-length: %d\r\n" % length)
            self._left = length
        elif self.modern:
            parts.append(b"transfer-encoding: chunked\r\n")
            self._chunked = True
        else:
            # RFC 9112 section 6.3 item 8: the body ends with the connection.
            self.keep_alive = False
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        elif not self.modern:
            parts.append(b"connection: keep-alive\r\n")
        parts.append(b"\r\n")
        self.started = True
        self._unsent = b"".join(parts)
        self._connection.begin(self)

    def flush(self) -> None:
        """Send what waits for more to go with it."""
        if self._unsent:
            data, self._unsent = self._unsent, b""
            self._connection.send(data)

    async def write(self, data: bytes) -> None:
        """Send a part of the body. Raises `ConnectionResetError`."""
        if not data or self._bare:
            return
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        elif self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise RuntimeError("more of the body than its length")
        if self._unsent:
            data, self._unsent = self._unsent + data, b""
            if self._left == 0 or len(data) < SHORT:
                # The end is likely to follow at once.
                self._unsent = data
                return
        self._connection.send(data)
        await self._connection.drain()

    def probe(self) -> bytes:
        """What may be sent now and means nothing; empty where there is no such thing."""
        if not self.started:
            # RFC 9110 section 15.2: any number of interim answers, also to a client that expects none.
            return CONTINUE if self.modern else b""
        # RFC 9112 section 7.1: the size of the next chunk may begin with zeros.
        self.flush()
        return b"0" if self._chunked and not self._bare and not self.complete else b""

    def end(self) -> None:
        """The body is complete."""
        if self.complete:
            return
        if self._left and not self._bare:
            raise RuntimeError("less of the body than its length")
        if self._chunked and not self._bare:
            self._connection.send(self._unsent + b"0\r\n\r\n")
            self._unsent = b""
        else:
            self.flush()
        self.complete = True
