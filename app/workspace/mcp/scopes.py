"""Refuses a tool call before it runs when the token lacks the tool's scope (RFC 6750, section 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse

from app.workspace.web.fields import decode_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response
    from starlette.types import Message, Receive

    from app.workspace.accounts.credentials import BearerGrant


def refusal(grant: BearerGrant, scope: str | None) -> Response | None:
    """403 `insufficient_scope` for a token that lacks `scope`; None for one that has it."""
    if scope is None or grant.covers(scope):
        return None
    header = f'Bearer error="insufficient_scope", scope="{scope}"'
    return PlainTextResponse(f"This needs the scope {scope}.", 403, {"WWW-Authenticate": header})


def scope_of_call(body: bytes, scopes: Mapping[str, str]) -> str | None:
    """The scope of the tool that a message calls; None for any other message and for an unknown tool."""
    try:
        message = decode_json(body)
    except ValueError:
        return None
    match message:
        case {"method": "tools/call", "params": {"name": str(name)}}:
            return scopes.get(name)
        case _:
            return None


def replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that yields the body again that was read from `receive`, then what follows."""
    left = [body]

    async def received() -> Message:
        return {"type": "http.request", "body": left.pop(), "more_body": False} if left else await receive()

    return received
