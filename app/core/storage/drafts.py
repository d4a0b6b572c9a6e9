"""Drafts: what the user is typing, stored for each account before anything is sent.

A draft that cannot be written stays in memory. `load` and `list` return it from there, and the next save writes it too.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.core.storage.repository import Repository, json_object, moment, text
from app.core.storage.values import Draft, Scope

if TYPE_CHECKING:
    import sqlite3

Key = tuple[Scope, str, str]

KEY = ("host", "account", "kind", "id")
COLUMNS = "host, account, kind, id, fields, saved_at"


@dataclass(frozen=True, slots=True, eq=False)
class _Unsaved:
    """A draft that is not written yet. `fields` None means that it is to be discarded."""

    fields: dict[str, str] | None
    at: float


class Drafts(Repository):
    """All methods raise `StorageTrouble`. `kind` is what is drafted, such as `task`; `id` which one, such as `new`."""

    def attach(self) -> None:
        """Start with nothing unsaved."""
        self._lock = threading.Lock()
        self._unsaved: dict[Key, _Unsaved] = {}

    async def save(self, scope: Scope, kind: str, id: str, fields: dict[str, str]) -> None:  # noqa: A002
        """Store `fields`. They are durable when this returns."""
        await self._keep((scope, kind, id), _Unsaved(dict(fields), time.time()))

    async def discard(self, scope: Scope, kind: str, id: str) -> None:  # noqa: A002
        """Delete a draft, if there is one."""
        await self._keep((scope, kind, id), _Unsaved(None, time.time()))

    async def load(self, scope: Scope, kind: str, id: str) -> dict[str, str] | None:  # noqa: A002
        """The fields as last saved; None when there is no such draft."""

        def job() -> dict[str, str] | None:
            with self._lock:
                unsaved = self._unsaved.get((scope, kind, id))
            if unsaved is not None:
                return None if unsaved.fields is None else dict(unsaved.fields)
            rows = self._database.read(
                f"SELECT {COLUMNS} FROM drafts WHERE host = ? AND account = ? AND kind = ? AND id = ?",
                (scope.host, scope.account, kind, id),
            )
            found = self._readable("drafts", KEY, rows, _decode)
            return found[0].fields if found else None

        return await self._run(job)

    async def list(self, scope: Scope) -> tuple[Draft, ...]:
        """All drafts of an account, the last saved first."""

        def job() -> tuple[Draft, ...]:
            rows = self._database.read(
                f"SELECT {COLUMNS} FROM drafts WHERE host = ? AND account = ?",
                (scope.host, scope.account),
            )
            stored = self._readable("drafts", KEY, rows, _decode)
            found: dict[tuple[str, str], tuple[dict[str, str] | None, float]]
            found = {(draft.kind, draft.id): (draft.fields, draft.saved_at) for draft in stored}
            with self._lock:
                unsaved = list(self._unsaved.items())
            for (owner, kind, id), change in unsaved:  # noqa: A001
                if owner == scope:
                    found[kind, id] = (change.fields, change.at)
            drafts = [Draft(*key, dict(fields), at) for key, (fields, at) in found.items() if fields is not None]
            return tuple(sorted(drafts, key=lambda draft: draft.saved_at, reverse=True))

        return await self._run(job)

    def flush(self) -> None:
        """Write all unsaved drafts. Runs on the writer's thread."""
        with self._lock:
            batch = list(self._unsaved.items())
        if not batch:
            return

        def change(connection: sqlite3.Connection) -> None:
            for (scope, kind, id), draft in batch:  # noqa: A001
                key = (scope.host, scope.account, kind, id)
                if draft.fields is None:
                    connection.execute(
                        "DELETE FROM drafts WHERE host = ? AND account = ? AND kind = ? AND id = ?",
                        key,
                    )
                else:
                    connection.execute(
                        "INSERT OR REPLACE INTO drafts VALUES (?, ?, ?, ?, ?, ?)",
                        (*key, json.dumps(draft.fields), draft.at),
                    )

        self._database.write(change, durable=True)
        # Only the very objects that were written: the user may have typed on meanwhile.
        with self._lock:
            for key, draft in batch:
                if self._unsaved.get(key) is draft:
                    del self._unsaved[key]

    async def _keep(self, key: Key, draft: _Unsaved) -> None:
        with self._lock:
            self._unsaved[key] = draft
        await self._run(self.flush)


def _decode(row: tuple[Any, ...]) -> Draft:
    _host, _account, kind, id, fields, saved_at = row  # noqa: A001
    values = json_object(fields)
    for value in values.values():
        text(value)
    return Draft(text(kind), text(id), values, moment(saved_at))
