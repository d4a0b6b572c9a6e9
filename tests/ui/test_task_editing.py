"""Editing a task: what is half typed stays until it is saved or given up, and overwrites nobody else's change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton, QWidget

from app.core.errors import Offline, ServerTrouble
from app.core.storage import Storage
from app.ui.bridge import Bridge
from app.ui.context import Context
from app.ui.tasks.detail import TaskPage
from app.ui.tasks.place import TasksPlace
from app.ui.tasks.task_editor import TaskEditor
from app.ui.theme import apply_theme
from tests.ui._screens import nameless
from tests.ui._tasks_fakes import ANA, BEN, FakeBackend, FakeNavigator, FakeServices, FakeTasks, settle, task, until
from tests.ui.transcript._conversation import RecordedRuns

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

CONTROL = Qt.KeyboardModifier.ControlModifier


class Window:
    """The Tasks place of one window, on a storage of its own."""

    def __init__(self, place: TasksPlace, tasks: FakeTasks, storage: Storage) -> None:
        self.place, self.tasks, self.storage = place, tasks, storage

    @property
    def page(self) -> TaskPage:
        return self.place.pages.detail

    @property
    def editor(self) -> TaskEditor:
        return self.page.editor

    async def select(self, task_id: str) -> None:
        self.place.pane.show_now()
        assert self.place.pane.table.select_key(f"task:{task_id}")
        await settle()

    def type(self, name: str, text: str) -> None:
        field = self.editor.rows[name].input
        if name == "description":
            field.setPlainText(text)  # type: ignore[union-attr]
        elif name == "repository":
            field.setEditText(text)  # type: ignore[union-attr]
        else:
            field.setText(text)  # type: ignore[union-attr]


Opens = Callable[..., Any]


def server() -> FakeTasks:
    return FakeTasks(
        [task(1, "First", description="What it was", repository="acme/web"), task(2, "Second", description="Other")]
    )


@pytest.fixture
def opens(qapp: QApplication, tmp_path: Path) -> Opens:
    @asynccontextmanager
    async def make(tasks: FakeTasks | None = None) -> AsyncIterator[Window]:
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
        tasks = tasks or server()
        place.set_backend(FakeBackend(tasks))  # type: ignore[arg-type]
        await until(lambda: not place.controller.load.busy)
        await asyncio.sleep(0.05)
        await settle()
        yield Window(place, tasks, storage)
        await place.flush()
        await bridge.close()
        await storage.close()
        place.close()
        place.deleteLater()
        await settle()
        assert crashes == []

    return make


def button(root: QWidget, words: str) -> QPushButton:
    return next(each for each in root.findChildren(QPushButton) if each.text() == words and each.isVisibleTo(root))


async def test_a_rename_stays_half_typed_when_the_focus_goes_elsewhere_and_another_task_is_shown(opens: Opens) -> None:
    async with opens() as window:
        await window.select("t1")
        window.page.begin_rename()
        QTest.keyClicks(window.page.edit, "Half a na")
        window.place.pane.filter.setFocus()
        await settle()
        assert window.page.edit.isVisible()
        assert window.page.edit.text() == "Half a na"
        assert button(window.editor, "Save").isEnabled()
        await window.select("t2")
        assert not window.page.edit.isVisible()
        await window.select("t1")
        assert window.page.edit.text() == "Half a na"
        assert window.tasks.called("rename") == []
        button(window.editor, "Save").click()
        await until(lambda: window.tasks.tasks["t1"].title == "Half a na")
        await settle()
        assert not window.page.edit.isVisible()
        assert await window.storage.drafts.list(ANA) == ()


async def test_what_is_half_typed_is_there_after_a_restart(opens: Opens) -> None:
    async with opens() as window:
        await window.select("t1")
        window.page.begin_edit()
        window.type("description", "Half a thought")
        assert window.place.unsaved
        await window.place.flush()
        assert not window.place.unsaved
    async with opens() as window:
        await window.select("t1")
        await until(window.editor.texts)
        assert window.editor.texts() == {"title": "First", "description": "Half a thought", "repository": "acme/web"}


async def test_another_account_does_not_see_what_is_half_typed(opens: Opens) -> None:
    async with opens() as window:
        await window.select("t1")
        window.page.begin_rename()
        window.type("title", "Ana's")
        window.place.set_backend(FakeBackend(server(), scope=BEN))  # type: ignore[arg-type]
        await until(lambda: window.place.pane.table.rows.place("task:t1") >= 0)
        await window.select("t1")
        assert not window.editor.isVisible()
        window.place.set_backend(FakeBackend(window.tasks))  # type: ignore[arg-type]
        await asyncio.sleep(0.1)
        await window.select("t1")
        await until(lambda: window.editor.isVisible())
        assert window.page.edit.text() == "Ana's"


async def test_description_and_repository_are_changed_on_the_server_with_the_words_shown_at_once(opens: Opens) -> None:
    async with opens() as window:
        await window.select("t1")
        window.tasks.hold["edit"] = asyncio.Event()
        QTest.keyClick(window.page, Qt.Key.Key_E, CONTROL)
        window.page.begin_edit()
        window.type("description", "What it is now")
        window.type("repository", "Acme/Shop")
        QTest.keyClick(window.editor.rows["description"].input, Qt.Key.Key_Return, CONTROL)
        await until(lambda: "edit" in window.tasks.waiting)
        shown = window.place.controller.cache.get("t1")
        assert shown is not None
        assert (shown.description, shown.repository) == ("What it is now", "acme/shop")
        assert not window.editor.isVisible()
        window.tasks.hold["edit"].set()
        await until(lambda: window.tasks.tasks["t1"].description == "What it is now")
        # Only what was changed is sent.
        assert window.tasks.called("edit") == [
            ("t1", {"description": "What it is now", "repository": "Acme/Shop"}),
        ]


async def test_an_edit_that_was_refused_comes_back_with_its_text(opens: Opens) -> None:
    async with opens() as window:
        await window.select("t1")
        window.tasks.fail["edit"] = ServerTrouble("The server answered 503.")
        window.page.begin_edit()
        window.type("description", "Mine")
        button(window.editor, "Save").click()
        await until(lambda: window.page.card.isVisible())
        assert "503" in window.page.card.text()
        assert window.editor.texts()["description"] == "Mine"
        button(window.editor, "Save").click()
        await until(lambda: window.tasks.tasks["t1"].description == "Mine")


async def test_an_edit_without_a_connection_is_kept(opens: Opens) -> None:
    async with opens() as window:
        await window.select("t1")
        window.tasks.fail["edit"] = Offline("No connection.")
        window.page.begin_edit()
        window.type("description", "Mine")
        button(window.editor, "Save").click()
        await until(lambda: window.page.card.isVisible())
        await window.place.flush()
        assert [draft.fields["description"] for draft in await window.storage.drafts.list(ANA)] == ["Mine"]


async def test_what_somebody_else_changed_meanwhile_is_said_and_not_overwritten_unasked(opens: Opens) -> None:
    async with opens() as window:
        await window.select("t1")
        window.page.begin_edit()
        window.type("description", "Mine")
        window.tasks.tasks["t1"] = replace(window.tasks.tasks["t1"], description="Theirs")
        button(window.editor, "Save").click()
        await until(lambda: window.editor.card.isVisible())
        await until(lambda: window.page._description.text == "Theirs")
        assert window.tasks.tasks["t1"].description == "Theirs"
        assert window.editor.texts()["description"] == "Mine"
        assert window.page._description.isVisible()
        # Both were seen: the next Save is a decision.
        button(window.editor, "Save").click()
        await until(lambda: window.tasks.tasks["t1"].description == "Mine")


async def test_a_change_of_somebody_else_is_said_as_soon_as_it_is_known(opens: Opens) -> None:
    async with opens() as window:
        await window.select("t1")
        window.page.begin_rename()
        window.type("title", "Mine")
        window.tasks.tasks["t1"] = replace(window.tasks.tasks["t1"], title="Theirs")
        window.place.refresh()
        await until(lambda: window.editor.card.isVisible())
        assert window.page.title.text() == "Theirs"
        assert window.page.title.isVisible()
        assert window.page.edit.text() == "Mine"
        button(window.editor, "Cancel").click()
        await settle()
        assert window.tasks.tasks["t1"].title == "Theirs"


async def test_a_change_of_another_field_does_not_stand_in_the_way(opens: Opens) -> None:
    async with opens() as window:
        await window.select("t1")
        window.page.begin_edit()
        window.type("description", "Mine")
        window.tasks.tasks["t1"] = replace(window.tasks.tasks["t1"], title="Theirs")
        button(window.editor, "Save").click()
        await until(lambda: window.tasks.tasks["t1"].description == "Mine")
        assert window.tasks.tasks["t1"].title == "Theirs"


async def test_what_is_typed_into_a_task_that_somebody_deletes_becomes_a_draft(opens: Opens) -> None:
    async with opens() as window:
        await window.select("t1")
        window.page.begin_edit()
        window.type("description", "Mine")
        del window.tasks.tasks["t1"]
        window.place.refresh()
        await until(lambda: window.place.drafts.all)
        [draft] = window.place.drafts.all
        assert draft.fields == {"title": "First", "description": "Mine", "repository": "acme/web"}
        assert [each.kind for each in await window.storage.drafts.list(ANA)] == ["task"]


async def test_cancel_gives_up_and_undo_brings_the_text_back(opens: Opens) -> None:
    async with opens() as window:
        await window.select("t1")
        window.page.begin_edit()
        window.type("description", "Mine")
        QTest.keyClick(window.editor.rows["description"].input, Qt.Key.Key_Escape)
        assert not window.editor.isVisible()
        assert window.place.pane.undo.text == "Changes of “First” discarded"
        window.place.pane.undo.undo()
        assert window.editor.texts()["description"] == "Mine"


async def test_what_was_typed_is_stored_until_giving_it_up_cannot_be_undone(opens: Opens) -> None:
    async with opens() as window:
        await window.select("t1")
        window.page.begin_edit()
        window.type("description", "Mine")
        QTest.keyClick(window.editor.rows["description"].input, Qt.Key.Key_Escape)
        await window.place.edits.flush()
        await until(lambda: not window.storage.drafts.unsaved)
        assert [each.fields["description"] for each in await window.storage.drafts.list(ANA)] == ["Mine"]
        window.place.pane.undo.settle()
        await window.place.edits.flush()
        assert await window.storage.drafts.list(ANA) == ()


async def test_undo_keeps_what_was_typed_into_the_task_since_then(opens: Opens) -> None:
    async with opens() as window:
        await window.select("t1")
        for words in ("First", "Second"):
            window.page.begin_edit()
            window.type("description", words)
            if words == "First":
                QTest.keyClick(window.editor.rows["description"].input, Qt.Key.Key_Escape)
        window.place.pane.undo.undo()
        assert window.editor.texts()["description"] == "First"
        await until(lambda: [each.fields["description"] for each in window.place.drafts.all] == ["Second"])


async def test_escape_returns_to_the_list_that_f2_was_pressed_in(opens: Opens) -> None:
    async with opens() as window:
        await window.select("t1")
        table = window.place.pane.table
        table.setFocus()
        QTest.keyClick(table, Qt.Key.Key_F2)
        assert QApplication.focusWidget() is window.page.edit
        QTest.keyClick(window.page.edit, Qt.Key.Key_Escape)
        assert QApplication.focusWidget() is table


@pytest.mark.parametrize("length", [256, 40_000])
async def test_a_title_that_is_too_long_cannot_be_saved_and_is_not_cut(opens: Opens, length: int) -> None:
    async with opens() as window:
        await window.select("t1")
        window.page.begin_rename()
        window.type("title", "t" * length)
        assert not button(window.editor, "Save").isEnabled()
        QTest.keyClick(window.page.edit, Qt.Key.Key_Return)
        assert window.page.edit.text() == "t" * length
        assert window.tasks.called("rename") == []
        button(window.editor, "Move it to the description").click()
        window.type("title", "Short")
        assert window.editor.texts()["description"] == "t" * length + "\n\nWhat it was"
        button(window.editor, "Save").click()
        await until(lambda: window.tasks.tasks["t1"].title == "Short")
        assert window.tasks.tasks["t1"].description == "t" * length + "\n\nWhat it was"


async def test_two_windows_that_edit_one_task_keep_both_texts_and_the_next_one_shows_both(opens: Opens) -> None:
    tasks = server()
    async with opens(tasks) as first, opens(tasks) as second:
        for window, words in ((first, "One's"), (second, "Two's")):
            await window.select("t1")
            window.page.begin_edit()
            window.type("description", words)
            await window.place.flush()
        found = {draft.fields["description"] for draft in await first.storage.drafts.list(ANA)}
        assert found == {"One's", "Two's"}
    async with opens(tasks) as next_one:
        await next_one.select("t1")
        assert next_one.page.editor.texts()["description"] == "Two's"
        await until(lambda: [each.fields["description"] for each in next_one.place.drafts.all] == ["One's"])
        found = {draft.fields["description"] for draft in await next_one.storage.drafts.list(ANA)}
        assert found == {"One's", "Two's"}


async def test_everything_in_the_editor_has_a_name(opens: Opens) -> None:
    async with opens() as window:
        await window.select("t1")
        window.page.begin_edit()
        assert nameless(window.place) == []
