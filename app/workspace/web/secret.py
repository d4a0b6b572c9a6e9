"""What only the holder of the workspace's secret may do: fault switches and login tickets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.workspace.runtime.context import workspace_of
from app.workspace.web.errors import not_found

if TYPE_CHECKING:
    from starlette.requests import Request

SECRET_HEADER = "x-workspace-secret"


def require_secret(request: Request) -> None:
    """Raises 404 without the secret of the ready line, so that the route seems not to exist."""
    if not workspace_of(request).settings.is_secret(request.headers.get(SECRET_HEADER, "")):
        raise not_found()
