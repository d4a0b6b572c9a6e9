"""Edits responses before the MCP SDK reads them: results are taken out, and event ids out of modern streams.

Imports httpx2, so it is imported inside functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx2
import msgspec
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from app.core.mcp.protocol.exchange import EVENT_STREAM, JSON, exchange_for, media_type

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from app.core.mcp.protocol.exchange import Exchange

EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
# The results of these methods are decoded from the bytes here, and the SDK gets an empty one. For a result of 18 MB the
# SDK would take 1.9 s on the window's loop, and it would refuse what its models do not know.
INTERCEPTED_METHODS = frozenset({"tools/list", "tools/call", "resources/read"})


def without_results(response: httpx2.Response, exchanges: Mapping[int | str, Exchange]) -> httpx2.Response:
    """An event stream with the answers to all requests (HTTP+SSE), without the intercepted results."""
    response.stream = _Events(response.stream, lambda event: _event(event, exchanges))
    return response


def without_result(message: bytes, exchanges: Mapping[int | str, Exchange]) -> bytes:
    """A JSON-RPC message without its result, if that is intercepted."""
    return (b'"result"' in message and _message(message, exchanges)) or message


def intercepted(response: httpx2.Response, exchange: Exchange) -> httpx2.Response:
    """The response to a request as the SDK is to see it."""
    content_type = media_type(response.headers)
    is_intercepted = exchange.method in INTERCEPTED_METHODS
    one = {exchange.id: exchange}
    modern = response.request.headers.get(MCP_PROTOCOL_VERSION_HEADER) in MODERN_PROTOCOL_VERSIONS
    if content_type == JSON and is_intercepted:
        response.stream = _Whole(response.stream, lambda body: _message(body, one) or body)
    elif content_type == EVENT_STREAM and (is_intercepted or modern):

        def edit(event: bytes) -> bytes:
            event = _event(event, one) if is_intercepted else event
            return _without_id(event) if modern else event

        response.stream = _Events(response.stream, edit)
    return response


class _Whole(httpx2.AsyncByteStream):
    """A body that is edited as a whole."""

    def __init__(self, body: Any, edit: Callable[[bytes], bytes]) -> None:
        self._body = body
        self._edit = edit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._edit(b"".join([chunk async for chunk in self._body]))

    async def aclose(self) -> None:
        await self._body.aclose()


class _Events(_Whole):
    """An event stream that is edited event by event."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        waiting = bytearray()
        async for chunk in self._body:
            # The longest separator has four bytes, three of which may have been there before.
            searched = max(0, len(waiting) - 3)
            waiting += chunk
            while (end := EVENT_END.search(waiting, searched)) is not None:
                yield self._edit(bytes(waiting[: end.end()]))
                del waiting[: end.end()]
                searched = 0
        if waiting:
            yield bytes(waiting)


def _event(event: bytes, exchanges: Mapping[int | str, Exchange]) -> bytes:
    if b'"result"' not in event:
        return event
    lines = (line for line in event.splitlines() if line.startswith(b"data:"))
    message = _message(b"\n".join(line[5:].removeprefix(b" ") for line in lines), exchanges)
    return event if message is None else b"data: " + message + b"\n\n"


def _without_id(event: bytes) -> bytes:
    """The event without its id."""
    # If events have ids, the SDK asks for the rest of a broken stream with `Last-Event-ID`, on every revision. Since
    # 2026-07-28 a stream cannot be resumed: when it breaks, the request has failed (faults row 52).
    if not (event.startswith(b"id") or b"\nid" in event or b"\rid" in event):
        return event
    lines = event.splitlines(keepends=True)
    return b"".join(line for line in lines if line.rstrip(b"\r\n").partition(b":")[0] != b"id")


def _message(text: bytes, exchanges: Mapping[int | str, Exchange]) -> bytes | None:
    """Store the result of a JSON-RPC message in its exchange.

    Returns the message with an empty result, None when there is nothing to intercept.
    """
    try:
        message = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    match message:
        case {"jsonrpc": "2.0", "id": identity, "result": dict(result)}:
            exchange = exchange_for(identity, exchanges)
            if exchange is None or exchange.method not in INTERCEPTED_METHODS:
                return None
            exchange.raw_result, exchange.message = result, text
            return msgspec.json.encode({"jsonrpc": "2.0", "id": identity, "result": {}})
        case _:
            return None
