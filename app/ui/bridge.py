"""Bridge between Qt and the core: it owns every coroutine the window starts, and delivers the core's events to slots.

A plain slot calls `bridge.spawn(self, coroutine, done=self._show)`. The coroutine is cancelled when its owner is
destroyed, and an exception always reaches a handler, a signal or the log.

asyncio is imported by the functions that need it: it costs 50 ms, and the window is painted before the first of them.
"""

from __future__ import annotations

import inspect
import logging
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

import shiboken6
from PySide6.QtCore import QObject, Qt, Signal, SignalInstance, Slot

from app.core.errors import BurrowError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from app.core.events import Event

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Job:
    """A coroutine with an owner. `done` is true once it has ended, in whatever way."""

    def __init__(
        self,
        owner: _Owner,
        key: str | None,
        done_handler: Callable[[], Callable[[Any], object] | None],
        failed_handler: Callable[[], Callable[[BurrowError], object] | None],
    ) -> None:
        self._owner = owner
        self._key = key
        self._done_handler = done_handler
        self._failed_handler = failed_handler
        self._task: asyncio.Task[Any] | None = None
        # Not the task's own state: a coroutine may catch the cancellation, or have returned before it arrives.
        self._cancelled = False

    @property
    def done(self) -> bool:
        """Whether the coroutine has ended and its handlers have been called."""
        return self._task is None

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled; then neither handler is called."""
        return self._cancelled

    def cancel(self) -> None:
        """Cancel the coroutine. No handler is called, even if the coroutine catches the cancellation and returns."""
        if self._task is None or self._cancelled:
            return
        self._cancelled = True
        self._task.cancel()

    async def wait(self) -> None:
        """Wait until it has ended. Never raises the coroutine's exception."""
        if self._task is not None:
            import asyncio

            await asyncio.wait([self._task])


class _Owner:
    """The jobs and subscriptions of one QObject. Holds no reference to the object, which would keep it alive."""

    __slots__ = ("alive", "jobs", "keyed", "unsubscribes")

    def __init__(self) -> None:
        self.alive = True
        self.jobs: set[Job] = set()
        self.keyed: dict[str, Job] = {}
        self.unsubscribes: set[Callable[[], None]] = set()

    def cancel(self) -> None:
        for job in tuple(self.jobs):
            job.cancel()

    def release(self) -> None:
        self.cancel()
        for unsubscribe in tuple(self.unsubscribes):
            unsubscribe()

    def end(self) -> None:
        self.alive = False
        self.release()


