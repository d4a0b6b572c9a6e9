"""The question about a call of an agent: seen in any place, never in the way, and never allowed by chance."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit

from app.core.errors import ServerTrouble
from app.core.mcp.proxy.parts import Decision, ProxyClient
from app.ui import servers, tasks
from app.ui.bridge import Bridge
from app.ui.shell import approval_prompt
from app.ui.shell.approval_prompt import ApprovalPrompt
from app.ui.shell.window import MainWindow
from tests.ui._connect_fakes import FakeApprovals, plain, question
from tests.ui._shell_fakes import FakeBackend, FakePlace, FakeServices
from tests.ui._tasks_fakes import settle, until

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


@dataclass
class Asked:
    window: MainWindow
    approvals: FakeApprovals
    said: list[tuple[str, bool]]
    noticed: list[tuple[str, str]]
    alerts: list[object]

    @property
    def prompt(self) -> ApprovalPrompt:
        assert self.window.approvals is not None
        assert self.window.approvals.prompt is not None
        return self.window.approvals.prompt

    @property
    def decisions(self) -> list[Decision]:
        return [decision for _, decision in self.approvals.answers]


@asynccontextmanager
async def asking(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int] = (1180, 900), armed: bool = True
) -> AsyncIterator[Asked]:
    if armed:
        monkeypatch.setattr(approval_prompt, "ARM_MS", 0)
    alerts: list[object] = []
    monkeypatch.setattr(QApplication, "alert", lambda *arguments: alerts.append(arguments))
    bridge, services = Bridge(), FakeServices(FakeBackend())
    places = [
        info._replace(make=lambda context, name=info.id: FakePlace(context, name))  # type: ignore[misc]
        for info in (tasks.PLACE, servers.PLACE)
    ]
    window = MainWindow(cast(Any, services), bridge, places)
    window.resize(*size)
    window.show()
    window.activateWindow()
    said: list[tuple[str, bool]] = []
    noticed: list[tuple[str, str]] = []
    window.announce = lambda text, assertive=False: said.append((text, assertive))  # type: ignore[method-assign]
    window.notices.approval_wanted = lambda title, text, **_: noticed.append((title, text))  # type: ignore[method-assign]
    approvals = FakeApprovals()
    window.attend(cast(Any, approvals))
    await settle()
    try:
        yield Asked(window, approvals, said, noticed, alerts)
    finally:
        await bridge.close()
        window.close()
        window.deleteLater()
        await settle()


Press = Callable[[ApprovalPrompt], object]
ANSWERS: list[tuple[str, Decision]] = [
    ("refuse", Decision.REFUSE),
    ("once", Decision.ONCE),
    ("session", Decision.SESSION),
    ("always", Decision.ALWAYS),
    ("block", Decision.BLOCK),
]


async def test_a_question_is_shown_above_any_place_and_takes_no_focus(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(qapp, monkeypatch) as on:
        assert on.approvals.attended
        before = on.window.focusWidget()
        on.approvals.ask(question(destroys=True, hidden=("password",)))
        await settle()
        assert on.prompt.isVisible()
        assert plain(on.prompt.title.text()) == "Cursor wants to call Send a message"
        assert '"subject": "Numbers of May"' in on.prompt.arguments.source
        assert "password" in on.prompt.hidden.text()
        assert on.prompt.claim.isVisible()
        assert on.prompt.time.text().endswith("left")
        assert on.window.focusWidget() is before
        on.window.go("servers")
        assert on.prompt.isVisible()
        # While the first page is in view, too.
        assert not on.window.pages.isAncestorOf(on.prompt)


async def test_the_arguments_are_shown_exactly_and_whole(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking(qapp, monkeypatch) as on:
        text = "pay\u202e 100\u200b" + "x" * 50_000
        on.approvals.ask(question(arguments={"note": text, "n": 12345678901234567890}))
        await settle()
        shown = on.prompt.arguments
        assert "\u202e" not in shown.toPlainText()
        assert "12345678901234567890" in shown.source
        assert not shown.complete
        on.prompt.all_button.click()
        await until(lambda: shown.complete)
        assert text in shown.source
        shown.selectAll()
        assert shown.selected_source() == shown.source


async def test_arguments_that_take_long_to_write_are_written_beside_the_window_and_asked_about_then(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(qapp, monkeypatch) as on:
        asked = on.approvals.ask(question(arguments={"all": [{"k": n} for n in range(20_000)]}))
        desk = on.window.approvals
        assert desk is not None
        await until(lambda: desk.prompt is not None and desk.prompt.question is asked)
        assert '"k": 19999' in on.prompt.arguments.source
        on.prompt.once.click()
        await settle()
        assert on.decisions == [Decision.ONCE]
        on.approvals.ask(question(arguments={"deep": _nested(500)}))
        await settle()
        assert "deep" in on.prompt.arguments.source


def _nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(("button", "decision"), ANSWERS)
async def test_each_answer_is_passed_on_and_ends_the_question(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch, button: str, decision: Decision
) -> None:
    async with asking(qapp, monkeypatch) as on:
        on.approvals.ask(question())
        await settle()
        getattr(on.prompt, button).click()
        await settle()
        assert on.decisions == [decision]
        assert on.prompt.isHidden()


async def test_enter_answers_nothing_but_a_refusal(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking(qapp, monkeypatch) as on:
        on.approvals.ask(question())
        await settle()
        for button, _ in ANSWERS[1:]:
            getattr(on.prompt, button).setFocus()
            QTest.keyClick(getattr(on.prompt, button), Qt.Key.Key_Return)
            QTest.keyClick(getattr(on.prompt, button), Qt.Key.Key_Enter)
        await settle()
        assert on.decisions == []
        on.window.go_to_question()
        assert on.prompt.refuse.hasFocus()
        QTest.keyClick(on.prompt.refuse, Qt.Key.Key_Return)
        await settle()
        assert on.decisions == [Decision.REFUSE]


async def test_what_was_pressed_as_the_question_appeared_allows_nothing(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval_prompt, "ARM_MS", 100_000)
    async with asking(qapp, monkeypatch, armed=False) as on:
        on.approvals.ask(question())
        await settle()
        for button in (on.prompt.once, on.prompt.session, on.prompt.always):
            button.click()
        await settle()
        assert on.decisions == []
        on.prompt.refuse.click()
        await settle()
        assert on.decisions == [Decision.REFUSE]


async def test_a_double_click_answers_one_question_only(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking(qapp, monkeypatch) as on:
        first, second = on.approvals.ask(question()), on.approvals.ask(question(tool="other"))
        await settle()
        on.prompt.once.click()
        monkeypatch.setattr(approval_prompt, "ARM_MS", 100_000)
        await settle()
        on.prompt.once.click()
        await settle()
        assert on.approvals.answers == [(first, Decision.ONCE)]
        assert on.prompt.question is second


class Elapsed:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0

    def start(self) -> None:
        self.now = 0

    def elapsed(self) -> int:
        return self.now


async def test_the_next_question_is_not_allowed_by_what_was_meant_for_the_one_before(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(qapp, monkeypatch, armed=False) as on:
        first = on.approvals.ask(question())
        second = on.approvals.ask(question(tool="other"))
        await settle()
        clock = on.prompt._since = Elapsed()  # type: ignore[assignment]
        clock.now = 10_000
        on.approvals.withdraw(first)
        await settle()
        assert on.prompt.question is second
        on.prompt.always.click()
        await settle()
        assert on.decisions == []
        clock.now = 10_000
        on.prompt.always.click()
        await settle()
        assert on.approvals.answers == [(second, Decision.ALWAYS)]


async def test_several_questions_queue_with_a_count_and_the_oldest_is_first(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(qapp, monkeypatch) as on:
        first = on.approvals.ask(question())
        second = on.approvals.ask(question(client=ProxyClient("c2", "Zed"), tool_title="Delete"))
        on.approvals.ask(question())
        await settle()
        assert on.prompt.question is first
        assert on.prompt.time.text().startswith("1 of 3")
        on.approvals.withdraw(first)
        await settle()
        assert on.prompt.question is second
        assert on.prompt.time.text().startswith("1 of 2")
        assert plain(on.prompt.title.text()) == "Zed wants to call Delete"


async def test_a_question_that_is_withdrawn_or_over_disappears_and_gives_the_focus_back(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(qapp, monkeypatch) as on:
        field = QLineEdit(on.window.stack.current)
        field.show()
        field.setFocus()
        asked = on.approvals.ask(question())
        await settle()
        assert field.hasFocus()
        on.window.go_to_question()
        assert on.prompt.refuse.hasFocus()
        on.approvals.withdraw(asked)
        await settle()
        assert on.prompt.isHidden()
        assert field.hasFocus()
        assert not on.window.asked


async def test_escape_leaves_the_question_open_and_goes_back_to_the_work(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(qapp, monkeypatch) as on:
        field = QLineEdit(on.window.stack.current)
        field.show()
        field.setFocus()
        on.approvals.ask(question())
        await settle()
        on.window.go_to_question()
        QTest.keyClick(on.prompt.refuse, Qt.Key.Key_Escape)
        assert field.hasFocus()
        assert on.window.asked
        assert on.decisions == []


async def test_an_answer_that_could_not_be_kept_is_said_and_can_be_given_again(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(qapp, monkeypatch) as on:
        on.approvals.ask(question())
        on.approvals.fail = ServerTrouble("The store broke.")
        await settle()
        on.prompt.always.click()
        await settle()
        assert "The store broke." in on.prompt.card.text()
        assert on.prompt.isVisible()
        on.prompt.once.click()
        await settle()
        assert on.decisions == [Decision.ONCE]


async def test_answers_that_nobody_here_can_give_are_not_offered(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(qapp, monkeypatch) as on:
        on.approvals.ask(question(locked=True, session=""))
        await settle()
        shown = [name for name, _ in ANSWERS if getattr(on.prompt, name).isVisible()]
        assert shown == ["refuse", "once", "block"]


async def test_each_question_is_announced_once_and_marks_the_task_bar(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(qapp, monkeypatch) as on:
        on.approvals.ask(question())
        on.approvals.ask(question(tool_title="Second"))
        await settle()
        on.approvals.changed.emit(None)
        await settle()
        assert [(plain(text)[:35], loud) for text, loud in on.said] == [("Cursor wants to call Send a message", True)]
        assert len(on.alerts) == 1
        assert [plain(title) for title, _ in on.noticed] == ["Cursor wants to call Send a message"]
        on.prompt.refuse.click()
        await settle()
        assert "Second" in on.said[-1][0]
        assert len(on.alerts) == 2


async def test_f6_and_a_key_of_its_own_lead_to_the_question(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(qapp, monkeypatch) as on:
        commands = {each.id: each for each in on.window.commands.every()}
        assert commands["window.approval"].keys == "Ctrl+Shift+A"
        assert commands["window.approval"].anywhere
        assert not commands["window.approval"].enabled()
        on.approvals.ask(question())
        await settle()
        assert commands["window.approval"].enabled()
        on.window.rail.list.setFocus()
        on.window.move_pane(1)
        assert on.prompt.isAncestorOf(on.window.focusWidget())


async def test_in_a_low_window_the_question_is_a_line_until_the_user_goes_to_it(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(qapp, monkeypatch, size=(760, 440)) as on:
        on.approvals.ask(question(arguments={"text": "many words " * 200}))
        await settle()
        assert on.prompt.open_button.isVisible()
        assert not on.prompt.once.isVisible()
        assert on.window.pages.isVisible()
        on.prompt.open_button.click()
        await settle()
        assert on.prompt.once.isVisible()
        assert on.prompt.arguments.isVisible()
        assert not on.window.pages.isVisible()
        # Only the arguments scroll, and they have all the room.
        assert on.prompt.details.verticalScrollBar().maximum() == 0
        assert on.prompt.arguments.verticalScrollBar().maximum() > 0
        free = on.prompt.answers.geometry().top() - on.prompt.details.geometry().bottom()
        assert free < 20
        assert on.prompt.answers.geometry().bottom() > on.prompt.height() - 40
        on.prompt.back.click()
        await settle()
        assert on.window.pages.isVisible()
        on.window.go_to_question()
        on.prompt.refuse.click()
        await settle()
        assert on.window.pages.isVisible()
        assert on.prompt.isHidden()


async def test_names_of_others_can_neither_hide_nor_reorder_what_is_asked(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(qapp, monkeypatch) as on:
        on.approvals.ask(question(tool_title="safe\u202eeteled", tool="de\u200blete", server_title="A\nB"))
        await settle()
        assert "\u202e" not in on.prompt.title.text()
        assert "\u200b" not in on.prompt.facts._lines["Tool"][1].text()
        assert "\n" not in on.prompt.facts._lines["Server"][1].text()


async def test_the_time_left_is_counted_down(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking(qapp, monkeypatch) as on:
        on.approvals.ask(question(deadline=time.time() + 90))
        await settle()
        assert on.prompt.time.text().startswith("1 min")
        on.prompt.question = question(deadline=time.time() + 5)
        on.prompt._ticker.timeout.emit()
        assert on.prompt.time.text() in {"5 s left", "4 s left"}
