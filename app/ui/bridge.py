"""The one place where coroutines get an owner and the core's events reach Qt.

A plain slot calls `bridge.spawn(self, coroutine, done=self._show)`. What it started dies with the owner, and an
exception always reaches a handler, a signal or the log.

asyncio is imported by the functions that need it: it costs 50 ms, and the window is painted before the first of them.
"""

from __future__ import annotations

import inspect
import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

import shiboken6
from PySide6.QtCore import QObject, Qt, Signal, SignalInstance, Slot

from app.core.errors import BurrowError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from PySide6.QtWidgets import QDialog

    from app.core.events import Event

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Job:
    """A coroutine with an owner. It is over when `done` is true, whatever way it ended."""

    def __init__(
        self,
        owner: _Owner,
        key: str | None,
        deliver: Callable[[], Callable[[Any], object] | None],
        fail: Callable[[], Callable[[BaseException], object] | None],
    ) -> None:
        self._owner = owner
        self._key = key
        self._deliver = deliver
        self._fail = fail
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False

    @property
    def done(self) -> bool:
        """Whether nothing of it runs any more and its handlers have been called."""
        return self._task is None

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled; then no handler of it is called any more."""
        return self._cancelled

    def cancel(self) -> None:
        """End it. Neither `done` nor `failed` will be called, even if the coroutine insists on a result."""
        if self._task is None or self._cancelled:
            return
        self._cancelled = True
        self._task.cancel()

    async def wait(self) -> None:
        """Return when it is over; never raises what it raised."""
        if self._task is not None:
            import asyncio

            await asyncio.wait([self._task])


class _Owner:
    """What belongs to one QObject. Holds no reference to it."""

    __slots__ = ("alive", "jobs", "keyed", "unsubscribes")

    def __init__(self) -> None:
        self.alive = True
        self.jobs: set[Job] = set()
        self.keyed: dict[str, Job] = {}
        self.unsubscribes: set[Callable[[], None]] = set()

    def cancel(self) -> None:
        for job in tuple(self.jobs):
            job.cancel()

    def end(self) -> None:
        self.alive = False
        self.cancel()
        for unsubscribe in tuple(self.unsubscribes):
            unsubscribe()
        self.unsubscribes.clear()


class Bridge(QObject):
    """Owns every coroutine the window starts.

    `failed_job(BurrowError)` carries an expected error nobody handled, `crashed(BaseException)` a bug, which is
    also in the log with its traceback.
    """

    failed_job = Signal(object)
    crashed = Signal(object)
    _heard = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._owners: dict[int, _Owner] = {}
        self._closed = False
        self._heard.connect(self._call, Qt.ConnectionType.QueuedConnection)

    def spawn(
        self,
        owner: QObject,
        coroutine: Coroutine[Any, Any, T],
        *,
        done: Callable[[T], object] | None = None,
        failed: Callable[[BaseException], object] | None = None,
        key: str | None = None,
    ) -> Job:
        """Run `coroutine` for as long as `owner` lives; call `done` with its result or `failed` with its exception.

        A later job of the same owner and `key` cancels the earlier one. When the owner is destroyed, or the job is
        cancelled, no handler is called. Without `failed`, a BurrowError goes out by `failed_job` and any other
        exception by `crashed`; so does an exception raised in a handler. An exception group that holds a single
        exception counts as that one. Handlers that are methods of the owner do not keep it alive. After `close`, and
        for an owner already destroyed, the coroutine never begins. Raises RuntimeError when no loop runs.
        """
        import asyncio

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            coroutine.close()
            raise
        entry = self._entry(owner)
        if entry is None:
            coroutine.close()
            job = Job(_Owner(), key, _nobody, _nobody)
            job._cancelled = True
            return job
        if key is not None and key in entry.keyed:
            entry.keyed[key].cancel()
        job = Job(entry, key, _loosely(done, owner), _loosely(failed, owner))
        job._task = loop.create_task(coroutine, name=getattr(coroutine, "__qualname__", None))
        entry.jobs.add(job)
        if key is not None:
            entry.keyed[key] = job
        job._task.add_done_callback(lambda task: self._finish(job, task))
        return job

    def cancel(self, owner: QObject, key: str | None = None) -> None:
        """Cancel what `owner` started: everything, or only its job of that `key`."""
        if not shiboken6.isValid(owner):
            return
        entry = self._owners.get(_address(owner))
        if entry is None:
            return
        if key is None:
            entry.cancel()
        elif key in entry.keyed:
            entry.keyed[key].cancel()

    def listen(self, owner: QObject, event: Event[T], slot: Callable[[T], object]) -> Callable[[], None]:
        """Call `slot` on the Qt thread with every value of `event` until `owner` dies; returns what ends it sooner.

        Values arrive in the order they were emitted, in a later turn of the Qt loop, whichever thread emitted them.
        """
        entry = self._entry(owner)
        if entry is None:
            return _nothing
        get = _loosely(slot, owner)
        heard = self._heard

        def call(value: T) -> None:
            target = get()
            if entry.alive and unsubscribe in entry.unsubscribes and target is not None:
                target(value)

        unsubscribe_event = event.subscribe(lambda value: heard.emit((call, value)))

        def unsubscribe() -> None:
            entry.unsubscribes.discard(unsubscribe)
            unsubscribe_event()

        entry.unsubscribes.add(unsubscribe)
        return unsubscribe

    async def close(self, timeout: float = 1.0) -> None:
        """Cancel everything, begin nothing more, and wait at most `timeout` seconds for the tasks to end."""
        self._closed = True
        tasks: set[asyncio.Task[Any]] = set()
        for entry in self._owners.values():
            tasks |= {job._task for job in entry.jobs if job._task is not None}
            entry.cancel()
            for unsubscribe in tuple(entry.unsubscribes):
                unsubscribe()
        if not tasks:
            return
        import asyncio

        _, pending = await asyncio.wait(tasks, timeout=timeout)
        for task in pending:
            logger.error("A job does not end when cancelled: %r", task)

    def _entry(self, owner: QObject) -> _Owner | None:
        """The books of `owner`, opened at the first call; None once it is destroyed or the bridge closed."""
        if self._closed or not shiboken6.isValid(owner):
            return None
        address = _address(owner)
        entry = self._owners.get(address)
        if entry is None:
            entry = self._owners[address] = _Owner()
            owners, books = self._owners, entry

            def gone() -> None:
                books.end()
                if owners.get(address) is books:
                    del owners[address]

            owner.destroyed.connect(gone)
        return entry

    def _finish(self, job: Job, task: asyncio.Task[Any]) -> None:
        entry = job._owner
        try:
            self._settle(job, task)
        finally:
            entry.jobs.discard(job)
            if job._key is not None and entry.keyed.get(job._key) is job:
                del entry.keyed[job._key]
            job._task = None

    def _settle(self, job: Job, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            return
        error = _single(task.exception())
        silent = job._cancelled or not job._owner.alive
        if error is None:
            done = None if silent else job._deliver()
            if done is not None:
                self._guarded(done, task.result())
            return
        from asyncio import CancelledError

        if isinstance(error, (CancelledError, SystemExit, KeyboardInterrupt)):
            return
        if silent:
            if not isinstance(error, BurrowError):
                self._crash(error)
            return
        failed = job._fail()
        if failed is not None:
            self._guarded(failed, error)
        else:
            self._report(error)

    def _report(self, error: BaseException) -> None:
        if isinstance(error, BurrowError):
            self._emit(self.failed_job, error)
        else:
            self._crash(error)

    def _crash(self, error: BaseException) -> None:
        logger.error("A job failed in an unexpected way", exc_info=error)
        self._emit(self.crashed, error)

    def _emit(self, signal: SignalInstance, error: BaseException) -> None:
        if shiboken6.isValid(self):
            signal.emit(error)

    def _guarded(self, call: Callable[[Any], object], value: Any) -> None:
        try:
            call(value)
        except Exception as error:  # noqa: BLE001 - a handler's bug is reported like a job's
            self._report(error)

    @Slot(object)
    def _call(self, heard: tuple[Callable[[Any], None], Any]) -> None:
        self._guarded(*heard)


async def dialog_result(dialog: QDialog) -> int:
    """Open `dialog` without a nested loop and return its result code; 0 (rejected) if it is destroyed meanwhile.

    When the waiting coroutine is cancelled the dialog is closed.
    """
    import asyncio

    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def settle(code: object = 0) -> None:
        if not future.done():
            future.set_result(code if isinstance(code, int) else 0)

    dialog.finished.connect(settle)
    dialog.destroyed.connect(settle)
    dialog.open()
    try:
        return await future
    finally:
        if shiboken6.isValid(dialog):
            dialog.finished.disconnect(settle)
            dialog.destroyed.disconnect(settle)
            if not future.done() or future.cancelled():
                dialog.reject()


async def from_signal(signal: SignalInstance, timeout: float | None = None) -> Any:
    """Wait for the next emission: None, the one value, or a tuple of the values it carries.

    Raises TimeoutError after `timeout` seconds.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    thread = threading.get_ident()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(values: tuple[Any, ...]) -> None:
        if not future.done():
            future.set_result(values[0] if len(values) == 1 else values or None)

    def received(*values: Any) -> None:
        if threading.get_ident() == thread:
            settle(values)
        else:
            loop.call_soon_threadsafe(settle, values)

    signal.connect(received)
    try:
        async with asyncio.timeout(timeout):
            return await future
    finally:
        # The sender may be gone by now, and its connections with it.
        try:
            signal.disconnect(received)
        except RuntimeError:
            logger.debug("The sender of a signal ended while somebody waited for it")


def _address(owner: QObject) -> int:
    """The C++ object's address: a Python wrapper may be made anew, so its id does not name the object."""
    return int(shiboken6.getCppPointer(owner)[0])


def _nobody() -> None:
    return None


def _nothing() -> None:
    pass


def _loosely(call: Callable[..., Any] | None, owner: QObject) -> Callable[[], Callable[..., Any] | None]:
    """A getter of `call` that does not keep `owner` alive where `call` is one of its methods."""
    if call is None:
        return _nobody
    if inspect.ismethod(call) and call.__self__ is owner:
        return weakref.WeakMethod(call)
    return lambda: call


def _single(error: BaseException | None) -> BaseException | None:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
