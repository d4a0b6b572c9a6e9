"""What a further start of Burrow asks of the window there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QGuiApplication

if TYPE_CHECKING:
    from app.core.instance.request import StartRequest
    from app.ui.shell.window import MainWindow


class FurtherStarts(QObject):
    """Does what a person who starts Burrow again expects: the window comes forward with what was named."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window

    def take(self, request: StartRequest) -> None:
        """Do what the start asks for. Everything in it may come from any program of this user."""
        window = self._window
        if not request.hidden:
            window.bring_forward(request.token(QGuiApplication.platformName()))
        if request.place:
            window.go(request.place)
