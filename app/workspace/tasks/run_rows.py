"""Runs of tasks in the database, and their log entries (docs/wire.md, "Runs" and "Run logs").

A run that was started is carried out by `app.workspace.runner`. Every function runs inside a transaction of its caller.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import uuid4

from app.workspace.runtime.clock import iso
from app.workspace.tasks.fields import PROVIDERS, TERMINAL
from app.workspace.tasks.task_rows import touch_task
from app.workspace.web.errors import validation

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

RESUMED = "resumed_in_cloud"
KEPT_IN_STATE = (
    "mode",
    "resume_from_run_id",
    "initial_permission_mode",
    "pr_authorship_mode",
    "auto_publish",
    "run_source",
    "signal_report_id",
    "pending_user_message",
    "pending_user_artifact_ids",
    "rtk_enabled",
    "context_window",
    "fast_mode",
    "imported_mcp_servers",
    "relayed_mcp_servers",
)


def create_run(
    db: sqlite3.Connection,
    task: sqlite3.Row,
    user_id: int,
    options: Mapping[str, object],
    environment: str,
    now: float,
) -> sqlite3.Row:
    """Create a run of `task`; `options` as `fields.read_run` returns them. A cloud run waits until it is started.

    Raises 400 when the run to resume is not one of this task.
    """
    resumed = options.get("resume_from_run_id")
    if resumed is not None and find_run(db, task["id"], str(resumed)) is None:
        raise validation("The run to resume does not belong to this task.", "resume_from_run_id", "does_not_exist")
    state = {name: options[name] for name in KEPT_IN_STATE if name in options}
    state["repositories"] = json.loads(task["repositories"])
    if options.get("branch"):
        state["pr_base_branch"] = options["branch"]
    run_id, moment, adapter = str(uuid4()), iso(now), options.get("runtime_adapter")
    db.execute(
        "INSERT INTO runs (id, task_id, branch, status, environment, runtime_adapter, provider, model,"
        " reasoning_effort, state, created_by, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            run_id,
            task["id"],
            options.get("branch"),
            "not_started" if environment == "cloud" else "queued",
            environment,
            adapter,
            PROVIDERS.get(str(adapter)),
            options.get("model"),
            options.get("reasoning_effort"),
            json.dumps(state),
            user_id,
            moment,
            moment,
        ),
    )
    touch_task(db, task["id"], moment)
    row = find_run(db, task["id"], run_id)
    assert row is not None
    return row


def find_run(db: sqlite3.Connection, task_id: str, run_id: str | None) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM runs WHERE id = ? AND task_id = ?", (run_id, task_id)
    ).fetchone()
    return row


def find_runs(db: sqlite3.Connection, task_id: str, limit: int, offset: int) -> tuple[list[sqlite3.Row], int]:
    """Runs of a task, newest first, and how many there are."""
    [count] = db.execute("SELECT count(*) FROM runs WHERE task_id = ?", (task_id,)).fetchone()
    rows = db.execute(
        "SELECT * FROM runs WHERE task_id = ? ORDER BY created_at DESC, rowid DESC LIMIT ? OFFSET ?",
        (task_id, limit, offset),
    ).fetchall()
    return rows, int(count)


def change_run(db: sqlite3.Connection, run: sqlite3.Row, values: Mapping[str, object], now: float) -> sqlite3.Row:
    """Set columns and merge `state`. A run that has ended is returned unchanged."""
    # The end is final, so that a late message of an agent cannot bring a cancelled run back.
    if run["status"] in TERMINAL:
        return run
    moment = iso(now)
    columns = {name: values[name] for name in ("status", "branch", "stage", "error_message") if name in values}
    if "environment" in values:
        columns["environment"] = values["environment"]
    if "output" in values:
        columns["output"] = None if values["output"] is None else json.dumps(values["output"])
    state = json.loads(run["state"])
    merged = values.get("state")
    if isinstance(merged, dict):
        state |= merged
    for key in _strings(values.get("state_remove_keys")):
        state.pop(key, None)
    columns |= {"state": json.dumps(state), "updated_at": moment}
    if columns.get("status") in TERMINAL:
        columns["completed_at"] = moment
    assignments = ", ".join(f"{name} = ?" for name in columns)
    db.execute(f"UPDATE runs SET {assignments} WHERE id = ?", (*columns.values(), run["id"]))
    touch_task(db, run["task_id"], moment)
    changed = find_run(db, run["task_id"], run["id"])
    assert changed is not None
    return changed


def state_of(run: sqlite3.Row) -> dict[str, object]:
    found: dict[str, object] = json.loads(run["state"])
    return found


def reopen_run(db: sqlite3.Connection, run: sqlite3.Row, now: float) -> sqlite3.Row:
    """Have a run carried out in the cloud, also one that has ended."""
    moment = iso(now)
    state = {**state_of(run), "mode": "interactive", RESUMED: True}
    # It was said already.
    for name in ("pending_user_message", "pending_user_artifact_ids", "cancel_reason"):
        state.pop(name, None)
    if run["environment"] != "cloud":
        # That branch is one of another machine.
        state.pop("pr_base_branch", None)
    db.execute(
        "UPDATE runs SET environment = 'cloud', status = 'queued', error_message = NULL, completed_at = NULL,"
        " state = ?, updated_at = ? WHERE id = ?",
        (json.dumps(state), moment, run["id"]),
    )
    touch_task(db, run["task_id"], moment)
    changed = find_run(db, run["task_id"], run["id"])
    assert changed is not None
    return changed


def set_output(db: sqlite3.Connection, run: sqlite3.Row, output: object, now: float) -> sqlite3.Row:
    """Replace the output, even of a run that has ended."""
    moment = iso(now)
    encoded = None if output is None else json.dumps(output)
    db.execute("UPDATE runs SET output = ?, updated_at = ? WHERE id = ?", (encoded, moment, run["id"]))
    touch_task(db, run["task_id"], moment)
    changed = find_run(db, run["task_id"], run["id"])
    assert changed is not None
    return changed


def append_log(db: sqlite3.Connection, run_id: str, entries: Iterable[object]) -> list[int]:
    """Store entries and return their positions, which grow over all runs."""
    positions = []
    for entry in entries:
        found = db.execute(
            "INSERT INTO log_entries (run_id, entry) VALUES (?, ?)", (run_id, json.dumps(entry, separators=(",", ":")))
        )
        assert found.lastrowid is not None
        positions.append(found.lastrowid)
    return positions


def log_entries(db: sqlite3.Connection, run_id: str) -> list[dict[str, object]]:
    """Every entry of a run in order."""
    rows = db.execute("SELECT entry FROM log_entries WHERE run_id = ? ORDER BY position", (run_id,)).fetchall()
    return [json.loads(row["entry"]) for row in rows]


def entries_after(db: sqlite3.Connection, run_id: str, position: int, most: int) -> list[sqlite3.Row]:
    """The next entries of a run: `position` and `entry`, which is JSON."""
    return db.execute(
        "SELECT position, entry FROM log_entries WHERE run_id = ? AND position > ? ORDER BY position LIMIT ?",
        (run_id, position, most),
    ).fetchall()


def last_position(db: sqlite3.Connection, run_id: str) -> int:
    """The position of the newest entry of a run, 0 without one."""
    found = db.execute("SELECT max(position) FROM log_entries WHERE run_id = ?", (run_id,)).fetchone()[0]
    return int(found or 0)


def with_ancestors(db: sqlite3.Connection, run: sqlite3.Row) -> list[sqlite3.Row]:
    """The run, preceded by the runs that it resumed, oldest first. A run that names itself again ends the chain."""
    chain, current = [run], run
    while True:
        earlier = json.loads(current["state"]).get("resume_from_run_id")
        found = find_run(db, run["task_id"], earlier) if isinstance(earlier, str) else None
        if found is None or any(found["id"] == row["id"] for row in chain):
            return chain[::-1]
        chain.append(found)
        current = found


def _strings(value: object) -> list[str]:
    return [key for key in value if isinstance(key, str)] if isinstance(value, list) else []
