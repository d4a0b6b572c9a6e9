"""Exchange: one request to an MCP server and everything that came back, for connections, errors and the activity."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.core.auth.http.trace import Trace
    from app.core.errors import BurrowError
    from app.core.mcp.json_text import NumberPlaceholders

# In the place of an HTTP status, when the request broke before a response.
NO_RESPONSE = 599
JSON = "application/json"
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True)
class RpcErrorObject:
    """An error object of JSON-RPC 2.0 (section 5.1)."""

    code: int
    message: str
    data: Any = None


@dataclass(eq=False)
class Exchange:
    """One request and its response, in JSON-RPC and, if the transport is HTTP, in HTTP.

    - `id` is unique in its session. `started` is `time.monotonic()`, `seconds` the duration.
    - `sent`: the request may have left this machine. Only if it is False may anything be sent again without a doubt.
    - `status` is the HTTP status, None before there is one, `NO_RESPONSE` when there was no response. `body` is kept
      for statuses from 400.
    - `by_message`: the answer comes as a message of its own and not as the response of an HTTP request (stdio, SSE).
      `replied` says that it came, `close_reason` how the connection ended before.
    - `failure` is what the HTTP client raised, `reason` what explains it to people, if anything does.
    - `exceeded_limit` is the size in bytes that the response exceeded. `cut_off`: it began and broke off.
    - `in_session`: the request named a session.
    - `bearer` is the fingerprint of the `Authorization` header, empty without one.
    - `refresh_failure` is why a refused token could not be refreshed.
    - `url` and `trace` are those of the HTTP request, if there is one.
    - `raw_result` is the result as it was received, `received` the message that it was in; `result` is what the
      connection returns.
    - `malformed` is why what was received is no answer, as a sentence.
    """

    id: int | str
    method: str
    params: Mapping[str, Any] | None
    started: float
    placeholders: NumberPlaceholders | None = None
    seconds: float | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    failure: Exception | None = None
    reason: BurrowError | None = None
    exceeded_limit: int | None = None
    cut_off: bool = False
    sent: bool = False
    by_message: bool = False
    replied: bool = False
    close_reason: str = ""
    in_session: bool = False
    bearer: str = ""
    refresh_failure: BurrowError | None = None
    malformed: str = ""
    raw_result: dict[str, Any] | None = None
    received: bytes = b""
    result: dict[str, Any] | None = None
    error: RpcErrorObject | None = None
    url: str = ""
    trace: Trace | None = None

    @property
    def answered(self) -> bool:
        """Whether there was an answer: a message, or an HTTP response if that carries the answer or refuses it."""
        if self.status is None or self.status == NO_RESPONSE:
            return self.replied
        return self.replied or not self.by_message or self.status >= 400

    @property
    def broken(self) -> bool:
        """Whether the connection broke before there was an answer."""
        return self.status == NO_RESPONSE or (self.by_message and self.sent and not self.answered)

    @property
    def content_type(self) -> str:
        """The media type of the response, in lower case without parameters."""
        return media_type(self.headers)


def exchange_for(identity: object, exchanges: Mapping[int | str, Exchange]) -> Exchange | None:
    """The request for the id of an answer."""
    return next((found for key, found in exchanges.items() if same_id(identity, key)), None)


def same_id(given: object, identity: int | str) -> bool:
    """Whether the id of an answer is that of a request. Some servers answer with the number as text, or as 3.0."""
    if isinstance(given, float | Decimal):
        return given == identity
    return str(given) == str(identity)


def names_none(given: object) -> bool:
    """Whether the id of an error names no request: null, absent, empty, or of a kind that no id has."""
    return isinstance(given, bool) or not isinstance(given, str | int | float | Decimal) or given == ""


@dataclass(frozen=True)
class Notification:
    """A notification. `inbound`: from the server."""

    method: str
    params: Mapping[str, Any] | None
    inbound: bool


def media_type(headers: Mapping[str, str]) -> str:
    """The media type of a response, in lower case without parameters; empty when there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(eq=False)
class SendContext:
    """One call of the SDK: the placeholders in its arguments, and the exchanges that it caused.

    The SDK's functions have no parameter for it. So it passes through a context variable from the caller to the
    dispatcher and to the HTTP client below the SDK, which run in the caller's context.
    """

    placeholders: NumberPlaceholders | None = None
    exchanges: list[Exchange] = field(default_factory=list)


send_context: ContextVar[SendContext | None] = ContextVar("sending", default=None)
"""Set during each request. A GET of the SDK without it opens the stream for notifications."""


class SessionRefused(Exception):
    """A session could not be opened. `exchange` is the request that the server refused last."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(f"HTTP {exchange.status}")
        self.exchange = exchange


class ListeningSession(Protocol):
    """The parts of a session that subscribing needs (`session.McpSession`)."""

    @property
    def announces_tool_changes(self) -> bool:
        """Whether the server announces changes of its tool list to subscribers."""

    async def listen(self, answered: Callable[[bool], None]) -> Exchange:
        """Subscribe, until the stream ends. `answered` is called with whether the server agreed to announce changes."""
