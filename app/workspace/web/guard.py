"""The outermost layer of the workspace: refuses foreign callers, counts requests, applies fault rules.

Plain ASGI, so that event streams pass through unbuffered. A page of another origin in a browser must not reach the
workspace. So the Host header must name this origin, which defeats DNS rebinding; so must an Origin header, if there is
one; and no CORS header is ever sent.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.workspace.runtime.fault_rules import FAULTS_PREFIX
from app.workspace.web.errors import ApiError, permission_denied, server_error, too_large

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    import uvicorn
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from app.workspace.runtime.context import Workspace
    from app.workspace.runtime.fault_rules import FaultRule

log = logging.getLogger("app.workspace")
BODY_LIMIT = 4 * 1024 * 1024

# By the client's address and port. An ASGI application has no other way to its connection.
_transports: MutableMapping[tuple[str, int], asyncio.Transport] = {}


class TrackedConnection(H11Protocol):
    """uvicorn's HTTP/1.1 protocol; registers its transport, so that a fault can close it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client is not None:
            _transports[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.client is not None:
            _transports.pop(self.client, None)
        super().connection_lost(exc)


def abort_connection(client: tuple[str, int] | None) -> None:
    """Close a client's connection without sending another byte. `client` is its address and port."""
    transport = _transports.get(client) if client is not None else None
    if transport is not None:
        transport.abort()


def connections(server: uvicorn.Server) -> list[asyncio.Transport]:
    """Every open connection of the server."""
    return [connection.transport for connection in list(server.server_state.connections)]


class RequestGuard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, workspace: Workspace) -> None:
        self._app = app
        self._workspace = workspace
        port = workspace.settings.url.rpartition(":")[2]
        self._hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(headers)
        if refusal is not None:
            await refusal.response()(scope, receive, send)
            return
        path = scope["path"]
        # Not counted and without faults: whatever was set can be lifted again.
        if path == FAULTS_PREFIX or path.startswith(f"{FAULTS_PREFIX}/"):
            await self._serve(scope, receive, send)
            return
        self._workspace.counters.request(path)
        rule, delay = self._workspace.faults.take(scope["method"], path)
        try:
            await self._workspace.pause(delay)
            if rule is None:
                await self._serve(scope, receive, send)
            elif rule.drop is not None:
                await self._drop(rule, scope, receive)
            else:
                await _answer(rule)(scope, receive, send)
        except asyncio.CancelledError:
            # Requests that are still open are cancelled at shutdown; that is no error to be logged.
            if not self._workspace.stopping.is_set():
                raise

    def _refusal(self, headers: Headers) -> ApiError | None:
        host = headers.get("host", "").lower()
        if host not in self._hosts or len(headers.getlist("host")) != 1:
            return ApiError(421, "invalid_request", "misdirected_request", "This host is not served here.")
        if any(origin.lower() != f"http://{host}" for origin in headers.getlist("origin")):
            return permission_denied("Requests from web pages of another origin are refused.")
        # Cut off before it is converted: Python refuses numbers of more than 4,300 digits.
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length[:18]) > BODY_LIMIT:
            return too_large()
        return None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Once an answer has begun, no other can be sent in its place.
        started = False
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > BODY_LIMIT:
                raise too_large()
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, counted, watched)
        except ApiError as refusal:
            if started:
                raise
            await refusal.response()(scope, receive, send)
        except Exception:
            log.exception("unexpected failure in %s %s", scope["method"], scope["path"])
            if started:
                raise
            await server_error().response()(scope, receive, send)

    async def _drop(self, rule: FaultRule, scope: Scope, receive: Receive) -> None:
        async def silence(_message: Message) -> None:
            return

        if rule.drop == "after_commit":
            await self._serve(scope, receive, silence)
        client: Any = scope.get("client")
        abort_connection(None if client is None else (client[0], client[1]))
        # uvicorn answers 500 for an application that returns without a response: wait until it knows of the end.
        while (await receive())["type"] != "http.disconnect":
            continue


def _answer(rule: FaultRule) -> Response:
    response = Response(rule.body, rule.status or 200, media_type=None)
    names = {name.lower() for name in rule.headers}
    if rule.body and "content-type" not in names:
        response.headers["content-type"] = rule.content_type
    for name, value in rule.headers.items():
        response.headers[name] = value
    return response
