"""RunStarts: starts of runs that are under way, stored before the first request, so that none is forgotten half done.

A row belongs to the process that starts the run. What is left of one that has died is gone on with or given up.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from app.core.storage.attachments import decode as decode_attachments
from app.core.storage.attachments import encode as encode_attachments
from app.core.storage.lease import LOCKS_FOLDER, Lease
from app.core.storage.repository import Repository, Unreadable, text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from app.core.storage.attachments import Attachment
    from app.core.storage.values import Scope

LOCK_PREFIX = "run-start-"
SAME_TASK = "host = ? AND account = ? AND project = ? AND task = ?"


class StoredStart(NamedTuple):
    """`state` is how far it has come, as JSON of whoever starts the run; `files` go with it."""

    task: str
    state: str
    files: tuple[Attachment, ...] = ()


class RunStarts(Repository):
    """All methods raise `StorageTrouble`. Their changes are durable when they return."""

    def attach(self) -> None:
        path = self._database.path
        self._lease = Lease(None if path is None else path.parent / LOCKS_FOLDER, LOCK_PREFIX)

    async def keep(
        self, scope: Scope, project: int, task: str, state: str, files: Sequence[Attachment] | None = None
    ) -> None:
        """Store how far this process has come; without `files`, those that are stored stay."""
        key = (*scope, project, task)

        def job() -> None:
            owner = self._lease.take()

            def change(connection: sqlite3.Connection) -> None:
                former = connection.execute(f"SELECT files FROM run_starts WHERE {SAME_TASK}", key).fetchone()
                named = encode_attachments(files) if files is not None else former[0] if former else ""
                connection.execute(f"DELETE FROM run_starts WHERE {SAME_TASK}", key)
                connection.execute(
                    "INSERT INTO run_starts (host, account, project, task, state, files, owner, at)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (*key, state, named, owner, time.time()),
                )

            self._database.write(change, durable=True)

        await self._run(job)

    async def remove(self, scope: Scope, project: int, task: str) -> None:
        """The run was started, or nothing is left of the start."""
        sql, key = f"DELETE FROM run_starts WHERE {SAME_TASK}", (*scope, project, task)
        await self._run(lambda: self._database.write(lambda connection: connection.execute(sql, key), durable=True))

    async def list(self, scope: Scope, project: int) -> tuple[StoredStart, ...]:
        """Those of a project, without those of other processes that are alive."""

        def job() -> tuple[StoredStart, ...]:
            sql = "SELECT number, task, state, files, owner FROM run_starts"
            rows = self._database.read(
                f"{sql} WHERE host = ? AND account = ? AND project = ? ORDER BY number", (*scope, project)
            )
            found = self._readable("run_starts", ("number",), rows, _decode)
            return tuple(start for start, owner in found if not self._lease.alive_elsewhere(owner))

        return await self._run(job)

    async def attachments(self) -> set[str]:
        """The digests of the attachments that starts of all accounts name."""

        def job() -> set[str]:
            found: set[str] = set()
            for (files,) in self._database.read("SELECT files FROM run_starts"):
                # The next `list` sets it aside.
                with contextlib.suppress(Unreadable):
                    found |= {file.digest for file in decode_attachments(text(files))}
            return found

        return await self._run(job)

    def close(self) -> None:
        """Give up what this process has."""
        self._lease.release()


def _decode(row: tuple[Any, ...]) -> tuple[StoredStart, str]:
    """A start and its owner. Raises `Unreadable`."""
    _number, task, state, files, owner = row
    return StoredStart(text(task), text(state), tuple(decode_attachments(text(files)))), text(owner)
