"""Imports of slow packages (httpx2, the MCP SDK) away from the event loop."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, TypeVar

from app.daemon_thread import in_daemon_thread

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Two threads that import one package at the same time may each see half of it.
_IMPORTING = threading.Lock()
_running: set[object] = set()


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work`, which imports, in a thread that never delays the end of the process; one such work at a time."""
    running = object()
    _running.add(running)

    def run() -> T:
        try:
            with _IMPORTING:
                return work()
        finally:
            _running.discard(running)

    outcome, _thread = in_daemon_thread(run, "workspace-import")
    return await outcome


def end_beside_imports(code: int) -> None:
    """End the process with this code at once if a thread still imports; else return.

    Before 3.14, Python ends such a thread by unwinding its stack when the interpreter ends. In a compiled extension,
    as pydantic's is, that aborts the process (https://github.com/python/cpython/issues/87135).
    """
    if _running:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.flush()
        os._exit(code)
