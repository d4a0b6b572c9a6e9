"""Whether a token reaches as far as what it is used for, told before anything runs (RFC 6750 section 3.1)."""

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
    """The answer to a token that lacks `scope`; None when it does not."""
    if scope is None or grant.covers(scope):
        return None
    header = f'Bearer error="insufficient_scope", scope="{scope}"'
    return PlainTextResponse(f"This needs the scope {scope}.", 403, {"WWW-Authenticate": header})


def scope_of_call(body: bytes, scopes: Mapping[str, str]) -> str | None:
    """What the tool needs that a message calls; None for any other message and for a tool that is not there."""
    try:
        message = decode_json(body)
    except ValueError:
        return None
    match message:
        case {"method": "tools/call", "params": {"name": str(name)}}:
            return scopes.get(name)
        case _:
            return None


def once_more(body: bytes, receive: Receive) -> Receive:
    """What is left to receive of a request whose body was read, with that body before it."""
    left = [body]

    async def received() -> Message:
        return {"type": "http.request", "body": left.pop(), "more_body": False} if left else await receive()

    return received
