"""What opens over the window: palette, key sheet, settings, help, about, sign-in details, the dialog for a bug."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from PySide6.QtWidgets import QWidget

    from app.core.diagnostics.crashes import CrashReport
    from app.core.services import Services
    from app.ui.bridge import Bridge
    from app.ui.context import Command
    from app.ui.shell.crash import CrashDialogs
    from app.ui.shell.details import SignInDetails
    from app.ui.shell.palette import Palette
    from app.ui.shell.settings.page import SettingsPage
    from app.ui.shell.settings.section import SettingsContext


class Dialogs(QObject):
    """Imports and builds each one when it is first needed.

    `sign_in_wanted(key)` and `sign_out_wanted(key)` come from the sign-in details; the key is that of the sign-in.
    """

    sign_in_wanted = Signal(str)
    sign_out_wanted = Signal(str)

    def __init__(self, window: QWidget, bridge: Bridge) -> None:
        super().__init__(window)
        self._window, self._bridge = window, bridge
        self._details: SignInDetails | None = None
        self._crashes: CrashDialogs | None = None
        # Starts Burrow again, where that is possible.
        self.restart: Callable[[], None] | None = None
        self._settings: SettingsPage | None = None
        self.palette: Palette | None = None

    def open_palette(self, commands: Callable[[], Sequence[Command]], typed: str = "") -> None:
        """Open the palette; `commands` is asked each time it opens."""
        if self.palette is None:
            from app.ui.shell.palette import Palette

            self.palette = Palette(self._window, commands)
        self.palette.open(typed)

    def open_key_sheet(self, commands: Sequence[Command]) -> None:
        """Show every key."""
        from app.ui.shell.key_sheet import KeySheet

        KeySheet(commands, self._window).open()

    def open_settings(self, context: SettingsContext, key: str = "") -> None:
        """Open the settings, or raise them, with the focus on the one with this key."""
        if self._settings is None:
            from app.ui.shell.settings.page import SettingsPage

            self._settings = SettingsPage(context, self._window)
            self._settings.finished.connect(self._settings_closed)
            self._settings.show()
        self._settings.raise_()
        self._settings.activateWindow()
        self._settings.focus_on(key)

    def open_about(self, services: Services) -> None:
        """Show version, licences and the data folder."""
        from app.ui.shell.about import About

        About(services, self._bridge, self._window).open()

    def open_help(self, doors: Sequence[tuple[str, Callable[[], None]]]) -> None:
        """Show how to get around. `doors` are pairs of words and what they open."""
        from app.ui.shell.help import Help

        Help(doors, self._window).open()

    def open_details(self, services: Services, key: str) -> None:
        """Open the details of the sign-in with this key: one page, which is raised when it is asked for again."""
        if self._details is None:
            from app.ui.shell.details import SignInDetails

            self._details = SignInDetails(services, key, self._bridge, self._window)
            self._details.sign_in_wanted.connect(self.sign_in_wanted)
            self._details.sign_out_wanted.connect(self.sign_out_wanted)
            self._details.finished.connect(self._details_closed)
            self._details.show()
        else:
            self._details.choose(key)
        self._details.raise_()
        self._details.activateWindow()

    def close_details(self) -> None:
        """Close the sign-in details: they are about an account that is no longer shown."""
        if self._details is not None:
            self._details.reject()

    def show_crash(self, failure: BaseException, folder: Path, report: CrashReport | None = None) -> None:
        """Open the dialog for a bug, once for each kind and line. `folder` has the log."""
        self._crash_dialogs(folder).show(failure, report)

    def show_report(self, report: CrashReport, text: str) -> None:
        """Show a crash report of an earlier run."""
        self._crash_dialogs(report.path.parent).show_report(report, text)

    def _crash_dialogs(self, folder: Path) -> CrashDialogs:
        if self._crashes is None:
            from app.ui.shell.crash import CrashDialogs

            self._crashes = CrashDialogs(self._window, folder)
        self._crashes.restart = self.restart
        return self._crashes

    def _details_closed(self) -> None:
        self._details = None

    def _settings_closed(self) -> None:
        self._settings = None
