"""Brings a window forward at the user's wish, so that the desktop lets it.

Desktops keep programs from taking the focus unless the user's action is named. The launcher of the action makes a token
for it: `XDG_ACTIVATION_TOKEN` on Wayland (xdg-activation), `DESKTOP_STARTUP_ID` under X (startup-notification).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

# What Qt's plugin for Wayland reads, and unsets, when it asks for a window to be activated.
WAYLAND_VARIABLE = "XDG_ACTIVATION_TOKEN"


def bring_forward(window: QWidget, activation_token: str = "") -> None:
    """Show a hidden or minimised window, raise and activate it; a dialog of it that must be answered has the focus.

    `activation_token` is that of the desktop for the user's action, empty where there is none.
    """
    if activation_token and QGuiApplication.platformName().startswith("wayland"):
        os.environ[WAYLAND_VARIABLE] = activation_token
    try:
        if window.isMinimized():
            window.setWindowState(window.windowState() & ~Qt.WindowState.WindowMinimized)
        window.show()
        window.raise_()
        target = QApplication.activeModalWidget() or window
        target.activateWindow()
        if QGuiApplication.platformName() == "xcb":
            from app.ui.shell.x11_activation import activate

            # The window manager must know a window that was hidden before it is asked for it.
            QGuiApplication.sync()
            activate(int(target.winId()), activation_token)
    finally:
        # Qt unsets it for itself only: every program that is started later would get a used token.
        os.environ.pop(WAYLAND_VARIABLE, None)
