"""Settings: JSON values by key, read from a snapshot that was taken at the start."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from app.core.storage.repository import Repository

if TYPE_CHECKING:
    import sqlite3


class Settings(Repository):
    """`get` never waits. `set` and `remove` change the snapshot at once, then the database.

    Other processes change the database too. Their changes arrive only by `refresh`.
    """

    def attach(self) -> None:
        """Take the snapshot. Raises `StorageTrouble`."""
        self._snapshot: dict[str, str] = dict(self._database.read("SELECT key, value FROM settings"))
        # Changes that are not in the database yet; None for a removal. They win over what is read from there.
        self._unsaved: dict[str, str | None] = {}
        self._changes = 0

    def get(self, key: str, default: Any = None) -> Any:
        """A copy of the value under `key`."""
        text = self._snapshot.get(key)
        if text is None:
            return default
        try:
            return json.loads(text)
        except ValueError:
            return default

    def under(self, prefix: str) -> dict[str, Any]:
        """Copies of the values of all keys that begin with `prefix`."""
        return {key: self.get(key) for key in tuple(self._snapshot) if key.startswith(prefix)}

    async def set(self, key: str, value: Any) -> None:
        """Store `value`, which must be a JSON value. Raises `StorageTrouble`; the snapshot has the value even then."""
        text = json.dumps(value)
        self._snapshot[key] = text
        await self._save(key, text)

    async def remove(self, key: str) -> None:
        """Delete `key`. Raises `StorageTrouble`."""
        self._snapshot.pop(key, None)
        await self._save(key, None)

    async def refresh(self, key: str) -> None:
        """Read `key` again, which another process may have changed. Raises `StorageTrouble`."""
        rows = await self._stored("SELECT value FROM settings WHERE key = ?", (key,))
        if key in self._unsaved:
            return
        if rows:
            self._snapshot[key] = rows[0][0]
        else:
            self._snapshot.pop(key, None)

    async def refresh_under(self, prefix: str) -> None:
        """Read all keys that begin with `prefix` again. Raises `StorageTrouble`."""
        query = "SELECT key, value FROM settings WHERE substr(key, 1, ?) = ?"
        rows = await self._stored(query, (len(prefix), prefix))
        kept = {key: text for key, text in self._snapshot.items() if not key.startswith(prefix) or key in self._unsaved}
        removed = {key for key, text in self._unsaved.items() if text is None}
        self._snapshot = {key: text for key, text in rows if key not in removed} | kept

    def restore(self) -> None:
        """Write the snapshot into a database that has just replaced another one; keys that it has stay."""
        rows = list(self._snapshot.items())
        self._database.write(
            lambda connection: connection.executemany("INSERT OR IGNORE INTO settings VALUES (?, ?)", rows),
            durable=False,
        )

    async def _stored(self, query: str, parameters: tuple[object, ...]) -> list[Any]:
        """The rows of a query, not older than the newest change made here."""
        # A change may be made and written after the rows were read and before the loop gets them. It is then no longer
        # unsaved, and the rows do not have it.
        while True:
            changes = self._changes
            rows: list[Any] = await self._run(lambda: self._database.read(query, parameters))
            if changes == self._changes:
                return rows

    async def _save(self, key: str, text: str | None) -> None:
        self._unsaved[key] = text
        self._changes += 1
        await self._run(self._flush)

    def _flush(self) -> None:
        batch = dict(self._unsaved)

        def change(connection: sqlite3.Connection) -> None:
            for key, text in batch.items():
                if text is None:
                    connection.execute("DELETE FROM settings WHERE key = ?", (key,))
                else:
                    connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, text))

        self._database.write(change, durable=False)
        # Only if the value is still the one that was written: it may have changed meanwhile. The default never matches.
        for key, text in batch.items():
            if self._unsaved.get(key, batch) is text:
                del self._unsaved[key]
