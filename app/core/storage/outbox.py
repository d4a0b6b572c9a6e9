"""Outbox: changes that are to be sent. They are stored before they are sent and removed after the server's answer.

Several processes share it. Whoever sends an item claims it first (`claim`), and nobody else can until it is released,
removed, or its owner has died.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any, TypeVar

from app.core.errors import StorageTrouble
from app.core.storage.lease import LOCKS_FOLDER, NOBODY, Lease
from app.core.storage.repository import Repository, Unreadable, json_object, moment, text
from app.core.storage.values import OutboxItem

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from app.core.storage.values import Scope

T = TypeVar("T")

WAITING = "waiting"
LOCK_PREFIX = "outbox-"

_COLUMNS = "number, id, kind, payload, created_at, state, owner"


class Outbox(Repository):
    """All methods raise `StorageTrouble`. Their changes are durable when they return.

    An item that another process has claimed is changed by that process only, as long as it lives. What became of an
    item whose owner has died is told by its state.
    """

    def attach(self) -> None:
        path = self._database.path
        self._lease = Lease(None if path is None else path.parent / LOCKS_FOLDER, LOCK_PREFIX)

    async def add(
        self, scope: Scope, kind: str, payload: dict[str, Any], *, state: str = WAITING, claim: bool = False
    ) -> OutboxItem:
        """Store `payload`, which must consist of JSON values, to be sent for `scope`; with `claim` by this process."""
        stored = json.dumps(payload)
        item = OutboxItem(os.urandom(16).hex(), kind, json.loads(stored), time.time(), state)
        row = (item.id, scope.host, scope.account, kind, stored, item.created_at, state)

        def job() -> None:
            owner = self._lease.take() if claim else NOBODY
            self._database.write(
                lambda connection: connection.execute(
                    "INSERT INTO outbox (id, host, account, kind, payload, created_at, state, owner)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (*row, owner),
                ),
                durable=True,
            )

        await self._run_claiming(item.id, job)
        return item

    async def list(self, scope: Scope) -> tuple[OutboxItem, ...]:
        """All items of an account, the oldest first."""

        def job() -> tuple[OutboxItem, ...]:
            rows = self._database.read(
                f"SELECT {_COLUMNS} FROM outbox WHERE host = ? AND account = ? ORDER BY number",
                (scope.host, scope.account),
            )
            alive: dict[str, bool] = {}

            def decode(row: tuple[Any, ...]) -> OutboxItem:
                item, owner = _decode(row)
                if owner not in alive:
                    alive[owner] = self._lease.alive_elsewhere(owner)
                return item._replace(claimed_elsewhere=alive[owner])

            return tuple(self._readable("outbox", ("number",), rows, decode))

        return await self._run(job)

    async def claim(self, id: str, state: str | None = None, *, in_order: bool = False) -> OutboxItem | None:  # noqa: A002
        """Make this process the owner of an item, and set its state. Returns the item as it was before.

        None if it is no longer there or another process that lives has claimed it; with `in_order`, also while such a
        process sends an older item of the same account and kind.
        """

        def change(connection: sqlite3.Connection) -> OutboxItem | None:
            row = connection.execute(f"SELECT {_COLUMNS} FROM outbox WHERE id = ?", (id,)).fetchone()
            if row is None:
                return None
            try:
                item, owner = _decode(row)
            except Unreadable:
                # The next `list` sets it aside.
                return None
            owners = {owner} | (self._older_owners(connection, row[0]) if in_order else set())
            if any(self._lease.alive_elsewhere(owner) for owner in owners):
                return None
            connection.execute(
                "UPDATE outbox SET owner = ?, state = ? WHERE id = ?",
                (self._lease.take(), item.state if state is None else state, id),
            )
            return item

        return await self._run_claiming(id, lambda: self._database.write(change, durable=True))

    async def release(self, id: str, state: str | None = None) -> bool:  # noqa: A002
        """Give an item up, with a new state; False if it is no longer this process's."""
        return await self._run(lambda: self._release(id, state))

    def release_soon(self, id: str) -> None:  # noqa: A002
        """Give an item up as it is, without waiting. For a sender that is cancelled. Raises nothing."""
        with contextlib.suppress(StorageTrouble):
            self._writer.submit(lambda: self._release(id, None))

    async def update(self, id: str, state: str) -> bool:  # noqa: A002
        """Set the state of an item; False if it is no longer there or another process's."""
        return await self._change("UPDATE outbox SET state = ? WHERE id = ?", id, (state, id))

    async def remove(self, id: str) -> bool:  # noqa: A002
        """Delete an item; False if it was no longer there or is another process's."""
        return await self._change("DELETE FROM outbox WHERE id = ?", id, (id,))

    def close(self) -> None:
        """Give up what this process has claimed."""
        self._lease.release()

    async def _change(self, sql: str, id: str, parameters: tuple[str, ...]) -> bool:  # noqa: A002
        def change(connection: sqlite3.Connection) -> bool:
            row = connection.execute("SELECT owner FROM outbox WHERE id = ?", (id,)).fetchone()
            if row is None or self._lease.alive_elsewhere(row[0]):
                return False
            return connection.execute(sql, parameters).rowcount > 0

        return await self._run(lambda: self._database.write(change, durable=True))

    def _release(self, id: str, state: str | None) -> bool:  # noqa: A002
        def change(connection: sqlite3.Connection) -> bool:
            sql = "UPDATE outbox SET owner = ?, state = coalesce(?, state) WHERE id = ? AND owner = ?"
            return connection.execute(sql, (NOBODY, state, id, self._lease.owner)).rowcount > 0

        return self._database.write(change, durable=True)

    def _older_owners(self, connection: sqlite3.Connection, number: int) -> set[str]:
        """The owners of the older items of the same account and kind."""
        rows = connection.execute(
            "SELECT DISTINCT older.owner FROM outbox AS older JOIN outbox AS this"
            " ON (older.host, older.account, older.kind) = (this.host, this.account, this.kind)"
            " WHERE this.number = ? AND older.number < this.number",
            (number,),
        )
        return {owner for (owner,) in rows}

    async def _run_claiming(self, id: str, job: Callable[[], T]) -> T:  # noqa: A002
        """Run a job that claims an item. A caller that is cancelled meanwhile does not keep the item."""
        import asyncio

        try:
            return await self._run(job)
        except asyncio.CancelledError:
            self.release_soon(id)
            raise


def _decode(row: tuple[Any, ...]) -> tuple[OutboxItem, str]:
    """An item and its owner. Raises `Unreadable`."""
    _number, id, kind, payload, created_at, state, owner = row  # noqa: A001
    return OutboxItem(text(id), text(kind), json_object(payload), moment(created_at), text(state)), text(owner)
