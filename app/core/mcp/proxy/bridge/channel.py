"""Channel: a connection with a server on which messages travel both ways, each by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# The largest message that is taken from a server.
MESSAGE_LIMIT = 32 * 1024 * 1024


class ChannelClosed(Exception):
    """A message could not be sent. `sent` is False only when certainly the server did not act on it."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class Channel(Protocol):
    """A channel is opened once and closed once; a new one is made in its place."""

    @property
    def reason(self) -> str | None:
        """Why it is closed; None while it is open."""

    async def open(self, received: Callable[[bytes], Awaitable[None]], closed: Callable[[str], None]) -> None:
        """Connect. `received` gets each message of the server and may let it wait, `closed` the reason at its end.

        `received` raises `Unhandled`: then it is closed.

        Raises `ChannelClosed`, and any `BurrowError` that keeps it from being opened.
        """

    async def send(self, message: bytes) -> None:
        """Send a message, which is one line. Raises `ChannelClosed`."""

    async def close(self) -> None:
        """End it, and the server where it is a process."""


class Unhandled(Exception):
    """A message of a server could not be handled, because of a fault of ours."""
