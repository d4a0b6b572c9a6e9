"""StreamableHttpTransport: MCP over Streamable HTTP, for all protocol revisions since 2025-03-26."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from app import __version__
from app.core.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from app.core.mcp.protocol.transport import OpenExchanges

CONNECT_SECONDS = 10.0
WRITE_SECONDS = 60.0


class StreamableHttpTransport:
    """`auth` is an `httpx2.Auth` or None. `headers` is called at each opening."""

    def __init__(self, url: str, auth: Any = None, headers: Callable[[], Mapping[str, str]] = dict) -> None:
        self.url = url
        self._auth = auth
        self.headers = headers

    @property
    def address(self) -> str:
        """The server's origin."""
        return origin_of(self.url)

    @asynccontextmanager
    async def connect(self, exchanges: OpenExchanges) -> AsyncIterator[tuple[Any, Any]]:
        """See `Transport.connect`."""
        from mcp.client.streamable_http import streamable_http_client

        from app.core.mcp.protocol.http_client import RecordingHttpClient
        from app.core.mcp.protocol.legacy_listen import LegacyListenStream

        listening = exchanges.listening
        legacy_listen = None if listening is None else LegacyListenStream(listening)
        async with AsyncExitStack() as stack:
            client = RecordingHttpClient(exchanges.by_id, legacy_listen, **await self.options())
            await stack.enter_async_context(client)
            # The SDK's limit for an event would end the session for all. The client limits each response by itself.
            streams = streamable_http_client(self.url, http_client=client, max_sse_event_size=None)
            yield await stack.enter_async_context(streams)

    async def options(self) -> dict[str, Any]:
        """The arguments for the HTTP client of one session."""
        import httpx2

        from app.core.auth.http.transport import NetTransport

        return {
            "auth": self._auth,
            "headers": {"User-Agent": f"burrow/{__version__}", "Accept-Encoding": "identity", **self.headers()},
            # No read timeout: a call may take long, and `RunningCall` watches it.
            "timeout": httpx2.Timeout(None, connect=CONNECT_SECONDS, write=WRITE_SECONDS),
            # In a thread: the certificates take a while, the first time.
            "transport": await asyncio.to_thread(NetTransport, httpx2),
            "trust_env": False,
        }
