"""The loop's default executor: worker threads that do not keep the process alive when one of them hangs.

`ThreadPoolExecutor` joins its threads when the interpreter ends, so one keyring call waiting for another
program would keep a closed window's process alive. These threads are daemons and are waited for briefly.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)


class _Work:
    """One submitted call."""

    __slots__ = ("call", "future")

    def __init__(self, call: Callable[[], Any], future: Future[Any]) -> None:
        self.call = call
        self.future = future

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.call()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever awaits the future
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class Workers(Executor):
    """At most `limit` daemon threads, started as work arrives.

    `shutdown(wait=True)` drops what has not begun and waits at most `patience` seconds for what has.
    """

    def __init__(self, limit: int = 8, patience: float = 0.5) -> None:
        self._limit = limit
        self._patience = patience
        self._changed = threading.Condition()
        self._queue: deque[_Work] = deque()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run `fn` in a worker. Raises RuntimeError after `shutdown`."""
        future: Future[R] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the workers have been shut down")
            self._queue.append(_Work(lambda: fn(*args, **kwargs), future))
            # Compared with the whole queue: a thread counts as idle until it has woken up and taken its work.
            if self._idle >= len(self._queue) or len(self._threads) >= self._limit:
                self._changed.notify()
            else:
                name = f"worker-{len(self._threads)}"
                thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._queue and not self._closed:
                    self._changed.wait()
                self._idle -= 1
                if not self._queue:
                    return
                work = self._queue.popleft()
            work.run()
            # An idle thread would keep the call and all that it refers to alive.
            del work

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """Take no more work; drop what waits unless told otherwise."""
        with self._changed:
            self._closed = True
            dropped = list(self._queue) if cancel_futures else []
            if cancel_futures:
                self._queue.clear()
            threads = list(self._threads)
            self._changed.notify_all()
        # Without the lock: cancelling runs the callbacks of the future.
        for work in dropped:
            work.future.cancel()
        if not wait:
            return
        deadline = time.monotonic() + self._patience
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        left = [thread.name for thread in threads if thread.is_alive()]
        if left:
            logger.warning("Left behind while still working: %s", ", ".join(left))
