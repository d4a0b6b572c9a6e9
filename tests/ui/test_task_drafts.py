"""Drafts of tasks: several in one window, and two windows on one data folder that keep out of each other's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton, QWidget

from app.core.posthog.run_options import RunOptions
from app.core.storage import Storage
from app.ui.bridge import Bridge
from app.ui.context import Context
from app.ui.tasks.composer import Composer
from app.ui.tasks.place import TasksPlace
from app.ui.tasks.run_sources import value_of
from app.ui.theme import apply_theme
from tests.ui._screens import nameless
from tests.ui._tasks_fakes import ANA, FakeBackend, FakeNavigator, FakeServices, FakeTasks, settle, task, until
from tests.ui.transcript._conversation import RecordedRuns

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


class Window:
    """The Tasks place of one window, on a storage of its own."""

    def __init__(self, place: TasksPlace, storage: Storage, navigator: FakeNavigator) -> None:
        self.place, self.storage, self.navigator = place, storage, navigator

    @property
    def composer(self) -> Composer:
        return self.place.pages.composer

    @property
    def titles(self) -> list[str]:
        self.place.pane.show_now()
        return [line.title for line in self.place.pane.table.rows.lines()]

    @property
    def shown(self) -> QWidget | None:
        return self.place.pages.currentWidget()

    async def new(self, words: str) -> None:
        self.place.selection.new_task()
        self.composer.description.setPlainText(words)
        await self.save()

    async def save(self) -> None:
        job = self.composer.save_now()
        if job is not None:
            await job.wait()
        await self.look()

    async def look(self) -> None:
        self.place.drafts.refresh()
        await asyncio.sleep(0.05)
        await settle()

    async def pick(self, title: str) -> None:
        self.place.pane.show_now()
        key = next(line.key for line in self.place.pane.table.rows.lines() if line.title == title)
        self.place.pane.table.setFocus()
        assert self.place.pane.table.select_key(key)
        await asyncio.sleep(0.05)
        await settle()

    async def stored(self) -> list[str]:
        return sorted(draft.fields["description"] for draft in await self.storage.drafts.list(ANA, "task"))


Opens = Callable[..., Any]


@pytest.fixture
def opens(qapp: QApplication, tmp_path: Path) -> Opens:
    @asynccontextmanager
    async def make(tasks: FakeTasks | None = None) -> AsyncIterator[Window]:
        apply_theme(qapp, "light", 1.0)
        bridge, services, navigator = Bridge(), FakeServices(), FakeNavigator()
        crashes: list[BaseException] = []
        bridge.crashed.connect(crashes.append)
        storage = Storage.open(tmp_path)
        services.storage = storage  # type: ignore[assignment]
        context = Context(services, bridge, navigator)  # type: ignore[arg-type]
        place = TasksPlace(context, open_conversation=RecordedRuns())
        place.resize(1000, 700)
        place.show()
        place.activateWindow()
        place.set_backend(FakeBackend(tasks))  # type: ignore[arg-type]
        await until(lambda: not place.controller.load.busy)
        await settle()
        window = Window(place, storage, navigator)
        yield window
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


async def test_two_windows_write_two_drafts_and_each_sees_that_of_the_other_as_open_there(opens: Opens) -> None:
    async with opens() as first, opens() as second:
        await first.new("Typed in the first window")
        await second.new("Typed in the second window")
        first.composer.description.appendPlainText("and more")
        await first.save()
        second.composer.description.appendPlainText("and more")
        await second.save()
        assert await first.stored() == ["Typed in the first window\nand more", "Typed in the second window\nand more"]
        await first.look()
        assert first.titles == [
            "Drafts",
            "Typed in the first window",
            "Typed in the second window",
        ] or first.titles == [
            "Drafts",
            "Typed in the second window",
            "Typed in the first window",
        ]
        rows = {line.title: line.spoken() for line in first.place.pane.table.rows.lines()}
        assert "Open in another window" in rows["Typed in the second window"]
        assert "Open in another window" not in rows["Typed in the first window"]


async def test_a_draft_has_what_was_chosen_for_its_run_when_it_is_opened_again(opens: Opens) -> None:
    chosen = RunOptions("codex", "gpt", "", "plan", "release")
    async with opens() as window:
        await window.new("Runs as usual")
        composer = window.composer
        composer.run_box.button.click()
        assert composer.run_box.text() == ""
        composer.begin()
        composer.run_box.button.click()
        form = composer.run_box.form
        assert form is not None
        form._choose_model(value_of("codex", "gpt"))
        form.mode.setCurrentIndex(form.mode.findData("plan"))
        form.mode.activated.emit(form.mode.currentIndex())
        form.branch.set_value("release")
        form.branch.chosen.emit("release")
        await window.save()
        # By itself it is no draft.
        assert window.titles == ["Drafts", "Runs as usual"]
        composer.description.setPlainText("Runs with another model")
        await window.save()
        await window.pick("Runs as usual")
        await until(lambda: composer.description.toPlainText() == "Runs as usual")
        assert (composer.run_options, composer.run_box.isHidden()) == (None, True)
    async with opens() as window:
        await window.pick("Runs with another model")
        await until(lambda: window.composer.description.toPlainText() == "Runs with another model")
        assert window.composer.run_options == chosen
        assert not window.composer.draft.dirty
        window.composer.run_box.button.click()
        await window.save()
    async with opens() as window:
        await window.pick("Runs with another model")
        await until(lambda: window.composer.description.toPlainText() == "Runs with another model")
        assert window.composer.run_options is None


async def test_a_draft_that_is_open_elsewhere_can_only_be_copied(opens: Opens) -> None:
    async with opens() as first, opens() as second:
        await first.new("Being written")
        await second.look()
        await second.pick("Being written")
        assert second.shown is second.place.pages.nothing
        QTest.keyClick(second.place.pane.table, Qt.Key.Key_Delete)
        await settle()
        assert await first.stored() == ["Being written"]
        assert second.navigator.words == ["The draft is open in another window"]
        button(second.place.pages.nothing, "Open a copy").click()
        second.composer.description.appendPlainText("differently")
        await second.save()
        assert first.composer.description.toPlainText() == "Being written"
        assert await first.stored() == ["Being written", "Being written\ndifferently"]


async def test_what_a_window_left_behind_is_opened_in_the_next_one(opens: Opens) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(opens())
        await first.new("Left behind")
    async with opens() as second:
        await second.look()
        assert second.titles == ["Drafts", "Left behind"]
        # A new task does not take it, and what is typed there stands beside it.
        await second.new("Another one")
        assert await second.stored() == ["Another one", "Left behind"]
        await second.pick("Left behind")
        assert second.composer.description.toPlainText() == "Left behind"
        second.composer.description.appendPlainText("and found")
        await second.save()
        assert await second.stored() == ["Another one", "Left behind\nand found"]


async def test_the_draft_of_an_earlier_version_is_opened_from_the_list(opens: Opens, tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    await storage.drafts.save(ANA, "task", "new", {"title": "", "description": "Of an earlier version"})
    await storage.close()
    async with opens() as window:
        await window.look()
        await window.pick("Of an earlier version")
        assert window.shown is window.composer
        assert window.composer.description.toPlainText() == "Of an earlier version"


async def test_the_row_of_the_open_draft_is_selected_as_soon_as_there_is_one(opens: Opens) -> None:
    async with opens(FakeTasks([task(1)])) as window:
        window.place.selection.new_task()
        await settle()
        assert window.place.pane.table.current_key() is None
        window.composer.description.setPlainText("First words")
        await window.save()
        row = window.place.pane.table.rows.row(window.place.pane.table.current_key())
        assert row.title == "First words"


async def test_delete_discards_the_draft_of_the_row_and_undo_brings_it_back(opens: Opens) -> None:
    async with opens(FakeTasks([task(1)])) as window:
        await window.new("One")
        await window.new("Two")
        await window.pick("One")
        QTest.keyClick(window.place.pane.table, Qt.Key.Key_Delete)
        await until(lambda: "One" not in window.titles)
        assert window.shown is window.composer
        window.place.pane.undo.undo()
        await until(lambda: "One" in window.titles)
        assert await window.stored() == ["One", "Two"]


async def test_undo_brings_back_every_draft_that_was_discarded_and_the_second_is_asked_about(opens: Opens) -> None:
    async with opens() as window:
        pane = window.place.pane
        for words in ("One", "Two", "Three"):
            await window.new(words)
        for words in ("One", "Two"):
            await window.pick(words)
            QTest.keyClick(pane.table, Qt.Key.Key_Delete)
        assert pane.question.text == "Discard “Two” too?"
        pane.question.yes.click()
        await until(lambda: "Two" not in window.titles)
        assert "Three" in window.titles
        assert pane.undo.text == "2 drafts discarded"
        pane.undo.undo()
        await until(lambda: {"One", "Two", "Three"} <= set(window.titles))
        assert await window.stored() == ["One", "Three", "Two"]


async def test_a_yes_discards_the_draft_that_the_question_names_although_another_one_is_open(opens: Opens) -> None:
    async with opens() as window:
        pane = window.place.pane
        for words in ("One", "Two", "Three"):
            await window.new(words)
        await window.pick("One")
        QTest.keyClick(pane.table, Qt.Key.Key_Delete)
        await window.pick("Two")
        button(window.composer, "Discard draft").click()
        assert pane.question.text == "Discard “Two” too?"
        await window.pick("Three")
        pane.question.yes.click()
        await until(lambda: "Two" not in window.titles)
        assert "Three" in window.titles
        assert window.composer.description.toPlainText() == "Three"


async def test_a_draft_that_is_discarded_before_it_was_read_is_discarded_whole(opens: Opens) -> None:
    async with opens() as window:
        await window.new("One")
        await window.new("Two")
        draft = next(each for each in window.place.drafts.all if each.fields["description"] == "One")
        await window.pick("One")
        window.composer.open_draft(draft)
        QTest.keyClick(window.place.pane.table, Qt.Key.Key_Delete)
        await window.look()
        assert "One" not in window.titles
        assert window.composer.empty
        window.place.pane.undo.undo()
        await window.look()
        assert window.composer.description.toPlainText() == "One"


async def test_what_is_typed_while_a_draft_is_being_read_becomes_a_draft_of_its_own(opens: Opens) -> None:
    async with opens() as window:
        await window.new("Stored")
        await window.new("Two")
        draft = next(each for each in window.place.drafts.all if each.fields["description"] == "Stored")
        window.composer.open_draft(draft)
        window.composer.description.setPlainText("Typed at once")
        await asyncio.sleep(0.05)
        await window.save()
        assert await window.stored() == ["Stored", "Two", "Typed at once"]


async def test_what_is_typed_without_an_account_is_asked_about_and_kept_for_the_one_that_signs_in(opens: Opens) -> None:
    async with opens() as window:
        backend = window.place.backend
        window.place.set_backend(None)
        window.place.pages.turn_to(window.composer)
        window.composer.description.setPlainText("Typed before signing in")
        assert window.place.unsaved
        assert window.place.unsaved_text() == "Typed before signing in"
        window.place.set_backend(backend)
        await window.save()
        assert window.composer.description.toPlainText() == "Typed before signing in"
        assert await window.stored() == ["Typed before signing in"]
        assert not window.place.unsaved


async def test_the_new_rows_and_pages_have_names(opens: Opens) -> None:
    async with opens() as first, opens() as second:
        await first.new("Being written")
        await second.look()
        await second.pick("Being written")
        assert nameless(second.place) == []
