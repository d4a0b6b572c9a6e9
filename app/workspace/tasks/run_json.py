"""Runs and their files as the API shows them (docs/wire.md, "Runs" and "Files of a run").

Every function runs inside a transaction of its caller.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

FILE_FIELDS = ("id", "name", "type", "source", "size", "content_type", "uploaded_at", "dismissed")


def run_json(db: sqlite3.Connection, row: sqlite3.Row, project: int) -> dict[str, object]:
    """The TaskRun object. `log_url` is always null: no log is stored elsewhere, `session_logs/` has all of it."""
    return {**run_columns(row, project), "artifacts": [file_json(each) for each in run_files(db, row["id"])]}


def run_files(db: sqlite3.Connection, run_id: str) -> list[sqlite3.Row]:
    """The files of a run, without their contents, which have megabytes."""
    query = f"SELECT {', '.join(FILE_FIELDS)} FROM staged_files WHERE run_id = ? AND finalized = 1 ORDER BY rowid"
    return db.execute(query, (run_id,)).fetchall()


def file_json(row: sqlite3.Row) -> dict[str, object]:
    """A file of a run, as its list of artifacts has it."""
    shown = {name: row[name] for name in FILE_FIELDS}
    return {**shown, "dismissed": bool(row["dismissed"]), "storage_path": row["id"]}


def run_columns(row: sqlite3.Row, project: int) -> dict[str, object]:
    """The TaskRun object without its files."""
    return {
        "id": row["id"],
        "task": row["task_id"],
        "team": project,
        "stage": row["stage"],
        "branch": row["branch"],
        "status": row["status"],
        "environment": row["environment"],
        "runtime_adapter": row["runtime_adapter"],
        "provider": row["provider"],
        "model": row["model"],
        "reasoning_effort": row["reasoning_effort"],
        "log_url": None,
        "error_message": row["error_message"],
        "output": json.loads(row["output"]) if row["output"] else None,
        "state": json.loads(row["state"]),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "completed_at": row["completed_at"],
    }
