"""Transport: the interface for sending messages to an MCP server and receiving its answers (MCP, "Transports").

Creating a transport costs nothing. The SDK is imported inside `connect` only. A new kind of transport is a module of
its own with a class that implements this protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from app.core.mcp.protocol.exchange import Exchange
    from app.core.mcp.protocol.listening import Listening


@dataclass(eq=False)
class OpenExchanges:
    """The requests in flight in one session, by id, and the subscription to notifications."""

    by_id: dict[int | str, Exchange] = field(default_factory=dict)
    listening: Listening | None = None


class Transport(Protocol):
    """Sends messages to one server and receives its messages.

    Whether a request left this machine decides whether it may be sent again, and only the transport knows that. So it
    must set `Exchange.sent` before the first byte may leave, and may reset it only when certainly nothing left. Where
    answers are messages, it sets `Exchange.replied` when one arrives.
    """

    @property
    def address(self) -> str:
        """The server's address for errors: an origin, or the name of a command."""

    def connect(self, exchanges: OpenExchanges) -> AbstractAsyncContextManager[tuple[Any, Any]]:
        """The SDK's pair of streams (read, write). Must be left by the task that entered it.

        Raises `BurrowError` when there is no connection, and what the SDK raises.
        """
