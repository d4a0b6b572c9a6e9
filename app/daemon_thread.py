"""Work in a thread that never delays the end of the process. Standard library only.

`asyncio.to_thread` takes a thread of the loop's executor, which the end of the interpreter waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def in_daemon_thread(work: Callable[[], T], name: str) -> tuple[asyncio.Future[T], threading.Thread]:
    """Begin `work` in a thread of its own; its result or exception is the future's. The thread is started."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, failure: Exception | None) -> None:
        # Whoever waited may have been cancelled.
        if outcome.done():
            return
        if failure is not None:
            outcome.set_exception(failure)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        failure: Exception | None = None
        try:
            result = work()
        except Exception as raised:  # noqa: BLE001 - carried over to whoever waits
            failure = raised
        # The loop may be closed meanwhile; nobody waits then.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, failure)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return outcome, thread
