"""One message to an MCP server and everything that came back: what connections, errors and the activity go by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """One request and what came back, in HTTP and in JSON-RPC.

    `id` is unique in its session. `sent` says that it may have left this machine. `status` is None until HTTP answered
    and `BROKEN` when it never did; `body` is kept for statuses from 400. `limit` is the size in bytes that the answer
    exceeded, `cut_off` says that it began and broke off. `in_session` requests named a session. `bearer` is a
    fingerprint, never the token. `renewal` is why the person's token could not be renewed on the way. `taken` is the
    result as it came.
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
    in_session: bool = False
    bearer: str = ""
    renewal: BurrowError | None = None
    taken: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    error: RpcError | None = None

    @property
    def answered(self) -> bool:
        """Whether HTTP gave any answer."""
        return self.status is not None and self.status != BROKEN

    @property
    def kind(self) -> str:
        """The answer's media type, lower case, without parameters."""
        return media_type(self.headers)


@dataclass(frozen=True)
class Notice:
    """A notification, as it went or came."""

    method: str
    params: Mapping[str, Any] | None
    inbound: bool


def media_type(headers: Mapping[str, str]) -> str:
    """The media type of an answer, lower case, without parameters; empty when it has none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()
