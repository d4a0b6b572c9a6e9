"""Limit and offset pages: count, next, previous, results (docs/wire.md, "Pagination")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from app.workspace.runtime.context import workspace_of
from app.workspace.web.errors import reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

DEFAULT_LIMIT = 50
LARGEST_LIMIT = 100
LARGEST_OFFSET = 2**31 - 1


@dataclass(frozen=True)
class PageRange:
    """Which of all rows a request asks for."""

    limit: int
    offset: int


def page_range(request: Request, default: int = DEFAULT_LIMIT, maximum: int = LARGEST_LIMIT) -> PageRange:
    """Read `limit` and `offset`. As in PostHog, an invalid value means the default and a large one the maximum."""
    limit = _natural(request.query_params.get("limit"), maximum) or default
    offset = _natural(request.query_params.get("offset"), LARGEST_OFFSET) or 0
    return PageRange(limit, offset)


def page(request: Request, rows: Sequence[object], count: int, asked: PageRange | None = None) -> Response:
    """One page as JSON. `rows` are those of the range `asked`, `count` is the number of all rows."""
    asked = asked or page_range(request)
    after = asked.offset + asked.limit
    before = max(0, asked.offset - asked.limit)
    return reply(
        {
            "count": count,
            "next": _link(request, asked.limit, after) if after < count else None,
            "previous": _link(request, asked.limit, before) if asked.offset > 0 else None,
            "results": list(rows),
        }
    )


def _natural(value: str | None, maximum: int) -> int | None:
    if value is None or not value.isascii() or not value.isdigit():
        return None
    return min(int(value[:12]), maximum)


def _link(request: Request, limit: int, offset: int) -> str:
    query = [(key, value) for key, value in request.query_params.multi_items() if key not in ("limit", "offset")]
    query += [("limit", str(limit)), ("offset", str(offset))] if offset else [("limit", str(limit))]
    return f"{workspace_of(request).settings.url}{request.url.path}?{urlencode(query)}"
