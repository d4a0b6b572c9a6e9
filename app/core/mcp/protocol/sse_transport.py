"""SseTransport: the HTTP+SSE transport of MCP 2024-11-05, for servers that support no newer one."""

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
    """One GET stays open for all messages of the server. Each message of the client is a POST, answered on that stream.

    A POST that is refused gets no answer on the stream. Then the tap answers the request in the server's place, so that
    it does not wait for ever.
    """

    @asynccontextmanager
    async def connect(self, exchanges: OpenExchanges) -> AsyncIterator[tuple[Any, Any]]:
        """See `Transport.connect`. Raises `SessionRefused` when the stream is refused."""
        import httpx2
        from mcp.client.sse import sse_client

        from app.core.mcp.protocol.message_tap import tapped
        from app.core.mcp.protocol.sse_http_client import SseHttpClient

        client = SseHttpClient(exchanges.by_id, **await self.options())

        # The SDK's factory has parameters for headers, timeout and auth. The client has its own already.
        def factory(*_arguments: Any, **_options: Any) -> httpx2.AsyncClient:
            return client

        async with AsyncExitStack() as stack:
            try:
                read, write = await stack.enter_async_context(sse_client(self.url, httpx_client_factory=factory))
            except (httpx2.HTTPStatusError, httpx2.HTTPError) as failure:
                raise SessionRefused(client.opening) from failure

            # A stream that ended because it was too large ends every request that waits for an answer on it.
            def ended() -> None:
                for exchange in exchanges.by_id.values():
                    exchange.exceeded_limit = client.opening.exceeded_limit

            tap = await stack.enter_async_context(tapped(read, exchanges, ended))

            async def refused(exchange: Exchange) -> None:
                await tap.refuse(exchange.id, f"HTTP status {exchange.status}")

            client.refused = refused
            yield tap.receive, write
