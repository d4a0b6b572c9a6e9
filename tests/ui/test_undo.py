"""The bar that undoes what was just done, and the question before something that destroys."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QMainWindow, QVBoxLayout, QWidget

from app.ui.shell.shortcuts import Shortcuts
from app.ui.widgets.question import InlineQuestion
from app.ui.widgets.undo import Undoable, UndoBar, UndoKind

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

DELETED = UndoKind("“{0}” deleted", "{0} tasks deleted")
ARCHIVED = UndoKind("“{0}” archived", "{0} tasks archived")
RENAMED = UndoKind("“{0}” renamed", "{0} tasks renamed")


class Desk:
    """A bar beside a field that has the focus, and what was undone and settled."""

    def __init__(self, qtbot) -> None:
        self.done: list[str] = []
        self.whole, self.bar, self.field = QWidget(), UndoBar(), QLineEdit()
        box = QVBoxLayout(self.whole)
        for each in (self.field, self.bar):
            box.addWidget(each)
        qtbot.addWidget(self.whole)
        self.whole.show()
        self.field.setFocus()

    def add(self, kind: UndoKind, key: str, name: str = "", seconds: float = 8.0) -> Undoable:
        action = Undoable(
            kind,
            {key: name or key},
            lambda: self.done.append(f"undo {key}"),
            lambda: self.done.append(f"settle {key}"),
        )
        self.bar.add(action, seconds)
        return action


def test_what_was_undone_is_neither_undone_again_nor_settled(qtbot) -> None:
    desk = Desk(qtbot)
    desk.add(DELETED, "a")
    desk.bar.undo()
    desk.bar.undo()
    desk.bar.settle()
    assert desk.done == ["undo a"]
    assert not desk.bar.open


def test_everything_in_the_bar_is_undone_the_latest_first(qtbot) -> None:
    desk = Desk(qtbot)
    for key in ("a", "b", "c"):
        desk.add(DELETED, key)
    assert desk.bar.text == "3 tasks deleted"
    desk.bar.undo()
    assert desk.done == ["undo c", "undo b", "undo a"]


def test_everything_in_the_bar_is_settled_in_order_when_the_time_is_over(qtbot) -> None:
    desk = Desk(qtbot)
    desk.add(DELETED, "a")
    with qtbot.waitSignal(desk.bar.expired):
        desk.add(DELETED, "b", seconds=0.01)
    assert desk.done == ["settle a", "settle b"]
    assert not desk.bar.isVisible()


def test_an_action_that_is_added_starts_the_time_again(qtbot) -> None:
    desk = Desk(qtbot)
    desk.add(DELETED, "a", seconds=0.05)
    desk.add(DELETED, "b", seconds=60)
    timer = desk.bar._timer
    assert timer.remainingTime() > 50_000


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ([(DELETED, "a", "Fix")], "“Fix” deleted"),
        ([(DELETED, "a", "Fix"), (DELETED, "b", "Run")], "2 tasks deleted"),
        ([(DELETED, "a", "Fix"), (RENAMED, "b", "Run")], "“Fix” deleted, “Run” renamed"),
        ([(DELETED, "a", "Fix"), (ARCHIVED, "b", "Run"), (DELETED, "c", "x")], "2 tasks deleted, “Run” archived"),
        ([(RENAMED, "a", "Fix"), (RENAMED, "a", "Fix it")], "“Fix it” renamed"),
        ([(DELETED, "a", "{0} {name} %n")], "“{0} {name} %n” deleted"),
        ([(DELETED, "a", "x" * 61)], "“" + "x" * 59 + "…” deleted"),
    ],
)
def test_the_bar_names_each_kind_once_and_counts_things_not_actions(qtbot, actions, words) -> None:
    desk = Desk(qtbot)
    for kind, key, name in actions:
        desk.add(kind, key, name)
    assert desk.bar.text == words


def test_an_action_that_did_not_take_effect_leaves_the_bar_alone(qtbot) -> None:
    desk = Desk(qtbot)
    first = desk.add(ARCHIVED, "a")
    desk.add(ARCHIVED, "b")
    desk.bar.withdraw(first)
    assert desk.bar.text == "“b” archived"
    desk.bar.undo()
    assert desk.done == ["undo b"]
    desk.bar.withdraw(first)
    assert not desk.bar.open


def test_an_undo_may_offer_an_undo_itself(qtbot) -> None:
    desk = Desk(qtbot)
    desk.bar.add(Undoable(ARCHIVED, {"a": "a"}, lambda: desk.add(ARCHIVED, "b") and None))
    desk.bar.undo()
    assert desk.bar.text == "“b” archived"


class Asked:
    """A question beside a field that has the focus, and how often it was answered with yes."""

    def __init__(self, qtbot) -> None:
        self.yes = 0
        self.whole, self.question, self.field = QWidget(), InlineQuestion(), QLineEdit()
        box = QVBoxLayout(self.whole)
        for each in (self.field, self.question):
            box.addWidget(each)
        qtbot.addWidget(self.whole)
        self.whole.show()
        self.whole.activateWindow()
        qtbot.waitUntil(lambda: QApplication.activeWindow() is self.whole)
        self.field.setFocus()
        self.question.ask("Delete “x” too?", "Delete", self._count)

    def _count(self) -> None:
        self.yes += 1


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_enter_never_answers_yes_wherever_the_focus_is(qtbot, key: Qt.Key) -> None:
    asked = Asked(qtbot)
    asked.question.yes.setFocus()
    QTest.keyClick(asked.question.yes, key)
    assert asked.question.open
    asked.question.no.setFocus()
    QTest.keyClick(asked.question.no, key)
    assert not asked.question.open
    assert asked.yes == 0


def test_escape_withdraws_the_question_and_the_focus_returns(qtbot) -> None:
    asked = Asked(qtbot)
    assert QApplication.focusWidget() is asked.question.no
    QTest.keyClick(asked.question.no, Qt.Key.Key_Escape)
    assert not asked.question.isVisible()
    assert QApplication.focusWidget() is asked.field
    assert asked.yes == 0


def test_space_on_the_yes_button_answers_once(qtbot) -> None:
    asked = Asked(qtbot)
    asked.question.yes.setFocus()
    QTest.keyClick(asked.question.yes, Qt.Key.Key_Space)
    assert asked.yes == 1
    assert QApplication.focusWidget() is asked.field
    asked.question._accept()
    assert asked.yes == 1


def test_a_key_that_is_held_runs_its_command_once(qtbot) -> None:
    window, pressed = QMainWindow(), list[str]()
    qtbot.addWidget(window)
    shortcuts = Shortcuts(window, pressed.append)
    shortcuts.bind(["Ctrl+D"])
    window.show()
    window.activateWindow()
    qtbot.waitUntil(lambda: QApplication.activeWindow() is window)
    QTest.keyClick(window, Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    assert pressed == ["Ctrl+D"]
    assert not any(shortcut.autoRepeat() for bound in shortcuts._bound.values() for shortcut in bound)
