"""The stream of a server that speaks HTTP+SSE (MCP 2024-11-05): opened with its token, and its first event."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin

from app.core.errors import Rejected
from app.core.mcp.proxy.bridge.replies import unavailable
from app.core.mcp.proxy.healing import Outgoing
from app.core.mcp.proxy.masking import TokenMask
from app.core.mcp.proxy.parts import SendFailure
from app.core.mcp.proxy.refusals import RequestRefused
from app.core.mcp.proxy.streams import EventSplitter, OversizedEvent, data_of, name_of
from app.core.urls import is_confidential, origin_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from app.core.mcp.proxy.answers import ServerAnswer
    from app.core.mcp.proxy.healing import Healing
    from app.core.mcp.proxy.parts import Headers
    from app.core.mcp.proxy.routes import ServerRoute

ACCEPT: Headers = ((b"accept", b"text/event-stream"), (b"cache-control", b"no-store"))


class SseStream:
    """The stream that was opened. Every message of the server comes on it."""

    def __init__(self, route: ServerRoute, answer: ServerAnswer) -> None:
        self._route = route
        self._answer = answer
        self._mask = TokenMask()
        self.know(answer)

    def know(self, answer: ServerAnswer) -> None:
        """Mask the token that a request carried, should the server quote it."""
        if answer.tokens is not None:
            self._mask.add(answer.tokens.access_token)

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Its events, each with the blank line that ends it. Raises `SendFailure`."""
        splitter = EventSplitter()
        while data := await self._answer.next():
            try:
                events = splitter.feed(data)
            except OversizedEvent:
                raise SendFailure("an event is too long", sent=True) from None
            for event in events:
                yield self._mask.whole(event)

    def endpoint(self, event: bytes) -> str | None:
        """The address for messages that an event names; None for any other event.

        Raises `RequestRefused` for one on another origin: no token may go there.
        """
        if name_of(event) != b"endpoint":
            return None
        url = urljoin(self._route.upstream.url, data_of(event).decode("utf-8", "replace").strip())
        try:
            right = origin_of(url) == self._route.origin and "@" not in url.split("/", 3)[2]
        except (Rejected, ValueError, IndexError):
            right = False
        if not right or (self._route.confidential and not is_confidential(url)):
            words = "it names an address of another origin for messages."
            raise RequestRefused(unavailable(self._route.upstream, words, sent=False))
        return url

    def close(self) -> None:
        """Not read any further."""
        self._answer.close()


async def open_stream(healing: Healing, route: ServerRoute, headers: Headers = ACCEPT) -> SseStream:
    """Open the stream of a server. Raises `RequestRefused`."""
    answer = await healing.ask(Outgoing(route, "GET", headers))
    if not answer.is_stream:
        answer.close()
        words = f"it answered {answer.status} where its event stream should be."
        raise RequestRefused(unavailable(route.upstream, words, sent=False))
    return SseStream(route, answer)
