"""ActivityLog: the stored activity record. Rows are appended in batches, and the oldest are deleted."""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from app.core.errors import StorageTrouble
from app.core.storage.repository import Repository, json_object, moment, number, text
from app.core.storage.values import ActivityRow

if TYPE_CHECKING:
    import sqlite3

log = logging.getLogger(__name__)

MAX_ROWS = 5_000
MAX_CHARACTERS = 32 * 1024 * 1024
BATCH_SECONDS = 0.5
# Rows between two deletions: finding the oldest rows reads the whole table.
TRIM_EVERY = 500

_TRIM = """DELETE FROM activity WHERE number <= (
    SELECT max(number) FROM (
        SELECT number, row_number() OVER newest AS place, sum(length(detail)) OVER newest AS size
        FROM activity WINDOW newest AS (ORDER BY number DESC)
    ) WHERE place > ? OR size > ?
)"""


class ActivityLog(Repository):
    """`add` returns at once, on any thread. Rows are written within half a second, or by `Storage.close`."""

    def attach(self) -> None:
        """Start without unwritten rows."""
        self._lock = threading.Lock()
        self._waiting: deque[ActivityRow] = deque(maxlen=MAX_ROWS)
        self._since_trim = TRIM_EVERY
        self._failing = False

    def add(self, row: ActivityRow) -> None:
        """Write `row` soon. Rows that cannot be written stay in memory, the newest 5,000 of them."""
        with self._lock:
            first = not self._waiting
            self._waiting.append(row)
        # While a row waits, a flush is scheduled already, unless the last one failed.
        if first or self._failing:
            try:
                self._writer.later("activity", BATCH_SECONDS, self._flush)
            except StorageTrouble:
                log.debug("an activity record came after the database was closed")

    async def load(self, limit: int = MAX_ROWS) -> list[ActivityRow]:
        """The newest `limit` rows, unwritten ones included, the oldest first. Raises `StorageTrouble`."""

        def job() -> list[ActivityRow]:
            self._flush()
            rows = self._database.read(
                "SELECT number, id, at, kind, target, summary, status, milliseconds, detail FROM activity"
                " ORDER BY number DESC LIMIT ?",
                (limit,),
            )
            return self._readable("activity", ("number",), reversed(rows), _decode, told=False)

        return await self._run(job)

    async def flush(self) -> None:
        """Write the waiting rows now. Raises nothing: rows that cannot be written stay."""
        await self._run(self._flush)

    async def clear(self) -> None:
        """Delete all activity. Raises `StorageTrouble`."""

        def job() -> None:
            with self._lock:
                self._waiting.clear()
            self._database.write(lambda connection: connection.execute("DELETE FROM activity"), durable=False)

        await self._run(job)

    def _flush(self) -> None:
        with self._lock:
            batch = list(self._waiting)
            self._waiting.clear()
        if not batch:
            return
        try:
            self._database.write(lambda connection: self._insert(connection, batch), durable=False)
        except StorageTrouble as error:
            if not self._failing:
                log.warning("the activity record cannot be written: %s", error)
            self._failing = True
            with self._lock:
                self._waiting = deque([*batch, *self._waiting], maxlen=MAX_ROWS)
        else:
            self._failing = False

    def _insert(self, connection: sqlite3.Connection, batch: list[ActivityRow]) -> None:
        connection.executemany(
            "INSERT INTO activity (id, at, kind, target, summary, status, milliseconds, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(*row[:-1], json.dumps(row.detail)) for row in batch],
        )
        self._since_trim += len(batch)
        if self._since_trim >= TRIM_EVERY:
            connection.execute(_TRIM, (MAX_ROWS, MAX_CHARACTERS))
            self._since_trim = 0


def _decode(row: tuple[Any, ...]) -> ActivityRow:
    _number, id, at, kind, target, summary, status, milliseconds, detail = row  # noqa: A001
    took = None if milliseconds is None else number(milliseconds)
    words = text(kind), text(target), text(summary), text(status)
    return ActivityRow(text(id), moment(at), *words, took, json_object(detail))
