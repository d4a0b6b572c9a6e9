"""The one thread that touches the database after it was opened.

Jobs run in the order they came. A job that was accepted is run even if whoever waits for it is cancelled: closing a
view must not lose what was typed in it.
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
    """A daemon thread, started by the first job, so that a hanging disk cannot keep the program from ending."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._later: dict[str, tuple[float, Callable[[], None]]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Run `job` on the thread. Raises `StorageTrouble` after `close`."""
        future, run = _job(job)
        self._put(run)
        return future

    def later(self, name: str, seconds: float, job: Callable[[], None]) -> None:
        """Run `job` in `seconds`, or at `close` if that comes first; ignored while one of that name is waiting."""

        def schedule() -> None:
            self._later.setdefault(name, (time.monotonic() + seconds, job))

        self._put(schedule)

    def close(self, last: Callable[[], None]) -> Future[None]:
        """Run what is waiting, then `last`, then end the thread; later jobs are refused."""
        future, run = _job(lambda: self._finish(last))
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
            try:
                run = self._jobs.get(timeout=self._pause())
            except Empty:
                self._run_due(time.monotonic())
                continue
            if run is None:
                return
            run()

    def _pause(self) -> float | None:
        if not self._later:
            return None
        return max(0.0, min(due for due, _ in self._later.values()) - time.monotonic())

    def _run_due(self, now: float) -> None:
        for name, (due, job) in list(self._later.items()):
            if due <= now:
                del self._later[name]
                try:
                    job()
                except Exception:
                    log.exception("a delayed write failed")

    def _finish(self, last: Callable[[], None]) -> None:
        self._run_due(float("inf"))
        last()


def _job(job: Callable[[], T]) -> tuple[Future[T], Callable[[], None]]:
    """A future that cannot be cancelled, and what fulfils it."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result = job()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            future.set_exception(error)
        else:
            future.set_result(result)

    return future, run
