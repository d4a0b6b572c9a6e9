"""Writer: the one thread that uses the database after it was opened.

SQLite connections are used by one thread at a time, and a slow disk must not block the loop. Jobs run in the order in
which they were submitted. A job runs even if the task that waits for it is cancelled: closing a view must not lose what
was typed in it.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from app.core.errors import StorageTrouble

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

log = logging.getLogger(__name__)


class Writer:
    """A thread that the first job starts. It is a daemon, so a hanging disk cannot keep the program from ending."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # Used on the writer's thread only, hence without a lock. Names to due times (monotonic) and jobs.
        self._delayed: dict[str, tuple[float, Callable[[], None]]] = {}
        # Guards the start of the thread and the closing, which any thread may cause.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Run `job` on the thread. Raises `StorageTrouble` after `close`."""
        future, run = _job(job)
        self._put(run)
        return future

    def later(self, name: str, seconds: float, job: Callable[[], None]) -> None:
        """Run `job` after `seconds`, or at `close` if that comes first. Ignored while a job of that name is waiting."""

        def schedule() -> None:
            self._delayed.setdefault(name, (time.monotonic() + seconds, job))

        self._put(schedule)

    def close(self, last: Callable[[], None]) -> Future[None]:
        """Run all waiting jobs, then `last`, then end the thread. Later jobs raise `StorageTrouble`."""
        future, run = _job(lambda: self._finish(last))
        # None ends the thread. Both are put at once, so that no job comes between them.
        self._put(run, None)
        return future

    def _put(self, *jobs: Callable[[], None] | None) -> None:
        with self._lock:
            if self._closed:
                raise StorageTrouble("Burrow's database is already closed.")
            for job in jobs:
                self._jobs.put(job)
            self._closed = jobs[-1] is None
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            # A delayed job runs when it is due and the queue is empty. `close` runs those that are not due yet.
            try:
                run = self._jobs.get(timeout=self._pause())
            except Empty:
                self._run_due(time.monotonic())
                continue
            if run is None:
                return
            run()

    def _pause(self) -> float | None:
        if not self._delayed:
            return None
        return max(0.0, min(due for due, _ in self._delayed.values()) - time.monotonic())

    def _run_due(self, now: float) -> None:
        for name, (due, job) in list(self._delayed.items()):
            if due <= now:
                del self._delayed[name]
                try:
                    job()
                except Exception:
                    log.exception("a delayed write failed")

    def _finish(self, last: Callable[[], None]) -> None:
        self._run_due(float("inf"))
        last()


def _job(job: Callable[[], T]) -> tuple[Future[T], Callable[[], None]]:
    """A future that cannot be cancelled, and the function that completes it."""
    future: Future[T] = Future()
    # From now on `cancel` has no effect, so a cancelled task does not take its job with it.
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result = job()
        except BaseException as error:  # noqa: BLE001 - it goes to whoever waits
            future.set_exception(error)
        else:
            future.set_result(result)

    return future, run
