"""ExchangeLog: headers, bodies and times of the newest requests, by the id of their line in the activity record."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, Any

from app.core.errors import StorageTrouble
from app.core.storage.repository import Repository, json_object, text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

BATCH_SECONDS = 0.5
MAX_CHARACTERS = 16 * 1024 * 1024
# Of requests that are not written yet: about what they hold in memory meanwhile.
WAITING_BYTES = 8 * 1024 * 1024
# Characters between two deletions: finding the oldest rows reads the whole table.
TRIM_EVERY = 1024 * 1024

_TRIM = """DELETE FROM exchanges WHERE number <= (
    SELECT max(number) FROM (
        SELECT number, sum(length(content)) OVER (ORDER BY number DESC) AS size FROM exchanges
    ) WHERE size > ?
)"""


class ExchangeLog(Repository):
    """`add` returns at once, on any thread. What cannot be written is dropped: its line stays in the record."""

    def attach(self) -> None:
        """Start without unwritten exchanges."""
        self._lock = threading.Lock()
        self._waiting: dict[str, Callable[[], Mapping[str, Any]]] = {}
        self._waiting_bytes = 0
        self._since_trim = TRIM_EVERY

    def add(self, key: str, make: Callable[[], Mapping[str, Any]], size: int) -> None:
        """Write soon what `make` returns, which is called on the writer's thread. It holds `size` bytes until then."""
        with self._lock:
            first = not self._waiting
            if self._waiting_bytes + size > WAITING_BYTES and not first:
                return
            self._waiting[key] = make
            self._waiting_bytes += size
        if first:
            try:
                self._writer.later("exchanges", BATCH_SECONDS, self._flush)
            except StorageTrouble:
                log.debug("an exchange came after the database was closed")

    async def get(self, key: str) -> dict[str, Any] | None:
        """The exchange under `key`, unwritten ones included; None when it is not kept. Raises `StorageTrouble`."""

        def job() -> dict[str, Any] | None:
            self._flush()
            rows = self._database.read("SELECT id, content FROM exchanges WHERE id = ?", (key,))
            found = self._readable("exchanges", ("id",), rows, _decode, told=False)
            return found[0][1] if found else None

        return await self._run(job)

    async def all(self) -> dict[str, dict[str, Any]]:
        """Every exchange by its key: at most 16 MiB. Raises `StorageTrouble`."""

        def job() -> dict[str, dict[str, Any]]:
            self._flush()
            rows = self._database.read("SELECT id, content FROM exchanges ORDER BY number")
            return dict(self._readable("exchanges", ("id",), rows, _decode, told=False))

        return await self._run(job)

    async def clear(self) -> None:
        """Delete all of them. Raises `StorageTrouble`."""

        def job() -> None:
            with self._lock:
                self._waiting.clear()
                self._waiting_bytes = 0
            self._database.write(lambda connection: connection.execute("DELETE FROM exchanges"), durable=False)

        await self._run(job)

    def _flush(self) -> None:
        with self._lock:
            batch, self._waiting, self._waiting_bytes = self._waiting, {}, 0
        rows = []
        for key, make in batch.items():
            try:
                rows.append((key, json.dumps(make())))
            except Exception:
                log.exception("an exchange could not be kept")
        if not rows:
            return
        try:
            self._database.write(lambda connection: self._insert(connection, rows), durable=False)
        except StorageTrouble as error:
            log.warning("exchanges cannot be written: %s", error)

    def _insert(self, connection: sqlite3.Connection, rows: list[tuple[str, str]]) -> None:
        connection.executemany("INSERT OR REPLACE INTO exchanges (id, content) VALUES (?, ?)", rows)
        self._since_trim += sum(len(content) for _, content in rows)
        if self._since_trim >= TRIM_EVERY:
            connection.execute(_TRIM, (MAX_CHARACTERS,))
            self._since_trim = 0


def _decode(row: tuple[Any, ...]) -> tuple[str, dict[str, Any]]:
    return text(row[0]), json_object(row[1])
