"""SseTransport: the HTTP+SSE transport of MCP 2024-11-05, for servers that never learnt another one."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from app.core.mcp.protocol.exchange import SessionRefused
from app.core.mcp.protocol.http_transport import StreamableHttpTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.core.mcp.protocol.exchange import Exchange
    from app.core.mcp.protocol.transport import OpenExchanges


class SseTransport(StreamableHttpTransport):
    """One GET stays open for everything that the server says; each message of ours is a POST that is answered there.

    A POST that is refused has no answer on the stream. The request is answered in the server's place then, so that
    nobody waits for what never comes.
    """

    @asynccontextmanager
    async def connect(self, exchanges: OpenExchanges) -> AsyncIterator[tuple[Any, Any]]:
        """See `Transport.connect`. Raises `SessionRefused` when the stream is refused."""
        import httpx2
        from mcp.client.sse import sse_client

        from app.core.mcp.protocol.message_tap import tapped
        from app.core.mcp.protocol.sse_http_client import SseHttpClient

        client = SseHttpClient(exchanges.by_id, **await self.options())

        def of_ours(*_arguments: Any, **_options: Any) -> httpx2.AsyncClient:
            return client

        async with AsyncExitStack() as stack:
            try:
                read, write = await stack.enter_async_context(sse_client(self.url, httpx_client_factory=of_ours))
            except (httpx2.HTTPStatusError, httpx2.HTTPError) as failure:
                raise SessionRefused(client.opening) from failure

            def ended() -> None:
                for exchange in exchanges.by_id.values():
                    exchange.limit = client.opening.limit

            tap = await stack.enter_async_context(tapped(read, exchanges, ended))

            async def refused(exchange: Exchange) -> None:
                await tap.refuse(exchange.id, f"HTTP status {exchange.status}")

            client.refused = refused
            yield tap.receive, write
