"""Drafts: what the user is typing, stored for each account before anything is sent.

Several windows share them, and none overwrites what another one has typed. A draft has copies: each process writes one
that is its own, and only the process that holds a copy changes it. `load` takes hold of the newest copy that nobody who
lives holds, so a draft of a window that is open elsewhere is not loaded twice. What a process saves without holding a
copy, or to one that changed since, becomes a copy beside the others.

A draft that cannot be written stays in memory. `load` and `list` return it from there, and the next save writes it too.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from app.core.errors import StorageTrouble
from app.core.storage.attachments import FIELD
from app.core.storage.attachments import decode as decode_attachments
from app.core.storage.lease import LOCKS_FOLDER, NOBODY, Lease
from app.core.storage.repository import Repository, Unreadable, json_object, moment, text
from app.core.storage.values import Draft, Scope

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Coroutine, Sequence

Key = tuple[Scope, str, str]

LOCK_PREFIX = "drafts-"
KEY = ("host", "account", "kind", "id", "copy")
COLUMNS = "host, account, kind, id, copy, fields, saved_at, owner"
# The names of the first copy of a draft, and of one that could not be written yet.
FIRST = ""
UNWRITTEN = "unwritten"

_ONE = "host = ? AND account = ? AND kind = ? AND id = ?"


@dataclass(frozen=True, slots=True, eq=False)
class _Unsaved:
    """A draft that is not written yet. `fields` None means that it is to be discarded."""

    fields: dict[str, str] | None
    at: float


class _Held(NamedTuple):
    """The copy that this process holds, and when it was saved as far as this process knows."""

    copy: str
    at: float


class Drafts(Repository):
    """All methods raise `StorageTrouble`. `kind` is what is drafted, such as `task`; `id` which one.

    A field whose name begins with an underscore is about the text and was not typed.
    """

    def attach(self) -> None:
        """Start with nothing unsaved and nothing held."""
        self._lock = threading.Lock()
        self._unsaved: dict[Key, _Unsaved] = {}
        # Used on the writer's thread only.
        self._held: dict[Key, _Held] = {}
        path = self._database.path
        self._lease = Lease(None if path is None else path.parent / LOCKS_FOLDER, LOCK_PREFIX)

    def save(self, scope: Scope, kind: str, id: str, fields: dict[str, str]) -> Coroutine[Any, Any, None]:  # noqa: A002
        """Store `fields` as this process's copy. They are durable when the coroutine returns.

        They are `unsaved` from the call on, so that a `release_soon` that follows it gives them up with their copy.
        """
        return self._keep((scope, kind, id), _Unsaved(dict(fields), time.time()))

    def discard(self, scope: Scope, kind: str, id: str) -> Coroutine[Any, Any, None]:  # noqa: A002
        """Delete this process's copy of a draft, if there is one, from the call on as `save`."""
        return self._keep((scope, kind, id), _Unsaved(None, time.time()))

    async def remove(self, scope: Scope, draft: Draft) -> bool:
        """Delete a draft that `list` gave; False if another process holds it or it changed since."""
        key, copy = (scope, draft.kind, draft.id), draft.copy

        def change(connection: sqlite3.Connection) -> bool:
            where = f"{_ONE} AND copy = ?"
            given = (*scope, draft.kind, draft.id, copy)
            row = connection.execute(f"SELECT saved_at, owner FROM drafts WHERE {where}", given).fetchone()
            if row is None:
                return True
            if row[0] != draft.saved_at or self._lease.alive_elsewhere(row[1]):
                return False
            return connection.execute(f"DELETE FROM drafts WHERE {where}", given).rowcount > 0

        def job() -> bool:
            removed = self._database.write(change, durable=True)
            if removed and copy == self._copy_of(key):
                self._held.pop(key, None)
                with self._lock:
                    self._unsaved.pop(key, None)
            return removed

        return await self._run(job)

    async def load(self, scope: Scope, kind: str, id: str, copy: str | None = None) -> dict[str, str] | None:  # noqa: A002
        """The fields of this process's copy, else of the newest that no other process holds, which this one then holds.

        With `copy`, those of that one. None when there is no such copy.
        """
        key = (scope, kind, id)

        def job() -> dict[str, str] | None:
            with self._lock:
                unsaved = self._unsaved.get(key)
            if unsaved is not None and copy in {None, UNWRITTEN, self._copy_of(key)}:
                return None if unsaved.fields is None else dict(unsaved.fields)
            rows = self._database.read(f"SELECT {COLUMNS} FROM drafts WHERE {_ONE}", (*scope, kind, id))
            found = self._readable("drafts", KEY, rows, _decode)
            draft = self._choose(key, [each for each in found if copy is None or each[0].copy == copy])
            return draft.fields if draft is not None and self._take(key, draft) else None

        return await self._run(job)

    async def release(self, scope: Scope, kind: str, id: str) -> None:  # noqa: A002
        """Give up this process's copy: any process may load it, and what this one saves next becomes another copy."""
        await self._run(lambda: self._release((scope, kind, id)))

    def release_soon(self, scope: Scope, kind: str, id: str) -> None:  # noqa: A002
        """As `release`, before anything that is asked for later, without waiting. Raises nothing."""

        def job() -> None:
            with contextlib.suppress(StorageTrouble):
                self._release((scope, kind, id))

        with contextlib.suppress(StorageTrouble):
            self._writer.submit(job)

    async def list(self, scope: Scope, kind: str | None = None) -> tuple[Draft, ...]:
        """All drafts of an account, or those of one kind, the last saved first. Nothing is taken hold of."""

        def job() -> tuple[Draft, ...]:
            rows = self._database.read(f"SELECT {COLUMNS} FROM drafts WHERE host = ? AND account = ?", tuple(scope))
            alive: dict[str, bool] = {}
            found: dict[tuple[str, str, str], Draft] = {}
            for draft, owner in self._readable("drafts", KEY, rows, _decode):
                if owner not in alive:
                    alive[owner] = self._lease.alive_elsewhere(owner)
                found[draft.kind, draft.id, draft.copy] = draft._replace(held_elsewhere=alive[owner])
            with self._lock:
                unsaved = list(self._unsaved.items())
            for (account, its_kind, id), change in unsaved:  # noqa: A001
                if account == scope:
                    copy = self._copy_of((account, its_kind, id))
                    found.pop((its_kind, id, copy), None)
                    if change.fields is not None:
                        found[its_kind, id, copy] = Draft(its_kind, id, dict(change.fields), change.at, copy)
            drafts = [draft for draft in found.values() if kind is None or draft.kind == kind]
            return tuple(sorted(drafts, key=lambda draft: draft.saved_at, reverse=True))

        return await self._run(job)

    async def others(self, scope: Scope, kind: str, id: str) -> tuple[Draft, ...]:  # noqa: A002
        """The copies of a draft that no process holds, the last saved first: what other windows left behind."""
        found = await self.list(scope, kind)
        mine = await self._run(lambda: self._copy_of((scope, kind, id)))
        return tuple(each for each in found if each.id == id and each.copy != mine and not each.held_elsewhere)

    async def change_to(self, scope: Scope, other: Draft) -> dict[str, str] | None:
        """Give up this process's copy, which stays stored, and load one that `others` gave."""
        await self.release(scope, other.kind, other.id)
        return await self.load(scope, other.kind, other.id, other.copy)

    async def attachments(self) -> set[str]:
        """The digests of the attachments that the drafts of all accounts name."""

        def job() -> set[str]:
            texts = [fields for (fields,) in self._database.read("SELECT fields FROM drafts")]
            with self._lock:
                unsaved = [draft.fields for draft in self._unsaved.values() if draft.fields is not None]
            stored = [found for each in texts if (found := _object(each)) is not None]
            return {file.digest for fields in (*stored, *unsaved) for file in decode_attachments(fields.get(FIELD))}

        return await self._run(job)

    @property
    def unsaved(self) -> tuple[Draft, ...]:
        """The drafts that are in memory only, because they could not be written or are about to be."""
        with self._lock:
            waiting = list(self._unsaved.items())
        return tuple(
            Draft(kind, id, dict(draft.fields), draft.at)
            for (_scope, kind, id), draft in waiting  # noqa: A001
            if draft.fields is not None
        )

    async def retry(self) -> None:
        """Write what is unsaved now."""
        await self._run(self.flush)

    def flush(self) -> None:
        """Write all unsaved drafts. Runs on the writer's thread."""
        with self._lock:
            batch = list(self._unsaved.items())
        if not batch:
            return
        owner = self._owner()

        def change(connection: sqlite3.Connection) -> list[tuple[Key, _Held | None]]:
            return [(key, self._write(connection, key, draft, owner)) for key, draft in batch]

        # Remembered only once the transaction is through.
        for key, held in self._database.write(change, durable=True):
            if held is None:
                self._held.pop(key, None)
            else:
                self._held[key] = held
        # Only the very objects that were written: the user may have typed on meanwhile.
        with self._lock:
            for key, draft in batch:
                if self._unsaved.get(key) is draft:
                    del self._unsaved[key]

    def close(self) -> None:
        """Give up every copy that this process holds."""
        self._lease.release()

    def _release(self, key: Key) -> None:
        # What is not written yet still belongs to the copy that is given up.
        self.flush()
        scope, kind, id = key  # noqa: A001
        held = self._held.pop(key, None)
        if held is not None:
            sql = f"UPDATE drafts SET owner = ? WHERE {_ONE} AND copy = ? AND owner = ?"
            given = (NOBODY, *scope, kind, id, held.copy, self._lease.owner)
            self._database.write(lambda connection: connection.execute(sql, given), durable=False)

    def _write(self, connection: sqlite3.Connection, key: Key, draft: _Unsaved, owner: str) -> _Held | None:
        scope, kind, id = key  # noqa: A001
        rows = connection.execute(f"SELECT {COLUMNS} FROM drafts WHERE {_ONE}", (*scope, kind, id)).fetchall()
        copies = {row[4]: (row[6], row[7]) for row in rows}
        held = self._held.get(key)
        mine = held is not None and self._is_mine(held, copies.get(held.copy))
        if draft.fields is None:
            if held is not None and mine:
                connection.execute(f"DELETE FROM drafts WHERE {_ONE} AND copy = ?", (*scope, kind, id, held.copy))
            return None
        another = os.urandom(8).hex() if FIRST in copies else FIRST
        copy = held.copy if held is not None and mine else another
        connection.execute(
            f"INSERT OR REPLACE INTO drafts ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*scope, kind, id, copy, json.dumps(draft.fields), draft.at, owner),
        )
        return _Held(copy, draft.at)

    def _is_mine(self, held: _Held, stored: tuple[Any, str] | None) -> bool:
        """Whether a copy is still as this process left it. One that is gone may be written again."""
        return stored is None or (stored[0] == held.at and not self._lease.alive_elsewhere(stored[1]))

    def _copy_of(self, key: Key) -> str:
        held = self._held.get(key)
        return held.copy if held is not None else UNWRITTEN

    def _choose(self, key: Key, found: Sequence[tuple[Draft, str]]) -> Draft | None:
        """The copy that this process holds, else the newest one that no other process does."""
        held = self._held.get(key)
        for draft, owner in found:
            if held is not None and draft.copy == held.copy and self._is_mine(held, (draft.saved_at, owner)):
                return draft
        free = [draft for draft, owner in found if not self._lease.alive_elsewhere(owner)]
        return max(free, key=lambda draft: draft.saved_at, default=None)

    def _take(self, key: Key, draft: Draft) -> bool:
        """Hold a copy. False if another process took or changed it meanwhile.

        Where nothing can be written the text may be read all the same; what is saved later becomes a copy of its own.
        """
        scope, kind, id = key  # noqa: A001
        self._held.pop(key, None)
        where, given = f"{_ONE} AND copy = ? AND saved_at = ?", (*scope, kind, id, draft.copy, draft.saved_at)

        def change(connection: sqlite3.Connection) -> bool:
            row = connection.execute(f"SELECT owner FROM drafts WHERE {where}", given).fetchone()
            if row is None or self._lease.alive_elsewhere(row[0]):
                return False
            connection.execute(f"UPDATE drafts SET owner = ? WHERE {where}", (self._owner(), *given))
            return True

        try:
            taken = self._database.write(change, durable=False)
        except StorageTrouble:
            return True
        if taken:
            self._held[key] = _Held(draft.copy, draft.saved_at)
        return taken

    def _owner(self) -> str:
        """This process, or nobody where its lock cannot be made: the text is stored all the same."""
        try:
            return self._lease.take()
        except StorageTrouble:
            return NOBODY

    def _keep(self, key: Key, draft: _Unsaved) -> Coroutine[Any, Any, None]:
        with self._lock:
            self._unsaved[key] = draft
        return self._run(self.flush)


def _object(stored: object) -> dict[str, Any] | None:
    try:
        return json_object(stored)
    except Unreadable:
        return None


def _decode(row: tuple[Any, ...]) -> tuple[Draft, str]:
    """A copy and its owner. Raises `Unreadable`."""
    _host, _account, kind, id, copy, fields, saved_at, owner = row  # noqa: A001
    values = json_object(fields)
    for value in values.values():
        text(value)
    return Draft(text(kind), text(id), values, moment(saved_at), text(copy)), text(owner)
