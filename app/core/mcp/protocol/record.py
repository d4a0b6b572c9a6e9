"""Recording MCP messages in the activity, without what would make a record long."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from app.core.mcp.protocol.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.mcp.protocol.connection import Endpoint
    from app.core.mcp.protocol.exchange import Notice

TEXT_LIMIT = 2_000
ITEMS_LIMIT = 40
DEPTH_LIMIT = 8
NODES_LIMIT = 1_500
BODY_SHOWN = 500
# There may be thousands of progress notifications, and the call shows them.
UNRECORDED = frozenset({"notifications/progress"})

log = logging.getLogger(__name__)


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
    ) -> object: ...


def record_message(recorder: MessageRecorder, endpoint: Endpoint, item: Exchange | Notice) -> None:
    """Record an exchange with a server that has finished, or a notification. Raises nothing."""
    title, carried = endpoint.title, {} if endpoint.credential is None else {"credential": endpoint.credential.text}
    try:
        if isinstance(item, Exchange):
            _record_exchange(recorder, title, item, carried)
        elif item.method not in UNRECORDED:
            direction = "received" if item.inbound else "sent"
            detail = {"params": shortened(item.params), **carried}
            recorder.record("mcp", title, item.method, direction, None, detail)
    except Exception:
        log.exception("a message was not recorded")


def _record_exchange(recorder: MessageRecorder, title: str, exchange: Exchange, carried: Mapping[str, str]) -> None:
    params = exchange.params or {}
    name = params.get("name") or params.get("uri") or ""
    request, response = shortened(exchange.params), shortened(_answer(exchange))
    detail = {"request": request, "response": response, "http": exchange.status, **carried}
    if exchange.body:
        detail["body"] = exchange.body[:BODY_SHOWN].decode("utf-8", "replace")
    milliseconds = None if exchange.seconds is None else exchange.seconds * 1000
    recorder.record("mcp", title, f"{exchange.method} {name}".strip(), _status(exchange), milliseconds, detail)


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
