"""The dialogs for a crash: they are not modal, and hold what helps to report it."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout

from app import __version__
from app.core.diagnostics.crashes import safe_trace
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.fields import CodeEdit
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from PySide6.QtWidgets import QWidget

    from app.core.diagnostics.crashes import CrashReport

WIDTH, HEIGHT = 640, 420
# Of one process: what goes wrong at many places at once must not cover the screen. The log has all of them.
MOST_DIALOGS = 5


class CrashDialogs:
    """Shows a failure once for each exception type and line, however often it occurs."""

    def __init__(self, window: QWidget, folder: Path) -> None:
        self._window = window
        self._folder = folder
        self._known: set[str] = set()
        # Starts Burrow again, where that is possible.
        self.restart: Callable[[], None] | None = None

    def show(self, failure: BaseException, report: CrashReport | None = None) -> CrashDialog | None:
        """Open the dialog for a failure, with its `report` on disk.

        None when the same one was shown before, or `MOST_DIALOGS` were.
        """
        frames = traceback.extract_tb(failure.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        kind = f"{type(failure).__name__} {place}"
        if kind in self._known or len(self._known) >= MOST_DIALOGS:
            return None
        self._known.add(kind)
        text = f"Burrow {__version__}\n\n{safe_trace(failure)}"
        dialog = CrashDialog(text, self._window, log_in=self._folder, report=report, restart=self.restart)
        dialog.show()
        return dialog

    def show_report(self, report: CrashReport, text: str) -> CrashDialog:
        """Open the dialog with the text of a report of an earlier run."""
        dialog = CrashDialog(text, self._window, report=report)
        dialog.show()
        return dialog


class CrashDialog(QDialog):
    """What happened in words, the report without secrets, and where it is.

    `open_address` shows a folder or file, by default with the desktop's own program.
    """

    def __init__(
        self,
        text: str,
        parent: QWidget,
        *,
        log_in: Path | None = None,
        report: CrashReport | None = None,
        restart: Callable[[], None] | None = None,
        open_address: Callable[[QUrl], bool] = QDesktopServices.openUrl,
    ) -> None:
        """With `log_in` it is about this run, whose log is in that folder; else about an earlier one."""
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._report, self._open_address, self._restart = report, open_address, restart
        if log_in is not None:
            title = self.tr("Something went wrong in Burrow")
            words = self.tr("What you were doing may not have finished. Nothing you typed is lost. The log is in {0}.")
            words = words.format(log_in)
        else:
            title = self.tr("Crash report")
            words = self.tr("Nobody else has it. Secrets are left out, but read it before you pass it on.")
        self.setWindowTitle(title)
        current = theme()
        room = self.screen().availableGeometry()
        self.resize(min(current.px(WIDTH), room.width()), min(current.px(HEIGHT), room.height()))
        self.report = text
        box = QVBoxLayout(self)
        box.setContentsMargins(*([current.px(tokens.SPACE_4)] * 4))
        box.setSpacing(current.px(tokens.SPACE_3))
        box.addWidget(Text(title, "section"))
        box.addWidget(Text(words, tone="muted", wrap=True, selectable=True))
        details = CodeEdit(self.tr("Details of the failure"), read_only=True)
        details.setPlainText(self.report)
        box.addWidget(details, 1)
        row = QHBoxLayout()
        row.setSpacing(current.px(tokens.SPACE_2))
        doors = FlowLayout()
        doors.addWidget(QuietButton(self.tr("Copy report"), "copy", clicked=self.copy))
        if report is not None:
            if log_in is not None:
                doors.addWidget(QuietButton(self.tr("Open report"), clicked=self.open_report))
            doors.addWidget(QuietButton(self.tr("Show folder"), "folder", clicked=self.open_folder))
        if restart is not None:
            doors.addWidget(QuietButton(self.tr("Restart Burrow"), clicked=self.restart))
        row.addLayout(doors, 1)
        self.close_button = PrimaryButton(self.tr("Close"), clicked=self.accept)
        row.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignBottom)
        box.addLayout(row)
        show_focus_ring(self)
        self.close_button.setFocus()

    def copy(self) -> None:
        """Put the report on the clipboard."""
        QGuiApplication.clipboard().setText(self.report)

    def open_report(self) -> None:
        """Open the report with the desktop's program for text."""
        if self._report is not None:
            self._open_address(QUrl.fromLocalFile(str(self._report.path)))

    def open_folder(self) -> None:
        """Show the folder of the reports."""
        if self._report is not None:
            self._open_address(QUrl.fromLocalFile(str(self._report.path.parent)))

    def restart(self) -> None:
        """Start Burrow again; the user is asked first as when quitting."""
        if self._restart is not None:
            self.accept()
            self._restart()
