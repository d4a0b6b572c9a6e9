"""Runs on a real workspace that go on while no window is open: what the next windows say and do, with no task open."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from app.core.embedded import RUNTIME_FILE
from app.core.posthog.run_options import RunOptions
from app.core.posthog.types import NewTask
from app.core.runs.items import Prompt
from app.core.services import WORKSPACE_FOLDER, Services
from app.ui.context import Context
from app.ui.place import PlaceNotice
from app.ui.tasks.place import TasksPlace
from app.ui.tasks.run_page import TRANSCRIPT
from app.ui.tasks.wording import needs_you
from app.ui.transcript import ask_card
from app.ui.widgets.rows import Row
from tests.conftest import RunningWorkspace
from tests.ui._tasks_fakes import until
from tests.ui._workspace import on_workspace

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)
MORE = "Survey it once more, only read"


@pytest.fixture
def folder(tmp_path: Path, start_workspace: Callable[..., RunningWorkspace]) -> Path:
    """A data folder whose workspace carries two runs out at a time."""
    runtime = tmp_path / WORKSPACE_FOLDER / RUNTIME_FILE
    runtime.parent.mkdir(parents=True)
    started = start_workspace("--runs", "2", data=tmp_path / "carrying")
    shutil.copy(started.data / RUNTIME_FILE, runtime)
    return tmp_path


async def begin(folder: Path) -> tuple[str, str]:
    """Start a run that will ask, and one for which a message waits when Burrow ends. Returns the ids of their tasks."""
    services = Services(folder)
    backend = await services.connect(await services.start_workspace())
    await backend.ready()
    asking, talked_to = [
        await backend.tasks.create(NewTask(title=title, description=title, repository="hedgerow/shop"))
        for title in ("Change the shop", "Look at the shop, only read")
    ]
    await backend.run_start.start(asking, RunOptions(mode="plan"))
    await backend.run_start.start(talked_to, RunOptions(mode="bypassPermissions"))
    assert backend.scope is not None
    await services.storage.follow_ups.add(backend.scope, talked_to.id, MORE)
    await services.close()
    return asking.id, talked_to.id


def prompts(place: TasksPlace, task_id: str) -> list[str]:
    """What the agent of a task was told, as far as a window that has not opened it knows."""
    task = place.controller.cache.get(task_id)
    assert task is not None
    assert task.latest_run is not None
    kept = place.runs.pool._kept.get(task.latest_run.id)
    if kept is None:
        return []
    transcript = kept.opened.conversation.transcript
    found = (transcript.item(index) for index in transcript.turns())
    return [item.text for item in found if isinstance(item, Prompt)]


async def test_what_went_on_without_a_window_is_told_and_what_waits_is_sent_by_one_of_the_next_two(
    qapp: QApplication, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask_card, "ARM_MS", 0)
    asking, talked_to = await begin(folder)
    counted: list[int] = []
    notices: list[PlaceNotice] = []
    over: list[str] = []

    def composing(context: Context) -> TasksPlace:
        # Else the first task of the list is opened.
        place = TasksPlace(context)
        place.selection.new_task()
        return place

    def loaded(place: TasksPlace) -> bool:
        return place.controller.load.loaded

    async with (
        on_workspace(qapp, folder, composing, loaded) as (other, _, _),
        on_workspace(qapp, folder, composing, loaded) as (place, backend, services),
    ):
        place.count_changed.connect(counted.append)
        place.told.connect(notices.append)
        place.over.connect(over.append)
        await until(lambda: f"task:{asking}" in asking_rows(place), 30)
        await until(lambda: place.runs.pool.asking == other.runs.pool.asking == {asking}, 20)
        without = sum(needs_you(task) for task in place.controller.cache.all())
        await until(lambda: counted[-1:] == [without + 1])
        told = [each for each in notices if each.waits]
        assert [(each.title, each.item) for each in told] == [("Change the shop", asking)]
        # The other agent ends its turn, and one window tells it what waited, of which both show the turn.
        for each in (place, other):
            await until(lambda each=each: len(prompts(each, talked_to)) == 2, 40)  # type: ignore[misc]
            assert [MORE in text for text in prompts(each, talked_to)] == [False, True]
            assert each.pages.shows_composer
        assert backend.scope is not None
        await until_empty(services, backend.scope)
        # To answer clears all of it.
        place.open_item(asking)
        await until(lambda: place.pages._views is not None and place.pages._views.shows_transcript, 20)
        assert place.pages._views is not None
        page = place.pages._views.transcript
        assert place.pages._views.tabs.currentIndex() == TRANSCRIPT
        await until(lambda: page.ask.isVisible(), 20)
        page.ask.press_number(1)
        await until(lambda: f"run:{asking}" in over, 20)
        await until(lambda: counted[-1] == without)
        assert f"task:{asking}" not in asking_rows(place)
        assert [MORE in text for text in prompts(place, talked_to)] == [False, True]


async def until_empty(services: Services, scope: object) -> None:
    while await services.storage.follow_ups.tasks(scope):  # type: ignore[arg-type]
        await until(lambda: True)


def asking_rows(place: TasksPlace) -> list[str]:
    lines = place.pane.table.rows.lines()
    return [line.key for line in lines if isinstance(line, Row) and "Needs you" in line.accessible]
