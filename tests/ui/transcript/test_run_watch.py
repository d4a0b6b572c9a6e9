"""Runs that nobody opened: followed so that they are told of when they need the user, and get what waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from PySide6.QtWidgets import QApplication

from app.core.posthog.types import Task, User
from app.ui.bridge import Bridge
from app.ui.place import PlaceNotice
from app.ui.tasks import controller, run_pool, run_watch
from app.ui.tasks.run_pool import RunPool, WantedRun
from app.ui.transcript.connection_line import ConnectionState
from tests.ui._tasks_fakes import FakeBackend, FakeTasks, settle, until
from tests.ui._tasks_place import TaskDesk, task_desk
from tests.ui.transcript._conversation import RecordedConversation, RecordedRuns, WaitingText
from tests.ui.transcript.test_run_views import running
from tests.ui.transcript.test_transcript_page import asked

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_pool, "OPEN_NEXT_MS", 5)
    monkeypatch.setattr(run_watch, "LOOK_AFTER_MS", 1)


@contextmanager
def a_pool(runs: RecordedRuns) -> Iterator[RunPool]:
    pool = RunPool(Bridge(), runs)
    pool.start(FakeBackend())  # type: ignore[arg-type]
    yield pool
    pool.start(None)
    assert runs.open == []
    pool.deleteLater()


def wanted(*tasks: Task, talks: bool = False) -> tuple[WantedRun, ...]:
    return tuple(WantedRun(each, each.latest_run, talks) for each in tasks if each.latest_run is not None)


def ask(conversation: RecordedConversation, key: str = "ask", call_id: str = "c1") -> None:
    conversation.transcript.add(asked(key, call_id=call_id))
    conversation.tell(accepts=True, busy=True, waiting=(key,))


async def opened(desk: TaskDesk, *runs: str) -> None:
    await until(lambda: set(desk.runs.open) == set(runs))


async def test_a_run_that_nobody_opened_is_told_of_when_it_asks_and_when_it_ends(qapp: QApplication) -> None:
    counted: list[int] = []
    notices: list[PlaceNotice] = []
    over: list[str] = []
    async with task_desk(qapp, [running(1), running(2)]) as desk:
        desk.place.count_changed.connect(counted.append)
        desk.place.told.connect(notices.append)
        desk.place.over.connect(over.append)
        await opened(desk, "r1", "r2")
        ask(desk.runs.opened["r2"])
        await until(lambda: "Needs you" in desk.titles)
        await until(lambda: counted[-1:] == [1])
        row = next(line for line in desk.place.pane.table.rows.lines() if line.key == "task:t2")
        assert "Needs you" in row.accessible
        assert [(each.title, each.text, each.item) for each in notices] == [("Task 2", "The agent needs you.", "t2")]
        # Answered elsewhere.
        desk.runs.opened["r2"].tell(waiting=())
        await until(lambda: over == ["run:t2"])
        await until(lambda: counted[-1] == 0)
        assert "Needs you" not in desk.titles
        desk.tasks.tasks["t2"] = running(2, "failed")
        desk.runs.opened["r2"].end_run("failed")
        await opened(desk, "r1")
        assert [each.text for each in notices[1:]] == ["Run ended: Failed."]
        await until(lambda: desk.place.controller.cache.get("t2").latest_run.status == "failed")  # type: ignore[union-attr]
        assert desk.place.pages.task_id != "t2"


async def test_only_runs_of_the_users_own_that_are_under_way_are_followed(qapp: QApplication) -> None:
    here = msgspec.structs.replace(running(6).latest_run, environment="local")  # type: ignore[type-var]
    tasks = [
        running(1, created_by=User(uuid="ana")),
        running(2, "queued"),
        running(3, created_by=User(uuid="ben")),
        running(4, archived=True),
        running(5, "completed"),
        msgspec.structs.replace(running(6), latest_run=here),
        running(7, "not_started"),
    ]
    server = FakeTasks(tasks)
    server.hold["list"] = asyncio.Event()
    async with task_desk(qapp, server) as desk:
        await settle()
        # The list that was saved says nothing of what is under way now.
        assert desk.runs.opened == {}
        server.hold["list"].set()
        await opened(desk, "r1", "r2")
        # One that is started later, too.
        server.tasks["t8"] = running(8)
        desk.place.controller.refresh()
        await opened(desk, "r1", "r2", "r8")
        desk.place.set_backend(None)
        await opened(desk)
        await settle()
        assert len(desk.runs.opened) == 3


async def test_a_run_for_which_messages_wait_is_followed_first_wherever_it_is(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_pool, "MOST", 2)
    monkeypatch.setattr(controller, "PAGE", 3)
    server = FakeTasks([running(1), running(2), running(3), running(4, "completed"), running(5, archived=True)])
    async with task_desk(qapp, server) as desk:
        await opened(desk, "r1", "r2")
        desk.services.storage.follow_ups.waiting = frozenset({"t3", "t4", "t5", "deleted"})
        desk.runs.kind = "connecting"
        desk.place.controller.refresh()
        await until(lambda: "r3" in desk.runs.open)
        desk.runs.opened["r3"].connection = ConnectionState("live")
        await opened(desk, "r3", "r4")
        last = desk.runs.opened["r4"]
        last.queue(WaitingText("a", "Go on"))
        last.connection = ConnectionState("ended")
        # It goes on in another run; then that one has ended as well.
        last.queue()
        last.run = msgspec.structs.replace(last.run, id="r5", status="in_progress")
        last.changed.emit(None)
        await until(lambda: ("t4",) in server.called("get")[1:])
        desk.services.storage.follow_ups.waiting = frozenset()
        last.end_run("completed")
        await until(lambda: last.closed)
        assert server.called("get").count(("deleted",)) == 1


async def test_of_a_run_that_there_is_no_room_for_its_end_is_told_also_while_nobody_looks_at_the_list(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_pool, "MOST", 1)
    notices: list[PlaceNotice] = []
    async with task_desk(qapp, [running(1), running(2), running(3, "completed")]) as desk:
        desk.place.told.connect(notices.append)
        await opened(desk, "r1")
        watch, asked_for = desk.place.runs._watch, len(desk.tasks.called("list"))
        desk.tasks.tasks["t2"] = running(2, "failed")
        watch._old.timeout.emit()
        await settle()
        assert len(desk.tasks.called("list")) == asked_for
        watch._listed_at -= run_watch.OLD_SECONDS
        watch._old.timeout.emit()
        await until(lambda: notices)
        desk.place.controller.refresh()
        await until(lambda: len(desk.tasks.called("list")) == asked_for + 2)
        await settle()
        assert [(each.item, each.text) for each in notices] == [("t2", "Run ended: Failed.")]
        assert desk.runs.open == ["r1"]


async def test_runs_are_opened_one_after_the_other(qapp: QApplication) -> None:
    runs, times = RecordedRuns("connecting"), list[None]()
    with a_pool(runs) as pool:
        pool._arrange_soon.timeout.connect(lambda: times.append(None))
        pool.follow(wanted(*(running(number) for number in range(1, 4))))
        for number in range(1, 4):
            newest = f"r{number}"
            await until(lambda newest=newest: newest in runs.opened)  # type: ignore[misc]
            times.clear()
            await until(lambda number=number: len(times) > 2 or number == 3)  # type: ignore[misc]
            assert len(runs.open) == number
            runs.opened[newest].connection = ConnectionState("live")


async def test_nine_are_followed_and_what_the_user_opens_has_a_place(qapp: QApplication) -> None:
    runs, tasks = RecordedRuns(), [running(number) for number in range(1, 13)]
    with a_pool(runs) as pool:
        pool.follow(wanted(*tasks))
        await until(lambda: runs.open == [f"r{number}" for number in range(1, 10)])
        pool.conversation(tasks[11], tasks[11].latest_run)  # type: ignore[arg-type]
        await until(lambda: runs.open == [*(f"r{number}" for number in range(1, 9)), "r12"])
        # One that asks stays, although others are newer.
        ask(runs.opened["r8"])
        await settle()
        pool.follow(wanted(running(0), *tasks))
        await until(lambda: "r0" in runs.open)
        assert runs.open == [*(f"r{number}" for number in range(1, 7)), "r8", "r12", "r0"]


async def test_a_run_that_cannot_be_followed_takes_no_place_and_is_not_tried_again_at_once(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_pool, "MOST", 1)
    runs = RecordedRuns()
    with a_pool(runs) as pool:
        pool.follow(wanted(running(1), running(2)))
        await until(lambda: runs.open == ["r1"])
        runs.opened["r1"].connection = ConnectionState("failed")
        runs.opened["r1"].changed.emit(None)
        await until(lambda: runs.open == ["r2"])
        runs.opened["r2"].end_run("completed")
        await until(lambda: runs.open == [])


async def test_a_question_is_told_of_once_however_often_the_log_is_read(qapp: QApplication) -> None:
    runs, told = RecordedRuns("connecting"), list[str]()
    with a_pool(runs) as pool:
        pool.asks.connect(told.append)
        pool.follow(wanted(running(1)))
        await until(lambda: "r1" in runs.opened)
        ask(runs.opened["r1"])
        await until(lambda: told == ["t1"])
        # The log names it in another way than the stream.
        ask(runs.opened["r1"], "as the log names it")
        await settle()
        pool.follow(())
        await until(lambda: runs.open == [])
        assert pool.asking == frozenset()
        pool.follow(wanted(running(1)))
        await until(lambda: runs.open == ["r1"])
        runs.opened["r1"].tell()
        await settle()
        ask(runs.opened["r1"])
        await until(lambda: pool.asking == {"t1"})
        assert told == ["t1"]
        ask(runs.opened["r1"], "two", "c2")
        await until(lambda: told == ["t1", "t1"])


async def test_a_finished_run_is_left_alone_whose_messages_need_the_user(qapp: QApplication) -> None:
    runs: Any = RecordedRuns()
    with a_pool(runs) as pool:
        pool.follow(wanted(running(1, "failed"), talks=True))
        await until(lambda: runs.open == ["r1"])
        one = runs.opened["r1"]
        one.hold = "never_started"
        one.queue(WaitingText("a", "Go on"))
        one.connection = ConnectionState("ended")
        pool._kept["r1"].since -= run_pool.PATIENCE
        one.changed.emit(None)
        await until(lambda: runs.open == [])
        pool.follow(wanted(running(1, "failed"), talks=True))
        await settle()
        assert runs.open == []
        # The user may look at it all the same.
        assert pool.conversation(running(1, "failed"), running(1, "failed").latest_run) is not None  # type: ignore[arg-type]
