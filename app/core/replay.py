"""Sending a recorded request again where that is safe, and comparing the answers.

It goes the way of every request of its kind, with the token and the limits of today, and so makes a record of its own.
Only what reads is sent again: GET and HEAD (RFC 9110 section 9.2.1), and the MCP requests that list or read.
"""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from app.core.diagnostics.exchanges import is_whole
from app.core.errors import BurrowError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.diagnostics.activity import ActivityRecord
    from app.core.diagnostics.exchanges import WireExchange
    from app.core.services import Services

SAFE_METHODS = frozenset({"GET", "HEAD"})
LIST_TOOLS, READ_RESOURCE = "tools/list", "resources/read"


class NotAgain(Enum):
    """Why a record cannot be sent again.

    `NO_REQUEST`: it is none. `CHANGES`: sending it twice may do something twice. `ANOTHER`: it was sent with another
    sign-in, or its server is not there. `INCOMPLETE`: a part of it is not kept.
    """

    NO_REQUEST = "no request"
    CHANGES = "changes"
    ANOTHER = "another"
    INCOMPLETE = "incomplete"


class Comparison(NamedTuple):
    """The record of the repeated request, and how its answer compares; None for what cannot be compared."""

    record: ActivityRecord
    same_status: bool
    same_body: bool | None


Again: TypeAlias = "Callable[[], Awaitable[object]]"
"""Sends a request again."""


def again(services: Services, record: ActivityRecord, exchange: WireExchange | None) -> Again | NotAgain:
    """What sends a record again, or why nothing does."""
    if record.kind == "http":
        return _http_again(services, record, exchange)
    if record.kind == "mcp":
        return _mcp_again(services, record)
    return NotAgain.NO_REQUEST


async def repeat(
    services: Services, record: ActivityRecord, exchange: WireExchange | None, send: Again
) -> Comparison | None:
    """Send it again and compare. None when nothing was recorded of it.

    Raises `BurrowError` when it could not be sent; an answer that is an error is compared like any other.
    """
    heard: list[ActivityRecord] = []
    unsubscribe = services.activity.changed.subscribe(heard.append)
    failure: BurrowError | None = None
    try:
        await send()
    except BurrowError as error:
        failure = error
    finally:
        unsubscribe()
    repeated = next((each for each in heard if _same_request(each, record)), None)
    if repeated is None:
        if failure is not None:
            raise failure
        return None
    same_body: bool | None
    if record.kind == "http":
        now = await services.activity.exchange(repeated)
        before = None if exchange is None else exchange.received
        after = None if now is None else now.received
        # The beginnings of two long bodies say nothing about the rest.
        known = before is not None and after is not None and None not in {before.text, after.text}
        same_body = before == after if known else None
        if known and same_body and before is not None and before.cut:
            same_body = None
    else:
        same_body = record.detail.get("response") == repeated.detail.get("response")
    return Comparison(repeated, record.status == repeated.status, same_body)


def _http_again(services: Services, record: ActivityRecord, exchange: WireExchange | None) -> Again | NotAgain:
    method, _, _path = record.summary.partition(" ")
    if method not in SAFE_METHODS:
        return NotAgain.CHANGES
    if exchange is None or not is_whole(exchange):
        return NotAgain.INCOMPLETE
    backend = services.backend
    if (
        backend is None
        or record.target != backend.host.origin
        or record.detail.get("sign_in") != backend.credential.key.text
    ):
        return NotAgain.ANOTHER
    return partial(backend.fetcher.request, method, exchange.url)


def _mcp_again(services: Services, record: ActivityRecord) -> Again | NotAgain:
    method, _, _name = record.summary.partition(" ")
    if record.status in {"sent", "received"}:
        return NotAgain.NO_REQUEST
    if method not in {LIST_TOOLS, READ_RESOURCE}:
        return NotAgain.CHANGES
    # The record has the server's name only.
    named = [server.id for server in services.servers.listed if server.title == record.target]
    if len(named) != 1:
        return NotAgain.ANOTHER
    if method == LIST_TOOLS:
        return partial(services.servers.tools, named[0], refresh=True)
    request = record.detail.get("request")
    address = request.get("uri") if isinstance(request, dict) else None
    if not isinstance(address, str):
        return NotAgain.INCOMPLETE
    return partial(services.servers.read_resource, named[0], address)


def _same_request(one: ActivityRecord, other: ActivityRecord) -> bool:
    named = (one.kind, one.target, one.summary) == (other.kind, other.target, other.summary)
    return named and _parameters(one) == _parameters(other)


def _parameters(record: ActivityRecord) -> object:
    """The parameters of an MCP request without what its session put there."""
    request = record.detail.get("request")
    return {name: value for name, value in request.items() if name != "_meta"} if isinstance(request, dict) else request