class Bridge(QObject):
    """Owns every coroutine that the window starts.

    `failed_job(BurrowError)` carries an expected error that has no handler. `crashed(BaseException)` carries a bug,
    which is also in the log with its traceback.

    An owner is known by its C++ address, not by its Python wrapper: PySide may drop a wrapper and make another one
    while the object lives. Its entry goes when Qt says that the object is destroyed, so a later object at the same
    address starts with an empty one.
    """

    failed_job = Signal(object)
    crashed = Signal(object)
    _emitted = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._owners: dict[int, _Owner] = {}
        self._closed = False
        # Queued even on the Qt thread: a slot never runs inside `Event.emit`, and all values keep their order.
        self._emitted.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def spawn(
        self,
        owner: QObject,
        coroutine: Coroutine[Any, Any, T],
        *,
        done: Callable[[T], object] | None = None,
        failed: Callable[[BurrowError], object] | None = None,
        key: str | None = None,
    ) -> Job:
        """Run `coroutine` for as long as `owner` lives. Raises RuntimeError before a loop runs.

        - One of `done(result)` and `failed(error)` is called on the Qt thread, unless the job was cancelled.
        - `failed` gets a `BurrowError`, always. Any other exception is a bug: it is logged and goes out by `crashed`,
          and `failed` gets a plain `BurrowError` with its words, so that a widget always leaves its busy state.
        - Without `failed`, a `BurrowError` goes out by `failed_job`.
        - An exception raised in a handler is reported like one that has no handler.
        - A job is cancelled by `Job.cancel`, by `cancel`, by `Generation.renew`, by a later job of the same owner and
          `key`, when its owner is destroyed, and by `close`. No handler is called after that.
        - A bug during cancellation is still logged and goes out by `crashed`.
        - An exception group that holds a single exception counts as that exception.
        - Handlers that are methods of the owner do not keep it alive.
        - After `close`, and for an owner already destroyed, the coroutine never begins.
        """
        import asyncio

        # Before the loop is looked for: Qt calls slots after the loop has ended, too.
        entry = self._entry(owner)
        if entry is None:
            # Else Python warns that it was never awaited.
            coroutine.close()
            job = Job(_Owner(), key, _no_handler, _no_handler)
            job._cancelled = True
            return job
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            coroutine.close()
            raise
        if key is not None and key in entry.keyed:
            entry.keyed[key].cancel()
        job = Job(entry, key, _weak_getter(done, owner), _weak_getter(failed, owner))
        job._task = loop.create_task(coroutine)
        entry.jobs.add(job)
        if key is not None:
            entry.keyed[key] = job
        # The first callback of the task: `Job.wait` returns after the handlers have been called.
        job._task.add_done_callback(lambda task: self._finish(job, task))
        return job

    def cancel(self, owner: QObject, key: str | None = None) -> None:
        """Cancel every job of `owner`, or only the one with that `key`."""
        entry = self._known(owner)
        if entry is None:
            return
        if key is None:
            entry.cancel()
        elif key in entry.keyed:
            entry.keyed[key].cancel()

    def release(self, owner: QObject) -> None:
        """Cancel every job of `owner` and end its subscriptions. Values on their way to it are dropped."""
        entry = self._known(owner)
        if entry is not None:
            entry.release()

    def listen(self, owner: QObject, event: Event[T], slot: Callable[[T], object]) -> Callable[[], None]:
        """Call `slot` on the Qt thread with every value of `event` until `owner` dies. Returns what ends it sooner.

        Values arrive in the order they were emitted, in a later turn of the Qt loop, whichever thread emitted them.
        """
        entry = self._entry(owner)
        if entry is None:
            return _nothing
        get = _weak_getter(slot, owner)
        emitted = self._emitted

        def call(value: T) -> None:
            # Since the value was emitted, the owner may have died or stopped listening.
            target = get()
            if entry.alive and unsubscribe in entry.unsubscribes and target is not None:
                target(value)

        unsubscribe_event = event.subscribe(lambda value: emitted.emit((call, value)))

        def unsubscribe() -> None:
            entry.unsubscribes.discard(unsubscribe)
            unsubscribe_event()

        entry.unsubscribes.add(unsubscribe)
        return unsubscribe

    async def close(self, timeout: float = 1.0) -> None:
        """Cancel everything, begin nothing more, and wait at most `timeout` seconds for the tasks to end."""
        # First: what is cancelled below must not start anything else.
        self._closed = True
        tasks: set[asyncio.Task[Any]] = set()
        for entry in self._owners.values():
            tasks |= {job._task for job in entry.jobs if job._task is not None}
            entry.release()
        if not tasks:
            return
        import asyncio

        _, pending = await asyncio.wait(tasks, timeout=timeout)
        for task in pending:
            logger.error("A job does not end when cancelled: %r", task)

    def _known(self, owner: QObject) -> _Owner | None:
        return self._owners.get(_address(owner)) if shiboken6.isValid(owner) else None

    def _entry(self, owner: QObject) -> _Owner | None:
        """The entry of `owner`, made at the first call; None once it is destroyed or the bridge closed."""
        if self._closed or not shiboken6.isValid(owner):
            return None
        address = _address(owner)
        entry = self._owners.get(address)
        if entry is None:
            entry = self._owners[address] = _Owner()
            owners, made = self._owners, entry

            # Must not refer to `owner`: the connection would keep its wrapper alive.
            def destroyed() -> None:
                made.end()
                if owners.get(address) is made:
                    del owners[address]

            owner.destroyed.connect(destroyed)
        return entry

    def _finish(self, job: Job, task: asyncio.Task[Any]) -> None:
        entry = job._owner
        try:
            self._settle(job, task)
        finally:
            entry.jobs.discard(job)
            # A later job may have taken the key.
            if job._key is not None and entry.keyed.get(job._key) is job:
                del entry.keyed[job._key]
            # Last: a job is done once its handlers have been called.
            job._task = None

    def _settle(self, job: Job, task: asyncio.Task[Any]) -> None:
        """Give the outcome to the handler that it is for."""
        if task.cancelled():
            return
        error = _unwrapped(task.exception())
        silent = job._cancelled or not job._owner.alive
        if error is None:
            done = None if silent else job._done_handler()
            if done is not None:
                self._guarded(done, task.result())
            return
        from asyncio import CancelledError

        # A cancellation can come out of a group. The others have left the loop already, as they should.
        if isinstance(error, (CancelledError, SystemExit, KeyboardInterrupt)):
            return
        if silent:
            # Nobody waits for the result, but a bug stays a bug.
            if not isinstance(error, BurrowError):
                self._crash(error)
            return
        failed = job._failed_handler()
        if failed is None:
            self._report(error)
        elif isinstance(error, BurrowError):
            self._guarded(failed, error)
        else:
            self._crash(error)
            self._guarded(failed, BurrowError(str(error)))

    def _report(self, error: BaseException) -> None:
        if isinstance(error, BurrowError):
            self._emit(self.failed_job, error)
        else:
            self._crash(error)

    def _crash(self, error: BaseException) -> None:
        logger.error("A job failed in an unexpected way", exc_info=error)
        self._emit(self.crashed, error)

    def _emit(self, signal: SignalInstance, error: BaseException) -> None:
        # A task may end after the bridge itself was destroyed.
        if shiboken6.isValid(self):
            signal.emit(error)

    def _guarded(self, call: Callable[[Any], object], value: Any) -> None:
        try:
            call(value)
        except Exception as error:  # noqa: BLE001 - a bug in a handler is reported like one in a job
            self._report(error)

    @Slot(object)
    def _deliver(self, emitted: tuple[Callable[[Any], None], Any]) -> None:
        self._guarded(*emitted)


