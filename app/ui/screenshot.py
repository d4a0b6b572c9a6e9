"""Saves a picture of the window once it has loaded (`burrow --screenshot FILE`)."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

from app.core.errors import BurrowError
from app.ui.widgets.feedback import ProgressLine

if TYPE_CHECKING:
    from app.ui.shell.window import MainWindow

LOAD_SECONDS = 30.0
POLL_SECONDS = 0.15


async def take_screenshot(window: MainWindow, path: str, quitting: asyncio.Event, *, connecting: bool) -> int:
    """Wait until the place in view has loaded, save the window as `path`; returns the exit code.

    `connecting` says that a host was named, so that there is a backend to wait for.
    """
    try:
        async with asyncio.timeout(LOAD_SECONDS):
            # Twice in a row: between an answer and the request that follows it the window looks idle.
            calm = 0
            while calm < 2 and not quitting.is_set():
                await asyncio.sleep(POLL_SECONDS)
                calm = calm + 1 if await _loaded(window, connecting) else 0
    except TimeoutError:
        sys.stderr.write("burrow: the window did not finish loading; the picture shows how far it got\n")
    if window.grab().save(path):
        return 0
    sys.stderr.write(f"burrow: {path} cannot be written\n")
    return 1


async def _loaded(window: MainWindow, connecting: bool) -> bool:
    backend = window.backend
    if backend is None:
        return not connecting
    with contextlib.suppress(BurrowError):
        await backend.ready()
    return not any(line.active and line.isVisibleTo(window) for line in window.findChildren(ProgressLine))
