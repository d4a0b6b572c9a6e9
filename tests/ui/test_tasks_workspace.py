"""The Tasks place on the real services and a real workspace process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from app.core.backend import Backend
from app.core.posthog.profile import sign_in_with_ticket
from app.core.posthog.types import TaskQuery
from app.core.services import Services
from app.ui.tasks.place import TasksPlace
from tests.ui._tasks_fakes import settle, until
from tests.ui._workspace import on_workspace

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


@asynccontextmanager
async def living(qapp: QApplication, folder: Path) -> AsyncIterator[tuple[TasksPlace, Backend, Services]]:
    """A place in a window, signed in to a freshly seeded workspace."""
    async with on_workspace(qapp, folder, TasksPlace, lambda place: place.controller.load.loaded) as living:
        yield living


def titles(place: TasksPlace) -> list[str]:
    return [line.title for line in place.pane.table.rows.lines()]


async def test_a_task_is_created_renamed_pinned_run_archived_and_deleted(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as (place, backend, _):
        assert len(titles(place)) > 10
        place.selection.new_task()
        place.pages.composer.title.setText("From the composer")
        place.pages.composer.description.setPlainText("Do it.")
        place.pages.composer.repository.setEditText("acme/shop")
        place.pages.composer.submit()
        await until(lambda: place.pages.shows_detail)
        task_id = place.pages.detail.task_id
        assert task_id is not None
        assert (await backend.tasks.get(task_id)).repository == "acme/shop"

        place.controller.rename(task_id, "Renamed")
        place.controller.pin(task_id, True)
        place.run_desk.open_panel()
        panel = place.run_desk._panel
        assert panel is not None
        await until(lambda: panel.form.model.currentText() == "Survey Large · Claude")
        panel.form.effort.setCurrentIndex(panel.form.effort.findData("low"))
        panel.run_button.click()
        await until(lambda: place.controller.runs.get(task_id) is not None and place.controller.runs[task_id].items)
        await settle()
        kept = await backend.tasks.get(task_id)
        assert (kept.title, kept.title_manually_set) == ("Renamed", True)
        assert task_id in await backend.tasks.pinned()
        assert titles(place)[:2] == ["Pinned", "Renamed"]
        assert kept.latest_run is not None
        assert (kept.latest_run.environment, kept.latest_run.model) == ("cloud", "survey-large")

        place.controller.archive(task_id, True)
        await until(lambda: "Renamed" not in titles(place))
        place.pane.set_archived(True)
        await until(lambda: "Renamed" in titles(place))
        place.controller.delete(task_id)
        await place.flush()
        assert task_id not in [t.id for t in (await backend.tasks.list(TaskQuery(archived=True))).items]


async def test_a_killed_token_is_not_noticed_while_creating(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as (place, backend, _):
        assert backend.lab is not None
        await backend.lab.kill_access_token()
        place.selection.new_task()
        place.pages.composer.description.setPlainText("Unseen")
        place.pages.composer.submit()
        await until(lambda: place.pages.shows_detail, 10)
        assert "Unseen" in titles(place)


async def test_a_task_written_while_the_grant_is_gone_is_sent_after_signing_in(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path) as (place, backend, services):
        assert backend.lab is not None
        await backend.lab.revoke_grant()
        place.selection.new_task()
        place.pages.composer.description.setPlainText("Later")
        place.pages.composer.submit()
        await until(lambda: [p.state.value for p in place.outbox.pending] == ["waiting-sign-in"], 10)
        assert backend.scope is not None
        assert [item.state for item in await services.storage.outbox.list(backend.scope)] == ["waiting-sign-in"]
        await sign_in_with_ticket(backend.credential, await services.workspace.ticket())
        await until(lambda: not place.outbox.pending, 10)
        assert [t.title for t in (await backend.tasks.list(TaskQuery(search="Later"))).items] == ["Later"]
        assert await services.storage.outbox.list(backend.scope) == ()


async def test_an_answer_lost_after_the_server_took_the_task_is_found_by_looking(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path) as (place, backend, _):
        assert backend.lab is not None
        assert backend.project is not None
        path = f"/api/projects/{backend.project.id}/tasks/"
        await backend.lab.path_fault(path, method="POST", drop="after_commit", times=1)
        place.selection.new_task()
        place.pages.composer.description.setPlainText("Lost answer")
        place.pages.composer.submit()
        await until(lambda: [p.state.value for p in place.outbox.pending] == ["unknown"], 10)
        place.pages.unsent.check_list.emit()
        await until(lambda: "The server has it" in place.pages.unsent.card.text(), 10)


async def test_a_search_is_answered_by_the_server(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as (place, backend, _):
        some = (await backend.tasks.list()).items[-1]
        place.pane.filter.setText(some.title)
        await until(lambda: place.controller.cache.listing(place.controller.query) is not None, 10)
        await settle()
        assert some.title in titles(place)
