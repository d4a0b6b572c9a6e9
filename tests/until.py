"""Waiting for what has no event of its own, within a bound."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def until(condition: Callable[[], Any], seconds: float = 5.0, *, pause: float = 0.005) -> None:
    """Wait until `condition`, perhaps a coroutine function, holds. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if await holds if inspect.isawaitable(holds) else holds:
                return
            await asyncio.sleep(pause)
