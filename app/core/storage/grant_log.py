"""What happened to each credential's grant: the write-ahead journal of renewals and the timeline that a person reads.

Shared by every process on the folder, so that one that finds a renewal unfinished knows that it must be repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.storage.access import Access
from app.core.storage.values import GrantEvent

if TYPE_CHECKING:
    import sqlite3

KEPT_EVENTS = 500
# The table is as old as the first version, which had one sign-in for each host.
COLUMN_OF = {"credential": "host"}
NAMES = tuple(COLUMN_OF.get(name, name) for name in GrantEvent._fields)
COLUMNS = ", ".join(NAMES)


class GrantLog(Access):
    """All methods raise `StorageTrouble`."""

    async def add(self, event: GrantEvent, *, settles: str | None = None) -> int:
        """Append `event`, whose number is ignored; its number, once it is on the disk.

        With `settles`, what the credential has open is closed with that outcome.
        """
        names, row = NAMES[1:], tuple(event)[1:]
        marks = ", ".join("?" * len(names))

        def change(connection: sqlite3.Connection) -> int:
            if settles is not None:
                connection.execute(
                    "UPDATE grant_log SET open = 0, outcome = ? WHERE host = ? AND open", (settles, event.credential)
                )
            number = connection.execute(f"INSERT INTO grant_log ({', '.join(names)}) VALUES ({marks})", row).lastrowid
            assert number is not None
            connection.execute(
                "DELETE FROM grant_log WHERE host = ? AND NOT open AND number <= ?",
                (event.credential, number - KEPT_EVENTS),
            )
            return number

        return await self._run(lambda: self._database.write(change, durable=True))

    async def change(self, number: int, **columns: Any) -> None:
        """Set columns of one event."""
        names = ", ".join(f"{name} = ?" for name in columns)

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(f"UPDATE grant_log SET {names} WHERE number = ?", (*columns.values(), number))

        await self._run(lambda: self._database.write(change, durable=False))

    async def recent(self, credential: str, limit: int) -> tuple[GrantEvent, ...]:
        """The newest events of a credential, the newest first."""

        def job() -> tuple[GrantEvent, ...]:
            rows = self._database.read(
                f"SELECT {COLUMNS} FROM grant_log WHERE host = ? ORDER BY number DESC LIMIT ?", (credential, limit)
            )
            return tuple(_event(row) for row in rows)

        return await self._run(job)

    async def open_events(self, credential: str) -> tuple[GrantEvent, ...]:
        """The events of a credential that were left open, the newest first."""

        def job() -> tuple[GrantEvent, ...]:
            rows = self._database.read(
                f"SELECT {COLUMNS} FROM grant_log WHERE host = ? AND open ORDER BY number DESC", (credential,)
            )
            return tuple(_event(row) for row in rows)

        return await self._run(job)


def _event(row: tuple[Any, ...]) -> GrantEvent:
    event = GrantEvent._make(row)
    return event._replace(open=bool(event.open), accepted=bool(event.accepted))
