"""Parameters and error answers of the OAuth endpoints (RFC 6749 section 5.2; docs/wire.md, "Token endpoint errors")."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from app.workspace.web.errors import reply
from app.workspace.web.fields import decode_json

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
MOST_FIELDS = 100


class OAuthError(Exception):
    """A refusal: the `error` code, an optional description, and the HTTP status."""

    def __init__(self, error: str, description: str | None = None, status: int = 400) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status

    def response(self) -> Response:
        body = {"error": self.error}
        if self.description:
            body["error_description"] = self.description
        return reply(body, self.status, NO_STORE)


async def oauth_error_response(_request: Request, error: Exception) -> Response:
    """Exception handler for `OAuthError`."""
    assert isinstance(error, OAuthError)
    return error.response()


async def parameters(request: Request) -> dict[str, str]:
    """The parameters of a JSON or form body. Raises `OAuthError` invalid_request."""
    raw = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return _from_json(raw)
    if kind not in ("", "application/x-www-form-urlencoded"):
        raise OAuthError("invalid_request", "Send application/x-www-form-urlencoded or application/json.")
    try:
        pairs = parse_qsl(
            raw.decode("utf-8", "strict"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"
        )
    except ValueError:
        raise OAuthError("invalid_request", "Invalid form payload") from None
    return once(pairs)


def once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The parameters by name. Raises `OAuthError` for a repeated one (RFC 6749 sections 3.1 and 3.2)."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise OAuthError("invalid_request", f"Duplicate {name[:50]} parameter.")
        found[name] = value
    return found


def _from_json(raw: bytes) -> dict[str, str]:
    try:
        value = decode_json(raw)
    except ValueError:
        raise OAuthError("invalid_request", "Invalid JSON payload") from None
    if not isinstance(value, dict):
        raise OAuthError("invalid_request", "JSON payload must be an object")
    for name, member in value.items():
        if not isinstance(member, str):
            raise OAuthError("invalid_request", f"Parameter '{name[:50]}' must be a string")
    return value