class Generation(QObject):
    """Jobs and subscriptions that end together, such as those made for the account in view.

    `renew` ends them all: no late answer of an earlier generation reaches a handler. It is an owner by itself, so what
    its parent started through the bridge goes on.
    """

    def __init__(self, bridge: Bridge, parent: QObject) -> None:
        super().__init__(parent)
        self._bridge = bridge

    def renew(self) -> None:
        """Cancel every job and end every subscription."""
        self._bridge.release(self)

    def spawn(
        self,
        coroutine: Coroutine[Any, Any, T],
        *,
        done: Callable[[T], object] | None = None,
        failed: Callable[[BurrowError], object] | None = None,
        key: str | None = None,
    ) -> Job:
        """As `Bridge.spawn`, until `renew`."""
        return self._bridge.spawn(self, coroutine, done=done, failed=failed, key=key)

    def listen(self, event: Event[T], slot: Callable[[T], object]) -> None:
        """As `Bridge.listen`, until `renew`."""
        self._bridge.listen(self, event, slot)

    def cancel(self, key: str) -> None:
        """Cancel the job with that key."""
        self._bridge.cancel(self, key)


def _address(owner: QObject) -> int:
    """The address of the C++ object. A Python wrapper may be made anew, so its id does not identify the object."""
    return int(shiboken6.getCppPointer(owner)[0])


def _no_handler() -> None:
    return None


def _nothing() -> None:
    pass


def _weak_getter(call: Callable[..., Any] | None, owner: QObject) -> Callable[[], Callable[..., Any] | None]:
    """A getter of `call` that does not keep `owner` alive where `call` is one of its methods."""
    if call is None:
        return _no_handler
    if inspect.ismethod(call) and call.__self__ is owner:
        return weakref.WeakMethod(call)
    return lambda: call


def _unwrapped(error: BaseException | None) -> BaseException | None:
    """The exception of a group that holds a single one: a task group wraps whatever one of its tasks raises."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
