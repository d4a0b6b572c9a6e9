"""Refusals: what the proxy itself answers, as a table of typed JSON-RPC errors.

A client gets them in a 200 with the id of its request, or as an event of the stream that is its answer already. What
has no id to answer gets the status beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

# JSON-RPC 2.0 section 5.1.
PARSE_ERROR, INVALID_REQUEST = -32700, -32600
TYPE_PREFIX = "burrow/"


class Typed(NamedTuple):
    """The code of a kind of refusal, and the HTTP status for what has no id."""

    code: int
    status: int


class RefusalKind(Enum):
    """Why the proxy refuses a request. The value is the type's name without its prefix."""

    SIGN_IN_NEEDED = "sign_in_needed"
    TOOL_BLOCKED = "tool_blocked"
    NOT_APPROVED = "not_approved"
    SERVER_UNAVAILABLE = "server_unavailable"
    NOT_READY = "not_ready"
    RECONNECT_NEEDED = "reconnect_needed"
    UNREADABLE = "unreadable"
    INVALID = "invalid"


TABLE: Mapping[RefusalKind, Typed] = {
    RefusalKind.SIGN_IN_NEEDED: Typed(-32010, 503),
    RefusalKind.TOOL_BLOCKED: Typed(-32011, 403),
    RefusalKind.NOT_APPROVED: Typed(-32012, 403),
    RefusalKind.SERVER_UNAVAILABLE: Typed(-32013, 502),
    RefusalKind.NOT_READY: Typed(-32014, 503),
    RefusalKind.RECONNECT_NEEDED: Typed(-32015, 503),
    # What is no JSON-RPC has no id that could be trusted, so these are HTTP errors always.
    RefusalKind.UNREADABLE: Typed(PARSE_ERROR, 400),
    RefusalKind.INVALID: Typed(INVALID_REQUEST, 400),
}


@dataclass(frozen=True)
class Refusal:
    """`message` is one sentence that names the thing and the way out, `action` what to do.

    `facts` go into the error's data beside type, server and action.
    """

    kind: RefusalKind
    message: str
    action: str = ""
    server: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The HTTP status where there is no id to answer."""
        return TABLE[self.kind].status

    def to_json(self, identity: str | int | float | None) -> bytes:
        """The JSON-RPC error for the request with this id; None where it has none or is not known."""
        data = {"type": f"{TYPE_PREFIX}{self.kind.value}", "server": self.server, "action": self.action, **self.facts}
        error = {
            "code": TABLE[self.kind].code,
            "message": self.message,
            "data": {name: value for name, value in data.items() if value != ""},
        }
        return json.dumps({"jsonrpc": "2.0", "id": identity, "error": error}).encode()


class RequestRefused(Exception):
    """A request is not carried any further, for this reason."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
