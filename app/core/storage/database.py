"""Database: one SQLite file. It is opened, migrated, and set aside when it cannot be used.

A database that is damaged, belongs to another program or was written by a newer Burrow is renamed, together with its
`-wal` and `-shm` files, and an empty one takes its place. Nothing is ever deleted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from app.core.errors import StorageTrouble
from app.core.private import FILE_MODE, make_private_folder, open_private
from app.core.storage.migrations import APPLICATION_ID, MIGRATIONS, TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

T = TypeVar("T")

log = logging.getLogger(__name__)

BUSY_SECONDS = 5.0
BUSY_PAUSE = 0.02
# The database and the files that SQLite keeps beside it in WAL mode. They belong together: a database without its log
# lacks the last transactions.
SUFFIXES = ("", "-wal", "-shm")

# Primary result codes of SQLite.
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_CAUSES = {
    sqlite3.SQLITE_FULL: ("The disk is full: {path} could not be written.", "Free some disk space and try again."),
    sqlite3.SQLITE_READONLY: ("{path} cannot be written.", "Check the permissions of the folder and the file."),
    sqlite3.SQLITE_CANTOPEN: ("{path} cannot be opened.", "Check that the folder exists and may be written."),
    sqlite3.SQLITE_PERM: ("{path} cannot be opened.", "Check the permissions of the folder and the file."),
    sqlite3.SQLITE_BUSY: ("{path} is in use by another Burrow.", "Close the other one, or try again in a moment."),
    sqlite3.SQLITE_LOCKED: ("{path} is in use by another Burrow.", "Close the other one, or try again in a moment."),
    sqlite3.SQLITE_IOERR: ("{path} could not be read or written.", "Check the disk and the space left on it."),
    sqlite3.SQLITE_CORRUPT: ("{path} is damaged.", "Restart Burrow; it sets the file aside and begins a new one."),
    sqlite3.SQLITE_NOTADB: ("{path} is damaged.", "Restart Burrow; it sets the file aside and begins a new one."),
}


class UndecodableText(bytes):
    """A text in the database that is not UTF-8."""


class DatabaseUnusable(Exception):
    """The file is not a database that this version can use. `advice` says what the user can do with it."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice


