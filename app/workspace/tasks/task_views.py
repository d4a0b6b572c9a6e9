"""REST views of tasks (docs/wire.md, "Tasks"). A dead token is a 403 here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from app.workspace.accounts.credentials import authenticate_in_project
from app.workspace.code_host.git import GitFailed
from app.workspace.code_host.repositories import RepositoryShelf
from app.workspace.code_host.rows import connected_account
from app.workspace.runtime.context import workspace_of
from app.workspace.tasks import task_rows
from app.workspace.tasks.fields import STATUSES, does_not_exist, read_new_task, read_task_change, valid_ids
from app.workspace.tasks.models import MODELS
from app.workspace.tasks.run_control import RunControl
from app.workspace.tasks.task_rows import TaskFilters
from app.workspace.tasks.usage import usage_of_task
from app.workspace.web.errors import not_found, reply, validation
from app.workspace.web.fields import as_uuid, boolean, checked_text, json_object
from app.workspace.web.pagination import page, page_range

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from app.workspace.accounts.credentials import BearerGrant

BASE = "/api/projects/{project_id}/tasks/"
MOST_FOUND = 50
MOST_SUMMARIES = 5000


def routes() -> list[BaseRoute]:
    """The routes of this module, in matching order."""
    return [
        Route(BASE, list_tasks, methods=["GET"]),
        Route(BASE, create, methods=["POST"]),
        Route(f"{BASE}search/", search, methods=["GET"]),
        Route(f"{BASE}summaries/", summaries, methods=["POST"]),
        Route(f"{BASE}repositories/", repositories, methods=["GET"]),
        Route(f"{BASE}repository_readiness/", repository_readiness, methods=["GET"]),
        Route(f"{BASE}models/", models, methods=["GET"]),
        Route(f"{BASE}pinned/", pinned, methods=["GET"]),
        Route(f"{BASE}{{task_id}}/", retrieve, methods=["GET"]),
        Route(f"{BASE}{{task_id}}/", change, methods=["PATCH", "PUT"]),
        Route(f"{BASE}{{task_id}}/", delete, methods=["DELETE"]),
        Route(f"{BASE}{{task_id}}/pin/", pin, methods=["POST"]),
        Route(f"{BASE}{{task_id}}/usage/", usage, methods=["GET"]),
    ]


async def reader(request: Request) -> tuple[BearerGrant, int]:
    """Authenticate for reading tasks: the credential and the project."""
    return await authenticate_in_project(request, "task:read", challenge=False)


async def writer(request: Request) -> tuple[BearerGrant, int]:
    """Authenticate for changing tasks: the credential and the project."""
    return await authenticate_in_project(request, "task:write", challenge=False)


def task_in_path(db: sqlite3.Connection, request: Request, project: int) -> sqlite3.Row:
    """The task in the path. Raises 404 when the project has no such task."""
    row = task_rows.find_task(db, project, as_uuid(request.path_params["task_id"]))
    if row is None:
        raise not_found()
    return row


async def list_tasks(request: Request) -> Response:
    grant, project = await reader(request)
    filters, asked = _filters(request.query_params), page_range(request)
    ordering = request.query_params.get("ordering", task_rows.DEFAULT_ORDERING)
    rows, count = await workspace_of(request).db.read(
        lambda db: task_rows.find_tasks(db, project, grant.user_id, filters, ordering, asked.limit, asked.offset)
    )
    return page(request, rows, count, asked)


async def create(request: Request) -> Response:
    grant, project = await writer(request)
    values = read_new_task(await json_object(request))
    workspace = workspace_of(request)
    now = workspace.clock.now()

    def work(db: sqlite3.Connection) -> dict[str, object]:
        _check_account(db, grant.user_id, values)
        return task_rows.create_task(db, project, grant.user_id, values, now)

    return reply(await workspace.db.run(work), 201)


async def search(request: Request) -> Response:
    _, project = await reader(request)
    words = checked_text(request.query_params.get("q", ""), "q", maximum=500).strip()
    limit = page_range(request, MOST_FOUND, MOST_FOUND).limit
    if not words:
        return reply([])
    return reply(await workspace_of(request).db.read(lambda db: task_rows.search_everything(db, project, words, limit)))


async def summaries(request: Request) -> Response:
    _, project = await reader(request)
    ids = valid_ids(await json_object(request), "ids", MOST_SUMMARIES)
    asked = page_range(request)
    rows, count = await workspace_of(request).db.read(
        lambda db: task_rows.summaries(db, project, ids, asked.limit, asked.offset)
    )
    return page(request, rows, count, asked)


async def repositories(request: Request) -> Response:
    _, project = await reader(request)
    found = await workspace_of(request).db.read(lambda db: task_rows.repositories(db, project))
    return reply({"repositories": found})


async def repository_readiness(request: Request) -> Response:
    """A repository is ready when the workspace has it."""
    await reader(request)
    workspace = workspace_of(request)
    repository = checked_text(request.query_params.get("repository", ""), "repository", maximum=255)
    try:
        ready = await workspace.state(RepositoryShelf).named(workspace, repository) is not None
    except GitFailed:
        ready = False
    return reply({"repository": repository, "ready": ready, "reason": None if ready else "repository_not_found"})


async def models(request: Request) -> Response:
    """Those of the survey agent."""
    await reader(request)
    return reply({"models": [model.as_json() for model in MODELS]})


async def pinned(request: Request) -> Response:
    grant, project = await reader(request)
    ids = await workspace_of(request).db.read(lambda db: task_rows.pinned_ids(db, project, grant.user_id))
    return reply({"task_ids": ids})


async def retrieve(request: Request) -> Response:
    _, project = await reader(request)
    return reply(
        await workspace_of(request).db.read(lambda db: task_rows.task_json(db, task_in_path(db, request, project)))
    )


async def change(request: Request) -> Response:
    grant, project = await writer(request)
    values = read_task_change(await json_object(request))
    workspace = workspace_of(request)
    now = workspace.clock.now()

    def work(db: sqlite3.Connection) -> dict[str, object]:
        _check_account(db, grant.user_id, values)
        return task_rows.change_task(db, task_in_path(db, request, project), values, now)

    return reply(await workspace.db.run(work))


async def delete(request: Request) -> Response:
    _, project = await writer(request)
    workspace = workspace_of(request)
    now = workspace.clock.now()
    await workspace.db.run(lambda db: task_rows.delete_task(db, task_in_path(db, request, project), now))
    # Its runs end.
    workspace.state(RunControl).wake()
    return Response(status_code=204)


async def pin(request: Request) -> Response:
    grant, project = await writer(request)
    wanted = bool(boolean(await json_object(request), "pinned", needed=True))
    workspace = workspace_of(request)
    now = workspace.clock.now()

    def work(db: sqlite3.Connection) -> None:
        task_rows.pin_task(db, grant.user_id, task_in_path(db, request, project)["id"], wanted, now)

    await workspace.db.run(work)
    return reply({"pinned": wanted})


async def usage(request: Request) -> Response:
    _, project = await reader(request)
    return reply(
        await workspace_of(request).db.read(lambda db: usage_of_task(db, task_in_path(db, request, project)["id"]))
    )


def _check_account(db: sqlite3.Connection, user_id: int, values: Mapping[str, object]) -> None:
    """Raise 400 for an account of the code host that the person has not connected."""
    asked = values.get("github_user_integration")
    account = connected_account(db, user_id)
    if asked is not None and (account is None or account["id"] != asked):
        raise does_not_exist("github_user_integration", str(asked))


def _filters(query: Mapping[str, str]) -> TaskFilters:
    return TaskFilters(
        archived=_tristate(query, "archived", "false"),
        internal=_tristate(query, "internal", "false"),
        pinned=_tristate(query, "pinned", "all"),
        search=checked_text(query.get("search", ""), "search", maximum=500).strip() or None,
        status=_member(query, "status", STATUSES),
        stage=query.get("stage") or None,
        repository=query.get("repository") or None,
        organization=query.get("organization") or None,
        origin_product=query.get("origin_product") or None,
        created_by=_number(query, "created_by"),
        pr_state=query.get("pr_state") or None,
        ci_status=query.get("ci_status") or None,
        nothing=_names_what_no_task_has(query),
    )


def _names_what_no_task_has(query: Mapping[str, str]) -> bool:
    """Whether a filter names what no task here has: a comment, a mention, a channel or a flow."""
    named = [_number(query, "commented_by"), _number(query, "mentions"), _uuid(query, "channel")]
    return any(value is not None for value in named) or bool(query.get("hog_flow_id"))


def _tristate(query: Mapping[str, str], name: str, default: str) -> bool | None:
    """A filter of `true`, `false` or `all`; None for `all`."""
    value = query.get(name, "").lower() or default
    found = {"true": True, "1": True, "false": False, "0": False, "all": None}
    if value not in found:
        raise validation(f'"{value[:50]}" is not a valid choice.', name, "invalid_choice")
    return found[value]


def _member(query: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str | None:
    value = query.get(name) or None
    if value is not None and value not in allowed:
        raise validation(f'"{value[:50]}" is not a valid choice.', name, "invalid_choice")
    return value


def _number(query: Mapping[str, str], name: str) -> int | None:
    value = query.get(name)
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise validation("A valid integer is required.", name, "invalid")
    return int(value)


def _uuid(query: Mapping[str, str], name: str) -> str | None:
    value = query.get(name)
    if not value:
        return None
    found = as_uuid(value)
    if found is None:
        raise validation("Must be a valid UUID.", name, "invalid")
    return found
