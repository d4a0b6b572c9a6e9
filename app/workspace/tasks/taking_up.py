"""REST views by which somebody else takes up a run, or its conversation ends (docs/wire.md, "Runs").

A dead token is a 403 here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from app.workspace.code_host.rows import connected_account
from app.workspace.runtime.clock import iso
from app.workspace.runtime.context import workspace_of
from app.workspace.tasks import run_rows
from app.workspace.tasks.feeds import RunFeeds
from app.workspace.tasks.fields import TERMINAL
from app.workspace.tasks.run_faults import RunFaults, github_needed
from app.workspace.tasks.run_json import run_json
from app.workspace.tasks.run_tokens import CONNECTION, RunTokens
from app.workspace.tasks.run_views import RUN, run_in_path, told_change
from app.workspace.tasks.task_views import writer
from app.workspace.web.errors import ApiError, reply

if TYPE_CHECKING:
    import sqlite3

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

CLEARED = "_posthog/conversation_cleared"


def routes() -> list[BaseRoute]:
    """The routes of this module."""
    return [
        Route(f"{RUN}resume_in_cloud/", resume_in_cloud, methods=["POST"]),
        Route(f"{RUN}connection_token/", connection_token, methods=["GET"]),
        Route(f"{RUN}clear_conversation/", clear_conversation, methods=["POST"]),
    ]


async def resume_in_cloud(request: Request) -> Response:
    """Carry a run on in the cloud that was carried out elsewhere, or had ended."""
    grant, project = await writer(request)
    workspace = workspace_of(request)
    now = workspace.clock.now()

    def check(db: sqlite3.Connection) -> None:
        run = run_in_path(db, request, project)
        if run["environment"] == "cloud" and run["status"] not in TERMINAL:
            raise _refused(400, "already_active", "Run is already active in cloud")
        if run_rows.state_of(run).get("pr_authorship_mode") == "user" and connected_account(db, grant.user_id) is None:
            raise github_needed()

    await workspace.db.read(check)
    workspace.state(RunFaults).refuse_start(now)

    def work(db: sqlite3.Connection) -> dict[str, object]:
        check(db)
        return run_json(db, run_rows.reopen_run(db, run_in_path(db, request, project), now), project)

    shown = await workspace.db.run(work)
    told_change(workspace, str(shown["id"]))
    return reply(shown)


async def connection_token(request: Request) -> Response:
    """A token for the agent of a run. The workspace's agents have no address of their own at which it could be used."""
    grant, project = await writer(request)
    workspace = workspace_of(request)
    run = await workspace.db.read(lambda db: run_in_path(db, request, project))
    token = workspace.state(RunTokens).issue(CONNECTION, run["id"], grant.user_id, workspace.clock.now())
    return reply({"token": token})


async def clear_conversation(request: Request) -> Response:
    """Note in the log of a run that has ended that a run which resumes it is told nothing of what was said so far."""
    _, project = await writer(request)
    workspace = workspace_of(request)
    message = {"jsonrpc": "2.0", "method": CLEARED, "params": {}}
    entry = {"type": "notification", "timestamp": iso(workspace.clock.now()), "notification": message}

    def work(db: sqlite3.Connection) -> tuple[dict[str, object], list[int]]:
        run = run_in_path(db, request, project)
        if run["status"] not in TERMINAL:
            raise _refused(409, "run_active", "Run is still active; send /clear to its agent instead")
        return run_json(db, run, project), run_rows.append_log(db, run["id"], [entry])

    shown, positions = await workspace.db.run(work)
    workspace.state(RunFeeds).appended(str(shown["id"]), zip(positions, [entry], strict=True))
    return reply(shown)


def _refused(status: int, code: str, words: str) -> ApiError:
    return ApiError(status, "invalid_request", code, words, more={"error": words})
