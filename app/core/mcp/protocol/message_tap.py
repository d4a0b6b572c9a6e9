"""MessageTap: between the SDK and a transport whose answers are messages. It records which requests were answered.

Imports anyio and the SDK, so it is imported inside functions.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import ErrorData, JSONRPCError, JSONRPCRequest, JSONRPCResponse

from app.core.mcp.protocol.exchange import exchange_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from app.core.mcp.protocol.exchange import Exchange
    from app.core.mcp.protocol.transport import OpenExchanges

CONNECTION_CLOSED = -32000


def exchange_of(item: object, exchanges: OpenExchanges) -> Exchange | None:
    """The exchange that a message belongs to; None for notifications and for answers that nobody waits for."""
    message = item.message if isinstance(item, SessionMessage) else None
    if not isinstance(message, JSONRPCRequest | JSONRPCResponse | JSONRPCError) or message.id is None:
        return None
    return exchange_for(message.id, exchanges.by_id)


@asynccontextmanager
async def tapped(read: Any, exchanges: OpenExchanges, ended: Callable[[], None]) -> AsyncIterator[MessageTap]:
    """A tap on the messages of `read`. With it a transport can also answer a request in the server's place.

    `ended` is called when there are no more messages, before the waiting requests fail.
    """
    # Without a buffer: a message is read from the server only when the SDK takes it.
    send, receive = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    tap = MessageTap(send, receive)
    async with anyio.create_task_group() as tasks, send, receive:

        async def pump() -> None:
            async with send.clone() as into:
                async for item in read:
                    exchange = exchange_of(item, exchanges)
                    if exchange is not None:
                        exchange.replied = True
                    await into.send(item)
                ended()
            # The server's end is closed. The dispatcher then fails all waiting requests.
            send.close()

        tasks.start_soon(pump)
        yield tap
        tasks.cancel_scope.cancel()


class MessageTap:
    """`receive` is the stream for the SDK to read."""

    def __init__(self, send: Any, receive: Any) -> None:
        self._send = send
        self.receive = receive

    async def refuse(self, identity: int | str, message: str) -> None:
        """Answer a request with an error in the server's place: the request did not arrive there."""
        error = JSONRPCError(jsonrpc="2.0", id=identity, error=ErrorData(code=CONNECTION_CLOSED, message=message))
        try:
            await self._send.send(SessionMessage(error))
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            return
