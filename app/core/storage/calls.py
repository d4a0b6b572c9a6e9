"""Calls: the calls of tools that a person made, with what was sent and the beginning of what came back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from app.core.storage.repository import Repository, Unreadable, moment, number, text

if TYPE_CHECKING:
    import sqlite3

    from app.core.storage.values import Scope

# The newest calls of each tool that are kept, and how much all of them may take.
CALLS_OF_A_TOOL = 50
CHARACTERS_OF_A_TOOL = 2 * 1024 * 1024
CALLS = 2_000
# Of a longer result the beginning is kept; arguments that are longer are not.
LONGEST_RESULT = 64 * 1024
LONGEST_ARGUMENTS = 64 * 1024

_COLUMNS = "number, at, seconds, outcome, arguments, omitted, result, size"
_TRIM_TOOL = """DELETE FROM calls WHERE number IN (
    SELECT number FROM (
        SELECT number, row_number() OVER newest AS place,
            sum(length(arguments) + length(result)) OVER newest AS characters
        FROM calls WHERE host = ? AND account = ? AND server = ? AND tool = ?
        WINDOW newest AS (ORDER BY number DESC)
    ) WHERE place > ? OR (characters > ? AND place > 1)
)"""
_TRIM_ALL = "DELETE FROM calls WHERE number <= (SELECT number FROM calls ORDER BY number DESC LIMIT 1 OFFSET ?)"
_OF_A_TOOL = "host = ? AND account = ? AND server = ? AND tool = ?"


class StoredCall(NamedTuple):
    """One call. It has no secrets: arguments that are secret are left out, and `omitted` has their paths.

    - `number` is 0 until it is stored. `at` is in Unix seconds, `seconds` how long it took.
    - `outcome` is `done`, `tool error`, `failed` or `cancelled`.
    - `arguments` is the text of a JSON object, empty when it was too long to keep.
    - `result` is the beginning of the answer, or what went wrong; `size` is its whole length in characters.
    """

    number: int
    at: float
    seconds: float
    outcome: str
    arguments: str
    omitted: tuple[str, ...] = ()
    result: str = ""
    size: int = 0


class Calls(Repository):
    """The calls of each tool of each server of each account. All methods raise `StorageTrouble`."""

    async def add(self, scope: Scope, server: str, tool: str, call: StoredCall) -> None:
        """Store a call, and delete the oldest of its tool beyond the bounds."""
        owner = (scope.host, scope.account, server, tool)
        row = (*owner, *_encoded(call))

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO calls (host, account, server, tool,"
                " at, seconds, outcome, arguments, omitted, result, size)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            connection.execute(_TRIM_TOOL, (*owner, CALLS_OF_A_TOOL, CHARACTERS_OF_A_TOOL))
            connection.execute(_TRIM_ALL, (CALLS,))

        # A call that is lost with the power costs a line of the history, no work.
        await self._run(lambda: self._database.write(change, durable=False))

    async def list(self, scope: Scope, server: str, tool: str) -> tuple[StoredCall, ...]:
        """The calls of a tool, the newest first."""

        def job() -> tuple[StoredCall, ...]:
            rows = self._database.read(
                f"SELECT {_COLUMNS} FROM calls WHERE {_OF_A_TOOL} ORDER BY number DESC",
                (scope.host, scope.account, server, tool),
            )
            return tuple(self._readable("calls", ("number",), rows, _decode, told=False))

        return await self._run(job)

    async def clear(self, scope: Scope, server: str, tool: str) -> None:
        """Delete all calls of a tool."""
        owner = (scope.host, scope.account, server, tool)
        await self._run(
            lambda: self._database.write(
                lambda connection: connection.execute(f"DELETE FROM calls WHERE {_OF_A_TOOL}", owner), durable=False
            )
        )


def _encoded(call: StoredCall) -> tuple[Any, ...]:
    arguments = call.arguments if len(call.arguments) <= LONGEST_ARGUMENTS else ""
    result = call.result[:LONGEST_RESULT]
    return (call.at, call.seconds, call.outcome, arguments, json.dumps(call.omitted), result, call.size)


def _decode(row: tuple[Any, ...]) -> StoredCall:
    place, at, seconds, outcome, arguments, omitted, result, size = row
    try:
        paths = json.loads(text(omitted))
    except (ValueError, RecursionError):
        raise Unreadable from None
    if not isinstance(paths, list):
        raise Unreadable
    named = tuple(text(path) for path in paths)
    took = max(0.0, number(seconds))
    return StoredCall(
        int(number(place)), moment(at), took, text(outcome), text(arguments), named, text(result), int(number(size))
    )
