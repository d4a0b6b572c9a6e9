"""A run in the window from beginning to end: the workspace carries it out with the survey agent."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from app.core.embedded import RUNTIME_FILE
from app.core.posthog.types import NewTask
from app.core.runs.items import Permission, Prompt, ToolCall, TurnEnd
from app.core.services import WORKSPACE_FOLDER
from app.ui.tasks.place import TasksPlace
from app.ui.transcript import ask_card
from app.ui.transcript.page import TranscriptPage
from tests.conftest import RunningWorkspace
from tests.ui._screens import save
from tests.ui._tasks_fakes import settle, until
from tests.ui._workspace import on_workspace

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


@pytest.fixture
def folder(tmp_path: Path, start_workspace: Callable[..., RunningWorkspace]) -> Path:
    """A data folder whose workspace carries runs out."""
    runtime = tmp_path / WORKSPACE_FOLDER / RUNTIME_FILE
    runtime.parent.mkdir(parents=True)
    started = start_workspace("--runs", "1", "--cancel-seconds", "0.5", data=tmp_path / "carrying")
    shutil.copy(started.data / RUNTIME_FILE, runtime)
    return tmp_path


@asynccontextmanager
async def running(qapp: QApplication, folder: Path) -> AsyncIterator[tuple[TasksPlace, TranscriptPage]]:
    """The transcript of a run that has just been started from the place."""
    async with on_workspace(qapp, folder, TasksPlace, lambda place: place.controller.load.loaded) as found:
        place, backend, _ = found
        made = await backend.tasks.create(
            NewTask(title="Survey the shop", description="Survey it.", repository="hedgerow/shop")
        )
        place.open_item(made.id)
        await until(lambda: place.pages.task_id == made.id, 30)
        place.controller.run(made.id)
        await until(lambda: place.pages._views is not None and place.pages._views.shows_transcript, 30)
        assert place.pages._views is not None
        page = place.pages._views.transcript
        await until(lambda: page.view.source is not None and len(page.view.source) > 0, 30)
        yield place, page


def kinds(page: TranscriptPage) -> list[type]:
    source = page.view.source
    assert source is not None
    return [source.head(place).kind for place in range(len(source))]


async def test_a_run_is_started_watched_answered_and_talked_to(
    qapp: QApplication, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask_card, "ARM_MS", 0)
    async with running(qapp, folder) as (place, page):
        await until(lambda: page.ask.isVisible(), 20)
        await until(lambda: "Needs you" in [line.title for line in place.pane.table.rows.lines()], 20)
        await settle()
        save(place, "run-asks", "light", 1.0, folder)
        source = page.view.source
        assert source is not None
        # The plan first, then each change.
        await until(lambda: TurnEnd in kinds(page) or (page.ask.press_number(1) and False), 30)
        await until(lambda: page.ask.isHidden(), 20)
        assert Prompt in kinds(page)
        assert ToolCall in kinds(page)
        asked = [source.item(place) for place, kind in enumerate(kinds(page)) if kind is Permission]
        assert asked
        assert all(isinstance(each, Permission) and each.answer for each in asked)
        await settle()
        save(page, "run-turn", "light", 1.0, folder)
        assert page.header.status.state is not None
        await until(lambda: page.header.status.state.word == "Your turn", 20)  # type: ignore[union-attr]
        page.reply.set_text("Survey it once more")
        page.reply.send.click()
        await until(lambda: kinds(page).count(Prompt) == 2, 20)
        await until(lambda: page.queued.isHidden(), 20)
        assert page.reply.text == ""
        await settle()
        save(place, "run-second", "light", 1.0, folder)
