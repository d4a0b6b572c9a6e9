"""The activity on disk: appended in batches, the oldest lines dropped."""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from app.core.errors import StorageTrouble
from app.core.storage.access import Access
from app.core.storage.values import ActivityRow

if TYPE_CHECKING:
    import sqlite3

log = logging.getLogger(__name__)

KEPT_ROWS = 5_000
KEPT_CHARACTERS = 32 * 1024 * 1024
BATCH_SECONDS = 0.5
TRIM_EVERY = 500

_TRIM = """DELETE FROM activity WHERE number <= (
    SELECT max(number) FROM (
        SELECT number, row_number() OVER newest AS place, sum(length(detail)) OVER newest AS size
        FROM activity WINDOW newest AS (ORDER BY number DESC)
    ) WHERE place > ? OR size > ?
)"""


class ActivityLog(Access):
    """`add` returns at once on any thread; what it was given is written within half a second, or by `Storage.close`."""

    def attach(self) -> None:
        """Start with nothing to write."""
        self._lock = threading.Lock()
        self._waiting: deque[ActivityRow] = deque(maxlen=KEPT_ROWS)
        self._since_trim = TRIM_EVERY
        self._failing = False

    def add(self, row: ActivityRow) -> None:
        """Write `row` soon. Rows that the disk refuses wait in memory, the newest 5,000 of them."""
        with self._lock:
            first = not self._waiting
            self._waiting.append(row)
        if first or self._failing:
            try:
                self._writer.later("activity", BATCH_SECONDS, self._flush)
            except StorageTrouble:
                log.debug("an activity record came after the database was closed")

    async def load(self, limit: int = KEPT_ROWS) -> list[ActivityRow]:
        """The newest `limit` rows that are on disk or on their way, oldest first. Raises `StorageTrouble`."""

        def job() -> list[ActivityRow]:
            self._flush()
            rows = self._database.read(
                "SELECT id, at, kind, target, summary, status, milliseconds, detail FROM activity"
                " ORDER BY number DESC LIMIT ?",
                (limit,),
            )
            return [ActivityRow._make((*row[:-1], json.loads(row[-1]))) for row in reversed(rows)]

        return await self._run(job)

    async def flush(self) -> None:
        """Write what is waiting now."""
        await self._run(self._flush)

    async def clear(self) -> None:
        """Forget all activity. Raises `StorageTrouble`."""

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
                log.warning("activity cannot be kept: %s", error)
            self._failing = True
            with self._lock:
                self._waiting = deque([*batch, *self._waiting], maxlen=KEPT_ROWS)
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
            connection.execute(_TRIM, (KEPT_ROWS, KEPT_CHARACTERS))
            self._since_trim = 0
