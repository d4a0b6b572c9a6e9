"""Keeps what a run has made: its branch is pushed, and its documents and the whole change become files of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.workspace.runner.patience import patiently
from app.workspace.tasks import run_rows
from app.workspace.tasks.feeds import RunFeeds
from app.workspace.tasks.staged_files import store_file

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from app.workspace.runner.work_folder import WorkFolder
    from app.workspace.runtime.context import Workspace

SOURCE = "agent"
TRIES = 5


async def keep_what_was_made(workspace: Workspace, run: sqlite3.Row, folder: WorkFolder | None) -> None:
    """Push, store, and note both in the run; files of an earlier turn are replaced. Raises `GitFailed`."""
    if folder is None or not folder.is_repository:
        return
    output, made = await folder.push(), await folder.made()
    if not made:
        return
    now = workspace.clock.now()

    def keep(db: sqlite3.Connection) -> None:
        for file in made:
            query = "DELETE FROM staged_files WHERE run_id = ? AND source = ? AND name = ?"
            db.execute(query, (run["id"], SOURCE, file.name))
            named = {"name": file.name, "type": "output", "source": SOURCE, "size": len(file.content)}
            store_file(
                *(db, run["task_id"], run["id"]), {**named, "content_type": file.content_type}, file.content, now
            )

    await workspace.db.run(keep)
    await change(workspace, run, {"output": output, "branch": folder.branch} if output else {})


async def change(workspace: Workspace, run: sqlite3.Row, values: Mapping[str, object]) -> sqlite3.Row:
    """Change a run's row, tell those who watch it, and return it. One that has ended is returned as it is.

    A database that is busy or full is tried again a few times. Raises `sqlite3.Error`.
    """
    now = workspace.clock.now()

    def work(db: sqlite3.Connection) -> sqlite3.Row:
        found = run_rows.find_run(db, run["task_id"], run["id"])
        assert found is not None
        return run_rows.change_run(db, found, values, now)

    # Without its end a run would look as if it went on.
    row = await patiently(lambda: workspace.db.run(work), TRIES)
    workspace.state(RunFeeds).changed(run["id"])
    return row
