"""JSON answers and the REST API's error envelope (docs/wire.md, "Error envelope")."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request


class ApiError(Exception):
    """A refusal: the HTTP status and the fields of the error envelope."""

    def __init__(
        self,
        status: int,
        kind: str,
        code: str,
        detail: str,
        attr: str | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        """`more` are members of the body beyond the envelope."""
        super().__init__(f"{status} {code}")
        self.status = status
        self.type = kind
        self.code = code
        self.detail = detail
        self.attr = attr
        self.headers = dict(headers or {})
        self.more = dict(more or {})

    def body(self) -> dict[str, object]:
        return {"type": self.type, "code": self.code, "detail": self.detail, "attr": self.attr, **self.more}

    def response(self) -> Response:
        return reply(self.body(), self.status, self.headers)


def not_found(detail: str = "Not found.") -> ApiError:
    return ApiError(404, "invalid_request", "not_found", detail)


def permission_denied(detail: str = "You do not have permission to perform this action.") -> ApiError:
    return ApiError(403, "authentication_error", "permission_denied", detail)


def validation(detail: str, attr: str | None = None, code: str = "invalid_input") -> ApiError:
    return ApiError(400, "validation_error", code, detail, attr)


def throttled(seconds: float) -> ApiError:
    wait = max(1, math.ceil(seconds))
    unit = "second" if wait == 1 else "seconds"
    return ApiError(
        429,
        "throttled_error",
        "throttled",
        f"Request was throttled. Expected available in {wait} {unit}.",
        headers={"Retry-After": str(wait)},
    )


def method_not_allowed(method: str) -> ApiError:
    return ApiError(405, "invalid_request", "method_not_allowed", f'Method "{method}" not allowed.')


def too_large() -> ApiError:
    return ApiError(413, "invalid_request", "request_too_large", "Request body too large.")


def server_error() -> ApiError:
    return ApiError(500, "server_error", "error", "A server error occurred.")


def parse_error(reason: str = "JSON parse error") -> ApiError:
    return ApiError(400, "invalid_request", "parse_error", reason)


def reply(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer in pure ASCII, so that even a lone surrogate that was received as an escape can be sent back."""
    content = json.dumps(data, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    return Response(content, status, dict(headers or {}), media_type="application/json")


async def api_error_response(_request: Request, error: Exception) -> Response:
    """Exception handler for `ApiError`."""
    assert isinstance(error, ApiError)
    return error.response()


async def http_error_response(request: Request, error: Exception) -> Response:
    """Exception handler for the router's own refusals: unknown path, wrong method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return not_found().response()
    if error.status_code == 405:
        refusal = method_not_allowed(request.method)
        refusal.headers.update(error.headers or {})
        return refusal.response()
    return ApiError(error.status_code, "invalid_request", "error", str(error.detail)).response()
