"""The page of a run: its head, the search, how it is connected, what it asks and what is written to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from PySide6.QtCore import QEvent, QLocale, QPoint, Qt
from PySide6.QtGui import QAccessible, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QMenu, QPushButton

from app.core.errors import Offline
from app.core.runs.items import (
    Message,
    Permission,
    PermissionOption,
    Question,
    QuestionChoice,
    SessionState,
    TextPart,
    ToolCall,
    Usage,
)
from app.ui.theme.state import State
from app.ui.transcript import ask_card, connection_line, selector
from app.ui.transcript import page as page_module
from app.ui.transcript.answers import GivenAnswer, RunAnswer
from app.ui.transcript.connection_line import ConnectionState
from app.ui.transcript.header import HeaderFacts
from app.ui.transcript.page import TranscriptPage
from tests.ui._screens import nameless
from tests.ui.transcript._items import ListedItems, lived_run, long_run
from tests.ui.transcript.test_transcript_view import wait

RUNNING = State("play", "Running", "accent")
OPTIONS = (
    PermissionOption("allow", "Allow", "allow_once"),
    PermissionOption("always", "Always allow", "allow_always"),
    PermissionOption("reject_with_feedback", "No, do this instead", "reject_once", wants_text=True),
)


class Waits(NamedTuple):
    id: str
    text: str
    files: tuple[str, ...] = ()
    state: str = "waiting"
    error: Offline | None = None


def asked(key: str = "ask", **changes: object) -> Permission:
    fields = {"request_id": key, "call_id": "1", "title": "Edit cart.py", "kind": "edit", "options": OPTIONS} | changes
    return Permission(key=key, **fields)  # type: ignore[arg-type]


@pytest.fixture
def page(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> Iterator[TranscriptPage]:
    monkeypatch.setattr(ask_card, "ARM_MS", 0)
    made = TranscriptPage()
    made.resize(900, 640)
    made.show()
    made.activateWindow()
    QApplication.processEvents()
    yield made
    made.close()
    made.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def shown(page: TranscriptPage, items: ListedItems, *waiting: Permission, busy: bool = True) -> ListedItems:
    items.add(*waiting)
    items.state = SessionState(accepts=True, busy=busy, waiting=tuple(each.key for each in waiting))
    page.show_run(items)
    QApplication.processEvents()
    page.view.viewport().repaint()
    return items


def answers(page: TranscriptPage) -> list[RunAnswer]:
    found: list[RunAnswer] = []
    page.ask.answered.connect(found.append)
    return found


def searched_all(page: TranscriptPage) -> None:
    page.find_bar._begin()
    while page.find_bar.busy:
        QApplication.processEvents()


def test_the_head_says_state_time_branch_model_and_use(page: TranscriptPage) -> None:
    began = datetime.now(UTC) - timedelta(seconds=252)
    page.show_facts(HeaderFacts(RUNNING, began, None, "fix/cart", "opus", "", Usage(50, 200), stops=True))
    assert page.header.status.accessibleName() == "Running 4 min 12 s"
    assert page.header.branch.text() == "fix/cart"
    assert page.header.about.text() == "opus  ·  25 % of the context"
    assert page.header.link.isHidden()
    stopped: list[bool] = []
    page.header.stop_wanted.connect(lambda: stopped.append(True))
    QTest.keyClick(page.view, Qt.Key.Key_Period, Qt.KeyboardModifier.ControlModifier)
    assert stopped == [True]
    page.show_facts(HeaderFacts(RUNNING, began, began, stops=False))
    QTest.keyClick(page.view, Qt.Key.Key_Period, Qt.KeyboardModifier.ControlModifier)
    assert stopped == [True]


def test_a_pull_request_shows_its_address_before_it_opens(page: TranscriptPage) -> None:
    page.show_facts(HeaderFacts(RUNNING, pull_request="https://github.com/acme/shop/pull/1"))
    page.header.link.click()
    menu = page.findChild(QMenu)
    assert menu is not None
    assert menu.actions()[0].text() == "https://github.com/acme/shop/pull/1"
    menu.close()


def test_a_search_counts_all_matches_and_opens_what_hides_one(page: TranscriptPage) -> None:
    output = ToolCall(key="deep", call_id="1", title="Run", kind="execute", parts=(TextPart("a NEEDLE in it"),))
    shown(page, ListedItems([output, *long_run(400), Message(key="last", text="the needle again")]))
    QTest.keyClick(page.view, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    assert page.find_bar.field.hasFocus()
    page.find_bar.field.setText("needle")
    searched_all(page)
    assert page.find_bar.count.text() == "2 of 2"
    QTest.keyClick(page.find_bar.field, Qt.Key.Key_Return)
    assert page.find_bar.count.text() == "1 of 2"
    assert page.view.current == 0
    assert page.view.items.is_open(0)
    QTest.keyClick(page.find_bar.field, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    assert page.view.current == 401
    page.find_bar.field.setText("nowhere")
    searched_all(page)
    assert page.find_bar.count.text() == "No match"
    QTest.keyClick(page.find_bar.field, Qt.Key.Key_Escape)
    assert page.find_bar.isHidden()
    assert page.view.needle == ""
    assert page.view.hasFocus()


def test_a_search_finds_what_is_added_later(page: TranscriptPage) -> None:
    items = shown(page, ListedItems(long_run(20)))
    page.open_find()
    page.find_bar.field.setText("zebra")
    searched_all(page)
    items.add(Message(key="new", text="a zebra"))
    page._look()
    while page.find_bar.busy:
        QApplication.processEvents()
    assert page.find_bar.count.text() == "1 of 1"


def test_a_lost_connection_is_said_in_place_and_nothing_jumps(
    page: TranscriptPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(connection_line, "announce", lambda _widget, text: told.append(text))
    shown(page, ListedItems(long_run(200)))
    again: list[bool] = []
    page.connection.again_wanted.connect(lambda: again.append(True))
    page.show_connection(ConnectionState("waiting", 8.0, Offline()))
    QApplication.processEvents()
    assert page.connection.text() == "Connection lost — trying again in 8 s"
    page.connection._shown_buttons()[0].click()
    assert again == [True]
    height = page.view.height()
    page.show_connection(ConnectionState("connecting"))
    page.show_connection(ConnectionState("waiting", 16.0))
    QApplication.processEvents()
    assert page.view.height() == height
    assert page.view.following
    page.show_connection(ConnectionState("live"))
    assert page.connection.isHidden()
    assert told == ["Connection lost", "Connected again"]
    # Of another run, which has its connection, nothing is told.
    page.show_connection(ConnectionState("waiting", 8.0))
    page.connection.begin()
    page.show_connection(ConnectionState("live"))
    assert told[2:] == ["Connection lost"]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (ConnectionState("connecting"), "Loading the transcript…"),
        (ConnectionState("live"), "Nothing yet"),
        (ConnectionState("ended"), "Nothing was logged"),
        (ConnectionState("failed", error=Offline()), "No transcript to show"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_an_empty_transcript_says_why_it_is_empty(page: TranscriptPage, state: ConnectionState, words: str) -> None:
    shown(page, ListedItems())
    page.show_connection(state)
    assert page.stack.currentWidget() is page.empty
    assert words in page.empty.accessibleName()
    page.show_run(None)
    assert "has not been run" in page.empty.accessibleName()


def test_a_number_answers_what_the_agent_asks(page: TranscriptPage) -> None:
    permission = asked()
    shown(page, ListedItems(lived_run()), permission)
    given = answers(page)
    assert "Edit cart.py" in page.ask.title.text()
    page.view.setFocus()
    QTest.keyClick(page.view, Qt.Key.Key_2)
    assert given == [RunAnswer(permission, "always")]
    # Until the answer has arrived there is no second one.
    QTest.keyClick(page.view, Qt.Key.Key_1)
    assert len(given) == 1
    page.ask.show_error(Offline())
    QTest.keyClick(page.view, Qt.Key.Key_1)
    assert given[1:] == [RunAnswer(permission, "allow")]


def test_what_is_pressed_as_a_question_appears_does_not_allow(
    page: TranscriptPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask_card, "ARM_MS", 60_000)
    shown(page, ListedItems(lived_run()), asked())
    given = answers(page)
    page.view.setFocus()
    QTest.keyClick(page.view, Qt.Key.Key_1)
    page.ask.buttons[1].click()
    assert given == []


def test_a_question_that_becomes_another_one_is_read_anew_before_it_is_allowed(
    page: TranscriptPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    permission = asked()
    shown(page, ListedItems(lived_run()), permission)
    given = answers(page)
    monkeypatch.setattr(ask_card, "ARM_MS", 60_000)
    other = asked(title="Delete everything", options=OPTIONS[:1])
    page.ask.show_permission(other)
    page.ask.buttons[0].click()
    assert (page.ask.title.text(), len(page.ask.buttons), given) == ("Delete everything", 1, [])


def test_a_number_typed_into_the_reply_is_no_answer(page: TranscriptPage) -> None:
    shown(page, ListedItems(lived_run()), asked())
    given = answers(page)
    page.reply.focus()
    QTest.keyClick(page.reply.field, Qt.Key.Key_1)
    assert given == []
    assert page.reply.text == "1"


def test_enter_on_an_answer_does_not_allow(page: TranscriptPage) -> None:
    shown(page, ListedItems(lived_run()), asked())
    given = answers(page)
    page.ask.buttons[0].setFocus()
    QTest.keyClick(page.ask.buttons[0], Qt.Key.Key_Return)
    assert given == []


def test_an_answer_that_wants_a_text_asks_for_it_first(page: TranscriptPage) -> None:
    permission = asked()
    shown(page, ListedItems(lived_run()), permission)
    given = answers(page)
    page.ask.press_number(3)
    assert given == []
    assert page.ask.text.hasFocus()
    QTest.keyClicks(page.ask.text, "use 2 tests")
    QTest.keyClick(page.ask.text, Qt.Key.Key_Return)
    assert given == [RunAnswer(permission, "reject_with_feedback", "use 2 tests")]


def test_always_allow_says_what_it_changes(page: TranscriptPage) -> None:
    shown(page, ListedItems(), asked(kind="mcp"))
    assert page.ask.about.text() == "“Always allow” also sets this tool to Allow, for later runs too."
    assert "sets this tool to Allow" in page.ask.buttons[1].accessibleDescription()


def test_a_plan_is_rendered_where_it_is_approved(page: TranscriptPage) -> None:
    shown(page, ListedItems(), asked(kind="switch_mode", plan="# Steps\n\n1. **Read**\n2. Write"))
    assert page.ask.parts.text() == "Steps\nRead\nWrite"
    assert page.ask.about.isHidden()


def test_questions_take_a_choice_several_and_other_text(page: TranscriptPage) -> None:
    questions = (
        Question("Which database?", choices=(QuestionChoice("SQLite"), QuestionChoice("PostgreSQL"))),
        Question("Which checks?", choices=(QuestionChoice("Lint"), QuestionChoice("Tests")), several=True),
    )
    permission = asked(kind="question", options=(), questions=questions)
    shown(page, ListedItems(), permission)
    given = answers(page)
    submit = page.ask.buttons[0]
    assert not submit.isEnabled()
    page.view.setFocus()
    page.ask.press_number(2)
    form = page.ask._form
    assert form is not None
    second = form._parts[1]
    second.choose(1)
    second.choose(2)
    QTest.keyClicks(second.other, "and types")
    assert submit.isEnabled()
    submit.click()
    assert given == [
        RunAnswer(permission, answers=(GivenAnswer(("PostgreSQL",)), GivenAnswer(("Lint", "Tests"), "and types")))
    ]


def test_one_question_is_answered_by_a_text_alone(page: TranscriptPage) -> None:
    questions = (Question("Which?", choices=(QuestionChoice("SQLite"), QuestionChoice("PostgreSQL"))),)
    shown(page, ListedItems(), asked(options=(), questions=questions))
    given = answers(page)
    form = page.ask._form
    assert form is not None
    form._parts[0].other.insert_text("Redis ")
    QTest.keyClick(form._parts[0].other, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert [answer.answers for answer in given] == [(GivenAnswer((), "Redis"),)]


def test_the_next_question_shows_when_one_is_answered(page: TranscriptPage) -> None:
    first, second = asked("one"), asked("two", title="Push")
    items = shown(page, ListedItems(), first, second)
    assert page.ask.count.text() == "1 of 2"
    page.ask.press_number(1)
    items.state = SessionState(accepts=True, busy=True, waiting=("two",))
    page._look()
    assert page.ask.title.text() == "Push"
    assert all(button.isEnabled() for button in page.ask.buttons)
    items.state = SessionState(accepts=True, busy=True)
    page._look()
    assert page.ask.isHidden()


def test_dismissing_names_what_was_asked(page: TranscriptPage) -> None:
    permission = asked()
    shown(page, ListedItems(), permission)
    gone: list[Permission] = []
    page.ask.dismissed.connect(gone.append)
    page.ask.dismiss.click()
    assert gone == [permission]


def test_enter_sends_shift_enter_starts_a_line_and_the_text_stays_until_it_is_sent(page: TranscriptPage) -> None:
    sent: list[tuple[str, bool]] = []
    page.reply.send_wanted.connect(lambda text, now: sent.append((text, now)))
    page.reply.focus()
    QTest.keyClick(page.reply.field, Qt.Key.Key_Return)
    assert sent == []
    QTest.keyClicks(page.reply.field, "one")
    QTest.keyClick(page.reply.field, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    QTest.keyClicks(page.reply.field, "two")
    QTest.keyClick(page.reply.field, Qt.Key.Key_Return)
    assert sent == [("one\ntwo", False)]
    page.reply.show_error(Offline())
    assert page.reply.text == "one\ntwo"
    page.reply.sent("one\ntwo")
    assert page.reply.text == ""


def test_while_the_agent_works_a_message_waits_or_is_sent_at_once(page: TranscriptPage) -> None:
    sent: list[tuple[str, bool]] = []
    page.reply.send_wanted.connect(lambda text, now: sent.append((text, now)))
    page.reply.show_turn(busy=True, steers=True)
    assert page.reply.send.text() == "Queue"
    page.reply.set_text("look")
    page.reply.focus()
    QTest.keyClick(page.reply.field, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    page.reply.steer.click()
    page.reply.send.click()
    assert sent == [("look", True), ("look", True), ("look", False)]
    page.reply.lock("The run has ended.")
    page.reply.send.click()
    QTest.keyClick(page.reply.field, Qt.Key.Key_Return)
    assert len(sent) == 3
    assert page.reply.text == "look"


def test_waiting_messages_can_be_edited_removed_and_sent_now(page: TranscriptPage) -> None:
    done: list[tuple[str, str]] = []
    page.queued.edit_wanted.connect(lambda key: done.append(("edit", key)))
    page.queued.remove_wanted.connect(lambda key: done.append(("remove", key)))
    page.queued.now_wanted.connect(lambda key: done.append(("now", key)))
    page.show_queued([Waits("a", "first"), Waits("b", "second", ("x.png",))], steers=True)
    rows = page.queued._rows
    rows["b"].edit.setFocus()
    rows["a"].remove.click()
    page.show_queued([Waits("b", "second", ("x.png",))], steers=True)
    assert rows["b"].edit.hasFocus()
    rows["b"].now.click()
    rows["b"].edit.click()
    assert done == [("remove", "a"), ("now", "b"), ("edit", "b")]
    assert rows["b"].accessibleName() == "second  ·  1 file"
    page.show_queued([], steers=True)
    assert page.queued.isHidden()


def test_a_message_says_why_it_waits_and_what_became_of_it(page: TranscriptPage) -> None:
    done: list[str] = []
    page.queued.again_wanted.connect(done.append)
    page.show_queued([Waits("a", "first")], hold="offline", steers=False)
    assert page.queued.title.text() == "Sent when there is a connection again"
    lost = Waits("b", "second", (), "unknown", Offline())
    page.show_queued([Waits("a", "first", (), "sent"), lost], hold="unsent", steers=True)
    sent, unknown = page.queued._rows["a"], page.queued._rows["b"]
    assert [button.isHidden() for button in (sent.again, sent.now, sent.edit, sent.remove)] == [True] * 4
    assert [button.isHidden() for button in (unknown.again, unknown.edit, unknown.remove)] == [False, True, False]
    assert "outcome unknown" in unknown.accessibleName()
    unknown.again.click()
    assert done == ["b"]


def test_what_a_person_waits_for_is_announced_and_the_lines_are_not(
    page: TranscriptPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        page_module, "announce", lambda _widget, text, *, assertive=False: said.append((text, assertive))
    )
    items = shown(page, ListedItems(lived_run()))
    items.add(Message(key="new", text="words"))
    page._look()
    assert said == []
    items.add(asked())
    items.add(asked("other", title="Push"))
    for waiting in (("ask",), ("ask", "other"), ("other",)):
        items.state = SessionState(accepts=True, busy=True, waiting=waiting)
        page._look()
    # What is added to it is no other question.
    items.replace(asked("other", title="Push", input="{}"))
    page._look()
    items.state = SessionState(accepts=True, busy=False)
    page._look()
    needs = [("The agent needs you: Edit cart.py", False), ("The agent needs you: Push", False)]
    assert said == [*needs, ("The agent has finished its turn", False)]


def test_the_raw_log_of_an_entry_and_a_whole_text_stand_in_place_of_the_transcript(page: TranscriptPage) -> None:
    shown(page, ListedItems(lived_run()))
    page.view.menu_wanted.emit(2, page.mapToGlobal(QPoint(20, 20)))
    menu = page.findChild(QMenu)
    assert menu is not None
    entries = {action.text().partition("\t")[0]: action for action in menu.actions()}
    entries["Copy entry as Markdown"].trigger()
    assert QGuiApplication.clipboard().text().startswith("> The crash")
    entries["Show raw log"].trigger()
    menu.close()
    assert page.reader.text.source == '{"key": "t1"}'
    QTest.keyClick(page.reader.text, Qt.Key.Key_Escape)
    assert page.stack.currentWidget() is page.view
    page.view.whole_wanted.emit("Output", "x" * 200_000)
    assert page.reader.text.source == "x" * 200_000
    assert page.reader.count.text() == f"{QLocale().toString(200_000)} characters"


def test_the_whole_transcript_is_copied_as_markdown(page: TranscriptPage) -> None:
    shown(page, ListedItems(lived_run()))
    said: list[str] = []
    page.view.said.connect(said.append)
    page.view.copier.copy_all()
    while not said:
        QApplication.processEvents()
    text = QGuiApplication.clipboard().text()
    assert text.startswith("**Setting up: Sandbox**")
    assert "```diff\n@ 2" in text
    assert "- [x] Read the cart" in text


def test_a_hidden_page_listens_to_nothing(page: TranscriptPage) -> None:
    items = shown(page, ListedItems(lived_run()))
    page.hide()
    assert not items.changed._callbacks
    assert not page.header._tick.isActive()


def test_everything_that_takes_the_focus_has_a_name(page: TranscriptPage) -> None:
    shown(page, ListedItems(lived_run()), asked())
    page.show_facts(HeaderFacts(RUNNING, pull_request="https://github.com/x", stops=True))
    page.show_queued([Waits("a", "first")], steers=True)
    page.open_find()
    assert nameless(page) == []
    shown(page, ListedItems(), asked("q", options=(), questions=(Question("Which?", choices=(QuestionChoice("A"),)),)))
    assert nameless(page) == []
    form = page.ask._form
    assert form is not None
    choice = QAccessible.queryAccessibleInterface(form._parts[0]._buttons[0])
    assert choice.role() == QAccessible.Role.RadioButton


def test_the_raw_log_is_offered_where_a_transcript_is_too_long_to_copy(
    page: TranscriptPage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(selector, "LONGEST_SELECTION", 10)
    monkeypatch.setattr(QFileDialog, "open", QFileDialog.show)
    shown(page, ListedItems(lived_run()))
    # What is typed is selected by the same keys, and that alone.
    page.reply.set_text("typed")
    QTest.keyClick(page.reply.field, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert page.reply.field.selected_text() == "typed"
    assert page.reply.card.isHidden()
    QTest.keyClick(page.view, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert page.reply.card.text().startswith("This is too long to copy")
    button = next(each for each in page.reply.card.findChildren(QPushButton) if each.isVisible())
    assert button.text() == "Export the raw log…"
    button.click()
    dialog = page.findChild(QFileDialog)
    assert dialog is not None
    dialog.fileSelected.emit(str(tmp_path / "missing" / "run.jsonl"))
    assert page.reply.card.text() == "The raw log was not saved No such file or directory"
    target = tmp_path / "run.jsonl"
    target.write_text("former")
    dialog.fileSelected.emit(str(target))
    wait(lambda: "was saved" in page.reply.card.text())
    dialog.close()
    lines = target.read_text().splitlines()
    assert (lines[0], len(lines)) == ('{"key": "setup"}', len(lived_run()))
    assert list(tmp_path.iterdir()) == [target]


def test_tab_goes_down_the_page_whatever_was_made_later(page: TranscriptPage) -> None:
    shown(page, ListedItems(lived_run()), asked())
    page.show_queued([Waits("1", "later")], steers=True)
    page.show_connection(ConnectionState("waiting", 8))
    page.view.pause()
    QApplication.processEvents()
    page.view.setFocus()
    walked: list[str] = []
    while len(walked) < 30 and (not walked or walked[-1] != "Transcript"):
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        on = QApplication.focusWidget()
        walked.append(on.accessibleName() or (on.text() if isinstance(on, QPushButton) else ""))
    asks = ["1  Allow", "2  Always allow", "3  No, do this instead", "Dismiss"]
    waits = ["Send now", "Edit message", "Remove message"]
    assert walked[:9] == ["Follow", *asks, *waits, "Message to the agent"]
    assert walked[-4:] == ["Find in transcript", "More", "Try now", "Transcript"]
