"""The REST view that hands commands to the agent of a run (docs/wire.md, "Commands to a run").

A dead token is a 403 here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from app.workspace.runtime.context import workspace_of
from app.workspace.tasks.fields import TERMINAL
from app.workspace.tasks.run_control import CommandFailed, RunControl
from app.workspace.tasks.run_faults import RunFaults, sandbox_error, sandbox_not_ready
from app.workspace.tasks.run_views import RUN, run_in_path
from app.workspace.tasks.staged_files import check_files
from app.workspace.tasks.task_views import writer
from app.workspace.web.errors import ApiError, reply, validation
from app.workspace.web.fields import boolean, checked_text, items, json_object, mapping, text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

LONGEST_MESSAGE = 1_000_000


def routes() -> list[BaseRoute]:
    """The route of this module."""
    return [Route(f"{RUN}command/", command, methods=["POST"])]


async def command(request: Request) -> Response:
    """A JSON-RPC request for the agent; its own errors are a 200 with `error`."""
    _, project = await writer(request)
    body = await json_object(request)
    method = checked_text(body.get("method"), "method", maximum=100, blank=False)
    params = mapping(body, "params") or {}
    reply_id = body.get("id")
    workspace = workspace_of(request)

    def work(db: sqlite3.Connection) -> sqlite3.Row:
        run = run_in_path(db, request, project)
        if method == "user_message":
            check_files(db, run["task_id"], params.get("artifact_ids"), "artifact_ids")
        return run

    _check(method, params)
    run = await workspace.db.read(work)
    if run["status"] in TERMINAL:
        raise ApiError(409, "invalid_request", "run_ended", "Task run workflow has ended")
    failure = workspace.state(RunFaults).take_sandbox()
    if failure is not None:
        raise sandbox_error(failure)
    try:
        result = await workspace.state(RunControl).command(run["id"], method, params)
    except LookupError:
        raise sandbox_not_ready() from None
    except CommandFailed as refusal:
        error = {"code": refusal.code, "message": refusal.message}
        return reply({"jsonrpc": "2.0", "id": reply_id, "error": error})
    return reply({"jsonrpc": "2.0", "id": reply_id, "result": result})


def _check(method: str, params: Mapping[str, object]) -> None:
    """Raise 400 for parameters that no agent is asked with."""
    if method == "user_message":
        content = text(params, "content", maximum=LONGEST_MESSAGE)
        ids = items(params, "artifact_ids", lambda value: checked_text(value, "artifact_ids"), maximum=100)
        boolean(params, "steer")
        if not (content or "").strip() and not ids:
            raise validation("A message needs content or artifact_ids.", "content", "required")
    elif method == "permission_response":
        text(params, "requestId", maximum=200, needed=True, blank=False)
        text(params, "optionId", maximum=200, needed=True, blank=False)
        text(params, "customInput", maximum=LONGEST_MESSAGE)
        mapping(params, "answers")
    elif method == "set_config_option":
        text(params, "configId", maximum=200, needed=True, blank=False)
        text(params, "value", maximum=200, needed=True)
