"""The transcript of a run in the Tasks place, and what the list and the desktop say of runs that need the user."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu

from app.core.errors import Offline
from app.core.posthog.run_options import BYPASS_SETTING
from app.core.posthog.types import Page, Task, TaskRun, User
from app.core.runs.items import ConfigChoice, ConfigOption, PermissionOption
from app.core.storage.attachments import Attachment, encode
from app.ui.place import PlaceNotice
from app.ui.shell.panes import move_focus, visible_panes
from app.ui.tasks import run_pool
from app.ui.tasks.run_page import DETAILS, TRANSCRIPT
from app.ui.transcript import ask_card
from app.ui.transcript.connection_line import ConnectionState
from tests.ui._tasks_fakes import settle, task, until
from tests.ui._tasks_place import TaskDesk, task_desk
from tests.ui.transcript._conversation import RecordedConversation, WaitingText
from tests.ui.transcript.test_transcript_page import asked

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def running(number: int, status: str = "in_progress", **fields: Any) -> Task:
    made = NOW - timedelta(minutes=number)
    run = TaskRun(f"r{number}", status=status, environment="cloud", branch=f"fix/{number}", created_at=made)
    return task(number, f"Task {number}", latest_run=run, **fields)


def of_others(count: int) -> list[Task]:
    """Runs under way that nobody follows until they are opened."""
    return [running(number, created_by=User(uuid="ben")) for number in range(1, count + 1)]


async def opened(desk: TaskDesk, number: int = 1) -> RecordedConversation:
    """The conversation of a task, whose transcript is in view."""
    await desk.select(f"task:t{number}")
    views(desk).turn_to(TRANSCRIPT)
    await until(lambda: f"r{number}" in desk.runs.opened)
    await settle()
    return desk.runs.opened[f"r{number}"]


def views(desk: TaskDesk):  # type: ignore[no-untyped-def]
    found = desk.place.pages._views
    assert found is not None
    return found


async def test_a_run_under_way_is_watched_and_an_ended_one_is_read_first(qapp: QApplication) -> None:
    async with task_desk(qapp, [running(1), running(2, "completed"), task(3)]) as desk:
        await desk.select("task:t1")
        await until(lambda: "r1" in desk.runs.opened)
        assert views(desk).shows_transcript
        page = views(desk).transcript
        assert views(desk).details.title.isVisible()
        assert views(desk).details.title.text() == "Task 1"
        assert page.header.branch.text() == "fix/1"
        await desk.select("task:t2")
        await settle()
        assert not views(desk).shows_transcript
        assert "r2" not in desk.runs.opened
        views(desk).turn_to(TRANSCRIPT)
        views(desk).turned.emit(TRANSCRIPT)
        await until(lambda: "r2" in desk.runs.opened)
        await desk.select("task:t3")
        views(desk).turn_to(TRANSCRIPT)
        await settle()
        assert "has not been run" in page.empty.accessibleName()
        assert page.talk.isHidden()
        await desk.select("task:t2")
        assert views(desk).shows_transcript


def offered_modes(desk: TaskDesk) -> list[str]:
    """The modes in the menu of the run in view."""
    page = views(desk).transcript
    page.header.more.click()
    menu = page.findChild(QMenu)
    assert menu is not None
    inner = next(action.menu() for action in menu.actions() if action.text().startswith("Mode: "))
    found = [entry.text() for entry in inner.actions()]
    menu.close()
    menu.setParent(None)
    menu.deleteLater()
    return found


async def test_walking_through_the_list_opens_only_where_the_user_stops(qapp: QApplication) -> None:
    async with task_desk(qapp, of_others(6)) as desk:
        for number in range(1, 7):
            assert desk.place.pane.table.select_key(f"task:t{number}")
        await until(lambda: "r6" in desk.runs.opened)
        assert set(desk.runs.opened) <= {"r1", "r6"}


async def test_an_earlier_run_can_be_chosen_and_left(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    async with task_desk(qapp, [running(1)]) as desk:
        await opened(desk)
        earlier = TaskRun("r0", status="failed", environment="cloud", created_at=NOW)
        latest = desk.tasks.tasks["t1"].latest_run
        assert latest is not None
        desk.place.controller.runs["t1"] = Page((latest, earlier), count=2)
        desk.place.controller.runs_changed.emit("t1")
        picker = views(desk).runs
        assert picker.isVisible()
        assert picker.count() == 2
        picker.activated.emit(1)
        await until(lambda: "r0" in desk.runs.opened)
        await settle()
        assert views(desk).transcript.view.source is desk.runs.opened["r0"].transcript
        pool, in_view = desk.place.runs.pool, []
        close = pool._close

        def closing(run_id: str) -> None:
            in_view.append(views(desk).transcript.view.source)
            close(run_id)

        monkeypatch.setattr(pool, "_close", closing)
        picker.activated.emit(0)
        await until(lambda: desk.runs.opened["r0"].closed)
        # Its transcript is empty from now on, and was not shown any more.
        assert in_view != [desk.runs.opened["r0"].transcript]
        # The one that is under way stayed open.
        assert not desk.runs.opened["r1"].closed


async def test_what_the_user_writes_answers_and_stops_reaches_the_run(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask_card, "ARM_MS", 0)
    async with task_desk(qapp, [running(1)]) as desk:
        conversation = await opened(desk)
        page = views(desk).transcript
        conversation.run = msgspec.structs.replace(conversation.run, runtime_adapter="claude")
        conversation.transcript.add(asked())
        modes = (ConfigChoice("default", "Default"), ConfigChoice("acceptEdits", "Accept edits"))
        options = (ConfigOption("mode", "Mode", "default", modes, "mode"),)
        conversation.tell(busy=True, waiting=("ask",), options=options)
        await until(lambda: page.ask.isVisible())
        assert page.ask.about.text() == "“Always allow” also sets the mode to Accept edits, until this run ends."
        page.ask.press_number(2)
        await until(lambda: conversation.done)
        conversation.transcript.add(asked("two"))
        conversation.tell(waiting=("two",))
        QTest.keyClicks(page.reply.field, "go on")
        page.reply.send.click()
        await until(lambda: len(conversation.done) == 2)
        page.reply.set_text("look here")
        page.reply.steer.click()
        await until(lambda: len(conversation.done) == 3)
        await until(lambda: page.ask.permission is not None and page.ask.permission.key == "two")
        page.ask.dismiss.click()
        page.header.stop.click()
        await until(lambda: len(conversation.done) == 5)
        assert conversation.done == [
            ("answer", "always", "", ()),
            ("send", "go on", False),
            ("send", "look here", True),
            ("dismiss", "two"),
            ("stop_turn",),
        ]
        assert page.reply.text == ""


async def test_what_could_not_be_sent_stays_in_the_field_and_says_why(qapp: QApplication) -> None:
    async with task_desk(qapp, [running(1)]) as desk:
        conversation = await opened(desk)
        reply = views(desk).transcript.reply
        conversation.fails = Offline()
        reply.set_text("important")
        reply.send.click()
        await until(lambda: reply.card.isVisible())
        assert reply.text == "important"
        assert reply.send.isEnabled()
        reply.send.click()
        await until(lambda: conversation.done == [("send", "important", False)])
        assert reply.card.isHidden()


async def test_a_mode_that_asks_for_nothing_is_offered_once_it_is_switched_on(qapp: QApplication) -> None:
    # As the agents of PostHog and those of this machine name them.
    modes = ("default", "bypassPermissions", "auto", "yolo", "agent-full-access")
    options = tuple(PermissionOption(each, each, "allow_once") for each in modes)
    async with task_desk(qapp, [running(1)]) as desk:
        conversation = await opened(desk)
        ask = views(desk).transcript.ask
        ask.show_permission(asked(options=options))
        assert [button.text() for button in ask.buttons] == ["1  default", "2  auto"]
        choices = tuple(ConfigChoice(each, each) for each in modes)
        conversation.tell(options=(ConfigOption("mode", "Mode", "auto", choices),))
        assert offered_modes(desk) == ["default", "auto"]
        # The one in force is named, however the agent came to it.
        conversation.tell(options=(ConfigOption("mode", "Mode", "yolo", choices),))
        assert offered_modes(desk) == ["default", "auto", "yolo"]
        ask.show_permission(None)
        desk.services.storage.settings.values[BYPASS_SETTING] = True
        ask.show_permission(asked(options=options))
        assert [button.text().split()[-1] for button in ask.buttons] == list(modes)
        assert offered_modes(desk) == list(modes)


async def test_the_list_says_how_far_a_run_is_that_is_open_but_nothing_of_an_earlier_one(qapp: QApplication) -> None:
    async with task_desk(qapp, [running(1, "queued"), running(2)]) as desk:
        conversation = await opened(desk)
        place = desk.place
        conversation.end_run("in_progress")
        await until(lambda: place.controller.cache.get("t1").latest_run.status == "in_progress")
        desk.tasks.tasks["t1"] = running(1)
        conversation.run = msgspec.structs.replace(conversation.run, id="earlier")
        conversation.end_run("not_started")
        await settle()
        assert place.controller.cache.get("t1").latest_run.status == "in_progress"


async def test_a_message_under_way_is_sent_though_another_task_is_shown(qapp: QApplication) -> None:
    import asyncio

    async with task_desk(qapp, [running(1), running(2)]) as desk:
        conversation = await opened(desk)
        conversation.holds = asyncio.Event()
        reply = views(desk).transcript.reply
        reply.set_text("for the first")
        reply.edited.emit()
        reply.send.click()
        await opened(desk, 2)
        assert reply.text == ""
        reply.set_text("for the second")
        conversation.holds.set()
        await until(lambda: conversation.done)
        await settle()
        assert reply.text == "for the second"
        assert desk.runs.opened["r2"].done == []


async def test_what_is_typed_is_kept_for_each_task(qapp: QApplication) -> None:
    async with task_desk(qapp, [running(1), running(2)]) as desk:
        await opened(desk)
        reply = views(desk).transcript.reply
        QTest.keyClicks(reply.field, "first")
        await opened(desk, 2)
        assert reply.text == ""
        QTest.keyClicks(reply.field, "second")
        await opened(desk, 1)
        await until(lambda: reply.text == "first")


async def test_a_waiting_message_goes_back_into_the_field_before_what_is_typed(qapp: QApplication) -> None:
    async with task_desk(qapp, [running(1)]) as desk:
        conversation = await opened(desk)
        page = views(desk).transcript
        conversation.tell(busy=True)
        conversation.queue(WaitingText("a", "queued"), WaitingText("b", "other"))
        await until(lambda: page.queued.isVisible())
        page.reply.set_text("typed")
        page.queued.edit_wanted.emit("a")
        await until(lambda: page.reply.text == "queued\n\ntyped")
        page.queued.now_wanted.emit("b")
        page.queued.remove_wanted.emit("b")
        await until(lambda: page.queued.isHidden())
        assert conversation.done[0] == ("remove", "a")


async def test_how_it_is_connected_is_shown_and_trying_now_is_passed_on(qapp: QApplication) -> None:
    async with task_desk(qapp, [running(1)]) as desk:
        conversation = await opened(desk)
        conversation.connection = ConnectionState("waiting", 9.0, Offline())
        conversation.changed.emit(None)
        page = views(desk).transcript
        await until(lambda: page.connection.isVisible())
        page.connection.again_wanted.emit()
        assert conversation.done == [("try_now",)]


async def test_settings_of_the_session_are_in_the_menu(qapp: QApplication) -> None:
    async with task_desk(qapp, [running(1)]) as desk:
        conversation = await opened(desk)
        choices = (ConfigChoice("plan", "Plan"), ConfigChoice("auto", "Auto"))
        conversation.tell(options=(ConfigOption("mode", "Mode", "plan", choices),))
        page = views(desk).transcript
        page.header.more.click()
        menu = page.findChild(QMenu)
        assert menu is not None
        inner = next(action.menu() for action in menu.actions() if action.text() == "Mode: Plan")
        assert [entry.isChecked() for entry in inner.actions()] == [True, False]
        inner.actions()[1].trigger()
        menu.close()
        await until(lambda: conversation.done == [("set_option", "mode", "auto")])


async def test_the_list_and_the_rail_say_which_runs_need_the_user(qapp: QApplication) -> None:
    async with task_desk(qapp, [running(1), running(2)]) as desk:
        counted: list[int] = []
        notices: list[PlaceNotice] = []
        over: list[str] = []
        desk.place.count_changed.connect(counted.append)
        desk.place.told.connect(notices.append)
        desk.place.over.connect(over.append)
        first = await opened(desk)
        await opened(desk, 2)
        # In the background, too.
        first.transcript.add(asked())
        first.tell(busy=True, waiting=("ask",))
        await until(lambda: "Needs you" in desk.titles)
        row = next(line for line in desk.place.pane.table.rows.lines() if line.key == "task:t1")
        assert "Needs you" in row.accessible
        assert counted[-1] == 1
        assert [(each.title, each.item, each.waits) for each in notices] == [("Task 1", "t1", True)]
        first.tell(busy=True, waiting=())
        await until(lambda: over == ["run:t1"])
        await until(lambda: counted[-1] == 0)


async def test_the_end_of_a_turn_and_of_a_run_is_told(qapp: QApplication) -> None:
    async with task_desk(qapp, [running(1), running(2)]) as desk:
        notices: list[PlaceNotice] = []
        desk.place.told.connect(notices.append)
        first = await opened(desk)
        await opened(desk, 2)
        first.tell(busy=True)
        await settle()
        first.tell(busy=False)
        await until(lambda: len(notices) == 1)
        first.end_run("completed")
        await until(lambda: len(notices) == 2)
        assert [each.text for each in notices] == ["The agent has finished its turn.", "Run ended: Done."]


async def test_only_a_few_runs_are_followed_at_a_time(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_pool, "MOST", 2)
    async with task_desk(qapp, of_others(4)) as desk:
        for number in range(1, 5):
            await opened(desk, number)
        await until(lambda: desk.runs.opened["r2"].closed)
        assert [run for run, each in desk.runs.opened.items() if each.closed] == ["r1", "r2"]


async def test_a_conversation_that_goes_on_in_another_run_stays_the_one_in_view(qapp: QApplication) -> None:
    async with task_desk(qapp, [running(1)]) as desk:
        conversation = await opened(desk)
        following = TaskRun("r9", status="queued", environment="cloud", created_at=NOW)
        desk.tasks.tasks["t1"] = msgspec.structs.replace(running(1), latest_run=following)
        conversation.run = following
        conversation.changed.emit(None)
        await until(lambda: desk.place.runs._run_id == "r9")
        await settle()
        assert list(desk.runs.opened) == ["r1"]
        assert views(desk).transcript.view.source is conversation.transcript
        assert not conversation.closed
        # Also when that one has ended.
        conversation.end_run("completed")
        await settle()
        desk.place.runs.pool._arrange()
        assert not conversation.closed


async def test_another_account_closes_every_run(qapp: QApplication) -> None:
    async with task_desk(qapp, [running(1), running(2)]) as desk:
        await opened(desk)
        await opened(desk, 2)
        desk.place.set_backend(None)
        await settle()
        assert all(each.closed for each in desk.runs.opened.values())


async def test_editing_a_task_turns_to_its_details(qapp: QApplication) -> None:
    async with task_desk(qapp, [running(1)]) as desk:
        await opened(desk)
        desk.place.pages.detail.begin_rename()
        assert views(desk).tabs.currentIndex() == DETAILS


async def test_keys_stop_the_turn_and_lead_back_to_the_list(qapp: QApplication) -> None:
    async with task_desk(qapp, [running(1)]) as desk:
        conversation = await opened(desk)
        stop = next(each for each in desk.place.commands() if each.id == "run.stop")
        assert not stop.enabled()
        conversation.tell(busy=True)
        await until(lambda: views(desk).transcript.header.stop.isVisible())
        assert stop.enabled()
        stop.run()
        await until(lambda: conversation.done == [("stop_turn",)])
        views(desk).transcript.focus_first()
        QTest.keyClick(views(desk).transcript.view, Qt.Key.Key_Escape)
        assert desk.place.pane.table.hasFocus()


async def test_a_message_carries_files_which_wait_and_come_back_with_it(qapp: QApplication) -> None:
    async with task_desk(qapp, [running(1), running(2)]) as desk:
        conversation = await opened(desk)
        page = views(desk).transcript
        file = Attachment("crash.log", "a" * 64, 120, "text/plain")
        page.reply.set_files(encode((file,)))
        page.reply.edited.emit()
        await opened(desk, 2)
        assert page.reply.files == ()
        await opened(desk, 1)
        await until(lambda: page.reply.files == (file,))
        page.reply.send.click()
        await until(lambda: conversation.done == [("send", "", False, file)])
        await until(lambda: page.reply.files == ())
        conversation.queue(WaitingText("a", "look at it", (file,)))
        page.queued.edit_wanted.emit("a")
        await until(lambda: page.reply.text == "look at it")
        assert page.reply.files == (file,)


async def test_f6_stops_at_the_transcript_at_what_is_asked_and_at_the_reply(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask_card, "ARM_MS", 0)
    async with task_desk(qapp, [running(1)]) as desk:
        conversation = await opened(desk)
        page = views(desk).transcript
        conversation.transcript.add(asked())
        conversation.tell(waiting=("ask",))
        await until(lambda: page.ask.isVisible())
        stops = [desk.place.pane.table, page.view, page.ask.buttons[0], page.reply.field]
        stops[0].setFocus()
        for stop in (*stops[1:], stops[0]):
            move_focus(visible_panes(desk.place), 1)
            assert QApplication.focusWidget() is stop
        # A control of the page that is in none of these comes before the question.
        page.header.find_button.setFocus()
        move_focus(visible_panes(desk.place), 1)
        assert QApplication.focusWidget() is stops[2]
        move_focus(visible_panes(desk.place), -1)
        assert QApplication.focusWidget() is stops[1]
        # An answer leaves no key to the next control.
        page.ask.buttons[0].setFocus()
        page.ask.press_number(1)
        assert QApplication.focusWidget() is page.view
        await until(lambda: conversation.done)
