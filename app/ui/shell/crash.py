"""The dialog for a bug: it is not modal, and holds what helps to report the bug."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout

from app import __version__
from app.core.redaction import redact_text
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.fields import CodeEdit
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from pathlib import Path

    from PySide6.QtWidgets import QWidget

WIDTH, HEIGHT = 640, 420


class CrashDialogs:
    """Shows a failure once for each exception type and line, however often it occurs."""

    def __init__(self, window: QWidget, folder: Path) -> None:
        self._window = window
        self._folder = folder
        self._known: set[str] = set()

    def show(self, failure: BaseException) -> CrashDialog | None:
        """Open the dialog for a failure; None when the same one was shown before."""
        frames = traceback.extract_tb(failure.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        kind = f"{type(failure).__name__} {place}"
        if kind in self._known:
            return None
        self._known.add(kind)
        dialog = CrashDialog(failure, self._folder, self._window)
        dialog.show()
        return dialog


class CrashDialog(QDialog):
    """The failure in words, its traceback without secrets, and where the log is."""

    def __init__(self, failure: BaseException, folder: Path, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Something went wrong in Burrow"))
        current = theme()
        self.resize(current.px(WIDTH), current.px(HEIGHT))
        trace = "".join(traceback.format_exception(failure))
        self.report = redact_text(f"Burrow {__version__}\n\n{trace}")
        box = QVBoxLayout(self)
        box.setContentsMargins(*([current.px(tokens.SPACE_4)] * 4))
        box.setSpacing(current.px(tokens.SPACE_3))
        box.addWidget(Text(self.tr("Something went wrong in Burrow"), "section"))
        words = self.tr("What you were doing may not have finished. Nothing you typed is lost. The log is in {0}.")
        box.addWidget(Text(words.format(folder), tone="muted", wrap=True, selectable=True))
        details = CodeEdit(self.tr("Details of the failure"), read_only=True)
        details.setPlainText(self.report)
        box.addWidget(details, 1)
        row = QHBoxLayout()
        row.addWidget(QuietButton(self.tr("Copy report"), "copy", clicked=self.copy))
        row.addStretch(1)
        row.addWidget(PrimaryButton(self.tr("Close"), clicked=self.accept))
        box.addLayout(row)

    def copy(self) -> None:
        """Put the report on the clipboard."""
        QGuiApplication.clipboard().setText(self.report)
