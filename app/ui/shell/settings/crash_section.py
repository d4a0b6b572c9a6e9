"""Settings ▸ Crash reports: how many there are, the newest one, and whether hangs are written down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QWidget

from app.core.diagnostics.crashes import CrashReports
from app.ui.shell.crash import CrashDialog
from app.ui.shell.crash_settings import WATCH_SETTING
from app.ui.shell.settings.section import Setting, SettingsSection, set_checked
from app.ui.translation import marked
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.times import date_and_minute, moment_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PySide6.QtCore import QObject

    from app.core.diagnostics.crashes import CrashReport
    from app.ui.shell.settings.section import SettingsContext

# Not stored: the reports are files.
REPORTS_SETTING = "crash.reports"


class CrashSection(SettingsSection):
    """The reports are read when the page opens. `open_address` shows a folder."""

    title = marked("Settings", "Crash reports")
    settings = (
        Setting(REPORTS_SETTING, marked("Settings", "Reports on this computer"), resettable=False),
        Setting(
            WATCH_SETTING,
            marked("Settings", "Hangs"),
            marked("Settings", "When Burrow does not respond for ten seconds, a report says what it was doing."),
        ),
    )

    def __init__(
        self,
        context: SettingsContext,
        parent: QObject,
        open_address: Callable[[QUrl], bool] = QDesktopServices.openUrl,
    ) -> None:
        super().__init__(context, parent)
        self._open_address = open_address
        self._reports = CrashReports(context.services.folder, {})
        self._found: list[CrashReport] = []
        self._read()

    def controls(self) -> Mapping[str, QWidget]:
        doors = QWidget()
        row = FlowLayout(doors)
        row.setContentsMargins(0, 0, 0, 0)
        self.open_button = QuietButton(self.tr("Open newest"), clicked=self.open_newest)
        self.folder_button = QuietButton(self.tr("Show folder"), "folder", clicked=self.open_folder)
        self.delete_button = QuietButton(self.tr("Delete all"), clicked=self.delete_all)
        for button in (self.open_button, self.folder_button, self.delete_button):
            row.addWidget(button)
        doors.setFocusProxy(self.folder_button)
        self.watch = self.check(WATCH_SETTING, self.tr("Report hangs"))
        return {REPORTS_SETTING: doors, WATCH_SETTING: self.watch}

    def refresh(self) -> Mapping[str, bool]:
        found = self._found
        for button in (self.open_button, self.delete_button):
            button.setEnabled(bool(found))
        words = self.tr("None. Reports are never sent by themselves.")
        if found:
            when = date_and_minute(moment_at(found[0].at))
            one = self.tr("1 report, of {0}. It is not sent anywhere.")
            many = self.tr("%n reports, the newest of {0}. They are not sent anywhere.", "", len(found))
            words = (one if len(found) == 1 else many).format(when)
        self.rows[REPORTS_SETTING].set_hint(words)
        watches = self.context.settings.flag(WATCH_SETTING, default=True)
        set_checked(self.watch, watches)
        return {WATCH_SETTING: not watches}

    def open_newest(self) -> None:
        """Show the newest report."""
        if self._found:
            newest = self._found[0]
            work = asyncio.to_thread(_text_of, newest)
            self.context.bridge.spawn(self, work, done=lambda text: self._show(newest, text), key="open")

    def open_folder(self) -> None:
        """Show the folder of the reports, or that of all data before there are any."""
        folder = self._reports.folder if self._found else self._reports.folder.parent
        self._open_address(QUrl.fromLocalFile(str(folder)))

    def delete_all(self) -> None:
        """Delete every report."""
        work = asyncio.to_thread(_delete, self._reports)
        self.context.bridge.spawn(self, work, done=lambda _nothing: self._read(), key="delete")

    def _show(self, report: CrashReport, text: str) -> None:
        page = self.parent()
        if text and isinstance(page, QWidget):
            CrashDialog(text, page, report=report, open_address=self._open_address).show()

    def _read(self) -> None:
        try:
            self.context.bridge.spawn(self, asyncio.to_thread(self._reports.all), done=self._took, key="read")
        except RuntimeError:
            # Without a loop, in a picture of the page, there are none.
            return

    def _took(self, found: list[CrashReport]) -> None:
        self._found = found
        self.changed.emit()


def _text_of(report: CrashReport) -> str:
    try:
        return report.read()
    except OSError:
        return ""


def _delete(reports: CrashReports) -> None:
    # What cannot be deleted is still listed.
    for report in reports.all():
        try:
            report.path.unlink(missing_ok=True)
        except OSError:
            continue
