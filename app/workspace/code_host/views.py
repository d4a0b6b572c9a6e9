"""REST views of the code host: installations, repositories, branches (docs/wire.md, "Repositories").

A dead token is a 401 in these views.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from starlette.responses import Response
from starlette.routing import Route

from app.workspace.accounts.credentials import authenticate, authenticate_in_project
from app.workspace.code_host import rows
from app.workspace.code_host.connecting import connect_url
from app.workspace.code_host.git import GitFailed
from app.workspace.code_host.repositories import RepositoryShelf, branches_of
from app.workspace.runtime.context import workspace_of
from app.workspace.web.errors import ApiError, not_found, reply, validation
from app.workspace.web.fields import checked_text, integer, json_object
from app.workspace.web.pagination import page, page_range
from app.workspace.web.throttle import MINUTE, Throttle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from app.workspace.runtime.context import Workspace

Item = TypeVar("Item")
PROJECT = "/api/environments/{project_id}/integrations/"
MINE = "/api/users/@me/integrations/"
DEFAULT_PAGE = 100
LARGEST_PAGE = 500


class RefreshThrottle(Throttle):
    """Ten refreshes of the list of repositories a minute for each project."""

    def __init__(self) -> None:
        super().__init__((10, MINUTE))


def routes() -> list[BaseRoute]:
    """The routes of this module, in matching order."""
    mine = f"{MINE}github/{{installation_id}}/"
    return [
        Route(PROJECT, integrations, methods=["GET"]),
        Route(f"{PROJECT}{{integration_id}}/github_repos/", project_repositories, methods=["GET"]),
        Route(f"{PROJECT}{{integration_id}}/github_repos/refresh/", refresh_project_repositories, methods=["POST"]),
        Route(f"{PROJECT}{{integration_id}}/github_branches/", project_branches, methods=["GET"]),
        Route(MINE, my_integrations, methods=["GET"]),
        Route(f"{MINE}github/start/", start, methods=["POST"]),
        Route(f"{mine}repos/", my_repositories, methods=["GET"]),
        Route(f"{mine}repos/refresh/", refresh_my_repositories, methods=["POST"]),
        Route(f"{mine}branches/", my_branches, methods=["GET"]),
        Route(mine, disconnect, methods=["DELETE"]),
        Route("/api/users/@me/github_login/", my_login, methods=["GET"]),
    ]


async def integrations(request: Request) -> Response:
    """The project's installations: the one of the code host."""
    await authenticate_in_project(request, "integration:read", challenge=True)
    return page(request, [rows.project_integration()], 1)


async def project_repositories(request: Request) -> Response:
    await _in_project(request)
    return await _repositories(request)


async def refresh_project_repositories(request: Request) -> Response:
    return await _refreshed(request, await _in_project(request))


async def project_branches(request: Request) -> Response:
    await _in_project(request)
    return await _branches(request)


async def my_integrations(request: Request) -> Response:
    """The accounts that the person has connected."""
    grant = await authenticate(request, "integration:read", challenge=True)
    row = await workspace_of(request).db.read(lambda db: rows.connected_account(db, grant.user_id))
    return reply({"results": [] if row is None else [rows.account_json(row)]})


async def start(request: Request) -> Response:
    """The address at which the person connects an account, to be opened in the browser."""
    grant = await authenticate(request, "integration:read", challenge=True)
    project = integer(await json_object(request), "team_id", minimum=1) or 0
    url = connect_url(workspace_of(request), grant.user_id, project)
    return reply({"install_url": url, "connect_flow": "oauth_authorize"})


async def my_repositories(request: Request) -> Response:
    await _mine(request)
    return await _repositories(request)


async def refresh_my_repositories(request: Request) -> Response:
    return await _refreshed(request, f"user-{await _mine(request)}")


async def my_branches(request: Request) -> Response:
    await _mine(request)
    return await _branches(request)


async def disconnect(request: Request) -> Response:
    grant = await authenticate(request, "integration:read", challenge=True)
    asked = str(request.path_params["installation_id"])
    if not await workspace_of(request).db.run(lambda db: rows.disconnect_account(db, grant.user_id, asked)):
        raise not_found()
    return Response(status_code=204)


async def my_login(request: Request) -> Response:
    grant = await authenticate(request, "user:read", challenge=True)
    row = await workspace_of(request).db.read(lambda db: rows.connected_account(db, grant.user_id))
    return reply({"github_login": None if row is None else row["login"]})


async def _in_project(request: Request) -> int:
    """The project of the path. Raises 404 for an installation that it does not have."""
    _, project = await authenticate_in_project(request, "integration:read", challenge=True)
    if str(request.path_params["integration_id"]) != str(rows.PROJECT_INTEGRATION):
        raise not_found()
    return project


async def _mine(request: Request) -> int:
    """The person who calls. Raises 404 for an installation that they have not connected."""
    grant = await authenticate(request, "integration:read", challenge=True)
    row = await workspace_of(request).db.read(lambda db: rows.connected_account(db, grant.user_id))
    if row is None or row["installation_id"] != request.path_params["installation_id"]:
        raise not_found()
    return grant.user_id


async def _repositories(request: Request) -> Response:
    found = await _all(workspace_of(request))
    shown, more = _page(request, found, [str(each["full_name"]) for each in found])
    return reply({"repositories": shown, "has_more": more})


async def _refreshed(request: Request, key: int | str) -> Response:
    workspace = workspace_of(request)
    workspace.state(RefreshThrottle).check(key, workspace.clock.now())
    return reply({"repositories": await _all(workspace, again=True)})


async def _branches(request: Request) -> Response:
    workspace = workspace_of(request)
    name = checked_text(request.query_params.get("repo", ""), "repo", maximum=255)
    if not name:
        raise validation("This field is required.", "repo", "required")
    try:
        repository = await workspace.state(RepositoryShelf).named(workspace, name)
        if repository is None:
            raise validation(f'The repository "{name}" does not exist.', "repo", "does_not_exist")
        found = await branches_of(repository)
    except GitFailed as failure:
        raise _unavailable(failure) from None
    shown, more = _page(request, found.names, found.names)
    return reply({"branches": shown, "default_branch": found.default, "has_more": more})


async def _all(workspace: Workspace, *, again: bool = False) -> list[dict[str, object]]:
    try:
        return [each.as_json() for each in await workspace.state(RepositoryShelf).all(workspace, again=again)]
    except GitFailed as failure:
        raise _unavailable(failure) from None


def _page(request: Request, items: Sequence[Item], names: Sequence[str]) -> tuple[list[Item], bool]:
    """The items of one page whose names contain `search`, and whether more follow."""
    words = checked_text(request.query_params.get("search", ""), "search", maximum=255).strip().casefold()
    asked = page_range(request, DEFAULT_PAGE, LARGEST_PAGE)
    matching = [item for item, name in zip(items, names, strict=True) if words in name.casefold()]
    end = asked.offset + asked.limit
    return matching[asked.offset : end], end < len(matching)


def _unavailable(failure: GitFailed) -> ApiError:
    return ApiError(503, "server_error", "code_host_unavailable", str(failure))
