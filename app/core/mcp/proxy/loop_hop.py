"""Hops between two loops that run on two threads: that of the process, and the proxy's own.

Works with any asyncio loop, `app/ui/loop.py` included: nothing but `call_soon_threadsafe` crosses a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from app.core.mcp.proxy.parts import NotReady

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

log = logging.getLogger(__name__)

# How long the end of a thread is waited for. It is a daemon: one that hangs does not keep the process.
END_SECONDS = 3.0
CLOSING = "Burrow is closing."


class LoopGate:
    """Runs coroutines on one loop for callers on others, from when it is made to `close`.

    A caller that is cancelled cancels what it asked for. Nothing ever waits for a loop that has ended: `close` fails
    every caller that still waits, and each later one at once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # Guards `_closed` and `_hops`, which both threads change. Nothing is called while it is held.
        self._lock = threading.Lock()
        self._hops: set[_Hop[Any]] = set()
        self._closed = False

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `work` returns or raises, run as a task of the gate's loop. Raises `NotReady` once it is closed."""
        if asyncio.get_running_loop() is self._loop:
            return await work()
        hop = _Hop(work, asyncio.get_running_loop(), self._forget)
        with self._lock:
            closed = self._closed
            if not closed:
                self._hops.add(hop)
        if closed or not _called_soon(self._loop, hop.begin):
            self._forget(hop)
            raise NotReady(CLOSING)
        try:
            return await hop.outcome
        except asyncio.CancelledError:
            # That of the caller, or of the work: then there is nothing left to cancel.
            _called_soon(self._loop, hop.cancel)
            raise

    def post(self, callback: Callable[..., object], *arguments: object) -> None:
        """Call `callback` on the gate's loop, soon. Dropped once it is closed."""
        with self._lock:
            if self._closed:
                return
        _called_soon(self._loop, callback, *arguments)

    def close(self) -> None:
        """Cancel what runs, and have every caller raise `NotReady`. To be called on the gate's loop."""
        with self._lock:
            self._closed = True
            hops = tuple(self._hops)
        for hop in hops:
            hop.give_up()

    def _forget(self, hop: _Hop[Any]) -> None:
        with self._lock:
            self._hops.discard(hop)


class _Hop(Generic[T]):
    """One coroutine on the loop of the gate, and the future of its caller on another."""

    def __init__(
        self,
        work: Callable[[], Coroutine[Any, Any, T]],
        home: asyncio.AbstractEventLoop,
        over: Callable[[_Hop[Any]], None],
    ) -> None:
        self.outcome: asyncio.Future[T] = home.create_future()
        self._work = work
        self._home = home
        self._over = over
        self._task: asyncio.Task[T] | None = None
        self._cancelled = False

    def begin(self) -> None:
        if self._cancelled:
            self._over(self)
            return
        self._task = asyncio.get_running_loop().create_task(self._work(), name="a hop of the proxy")
        self._task.add_done_callback(self._ended)

    def cancel(self) -> None:
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()

    def give_up(self) -> None:
        self.cancel()
        _called_soon(self._home, self._fail, NotReady(CLOSING))

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._over(self)
        if task.cancelled():
            _called_soon(self._home, self._cancel_outcome)
        elif (failure := task.exception()) is not None:
            _called_soon(self._home, self._fail, failure)
        else:
            _called_soon(self._home, self._succeed, task.result())

    def _succeed(self, result: T) -> None:
        if not self.outcome.done():
            self.outcome.set_result(result)

    def _fail(self, failure: BaseException) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(failure)

    def _cancel_outcome(self) -> None:
        self.outcome.cancel()


def _called_soon(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: object) -> bool:
    """Whether the loop took the callback: one that is closed takes none."""
    try:
        loop.call_soon_threadsafe(callback, *arguments)
    except RuntimeError:
        return False
    return True


class LoopThread:
    """A plain asyncio loop on a thread of its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self._gate: LoopGate | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None

    async def start(self) -> LoopGate:
        """Start it; returns the gate to its loop."""
        started: asyncio.Future[LoopGate] = asyncio.get_running_loop().create_future()
        self._thread = threading.Thread(
            target=self._run, args=(asyncio.get_running_loop(), started), name=self._name, daemon=True
        )
        self._thread.start()
        self._gate = await started
        return self._gate

    async def stop(self) -> None:
        """Cancel what still runs there, and wait for the thread. Safe to call again."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and self._end is not None:
            _called_soon(self._loop, self._end.set)
        await asyncio.to_thread(thread.join, END_SECONDS)

    def _run(self, home: asyncio.AbstractEventLoop, started: asyncio.Future[LoopGate]) -> None:
        async def live() -> None:
            self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
            gate = LoopGate(self._loop)

            def tell() -> None:
                if not started.done():
                    started.set_result(gate)

            _called_soon(home, tell)
            await self._end.wait()
            gate.close()

        # A failure that nobody handled is logged: the thread has nobody to raise it to.
        with contextlib.suppress(asyncio.CancelledError):
            try:
                asyncio.run(live())
            except Exception:
                log.exception("the loop of %s ended", self._name)
