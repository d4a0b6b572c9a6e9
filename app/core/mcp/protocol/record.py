"""Recording MCP messages in the activity, without what would make a record long."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from app.core.diagnostics.exchanges import stored_trace
from app.core.mcp.protocol.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.core.mcp.protocol.connection import Endpoint
    from app.core.mcp.protocol.exchange import Notification

TEXT_LIMIT = 2_000
ITEMS_LIMIT = 40
DEPTH_LIMIT = 8
NODES_LIMIT = 1_500
BODY_SHOWN = 500
# There may be thousands of progress notifications, and the call shows them.
UNRECORDED = frozenset({"notifications/progress"})

log = logging.getLogger(__name__)


CleanArguments: TypeAlias = "Callable[[str, Mapping[str, Any]], Mapping[str, Any]]"
"""Returns the arguments of a call of the tool with this name without those that are secret."""


class MessageRecorder(Protocol):
    """Where messages are recorded (`app.core.diagnostics.activity`)."""

    def record(
        self,
        kind: str,
        target: str,
        summary: str,
        status: str,
        milliseconds: float | None = None,
        detail: dict[str, Any] | None = None,
        *,
        exchange: Callable[[], Mapping[str, Any]] | None = None,
    ) -> object: ...


def record_message(
    recorder: MessageRecorder, endpoint: Endpoint, item: Exchange | Notification, clean: CleanArguments | None = None
) -> None:
    """Record an exchange with a server that has finished, or a notification. Raises nothing.

    `clean` takes the secrets out of the arguments of a call.
    """
    title, carried = endpoint.title, {} if endpoint.credential is None else {"sign_in": endpoint.credential.text}
    try:
        if isinstance(item, Exchange):
            _record_exchange(recorder, title, item, carried, clean)
        elif item.method not in UNRECORDED:
            direction = "received" if item.inbound else "sent"
            detail = {"params": shortened(item.params), **carried}
            recorder.record("mcp", title, item.method, direction, None, detail)
    except Exception:
        log.exception("a message was not recorded")


def _record_exchange(
    recorder: MessageRecorder,
    title: str,
    exchange: Exchange,
    carried: Mapping[str, str],
    clean: CleanArguments | None,
) -> None:
    params = exchange.params or {}
    name = params.get("name") or params.get("uri") or ""
    arguments = params.get("arguments")
    if clean is not None and exchange.method == "tools/call" and isinstance(arguments, dict):
        params = {**params, "arguments": clean(str(name), arguments)}
    request, response = shortened(params if exchange.params is not None else None), shortened(_answer(exchange))
    detail = {"request": request, "response": response, "http": exchange.status, **carried}
    if exchange.body:
        detail["body"] = exchange.body[:BODY_SHOWN].decode("utf-8", "replace")
    milliseconds = None if exchange.seconds is None else exchange.seconds * 1000
    summary, wire = f"{exchange.method} {name}".strip(), _wire(exchange)
    recorder.record("mcp", title, summary, _status(exchange), milliseconds, detail, exchange=wire)


def _wire(exchange: Exchange) -> Callable[[], Mapping[str, Any]] | None:
    """What makes the HTTP part of the record: its bodies are in the record already."""
    url, trace = exchange.url, exchange.trace
    ended = None if exchange.seconds is None else exchange.started + exchange.seconds
    return None if trace is None else lambda: stored_trace("POST", url, trace, ended)


def _answer(exchange: Exchange) -> object:
    error = exchange.error
    return exchange.result if error is None else {"code": error.code, "message": error.message, "data": error.data}


def _status(exchange: Exchange) -> str:
    if exchange.error is not None:
        return f"error {exchange.error.code}"
    if exchange.result is None:
        return "cancelled"
    return "tool error" if exchange.result.get("isError") is True else "ok"


def shortened(value: object) -> Any:
    """A copy of a JSON value with long texts, long lists and deep parts cut. Its cost is bounded for any size."""
    return _shortened(value, DEPTH_LIMIT, [NODES_LIMIT])


def _shortened(value: object, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    match value:
        case None | bool() | int() | float():
            return value
        case Decimal():
            return str(value)
        case str():
            return value if len(value) <= TEXT_LIMIT else f"{value[:TEXT_LIMIT]}… ({len(value)} characters)"
        case dict() if depth > 0:
            short: dict[str, Any] = {}
            for name, item in value.items():
                if left[0] <= 0 or len(short) >= ITEMS_LIMIT:
                    short["…"] = f"{len(value) - len(short)} more"
                    break
                short[str(name)[:TEXT_LIMIT]] = _shortened(item, depth - 1, left)
            return short
        case list() | tuple() if depth > 0:
            items: list[Any] = []
            for item in value:
                if left[0] <= 0 or len(items) >= ITEMS_LIMIT:
                    items.append(f"… {len(value) - len(items)} more")
                    break
                items.append(_shortened(item, depth - 1, left))
            return items
        case _:
            return f"… ({type(value).__name__})"
