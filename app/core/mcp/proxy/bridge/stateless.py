"""Requests of protocol 2026-07-28, which have no session: what HTTP says besides the message, and older servers.

A process of that protocol is spoken to as it is: the message is the same on HTTP and on pipes. One of an older protocol
is found out by its answer to the first request. Then its process is ended, and clients are told at once for a while
that it knows no `server/discover`, whereupon they send `initialize`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING

import msgspec

from app.core.mcp.proxy.bridge.channel import ChannelClosed
from app.core.mcp.proxy.bridge.envelope import PROTOCOL
from app.core.mcp.proxy.bridge.members import encoded
from app.core.mcp.proxy.refusals import TABLE, RefusalKind

if TYPE_CHECKING:
    from app.core.mcp.proxy.bridge.calls import BridgeCall
    from app.core.mcp.proxy.bridge.envelope import Envelope
    from app.core.mcp.proxy.bridge.link import Link
    from app.core.mcp.proxy.parts import Request

DISCOVER = "server/discover"
METHOD_NOT_FOUND = -32601
HEADER_MISMATCH = -32020
# The statuses of errors (MCP 2026-07-28, "Streamable HTTP"). Any other error comes in a 200.
STATUSES = {
    -32700: 400,
    -32600: 400,
    -32602: 400,
    HEADER_MISMATCH: 400,
    -32021: 400,
    -32022: 400,
    METHOD_NOT_FOUND: 404,
}
# Errors that no older server has.
MODERN_ERRORS = (HEADER_MISMATCH, -32021, -32022)
UNAVAILABLE = TABLE[RefusalKind.SERVER_UNAVAILABLE].code
# What the header `Mcp-Name` repeats.
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
# How long an older server may leave the first request unanswered, and for how long it is known to be one.
DISCOVER_SECONDS = 20.0
OLDER_SECONDS = 600.0


class _Error(msgspec.Struct):
    code: int = 0


class _Answer(msgspec.Struct):
    error: _Error | None = None


def status_of(answer: bytes) -> int:
    """The HTTP status of an answer that is no stream."""
    code = _error_of(answer)
    return 200 if code is None else STATUSES.get(code, 200)


def _error_of(answer: bytes) -> int | None:
    """The code of the error in an answer."""
    try:
        error = msgspec.json.decode(answer, type=_Answer).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if error is None else error.code


def mismatch(request: Request, message: Envelope) -> bytes | None:
    """The error for headers that are missing or say something else than the message; None when they agree."""
    wanted = {b"mcp-protocol-version": _text(message.meta.get(PROTOCOL)), b"mcp-method": message.method}
    if message.method in NAMED:
        wanted[b"mcp-name"] = _text(message.params.get(NAMED[message.method]))
    for name, value in wanted.items():
        sent = [_decoded(each) for header, each in request.headers if header == name]
        if sent != [value]:
            words = f"The header {name.decode()} does not say what the message says."
            error = encoded({"code": HEADER_MISMATCH, "message": words})
            return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (message.id, error)
    return None


class Discovery:
    """Finds out whether a server is of an older protocol."""

    def __init__(self) -> None:
        self._older_until = 0.0

    async def request(self, link: Link, call: BridgeCall) -> None:
        """Send a request. Raises what `Link.request` raises."""
        loop = asyncio.get_running_loop()
        if call.message.method != DISCOVER:
            await link.request(call)
            return
        if loop.time() < self._older_until:
            call.fail(_not_known(call))
            return
        # Some end when anything comes before `initialize`.
        call.lost_as = _not_known(call)
        settled = call.settled = loop.create_future()
        settled.add_done_callback(lambda answer: self._judge(link, answer.result()))
        try:
            await link.request(call)
        except ChannelClosed as closed:
            # One that cannot even be started is no older one.
            if not closed.sent:
                raise
            call.fail(_not_known(call))
        if not settled.done():
            overdue = loop.call_later(DISCOVER_SECONDS, self._overdue, link, call)
            settled.add_done_callback(lambda _answer: overdue.cancel())

    def _overdue(self, link: Link, call: BridgeCall) -> None:
        # The client may be gone.
        if link.traffic.forget(call):
            call.fail(_not_known(call))

    def _judge(self, link: Link, answer: bytes) -> None:
        if _error_of(answer) not in {None, UNAVAILABLE, *MODERN_ERRORS}:
            self._older_until = asyncio.get_running_loop().time() + OLDER_SECONDS
            link.rest_soon()


def _not_known(call: BridgeCall) -> bytes:
    error = encoded({"code": METHOD_NOT_FOUND, "message": "Method not found"})
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (call.message.id, error)


def _text(raw: msgspec.Raw | None) -> str | None:
    try:
        return None if raw is None else msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _decoded(value: bytes) -> str | None:
    """A header's value, which may be `=?base64?…?=`."""
    text = value.decode("latin-1")
    if not (text.startswith("=?base64?") and text.endswith("?=")):
        return text
    try:
        return base64.b64decode(text[9:-2], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
