"""The files of a run: what it was given and what it has made (docs/wire.md, "Files of a run").

Uploads go the way of `staged_files`. A download has an address of its own, which works for an hour without the bearer
token; what allows it is the signature in it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import Response
from starlette.routing import Route

from app.workspace.runtime.context import workspace_of
from app.workspace.tasks.run_json import file_json, run_files
from app.workspace.tasks.run_views import RUN, run_in_path
from app.workspace.tasks.staged_files import (
    EXPIRES_SECONDS,
    LARGEST,
    MOST,
    announced_file,
    finalize_files,
    listed_files,
    prepare_files,
    store_file,
    stored_path,
)
from app.workspace.tasks.task_views import reader, writer
from app.workspace.web.errors import ApiError, not_found, permission_denied, reply, validation
from app.workspace.web.fields import boolean, checked_text, choice, items, json_object

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from app.workspace.runtime.context import Workspace

FILES = f"{RUN}artifacts/"
DOWNLOADS = "/_downloads/"


def routes() -> list[BaseRoute]:
    """The routes of this module."""
    return [
        Route(FILES, store, methods=["POST"]),
        Route(f"{FILES}prepare_upload/", prepare, methods=["POST"]),
        Route(f"{FILES}finalize_upload/", finalize, methods=["POST"]),
        Route(f"{FILES}dismiss/", dismiss, methods=["POST"]),
        Route(f"{FILES}presign/", presign, methods=["POST"]),
        Route(f"{FILES}download/", download, methods=["POST"]),
        Route(f"{DOWNLOADS}{{file_id}}", presigned, methods=["GET"]),
    ]


async def store(request: Request) -> Response:
    """Store files whose content is in the request."""
    _, project = await writer(request)
    given = [(each, _content(each)) for each in listed_files(await json_object(request))]
    files = [(announced_file({**each, "size": len(content)}), content) for each, content in given]
    workspace = workspace_of(request)
    now = workspace.clock.now()

    def work(db: sqlite3.Connection) -> list[dict[str, object]]:
        run = run_in_path(db, request, project)
        return [store_file(db, run["task_id"], run["id"], file, content, now) for file, content in files]

    return reply({"artifacts": await workspace.db.run(work)})


async def prepare(request: Request) -> Response:
    """Announce files. The answer says where each is to be uploaded."""
    return await prepare_files(request, _run)


async def finalize(request: Request) -> Response:
    """Confirm that files were uploaded. Their ids can be given to the run from then on."""
    return await finalize_files(request, _run)


async def dismiss(request: Request) -> Response:
    """Hide files from clients, or show them again. They stay where they are."""
    _, project = await writer(request)
    body = await json_object(request)
    ids = items(body, "artifact_ids", lambda value: checked_text(value, "artifact_ids"), maximum=MOST)
    if not ids:
        raise validation("This field is required.", "artifact_ids", "required")
    dismissed = boolean(body, "dismissed", needed=True)

    def work(db: sqlite3.Connection) -> object:
        run = run_in_path(db, request, project)
        known = {row["id"] for row in run_files(db, run["id"])}
        if not known.issuperset(ids):
            words = "Artifact not found on this run"
            raise ApiError(404, "invalid_request", "not_found", words, more={"error": words})
        query = "UPDATE staged_files SET dismissed = ? WHERE id = ?"
        db.executemany(query, [(int(bool(dismissed)), each) for each in ids])
        return [file_json(row) for row in run_files(db, run["id"])]

    return reply({"artifacts": await workspace_of(request).db.run(work)})


async def presign(request: Request) -> Response:
    """The address at which a file can be read without the token."""
    file = await _file(request)
    workspace = workspace_of(request)
    expires = int(workspace.clock.now() + EXPIRES_SECONDS)
    key = _signature(workspace, file["id"], expires)
    url = f"{workspace.settings.url}{DOWNLOADS}{file['id']}?expires={expires}&signature={key}"
    return reply({"url": url, "expires_in": int(EXPIRES_SECONDS)})


async def download(request: Request) -> Response:
    return _sent(await _file(request))


async def presigned(request: Request) -> Response:
    workspace = workspace_of(request)
    file_id = request.path_params["file_id"]
    until = request.query_params.get("expires", "")
    given = request.query_params.get("signature", "")
    if not until.isascii() or not until.isdigit() or int(until[:18]) < workspace.clock.now():
        raise permission_denied("This address is too old.")
    if not hmac.compare_digest(given.encode(), _signature(workspace, file_id, int(until[:18])).encode()):
        raise permission_denied("This address was changed.")
    row = await workspace.db.read(
        lambda db: db.execute("SELECT * FROM staged_files WHERE id = ? AND finalized = 1", (file_id,)).fetchone()
    )
    if row is None:
        raise not_found()
    return _sent(row)


async def _file(request: Request) -> sqlite3.Row:
    """The file of the run that the body names. Raises 404 for any other."""
    _, project = await reader(request)
    path = stored_path(await json_object(request))

    def work(db: sqlite3.Connection) -> sqlite3.Row | None:
        run = run_in_path(db, request, project)
        query = "SELECT * FROM staged_files WHERE id = ? AND run_id = ? AND finalized = 1"
        row: sqlite3.Row | None = db.execute(query, (path, run["id"])).fetchone()
        return row

    row = await workspace_of(request).db.read(work)
    if row is None:
        raise not_found()
    return row


def _sent(file: sqlite3.Row) -> Response:
    # Never shown in a browser on the workspace's origin, whatever type was claimed.
    headers = {
        "Content-Disposition": f"attachment; filename*=utf-8''{quote(file['name'], safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    kind = file["content_type"]
    return Response(file["content"], 200, headers, media_type=kind if kind.isascii() and kind.isprintable() else None)


def _signature(workspace: Workspace, file_id: str, expires: int) -> str:
    message = f"{file_id}:{expires}".encode()
    return hmac.new(workspace.settings.secret.encode(), message, hashlib.sha256).hexdigest()


def _run(db: sqlite3.Connection, request: Request, project: int) -> tuple[str, str | None]:
    run = run_in_path(db, request, project)
    return run["task_id"], run["id"]


def _content(each: Mapping[str, object]) -> bytes:
    words = checked_text(each.get("content"), "content", maximum=2 * LARGEST)
    if (choice(each, "content_encoding", ("utf-8", "base64")) or "utf-8") == "utf-8":
        return words.encode()
    try:
        return base64.b64decode(words, validate=True)
    except binascii.Error:
        raise validation("This is no base64.", "content", "invalid") from None
