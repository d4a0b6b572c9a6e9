"""What the window does about crashes: it tells of those of earlier runs, saves what is typed at one now, and watches
that the loop turns. In safe mode it says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QObject, QTimer

from app.core.diagnostics.hang_watch import BEAT_SECONDS, HangWatch
from app.core.safe_mode import OPTION
from app.ui.shell.crash_settings import TOLD_SETTING, WATCH_SETTING
from app.ui.widgets.announce import announce
from app.ui.widgets.feedback import Banner
from app.ui.widgets.times import date_and_minute, moment_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtWidgets import QWidget

    from app.core.diagnostics.crash_hooks import RecordedCrash
    from app.core.diagnostics.crash_watch import CrashWatch
    from app.core.diagnostics.crashes import CrashReport
    from app.ui.bridge import Bridge
    from app.ui.settings import UiSettings
    from app.ui.shell.dialogs import Dialogs
    from app.ui.shell.leaving import Leaving
    from app.ui.shell.place_stack import PlaceStack


class CrashyWindow(Protocol):
    """The parts of the window that are needed. `MainWindow` has them."""

    stack: PlaceStack
    dialogs: Dialogs
    leaving: Leaving | None


class CrashCare(QObject):
    """Made once the window is filled and the loop runs. `bar` tells of the newest report, `safe_bar` of safe mode."""

    def __init__(
        self,
        window: QWidget,
        parts: CrashyWindow,
        watch: CrashWatch,
        bridge: Bridge,
        settings: UiSettings,
        *,
        place: Callable[[QWidget], object],
        safe: bool,
    ) -> None:
        """`place` puts a bar into the window. `safe`: this process is in safe mode."""
        super().__init__(window)
        self._window, self._parts, self._watch = window, parts, watch
        self._bridge, self._settings, self._place = bridge, settings, place
        self.safe = safe
        self.bar: Banner | None = None
        self.safe_bar: Banner | None = None
        self._hangs: HangWatch | None = None
        self._beat = QTimer(self, interval=int(BEAT_SECONDS * 1000))
        self._beat.timeout.connect(self._turned)
        bridge.crashed.connect(lambda failure: watch.recorder.record(failure, "a job of the window"))
        bridge.listen(self, watch.recorder.recorded, self._recorded)
        parts.dialogs.restart = self.restart
        if safe:
            self._say_safe()
        self._tell()
        self._turned()
        self._beat.start()

    def restart(self, *, safe: bool = False) -> None:
        """End Burrow and start it again. The user is asked first as when quitting."""
        if self._parts.leaving is not None:
            self._parts.leaving.leave(again=(OPTION,) if safe else ())

    def open_report(self, report: CrashReport) -> None:
        """Show a report in the window."""
        import asyncio

        def done(text: str | None) -> None:
            if text is not None:
                self._parts.dialogs.show_report(report, text)

        self._bridge.spawn(self, asyncio.to_thread(_text_of, report), done=done, key="report")

    def end(self) -> None:
        """Watch the loop no more: the end of the process may take long."""
        self._beat.stop()
        self._stop_watching()

    def _turned(self) -> None:
        """The loop turns: say so to the watch, where the settings want one."""
        if not self._settings.flag(WATCH_SETTING, default=True):
            self._stop_watching()
            return
        if self._hangs is None:
            try:
                self._hangs = HangWatch(self._watch.reports.folder)
            except OSError:
                self._beat.stop()
                return
        self._hangs.beat()

    def _stop_watching(self) -> None:
        if self._hangs is not None:
            self._hangs.end()
            self._hangs = None

    def _recorded(self, crash: RecordedCrash) -> None:
        # First: what was typed must not be lost if this was the beginning of the end.
        self._bridge.spawn(self, self._parts.stack.save_typed(), key="save")
        if crash.report is not None:
            # The next start need not tell of it again.
            self._settings.put(TOLD_SETTING, crash.report.name)
        self._parts.dialogs.show_crash(crash.failure, self._watch.reports.folder.parent, crash.report)

    def _tell(self) -> None:
        """Tell once of the newest report that was not told of."""
        reports = self._watch.reports.all()
        told = self._settings.get(TOLD_SETTING, "")
        newest = next(iter(reports), None)
        if newest is None or newest.name <= (told if isinstance(told, str) else ""):
            return
        self._settings.put(TOLD_SETTING, newest.name)
        when = date_and_minute(moment_at(newest.at))
        words = self.tr("Burrow ended unexpectedly ({0}). What you had typed is kept. A report is on this computer.")
        bar = self.bar = Banner()
        self._place(bar)

        def opened() -> None:
            bar.clear()
            self.open_report(newest)

        text = words.format(when)
        bar.show_message(text, secondary=[(self.tr("Open report"), opened), (self.tr("Close"), bar.clear)])
        announce(self._window, text)

    def _say_safe(self) -> None:
        bar = self.safe_bar = Banner()
        self._place(bar)
        words = self.tr(
            "Safe mode: the standard look, no proxy, and nothing starts or signs in by itself. "
            "Your settings are unchanged."
        )
        bar.show_message(words, "info", secondary=[(self.tr("Restart normally"), self.restart)])
        announce(self._window, words)


def _text_of(report: CrashReport) -> str | None:
    try:
        return report.read()
    except OSError:
        return None
