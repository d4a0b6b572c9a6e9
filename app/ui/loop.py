"""An asyncio loop on Qt's event loop (PEP 3156), and how an application runs and ends on it.

`Loop` keeps of qasync how the loop runs (`QApplication.exec`, the Windows proactor), and uses asyncio's own ready queue
and timer heap. Three Qt objects drive them (`_Pump`): a zero-interval timer drains the queue in slices, a precise timer
serves the nearest deadline, and a queued signal carries wake-ups from other threads. Invariants:

- While the loop runs and the ready queue is not empty, the zero-interval timer or a wake-up is pending (`_armed`,
  `_wake_sent`). Otherwise a callback would wait until something else happens.
- The precise timer is set for the first entry of the heap whenever that changes. Cancelled entries are swept.
- A slice ends after `SLICE_SECONDS`, so that Qt paints and reads input in between.
- Inside a nested Qt loop (`QDialog.exec`, a drag) the task that opened it is not the current task, and nothing enters
  a context that is in use.

`tests/ui/test_loop_defects.py` shows for each defect of the stock loop that it still has it, and that `Loop` has not.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from PySide6.QtCore import QObject, QSocketNotifier, Qt, QTimer, Signal, Slot

from app.ui.collector import Collector, freeze_collector
from app.ui.workers import Workers

__all__ = ["Collector", "Loop", "freeze_collector", "run"]

# The environment may name another Qt binding, for another program.
os.environ["QT_API"] = "pyside6"

if TYPE_CHECKING:
    import socket
    from asyncio import SelectorEventLoop as _QtEventLoop
    from collections import deque
    from collections.abc import Callable, Coroutine
    from contextvars import Context

    from PySide6.QtWidgets import QApplication
else:
    from qasync import QEventLoop as _QtEventLoop

T = TypeVar("T")

# A turn of Qt's loop takes about 10 µs: a slice of 1 ms costs 1 % and keeps a 5 ms heartbeat within 8 ms.
SLICE_SECONDS = 0.001
# `QTimer.start` takes milliseconds in 32 bits. After a day nothing is due, and the timer is set for the rest.
LONGEST_TIMER_SECONDS = 86_400.0
# A sweep looks at the whole heap: it waits until more than half of the timers are cancelled, and half as many as this.
FEW_TIMERS = 100
WINDOWS_SIGNAL_POLL_MS = 500
# Longer than closing the services may take, which finishes a token refresh that was sent.
QUIT_SECONDS = 60.0
CANCEL_SECONDS = 1.0
SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if os.name != "nt" else [])]
# The shell, the kernel and systemd send a hangup beside another signal: that is not somebody who cannot wait.
TOGETHER_SECONDS = 0.5

logger = logging.getLogger("asyncio")


class _Pump(QObject):
    """The Qt objects that start a drain: `turn` soon, `deadline` later, `woken` from another thread."""

    woken = Signal()

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        # None once closed: a wake-up that was queued before may still arrive.
        self._loop: Loop | None = loop
        self.turn = QTimer(self)
        self.turn.setSingleShot(True)
        self.turn.setInterval(0)
        self.turn.timeout.connect(self._on_turn)
        self.deadline = QTimer(self)
        self.deadline.setSingleShot(True)
        self.deadline.setTimerType(Qt.TimerType.PreciseTimer)
        self.deadline.timeout.connect(self._on_deadline)
        self.woken.connect(self._on_woken, Qt.ConnectionType.QueuedConnection)

    @Slot()
    def _on_turn(self) -> None:
        if self._loop is not None:
            self._loop._drain()

    @Slot()
    def _on_deadline(self) -> None:
        if self._loop is not None:
            self._loop._take_due_timers()

    @Slot()
    def _on_woken(self) -> None:
        if self._loop is not None:
            self._loop._take_wake()

    def close(self) -> None:
        self._loop = None
        self.turn.stop()
        self.deadline.stop()
        self.deleteLater()


class _Watch(asyncio.Handle):
    """One file descriptor watched in one direction.

    The notifier is disabled from its activation until the callback has run. It is level-triggered: it would otherwise
    fire again and again while the callback waits for its turn.
    """

    __slots__ = ("_notifier",)
    _notifier: QSocketNotifier | None

    def __init__(
        self, loop: Loop, fd: int, kind: QSocketNotifier.Type, callback: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        super().__init__(callback, args, loop)
        self._notifier = QSocketNotifier(fd, kind)
        self._notifier.activated.connect(self._on_activated)

    def _on_activated(self) -> None:
        if self._notifier is not None:
            self._notifier.setEnabled(False)
            self._loop._push(self)  # type: ignore[attr-defined]

    def _run(self) -> None:
        super()._run()
        if self._notifier is not None:
            self._notifier.setEnabled(True)

    def cancel(self) -> None:
        super().cancel()
        notifier, self._notifier = self._notifier, None
        if notifier is not None:
            notifier.setEnabled(False)
            notifier.activated.disconnect()


class Loop(_QtEventLoop):
    """An asyncio event loop that runs inside `app.exec()`.

    Use it through `run`, or `asyncio.Runner(loop_factory=lambda: Loop(app))`. While a nested Qt loop runs inside a
    callback or coroutine, everything else goes on. `on_quit`, when set, is called if Qt ends its loop by itself
    (`QApplication.quit`, the desktop's session ending), and the loop goes on; otherwise that is a RuntimeError as
    in asyncio.
    """

    if TYPE_CHECKING:
        _ready: deque[asyncio.Handle]
        _scheduled: list[asyncio.TimerHandle]
        _timer_cancelled_count: int
        _clock_resolution: float
        _thread_id: int | None
        _stopping: bool
        _debug: bool
        _current_handle: asyncio.Handle | None
        _csock: socket.socket
        _asyncgen_firstiter_hook: Callable[[Any], None]
        _asyncgen_finalizer_hook: Callable[[Any], None]

        def _check_closed(self) -> None: ...
        def _check_running(self) -> None: ...
        def _check_callback(self, callback: object, method: str) -> None: ...
        def _set_coroutine_origin_tracking(self, enabled: bool) -> None: ...

    def __init__(self, app: QApplication) -> None:
        # Before asyncio's constructor, which already adds a reader.
        self._readers: dict[int, _Watch] = {}
        self._writers: dict[int, _Watch] = {}
        self._pump = _Pump(self)
        self._armed = False
        self._wake_sent = False
        # How many frames of `_drain` are on the stack: more than one inside a nested Qt loop.
        self._depth = 0
        # Callbacks whose context was in use, each with the depth at which that was found.
        self._deferred: list[tuple[int, asyncio.Handle]] = []
        # What left a callback to end the program, until `run_forever` raises it.
        self._escaped: BaseException | None = None
        self.on_quit: Callable[[], object] | None = None
        super().__init__(app)  # type: ignore[arg-type]
        # A coroutine decides when the loop ends, not the last dialog that closes.
        app.setQuitOnLastWindowClosed(False)
        # `set_default_executor` takes a ThreadPoolExecutor only.
        self._default_executor = Workers()

    # asyncio's own. qasync's start a Qt timer for each callback, and keep an executor and an exception handler that
    # asyncio does not see.
    call_soon = asyncio.BaseEventLoop.call_soon
    call_later = asyncio.BaseEventLoop.call_later
    run_until_complete = asyncio.BaseEventLoop.run_until_complete
    run_in_executor = asyncio.BaseEventLoop.run_in_executor
    set_default_executor = asyncio.BaseEventLoop.set_default_executor  # type: ignore[assignment]
    set_exception_handler = asyncio.BaseEventLoop.set_exception_handler
    default_exception_handler = asyncio.BaseEventLoop.default_exception_handler
    call_exception_handler = asyncio.BaseEventLoop.call_exception_handler

    def run_forever(self) -> None:
        """Run until `stop`. Raises whatever SystemExit or KeyboardInterrupt left a callback."""
        self._check_closed()
        self._check_running()
        self._set_coroutine_origin_tracking(self._debug)
        hooks = sys.get_asyncgen_hooks()
        wakeup = self._watch_signals()
        try:
            self._thread_id = threading.get_ident()
            sys.set_asyncgen_hooks(
                firstiter=self._asyncgen_firstiter_hook,
                finalizer=self._asyncgen_finalizer_hook,
            )
            # The timers stand still between two runs: start them for what was scheduled meanwhile.
            self._arm()
            self._set_deadline()
            while True:
                super().run_forever()
                if self._escaped is not None:
                    raise self._escaped
                if self._stopping or self.on_quit is None:
                    break
                # Qt ended its loop although nobody called `stop`. The orderly end still needs a loop: run it again.
                self.on_quit()
        finally:
            self._escaped = None
            self._stopping = False
            self._thread_id = None
            self._pump.turn.stop()
            self._pump.deadline.stop()
            self._set_coroutine_origin_tracking(False)
            sys.set_asyncgen_hooks(*hooks)
            if wakeup is not None:
                signal.set_wakeup_fd(wakeup)

    def _watch_signals(self) -> int | None:
        """Let a signal wake the window: Python's handlers wait for bytecode, and an idle Qt loop runs none."""
        if os.name == "nt" or threading.current_thread() is not threading.main_thread():
            return None
        # The other end of asyncio's self-pipe is a reader of this loop.
        return signal.set_wakeup_fd(self._csock.fileno(), warn_on_full_buffer=False)

    def stop(self) -> None:
        """Stop after the callbacks that are ready now."""
        self._stopping = True
        if self.is_running() and not self._armed:
            self._arm()

    def close(self) -> None:
        """Release everything. Scheduled callbacks are dropped."""
        if self.is_closed():
            return
        super().close()
        for watches in (self._readers, self._writers):
            for watch in watches.values():
                watch.cancel()
            watches.clear()
        self._pump.close()

    def _arm(self) -> None:
        self._armed = True
        self._pump.turn.start()

    def _push(self, handle: asyncio.Handle) -> None:
        self._ready.append(handle)
        if not self._armed:
            self._arm()

    def _call_soon(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        if not self._armed:
            self._arm()
        return handle

    def _add_callback(self, handle: asyncio.Handle) -> None:
        if not handle.cancelled():
            self._push(handle)

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Run `callback` on the loop's thread, in `context`. May be called from any thread."""
        self._check_closed()
        if self._debug:
            self._check_callback(callback, "call_soon_threadsafe")
        handle = asyncio.Handle(callback, args, self, context)
        # Before the flag is read. One wake-up serves all handles appended before it is taken.
        self._ready.append(handle)
        if not self._wake_sent:
            self._wake_sent = True
            self._pump.woken.emit()
        return handle

    def _take_wake(self) -> None:
        # Before the queue is looked at: whatever a thread appends after that sends a wake-up of its own.
        self._wake_sent = False
        if self._ready and not self._armed:
            self._arm()

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run `callback` at `when` on the loop's clock, never earlier than the clock can tell."""
        handle = asyncio.BaseEventLoop.call_at(self, when, callback, *args, context=context)
        if self._scheduled[0] is handle:
            self._set_deadline()
        return handle

    def _set_deadline(self) -> None:
        scheduled = self._scheduled
        while scheduled and scheduled[0].cancelled():
            self._drop_timer(heapq.heappop(scheduled))
            self._timer_cancelled_count -= 1
        if not scheduled:
            self._pump.deadline.stop()
            return
        seconds = min(max(0.0, scheduled[0].when() - self.time()), LONGEST_TIMER_SECONDS)
        # Rounded up: a timer may fire late, never early.
        self._pump.deadline.start(math.ceil(seconds * 1000))

    def _take_due_timers(self) -> None:
        scheduled = self._scheduled
        end = self.time() + self._clock_resolution
        while scheduled and scheduled[0].when() < end:
            handle = heapq.heappop(scheduled)
            self._drop_timer(handle)
            if handle.cancelled():
                self._timer_cancelled_count -= 1
            else:
                self._ready.append(handle)
        self._set_deadline()
        self._drain()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Called when a timer is cancelled: sweep the heap once most of its timers are cancelled."""
        if not handle._scheduled:  # type: ignore[attr-defined]
            return
        self._timer_cancelled_count += 1
        if self._timer_cancelled_count * 2 <= max(len(self._scheduled), FEW_TIMERS):
            return
        kept: list[asyncio.TimerHandle] = []
        for timer in self._scheduled:
            # `handle` is marked as cancelled only after this call.
            if timer.cancelled() or timer is handle:
                self._drop_timer(timer)
            else:
                kept.append(timer)
        heapq.heapify(kept)
        self._scheduled = kept
        self._timer_cancelled_count = 0

    @staticmethod
    def _drop_timer(handle: asyncio.TimerHandle) -> None:
        """Mark a timer as outside the heap, so that cancelling it later is not counted."""
        handle._scheduled = False  # type: ignore[attr-defined]

    def _drain(self) -> None:
        """Run ready callbacks for one slice, then let Qt paint and read input.

        A nested Qt loop calls it while a task is running. That task is left for as long, because asyncio allows one
        current task, and entered again afterwards.
        """
        self._armed = False
        if not self.is_running():
            return
        # Started before the callbacks: a nested Qt loop that one of them opens is served by this timer.
        self._arm()
        task = asyncio.current_task(self)
        if task is not None:
            asyncio.tasks._leave_task(self, task)
        self._depth += 1
        try:
            self._run_slice()
        except (SystemExit, KeyboardInterrupt) as escaped:
            # Qt would print the exception and go on.
            self._escaped = escaped
            self._stopping = True
        finally:
            self._depth -= 1
            if task is not None:
                asyncio.tasks._enter_task(self, task)
        if self._stopping:
            super().stop()
        elif not self._ready:
            # Started above for a nested loop only: let Qt sleep.
            self._pump.turn.stop()
            self._armed = False

    def _run_slice(self) -> None:
        """Run ready callbacks until none is left or the slice is over.

        After `stop`, as in asyncio, what was ready at the start of the slice still runs, whatever it takes, and what
        those callbacks add does not.
        """
        ready = self._ready
        nested = self._depth > 1
        limit = time.monotonic() + SLICE_SECONDS
        left_on_stop = len(ready)
        while ready:
            handle = ready.popleft()
            if not handle._cancelled:
                if nested and not _may_enter(handle):
                    # Not back into the queue: it would be tried in every turn until the frame in its way returns.
                    self._deferred.append((self._depth, handle))
                elif self._debug:
                    self._run_watched(handle)
                else:
                    handle._run()
                if self._deferred:
                    self._take_deferred()
            left_on_stop -= 1
            if self._stopping:
                if left_on_stop <= 0:
                    return
            elif time.monotonic() >= limit:
                return

    def _take_deferred(self) -> None:
        """Queue again what was deferred deeper down, now that a callback of this depth has returned.

        The context may be in use by a frame further out: then the callback is deferred again, at this depth.
        """
        deeper = [handle for depth, handle in self._deferred if depth > self._depth]
        if deeper:
            self._deferred = [entry for entry in self._deferred if entry[0] <= self._depth]
            self._ready.extend(deeper)

    def _run_watched(self, handle: asyncio.Handle) -> None:
        started = self.time()
        self._current_handle = handle
        try:
            handle._run()
        finally:
            self._current_handle = None
        took = self.time() - started
        if took >= self.slow_callback_duration:
            name = asyncio.base_events._format_handle(handle)  # type: ignore[attr-defined]
            logger.warning("Executing %s took %.3f seconds", name, took)

    def _add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> asyncio.Handle:
        return self._watch(self._readers, fd, QSocketNotifier.Type.Read, callback, args)

    def _remove_reader(self, fd: Any) -> bool:
        return self._unwatch(self._readers, fd)

    def _add_writer(self, fd: Any, callback: Callable[..., Any], *args: Any) -> asyncio.Handle:
        return self._watch(self._writers, fd, QSocketNotifier.Type.Write, callback, args)

    def _remove_writer(self, fd: Any) -> bool:
        return self._unwatch(self._writers, fd)

    def _watch(
        self,
        watches: dict[int, _Watch],
        fd: Any,
        kind: QSocketNotifier.Type,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
    ) -> asyncio.Handle:
        self._check_closed()
        number = _descriptor(fd)
        self._unwatch(watches, number)
        watch = watches[number] = _Watch(self, number, kind, callback, args)
        return watch

    def _unwatch(self, watches: dict[int, _Watch], fd: Any) -> bool:
        if self.is_closed():
            return False
        watch = watches.pop(_descriptor(fd), None)
        if watch is None:
            return False
        watch.cancel()
        return True


def _descriptor(fd: Any) -> int:
    try:
        return fd if isinstance(fd, int) else int(fd.fileno())
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"Invalid file object: {fd!r}") from None


def _may_enter(handle: asyncio.Handle) -> bool:
    """Whether the handle's context is free: a context can be entered once at a time (PEP 567)."""
    try:
        handle._context.run(int)  # type: ignore[attr-defined]
    except RuntimeError:
        return False
    return True


def run(app: QApplication, main: Callable[[asyncio.Event], Coroutine[Any, Any, int]], *, windows: bool = True) -> int:
    """Run `main(quitting)` on a new `Loop` until it returns its exit code. No task is left behind.

    `quitting` is set when the user quits: the last window closed, Qt was told to quit, SIGINT, SIGTERM or SIGHUP
    arrived. `main` then cleans up in order and returns. It is cancelled by a second signal, or `QUIT_SECONDS` after
    `quitting` was set. Tasks that are left then are cancelled and given `CANCEL_SECONDS`. Without `windows` the program
    goes on when none is open.
    """
    loop = Loop(app)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(_supervise(app, loop, main, windows))


async def _supervise(
    app: QApplication, loop: Loop, main: Callable[[asyncio.Event], Coroutine[Any, Any, int]], windows: bool
) -> int:
    quitting = asyncio.Event()
    work = loop.create_task(main(quitting), name="main")

    def leave() -> None:
        if quitting.is_set():
            return
        quitting.set()
        loop.call_later(QUIT_SECONDS, work.cancel)

    first: list[float] = []

    def interrupted(number: int) -> None:
        hangup = number == getattr(signal, "SIGHUP", None)
        if not first:
            first.append(loop.time())
        elif not hangup or loop.time() - first[0] > TOGETHER_SECONDS:
            work.cancel()
        leave()

    release = _catch_signals(loop, interrupted)
    if windows:
        app.lastWindowClosed.connect(leave)
    loop.on_quit = leave
    try:
        return await work
    except asyncio.CancelledError:
        if work.cancelled() and quitting.is_set():
            return 1
        # This coroutine was cancelled from outside, and `main` may still run.
        work.cancel()
        raise
    finally:
        if windows:
            app.lastWindowClosed.disconnect(leave)
        await _end_tasks(loop)
        # Last: a signal that comes in between must not kill the process.
        release()


def _catch_signals(loop: Loop, interrupted: Callable[[int], None]) -> Callable[[], None]:
    """Call `interrupted` with each signal of `SIGNALS`; returns what undoes it."""
    # A signal that is ignored stays ignored: whoever started the process wants it so (`nohup`).
    caught = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    if os.name != "nt":
        for number in caught:
            loop.add_signal_handler(number, interrupted, number)

        def restore() -> None:
            for number in caught:
                loop.remove_signal_handler(number)

        return restore

    # On Windows, Python handles signals only between two bytecodes: this timer runs some.
    poll = QTimer()
    poll.timeout.connect(_nothing)
    poll.start(WINDOWS_SIGNAL_POLL_MS)
    previous = {
        number: signal.signal(number, lambda number, _: loop.call_soon_threadsafe(interrupted, number))
        for number in caught
    }

    def restore_handlers() -> None:
        poll.stop()
        for number, handler in previous.items():
            signal.signal(number, handler)

    return restore_handlers


def _nothing() -> None:
    pass


async def _end_tasks(loop: Loop) -> None:
    """Cancel every other task. One that does not end is logged, and the end of the loop does not wait for it."""
    others = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
    if not others:
        return
    for task in others:
        task.cancel()
    _, stubborn = await asyncio.wait(others, timeout=CANCEL_SECONDS)
    for task in stubborn:
        logger.error("A task does not end when cancelled: %r", task)
        # `asyncio.Runner` would wait for it without end, and the destroyed task would complain.
        asyncio.tasks._unregister_task(task)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
