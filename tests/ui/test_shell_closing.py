"""Closing the window loses nothing that was typed: it is saved first, and the user is asked if that fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QLabel, QWidget

from app.core.busy import Work, WorkKind
from app.core.errors import StorageTrouble
from app.core.storage import Draft, Scope
from app.core.storage.database import Database
from app.core.storage.storage import FILE_NAME
from app.ui.shell.closing import UnsavedText, words_of
from app.ui.shell.leave_dialog import LeaveDialog
from app.ui.shell.window import MainWindow
from tests.conftest import RunningWorkspace
from tests.ui._screens import nameless, render
from tests.ui._shell_fakes import FakeBackend, FakeServices
from tests.ui._tasks_fakes import settle, until
from tests.ui._window import living, sign_in_before
from tests.ui.test_shell import button, opened, place, press

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support|propagateSizeHints", extend=True)

FULL = StorageTrouble("The disk is full: burrow.sqlite3 could not be written.", action="Free some disk space.")
TYPED = Draft("task", "new", {"title": "A title", "description": "Half a thought\nthat must not be lost"}, 0.0)

WORKS = (
    Work(WorkKind.CALL, "search_docs on Linear", "It is broken off; the server may have done it already."),
    Work(WorkKind.SENDING, "Task “Fix the \u202eparser”", "It is sent again at the next start."),
)


def words_in(root: QWidget) -> list[str]:
    return [label.text() for label in root.findChildren(QLabel)]


def dialog_of(window: MainWindow) -> LeaveDialog:
    assert window.leaving is not None
    assert window.leaving.dialog is not None
    return window.leaving.dialog


async def asked(window: MainWindow, services: FakeServices) -> LeaveDialog:
    services.storage.drafts.unsaved, services.storage.drafts.fail = (TYPED,), FULL
    window.close()
    await until(lambda: window.leaving is not None and window.leaving.dialog is not None)
    assert window.isVisible()
    return dialog_of(window)


async def test_a_window_with_nothing_unsaved_closes_at_once() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        assert window.close()
        assert not window.isVisible()


async def test_what_could_not_be_saved_is_asked_about_and_staying_is_the_default() -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:
        dialog = await asked(window, services)
        assert dialog.stay_button.isDefault()
        assert dialog.focusWidget() is dialog.stay_button
        assert nameless(dialog) == []
        dialog.stay_button.click()
        await settle()
        assert window.isVisible()
        # Asked again the next time, and not a second time at once.
        again = await asked(window, services)
        window.close()
        await settle()
        assert dialog_of(window) is again
        again.reject()


async def test_the_text_can_be_copied_and_the_window_closed_all_the_same() -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:
        dialog = await asked(window, services)
        dialog.copy_button.click()
        assert QGuiApplication.clipboard().text() == "A title\nHalf a thought\nthat must not be lost"
        assert window.isVisible()
        dialog.close_button.click()
        await until(lambda: not window.isVisible())


async def test_text_that_a_place_stores_nowhere_is_asked_about_shown_and_copied() -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:
        place(window).typed = "https://mcp.example\nHalf an address"
        window.close()
        await until(lambda: window.leaving is not None and window.leaving.dialog is not None)
        dialog = dialog_of(window)
        assert window.isVisible()
        assert "Half an address" in dialog.preview.toPlainText()
        dialog.copy_button.click()
        assert "Half an address" in QGuiApplication.clipboard().text()
        dialog.close_button.click()
        await until(lambda: not window.isVisible())


async def test_the_text_of_a_place_is_copied_together_with_the_drafts_that_a_full_disk_refused() -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:
        place(window).typed = "Half an address"
        dialog = await asked(window, services)
        assert "Half an address" in dialog.text
        assert "Half a thought" in dialog.text
        dialog.reject()
        await settle()
        assert window.isVisible()


async def test_a_window_closes_by_itself_once_everything_is_saved() -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:
        services.storage.drafts.unsaved = (TYPED,)
        window.close()
        await until(lambda: not window.isVisible())
        assert not services.storage.drafts.unsaved


async def test_work_under_way_is_listed_as_it_changes_and_quitting_is_asked_about() -> None:
    services = FakeServices(FakeBackend())
    works = list(WORKS)
    services.busy.register(lambda: works)
    async with opened(services) as window:
        press(window, Qt.Key.Key_Q, Qt.KeyboardModifier.ControlModifier)
        await until(lambda: window.leaving is not None and window.leaving.dialog is not None)
        dialog = dialog_of(window)
        assert nameless(dialog) == []
        assert dialog.focusWidget() is dialog.stay_button
        assert not dialog.copy_button.isVisible()
        shown = words_in(dialog.works)
        assert "search_docs on Linear" in shown
        # What would turn the line around is shown as a mark.
        assert "Task “Fix the ‹U+202E›parser”" in shown
        works.pop(0)
        services.busy.changed.emit(None)
        await until(lambda: "search_docs on Linear" not in words_in(dialog.works))
        works.clear()
        services.busy.changed.emit(None)
        await until(lambda: not dialog.works.isVisible())
        assert dialog.close_button.text() == "Quit"
        assert not dialog.wait_button.isVisible()
        assert window.isVisible()
        dialog.reject()
        await settle()
        assert window.isVisible()
        # Nothing is in the way now.
        window.leave()
        assert not window.isVisible()


async def test_burrow_quits_when_the_work_is_done_if_that_is_wanted() -> None:
    services = FakeServices(FakeBackend())
    works = list(WORKS)
    services.busy.register(lambda: works)
    async with opened(services) as window:
        ends: list[None] = []
        window.left.connect(lambda: ends.append(None))
        window.leave()
        await until(lambda: window.leaving is not None and window.leaving.dialog is not None)
        assert window.leaving is not None
        dialog_of(window).wait_button.click()
        await until(lambda: window.leaving is not None and window.leaving.waiting)
        bar = window.leaving.bar
        assert bar is not None
        assert bar.text() == "Burrow quits when this is done: 2 things under way."
        button(bar, "Stay").click()
        await settle()
        works.pop()
        services.busy.changed.emit(None)
        await settle()
        assert not window.leaving.waiting
        window.leave()
        await until(lambda: window.leaving is not None and window.leaving.dialog is not None)
        dialog_of(window).wait_button.click()
        await until(lambda: window.leaving is not None and window.leaving.waiting)
        assert window.isVisible()
        works.clear()
        services.busy.changed.emit(None)
        await until(lambda: not window.isVisible())
        assert ends == [None]


async def test_a_title_bar_that_hides_the_window_does_not_end_burrow() -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:

        def hides() -> bool:
            window.hide()
            return True

        assert window.leaving is not None
        window.leaving.hides = hides
        ends: list[None] = []
        window.left.connect(lambda: ends.append(None))
        window.close()
        assert not window.isVisible()
        assert ends == []
        # A question brings it back.
        works = list(WORKS)
        services.busy.register(lambda: works)
        window.leave()
        await until(lambda: window.leaving is not None and window.leaving.dialog is not None)
        assert window.isVisible()
        dialog_of(window).close_button.click()
        await until(lambda: not window.isVisible())
        assert ends == [None]


async def test_what_was_set_aside_at_the_start_is_said_until_it_is_closed() -> None:
    services = FakeServices(FakeBackend())
    services.storage.notice = "The database was damaged. It was kept as burrow.set-aside.sqlite3."
    async with opened(services) as window:
        from app.ui.widgets.feedback import Banner

        banner = next(each for each in window.findChildren(Banner) if each.isVisible())
        assert "burrow.set-aside.sqlite3" in banner.text()


async def test_a_real_draft_on_a_disk_that_takes_nothing_is_asked_about_and_saved_when_it_does(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "app"
    await sign_in_before(folder, workspace)
    async with living(qapp, folder, running=workspace, opens=("LeaveDialog",)) as alive:
        alive.tasks.selection.new_task()
        alive.tasks.pages.composer.description.setPlainText("Half a thought")
        with monkeypatch.context() as full:

            def refuse(*_arguments: object, **_named: object) -> None:
                raise FULL

            full.setattr(Database, "write", refuse)
            alive.window.close()
            await until(lambda: alive.window.leaving is not None and alive.window.leaving.dialog is not None, 10)
            assert alive.window.isVisible()
            assert alive.tasks.pages.composer.description.toPlainText() == "Half a thought"
            dialog = dialog_of(alive.window)
            assert "Half a thought" in dialog.text
            dialog.reject()
        alive.window.close()
        await until(lambda: not alive.window.isVisible(), 10)
        scope = alive.backend.scope
        assert isinstance(scope, Scope)
        kept = await asyncio.to_thread(Database(folder / FILE_NAME).read, "SELECT fields FROM drafts")
        assert "Half a thought" in kept[0][0]


def test_the_question_in_every_look(qapp: QApplication, tmp_path: Path) -> None:
    pictures = render(
        lambda: LeaveDialog(UnsavedText((words_of(TYPED),), FULL.cause), WORKS, None),
        "closing",
        tmp_path,
        size=(460, 420),
    )
    assert all(picture.stat().st_size > 0 for picture in pictures)
