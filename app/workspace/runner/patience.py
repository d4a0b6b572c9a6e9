"""Waits for a database that another process holds, or whose disk is full for a moment."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

log = logging.getLogger(__name__)
RETRY_SECONDS = 1.0


async def patiently(work: Callable[[], Awaitable[T]], tries: int | None = None) -> T:
    """What `work` returns. It is begun anew every second until the database takes it, at most `tries` times.

    Raises `sqlite3.Error` after that.
    """
    while True:
        tries = None if tries is None else tries - 1
        try:
            return await work()
        except sqlite3.Error as failure:
            if tries == 0:
                raise
            log.warning("the runs of the workspace cannot be read or changed: %s", failure)
            await asyncio.sleep(RETRY_SECONDS)
