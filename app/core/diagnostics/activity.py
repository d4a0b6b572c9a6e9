"""Activity: the record of requests, messages and events of grants, in a ring buffer and on disk, without secrets."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from app.core.errors import StorageTrouble
from app.core.events import Event
from app.core.redaction import redact, redact_text
from app.core.storage.values import ActivityRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from app.core.auth.key import CredentialKey
    from app.core.auth.status import AuthEvent
    from app.core.diagnostics.exchanges import WireExchange
    from app.core.fetcher import RequestRecord
    from app.core.storage.exchanges import ExchangeLog
    from app.core.storage.log import ActivityLog

RING_RECORDS = 5_000
RING_CHARACTERS = 16 * 1024 * 1024
DETAIL_CHARACTERS = 64 * 1024
LINE_CHARACTERS = 2_000
# Without a storage the exchanges of so many records are in memory.
EXCHANGES_IN_MEMORY = 100
# What the headers and times of an exchange take besides its bodies, about.
EXCHANGE_BYTES = 4_000


class ActivityRecord(NamedTuple):
    """One thing that happened.

    `at` is in Unix seconds. `kind` is `http`, `mcp` or `auth`. `target` is the other side, `summary` what was
    done, `status` the outcome as a word or number. `detail` consists of JSON values.
    """

    id: str
    at: float
    kind: str
    target: str
    summary: str
    status: str
    milliseconds: float | None
    detail: dict[str, Any]


class Activity:
    """The newest 5,000 records, at most 16 MiB of them.

    `changed` emits each record, on the thread that recorded it.
    """

    def __init__(self, log: ActivityLog | None = None, exchanges: ExchangeLog | None = None) -> None:
        """`log` and `exchanges` (`Storage`) store the records; without them they are in memory only."""
        self.changed: Event[ActivityRecord] = Event()
        self._log = log
        self._exchanges = exchanges
        self._in_memory: dict[str, Callable[[], Mapping[str, Any]]] = {}
        self._lock = threading.Lock()
        self._ring: deque[tuple[ActivityRecord, int]] = deque()
        self._characters = 0

    def record(
        self,
        kind: str,
        target: str,
        summary: str,
        status: str = "",
        milliseconds: float | None = None,
        detail: Mapping[str, Any] | None = None,
        *,
        at: float | None = None,
        exchange: Callable[[], Mapping[str, Any]] | None = None,
        exchange_bytes: int = EXCHANGE_BYTES,
    ) -> ActivityRecord:
        """Add a record, on any thread, without waiting for the disk.

        `exchange` makes what `exchanges.read` reads, without secrets. It is called later, on another thread;
        `exchange_bytes` is about what it holds in memory until then.
        """
        # Redacted first, so that no subscriber and no file ever gets the secrets.
        cleaned = redact(detail, limit=DETAIL_CHARACTERS) if detail else {}
        record = ActivityRecord(
            id=os.urandom(8).hex(),
            at=time.time() if at is None else at,
            kind=kind,
            target=_line(target),
            summary=_line(summary),
            status=_line(status),
            milliseconds=milliseconds,
            detail=cleaned,
        )
        with self._lock:
            self._append([record])
        if self._log is not None:
            self._log.add(ActivityRow._make(record))
        if exchange is not None:
            self._keep(record.id, exchange, exchange_bytes)
        self.changed.emit(record)
        return record

    def record_request(self, exchange: RequestRecord) -> None:
        """Record a finished request of the fetcher."""
        self.record(
            kind="http",
            target=exchange.origin,
            summary=f"{exchange.method} {exchange.path}",
            status=str(exchange.status or exchange.error or ""),
            milliseconds=exchange.milliseconds,
            detail={
                "rule": exchange.rule,
                "error": exchange.error,
                "bytes": exchange.size,
                "sign_in": exchange.credential,
            },
            exchange=lambda: _stored(exchange),
            exchange_bytes=EXCHANGE_BYTES + len(exchange.wire.body) + len(exchange.wire.answer),
        )

    async def exchange(self, record: ActivityRecord) -> WireExchange | None:
        """Headers, bodies and times of a record; None for one that has none, or whose are not kept any more.

        Raises `StorageTrouble`.
        """
        import asyncio

        from app.core.diagnostics.exchanges import read

        if self._exchanges is not None:
            kept: Mapping[str, Any] | None = await self._exchanges.get(record.id)
        else:
            make = self._in_memory.get(record.id)
            kept = None if make is None else await asyncio.to_thread(make)
        return None if kept is None else read(kept)

    def record_auth(self, key: CredentialKey, origin: str, event: AuthEvent) -> None:
        """Record an event of a credential, which is for the server at `origin`."""
        self.record(
            kind="auth",
            target=origin,
            summary=f"{event.what}: {event.why}",
            status=event.outcome,
            milliseconds=event.milliseconds,
            detail={"generation": event.generation, "fingerprint": event.token, "sign_in": key.text},
        )

    def records(self) -> tuple[ActivityRecord, ...]:
        """The present records, the newest first."""
        with self._lock:
            return tuple(record for record, _ in reversed(self._ring))

    async def load(self) -> None:
        """Add the records of earlier runs. Raises `StorageTrouble`. To be called once."""
        if self._log is None:
            return
        rows = await self._log.load(RING_RECORDS)
        # The rows include records that this run has stored already, and that the ring has.
        with self._lock:
            present = [record for record, _ in self._ring]
            known = {record.id for record in present}
            self._ring.clear()
            self._characters = 0
            self._append([*(ActivityRecord(*row) for row in rows if row.id not in known), *present])

    async def flush(self) -> None:
        """Write the unwritten records. Raises nothing: what cannot be written stays in memory."""
        if self._log is not None:
            await self._log.flush()

    async def close(self) -> None:
        """Write the unwritten records. The storage stays open."""
        await self.flush()

    async def clear(self) -> None:
        """Delete all records, on disk too. Raises `StorageTrouble`."""
        with self._lock:
            self._ring.clear()
            self._characters = 0
        if self._log is not None:
            await self._log.clear()
        self._in_memory.clear()
        if self._exchanges is not None:
            await self._exchanges.clear()

    def export_lines(self, exchanges: Mapping[str, Mapping[str, Any]] | None = None) -> Iterator[str]:
        """The records as JSON lines, the oldest first, each with a newline and with its exchange, if there is one."""
        for record in reversed(self.records()):
            line = record._asdict()
            if exchanges is not None and record.id in exchanges:
                line["exchange"] = exchanges[record.id]
            yield json.dumps(line, ensure_ascii=False) + "\n"

    async def export(self, path: Path) -> int:
        """Write the JSON lines to `path`, for the owner only; returns their number. Raises `StorageTrouble`."""
        import asyncio

        exchanges: Mapping[str, Mapping[str, Any]]
        if self._exchanges is not None:
            exchanges = await self._exchanges.all()
        else:
            made = tuple(self._in_memory.items())
            exchanges = await asyncio.to_thread(lambda: {key: make() for key, make in made})
        return await asyncio.to_thread(_write, path, self.export_lines(exchanges))

    def _keep(self, key: str, make: Callable[[], Mapping[str, Any]], size: int) -> None:
        if self._exchanges is not None:
            self._exchanges.add(key, make, size)
            return
        with self._lock:
            self._in_memory[key] = make
            while len(self._in_memory) > EXCHANGES_IN_MEMORY:
                del self._in_memory[next(iter(self._in_memory))]

    def _append(self, records: list[ActivityRecord]) -> None:
        for record in records:
            size = _size(record)
            self._ring.append((record, size))
            self._characters += size
        # One record is always kept, however large it is.
        while len(self._ring) > RING_RECORDS or (self._characters > RING_CHARACTERS and len(self._ring) > 1):
            _, size = self._ring.popleft()
            self._characters -= size


def _stored(exchange: RequestRecord) -> Mapping[str, Any]:
    from app.core.diagnostics.exchanges import stored

    return stored(exchange.method, exchange.wire)


def _line(text: str) -> str:
    return redact_text(text if len(text) <= LINE_CHARACTERS else f"{text[:LINE_CHARACTERS]}…")


def _size(record: ActivityRecord) -> int:
    return len(record.target) + len(record.summary) + _characters(record.detail)


def _characters(value: object) -> int:
    """About how many characters a JSON value takes."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + _characters(item) for key, item in value.items())
    if isinstance(value, list):
        return sum(_characters(item) for item in value)
    return 8


def _write(path: Path, lines: Iterable[str]) -> int:
    count = 0
    try:
        # Created with this mode, not changed to it afterwards: the records name accounts and servers.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            for line in lines:
                file.write(line)
                count += 1
    except OSError as error:
        raise StorageTrouble(f"{path} could not be written: {error.strerror or error}.") from error
    return count
