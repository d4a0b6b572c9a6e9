"""What every part of the storage is built on: the database and the thread it lives on."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.storage.database import Database
    from app.core.storage.writer import Writer

T = TypeVar("T")


class Access:
    """A subject's tables, reached through the writer thread only."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer
        self.attach()

    def attach(self) -> None:
        """Prepare while the database is being opened, still on the opener's thread."""

    async def _run(self, job: Callable[[], T]) -> T:
        # asyncio costs 50 ms of import, and the window is painted before anything is waited for.
        import asyncio

        return await asyncio.wrap_future(self._writer.submit(job))
