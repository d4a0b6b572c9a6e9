"""The window is brought in front of all others, from wherever it was."""

from __future__ import annotations

import os

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QWidget

from app.ui.shell import forward
from app.ui.shell.forward import WAYLAND_VARIABLE, bring_forward
from tests.ui.test_shell import until


@pytest.mark.parametrize("state", ["hidden", "minimised", "behind"])
async def test_a_window_is_shown_active_and_as_large_as_before(state: str) -> None:
    window, other = QWidget(), QWidget()
    window.showMaximized()
    if state == "hidden":
        window.hide()
    elif state == "minimised":
        window.showMinimized()
    other.show()
    other.activateWindow()
    await until(other.isActiveWindow)
    try:
        bring_forward(window)
        await until(window.isActiveWindow)
        assert window.isVisible()
        assert not window.isMinimized()
        assert window.isMaximized()
    finally:
        window.close()
        other.close()


async def test_a_dialog_that_must_be_answered_gets_the_focus() -> None:
    window, other = QWidget(), QWidget()
    window.show()
    dialog = QDialog(window)
    dialog.open()
    other.show()
    other.activateWindow()
    await until(other.isActiveWindow)
    try:
        bring_forward(window)
        await until(dialog.isActiveWindow)
    finally:
        dialog.close()
        window.close()
        other.close()


async def test_the_token_is_there_for_qt_while_it_asks_and_for_nobody_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str | None] = []

    class Window(QWidget):
        def activateWindow(self) -> None:
            seen.append(os.environ.get(WAYLAND_VARIABLE))

    monkeypatch.delenv(WAYLAND_VARIABLE, raising=False)
    monkeypatch.setattr(forward, "QGuiApplication", _Wayland)
    window = Window()
    try:
        bring_forward(window, "token-1")
        assert not window.windowState() & Qt.WindowState.WindowMinimized
    finally:
        window.close()
    assert seen == ["token-1"]
    assert WAYLAND_VARIABLE not in os.environ


class _Wayland(QGuiApplication):
    @staticmethod
    def platformName() -> str:
        return "wayland"
