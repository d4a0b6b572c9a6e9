"""Runner: picks the runs that were started, and carries out a few of them at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING

from app.workspace.code_host.git import GitFailed
from app.workspace.runner import credentials
from app.workspace.runner.commands import COMMANDS
from app.workspace.runner.made import change, keep_what_was_made
from app.workspace.runner.patience import patiently
from app.workspace.runner.run import STOPPED, CarriedRun
from app.workspace.runner.work_folder import CLONE, WorkFolder, folder_of
from app.workspace.tasks.fields import TERMINAL
from app.workspace.tasks.run_control import CommandFailed, RunControl

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from app.workspace.runtime.context import Workspace

log = logging.getLogger(__name__)
METHOD_NOT_FOUND = -32601
WAITING = (
    "SELECT r.* FROM runs r JOIN tasks t ON t.id = r.task_id WHERE r.status = 'queued' AND r.environment = 'cloud'"
    " AND t.deleted = 0 ORDER BY r.created_at, r.rowid"
)
STILL_WANTED = "SELECT r.id, r.status, t.deleted FROM runs r JOIN tasks t ON t.id = r.task_id WHERE r.id = ?"
LEFT = "SELECT * FROM runs WHERE status = 'in_progress' AND json_extract(state, '$.sandbox_alive')"


class Runner:
    """Carries out the runs of one workspace; see `app.workspace.tasks.run_control.CarriedOut`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._loop = asyncio.get_running_loop()
        self._runs: dict[str, tuple[CarriedRun, asyncio.Task[None]]] = {}
        self._wanted = asyncio.Event()
        self._wanted.set()

    async def carry_out(self) -> None:
        """Until the workspace stops; then every agent is ended."""
        await patiently(self._clear_up)
        self._workspace.state(RunControl).runner = self
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                await patiently(self._begin)
        finally:
            self._workspace.state(RunControl).runner = None
            tasks = [task for _, task in self._runs.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self) -> None:
        self._wanted.set()

    async def command(self, run_id: str, method: str, params: Mapping[str, object]) -> dict[str, object]:
        run = self._found(run_id)
        if run is None or not run.ready:
            raise LookupError(run_id)
        handler = COMMANDS.get(method)
        if handler is None:
            raise CommandFailed(METHOD_NOT_FOUND, f"Method not found: {method}")
        return await handler(run, params)

    def cancel(self, run_id: str) -> bool:
        run = self._found(run_id)
        if run is None:
            return False
        self._loop.call_soon_threadsafe(run.end, "cancelled")
        return True

    async def kill_agents(self) -> int:
        return sum([await run.kill() for run, _ in list(self._runs.values())])

    def active(self) -> int:
        return len(self._runs)

    def _found(self, run_id: str) -> CarriedRun | None:
        found = self._runs.get(run_id)
        return None if found is None else found[0]

    async def _begin(self) -> None:
        """Begin as many runs as there is room for, and end those that somebody else has ended."""
        ids = tuple(self._runs)

        def find(db: sqlite3.Connection) -> tuple[list[sqlite3.Row], list[sqlite3.Row], list[str]]:
            waiting = [row for row in db.execute(WAITING).fetchall() if row["id"] not in ids]
            waiting = waiting[: self._workspace.settings.most_runs - len(ids)] if self._room(ids) else []
            tasks = [db.execute("SELECT * FROM tasks WHERE id = ?", (row["task_id"],)).fetchone() for row in waiting]
            rows = [db.execute(STILL_WANTED, (each,)).fetchone() for each in ids]
            return waiting, tasks, [row["id"] for row in rows if row["status"] in TERMINAL or row["deleted"]]

        waiting, tasks, over = await self._workspace.db.read(find)
        for run_id in over:
            run = self._found(run_id)
            if run is not None:
                run.end("cancelled")
        for row, task in zip(waiting, tasks, strict=True):
            carried = CarriedRun(self._workspace, row, task)
            self._runs[row["id"]] = carried, asyncio.create_task(self._carry(carried), name=f"run {row['id']}")

    def _room(self, ids: tuple[str, ...]) -> bool:
        return len(ids) < self._workspace.settings.most_runs

    async def _carry(self, run: CarriedRun) -> None:
        try:
            await run.carry_out()
        finally:
            del self._runs[run.id]
            # There is room for the next one.
            self.wake()

    async def _clear_up(self) -> None:
        """End what a workspace left behind that was killed, and keep what its runs had made."""
        workspace = self._workspace
        await workspace.db.run(credentials.withdraw)
        for run in await workspace.db.read(lambda db: db.execute(LEFT).fetchall()):
            base = json.loads(run["state"]).get("base_commit") or ""
            folder = WorkFolder(folder_of(workspace, run["id"]) / CLONE, base=str(base))
            # A clone that was damaged or removed costs what was in it, not the start.
            with contextlib.suppress(GitFailed, OSError):
                await keep_what_was_made(workspace, run, folder)
            await folder.remove()
            state = {"sandbox_alive": False}
            await change(workspace, run, {"status": "failed", "error_message": STOPPED, "state": state})
