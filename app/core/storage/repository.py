"""Repository: the base of every part of the storage. It has the database and the thread that may use it."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any, TypeVar

from app.core.errors import StorageTrouble
from app.core.storage.database import UndecodableText

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from app.core.storage.database import Database
    from app.core.storage.writer import Writer

T = TypeVar("T")

log = logging.getLogger(__name__)

# The end of the year 9998: a day less than `datetime` can hold, in every time zone.
LATEST = 253_370_764_800

# Not among the migrations: most databases never need it, and an earlier version accepts a table that it does not know.
_SET_ASIDE = """CREATE TABLE IF NOT EXISTS set_aside (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, origin TEXT NOT NULL, content TEXT NOT NULL
)"""


class Unreadable(Exception):
    """A row has something that no version of Burrow writes."""


class Repository:
    """The tables of one subject. After `__init__` they are used on the writer's thread only.

    A row that cannot be read, because a disk or another program damaged it, must not keep the others from being read.
    It is moved to the table `set_aside`, alone, and the user is told where that matters.
    """

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer
        self.attach()

    def attach(self) -> None:
        """Prepare, on the thread that opens the storage."""

    async def _run(self, job: Callable[[], T]) -> T:
        # Importing asyncio takes 50 ms, and the window is painted before anything is awaited.
        import asyncio

        return await asyncio.wrap_future(self._writer.submit(job))

    def _readable(
        self, table: str, key: Sequence[str], rows: Iterable[Any], decode: Callable[[Any], T], *, told: bool = True
    ) -> list[T]:
        """What `decode` makes of each row. Rows for which it raises `Unreadable` are set aside.

        A row begins with the columns of its primary `key`. `told` says whether the user is told.
        """
        found, unreadable = [], []
        for row in rows:
            try:
                found.append(decode(row))
            except Unreadable:
                unreadable.append(tuple(row[: len(key)]))
        if unreadable:
            self._set_aside(table, key, unreadable, told=told)
        return found

    def _set_aside(self, table: str, key: Sequence[str], rows: list[tuple[Any, ...]], *, told: bool) -> None:
        """Move rows. Raises nothing: a row that stays is met again, and left out again."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(_SET_ASIDE)
            for values in rows:
                # A text that is not UTF-8 cannot be a parameter, and a value of bytes is never equal to a text.
                marks = ("CAST(? AS TEXT)" if isinstance(value, UndecodableText) else "?" for value in values)
                where = " AND ".join(f"{name} IS {mark}" for name, mark in zip(key, marks, strict=True))
                given = tuple(bytes(value) if isinstance(value, UndecodableText) else value for value in values)
                columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
                quoted = ", ".join(f"hex({name}), typeof({name})" for name in columns)
                for content in connection.execute(f"SELECT {quoted} FROM {table} WHERE {where}", given).fetchall():
                    parts = zip(columns, content[::2], content[1::2], strict=True)
                    kept = json.dumps({name: {"hex": value, "type": kind} for name, value, kind in parts})
                    connection.execute(
                        "INSERT INTO set_aside (at, origin, content) VALUES (?, ?, ?)", (time.time(), table, kept)
                    )
                connection.execute(f"DELETE FROM {table} WHERE {where}", given)

        log.error("%d rows of %s cannot be read", len(rows), table)
        try:
            self._database.write(change, durable=True)
        except StorageTrouble as trouble:
            log.warning("they stay where they are: %s", trouble.cause)
            return
        if told:
            entries = "One entry" if len(rows) == 1 else f"{len(rows)} entries"
            self._database.add_notice(
                f"{entries} of Burrow's {table} could not be read and are kept in the table set_aside of "
                f"{self._database.path}. Everything else is as it was."
            )


def text(value: object) -> str:
    """A value that must be text. Raises `Unreadable`."""
    if isinstance(value, str):
        return value
    raise Unreadable


def number(value: object) -> float:
    """A value that must be a number. Raises `Unreadable`."""
    if isinstance(value, int | float):
        return value
    raise Unreadable


def moment(value: object) -> float:
    """A value that must be a time in Unix seconds, which every platform can show. Raises `Unreadable`."""
    if 0 <= number(value) <= LATEST:
        return number(value)
    raise Unreadable


def json_object(value: object) -> dict[str, Any]:
    """A value that must be the text of a JSON object. Raises `Unreadable`."""
    try:
        found = json.loads(text(value))
    except (ValueError, RecursionError):
        raise Unreadable from None
    if not isinstance(found, dict):
        raise Unreadable
    return found
