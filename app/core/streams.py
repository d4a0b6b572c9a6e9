"""AnswerStream: an answer that is read while it comes, and the server-sent events in it.

Healing is over before the first byte: a refused token is refreshed and the request sent again while nothing of an
answer has been read. A stream that breaks later is not opened again here. The caller knows where it was, and asks for
the rest (`Last-Event-ID`, HTML Standard, "Server-sent events").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.auth.http.clients import transport_error
from app.core.errors import Facts, ProtocolTrouble
from app.core.wire_text import without_byte_order_mark

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import httpx
    from httpx_sse import ServerSentEvent

EVENT_LIMIT = 16 * 1024 * 1024
EVENT_STREAM = "text/event-stream"


class AnswerStream:
    """A successful answer whose body is still coming. Header names are case-insensitive.

    `size` counts the bytes read so far, after decoding.
    """

    def __init__(self, response: httpx.Response, origin: str) -> None:
        self._response = response
        self.origin = origin
        self.size = 0

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """The decoded body as it comes, without a bound on all of it.

        Raises `TimedOut` when nothing came for the time that the stream may be silent, `ServerTrouble` when it broke.
        """
        import httpx

        try:
            async for chunk in self._response.aiter_bytes():
                self.size += len(chunk)
                yield chunk
        except httpx.HTTPError as failure:
            raise transport_error(failure, origin=self.origin) from None

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        """The events of the body. Raises what `chunks` raises.

        And `ProtocolTrouble` for an answer that is no event stream, and for an event of more than 16 MB.
        """
        import httpx
        from httpx_sse import EventSource

        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != EVENT_STREAM:
            words = f"{self.origin} answered with {kind or 'something unnamed'} instead of a stream of events."
            raise ProtocolTrouble(words, Facts(status=self.status, origin=self.origin))
        decoded = httpx.Response(200, headers={"content-type": EVENT_STREAM}, content=self._bounded())
        async for event in EventSource(decoded).aiter_sse():
            yield event

    async def _bounded(self) -> AsyncIterator[bytes]:
        """The body, of which no event may be longer than the limit."""
        waiting = 0
        async for chunk in without_byte_order_mark(self.chunks()):
            end = max(chunk.rfind(b"\n\n"), chunk.rfind(b"\r\n\r\n"), chunk.rfind(b"\r\r"))
            waiting = waiting + len(chunk) if end < 0 else len(chunk) - end
            if waiting > EVENT_LIMIT:
                facts = Facts(status=self.status, code="too-large", origin=self.origin)
                raise ProtocolTrouble(f"{self.origin} sent an event of more than {EVENT_LIMIT // 2**20} MB.", facts)
            yield chunk
