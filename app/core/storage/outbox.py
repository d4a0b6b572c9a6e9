"""Outbox: changes that are to be sent. They are stored before they are sent and removed after the server's answer."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from app.core.storage.repository import Repository, json_object, moment, text
from app.core.storage.values import OutboxItem

if TYPE_CHECKING:
    from app.core.storage.values import Scope

WAITING = "waiting"


class Outbox(Repository):
    """All methods raise `StorageTrouble`. Their changes are durable when they return."""

    async def add(self, scope: Scope, kind: str, payload: dict[str, Any], *, state: str = WAITING) -> OutboxItem:
        """Store `payload`, which must consist of JSON values, to be sent for `scope`."""
        stored = json.dumps(payload)
        item = OutboxItem(os.urandom(16).hex(), kind, json.loads(stored), time.time(), state)
        row = (item.id, scope.host, scope.account, kind, stored, item.created_at, state)

        def job() -> None:
            self._database.write(
                lambda connection: connection.execute(
                    "INSERT INTO outbox (id, host, account, kind, payload, created_at, state)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    row,
                ),
                durable=True,
            )

        await self._run(job)
        return item

    async def list(self, scope: Scope) -> tuple[OutboxItem, ...]:
        """All items of an account, the oldest first."""

        def job() -> tuple[OutboxItem, ...]:
            rows = self._database.read(
                "SELECT number, id, kind, payload, created_at, state FROM outbox WHERE host = ? AND account = ?"
                " ORDER BY number",
                (scope.host, scope.account),
            )
            return tuple(self._readable("outbox", ("number",), rows, _decode))

        return await self._run(job)

    async def update(self, id: str, state: str) -> bool:  # noqa: A002
        """Set the state of an item; False if the item is no longer there."""
        return await self._change("UPDATE outbox SET state = ? WHERE id = ?", (state, id))

    async def remove(self, id: str) -> bool:  # noqa: A002
        """Delete an item; False if it was no longer there."""
        return await self._change("DELETE FROM outbox WHERE id = ?", (id,))

    async def _change(self, sql: str, parameters: tuple[str, ...]) -> bool:
        def job() -> bool:
            return self._database.write(
                lambda connection: connection.execute(sql, parameters).rowcount > 0,
                durable=True,
            )

        return await self._run(job)


def _decode(row: tuple[Any, ...]) -> OutboxItem:
    _number, id, kind, payload, created_at, state = row  # noqa: A001
    return OutboxItem(text(id), text(kind), json_object(payload), moment(created_at), text(state))
