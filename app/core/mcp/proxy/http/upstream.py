"""One connection to a server, and the answer that comes over it."""

from __future__ import annotations

import asyncio
import select
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, cast

import httptools

from app.core.mcp.proxy.http.turns import Waiter
from app.core.mcp.proxy.parts import SendFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.mcp.proxy.parts import Headers

LONGEST_HEAD = 64 * 1024
# Of a body that is not read yet, in bytes: reading stops above it.
MOST_WAITING = 256 * 1024
WITHOUT_BODY = frozenset({204, 304})
FRAMED_BY = frozenset({b"content-length", b"transfer-encoding"})


class UpstreamConnection(asyncio.BufferedProtocol):
    """Sends one request after the other and reads their answers."""

    def __init__(self, released: Callable[[UpstreamConnection], None], read_buffer: memoryview) -> None:
        self._read_buffer = read_buffer
        self._released = released
        self.loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._answer: UpstreamAnswer | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._framing: dict[bytes, bytes] = {}
        # Bytes of heads, trailers and the like, since anything of a body came.
        self._beside = 0
        self._bodiless = False
        self._poll: select.poll | None = None
        self._transport: asyncio.Transport
        # `open`: another request can be sent, as far as is known.
        self.open = self.lost = False
        self.idle_since = 0.0

    # What asyncio says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        answer = self._answer
        if answer is None:
            # Nobody asked. Whatever this is, it is no answer to the next request.
            self.abort()
            return
        self._beside += nbytes
        try:
            self._parser.feed_data(self._read_buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("the server's answer is not one that HTTP/1.1 allows")
            return
        if not answer.complete:
            if self._beside > LONGEST_HEAD:
                self._fail(f"the server sent more than {LONGEST_HEAD} bytes of headers")
                return
            if answer.waiting > MOST_WAITING:
                answer.pause(self._transport)
        # Last, and never while the parser works: whoever waits goes on in here.
        answer.wake()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.open, self.lost = False, True
        answer, self._answer = self._answer, None
        self._released(self)
        if answer is not None:
            if error is None and answer.status and answer.until_close:
                answer.finish()
            else:
                answer.fail("the server closed the connection before its answer was complete")
            answer.wake()

    # What llhttp says.

    def on_message_begin(self) -> None:
        if self._answer is None:
            # It follows an answer that is complete.
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the headers, these are trailers.
        answer = self._answer
        if answer is not None and not answer.status:
            name, value = name.lower(), value.strip(b" \t")
            self._headers.append((name, value))
            if name in FRAMED_BY:
                self._framing[name] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        headers, self._headers = self._headers, []
        framing, self._framing = self._framing, {}
        answer = self._answer
        if answer is None or status < 200:
            # RFC 9110 section 15.2: interim answers may come before any answer.
            return
        if framing and framing.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            raise ValueError("a transfer coding that is not known")
        if self._beside > LONGEST_HEAD and sum(map(len, chain.from_iterable(headers))) > LONGEST_HEAD:
            raise ValueError("a long head")
        answer.until_close = not framing and status not in WITHOUT_BODY
        answer.status, answer.headers = status, tuple(headers)
        if self._bodiless:
            self._finish()

    def on_body(self, data: bytes) -> None:
        self._beside = 0
        if self._answer is not None:
            self._answer.add(data)

    def on_message_complete(self) -> None:
        if self._answer is not None and self._answer.status:
            self._finish()

    # What the sender says.

    def usable(self) -> bool:
        """Whether another request can be sent: the server has neither closed the connection nor sent anything."""
        # The loop may not have told it yet, after a sleep of the machine or when it was busy.
        if not self.open or self._transport.is_closing():
            return False
        if self._poll is None:
            descriptor = self._transport.get_extra_info("socket").fileno()
            if not hasattr(select, "poll"):
                return not select.select([descriptor], [], [], 0)[0]
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLIN)
        return not self._poll.poll(0)

    async def ask(self, request: bytes, *, bodiless: bool) -> UpstreamAnswer:
        """Send a request and wait for the head of its answer. Raises `SendFailure`."""
        self._answer = answer = UpstreamAnswer(self)
        self._bodiless = bodiless
        self._beside = 0
        # All of it: the body is in memory anyway, and a server may answer before it has read it.
        self._transport.write(request)
        try:
            while not answer.status:
                await answer.more()
        except asyncio.CancelledError:
            self.abort()
            raise
        return answer

    def give_up(self, answer: UpstreamAnswer) -> None:
        """Nobody reads the rest of an answer."""
        if self._answer is answer:
            self._answer = None
            self.abort()

    def resume(self) -> None:
        if self.open:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close without waiting for anything."""
        self.open = False
        self._transport.abort()

    def close(self) -> None:
        """Close a connection that nobody uses."""
        self.open = False
        self._transport.close()

    def _fail(self, reason: str) -> None:
        answer, self._answer = self._answer, None
        self.abort()
        if answer is not None:
            answer.fail(reason)
            answer.wake()

    def _finish(self) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        again = self._parser.should_keep_alive() and not self._bodiless and not answer.until_close
        # What is still being sent belongs to a request that was answered before it was read.
        if not again or self._transport.get_write_buffer_size():
            self.close()
        answer.finish()
        self._released(self)


class UpstreamAnswer:
    """The `UpstreamResponse` of one request."""

    __slots__ = (
        "_connection",
        "_failure",
        "_paused",
        "_pieces",
        "_waiter",
        "complete",
        "headers",
        "status",
        "until_close",
        "waiting",
    )

    def __init__(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        self._pieces: deque[bytes] = deque()
        self._waiter: Waiter | None = None
        self._failure: str | None = None
        self.complete = False
        self._paused = False
        self.until_close = False
        self.waiting = 0
        # 0 until its head has come.
        self.status = 0
        self.headers: Headers = ()

    def more(self) -> Waiter:
        """To be awaited by the one who reads, until anything more of the answer has come. Raises `SendFailure`."""
        if self._failure is not None:
            raise SendFailure(self._failure, sent=True)
        self._waiter = Waiter(self._connection.loop)
        return self._waiter

    async def read(self) -> bytes:
        """The next bytes of the body, empty at its end. Raises `SendFailure`."""
        pieces = self._pieces
        while not pieces:
            if self.complete:
                return b""
            await self.more()
        data = pieces.popleft() if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.waiting = 0
        if self._paused:
            self._paused = False
            self._connection.resume()
        return data

    def close(self) -> None:
        """Not read any further."""
        if not self.complete and self._failure is None:
            self._failure = "the answer was not read to its end"
            self._connection.give_up(self)
        self._pieces.clear()

    # What the connection says.

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        self.waiting += len(data)

    def pause(self, transport: asyncio.Transport) -> None:
        if not self._paused:
            self._paused = True
            transport.pause_reading()

    def finish(self) -> None:
        """All of it is there."""
        self.complete = True
        # Reading the next answer must not wait for this one.
        if self._paused:
            self._paused = False
            self._connection.resume()

    def fail(self, reason: str) -> None:
        """It will not be whole."""
        self._failure = reason

    def wake(self) -> None:
        """Whoever waits goes on, before this returns."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.wake()