class Database:
    """A connection that one thread at a time may use.

    `notice` says what was set aside and where, for the user; None when nothing was. `replaced` is called after a
    database that was in use has been replaced by another one; `replacements` counts that.
    """

    def __init__(self, path: Path | None) -> None:
        """Open `path`, or a database in memory for None. Raises `StorageTrouble`."""
        self.path = path
        self.notice: str | None = None
        self.replaced: Callable[[], None] = lambda: None
        self.replacements = 0
        # The present setting of `PRAGMA synchronous`, so that it is set only when it changes.
        self._durable = False
        # Device and inode of the open file.
        self._identity: tuple[int, int] | None = None
        self._connection: sqlite3.Connection | None = self._open()

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query. Raises `StorageTrouble`. A text that is not UTF-8 comes as `UndecodableText`."""

        def run(connection: sqlite3.Connection) -> list[Any]:
            try:
                return connection.execute(sql, parameters).fetchall()
            except sqlite3.OperationalError as error:
                # Raised by the module itself, hence without a code of SQLite. Nothing tells which row it was.
                if hasattr(error, "sqlite_errorcode"):
                    raise
            connection.text_factory = _text
            try:
                return connection.execute(sql, parameters).fetchall()
            finally:
                connection.text_factory = str

        return self._run_repaired(run)

    def write(self, change: Callable[[sqlite3.Connection], T], *, durable: bool) -> T:
        """Run `change` in one transaction: all of it happens, or nothing. Raises `StorageTrouble`.

        A `durable` change survives a power failure once this returns. Any other survives the end of the process only.
        """

        def run(connection: sqlite3.Connection) -> T:
            # In WAL mode FULL flushes the log at each commit, NORMAL only at checkpoints.
            if durable is not self._durable:
                connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            with _transaction(connection):
                return change(connection)

        return self._run_repaired(run)

    def add_notice(self, words: str) -> None:
        """Tell the user one more thing."""
        self.notice = words if self.notice is None else f"{self.notice} {words}"

    def close(self) -> None:
        """Merge the log into the file and close it. Safe to call again. A later read or write opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _run_repaired(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """Run once; if the database turns out to be damaged, replace it and run once more."""
        if self._connection is not None and self._moved():
            self.close()
        if self._connection is None:
            self._replace(None)
        try:
            return run(self._in_use())
        except sqlite3.Error as error:
            if self.path is None or _code(error) not in _DAMAGED:
                raise trouble(error, self.path) from error
            log.error("the database is damaged: %s", error)
            damage = DatabaseUnusable(f"The database was damaged ({error}).", _RECOVERY_ADVICE)
        # Outside of the handler, so that a failure in the new database is not reported as caused by the damage.
        self._replace(damage)
        try:
            return run(self._in_use())
        except sqlite3.Error as error:
            raise trouble(error, self.path) from error

    def _in_use(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StorageTrouble(f"{self.path} is closed.")
        return self._connection

    def _moved(self) -> bool:
        """Whether another process set the file aside, or it was removed."""
        # The open descriptor would still work, and everything written to it would be lost.
        return self.path is not None and _identity(self.path) != self._identity

    def _replace(self, damage: DatabaseUnusable | None) -> None:
        self.close()
        self._connection = self._open(damage)
        self._durable = False
        self.replacements += 1
        self.replaced()

    def _open(self, damage: DatabaseUnusable | None = None) -> sqlite3.Connection:
        try:
            if self.path is None:
                connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                _prepare(connection)
                return connection
            _make_private(self.path)
            try:
                # Another process may have replaced the damaged file already: then look at the one that is there.
                if damage is not None and not self._moved():
                    raise damage
                connection = _connect(self.path)
            except DatabaseUnusable:
                connection = self._set_aside(self.path, damage)
            self._identity = _identity(self.path)
        except sqlite3.Error as error:
            raise trouble(error, self.path) from error
        except OSError as error:
            raise StorageTrouble(
                f"{error.filename or self.path} cannot be written: {error.strerror or error}.",
                action="Check that the folder exists, may be written and has space left.",
            ) from error
        else:
            return connection

    def _set_aside(self, path: Path, damage: DatabaseUnusable | None) -> sqlite3.Connection:
        from filelock import FileLock

        # Several processes find the same damage. The first one sets the file aside; the others, which get the lock
        # later, look again and find the new one.
        with FileLock(f"{path}.lock", timeout=BUSY_SECONDS, mode=FILE_MODE):
            try:
                if damage is not None and not self._moved():
                    raise damage
                return _connect(path)
            except DatabaseUnusable as unusable:
                aside = _free_name(path)
                for suffix in SUFFIXES:
                    with contextlib.suppress(FileNotFoundError):
                        os.rename(f"{path}{suffix}", f"{aside}{suffix}")
                self.notice = f"{unusable.what} It was kept as {aside}, and Burrow started with an empty one. " + (
                    unusable.advice.format(name=path.name)
                )
                log.error("%s", self.notice)
            _make_private(path)
            return _connect(path)


def trouble(error: sqlite3.Error, path: Path | None) -> StorageTrouble:
    """The error for one of SQLite's."""
    cause, action = _CAUSES.get(_code(error), ("{path} could not be used: {error}.", StorageTrouble.action))
    return StorageTrouble(cause.format(path=path or "memory", error=error), action=action)


def _text(stored: bytes) -> str | UndecodableText:
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return UndecodableText(stored)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _code(error: sqlite3.Error) -> int:
    # The low byte of an extended result code is the primary one.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _make_private(path: Path) -> None:
    """Create the folder and the file, for their owner only. SQLite gives `-wal` and `-shm` the mode of the file."""
    make_private_folder(path.parent)
    os.close(open_private(str(path), os.O_RDWR | os.O_CREAT))


def _connect(path: Path) -> sqlite3.Connection:
    """An open, migrated connection. Raises `DatabaseUnusable` and `sqlite3.Error`."""
    _refuse_orphaned_log(path)
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection)
        except UnicodeDecodeError as error:
            # Raised for a message of SQLite that quotes a damaged name.
            connection.close()
            raise DatabaseUnusable("The database was damaged (its names are no text).", _RECOVERY_ADVICE) from error
        except sqlite3.Error as error:
            connection.close()
            # An error without a code is the module's own: a name in the file is no text.
            if _code(error) in _DAMAGED or not hasattr(error, "sqlite_errorcode"):
                raise DatabaseUnusable(f"The database was damaged ({error}).", _RECOVERY_ADVICE) from error
            # Switching to WAL and recovering after a killed process fail at once, whatever the busy timeout is.
            if _code(error) not in _BUSY or time.monotonic() > deadline:
                raise
            time.sleep(BUSY_PAUSE)
        except BaseException:
            connection.close()
            raise
        else:
            return connection


_RECOVERY_ADVICE = (
    "To look for drafts in the old one, open a copy of it with `sqlite3` and its `.recover` command; "
    "to use a backup, quit Burrow and put it back as {name}."
)


def _refuse_orphaned_log(path: Path) -> None:
    """Raises `DatabaseUnusable` for an empty file beside a log that is not empty."""
    # SQLite would delete the log, and with it the last data that could be recovered.
    try:
        orphaned = path.stat().st_size == 0 and os.stat(f"{path}-wal").st_size > 0
    except FileNotFoundError:
        return
    if orphaned:
        raise DatabaseUnusable("The database was emptied while its log was not.", _RECOVERY_ADVICE)


def _prepare(connection: sqlite3.Connection) -> None:
    # All checks come before the first write: a file of another program or version must stay as it is.
    [(version,)] = connection.execute("PRAGMA user_version")
    [(application,)] = connection.execute("PRAGMA application_id")
    if application not in {0, APPLICATION_ID}:
        raise DatabaseUnusable("The database belongs to another program.", "If you need it, move it elsewhere.")
    if version > len(MIGRATIONS):
        raise DatabaseUnusable(
            f"The database was written by a newer Burrow (format {version}; this one reads up to {len(MIGRATIONS)}).",
            "To go on with it, install the newer Burrow and rename the file back to {name}.",
        )
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if version == 0 and tables:
        raise DatabaseUnusable("The database belongs to another program.", "If you need it, move it elsewhere.")
    if version == len(MIGRATIONS) and not tables >= TABLES:
        raise DatabaseUnusable("The database was damaged (tables are missing).", _RECOVERY_ADVICE)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA journal_size_limit=4194304")
    if version < len(MIGRATIONS):
        _migrate(connection)


def _migrate(connection: sqlite3.Connection) -> None:
    """Apply the missing steps in one transaction, so that a process that dies here leaves the former version."""
    with _transaction(connection):
        # Read again inside the transaction: another process may have migrated while this one waited for the lock.
        [(version,)] = connection.execute("PRAGMA user_version")
        for step in MIGRATIONS[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={max(version, len(MIGRATIONS))}")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Any:
    # IMMEDIATE takes the write lock now. A transaction that reads first and writes later could fail in the middle.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some errors, such as a full disk, SQLite has rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _free_name(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for number in range(1, 1000):
        suffix = "" if number == 1 else f"-{number}"
        candidate = path.with_name(f"{path.stem}.set-aside-{stamp}{suffix}{path.suffix}")
        if not any(os.path.lexists(f"{candidate}{suffix}") for suffix in SUFFIXES):
            return candidate
    raise StorageTrouble(f"No free name is left beside {path}.")
