"""Edits responses before the MCP SDK reads them.

Results are taken out, event ids are taken out of modern streams, and what is no answer fails its request at once.

Imports httpx2, so it is imported inside functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx2
import msgspec
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from app.core.mcp.protocol.exchange import EVENT_STREAM, JSON, exchange_for, media_type, names_none
from app.core.mcp.protocol.messages import NotAMessage, checked_answer, failed_answer, is_answer, read_message
from app.core.wire_text import mended_json, without_byte_order_mark

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from app.core.mcp.protocol.exchange import Exchange

EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
ID = re.compile(rb'"id"\s*:\s*"?([^",}\s]+)')
ID_WITHIN = 100
# The results of these methods are decoded from the bytes here, and the SDK gets an empty one. For a result of 18 MB the
# SDK would take 1.9 s on the window's loop, and it would refuse what its models do not know.
INTERCEPTED_METHODS = frozenset({"tools/list", "tools/call", "resources/read"})


def without_results(response: httpx2.Response, exchanges: Mapping[int | str, Exchange]) -> httpx2.Response:
    """An event stream with the answers to all requests (HTTP+SSE), without the intercepted results."""
    response.stream = _Events(response.stream, lambda event: _edited(event, lambda data: _message(data, exchanges)))
    return response


def without_result(message: bytes, exchanges: Mapping[int | str, Exchange]) -> bytes:
    """A message of a server that answers all requests on one stream: mended, without its result if intercepted."""
    return _message(message, exchanges) or message


def intercepted(response: httpx2.Response, exchange: Exchange) -> httpx2.Response:
    """The response to a request as the SDK is to see it."""
    content_type = media_type(response.headers)
    modern = response.request.headers.get(MCP_PROTOCOL_VERSION_HEADER) in MODERN_PROTOCOL_VERSIONS
    if content_type == JSON:
        response.stream = _Whole(response.stream, lambda body: _body(body, exchange))
    elif content_type == EVENT_STREAM:

        def edit(event: bytes) -> bytes:
            event = _edited(event, lambda data: _event_data(data, exchange))
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
        async for chunk in without_byte_order_mark(self._body):
            # The longest separator has four bytes, three of which may have been there before.
            searched = max(0, len(waiting) - 3)
            waiting += chunk
            while (end := EVENT_END.search(waiting, searched)) is not None:
                yield self._edit(bytes(waiting[: end.end()]))
                del waiting[: end.end()]
                searched = 0
        if waiting:
            yield bytes(waiting)


def _edited(event: bytes, edit: Callable[[bytes], bytes | None]) -> bytes:
    """An event with its data edited. `edit` returns None for data that stays."""
    lines = event.splitlines()
    data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
    named = next((line[6:].strip() for line in lines if line.startswith(b"event:")), b"")
    # Other events are no messages. One without data only has an id, from which the stream could be resumed.
    if not any(data) or named not in {b"", b"message"}:
        return event
    edited = edit(b"\n".join(data))
    if edited is None:
        return event
    others = [line for line in lines if line and not line.startswith(b"data:")]
    return b"\n".join([*others, b"data: " + edited, b"", b""])


def _without_id(event: bytes) -> bytes:
    """The event without its id."""
    # If events have ids, the SDK asks for the rest of a broken stream with `Last-Event-ID`, on every revision. Since
    # 2026-07-28 a stream cannot be resumed: when it breaks, the request has failed (faults row 52).
    if not (event.startswith(b"id") or b"\nid" in event or b"\rid" in event):
        return event
    lines = event.splitlines(keepends=True)
    return b"".join(line for line in lines if line.rstrip(b"\r\n").partition(b":")[0] != b"id")


def _body(body: bytes, exchange: Exchange) -> bytes:
    """The body of a response, which must be the answer to its request."""
    try:
        return _answer(read_message(body), body, exchange)
    except NotAMessage as problem:
        return _refused(problem, exchange)


def _event_data(data: bytes, exchange: Exchange) -> bytes | None:
    """A message on the stream that answers one request: its answer at the end, the server's own messages before."""
    try:
        message = read_message(data)
        return _answer(message, data, exchange) if is_answer(message) else _mended(data)
    except NotAMessage as problem:
        return _refused(problem, exchange)


def _message(data: bytes, exchanges: Mapping[int | str, Exchange]) -> bytes | None:
    """A message on a stream that serves all requests; None when it stays as it is."""
    try:
        message = read_message(data)
    except NotAMessage as problem:
        # Some servers print other text by mistake, which is no answer to anything.
        meant = _meant_for(data, exchanges)
        return None if meant is None else _refused(problem, meant)
    if not is_answer(message):
        return _mended(data)
    exchange = _waiting(message, exchanges)
    if exchange is None:
        return None
    try:
        return _answer(message, data, exchange)
    except NotAMessage as problem:
        return _refused(problem, exchange)


def _meant_for(data: bytes, exchanges: Mapping[int | str, Exchange]) -> Exchange | None:
    """The request that an unreadable message would answer, by the id at its beginning or its end."""
    if b'"jsonrpc"' not in data:
        return None
    found = ID.search(data[:ID_WITHIN]) or ID.search(data[-ID_WITHIN:])
    return None if found is None else exchange_for(found[1].decode("utf-8", "replace"), exchanges)


def _waiting(message: dict[str, Any], exchanges: Mapping[int | str, Exchange]) -> Exchange | None:
    """The request that a message answers."""
    if names_none(message.get("id")) and message.get("error") is not None:
        # The server could not read a request, and refuses what it cannot read as soon as it came: the newest one.
        return max(exchanges.values(), key=lambda exchange: exchange.started, default=None)
    return exchange_for(message.get("id"), exchanges)


def _answer(message: dict[str, Any], received: bytes, exchange: Exchange) -> bytes:
    """The answer to a request as the SDK is to see it. An intercepted result is stored in its exchange.

    Raises `NotAMessage` if it is no answer to that request.
    """
    answer = checked_answer(message, exchange.id)
    if "result" not in answer:
        return msgspec.json.encode(answer)
    if exchange.method not in INTERCEPTED_METHODS:
        # Decoded and encoded again, exact numbers would become text.
        return mended_json(received)
    exchange.raw_result, exchange.received = answer["result"], received
    return msgspec.json.encode({**answer, "result": {}})


def _refused(problem: NotAMessage, exchange: Exchange) -> bytes:
    exchange.malformed = problem.words
    return failed_answer(exchange.id, problem.words)


def _mended(data: bytes) -> bytes | None:
    mended = mended_json(data)
    return None if mended == data else mended
