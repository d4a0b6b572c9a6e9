"""A key that is held down runs a command once, unless the command is one to be repeated."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from app.ui.context import Command
from app.ui.shell.shortcuts import Shortcuts


def hold(widget: QWidget, key: Qt.Key, modifier: Qt.KeyboardModifier, repeats: int = 5) -> None:
    for number in range(repeats + 1):
        QTest.simulateEvent(widget, True, key, modifier, "", number > 0)
    QTest.simulateEvent(widget, False, key, modifier, "", False)


async def shown() -> QWidget:
    window = QWidget()
    window.show()
    window.setFocus()
    QApplication.processEvents()
    return window


async def test_a_held_key_runs_its_command_once() -> None:
    window = await shown()
    pressed: list[str] = []
    shortcuts = Shortcuts(window, pressed.append)
    shortcuts.bind(["Ctrl+D", "Ctrl++"])
    shortcuts.listen_only_to(["Ctrl+D", "Ctrl++"], repeating=["Ctrl++"])
    hold(window, Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    assert pressed == ["Ctrl+D"]
    hold(window, Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    assert pressed == ["Ctrl+D"] * 2
    window.close()


async def test_a_held_key_repeats_a_command_that_says_so() -> None:
    window = await shown()
    pressed: list[str] = []
    shortcuts = Shortcuts(window, pressed.append)
    shortcuts.bind(["Ctrl+D", "Ctrl+B"])
    shortcuts.listen_only_to(["Ctrl+D", "Ctrl+B"], repeating=["Ctrl+B"])
    hold(window, Qt.Key.Key_B, Qt.KeyboardModifier.ControlModifier, repeats=3)
    assert pressed == ["Ctrl+B"] * 4
    window.close()


def test_a_command_runs_once_unless_it_says_otherwise() -> None:
    assert not Command("tasks.delete", "Delete", lambda: None, "Del").repeats
