"""The proxy in front of an installation's MCP server (docs/wire.md, "Installation proxy").

Two credentials can fail here, and the body says which: the caller's failure is the REST API's error envelope, the
vendor's is `{"error": …}` or the vendor's own answer, passed on. Approval states are enforced with JSON-RPC errors.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from app.workspace.accounts.credentials import authenticate_in_project, bearer_of
from app.workspace.runtime.context import workspace_of
from app.workspace.store.addresses import absolute, is_loopback, url_problem
from app.workspace.store.oauth_client import VendorGrantEnded, VendorUnreachable, vendor_token
from app.workspace.store.rows import APPROVED, DO_NOT_USE, StoreInstallation, installation, tool
from app.workspace.store.state import CONNECT_SECONDS, StoreState
from app.workspace.web.errors import method_not_allowed, not_found, reply
from app.workspace.web.fields import decode_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import httpx2
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from app.workspace.runtime.context import Workspace

SCOPE = "project:read"
LARGEST_BODY = 1024 * 1024
FORWARDED = ("mcp-", "x-posthog-")
# What an MCP client needs. A vendor's other headers, such as cookies, are not for the caller.
RETURNED = ("content-type", "mcp-session-id", "cache-control", "x-accel-buffering", "retry-after")
BATCH, NEEDS_APPROVAL, DISABLED, UNKNOWN_TOOL = -32000, -32001, -32002, -32601


class _ProxyRefusal(Exception):
    """A refusal of the proxy itself, `{"error": …}`: about the vendor, the installation or the request."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error

    def response(self) -> Response:
        return reply({"error": self.error}, self.status)


def routes() -> list[BaseRoute]:
    """One route for all methods: a caller without a good token is told that before anything about the method."""
    path = "/api/environments/{project_id}/mcp_server_installations/{installation_id}/proxy/"
    return [Route(path, _proxy, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])]


async def _proxy(request: Request) -> Response:
    grant, project = await authenticate_in_project(request, SCOPE, challenge=True)
    workspace = workspace_of(request)
    if request.method != "POST":
        raise method_not_allowed(request.method)
    workspace.state(StoreState).throttles.check("proxy", str(grant.user_id), workspace.clock.now())
    wanted_id = str(request.path_params["installation_id"])
    wanted = await workspace.db.read(lambda db: installation(db, project, wanted_id))
    if wanted is None:
        raise not_found()
    try:
        if not wanted.is_enabled:
            raise _ProxyRefusal(403, "Server is disabled")
        raw = await _body(request)
        message = _message(raw)
        if isinstance(message, list):
            return _rpc_error(None, BATCH, "Batch requests are not supported")
        refusal = await _policy(workspace, wanted, message)
        if refusal is not None:
            return refusal
        return await _forward(request, workspace, wanted, raw)
    except _ProxyRefusal as answer:
        return answer.response()


async def _body(request: Request) -> bytes:
    # Read to the end even if it is too large: a caller that is still sending might not see the answer.
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size <= LARGEST_BODY:
            pieces.append(piece)
    if size > LARGEST_BODY:
        raise _ProxyRefusal(413, "Request body too large")
    return b"".join(pieces)


def _message(raw: bytes) -> dict[str, object] | list[object]:
    try:
        message = decode_json(raw)
    except ValueError:
        message = None
    if not isinstance(message, dict | list):
        raise _ProxyRefusal(400, "Request body must be valid JSON")
    return message


async def _policy(workspace: Workspace, wanted: StoreInstallation, message: dict[str, object]) -> Response | None:
    """The refusal of a tool call that the approval states do not allow; None for everything else.

    The decision is made on the parsed message, but the raw body is forwarded. So a call whose tool is not certain (a
    batch, no name, a name that is not valid Unicode) is refused, never passed on. So is a tool that is not in the
    stored list: nobody has decided on it.
    """
    if message.get("method") != "tools/call":
        return None
    params = message.get("params")
    name = params.get("name") if isinstance(params, dict) else None
    request_id = message.get("id")
    if not isinstance(name, str) or not name:
        return _rpc_error(request_id, UNKNOWN_TOOL, "Tool name is missing")
    shown = name[:200]
    row = None
    # SQLite cannot be asked for a lone surrogate, and no listed tool has one.
    if shown == name and not any("\ud800" <= character <= "\udfff" for character in name):
        row = await workspace.db.read(lambda db: tool(db, wanted.id, name))
    if row is None:
        return _rpc_error(request_id, UNKNOWN_TOOL, f"Tool '{shown}' is not registered for this server")
    if row["removed_at"] is not None:
        return _rpc_error(request_id, UNKNOWN_TOOL, f"Tool '{shown}' is no longer available")
    if row["approval_state"] == DO_NOT_USE:
        return _rpc_error(request_id, DISABLED, f"Tool '{shown}' has been disabled by the user")
    if row["approval_state"] != APPROVED:
        return _rpc_error(request_id, NEEDS_APPROVAL, f"Tool '{shown}' requires approval before it can be called")
    return None


