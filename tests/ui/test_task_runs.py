"""Creating and running a task in one go, and cancelling a run that waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.core.errors import NotFound, Offline, OutcomeUnknown, ServerTrouble
from app.core.posthog.types import NewTask, TaskRun
from app.core.storage import Storage
from app.ui.bridge import Bridge
from app.ui.context import Context
from app.ui.tasks.place import TasksPlace
from app.ui.theme import apply_theme
from tests.ui._tasks_fakes import FakeBackend, FakeNavigator, FakeServices, FakeTasks, settle, task, until
from tests.ui.transcript._conversation import RecordedRuns

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

CONTROL_SHIFT = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
Opens = Callable[..., Any]


@pytest.fixture
def opens(qapp: QApplication, tmp_path: Path) -> Opens:
    @asynccontextmanager
    async def make(tasks: FakeTasks) -> AsyncIterator[TasksPlace]:
        apply_theme(qapp, "light", 1.0)
        bridge, services = Bridge(), FakeServices()
        crashes: list[BaseException] = []
        bridge.crashed.connect(crashes.append)
        storage = Storage.open(tmp_path)
        services.storage = storage  # type: ignore[assignment]
        context = Context(services, bridge, FakeNavigator())  # type: ignore[arg-type]
        place = TasksPlace(context, open_conversation=RecordedRuns())
        place.resize(1000, 700)
        place.show()
        place.activateWindow()
        place.set_backend(FakeBackend(tasks))  # type: ignore[arg-type]
        await until(lambda: not place.controller.load.busy)
        await settle()
        yield place
        await place.flush()
        await bridge.close()
        await storage.close()
        place.close()
        place.deleteLater()
        await settle()
        assert crashes == []

    return make


def can_cancel(place: TasksPlace) -> bool:
    """Whether the details offer it, which may be behind the transcript."""
    return place.pages.detail.cancel_button.isVisibleTo(place.pages.detail)


def write(place: TasksPlace, words: str) -> None:
    place.selection.new_task()
    place.pages.composer.description.setPlainText(words)


def only(tasks: FakeTasks) -> str:
    [task_id] = tasks.tasks
    return task_id


async def test_a_dead_network_between_creating_and_running_leaves_a_task_that_can_be_run(opens: Opens) -> None:
    tasks = FakeTasks()
    tasks.fail["run"] = Offline("No connection.")
    async with opens(tasks) as place:
        write(place, "Do it")
        place.pages.composer.send_and_run.click()
        await until(lambda: place.pages.shows_detail and place.pages.detail.card.isVisible())
        page = place.pages.detail
        assert "Run not started" in page.card.text()
        assert page.run_button.isVisible()
        assert page.run_button.isEnabled()
        assert tasks.tasks[only(tasks)].latest_run is None
        assert len(tasks.called("create")) == 1
        page.run_button.click()
        await until(lambda: tasks.tasks[only(tasks)].latest_run is not None)
        assert len(tasks.called("create")) == 1


async def test_a_task_that_was_refused_is_not_run(opens: Opens) -> None:
    tasks = FakeTasks()
    tasks.fail["create"] = ServerTrouble("The server answered 503.")
    async with opens(tasks) as place:
        write(place, "Do it")
        place.pages.composer.send_and_run.click()
        await until(lambda: place.pages.composer.card.isVisible())
        assert tasks.called("run") == []


async def test_a_run_of_unknown_outcome_is_not_started_twice(opens: Opens) -> None:
    tasks = FakeTasks()
    tasks.fail["run"] = OutcomeUnknown("The connection ended.")
    async with opens(tasks) as place:
        write(place, "Do it")
        place.pages.composer.send_and_run.click()
        await until(lambda: place.pages.shows_detail and place.pages.detail.card.isVisible())
        assert "outcome unknown" in place.pages.detail.card.text()
        assert len(tasks.called("run")) == 1


async def test_control_shift_enter_creates_and_runs(opens: Opens) -> None:
    tasks = FakeTasks()
    async with opens(tasks) as place:
        write(place, "Do it")
        QTest.keyClick(place.pages.composer.description, Qt.Key.Key_Return, CONTROL_SHIFT)
        await until(lambda: tasks.called("run"))
        assert tasks.called("run") == [(only(tasks),)]
        await until(lambda: place.pages.shows_detail and can_cancel(place))


async def test_a_task_that_waits_for_the_connection_runs_once_it_is_sent_also_after_a_restart(opens: Opens) -> None:
    tasks = FakeTasks()
    tasks.fail["create"] = Offline("No connection.")
    async with opens(tasks) as place:
        place.outbox.send(NewTask(description="Do it"), run=True)
        await until(lambda: place.outbox.pending and place.outbox.pending[0].state.value == "waiting-connection")
        place.pane.show_now()
        place.pane.table.select_key("pending:p1")
        assert "Then it is run." in place.pages.unsent.card.text()
    async with opens(tasks):
        await until(lambda: len(tasks.called("run")) == 1)
        assert len(tasks.tasks) == 1


async def test_a_queued_run_is_cancelled_and_the_task_can_be_run_again(opens: Opens) -> None:
    run = TaskRun("r1", status="queued", task="t1", environment="cloud")
    tasks = FakeTasks([task(1, "One", latest_run=run)])
    tasks.hold["cancel"] = asyncio.Event()
    async with opens(tasks) as place:
        place.pane.table.select_key("task:t1")
        page = place.pages.detail
        page.cancel_button.setFocus()
        page.cancel_button.click()
        await until(lambda: "cancel" in tasks.waiting)
        # At once, and the focus goes to what took the button's place.
        assert page.run_button.isVisible()
        assert QApplication.focusWidget() is page.run_button
        tasks.hold["cancel"].set()
        await until(lambda: tasks.tasks["t1"].latest_run is not None and tasks.tasks["t1"].latest_run.finished)
        assert tasks.called("cancel") == [("t1", "r1")]


@pytest.mark.parametrize("error", [ServerTrouble("503."), NotFound("No such address.")])
async def test_a_run_that_could_not_be_cancelled_is_shown_as_it_is(opens: Opens, error: Exception) -> None:
    run = TaskRun("r1", status="queued", task="t1", environment="cloud")
    tasks = FakeTasks([task(1, "One", latest_run=run)])
    tasks.fail["cancel"] = error  # type: ignore[assignment]
    async with opens(tasks) as place:
        place.pane.table.select_key("task:t1")
        place.pages.detail.cancel_button.click()
        await until(lambda: place.pages.detail.card.isVisible())
        assert "Run not cancelled" in place.pages.detail.card.text()
        assert place.pages.detail.cancel_button.isVisible()


async def test_only_a_cloud_run_in_progress_can_be_cancelled(opens: Opens) -> None:
    tasks = FakeTasks(
        [
            task(1, "Local", latest_run=TaskRun("r1", status="queued", environment="local")),
            task(2, "Done", latest_run=TaskRun("r2", status="completed", environment="cloud")),
            task(3, "Never"),
            task(4, "Running", latest_run=TaskRun("r4", status="in_progress", environment="cloud")),
        ]
    )
    async with opens(tasks) as place:
        shown = []
        for number in range(1, 5):
            place.pane.table.select_key(f"task:t{number}")
            shown.append(can_cancel(place))
        assert shown == [False, False, False, True]
