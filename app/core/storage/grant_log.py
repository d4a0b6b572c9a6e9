"""GrantLog: the stored events of all grants: a write-ahead journal of refreshes, and the source of the timeline.

All processes on the data folder share it. So each can see that another one died in a refresh (`auth/grant/journal.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.storage.repository import Repository, moment, number, text
from app.core.storage.values import GrantEvent

if TYPE_CHECKING:
    import sqlite3

MAX_EVENTS = 500
# The first version had one sign-in for each host, and named the column for that.
COLUMN_OF = {"credential": "host"}
NAMES = tuple(COLUMN_OF.get(name, name) for name in GrantEvent._fields)
COLUMNS = ", ".join(NAMES)


class GrantLog(Repository):
    """All methods raise `StorageTrouble`."""

    async def add(self, event: GrantEvent, *, settles: str | None = None) -> int:
        """Append `event`, ignoring its number; returns the number it got. The event is durable when this returns.

        With `settles`, open events of the credential are closed with that outcome, in the same transaction.
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
            # Open events stay, however old: each may be the only trace of a spent refresh token.
            connection.execute(
                "DELETE FROM grant_log WHERE host = ? AND NOT open AND number <= ?",
                (event.credential, number - MAX_EVENTS),
            )
            return number

        # Durable, because the refresh token is sent next: after a power failure the event must still be there.
        return await self._run(lambda: self._database.write(change, durable=True))

    async def change(self, number: int, **columns: Any) -> None:
        """Set columns of one event. Not durable: losing the change costs a repeated refresh at most."""
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
            return tuple(self._readable("grant_log", ("number",), rows, _event, told=False))

        return await self._run(job)

    async def open_events(self, credential: str) -> tuple[GrantEvent, ...]:
        """The open events of a credential, the newest first."""

        def job() -> tuple[GrantEvent, ...]:
            rows = self._database.read(
                f"SELECT {COLUMNS} FROM grant_log WHERE host = ? AND open ORDER BY number DESC", (credential,)
            )
            return tuple(self._readable("grant_log", ("number",), rows, _event, told=False))

        return await self._run(job)


def _event(row: tuple[Any, ...]) -> GrantEvent:
    event = GrantEvent._make(row)
    for word in (event.credential, event.what, event.cause, event.target, event.rule, event.process):
        text(word)
    for word in (event.refresh, event.access, event.outcome):
        text(word)
    for value in (event.boot, event.generation, event.open, event.accepted):
        number(value)
    moment(event.at)
    if event.milliseconds is not None:
        number(event.milliseconds)
    if event.renews_at is not None:
        moment(event.renews_at)
    return event._replace(open=bool(event.open), accepted=bool(event.accepted))
