"""The focus stays in its part of the window when its control goes away, and comes back with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import delete

from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.feedback import Banner, EmptyState, InlineCard, clear_layout
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.focus_keeper import keep_focus
from app.ui.widgets.lists import ListTable
from app.ui.widgets.rows import Row
from tests.ui._tasks_fakes import settle, until
from tests.ui._window import living

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


class Window(QWidget):
    """A rail of places, and two panes."""

    def __init__(self) -> None:
        super().__init__()
        self.rail = ListTable("Places")
        self.rail.set_rows([Row("a", "Tasks"), Row("b", "Servers")])
        self.left, self.right = QWidget(), QWidget()
        row = QHBoxLayout(self)
        for part in (self.rail, self.left, self.right):
            row.addWidget(part)
        for pane in (self.left, self.right):
            QVBoxLayout(pane)
        keep_focus(self)

    def add(self, pane: QWidget, *widgets: QWidget) -> None:
        layout = pane.layout()
        assert layout is not None
        for widget in widgets:
            layout.addWidget(widget)
            widget.show()


@pytest.fixture
def window(qtbot) -> Window:
    window = Window()
    qtbot.addWidget(window)
    window.resize(700, 300)
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    return window


WAYS: dict[str, Callable[[QWidget], object]] = {
    "hidden": lambda widget: widget.hide(),
    "disabled": lambda widget: widget.setEnabled(False),
    "removed": lambda widget: widget.deleteLater(),
    "taken out": lambda widget: (widget.hide(), widget.deleteLater()),
}


def test_a_window_that_is_destroyed_with_the_focus_leaves_no_error(qtbot, caplog) -> None:
    window = Window()
    button = QPushButton("Run")
    window.add(window.left, button)
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    button.setFocus()
    qtbot.waitUntil(button.hasFocus)
    delete(window)
    assert caplog.records == []


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_the_nearest_control_of_the_same_part_gets_the_focus(window: Window, qtbot, way) -> None:
    first, pressed, other = QPushButton("First"), QPushButton("Pressed"), QPushButton("Other")
    window.add(window.left, QPushButton("Elsewhere"))
    window.add(window.right, first, pressed, other)
    other.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    pressed.setFocus()
    qtbot.waitUntil(pressed.hasFocus)
    way(pressed)
    qtbot.waitUntil(first.hasFocus)


def test_what_is_shown_in_its_place_a_moment_later_gets_it(window: Window, qtbot) -> None:
    far, pressed, after = QPushButton("Far"), QPushButton("Retry"), QPushButton("Open")
    window.add(window.right, far, pressed, after)
    after.hide()
    pressed.setFocus()
    pressed.hide()
    after.show()
    qtbot.waitUntil(after.hasFocus)


def test_a_control_that_comes_back_gets_the_focus_back(window: Window, qtbot) -> None:
    run, cancel = QPushButton("Run"), QPushButton("Cancel")
    window.add(window.right, run, cancel)
    run.setFocus()
    run.setEnabled(False)
    qtbot.waitUntil(cancel.hasFocus)
    run.setEnabled(True)
    qtbot.waitUntil(run.hasFocus)


def test_a_control_that_comes_back_leaves_the_focus_where_a_person_put_it(window: Window, qtbot) -> None:
    run, cancel, field = QPushButton("Run"), QPushButton("Cancel"), QLineEdit()
    window.add(window.right, run, cancel, field)
    run.setFocus()
    run.setEnabled(False)
    qtbot.waitUntil(cancel.hasFocus)
    field.setFocus()
    run.setEnabled(True)
    qtbot.wait(20)
    assert field.hasFocus()


def test_what_the_program_focuses_itself_keeps_the_focus(window: Window, qtbot) -> None:
    pressed, near, chosen = QPushButton("Edit"), QPushButton("Near"), QLineEdit()
    window.add(window.right, pressed, near, chosen)
    pressed.setFocus()
    pressed.hide()
    chosen.setFocus()
    qtbot.wait(20)
    assert chosen.hasFocus()


def test_what_the_program_focuses_where_qt_found_nothing_keeps_the_focus(window: Window, qtbot) -> None:
    pressed, chosen, near = QPushButton("Edit"), QLineEdit(), QPushButton("Near")
    window.add(window.right, pressed, near, chosen)
    window.rail.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    for other in (near, chosen):
        other.setEnabled(False)
    pressed.setFocus()
    pressed.setEnabled(False)
    for other in (near, chosen):
        other.setEnabled(True)
    chosen.setFocus()
    qtbot.wait(20)
    assert chosen.hasFocus()


def test_a_button_that_destroys_is_never_what_gets_it(window: Window, qtbot) -> None:
    run, delete, back = QuietButton("Run"), QuietButton("Delete", kind="danger"), QuietButton("Back")
    window.add(window.right, back, QWidget(), run, delete)
    run.setFocus()
    run.setEnabled(False)
    qtbot.waitUntil(back.hasFocus)


def test_a_part_without_controls_leaves_it_to_the_part_beside_it_and_not_to_the_rail(window: Window, qtbot) -> None:
    panes = QWidget()
    row = QHBoxLayout(panes)
    row.addWidget(window.left)
    row.addWidget(window.right)
    layout = window.layout()
    assert layout is not None
    layout.addWidget(panes)
    beside, pressed = QPushButton("Beside"), QPushButton("Pressed")
    window.add(window.left, beside)
    window.add(window.right, pressed)
    pressed.setFocus()
    pressed.hide()
    qtbot.waitUntil(beside.hasFocus)


def card_with(kind: type[QWidget], act: Callable[[], None]) -> QWidget:
    if kind is Banner:
        banner = Banner()
        banner.show_message("The list is outdated", primary=("Try again", act))
        return banner
    if kind is InlineCard:
        card = InlineCard()
        card.show_note("The list is outdated", actions=[("Try again", act)])
        return card
    return EmptyState("The list is outdated", actions=[("Try again", act)])


@pytest.mark.parametrize("kind", [Banner, InlineCard, EmptyState])
def test_the_button_of_a_message_that_goes_leaves_the_focus_in_its_page(window: Window, qtbot, kind) -> None:
    table = ListTable("Tasks")
    table.set_rows([Row("1", "One")])
    message = card_with(kind, lambda: message.hide())
    window.add(window.left, QPushButton("Elsewhere"))
    window.add(window.right, message, table)
    button = message.findChild(QPushButton)
    qtbot.waitUntil(button.isVisible)
    button.setFocus()
    QTest.keyClick(button, Qt.Key.Key_Return)
    qtbot.waitUntil(table.hasFocus)


def test_buttons_that_are_all_replaced_leave_the_focus_to_a_new_one(window: Window, qtbot) -> None:
    row = QHBoxLayout()
    box = window.right.layout()
    assert isinstance(box, QVBoxLayout)
    box.addLayout(row)
    olds = [QPushButton(f"Old {n}") for n in range(3)]
    for old in olds:
        row.addWidget(old)
    QApplication.processEvents()
    olds[1].setFocus()
    clear_layout(row)
    new = QPushButton("New")
    row.addWidget(new)
    qtbot.waitUntil(new.hasFocus)


def test_another_page_of_a_stack_that_takes_the_place_gets_it(window: Window, qtbot) -> None:
    stack = QStackedWidget()
    first, second = QPushButton("First"), QPushButton("Second")
    stack.addWidget(first)
    stack.addWidget(second)
    window.add(window.right, stack)
    first.setFocus()
    stack.setCurrentWidget(second)
    qtbot.waitUntil(second.hasFocus)


def test_a_dialog_keeps_its_focus_too(qtbot) -> None:
    dialog = QDialog()
    qtbot.addWidget(dialog)
    box = QVBoxLayout(dialog)
    pressed, near = QPushButton("Retry"), QPushButton("Near")
    box.addWidget(pressed)
    box.addWidget(near)
    show_focus_ring(dialog)
    dialog.open()
    dialog.activateWindow()
    qtbot.waitUntil(dialog.isActiveWindow)
    pressed.setFocus()
    pressed.hide()
    qtbot.waitUntil(near.hasFocus)


@pytest.mark.parametrize("place", ["tasks", "servers", "connect", "lab"])
async def test_in_every_place_a_control_that_goes_leaves_the_focus_in_its_pane(
    qapp: QApplication, tmp_path: Path, place: str
) -> None:
    async with living(qapp, tmp_path, place=place) as alive:
        shown = alive.window.place(place)
        assert shown is not None
        if place == "tasks":
            alive.tasks.pane.table.select_first()
        else:
            await until(lambda: alive.servers.pane.servers.select_first() if place == "servers" else True)
        await settle(40)
        for pane in shown.panes():
            buttons = [
                each
                for each in pane.findChildren(QPushButton)
                if each.isVisible() and each.isEnabled() and each.focusPolicy() & Qt.FocusPolicy.TabFocus
            ]
            others = [w for w in pane.findChildren(QWidget) if w.focusPolicy() & Qt.FocusPolicy.TabFocus]
            if len(others) < 2:
                continue
            for button in buttons:
                button.setFocus()
                await until(button.hasFocus)
                button.hide()
                await settle()
                focused = alive.window.focusWidget()
                assert focused is not None
                assert pane.isAncestorOf(focused), f"{button.text()} left it to {focused}"
                button.show()
                await until(button.hasFocus)
