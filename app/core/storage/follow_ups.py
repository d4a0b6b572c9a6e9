"""FollowUps: messages to the agents of runs. They are stored before they are sent and removed when they have arrived.

Those of a task are sent in their order, several at once, by the process that claims them; while it lives no other
process sends any of that task. One whose sender died may have arrived: only the user sends it again.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from app.core.errors import StorageTrouble
from app.core.storage.attachments import decode as decode_attachments
from app.core.storage.attachments import encode as encode_attachments
from app.core.storage.lease import LOCKS_FOLDER, NOBODY, Lease
from app.core.storage.repository import Repository, Unreadable, moment, text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence

    from app.core.storage.attachments import Attachment
    from app.core.storage.values import Scope

T = TypeVar("T")

LOCK_PREFIX = "follow-up-"
# `waiting` for its turn; `sending` by the owner; `sent`: the agent of a run was given it, or will be when it is there,
# and the log does not have it yet; `unknown`: it may have arrived; `refused`: only the user can help.
WAITING, SENDING, SENT, UNKNOWN, REFUSED = "waiting", "sending", "sent", "unknown", "refused"

_COLUMNS = "number, id, task, text, files, steer, created_at, state, owner, run"


class FollowUp(NamedTuple):
    """A message to the agent of a task's run. `created_at` is in Unix seconds.

    With `steer` it goes into a turn that is under way. `elsewhere`: another process that lives is sending it. `run` is
    the id of the run whose agent was given it, of one that is `sent`.
    """

    id: str
    task: str
    text: str
    files: tuple[Attachment, ...] = ()
    steer: bool = False
    created_at: float = 0.0
    state: str = WAITING
    elsewhere: bool = False
    run: str = ""


class FollowUps(Repository):
    """All methods raise `StorageTrouble`. Their changes are durable when they return."""

    def attach(self) -> None:
        path = self._database.path
        self._lease = Lease(None if path is None else path.parent / LOCKS_FOLDER, LOCK_PREFIX)

    async def add(
        self, scope: Scope, task: str, text: str, files: Sequence[Attachment] = (), *, steer: bool = False
    ) -> FollowUp:
        """Store a message, after all others of its task."""
        item = FollowUp(os.urandom(16).hex(), task, text, tuple(files), steer, time.time())
        row = (item.id, *scope, task, text, encode_attachments(files), int(steer), item.created_at, WAITING, NOBODY)
        await self._run(
            lambda: self._database.write(
                lambda connection: connection.execute(
                    "INSERT INTO follow_ups (id, host, account, task, text, files, steer, created_at, state, owner)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    row,
                ),
                durable=True,
            )
        )
        return item

    async def list(self, scope: Scope, task: str) -> tuple[FollowUp, ...]:
        """The messages of a task that have not arrived yet, the oldest first."""
        return await self._run(lambda: tuple(self._rows(scope, task)))

    async def tasks(self, scope: Scope) -> frozenset[str]:
        """The tasks with messages that need a conversation, but not the user: those that wait or are `sent`."""

        def job() -> frozenset[str]:
            sql = "SELECT DISTINCT task FROM follow_ups WHERE host = ? AND account = ? AND state IN (?, ?)"
            return frozenset(str(task) for (task,) in self._database.read(sql, (*scope, WAITING, SENT)))

        return await self._run(job)

    async def edit(self, id: str, text: str, files: Sequence[Attachment] = ()) -> bool:  # noqa: A002
        """Change a message that nobody is sending; False if it is too late. One that was refused waits again."""
        state = f"CASE state WHEN '{REFUSED}' THEN '{WAITING}' ELSE state END"
        sql = f"UPDATE follow_ups SET text = ?, files = ?, state = {state} WHERE id = ?"
        return await self._change(sql, id, (text, encode_attachments(files)))

    async def again(self, id: str) -> bool:  # noqa: A002
        """The user wants a message sent that may have arrived, or was refused. False if it is no longer there."""
        return await self._change(f"UPDATE follow_ups SET state = '{WAITING}', owner = '' WHERE id = ?", id)

    async def steer(self, id: str) -> bool:  # noqa: A002
        """Have a message that waits go into the turn that is under way. It keeps its place. False if it is too late."""
        return await self._change(f"UPDATE follow_ups SET steer = 1 WHERE id = ? AND state = '{WAITING}'", id)

    async def remove(self, id: str) -> bool:  # noqa: A002
        """Delete a message that nobody is sending; False if it is too late."""
        return await self._change("DELETE FROM follow_ups WHERE id = ?", id)

    async def claim(
        self, scope: Scope, task: str, *, steer: bool = False, only: Collection[str] | None = None
    ) -> tuple[FollowUp, ...]:
        """Take the messages of a task that wait, to send them; with `steer` only the first that is to steer. `only`:
        of these ids.

        None while another process sends some of that task, or while one is before them that may have arrived.
        """

        taken: list[str] = []

        def job() -> tuple[FollowUp, ...]:
            waiting: list[FollowUp] = []
            for item in self._rows(scope, task):
                if item.elsewhere or item.state == SENDING:
                    return ()
                if only is not None and item.id not in only:
                    continue
                if item.state == WAITING:
                    waiting.append(item)
                elif item.state != SENT:
                    # Later ones do not overtake it.
                    break
            chosen = [each for each in waiting if each.steer][:1] if steer else waiting
            if not chosen or not self._take(chosen):
                return ()
            taken.extend(each.id for each in chosen)
            return tuple(chosen)

        try:
            return await self._run(job)
        except BaseException:
            # A caller that is cancelled meanwhile keeps none of them, of which it is known after the job.
            self.give_back_soon(taken)
            raise

    async def finish(self, ids: Sequence[str]) -> None:
        """They have arrived."""
        await self._run(lambda: self._write_each("DELETE FROM follow_ups WHERE id = ?", ids))

    async def begin(self, ids: Sequence[str], run: str) -> None:
        """The agent of a run was given them, or will be when it is there. They stay until its log has them."""
        sql = f"UPDATE follow_ups SET state = '{SENT}', owner = '{NOBODY}', run = ? WHERE id = ?"
        await self._run(lambda: self._write_each(sql, ids, run))

    async def give_back(self, ids: Sequence[str], state: str = WAITING) -> None:
        """They have not arrived, or (`unknown`) may have. They keep their places."""
        sql = f"UPDATE follow_ups SET state = '{state}', owner = '{NOBODY}', run = '' WHERE id = ?"
        await self._run(lambda: self._write_each(sql, ids))

    def give_back_soon(self, ids: Sequence[str], state: str = WAITING) -> None:
        """Give back those that this process is still sending, without waiting. Raises nothing."""

        def change(connection: sqlite3.Connection) -> None:
            for id in ids:  # noqa: A001
                connection.execute(
                    "UPDATE follow_ups SET state = ?, owner = ? WHERE id = ? AND state = ? AND owner = ?",
                    (state, NOBODY, id, SENDING, self._lease.owner),
                )

        with contextlib.suppress(StorageTrouble):
            self._writer.submit(lambda: self._database.write(change, durable=True))

    async def attachments(self) -> set[str]:
        """The digests of the attachments that messages of all accounts name."""

        def job() -> set[str]:
            found = self._database.read("SELECT files FROM follow_ups")
            return {file.digest for (files,) in found for file in decode_attachments(files)}

        return await self._run(job)

    def close(self) -> None:
        """Give up what this process has claimed."""
        self._lease.release()

    def _rows(self, scope: Scope, task: str) -> Sequence[FollowUp]:
        rows = self._database.read(
            f"SELECT {_COLUMNS} FROM follow_ups WHERE host = ? AND account = ? AND task = ? ORDER BY number",
            (*scope, task),
        )
        alive: dict[str, bool] = {}

        def decode(row: tuple[Any, ...]) -> FollowUp:
            item, owner = _decode(row)
            if owner not in alive:
                alive[owner] = self._lease.alive_elsewhere(owner)
            if item.state == SENDING and owner != self._lease.owner and not alive[owner]:
                # Its sender died.
                item = item._replace(state=UNKNOWN)
            return item._replace(elsewhere=alive[owner])

        return self._readable("follow_ups", ("number",), rows, decode)

    def _take(self, items: Sequence[FollowUp]) -> bool:
        owner = self._lease.take()

        def change(connection: sqlite3.Connection) -> bool:
            # Another process may have been faster since they were read.
            sql = f"UPDATE follow_ups SET state = '{SENDING}', owner = ? WHERE id = ? AND state = '{WAITING}'"
            taken = [item for item in items if connection.execute(sql, (owner, item.id)).rowcount]
            if len(taken) == len(items):
                return True
            for item in taken:
                connection.execute(f"UPDATE follow_ups SET state = '{WAITING}', owner = '' WHERE id = ?", (item.id,))
            return False

        return self._database.write(change, durable=True)

    def _write_each(self, sql: str, ids: Sequence[str], *parameters: str) -> None:
        def change(connection: sqlite3.Connection) -> None:
            for id in ids:  # noqa: A001
                connection.execute(sql, (*parameters, id))

        self._database.write(change, durable=True)

    async def _change(self, sql: str, id: str, parameters: tuple[str, ...] = ()) -> bool:  # noqa: A002
        def change(connection: sqlite3.Connection) -> bool:
            row = connection.execute("SELECT owner, state FROM follow_ups WHERE id = ?", (id,)).fetchone()
            mine = row is not None and row[0] == self._lease.owner and row[1] == SENDING
            if row is None or row[1] == SENT or mine or self._lease.alive_elsewhere(row[0]):
                return False
            return connection.execute(sql, (*parameters, id)).rowcount > 0

        return await self._run(lambda: self._database.write(change, durable=True))


def _decode(row: tuple[Any, ...]) -> tuple[FollowUp, str]:
    """A message and its owner. Raises `Unreadable`."""
    _number, id, task, said, files, steer, created_at, state, owner, run = row  # noqa: A001
    if not isinstance(steer, int):
        raise Unreadable
    named = tuple(decode_attachments(text(files)))
    item = FollowUp(text(id), text(task), text(said), named, bool(steer), moment(created_at), text(state))
    return item._replace(run=text(run)), text(owner)
