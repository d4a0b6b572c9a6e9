"""ClientAnswer: the answer to one request as it goes out, RFC 9112 sections 6 and 7."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from app.core.mcp.proxy.http.wire import WITHOUT_BODY, header_lines, status_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.mcp.proxy.http.heads import RequestHead

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# So much of an answer may wait for what follows, in bytes.
SHORT = 16 * 1024


class AnswerSink(Protocol):
    """Where an answer goes to."""

    @property
    def date(self) -> bytes:
        """The line of the header `date`."""

    @property
    def last(self) -> bool:
        """Whether the connection is closed after this answer, whatever the client asked for."""

    def begin(self, answer: ClientAnswer) -> None:
        """The answer has a head. If it streams, `answer.flush` is to be called in the loop's next turn."""

    def send(self, data: bytes) -> None: ...

    async def drain(self) -> None:
        """Wait until the client has read enough of what was sent. Raises `ConnectionResetError`."""


class ClientAnswer:
    """The `Responder` of one request."""

    __slots__ = ("_bare", "_chunked", "_left", "_sink", "_unsent", "complete", "keep_alive", "modern", "started")

    def __init__(self, sink: AnswerSink, head: RequestHead) -> None:
        self._sink = sink
        self._bare = head.method == "HEAD"
        self._chunked = False
        self._left: int | None = None
        self._unsent = b""
        self.modern = head.modern
        self.keep_alive = head.keep_alive
        self.started = False
        self.complete = False

    def start(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], *, length: int | None = None, last: bool = False
    ) -> None:
        """Send the head. Raises `ValueError` for headers that are none.

        The head of an answer with a length goes out together with the beginning of its body.
        """
        if self.started:
            raise RuntimeError("the head is sent already")
        lines = header_lines(headers)
        date = b"" if lines.startswith(b"date: ") or b"\r\ndate: " in lines else self._sink.date
        framing = b""
        if status in WITHOUT_BODY:
            self._bare = True
        elif length is not None:
            framing = b"content-length: %d\r\n" % length
            self._left = length
        elif self.modern:
            framing = b"transfer-encoding: chunked\r\n"
            self._chunked = True
        else:
            # RFC 9112 section 6.3 item 8: the body ends with the connection.
            self.keep_alive = False
        if last or self._sink.last:
            self.keep_alive = False
        if not self.keep_alive:
            framing += b"connection: close\r\n"
        elif not self.modern:
            framing += b"connection: keep-alive\r\n"
        self._unsent = b"%b%b%b%b\r\n" % (status_line(status), lines, date, framing)
        self.started = True
        self._sink.begin(self)

    @property
    def streams(self) -> bool:
        """Whether the client waits for the head although the body may come much later."""
        return self._left is None

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
            data = self._unsent + data
            if self._chunked and len(data) < SHORT:
                # The end is likely to follow in this turn of the loop; if not, `flush` comes in the next.
                self._unsent = data
                return
            self._unsent = b""
        self._sink.send(data)
        await self._sink.drain()

    def end(self) -> None:
        """The body is complete."""
        if self.complete:
            return
        if self._left and not self._bare:
            raise RuntimeError("less of the body than its length")
        if self._chunked and not self._bare:
            self._sink.send(self._unsent + b"0\r\n\r\n")
            self._unsent = b""
        else:
            self.flush()
        self.complete = True

    def flush(self) -> None:
        """Send what waits for more to go with it."""
        if self._unsent:
            data, self._unsent = self._unsent, b""
            self._sink.send(data)

    def probe(self) -> bytes:
        """What may be sent now and means nothing; empty where there is no such thing."""
        if not self.started:
            # RFC 9110 section 15.2: any number of interim answers, also to a client that expects none.
            return CONTINUE if self.modern else b""
        self.flush()
        # RFC 9112 section 7.1: the size of the next chunk may begin with zeros.
        return b"0" if self._chunked and not self._bare and not self.complete else b""
