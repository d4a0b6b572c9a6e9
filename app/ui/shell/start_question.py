"""Asks how to start after two starts that crashed. It comes before the window, and before the loop runs."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from PySide6.QtCore import QEventLoop, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QApplication, QHBoxLayout

from app.ui.shell.fitted_dialog import FittedDialog
from app.ui.theme import apply_theme, theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.diagnostics.crashes import CrashReports

WIDTH = 460


class StartAnswer(Enum):
    """How to start."""

    SAFELY = "in safe mode"
    AS_USUAL = "as usual"
    NOT = "not at all"


class StartQuestion(FittedDialog):
    """`answer` is what was chosen; closing it does not start Burrow."""

    def __init__(self, reports: CrashReports, open_address: Callable[[QUrl], bool] = QDesktopServices.openUrl) -> None:
        super().__init__(WIDTH)
        self.answer = StartAnswer.NOT
        self._folder, self._open_address = reports.folder, open_address
        title = self.tr("Burrow crashed twice while it started")
        self.setWindowTitle("Burrow")
        current = theme()
        box = self.box
        words = self.tr(
            "Safe mode starts with the standard look, without the proxy and without anything that starts by itself. "
            "Your settings, drafts and sign-ins stay as they are."
        )
        box.addWidget(Text(title, "section", wrap=True))
        box.addWidget(Text(words, tone="muted", wrap=True))
        box.addStretch(1)
        row = QHBoxLayout()
        row.setSpacing(current.px(tokens.SPACE_2))
        row.addWidget(QuietButton(self.tr("Show reports"), "folder", clicked=self._show_reports))
        row.addStretch(1)
        self.usual_button = QuietButton(self.tr("Start as usual"), clicked=lambda: self._chosen(StartAnswer.AS_USUAL))
        self.safe_button = PrimaryButton(
            self.tr("Start in safe mode"), clicked=lambda: self._chosen(StartAnswer.SAFELY)
        )
        row.addWidget(self.usual_button)
        row.addWidget(self.safe_button)
        box.addLayout(row)
        self.safe_button.setDefault(True)
        self.safe_button.setFocus()
        show_focus_ring(self)

    def _show_reports(self) -> None:
        self._open_address(QUrl.fromLocalFile(str(self._folder)))

    def _chosen(self, answer: StartAnswer) -> None:
        self.answer = answer
        self.accept()


def ask_how_to_start(reports: CrashReports) -> StartAnswer:
    """Ask, and wait for the answer in a Qt loop: the shared one does not run yet."""
    app = QApplication.instance()
    if isinstance(app, QApplication):
        apply_theme(app, "system", 1.0)
    question, waiting = StartQuestion(reports), QEventLoop()
    question.finished.connect(lambda _result: waiting.quit())
    question.show()
    waiting.exec()
    return question.answer
