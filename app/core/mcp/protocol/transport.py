"""Transport: how the messages of one MCP server travel (MCP specification, "Transports").

A transport is a small value until it is connected; the SDK is imported inside `connect` only. A new kind is a file of
its own with a class of this shape.
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
    """The requests under way in one session, by id, and who listens for changes there."""

    by_id: dict[int | str, Exchange] = field(default_factory=dict)
    listening: Listening | None = None


class Transport(Protocol):
    """How messages travel to one server and back.

    What left this machine decides whether a call may be made again, and only the transport knows it. So it sets
    `Exchange.sent` before the first byte of a request may leave and `Exchange.replied` when a message answers it, and
    takes `sent` back only where it is certain that nothing left.
    """

    @property
    def address(self) -> str:
        """What errors call the place: an origin, or the name of a command."""

    def connect(self, exchanges: OpenExchanges) -> AbstractAsyncContextManager[tuple[Any, Any]]:
        """The SDK's pair of streams (read, write); must be left by the task that entered it.

        Raises `BurrowError` where nothing can be connected, and what the SDK raises.
        """
