"""Settings of the application and last choices: JSON values by key, read from a snapshot taken at start."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from app.core.storage.access import Access

if TYPE_CHECKING:
    import sqlite3


class Settings(Access):
    """`get` never waits; `set` and `remove` change the snapshot at once and the database next."""

    def attach(self) -> None:
        """Take the snapshot. Raises `StorageTrouble`."""
        self._snapshot: dict[str, str] = dict(self._database.read("SELECT key, value FROM settings"))
        self._unsaved: dict[str, str | None] = {}
        self._changes = 0

    def get(self, key: str, default: Any = None) -> Any:
        """The value under `key`: always a copy, so that changing it changes nothing here."""
        text = self._snapshot.get(key)
        if text is None:
            return default
        try:
            return json.loads(text)
        except ValueError:
            return default

    def under(self, prefix: str) -> dict[str, Any]:
        """The values of all keys that begin with `prefix`, copies as in `get`."""
        return {key: self.get(key) for key in tuple(self._snapshot) if key.startswith(prefix)}

    async def set(self, key: str, value: Any) -> None:
        """Keep `value`, which must be made of JSON values. Raises `StorageTrouble`; the snapshot has it even then."""
        text = json.dumps(value)
        self._snapshot[key] = text
        await self._save(key, text)

    async def remove(self, key: str) -> None:
        """Forget `key`. Raises `StorageTrouble`."""
        self._snapshot.pop(key, None)
        await self._save(key, None)

    async def refresh(self, key: str) -> None:
        """Take over what another process set under `key`. Raises `StorageTrouble`."""
        rows = await self._stored("SELECT value FROM settings WHERE key = ?", (key,))
        if key in self._unsaved:
            return
        if rows:
            self._snapshot[key] = rows[0][0]
        else:
            self._snapshot.pop(key, None)

    async def refresh_under(self, prefix: str) -> None:
        """Take over what another process changed under keys that begin with `prefix`. Raises `StorageTrouble`."""
        query = "SELECT key, value FROM settings WHERE substr(key, 1, ?) = ?"
        rows = await self._stored(query, (len(prefix), prefix))
        kept = {key: text for key, text in self._snapshot.items() if not key.startswith(prefix) or key in self._unsaved}
        removed = {key for key, text in self._unsaved.items() if text is None}
        self._snapshot = {key: text for key, text in rows if key not in removed} | kept

    def restore(self) -> None:
        """Fill a database that has just taken the place of another with what it lacks of the snapshot."""
        rows = list(self._snapshot.items())
        self._database.write(
            lambda connection: connection.executemany("INSERT OR IGNORE INTO settings VALUES (?, ?)", rows),
            durable=False,
        )

    async def _stored(self, query: str, parameters: tuple[object, ...]) -> list[Any]:
        """What is stored, not older than the newest change made here.

        A change may be written between the reading and the return to the loop, and is then no longer unsaved.
        """
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
        for key, text in batch.items():
            if self._unsaved.get(key, batch) is text:
                del self._unsaved[key]
