"""A coroutine started from the window has an owner, and its end is always heard."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from app.core.errors import BurrowError, Offline
from app.core.events import Event
from app.ui.bridge import Bridge, Generation

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtWidgets import QApplication

BOUND = 5.0


class Ears:
    """What a bridge told nobody in particular."""

    def __init__(self, bridge: Bridge) -> None:
        self.failures: list[BaseException] = []
        self.crashes: list[BaseException] = []
        bridge.failed_job.connect(self.failures.append)
        bridge.crashed.connect(self.crashes.append)


class Started:
    """A coroutine that says when it runs, waits to be released, and remembers how it ended."""

    def __init__(self, result: object = None) -> None:
        self.running = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = False
        self.result = result

    async def run(self) -> Any:
        self.running.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.fixture
def bridge(qapp: QApplication) -> Bridge:
    return Bridge()


@pytest.fixture
def ears(bridge: Bridge) -> Ears:
    return Ears(bridge)


@pytest.fixture
def owner(qapp: QApplication) -> QObject:
    return QObject()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(BOUND):
        while not true():  # noqa: ASYNC110 - conditions without an event of their own
            await asyncio.sleep(0.001)


async def destroy(thing: QObject) -> None:
    gone = asyncio.Event()
    thing.destroyed.connect(gone.set)
    thing.deleteLater()
    async with asyncio.timeout(BOUND):
        await gone.wait()


async def fail(error: BaseException) -> None:
    raise error


async def test_a_result_reaches_its_handler(bridge: Bridge, owner: QObject) -> None:
    seen: list[object] = []
    work = Started(7)
    job = bridge.spawn(owner, work.run(), done=seen.append)
    assert not job.done
    work.release.set()
    await job.wait()
    assert (seen, job.done, job.cancelled) == ([7], True, False)


async def test_a_job_dies_with_its_owner_and_tells_nobody(bridge: Bridge, ears: Ears, owner: QObject) -> None:
    seen: list[object] = []
    work = Started()
    job = bridge.spawn(owner, work.run(), done=seen.append, failed=seen.append)
    await work.running.wait()
    await destroy(owner)
    await job.wait()
    assert work.cancelled
    assert job.done
    assert job.cancelled
    assert (seen, ears.failures, ears.crashes) == ([], [], [])


async def test_a_job_dies_with_its_owner_s_parent(bridge: Bridge) -> None:
    window = QWidget()
    view = QWidget(window)
    work = Started()
    job = bridge.spawn(view, work.run())
    del view
    await work.running.wait()
    await destroy(window)
    await job.wait()
    assert work.cancelled


async def test_a_result_that_comes_after_its_owner_is_dropped(bridge: Bridge, owner: QObject) -> None:
    seen: list[object] = []

    async def stubborn() -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return 7
        return 0

    job = bridge.spawn(owner, stubborn(), done=seen.append)
    await asyncio.sleep(0)
    await destroy(owner)
    await job.wait()
    assert seen == []


async def test_handlers_of_the_owner_do_not_keep_it_alive(bridge: Bridge) -> None:
    class View(QObject):
        def show_it(self, value: object) -> None:
            raise AssertionError("shown in a view nobody has")

    view: View | None = View()
    work = Started()
    event: Event[int] = Event()
    job = bridge.spawn(view, work.run(), done=view.show_it, failed=view.show_it)
    bridge.listen(view, event, view.show_it)
    await work.running.wait()
    gone = weakref.ref(view)
    view = None
    gc.collect()
    assert gone() is None
    await job.wait()
    assert work.cancelled
    event.emit(1)
    assert event._callbacks == ()


async def test_an_owner_already_destroyed_starts_nothing(bridge: Bridge, owner: QObject) -> None:
    await destroy(owner)
    work = Started()
    job = bridge.spawn(owner, work.run())
    assert job.done
    assert job.cancelled
    assert not work.running.is_set()


async def test_cancelling_the_owner_cancels_all_it_started(bridge: Bridge, ears: Ears, owner: QObject) -> None:
    seen: list[object] = []
    works = [Started() for _ in range(3)]
    jobs = [bridge.spawn(owner, work.run(), done=seen.append, failed=seen.append) for work in works]
    other, others = QObject(), Started(1)
    kept = bridge.spawn(other, others.run(), done=seen.append)
    await until(lambda: all(work.running.is_set() for work in works))
    bridge.cancel(owner)
    for job in jobs:
        await job.wait()
    others.release.set()
    await kept.wait()
    assert all(work.cancelled for work in works)
    assert (seen, ears.failures, ears.crashes) == ([1], [], [])


async def test_a_cancelled_job_tells_nobody_even_if_it_had_just_finished(bridge: Bridge, owner: QObject) -> None:
    seen: list[object] = []

    async def quick() -> int:
        return 1

    job = bridge.spawn(owner, quick(), done=seen.append)
    # Its task has run, its handlers have not.
    asyncio.get_running_loop().call_soon(job.cancel)
    await job.wait()
    assert seen == []


async def test_the_latest_of_a_key_wins(bridge: Bridge, owner: QObject) -> None:
    seen: list[object] = []
    first, second, beside = Started("first"), Started("second"), Started("beside")
    old = bridge.spawn(owner, first.run(), done=seen.append, key="load")
    other = bridge.spawn(owner, beside.run(), done=seen.append, key="save")
    await first.running.wait()
    new = bridge.spawn(owner, second.run(), done=seen.append, key="load")
    for work in (first, second, beside):
        work.release.set()
    for job in (old, other, new):
        await job.wait()
    assert first.cancelled
    assert sorted(map(str, seen)) == ["beside", "second"]


async def test_the_same_key_of_another_owner_is_another_job(bridge: Bridge, owner: QObject) -> None:
    other = QObject()
    first, second = Started(), Started()
    jobs = [bridge.spawn(owner, first.run(), key="load"), bridge.spawn(other, second.run(), key="load")]
    first.release.set()
    second.release.set()
    for job in jobs:
        await job.wait()
    assert not first.cancelled
    assert not second.cancelled


async def test_a_key_can_be_cancelled_alone(bridge: Bridge, owner: QObject) -> None:
    load, save = Started(), Started()
    jobs = [bridge.spawn(owner, load.run(), key="load"), bridge.spawn(owner, save.run(), key="save")]
    await until(lambda: load.running.is_set() and save.running.is_set())
    bridge.cancel(owner, "load")
    save.release.set()
    for job in jobs:
        await job.wait()
    assert load.cancelled
    assert not save.cancelled


async def test_a_failure_reaches_its_handler_alone(bridge: Bridge, ears: Ears, owner: QObject) -> None:
    seen: list[BaseException] = []
    error = Offline("no route")
    await bridge.spawn(owner, fail(error), failed=seen.append).wait()
    assert (seen, ears.failures, ears.crashes) == ([error], [], [])


async def test_an_expected_failure_nobody_handles_is_presented(bridge: Bridge, ears: Ears, owner: QObject) -> None:
    error = Offline("no route")
    await bridge.spawn(owner, fail(error)).wait()
    assert (ears.failures, ears.crashes) == ([error], [])


async def test_a_bug_is_logged_and_announced(
    bridge: Bridge, ears: Ears, owner: QObject, caplog: pytest.LogCaptureFixture
) -> None:
    error = ZeroDivisionError("bug")
    with caplog.at_level(logging.ERROR):
        await bridge.spawn(owner, fail(error)).wait()
    assert (ears.failures, ears.crashes) == ([], [error])
    assert "ZeroDivisionError: bug" in caplog.text


async def test_a_bug_is_announced_and_its_handler_gets_an_expected_error_with_its_words(
    bridge: Bridge, ears: Ears, owner: QObject, caplog: pytest.LogCaptureFixture
) -> None:
    error, seen = LookupError("bug"), list[BurrowError]()
    with caplog.at_level(logging.ERROR):
        await bridge.spawn(owner, fail(error), failed=seen.append).wait()
    assert (ears.failures, ears.crashes) == ([], [error])
    assert [(type(each), each.cause) for each in seen] == [(BurrowError, "bug")]
    assert "LookupError: bug" in caplog.text


@pytest.mark.parametrize("handler", ["done", "failed"])
async def test_a_bug_in_a_handler_is_logged_and_announced(
    bridge: Bridge, ears: Ears, owner: QObject, caplog: pytest.LogCaptureFixture, handler: str
) -> None:
    error = KeyError("handler")

    def broken(_: object) -> None:
        raise error

    async def fine() -> None:
        return None

    with caplog.at_level(logging.ERROR):
        coroutine = fine() if handler == "done" else fail(Offline())
        await bridge.spawn(owner, coroutine, **{handler: broken}).wait()
    assert ears.crashes == [error]
    assert "KeyError" in caplog.text


async def test_a_lone_exception_in_a_group_counts_as_itself(bridge: Bridge, ears: Ears, owner: QObject) -> None:
    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(Offline("in a group")))

    await bridge.spawn(owner, grouped()).wait()
    (error,) = ears.failures
    assert isinstance(error, BurrowError)


async def test_a_bug_during_cancellation_is_still_logged(
    bridge: Bridge, ears: Ears, owner: QObject, caplog: pytest.LogCaptureFixture
) -> None:
    running = asyncio.Event()

    async def untidy() -> None:
        try:
            running.set()
            await asyncio.Event().wait()
        finally:
            raise LookupError("untidy")

    job = bridge.spawn(owner, untidy())
    await running.wait()
    job.cancel()
    with caplog.at_level(logging.ERROR):
        await job.wait()
    assert "LookupError: untidy" in caplog.text
    assert len(ears.crashes) == 1


async def test_a_hundred_hanging_jobs_end_within_a_second(bridge: Bridge) -> None:
    loop = asyncio.get_running_loop()
    owners = [QObject() for _ in range(10)]
    works = [Started() for _ in range(100)]
    jobs = [bridge.spawn(owners[index % 10], work.run()) for index, work in enumerate(works)]
    await until(lambda: all(work.running.is_set() for work in works))
    began = loop.time()
    await bridge.close()
    assert loop.time() - began < 1.0
    assert all(work.cancelled for work in works)
    assert all(job.done for job in jobs)


async def test_closing_does_not_wait_for_what_refuses_to_end(
    bridge: Bridge, owner: QObject, caplog: pytest.LogCaptureFixture
) -> None:
    running, released = asyncio.Event(), asyncio.Event()

    async def refuse() -> None:
        running.set()
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    job = bridge.spawn(owner, refuse())
    await running.wait()
    with caplog.at_level(logging.ERROR):
        await bridge.close(timeout=0.05)
    assert "does not end when cancelled" in caplog.text
    released.set()
    await job.wait()


async def test_a_closed_bridge_begins_nothing(bridge: Bridge, owner: QObject) -> None:
    await bridge.close()
    work = Started()
    job = bridge.spawn(owner, work.run())
    await asyncio.sleep(0)
    assert job.done
    assert not work.running.is_set()


def test_what_qt_calls_after_the_loop_has_ended_begins_nothing(bridge: Bridge, owner: QObject) -> None:
    asyncio.run(bridge.close())
    work = Started()
    job = bridge.spawn(owner, work.run())
    assert (job.done, job.cancelled) == (True, True)
    assert not work.running.is_set()


def test_without_a_loop_a_job_is_refused(bridge: Bridge, owner: QObject) -> None:
    async def never() -> None:
        raise AssertionError

    with pytest.raises(RuntimeError, match="no running event loop"):
        bridge.spawn(owner, never())


async def test_values_emitted_by_threads_arrive_on_the_qt_thread_in_order(bridge: Bridge, owner: QObject) -> None:
    event: Event[tuple[int, int]] = Event()
    seen: list[tuple[int, int]] = []
    threads: set[int] = set()

    def slot(value: tuple[int, int]) -> None:
        threads.add(threading.get_ident())
        seen.append(value)

    bridge.listen(owner, event, slot)

    def emit(number: int) -> None:
        for count in range(200):
            event.emit((number, count))

    await asyncio.gather(*(asyncio.to_thread(emit, number) for number in range(4)))
    await until(lambda: len(seen) == 800)
    assert threads == {threading.get_ident()}
    for number in range(4):
        assert [count for who, count in seen if who == number] == list(range(200))


async def test_a_value_is_never_delivered_inside_emit(bridge: Bridge, owner: QObject) -> None:
    event: Event[int] = Event()
    seen: list[int] = []
    bridge.listen(owner, event, seen.append)
    event.emit(1)
    assert seen == []
    await until(lambda: seen == [1])


async def test_a_listener_ends_with_its_owner(bridge: Bridge, owner: QObject) -> None:
    event: Event[int] = Event()
    seen: list[int] = []
    bridge.listen(owner, event, seen.append)
    event.emit(1)
    await destroy(owner)
    event.emit(2)
    assert event._callbacks == ()
    await asyncio.sleep(0)
    assert 2 not in seen


async def test_a_value_on_its_way_is_dropped_when_the_listener_ends(bridge: Bridge, owner: QObject) -> None:
    event: Event[int] = Event()
    seen: list[int] = []
    marks: list[int] = []
    stop = bridge.listen(owner, event, seen.append)
    bridge.listen(owner, event, marks.append)
    event.emit(1)
    stop()
    stop()
    await until(lambda: marks == [1])
    assert seen == []


async def test_a_bug_in_a_listener_is_announced_and_the_others_hear(bridge: Bridge, ears: Ears, owner: QObject) -> None:
    event: Event[int] = Event()
    seen: list[int] = []

    def broken(_: int) -> None:
        raise ValueError("listener")

    bridge.listen(owner, event, broken)
    bridge.listen(owner, event, seen.append)
    event.emit(1)
    await until(lambda: seen == [1])
    assert [type(error) for error in ears.crashes] == [ValueError]


async def test_a_generation_that_is_renewed_hears_nothing_of_the_former(
    bridge: Bridge, ears: Ears, owner: QObject
) -> None:
    generation, event, seen = Generation(bridge, owner), Event[int](), list[object]()
    former, later, beside = Started("former"), Started("later"), Started("beside")
    old = generation.spawn(former.run(), done=seen.append, failed=seen.append, key="load")
    others = bridge.spawn(owner, beside.run(), done=seen.append)
    generation.listen(event, seen.append)
    await until(lambda: former.running.is_set() and beside.running.is_set())
    event.emit(1)
    generation.renew()
    new = generation.spawn(later.run(), done=seen.append, key="load")
    generation.listen(event, lambda value: seen.append(f"heard {value}"))
    event.emit(2)
    for work in (former, later, beside):
        work.release.set()
    for job in (old, new, others):
        await job.wait()
    await until(lambda: "heard 2" in seen)
    assert former.cancelled
    assert set(seen) == {"later", "beside", "heard 2"}
    assert (ears.failures, ears.crashes) == ([], [])


async def test_a_generation_ends_with_its_owner(bridge: Bridge, owner: QObject) -> None:
    generation, event, work = Generation(bridge, owner), Event[int](), Started()
    job = generation.spawn(work.run())
    generation.listen(event, lambda _value: None)
    await work.running.wait()
    await destroy(owner)
    await job.wait()
    assert work.cancelled
    assert event._callbacks == ()


async def test_one_job_of_a_generation_can_be_cancelled_by_its_key(bridge: Bridge, owner: QObject) -> None:
    generation, load, save = Generation(bridge, owner), Started(), Started()
    jobs = [generation.spawn(load.run(), key="load"), generation.spawn(save.run(), key="save")]
    await until(lambda: load.running.is_set() and save.running.is_set())
    generation.cancel("load")
    save.release.set()
    for job in jobs:
        await job.wait()
    assert load.cancelled
    assert not save.cancelled
