"""What the list of tasks says and offers: headings, signs, menus, and where Esc leads."""

from __future__ import annotations

from time import time

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu

from app.core.hosts import EU, Host, workspace_host
from app.core.links import TaskLink, parse_link
from app.core.posthog.web import task_page
from app.core.storage import Draft
from app.ui.tasks.rows import Grouping, build_groups
from app.ui.tasks.wording import RUN_STATES
from app.ui.theme.state import State
from app.ui.widgets.rows import Row
from tests.ui._tasks_fakes import FakeBackend, FakeTasks, settle, task, until
from tests.ui._tasks_place import TaskDesk, numbered, task_desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

SHIFT = Qt.KeyboardModifier.ShiftModifier


def entries(menu: QMenu) -> dict[str, str]:
    """The words of a menu and the keys that it shows."""
    shown = (action.text() for action in menu.actions() if not action.isSeparator())
    return {words.partition("\t")[0]: words.partition("\t")[2] for words in shown}


async def opened_menu(qapp: QApplication) -> QMenu:
    await until(lambda: isinstance(QApplication.activePopupWidget(), QMenu))
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    return menu


# Headings


@pytest.mark.parametrize("grouping", list(Grouping))
def test_only_pinned_tasks_stand_under_pinned(grouping: Grouping) -> None:
    tasks = [task(1), task(2, status="in_progress"), task(3, repository="acme/web")]
    groups = build_groups(tasks, (), grouping=grouping, pinned=lambda task_id: task_id == "t2")
    assert [row.key for row in groups[0].rows] == ["task:t2"]
    assert groups[0].title == "Pinned"
    assert all(group.title for group in groups)
    assert {row.key for group in groups[1:] for row in group.rows} == {"task:t1", "task:t3"}


def test_without_groups_and_pins_there_is_no_heading() -> None:
    groups = build_groups([task(1), task(2)], (), grouping=Grouping.NONE, pinned=lambda _: False)
    assert [group.title for group in groups] == [""]


STATUSES = ["queued", "in_progress", "completed", "failed", "cancelled", None]


@pytest.mark.parametrize("grouping", list(Grouping))
def test_no_row_repeats_what_its_heading_says_and_assistive_technology_hears_it(grouping: Grouping) -> None:
    tasks = [task(number, status=status, repository="acme/web") for number, status in enumerate(STATUSES, 1)]
    for group in build_groups(tasks, (), grouping=grouping, pinned=lambda task_id: task_id == "t1"):
        for row in group.rows:
            assert row.state is not None
            painted = [row.state.word] if row.worded else []
            assert group.title not in [*painted, row.detail]
            assert row.state.word in row.spoken()
            assert row.worded or group.title == row.state.word


def test_no_state_looks_like_a_checkbox_or_like_another_state() -> None:
    glyphs = [state.glyph for state in RUN_STATES.values()]
    assert len(set(glyphs)) == len(glyphs)
    assert "stop" not in glyphs
    assert isinstance(RUN_STATES["cancelled"], State)


@pytest.mark.parametrize("given_up", [True, False])
async def test_a_draft_that_another_window_gives_up_is_opened_and_one_that_is_gone_is_left(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch, given_up: bool
) -> None:
    async with task_desk(qapp, numbered(2)) as desk:
        held = Draft("task", "d1", {"description": "Written elsewhere"}, time(), "c1", True)
        stored = [held]

        async def listed(*_: object) -> tuple[Draft, ...]:
            return tuple(stored)

        monkeypatch.setattr(desk.services.storage.drafts, "list", listed)
        desk.place.drafts.refresh()
        await settle()
        await desk.select("draft:d1/c1")
        assert "another window" in desk.place.pages.nothing.accessibleName()
        assert desk.place.pane.table.selected_keys() == ("draft:d1/c1",)
        stored[:] = [held._replace(held_elsewhere=False)] if given_up else []
        desk.place.drafts.refresh()
        await settle()
        assert desk.place.pages.shows_composer is given_up
        assert desk.place.pages.shows_detail is not given_up


def test_a_draft_has_a_glyph_and_says_what_it_is_to_assistive_technology() -> None:
    draft = Draft("task", "d1", {"description": "Words"}, time(), "c1")
    (group,) = build_groups([], (), grouping=Grouping.NONE, pinned=lambda _: False, drafts=[draft])
    assert group.title == "Drafts"
    assert group.rows[0].state is not None
    assert not group.rows[0].worded
    assert "Draft" in group.rows[0].spoken()


