"""Files that a client uploads for a run that it is about to start (docs/wire.md, "Files of a run").

An upload goes to an address of its own, without the bearer token. What allows it is the key among its fields.
"""

from __future__ import annotations

import hmac
import json
import secrets
from typing import TYPE_CHECKING
from uuid import uuid4

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from app.workspace.runtime.clock import iso
from app.workspace.runtime.context import workspace_of
from app.workspace.tasks.run_json import file_json
from app.workspace.tasks.task_views import BASE, task_in_path, writer
from app.workspace.web.errors import ApiError, not_found, permission_denied, reply, validation
from app.workspace.web.fields import checked_text, choice, json_object

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    # The ids of a task and, where the files belong to one, of a run, found in the path of a request to a project.
    FileOwner = Callable[[sqlite3.Connection, Request, int], tuple[str, str | None]]

STAGED = f"{BASE}{{task_id}}/staged_artifacts/"
UPLOADS = "/_uploads/"
TYPES = ("plan", "context", "reference", "output", "artifact", "tree_snapshot", "user_attachment", "skill_bundle")
MOST = 100
# The body of a request is bounded (`web/guard.py`), and the form around the file takes some of it.
LARGEST = 3 * 1024 * 1024
EXPIRES_SECONDS = 3600.0


def routes() -> list[BaseRoute]:
    """The routes of this module."""
    return [
        Route(f"{STAGED}prepare_upload/", prepare, methods=["POST"]),
        Route(f"{STAGED}finalize_upload/", finalize, methods=["POST"]),
        Route(f"{UPLOADS}{{file_id}}", upload, methods=["POST"]),
    ]


async def prepare(request: Request) -> Response:
    """Announce files. The answer says where each is to be uploaded."""
    return await prepare_files(request, _task)


async def prepare_files(request: Request, owner: FileOwner) -> Response:
    """Announce files of `owner`, which is found in the path of the request."""
    _, project = await writer(request)
    announced = [announced_file(each) for each in listed_files(await json_object(request))]
    workspace = workspace_of(request)
    expires = workspace.clock.now() + EXPIRES_SECONDS

    def work(db: sqlite3.Connection) -> list[dict[str, object]]:
        task_id, run_id = owner(db, request, project)
        return [stage_file(db, task_id, run_id, each, expires, workspace.settings.url) for each in announced]

    return reply({"artifacts": await workspace.db.run(work)})


async def upload(request: Request) -> Response:
    """Take a file: a multipart form with the fields of `presigned_post`, then `file`."""
    try:
        form = await request.form(max_files=1, max_fields=10)
    except HTTPException:
        raise validation("This is no form.", code="invalid") from None
    key, file = form.get("key"), form.get("file")
    if not isinstance(key, str) or not isinstance(file, UploadFile):
        raise validation("The form lacks its key or its file.", code="invalid")
    content = await file.read()
    workspace = workspace_of(request)
    now = workspace.clock.now()

    def work(db: sqlite3.Connection) -> None:
        row = db.execute("SELECT * FROM staged_files WHERE id = ?", (request.path_params["file_id"],)).fetchone()
        if row is None or not hmac.compare_digest(key.encode(), row["key"].encode()) or now > row["expires_at"]:
            raise permission_denied("This upload is not allowed.")
        if len(content) != row["size"]:
            raise validation("The file has another size than was announced.", "file", "invalid")
        db.execute("UPDATE staged_files SET content = ? WHERE id = ?", (content, row["id"]))

    await workspace.db.run(work)
    return Response(status_code=204)


async def finalize(request: Request) -> Response:
    """Confirm that files were uploaded. Their ids can be given to a run from then on."""
    return await finalize_files(request, _task)


async def finalize_files(request: Request, owner: FileOwner) -> Response:
    """Confirm that files of `owner` were uploaded."""
    _, project = await writer(request)
    paths = [stored_path(each) for each in listed_files(await json_object(request))]
    now = workspace_of(request).clock.now()

    def work(db: sqlite3.Connection) -> list[dict[str, object]]:
        task_id, _ = owner(db, request, project)
        return [finalize_file(db, task_id, path, now) for path in paths]

    return reply({"artifacts": await workspace_of(request).db.run(work)})


