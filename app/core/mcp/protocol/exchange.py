"""One message to an MCP server and everything that came back: what connections, errors and the activity go by."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.core.errors import BurrowError
    from app.core.mcp.json_text import Marks

# No HTTP status: the request broke before an answer.
BROKEN = 599
JSON = "application/json"
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True)
class RpcError:
    """An error object of JSON-RPC 2.0 (section 5.1)."""

    code: int
    message: str
    data: Any = None


@dataclass(eq=False)
class Exchange:
    """One request and what came back, in HTTP where that carries it, and in JSON-RPC.

    `id` is unique in its session. `sent` says that it may have left this machine. `status` is None until HTTP answered
    and `BROKEN` when it never did; `body` is kept for statuses from 400. With `by_message` the answer is a message of
    its own, not the answer of an HTTP request; `replied` says that it came, `ending` how the connection ended before.
    `limit` is the size in bytes that the answer exceeded, `cut_off` says that it began and broke off. `in_session`
    requests named a session. `bearer` is a fingerprint, never the token. `renewal` is why the token could not be
    refreshed on the way. `taken` is the result as it came.
    """

    id: int | str
    method: str
    params: Mapping[str, Any] | None
    started: float
    marks: Marks | None = None
    seconds: float | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    failure: Exception | None = None
    limit: int | None = None
    cut_off: bool = False
    sent: bool = False
    by_message: bool = False
    replied: bool = False
    ending: str = ""
    in_session: bool = False
    bearer: str = ""
    renewal: BurrowError | None = None
    taken: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    error: RpcError | None = None

    @property
    def answered(self) -> bool:
        """Whether anything answered: a message, or HTTP where its answer is the answer, or a refusal."""
        if self.status is None or self.status == BROKEN:
            return self.replied
        return self.replied or not self.by_message or self.status >= 400

    @property
    def broke(self) -> bool:
        """Whether the connection broke before anything answered."""
        return self.status == BROKEN or (self.by_message and self.sent and not self.answered)

    @property
    def kind(self) -> str:
        """The answer's media type, lower case, without parameters."""
        return media_type(self.headers)


def exchange_for(identity: object, exchanges: Mapping[int | str, Exchange]) -> Exchange | None:
    """The request that an answer's id belongs to; some servers answer with the id as text."""
    return next((found for key, found in exchanges.items() if str(key) == str(identity)), None)


@dataclass(frozen=True)
class Notice:
    """A notification, as it went or came."""

    method: str
    params: Mapping[str, Any] | None
    inbound: bool


def media_type(headers: Mapping[str, str]) -> str:
    """The media type of an answer, lower case, without parameters; empty when it has none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(eq=False)
class Sending:
    """What one caller sends: the numbers that stand in for exact ones, and the exchanges that came of it.

    The SDK has no place for it in its calls. So it goes by a context variable from the caller to the dispatcher and the
    HTTP client below the SDK, which run in the caller's context.
    """

    marks: Marks | None = None
    exchanges: list[Exchange] = field(default_factory=list)


sending: ContextVar[Sending | None] = ContextVar("sending", default=None)
"""Set while a request is on its way; a GET of the SDK without it is one to listen."""


class SessionRefused(Exception):
    """No session came about; `exchange` is the request that the server refused last."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(f"HTTP {exchange.status}")
        self.exchange = exchange


class ListeningSession(Protocol):
    """A session as whoever listens to it needs it (`session.McpSession`)."""

    @property
    def tells_of_tools(self) -> bool:
        """Whether changes of the tool list are told to who listens."""

    async def listen(self, answered: Callable[[bool], None]) -> Exchange:
        """One stream of changes, until it ends; `answered` hears whether the server agreed to tell of them."""
