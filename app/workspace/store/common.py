"""What the store's views share: authentication, bare refusals, an installation as an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.workspace.accounts.credentials import authenticate_in_project
from app.workspace.store.rows import installation
from app.workspace.web.errors import not_found, reply

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from app.workspace.accounts.credentials import BearerGrant
    from app.workspace.runtime.context import Workspace

SCOPE = "project:read"
BASE = "/api/environments/{project_id}"
INSTALLATIONS = f"{BASE}/mcp_server_installations"


class StoreRefusal(Exception):
    """A refusal with a bare `{"detail": …}` instead of the error envelope, as PostHog's store answers."""

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status

    def response(self) -> Response:
        return reply({"detail": self.detail}, self.status)


async def store_caller(request: Request) -> tuple[BearerGrant, int]:
    """Authenticate for the store: the credential and the project."""
    return await authenticate_in_project(request, SCOPE, challenge=True)


async def installation_reply(workspace: Workspace, project: int, wanted: str, status: int = 200) -> Response:
    """An installation as JSON. Raises 404."""
    found = await workspace.db.read(lambda db: installation(db, project, wanted))
    if found is None:
        raise not_found()
    return reply(found.as_json(workspace.settings.url), status)
