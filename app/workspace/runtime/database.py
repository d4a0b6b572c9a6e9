"""SQLite behind one worker thread: one short transaction at a time, and the event loop never blocks.

A file that cannot be read, or that a newer version wrote, is renamed and reported, never deleted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from app.workspace.runtime.schema import APPLICATION_ID, TRACKS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")
FILE_NAME = "workspace.sqlite3"
SIDE_FILES = ("", "-wal", "-shm")
BUSY_SECONDS = 5.0


class UnusableDatabase(Exception):
    """The file cannot be used. The message says why; `word` becomes part of the name it is set aside under."""

    def __init__(self, word: str, reason: str) -> None:
        super().__init__(reason)
        self.word = word


class WorkspaceDatabase:
    """One connection in one thread.

    `notices` has a sentence for each file that was set aside when the database was opened.
    """

    def __init__(self, connection: sqlite3.Connection, worker: ThreadPoolExecutor, notices: list[str]) -> None:
        self._connection = connection
        self._worker = worker
        self.notices = notices

    @classmethod
    def open(cls, folder: Path) -> WorkspaceDatabase:
        """Open or create the database in `folder`, which is created with mode 0700."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        worker = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        try:
            connection, notices = worker.submit(_open, folder / FILE_NAME).result()
        except BaseException:
            worker.shutdown()
            raise
        return cls(connection, worker, notices)

    async def run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn` in the worker inside one write transaction; an exception rolls it back and is raised here."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._transact, "IMMEDIATE", fn)

    async def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Like `run`, for work that only reads."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._transact, "DEFERRED", fn)

    def close(self) -> None:
        self._worker.submit(self._connection.close).result()
        self._worker.shutdown()

    def _transact(self, kind: str, fn: Callable[[sqlite3.Connection], T]) -> T:
        # IMMEDIATE takes the write lock at once. A transaction that reads first and writes later could fail halfway
        # because another process wrote in between; one that begins with the lock waits for it, and then succeeds.
        connection = self._connection
        connection.execute(f"BEGIN {kind}")
        try:
            result = fn(connection)
        except BaseException:
            connection.rollback()
            raise
        connection.commit()
        return result


def _open(path: Path) -> tuple[sqlite3.Connection, list[str]]:
    notices: list[str] = []
    try:
        return _connect(path), notices
    except UnusableDatabase as unusable:
        aside = _set_aside(path, unusable.word)
        notices.append(f"The workspace database {unusable}; it was kept as {aside.name} and a new one was made.")
    return _connect(path), notices


def _connect(path: Path) -> sqlite3.Connection:
    if path.exists() and not path.is_file():
        raise UnusableDatabase("damaged", "is not a file")
    # SQLite gives its log files the mode of the file, so the file has it before SQLite sees it. The log of an earlier
    # version may be there already.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    for side in SIDE_FILES:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + side).chmod(0o600)
    # Without an isolation level the driver begins no transactions of its own; `_transact` does.
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    # Case-insensitive search beyond ASCII; SQLite's own lower() handles ASCII only.
    connection.create_function("folded", 1, lambda value: (value or "").casefold(), deterministic=True)
    try:
        _check(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        # With a write-ahead log, a power cut can lose the last transactions but not damage the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection)
    except UnusableDatabase:
        connection.close()
        raise
    except sqlite3.OperationalError as trouble:
        connection.close()
        # Another process holds the file. That says nothing about its content, so it is not set aside.
        if "locked" in str(trouble) or "busy" in str(trouble):
            raise
        raise UnusableDatabase("damaged", "could not be read") from trouble
    except sqlite3.DatabaseError as trouble:
        connection.close()
        raise UnusableDatabase("damaged", "is damaged") from trouble
    return connection


def _check(connection: sqlite3.Connection) -> None:
    [finding] = connection.execute("PRAGMA quick_check(1)").fetchone()
    if finding != "ok":
        raise UnusableDatabase("damaged", "is damaged")
    [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    [owner] = connection.execute("PRAGMA application_id").fetchone()
    if tables and owner != APPLICATION_ID:
        raise UnusableDatabase("foreign", "belongs to another program")


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("CREATE TABLE IF NOT EXISTS schema_versions (track TEXT PRIMARY KEY, version INTEGER NOT NULL)")
    have = dict(connection.execute("SELECT track, version FROM schema_versions").fetchall())
    for track, version in have.items():
        if version > len(TRACKS.get(track, ())):
            raise UnusableDatabase("newer", "was written by a newer version")
    for track, scripts in TRACKS.items():
        for version, script in enumerate(scripts, start=1):
            if version > have.get(track, 0):
                # The step and its number are committed together: a crash between two steps repeats neither.
                connection.executescript(
                    f"BEGIN IMMEDIATE;\n{script}\n;"
                    f"INSERT OR REPLACE INTO schema_versions VALUES ('{track}', {version});\nCOMMIT;"
                )


def _set_aside(path: Path, word: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    aside = path.with_name(f"{path.name}.{word}-{stamp}")
    # The log files go along: a log left behind would be replayed into the new database.
    for side in SIDE_FILES:
        source = path.with_name(path.name + side)
        if source.exists():
            source.rename(aside.with_name(aside.name + side))
    return aside
