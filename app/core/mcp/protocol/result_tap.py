"""What of an answer goes on to the MCP SDK: results are taken out of it, and ids out of modern event streams.

Imports httpx2; load it like `session.py`, inside functions.
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
# Results of these are taken from the bytes and the SDK sees a small one in their place: it needs 1.9 s for 18 MB, on
# the window's loop, and refuses what its models do not know.
TAKEN = frozenset({"tools/list", "tools/call", "resources/read"})


def without_results(response: httpx2.Response, exchanges: Mapping[int | str, Exchange]) -> httpx2.Response:
    """An event stream that carries the answers to all requests, without the results that are taken from it."""
    response.stream = _Events(response.stream, lambda event: _event(event, exchanges))
    return response


def without_result(message: bytes, exchanges: Mapping[int | str, Exchange]) -> bytes:
    """A JSON-RPC message without the result that is taken from it."""
    return (b'"result"' in message and _message(message, exchanges)) or message


def for_the_sdk(response: httpx2.Response, exchange: Exchange) -> httpx2.Response:
    """The answer to a request as the SDK is to see it."""
    kind = media_type(response.headers)
    takes = exchange.method in TAKEN
    one = {exchange.id: exchange}
    modern = response.request.headers.get(MCP_PROTOCOL_VERSION_HEADER) in MODERN_PROTOCOL_VERSIONS
    if kind == JSON and takes:
        response.stream = _Whole(response.stream, lambda body: _message(body, one) or body)
    elif kind == EVENT_STREAM and (takes or modern):

        def edit(event: bytes) -> bytes:
            event = _event(event, one) if takes else event
            return _without_id(event) if modern else event

        response.stream = _Events(response.stream, edit)
    return response


class _Whole(httpx2.AsyncByteStream):
    """A body that goes on in one piece, as `edit` makes it."""

    def __init__(self, body: Any, edit: Callable[[bytes], bytes]) -> None:
        self._body = body
        self._edit = edit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._edit(b"".join([chunk async for chunk in self._body]))

    async def aclose(self) -> None:
        await self._body.aclose()


class _Events(_Whole):
    """An event stream that goes on event by event."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        waiting = bytearray()
        async for chunk in self._body:
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
    """The event without its id.

    Of a stream whose events have ids the SDK asks for the rest, with `Last-Event-ID`, on every revision. Since
    2026-07-28 there is no rest to ask for: a stream that broke is a request that is over (faults row 52).
    """
    if not (event.startswith(b"id") or b"\nid" in event or b"\rid" in event):
        return event
    lines = event.splitlines(keepends=True)
    return b"".join(line for line in lines if line.rstrip(b"\r\n").partition(b":")[0] != b"id")


def _message(text: bytes, exchanges: Mapping[int | str, Exchange]) -> bytes | None:
    """Take the result from a JSON-RPC message; the message to go on with, None when it has no result to take."""
    try:
        message = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    match message:
        case {"jsonrpc": "2.0", "id": identity, "result": dict(result)}:
            exchange = exchange_for(identity, exchanges)
            if exchange is None or exchange.method not in TAKEN:
                return None
            exchange.taken = result
            return msgspec.json.encode({"jsonrpc": "2.0", "id": identity, "result": {}})
        case _:
            return None
