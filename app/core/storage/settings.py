"""Settings: JSON values by key, read from a snapshot that was taken at the start."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from app.core.storage.repository import Repository, text
from app.core.wire_text import mended_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable


class Settings(Repository):
    """`get` never waits. `set` and `remove` change the snapshot at once, then the database.

    No text that `get` returns has half of a surrogate pair, which could be neither sent nor encoded.

    Other processes change the database too. Their changes arrive only by `refresh`.
    """

    def attach(self) -> None:
        """Take the snapshot. Raises `StorageTrouble`."""
        self._snapshot = dict(self._decoded(self._database.read("SELECT key, value FROM settings")))
        # Changes that are not in the database yet; None for a removal. They win over what is read from there.
        self._unsaved: dict[str, str | None] = {}
        self._changes = 0
        # Prefixes of keys whose values last as long as the process.
        self._defaulted: tuple[str, ...] = ()

    def use_defaults(self, prefixes: Iterable[str]) -> None:
        """Have the defaults of all keys that begin so. What is stored stays; changes are not stored (safe mode)."""
        self._defaulted = tuple(prefixes)
        self._snapshot = {key: value for key, value in self._snapshot.items() if not self._is_defaulted(key)}

    def _is_defaulted(self, key: str) -> bool:
        return key.startswith(self._defaulted)

    def get(self, key: str, default: Any = None) -> Any:
        """A copy of the value under `key`."""
        stored = self._snapshot.get(key)
        if stored is None:
            return default
        try:
            return json.loads(mended_json(stored.encode("utf-8", "replace")))
        except (ValueError, RecursionError):
            return default

    def under(self, prefix: str) -> dict[str, Any]:
        """Copies of the values of all keys that begin with `prefix`."""
        return {key: self.get(key) for key in tuple(self._snapshot) if key.startswith(prefix)}

    async def set(self, key: str, value: Any) -> None:
        """Store `value`, which must be a JSON value. Raises `StorageTrouble`; the snapshot has the value even then."""
        stored = json.dumps(value)
        self._snapshot[key] = stored
        await self._save(key, stored)

    async def remove(self, key: str) -> None:
        """Delete `key`. Raises `StorageTrouble`."""
        self._snapshot.pop(key, None)
        await self._save(key, None)

    async def refresh(self, key: str) -> None:
        """Read `key` again, which another process may have changed. Raises `StorageTrouble`."""
        rows = await self._stored("SELECT key, value FROM settings WHERE key = ?", (key,))
        if key in self._unsaved or self._is_defaulted(key):
            return
        if rows:
            self._snapshot[key] = rows[0][1]
        else:
            self._snapshot.pop(key, None)

    async def refresh_under(self, prefix: str) -> None:
        """Read all keys that begin with `prefix` again. Raises `StorageTrouble`."""
        query = "SELECT key, value FROM settings WHERE substr(key, 1, ?) = ?"
        rows = await self._stored(query, (len(prefix), prefix))
        rows = [row for row in rows if not self._is_defaulted(row[0])]
        kept = {
            key: old
            for key, old in self._snapshot.items()
            if not key.startswith(prefix) or key in self._unsaved or self._is_defaulted(key)
        }
        removed = {key for key, new in self._unsaved.items() if new is None}
        self._snapshot = {key: new for key, new in rows if key not in removed} | kept

    def restore(self) -> None:
        """Write the snapshot into a database that has just replaced another one; keys that it has stay."""
        rows = list(self._snapshot.items())
        self._database.write(
            lambda connection: connection.executemany("INSERT OR IGNORE INTO settings VALUES (?, ?)", rows),
            durable=False,
        )

    def _decoded(self, rows: list[Any]) -> list[tuple[str, str]]:
        return self._readable("settings", ("key",), rows, lambda row: (text(row[0]), text(row[1])))

    async def _stored(self, query: str, parameters: tuple[object, ...]) -> list[tuple[str, str]]:
        """The rows of a query, not older than the newest change made here."""
        # A change may be made and written after the rows were read and before the loop gets them. It is then no longer
        # unsaved, and the rows do not have it.
        while True:
            changes = self._changes
            rows = await self._run(lambda: self._decoded(self._database.read(query, parameters)))
            if changes == self._changes:
                return rows

    async def _save(self, key: str, new: str | None) -> None:
        if self._is_defaulted(key):
            return
        self._unsaved[key] = new
        self._changes += 1
        await self._run(self._flush)

    def _flush(self) -> None:
        batch = dict(self._unsaved)

        def change(connection: sqlite3.Connection) -> None:
            for key, new in batch.items():
                if new is None:
                    connection.execute("DELETE FROM settings WHERE key = ?", (key,))
                else:
                    connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, new))

        self._database.write(change, durable=False)
        # Only if the value is still the one that was written: it may have changed meanwhile. The default never matches.
        for key, new in batch.items():
            if self._unsaved.get(key, batch) is new:
                del self._unsaved[key]
