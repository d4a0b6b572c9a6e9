"""Stops: the turns that the user stopped, of runs whose logs are kept elsewhere and may say something else.

Agents may log the end of such a turn as if nobody had stopped it, and a log is read again at each start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from app.core.storage.repository import Repository, Unreadable, moment, text

if TYPE_CHECKING:
    from app.core.storage.values import Scope

# Of all accounts, the newest. A stop that is forgotten costs a word in an old transcript.
KEPT = 5_000
SAME_TURN = "host = ? AND account = ? AND task = ? AND turn = ?"


class Stop(NamedTuple):
    """`turn` names the turn within its task (`Reducer.turn_name`). It had so many `items` then; those that follow are
    late. `at` is in Unix seconds.
    """

    turn: str
    items: int
    at: float


class Stops(Repository):
    """All methods raise `StorageTrouble`. Their changes are durable when they return."""

    async def keep(self, scope: Scope, task: str, stop: Stop) -> None:
        """Store a stop, in the place of one of the same turn."""

        def change(connection: Any) -> None:
            connection.execute(f"DELETE FROM stops WHERE {SAME_TURN}", (*scope, task, stop.turn))
            connection.execute(
                "INSERT INTO stops (host, account, task, turn, items, at) VALUES (?, ?, ?, ?, ?, ?)",
                (*scope, task, *stop),
            )
            connection.execute("DELETE FROM stops WHERE number <= (SELECT MAX(number) FROM stops) - ?", (KEPT,))

        await self._run(lambda: self._database.write(change, durable=True))

    async def forget(self, scope: Scope, task: str, turn: str) -> None:
        """The turn was not stopped after all."""
        sql, key = f"DELETE FROM stops WHERE {SAME_TURN}", (*scope, task, turn)
        await self._run(lambda: self._database.write(lambda connection: connection.execute(sql, key), durable=True))

    async def list(self, scope: Scope, task: str) -> tuple[Stop, ...]:
        """The stopped turns of a task's runs."""

        def job() -> tuple[Stop, ...]:
            sql = "SELECT number, turn, items, at FROM stops WHERE host = ? AND account = ? AND task = ?"
            rows = self._database.read(sql, (*scope, task))
            return tuple(self._readable("stops", ("number",), rows, _decode, told=False))

        return await self._run(job)


def _decode(row: tuple[Any, ...]) -> Stop:
    """Raises `Unreadable`."""
    _number, turn, items, at = row
    if not isinstance(items, int) or items < 0:
        raise Unreadable
    return Stop(text(turn), items, moment(at))
