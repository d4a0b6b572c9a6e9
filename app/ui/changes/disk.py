"""Failures of the disk as errors that the window shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from app.core.errors import StorageTrouble

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

T = TypeVar("T")


async def told(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What `work` returns. Raises `StorageTrouble` for an `OSError`."""
    try:
        return await work()
    except OSError as failure:
        raise StorageTrouble(f"{failure.filename or 'The file'}: {failure.strerror or failure}.") from failure