# The archive


async def test_the_archive_says_that_it_is_one_and_how_to_go_back(qapp: QApplication) -> None:
    async with task_desk(qapp, [task(1), task(2, archived=True)]) as desk:
        sign = desk.place.pane.archive_sign
        assert not sign.isVisible()
        desk.place.pane.set_archived(True)
        await until(lambda: "Task 2" in desk.titles)
        assert sign.text() == "Archived tasks"
        assert sign.isVisible()
        await settle()
        desk.button(sign, "Back to tasks").click()
        await until(lambda: "Task 1" in desk.titles)
        assert not sign.isVisible()
        assert not desk.place.pane.archived


async def test_an_empty_archive_has_the_sign_too(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(1)) as desk:
        desk.place.pane.set_archived(True)
        await until(lambda: desk.place.pane.archive_sign.isVisible())


async def test_another_project_starts_outside_the_archive(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(1)) as desk:
        desk.place.pane.set_archived(True)
        await settle()
        desk.place.set_backend(None)
        await desk.show(FakeBackend(FakeTasks(numbered(2))))
        assert not desk.place.pane.archive_sign.isVisible()


# Esc


async def test_escape_in_the_filter_clears_it_and_then_goes_to_the_list(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(3)) as desk:
        await desk.select("task:t2")
        field = desk.place.pane.filter
        field.setFocus()
        QTest.keyClicks(field, "Task 2")
        QTest.keyClick(field, Qt.Key.Key_Escape)
        assert field.text() == ""
        assert field.hasFocus()
        QTest.keyClick(field, Qt.Key.Key_Escape)
        assert desk.place.pane.table.hasFocus()
        assert desk.place.pane.table.selected_keys() == ("task:t2",)


async def test_escape_in_the_list_ends_several_and_then_the_filter(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(5)) as desk:
        desk.place.pane.filter.setText("Task")
        await desk.select("task:t2")
        desk.press(Qt.Key.Key_Down, SHIFT)
        await settle()
        desk.press(Qt.Key.Key_Escape)
        await settle()
        assert desk.place.pane.table.selected_keys() == ("task:t3",)
        assert desk.place.pane.filter.text() == "Task"
        desk.press(Qt.Key.Key_Escape)
        await settle()
        assert desk.place.pane.filter.text() == ""
        assert desk.place.pane.table.selected_keys() == ("task:t3",)


@pytest.mark.parametrize("key", [Qt.Key.Key_Escape, Qt.Key.Key_Return])
async def test_after_renaming_the_focus_returns_to_where_it_came_from(qapp: QApplication, key: Qt.Key) -> None:
    async with task_desk(qapp, numbered(3)) as desk:
        await desk.select("task:t2")
        detail, table = desk.place.pages.detail, desk.place.pane.table
        for origin in (table, detail.edit_button):
            origin.setFocus()
            detail.begin_rename()
            QTest.keyClicks(detail.edit, "New")
            QTest.keyClick(detail.edit, key)
            assert origin.hasFocus()


# Menus


async def test_a_right_click_opens_the_menu_of_its_row_with_the_keys_shown(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(3)) as desk:
        await desk.select("task:t1")
        table = desk.place.pane.table
        row = table.visualRect(table.rows.index(table.rows.place("task:t3"), 0))
        QTest.mouseClick(table.viewport(), Qt.MouseButton.RightButton, pos=row.center())
        table.customContextMenuRequested.emit(row.center())
        menu = await opened_menu(qapp)
        assert desk.place.pages.detail.task_id == "t3"
        assert entries(menu) == {
            "Open": "Return",
            "Run": "",
            "Run on this machine…": "",
            "Rename": "F2",
            "Edit": "Ctrl+E",
            "Pin": "",
            "Archive": "",
            "Copy link": "",
            "Open in PostHog": "",
            "Copy link for Burrow": "",
            "Copy task id": "",
            "Delete": "Del",
        }
        next(action for action in menu.actions() if action.text() == "Copy link for Burrow").trigger()
        link = parse_link(QGuiApplication.clipboard().text())
        assert isinstance(link, TaskLink)
        assert link.task == "t3"
        menu.close()


