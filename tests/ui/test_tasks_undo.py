"""Deleting, archiving and renaming tasks: what a held key does, what is asked, what undo takes back."""

from __future__ import annotations

import asyncio

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from app.core.errors import Offline, ServerTrouble
from app.core.posthog.types import NewTask, Project
from tests.ui._tasks_fakes import FakeBackend, FakeTasks, settle, until
from tests.ui._tasks_place import TaskDesk, numbered, task_desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


async def test_holding_delete_deletes_one_task(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(14)) as desk:
        await desk.select("task:t3")
        desk.place.pane.table.setFocus()
        desk.hold(Qt.Key.Key_Delete, 30)
        await settle()
        assert desk.place.pane.undo.text == "“Task 3” deleted"
        assert not desk.place.pane.question.open
        assert desk.titles.count("Task 3") == 0
        assert len([title for title in desk.titles if title.startswith("Task ")]) == 13


async def test_from_the_second_deletion_on_the_person_is_asked_and_enter_is_not_yes(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(4)) as desk:
        question = desk.place.pane.question
        await desk.select("task:t1")
        desk.press(Qt.Key.Key_Delete)
        desk.press(Qt.Key.Key_Delete)
        assert question.text == "Delete “Task 2” too?"
        desk.hold(Qt.Key.Key_Return, 5, "\r")
        assert not question.open
        assert "Task 2" in desk.titles
        desk.press(Qt.Key.Key_Delete)
        question.yes.click()
        assert "Task 2" not in desk.titles
        assert desk.place.pane.undo.text == "2 tasks deleted"


async def test_the_question_is_about_the_task_that_it_names(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(4)) as desk:
        await desk.select("task:t1")
        desk.press(Qt.Key.Key_Delete)
        desk.press(Qt.Key.Key_Delete)
        await desk.select("task:t4")
        if desk.place.pane.question.open:
            desk.place.pane.question.yes.click()
            assert "Task 4" in desk.titles
            assert "Task 2" not in desk.titles


async def delete_three(desk: TaskDesk) -> None:
    for key in ("t1", "t2", "t3"):
        desk.place.controller.delete(key)
    await settle()


async def test_undo_brings_back_every_deletion_in_the_bar_and_the_server_hears_of_none(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(4)) as desk:
        await delete_three(desk)
        assert len(desk.services.storage.outbox.items) == 3
        desk.place.pane.undo.undo()
        await settle()
        assert [title for title in desk.titles if title.startswith("Task ")] == ["Task 1", "Task 2", "Task 3", "Task 4"]
        assert desk.tasks.called("delete") == []
        assert desk.services.storage.outbox.items == {}


async def test_deletions_are_sent_together_when_the_time_is_over(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(4)) as desk:
        await delete_three(desk)
        assert desk.tasks.called("delete") == []
        desk.place.pane.undo.settle()
        await until(lambda: set(desk.tasks.tasks) == {"t4"})
        await settle()
        assert desk.services.storage.outbox.items == {}


async def test_all_deletions_are_sent_before_the_app_ends(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(4)) as desk:
        await delete_three(desk)
        await desk.place.flush()
        assert set(desk.tasks.tasks) == {"t4"}
        assert not desk.place.pane.undo.open


async def test_another_project_keeps_the_deletions_for_the_next_time(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(4)) as desk:
        await delete_three(desk)
        other = FakeTasks()
        await desk.show(FakeBackend(other, project=Project(2)))
        assert not desk.place.pane.undo.open
        assert other.called("delete") == []
        await desk.show(FakeBackend(desk.tasks))
        await until(lambda: set(desk.tasks.tasks) == {"t4"})


async def test_one_undo_takes_back_changes_of_every_kind_the_latest_first(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(4)) as desk:
        controller, undo = desk.place.controller, desk.place.pane.undo
        controller.rename("t1", "First")
        controller.rename("t1", "Second")
        controller.archive("t2", True)
        controller.delete("t3")
        controller.pin("t4", True)
        await until(lambda: desk.tasks.tasks["t2"].archived and desk.tasks.tasks["t1"].title == "Second")
        assert undo.text == "“First” renamed, “Task 2” archived, “Task 3” deleted, “Task 4” pinned"
        undo.undo()
        await until(lambda: desk.tasks.tasks["t1"].title == "Task 1" and not desk.tasks.tasks["t2"].archived)
        await settle()
        assert [call[1] for call in desk.tasks.called("rename")] == ["First", "Second", "First", "Task 1"]
        assert desk.tasks.pins == set()
        assert desk.tasks.called("delete") == []
        assert not undo.open


async def test_an_undo_never_overtakes_the_change_that_it_undoes(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(2)) as desk:
        gate = desk.tasks.hold["archive"] = asyncio.Event()
        desk.place.controller.archive("t1", True)
        await until(lambda: "archive" in desk.tasks.waiting)
        desk.place.pane.undo.undo()
        await settle()
        assert desk.tasks.called("archive") == [("t1", True)]
        gate.set()
        await until(lambda: len(desk.tasks.called("archive")) == 2)
        await settle()
        assert not desk.tasks.tasks["t1"].archived
        assert "Task 1" in desk.titles