def _rpc_error(request_id: object, code: int, message: str) -> Response:
    known = request_id if isinstance(request_id, str | int | float) else None
    return reply({"jsonrpc": "2.0", "id": known, "error": {"code": code, "message": message}})


async def _forward(request: Request, workspace: Workspace, wanted: StoreInstallation, raw: bytes) -> Response:
    url = absolute(wanted.url, workspace.settings.url)
    problem = url_problem(url)
    if problem is not None:
        raise _ProxyRefusal(400, f"URL not allowed: {problem}")
    # Before the address is looked at: a server that was never connected says so, whether or not it could be reached.
    credential = await _credential(request, workspace, wanted, None)
    if not is_loopback(url):
        raise _ProxyRefusal(502, "Upstream MCP server unreachable")
    headers = {
        "content-type": "application/json",
        "accept": request.headers.get("accept", "application/json, text/event-stream"),
        # The body is passed on as it comes, without a Content-Encoding header.
        "accept-encoding": "identity",
        **{name: value for name, value in request.headers.items() if name.startswith(FORWARDED)},
    }
    answer = await _send(request, workspace, url, headers, credential, raw)
    # One refresh and one repetition: a second 401 is the vendor's answer and goes to the caller as it is.
    if answer.status_code == 401 and wanted.auth_type == "oauth":
        await answer.aclose()
        credential = await _credential(request, workspace, wanted, credential)
        answer = await _send(request, workspace, url, headers, credential, raw)
    # A redirect is neither followed nor passed on: it could lead the credential to another host.
    if 300 <= answer.status_code < 400:
        await answer.aclose()
        raise _ProxyRefusal(502, "Upstream MCP server unreachable")
    returned = {name: value for name, value in answer.headers.items() if name in RETURNED}
    return StreamingResponse(_pieces(answer), answer.status_code, returned)


async def _credential(request: Request, workspace: Workspace, wanted: StoreInstallation, refused: str | None) -> str:
    """The bearer that the upstream is sent. `refused` is the vendor's token that was just refused, if one was."""
    # The one server that may see the person's own token (docs/wire.md, "Installation proxy").
    if wanted.is_own_server:
        return bearer_of(request) or ""
    if wanted.auth_type == "api_key":
        if not wanted.api_key:
            raise _ProxyRefusal(401, "No credentials configured")
        return wanted.api_key
    if wanted.pending_oauth:
        raise _ProxyRefusal(401, "No credentials configured")
    if wanted.needs_reauth:
        raise _ProxyRefusal(401, "Installation needs re-authentication")
    try:
        return await vendor_token(workspace, wanted, refused)
    except VendorGrantEnded:
        # Said by the call that finds the grant ended. Later calls say that re-authentication is needed.
        raise _ProxyRefusal(401, "Authentication failed") from None
    except VendorUnreachable:
        raise _ProxyRefusal(502, "Upstream MCP server unreachable") from None


async def _send(
    request: Request, workspace: Workspace, url: str, headers: dict[str, str], credential: str, raw: bytes
) -> httpx2.Response:
    """Send one upstream request and wait for its headers; cancelled when the caller disconnects."""
    state = workspace.state(StoreState)
    client = await state.http()
    import httpx2

    limit = httpx2.Timeout(state.upstream_seconds, connect=min(CONNECT_SECONDS, state.upstream_seconds))
    sent = {**headers, "authorization": f"Bearer {credential}"}
    outgoing = client.build_request("POST", url, content=raw, headers=sent, timeout=limit)
    try:
        return await _while_connected(request, lambda: client.send(outgoing, stream=True))
    except httpx2.TimeoutException as trouble:
        words = "unreachable" if isinstance(trouble, httpx2.ConnectTimeout) else "timed out"
        raise _ProxyRefusal(502, f"Upstream MCP server {words}") from None
    except httpx2.HTTPError:
        raise _ProxyRefusal(502, "Upstream MCP server unreachable") from None


async def _while_connected(request: Request, work: Callable[[], Awaitable[httpx2.Response]]) -> httpx2.Response:
    """Run `work`; cancel it when the caller disconnects, so that a cancelled call ends upstream too."""
    working = asyncio.ensure_future(work())
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise _ProxyRefusal(502, "Upstream MCP server unreachable")
        return await working
    finally:
        for task in (working, leaving):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leaving


async def _gone(request: Request) -> None:
    """Wait until the caller has disconnected. The body was read before, so nothing else is left to come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _pieces(answer: httpx2.Response) -> AsyncIterator[bytes]:
    import httpx2

    try:
        # The status was sent already, so an upstream that breaks off can only end the body.
        with contextlib.suppress(httpx2.HTTPError):
            async for piece in answer.aiter_raw():
                yield piece
    finally:
        await answer.aclose()