@pytest.mark.parametrize(("key", "modifier"), [(Qt.Key.Key_Menu, None), (Qt.Key.Key_F10, SHIFT)])
async def test_the_menu_keys_open_the_menu_at_the_row(qapp: QApplication, key: Qt.Key, modifier) -> None:
    async with task_desk(qapp, numbered(3)) as desk:
        await desk.select("task:t2")
        desk.press(key, modifier or Qt.KeyboardModifier.NoModifier)
        menu = await opened_menu(qapp)
        table = desk.place.pane.table
        row = table.visualRect(table.currentIndex())
        at = table.viewport().mapFromGlobal(menu.pos())
        assert row.top() <= at.y() <= row.bottom()
        assert "Rename" in entries(menu)
        menu.close()


async def test_archiving_from_the_list_goes_on_to_the_next_row(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(4)) as desk:
        await desk.select("task:t2")
        desk.press(Qt.Key.Key_Menu)
        menu = await opened_menu(qapp)
        next(action for action in menu.actions() if action.text() == "Archive").trigger()
        menu.close()
        await settle()
        assert desk.place.pages.detail.task_id == "t3"
        assert desk.place.pane.table.selected_keys() == ("task:t3",)
        assert desk.place.pane.undo.text == "“Task 2” archived"


async def test_the_menu_of_several_acts_on_all_of_them(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(4)) as desk:
        await desk.select("task:t2")
        desk.press(Qt.Key.Key_Down, SHIFT)
        await settle()
        desk.press(Qt.Key.Key_Menu)
        menu = await opened_menu(qapp)
        assert "Rename" not in entries(menu)
        next(action for action in menu.actions() if action.text() == "Copy task ids").trigger()
        assert QGuiApplication.clipboard().text() == "t2\nt3"
        menu.close()


async def test_the_ground_of_the_list_has_a_menu_too(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(1)) as desk:
        table = desk.place.pane.table
        table.customContextMenuRequested.emit(QPoint(20, table.viewport().height() - 4))
        menu = await opened_menu(qapp)
        assert entries(menu)["New task"] == "Ctrl+N"
        assert "Show archived" in entries(menu)
        menu.close()


# Links


def test_the_page_of_a_task_is_on_its_host_and_the_workspace_has_none() -> None:
    assert task_page(EU, "a/b c") == "https://eu.posthog.com/code/task/a%2Fb%20c"
    own = Host("https://ph.example.com", "ph.example.com", "https://ph.example.com")
    assert task_page(own, "t1") == "https://ph.example.com/code/task/t1"
    assert task_page(workspace_host("http://127.0.0.1:4000", client_id="c", secret="s"), "t1") is None


def commands_of(desk: TaskDesk) -> dict[str, bool]:
    return {command.id: command.enabled() for command in desk.place.commands()}


async def test_a_link_is_copied_and_opened_only_where_there_is_a_page(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: urls.append(url.toString()) or True)
    tasks = FakeTasks(numbered(3))
    async with task_desk(qapp, tasks) as desk:
        backend = FakeBackend(tasks)
        backend.host = EU  # type: ignore[assignment]
        await desk.show(backend)
        await desk.select("task:t2")
        assert commands_of(desk)["tasks.link"]
        desk.place.task_actions.copy_links()
        assert QGuiApplication.clipboard().text() == "https://eu.posthog.com/code/task/t2"
        desk.place.task_actions.open_in_browser()
        assert urls == ["https://eu.posthog.com/code/task/t2"]
        embedded = FakeBackend(tasks)
        embedded.host = workspace_host("http://127.0.0.1:4000", client_id="c", secret="s")  # type: ignore[assignment]
        await desk.show(embedded)
        await desk.select("task:t2")
        assert not commands_of(desk)["tasks.link"]
        assert not commands_of(desk)["tasks.open"]
        desk.press(Qt.Key.Key_Menu)
        menu = await opened_menu(qapp)
        assert not {"Copy link", "Open in PostHog"} & set(entries(menu))
        menu.close()


# Room


async def test_in_a_wide_window_the_list_grows_with_the_page(qapp: QApplication) -> None:
    async with task_desk(qapp, numbered(3)) as desk:
        desk.place.resize(800, 700)
        await settle()
        before = desk.place.splitter.sizes()
        desk.place.resize(1400, 700)
        await settle()
        after = desk.place.splitter.sizes()
        assert after[0] > before[0]
        assert after[1] > before[1]
        desk.place.splitter.moveSplitter(300, 1)
        desk.place.resize(1600, 700)
        await settle()
        assert desk.place.splitter.sizes()[0] == 300


def test_rows_are_equal_only_if_they_look_alike() -> None:
    assert Row("a", "A", worded=True) != Row("a", "A", worded=False)