def _task(db: sqlite3.Connection, request: Request, project: int) -> tuple[str, str | None]:
    return task_in_path(db, request, project)["id"], None


def stored_path(each: Mapping[str, object]) -> str:
    return checked_text(each.get("storage_path"), "storage_path", maximum=200)


def check_files(db: sqlite3.Connection, task_id: str, ids: object, attr: str = "pending_user_artifact_ids") -> None:
    """Raise 400 when one of the files was not uploaded for this task or a run of it. `ids` may be None."""
    if not isinstance(ids, list):
        return
    known = {
        row["id"] for row in db.execute("SELECT id FROM staged_files WHERE task_id = ? AND finalized = 1", (task_id,))
    }
    missing = [each for each in ids if each not in known]
    if missing:
        detail = "Some artifacts do not exist."
        more = {"error": detail, "missing_artifact_ids": missing}
        raise ApiError(400, "validation_error", "missing_artifacts", detail, attr, more=more)


def attach_files(db: sqlite3.Connection, run: sqlite3.Row) -> None:
    """Make the files that a run is started with its own."""
    ids = json.loads(run["state"]).get("pending_user_artifact_ids") or []
    db.executemany("UPDATE staged_files SET run_id = ? WHERE id = ?", [(run["id"], each) for each in ids])


def listed_files(body: Mapping[str, object]) -> list[Mapping[str, object]]:
    given = body.get("artifacts")
    if not isinstance(given, list) or not given or len(given) > MOST or not all(isinstance(x, dict) for x in given):
        raise validation(f"Expected a list of 1 to {MOST} objects.", "artifacts", "invalid")
    return given


def announced_file(each: Mapping[str, object]) -> dict[str, object]:
    size = each.get("size")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= LARGEST:
        raise validation(f"A file has {LARGEST // 2**20} MB at most.", "size", "invalid")
    return {
        "name": checked_text(each.get("name"), "name", maximum=255, blank=False),
        "type": choice(each, "type", TYPES) or "artifact",
        "source": checked_text(each.get("source") or "", "source", maximum=100),
        "size": size,
        "content_type": checked_text(each.get("content_type") or "application/octet-stream", "content_type"),
    }


def stage_file(
    db: sqlite3.Connection, task_id: str, run_id: str | None, file: Mapping[str, object], expires: float, origin: str
) -> dict[str, object]:
    file_id, key = str(uuid4()), secrets.token_urlsafe(32)
    db.execute(
        "INSERT INTO staged_files (id, task_id, run_id, name, type, source, content_type, size, key, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(file_id, task_id, run_id, file["name"], file["type"], file["source"], file["content_type"]),
            *(file["size"], key, expires),
        ),
    )
    return {
        **file,
        "id": file_id,
        "storage_path": file_id,
        "expires_in": int(EXPIRES_SECONDS),
        "presigned_post": {"url": f"{origin}{UPLOADS}{file_id}", "fields": {"key": key}},
    }


def finalize_file(db: sqlite3.Connection, task_id: str, path: str, now: float) -> dict[str, object]:
    row = db.execute("SELECT * FROM staged_files WHERE id = ? AND task_id = ?", (path, task_id)).fetchone()
    if row is None:
        raise not_found()
    if row["content"] is None:
        raise validation("The file was not uploaded.", "storage_path", "invalid")
    db.execute("UPDATE staged_files SET finalized = 1, uploaded_at = ? WHERE id = ?", (iso(now), path))
    row = db.execute("SELECT * FROM staged_files WHERE id = ?", (path,)).fetchone()
    return file_json(row)


def store_file(
    db: sqlite3.Connection, task_id: str, run_id: str, file: Mapping[str, object], content: bytes, now: float
) -> dict[str, object]:
    """Store a file of a run at once. `file` as `announced_file` returns it."""
    staged = stage_file(db, task_id, run_id, file, 0.0, "")
    db.execute("UPDATE staged_files SET content = ? WHERE id = ?", (content, staged["id"]))
    return finalize_file(db, task_id, str(staged["id"]), now)