@pytest.mark.parametrize("kind", ["rename", "archive", "pin"])
async def test_a_change_that_failed_cannot_be_undone(qapp: QApplication, kind: str) -> None:
    async with task_desk(qapp, numbered(2)) as desk:
        controller = desk.place.controller
        desk.tasks.fail[kind] = ServerTrouble("The server answered 503.")
        {
            "rename": lambda: controller.rename("t1", "New"),
            "archive": lambda: controller.archive("t1", True),
            "pin": lambda: controller.pin("t1", True),
        }[kind]()
        assert desk.place.pane.undo.open
        await until(lambda: not desk.place.pane.undo.open)
        assert "Task 1" in desk.titles


async def test_the_undo_command_has_its_key_only_while_there_is_something_to_undo(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(2)) as desk:
        command = next(each for each in desk.place.commands() if each.id == "tasks.undo")
        assert command.keys == "Ctrl+Z"
        assert not command.enabled()
        desk.place.controller.archive("t1", True)
        assert command.enabled()
        command.run()
        await until(lambda: desk.tasks.called("archive")[-1:] == [("t1", False)])


async def test_an_unsent_task_that_was_discarded_becomes_a_draft_again_with_undo(qapp: QApplication) -> None:
    tasks = FakeTasks(numbered(2))
    async with task_desk(qapp, tasks) as desk:
        tasks.fail["create"] = Offline("No connection.")
        pending_id = desk.place.outbox.send(NewTask(description="Written on the train"))
        await until(lambda: desk.services.storage.outbox.states == ["waiting-connection"])
        await desk.select(f"pending:{pending_id}")
        desk.place.pages.unsent.discard.emit()
        assert desk.place.pane.undo.text == "Unsent “Written on the train” discarded"
        assert desk.place.pages.shows_detail
        desk.place.pane.undo.undo()
        assert desk.place.pages.composer.description.toPlainText() == "Written on the train"
        await settle()
        assert desk.services.storage.outbox.items == {}


async def test_delete_on_an_unsent_row_discards_it_and_a_second_one_is_asked_about(qapp: QApplication) -> None:
    class Unreachable(FakeTasks):
        async def _enter(self, name: str, *arguments: object) -> None:
            if name == "create":
                raise Offline("No connection.")
            await super()._enter(name, *arguments)

    async with task_desk(qapp, Unreachable(numbered(2))) as desk:
        outbox, pane = desk.place.outbox, desk.place.pane
        ids = [outbox.send(NewTask(description=words)) for words in ("First", "Second")]
        await until(lambda: desk.services.storage.outbox.states == ["waiting-connection"] * 2)
        for pending_id in ids:
            await desk.select(f"pending:{pending_id}")
            desk.press(Qt.Key.Key_Delete)
        assert pane.undo.text == "Unsent “First” discarded"
        assert pane.question.text == "Discard “Second” too?"
        pane.question.withdraw()
        assert [each.new.description for each in outbox.pending] == ["Second"]


async def test_several_rows_are_deleted_with_the_drafts_and_unsent_tasks_among_them(qapp: QApplication) -> None:
    tasks = FakeTasks(numbered(3))
    async with task_desk(qapp, tasks) as desk:
        tasks.fail["create"] = Offline("No connection.")
        desk.place.outbox.send(NewTask(description="Unsent"))
        await until(lambda: desk.services.storage.outbox.states == ["waiting-connection"])
        desk.place.selection.new_task()
        desk.place.pages.composer.description.setPlainText("Draft")
        desk.place.pages.composer.save_now()
        await until(lambda: "Draft" in desk.titles)
        desk.press(Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        await settle()
        desk.press(Qt.Key.Key_Delete)
        pane = desk.place.pane
        assert pane.question.text == "Delete 5 tasks, 2 of them not sent?"
        pane.question.yes.click()
        await settle()
        assert desk.titles == []
        pane.undo.undo()
        await until(lambda: {"Unsent", "Draft", "Task 1", "Task 2", "Task 3"} <= set(desk.titles))


async def test_several_drafts_are_discarded_together(qapp: QApplication) -> None:
    async with task_desk(qapp, FakeTasks(numbered(1))) as desk:
        for words in ("One", "Two"):
            desk.place.selection.new_task()
            desk.place.pages.composer.description.setPlainText(words)
            desk.place.pages.composer.save_now()
            await until(lambda words=words: words in desk.titles)  # type: ignore[misc]
        rows = desk.place.pane.table.rows
        keys = [line.key for line in rows.lines() if line.title in {"One", "Two"}]
        desk.place.selection.show_several(keys)
        assert desk.place.pages.several.delete_button.isEnabled()
        desk.press(Qt.Key.Key_Delete)
        assert desk.place.pane.question.text == "Discard 2 tasks that are not sent?"
        desk.place.pane.question.yes.click()
        await until(lambda: not {"One", "Two"} & set(desk.titles))
        assert desk.place.pages.shows_detail


async def test_holding_delete_on_the_page_of_a_task_deletes_that_one(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(6)) as desk:
        await desk.select("task:t2")
        desk.place.pages.detail.pin_button.setFocus()
        desk.hold(Qt.Key.Key_Delete, 10)
        await settle()
        assert desk.place.pane.undo.text == "“Task 2” deleted"
        assert not desk.place.pane.question.open


async def test_a_deletion_can_still_be_undone_by_a_person_who_closes_the_window_and_then_stays(
    qapp: QApplication,
) -> None:
    async with task_desk(qapp, numbered(3)) as desk:
        await desk.select("task:t1")
        desk.press(Qt.Key.Key_Delete)
        await desk.place.save_typed()
        assert desk.place.pane.undo.text == "“Task 1” deleted"
        desk.place.pane.undo.undo()
        await until(lambda: "Task 1" in desk.titles)
