"""What a loop does, asked of Burrow's and of the stock one: `python -m tests.ui.loop_probes ours|stock`.

One JSON object is printed, with what each probe found on a loop of its own. No loop is closed and the process ends at
once, because a loop that lost a task hangs when closed.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

os.environ["QT_API"] = "pyside6"

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QApplication, QDialog
from qasync import QEventLoop

from app.ui.loop import Loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

Facts = dict[str, Any]

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def early_timers() -> Facts:
    """How much too early sleeps of 100 to 290 ms return, in seconds; negative is late."""

    async def sleep(seconds: float) -> float:
        began = time.monotonic()
        await asyncio.sleep(seconds)
        return seconds - (time.monotonic() - began)

    return {"earliest": max(await asyncio.gather(*(sleep(0.1 + index / 100) for index in range(20))))}


async def cancelled_timers() -> Facts:
    """How many timers live on after 2,000 deadlines of 30 s that were never reached."""
    loop = asyncio.get_running_loop()
    for _ in range(2000):
        async with asyncio.timeout(30):
            await asyncio.sleep(0)
    timers = loop._scheduled if isinstance(loop, Loop) else loop._timer._SimpleTimer__callbacks  # type: ignore[attr-defined]
    return {"alive": len(timers)}


async def dialog_inside_a_task() -> Facts:
    """What another task does while a coroutine runs a dialog's own loop, and afterwards."""
    ticks = 0
    errors: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(str(context.get("exception"))))

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.05)
    before = ticks
    dialog = QDialog()
    QTimer.singleShot(200, dialog.accept)
    dialog.exec()
    during = ticks
    await asyncio.sleep(0.1)
    facts = {"during": during - before, "after": ticks - during, "errors": errors}
    ticking.cancel()
    return facts


async def threadsafe_context() -> Facts:
    """The context a callback sees that another thread scheduled with one, and what the call returned."""
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    context.run(variable.set, "given")
    seen: asyncio.Future[str] = loop.create_future()
    handle = await asyncio.to_thread(
        lambda: loop.call_soon_threadsafe(lambda: seen.set_result(variable.get()), context=context)
    )
    return {"seen": await seen, "handle": isinstance(handle, asyncio.Handle)}


async def timer_handle() -> Facts:
    """Whether `call_later` tells when it is due."""
    handle = asyncio.get_running_loop().call_later(30, lambda: None)
    handle.cancel()
    return {"when": hasattr(handle, "when")}


async def reader_context() -> Facts:
    """The context a reader's callback sees, and whether adding it returned its handle."""
    import socket

    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        variable.set("given")
        seen: asyncio.Future[str] = loop.create_future()
        handle = loop._add_reader(ours.fileno(), lambda: seen.done() or seen.set_result(variable.get()))  # type: ignore[attr-defined]
        theirs.send(b"x")
        result = await seen
        loop.remove_reader(ours.fileno())
    return {"seen": result, "handle": isinstance(handle, asyncio.Handle)}


async def starved_window() -> Facts:
    """Gaps between Qt timer events, in ms, while a hundred tasks each work a millisecond a turn."""
    gaps: list[float] = []
    last = time.perf_counter()

    def beat() -> None:
        nonlocal last
        now = time.perf_counter()
        gaps.append((now - last) * 1000)
        last = now

    async def work() -> None:
        while True:
            until = time.perf_counter() + 0.001
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(0)

    heart = QTimer()
    heart.setTimerType(Qt.TimerType.PreciseTimer)
    heart.timeout.connect(beat)
    heart.start(5)
    tasks = [asyncio.create_task(work()) for _ in range(100)]
    await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()
    return {"median": sorted(gaps)[len(gaps) // 2], "beats": len(gaps)}


async def unfinished_generator() -> Facts:
    """Whether an asynchronous generator left half-way runs its `finally` when it is dropped."""
    closed: list[str] = []

    async def count() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    async for _ in count():
        break
    for _ in range(5):
        await asyncio.sleep(0.01)
    return {"closed": bool(closed)}


async def exception_handler() -> Facts:
    """Whether the loop knows the exception handler it was given (anyio and pytest plugins ask)."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    return {"known": loop.get_exception_handler() is not None}


async def signal_while_idle() -> Facts:
    """How many seconds after the start a Python signal handler runs: the signal comes after 0.1, a timer after 0.6."""
    loop = asyncio.get_running_loop()
    handled: asyncio.Future[float] = loop.create_future()
    began = time.monotonic()
    signal.signal(signal.SIGALRM, lambda *_: handled.done() or handled.set_result(time.monotonic() - began))
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    await asyncio.sleep(0.6)
    return {"handled": await handled}


# The last one loses tasks of the stock loop.
PROBES = (
    early_timers,
    cancelled_timers,
    threadsafe_context,
    timer_handle,
    reader_context,
    starved_window,
    unfinished_generator,
    exception_handler,
    signal_while_idle,
    dialog_inside_a_task,
)


def main(kind: str) -> None:
    """Run every probe on loops of one kind."""
    app = QApplication([])
    app.setQuitOnLastWindowClosed(False)
    sys.unraisablehook = lambda _: None
    facts: dict[str, Facts] = {}
    loops = []

    async def ask(probe: Callable[[], Awaitable[Facts]]) -> None:
        facts[probe.__name__] = await probe()
        if probe is PROBES[-1]:
            sys.stdout.write(json.dumps(facts) + "\n")
            sys.stdout.flush()
            os._exit(0)

    for probe in PROBES:
        loops.append(Loop(app) if kind == "ours" else QEventLoop(app))
        loops[-1].run_until_complete(ask(probe))


if __name__ == "__main__":
    main(sys.argv[1])
