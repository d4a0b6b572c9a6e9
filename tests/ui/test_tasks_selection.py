"""One selection: the task that is open is the row that is highlighted and the one that is acted on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.core.errors import Offline, ServerTrouble
from app.core.posthog.types import NewTask
from app.ui.tasks import pages
from app.ui.tasks.rows import TASK, Grouping, draft_of_key
from app.ui.widgets.rows import Heading, Row
from tests.ui._tasks_fakes import FakeBackend, FakeTasks, settle, task, until
from tests.ui._tasks_place import TaskDesk, numbered, task_desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
PLAIN = Qt.KeyboardModifier.NoModifier


def check_one_selection(desk: TaskDesk) -> None:
    """What is acted on is what is shown, and what is highlighted is that as far as the list has it."""
    place = desk.place
    table, pages, selection = place.pane.table, place.pages, place.selection
    rows = table.rows
    shown = selection.shown
    highlighted = table.selected_keys()
    assert set(highlighted) == {key for key in shown if rows.place(key) >= 0}
    acted_on = tuple(TASK + task_id for task_id in selection.task_ids)
    assert acted_on == tuple(key for key in shown if key.startswith(TASK))
    if pages.shows_detail:
        assert shown == (TASK + str(pages.detail.task_id),)
        found = place.controller.cache.get(str(pages.detail.task_id))
        assert found is None or pages.detail.title.text() == found.title
    if pages.currentWidget() is pages.nothing:
        assert highlighted == ()
    if pages.shows_composer:
        assert [found[0] for key in highlighted if (found := draft_of_key(key))] in ([], [pages.composer.draft.id])
        assert all(draft_of_key(key) for key in highlighted)
    current = rows.line(table.currentIndex().row())
    # The cursor is on what is highlighted, on a heading, or nowhere.
    assert current is None or isinstance(current, Heading) or current.key in highlighted
    if pages.shows_several:
        assert len(highlighted) > 1
        assert pages.several.title.text() == f"{len(highlighted)} tasks selected"


def deleted_by_the_key(desk: TaskDesk) -> None:
    """Press Delete in the list and say yes: exactly the highlighted tasks go."""
    highlighted = set(desk.place.pane.table.selected_keys())
    before = {task.id for task in desk.place.controller.cache.all()}
    desk.press(Qt.Key.Key_Delete)
    if desk.place.pane.question.open:
        desk.place.pane.question.yes.click()
    after = {task.id for task in desk.place.controller.cache.all()}
    assert {TASK + task_id for task_id in before - after} == {key for key in highlighted if key.startswith(TASK)}


def steps(desk: TaskDesk, chance: random.Random) -> list[Callable[[], object]]:
    """What a person and a server can do, one of which is done next."""
    place = desk.place
    pane, pages = place.pane, place.pages
    rows = [line for line in pane.table.rows.lines() if isinstance(line, Row)]
    headings = [line for line in pane.table.rows.lines() if isinstance(line, Heading)]

    def click(modifier: Qt.KeyboardModifier) -> None:
        if rows:
            index = pane.table.rows.index(pane.table.rows.place(chance.choice(rows).key), 0)
            pane.table.scrollTo(index)
            QTest.mouseClick(
                pane.table.viewport(), Qt.MouseButton.LeftButton, modifier, pane.table.visualRect(index).center()
            )

    def fold() -> None:
        if headings:
            heading = chance.choice(headings)
            pane.table.fold(heading.key, not heading.folded)

    def arrive() -> None:
        number = chance.randrange(100, 1_000)
        desk.tasks.tasks[f"t{number}"] = task(number, f"Task {number}", chance.choice([None, "in_progress", "failed"]))
        place.refresh()

    def vanish() -> None:
        if desk.tasks.tasks:
            del desk.tasks.tasks[chance.choice(sorted(desk.tasks.tasks))]
        place.refresh()

    def key(pressed: Qt.Key, modifiers: Qt.KeyboardModifier = PLAIN) -> Callable[[], None]:
        return lambda: desk.press(pressed, modifiers)

    def into_list() -> None:
        pane.table.setFocus(chance.choice([Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason]))

    def write() -> None:
        if pages.shows_composer:
            pages.composer.description.setPlainText(f"Words {chance.randrange(9)}")
            pages.composer.save_now()

    def archive() -> None:
        place.task_actions.toggle_archived()

    return [
        lambda: click(PLAIN),
        lambda: click(PLAIN),
        lambda: click(CONTROL),
        lambda: click(SHIFT),
        fold,
        arrive,
        vanish,
        archive,
        into_list,
        lambda: pane.filter.setText(chance.choice(["1", "2", "task 3", "nothing like this"])),
        lambda: pane.filter.clear_now(),
        lambda: QTest.keyClick(pane.filter, Qt.Key.Key_Escape),
        lambda: pane.set_grouping(chance.choice(list(Grouping))),
        lambda: pane.set_archived(not pane.archived),
        lambda: place.open_item(chance.choice(["t1", "t2", "nowhere"])),
        lambda: place.selection.new_task(),
        lambda: write(),
        lambda: place.selection.leave(),
        lambda: place.refresh(),
        lambda: pane.undo.undo(),
        lambda: deleted_by_the_key(desk),
        lambda: place.task_actions.toggle_pinned(),
        lambda: place.outbox.send(NewTask(description="Another")),
        key(Qt.Key.Key_Down),
        key(Qt.Key.Key_Up),
        key(Qt.Key.Key_Left),
        key(Qt.Key.Key_Right),
        key(Qt.Key.Key_Home),
        key(Qt.Key.Key_End),
        key(Qt.Key.Key_Down, SHIFT),
        key(Qt.Key.Key_Up, SHIFT),
        key(Qt.Key.Key_A, CONTROL),
        key(Qt.Key.Key_Return),
        lambda: QTest.keyClick(pages, Qt.Key.Key_Tab),
    ]


@pytest.mark.parametrize("seed", range(12))
async def test_what_is_shown_is_highlighted_and_acted_on_after_any_steps(qapp: QApplication, seed: int) -> None:
    chance = random.Random(seed)
    tasks = [task(number, f"Task {number}", [None, "in_progress", "completed"][number % 3]) for number in range(1, 15)]
    async with task_desk(qapp, tasks) as desk:
        done: list[int] = []
        for _ in range(60):
            offered = steps(desk, chance)
            number = chance.randrange(len(offered))
            done.append(number)
            offered[number]()
            await settle(3)
            try:
                check_one_selection(desk)
            except AssertionError as failure:
                raise AssertionError(f"after the steps {done}") from failure


async def test_delete_acts_on_nothing_when_the_open_task_is_not_in_the_list(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(3)) as desk:
        await desk.select("task:t1")
        desk.place.pane.filter.setText("Task 2")
        await settle()
        assert desk.place.pages.detail.task_id == "t1"
        assert desk.place.pane.table.selected_keys() == ()
        desk.press(Qt.Key.Key_Delete)
        desk.press(Qt.Key.Key_F2)
        assert not desk.place.pane.undo.open
        assert not desk.place.pages.detail.edit.isVisible()


async def test_after_a_filter_ends_the_open_task_is_highlighted_again(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(40)) as desk:
        await desk.select("task:t30")
        desk.place.pane.filter.setText("Task 2")
        await settle()
        QTest.keyClick(desk.place.pane.filter, Qt.Key.Key_Escape)
        await settle()
        table = desk.place.pane.table
        assert table.selected_keys() == ("task:t30",)
        assert table.viewport().rect().intersects(table.visualRect(table.currentIndex()))


async def test_a_group_that_is_folded_over_the_open_task_opens_no_other(qapp: QApplication) -> None:
    async with task_desk(qapp, [task(1, status="in_progress"), task(2), task(3)]) as desk:
        await desk.select("task:t2")
        desk.press(Qt.Key.Key_Left)
        desk.press(Qt.Key.Key_Left)
        await settle()
        assert "Task 2" not in desk.titles
        assert desk.place.pages.detail.task_id == "t2"
        assert desk.place.pane.table.selected_keys() == ()
        desk.press(Qt.Key.Key_Right)
        await settle()
        assert desk.place.pane.table.selected_keys() == ("task:t2",)


async def test_the_list_takes_the_focus_without_choosing_a_row_beside_the_composer(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(3)) as desk:
        desk.place.selection.new_task()
        table = desk.place.pane.table
        table.setFocus(Qt.FocusReason.TabFocusReason)
        assert not table.currentIndex().isValid()
        assert desk.place.pages.shows_composer
        QTest.keyClick(table, Qt.Key.Key_Down)
        assert desk.place.pages.detail.task_id == "t1"


# The start


async def test_at_start_the_task_that_was_last_open_is_open_and_highlighted(qapp: QApplication) -> None:
    tasks = FakeTasks(numbered(3))
    async with task_desk(qapp, tasks) as desk:
        await desk.select("task:t2")
        await until(lambda: desk.services.storage.settings.values.get("tasks.last"))
        desk.place.set_backend(None)
        await desk.show(FakeBackend(tasks))
        await until(lambda: desk.place.pages.shows_detail)
        assert desk.place.pages.detail.task_id == "t2"
        assert desk.place.pane.table.selected_keys() == ("task:t2",)


async def test_whoever_follows_the_page_hears_of_the_task_that_is_opened_at_start(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "BUILD_AFTER_MS", 300)
    heard: list[str] = []
    async with task_desk(qapp, numbered(3)) as desk:
        assert not desk.place.pages.has_detail
        desk.place.pages.detail_built.connect(lambda page: page.task_changed.connect(heard.append))
        await until(lambda: desk.place.pages.shows_detail)
        assert heard == ["t1"]


async def test_whoever_leaves_the_composer_that_was_opened_first_comes_to_the_last_task(qapp: QApplication) -> None:
    tasks = FakeTasks(numbered(3))
    tasks.hold["list"] = asyncio.Event()
    async with task_desk(qapp, tasks) as desk:
        desk.place.selection.new_task()
        tasks.hold["list"].set()
        await until(lambda: desk.place.controller.load.loaded)
        await settle()
        desk.place.pages.composer.back.click()
        await until(lambda: desk.place.pages.shows_detail)
        await settle()
        assert desk.place.selection.shown == desk.place.pane.table.selected_keys()


async def test_at_the_first_start_the_first_task_is_open(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(3)) as desk:
        await until(lambda: desk.place.pages.shows_detail)
        assert desk.place.pages.detail.task_id == "t1"
        check_one_selection(desk)


async def test_a_last_task_that_was_deleted_meanwhile_is_said_at_start(qapp: QApplication) -> None:
    tasks = FakeTasks(numbered(3))
    async with task_desk(qapp, tasks) as desk:
        await desk.select("task:t2")
        await until(lambda: desk.services.storage.settings.values.get("tasks.last"))
        desk.place.set_backend(None)
        del tasks.tasks["t2"]
        await desk.show(FakeBackend(tasks))
        nothing = desk.place.pages.nothing
        await until(lambda: "This task was deleted" in nothing.accessibleName())
        desk.button(nothing, "Show the next task").click()
        assert desk.place.pages.detail.task_id == "t1"


async def test_a_deleted_last_task_is_said_once_and_a_link_to_nowhere_is_not_remembered(qapp: QApplication) -> None:
    tasks = FakeTasks(numbered(3))
    async with task_desk(qapp, tasks) as desk:
        await desk.select("task:t2")
        kept = desk.services.storage.settings.values
        await until(lambda: kept.get("tasks.last"))
        del tasks.tasks["t2"]
        desk.place.refresh()
        await until(lambda: kept["tasks.last"] == {})
        desk.place.open_item("nowhere")
        await until(lambda: "Task not found" in desk.place.pages.nothing.accessibleName())
        assert kept["tasks.last"] == {}
        desk.place.set_backend(None)
        await desk.show(FakeBackend(tasks))
        await until(lambda: desk.place.pages.shows_detail)
        assert desk.place.pages.detail.task_id == "t1"


async def test_a_task_that_was_deleted_on_the_server_says_so_when_it_is_opened(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(3)) as desk:
        del desk.tasks.tasks["t2"]
        await desk.select("task:t2")
        nothing = desk.place.pages.nothing
        await until(lambda: "This task was deleted" in nothing.accessibleName())
        assert "Task 2" in nothing.accessibleName()
        await settle()
        assert "Task 2" not in desk.titles
        desk.button(nothing, "Show the next task").click()
        assert desk.place.pages.detail.task_id == "t3"


async def test_offline_the_last_list_is_opened_at_its_first_task(qapp: QApplication) -> None:
    tasks = FakeTasks(numbered(3))
    async with task_desk(qapp, tasks) as desk:
        desk.place.controller.rename("t1", "Renamed")
        await until(lambda: desk.services.storage.cache.kept)
        desk.place.set_backend(None)
        desk.services.storage.settings.values.clear()
        tasks.fail["list"] = Offline("No connection.")
        await desk.show(FakeBackend(tasks))
        await until(lambda: desk.place.pages.shows_detail)
        check_one_selection(desk)


# Several


async def select_three(desk: TaskDesk) -> None:
    await desk.select("task:t2")
    desk.press(Qt.Key.Key_Down, SHIFT)
    desk.press(Qt.Key.Key_Down, SHIFT)
    await settle()
    assert desk.place.pages.several.title.text() == "3 tasks selected"


async def test_a_selection_is_extended_across_headings_by_key_and_by_click(qapp: QApplication) -> None:
    states = ["in_progress", "failed", "queued", None, "completed"]
    tasks = [task(number, status=status) for number, status in enumerate(states, 1)]
    async with task_desk(qapp, tasks) as desk:
        table = desk.place.pane.table
        await desk.select("task:t1")
        for _ in range(4):
            desk.press(Qt.Key.Key_Down, SHIFT)
            await settle()
        assert table.selected_keys() == ("task:t1", "task:t2", "task:t3")
        desk.press(Qt.Key.Key_Up, SHIFT)
        desk.press(Qt.Key.Key_Up, SHIFT)
        await settle()
        assert table.selected_keys() == ("task:t1", "task:t2")
        await desk.select("task:t1")
        row = table.visualRect(table.rows.index(table.rows.place("task:t4"), 0))
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, SHIFT, row.center())
        await settle()
        assert table.selected_keys() == ("task:t1", "task:t2", "task:t3", "task:t4")
        check_one_selection(desk)


async def test_several_tasks_are_archived_together_and_come_back_with_undo(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(6)) as desk:
        await select_three(desk)
        desk.button(desk.place.pages.several, "Archive").click()
        await until(lambda: {t for t, each in desk.tasks.tasks.items() if each.archived} == {"t2", "t3", "t4"})
        assert desk.place.pane.undo.text == "3 tasks archived"
        assert desk.place.pages.detail.task_id == "t5"
        desk.place.pane.undo.undo()
        await until(lambda: not any(each.archived for each in desk.tasks.tasks.values()))


async def test_several_tasks_are_deleted_after_a_question_with_their_number(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(6)) as desk:
        await select_three(desk)
        desk.press(Qt.Key.Key_Delete)
        question = desk.place.pane.question
        assert question.text == "Delete 3 tasks?"
        assert "Task 2" in desk.titles
        question.yes.click()
        assert not {"Task 2", "Task 3", "Task 4"} & set(desk.titles)
        assert desk.place.pane.undo.text == "3 tasks deleted"
        desk.place.pane.undo.undo()
        await settle()
        assert {"Task 2", "Task 3", "Task 4"} <= set(desk.titles)


async def test_several_tasks_are_pinned_and_stay_selected(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(6)) as desk:
        await select_three(desk)
        desk.button(desk.place.pages.several, "Pin").click()
        await until(lambda: desk.tasks.pins == {"t2", "t3", "t4"})
        await settle()
        assert set(desk.place.pane.table.selected_keys()) == {"task:t2", "task:t3", "task:t4"}
        desk.button(desk.place.pages.several, "Unpin").click()
        await until(lambda: desk.tasks.pins == set())


async def test_a_change_that_fails_for_some_names_them_and_can_be_tried_again(qapp: QApplication) -> None:
    class Refusing(FakeTasks):
        refused = frozenset({"t2", "t4"})

        async def archive(self, task_id: str, archived: bool):  # type: ignore[no-untyped-def]
            if task_id in self.refused:
                raise ServerTrouble("The server answered 503.")
            return await super().archive(task_id, archived)

    tasks = Refusing(numbered(6))
    async with task_desk(qapp, tasks) as desk:
        await select_three(desk)
        desk.button(desk.place.pages.several, "Archive").click()
        failures = desk.place.pane.failures
        await until(lambda: "“Task 4”" in failures.text() and "“Task 2”" in failures.text())
        assert "Not archived" in failures.text()
        assert "Task 3" not in failures.text()
        assert desk.place.pane.undo.text == "“Task 3” archived"
        tasks.refused = frozenset()
        await settle()
        desk.button(failures, "Try again").click()
        await until(lambda: {t for t, each in tasks.tasks.items() if each.archived} == {"t2", "t3", "t4"})
        assert not failures.isVisible()


async def test_changes_of_many_tasks_are_sent_a_few_at_a_time(qapp: QApplication) -> None:
    class Counting(FakeTasks):
        now = most = 0

        async def _enter(self, name: str, *arguments: object) -> None:
            counts = name in {"archive", "delete"}
            self.now += counts
            self.most = max(self.most, self.now)
            await settle(1)
            self.now -= counts
            await super()._enter(name, *arguments)

    tasks = Counting(numbered(30))
    async with task_desk(qapp, tasks) as desk:
        desk.press(Qt.Key.Key_A, CONTROL)
        await settle()
        desk.button(desk.place.pages.several, "Archive").click()
        await until(lambda: all(each.archived for each in tasks.tasks.values()))
        assert 1 < tasks.most <= 4


async def test_escape_ends_a_selection_of_several(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(6)) as desk:
        await select_three(desk)
        QTest.keyClick(desk.place.pages.several, Qt.Key.Key_Escape)
        await settle()
        assert desk.place.pane.table.selected_keys() == ("task:t4",)
        assert desk.place.pages.detail.task_id == "t4"
        assert desk.place.pane.table.hasFocus()
