"""Repository: the base of every part of the storage. It has the database and the thread that may use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.storage.database import Database
    from app.core.storage.writer import Writer

T = TypeVar("T")


class Repository:
    """The tables of one subject. After `__init__` they are used on the writer's thread only."""

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
