"""Imports of slow packages (httpx2, the MCP SDK) away from the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Two threads that import one package at the same time may each see half of it.
_IMPORTING = threading.Lock()
_running: set[threading.Thread] = set()


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work`, which imports, in a thread that never delays the end of the process; one such work at a time."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, failure: BaseException | None) -> None:
        if done.done():
            return
        if failure is not None:
            done.set_exception(failure)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            with _IMPORTING:
                result = work()
        except Exception as raised:  # noqa: BLE001 - carried over to the waiting coroutine
            failure = raised
        finally:
            _running.discard(threading.current_thread())
        # The loop is closed when the workspace has stopped meanwhile; nobody waits then.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, failure)

    thread = threading.Thread(target=run, daemon=True, name="workspace-import")
    _running.add(thread)
    thread.start()
    return await done


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
