"""Notifications of the desktop, while another window is in front and only where the user asked for them.

On Linux they go through the portal for notifications (org.freedesktop.portal.Notification). Elsewhere, and where there
is no portal, through an icon in the tray. The window's entry in the task bar is marked in any case.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from app.marks import isolated
from app.ui import activity_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtWidgets import QWidget

    from app.core.diagnostics.activity import Activity, ActivityRecord
    from app.ui.bridge import Bridge
    from app.ui.settings import UiSettings

# Each is a flag of the settings.
NOTIFY_SIGN_IN, NOTIFY_CALLS = "notify.sign_in", "notify.calls"
PORTAL = "org.freedesktop.portal.Desktop"
PORTAL_PATH = "/org/freedesktop/portal/desktop"
PORTAL_INTERFACE = "org.freedesktop.portal.Notification"
TRAY_MS = 10_000
# A notification replaces the one with the same id.
SIGN_IN_ID, CALL_ID, APPROVAL_ID = "sign-in", "call", "approval"


class Notices(QObject):
    """Shows what the user wants to be told. `show(id, title, text)` shows one notification."""

    def __init__(
        self,
        window: QWidget,
        activity: Activity,
        bridge: Bridge,
        settings: UiSettings,
        show: Callable[[str, str, str], None] | None = None,
    ) -> None:
        super().__init__(window)
        self._window, self._settings = window, settings
        self._show = show or self._show_on_desktop
        self._tray: QObject | None = None
        bridge.listen(self, activity.changed, self._recorded)

    def sign_in_needed(self, words: str) -> None:
        """The sign-in bar says that the user is needed."""
        if self._settings.flag(NOTIFY_SIGN_IN):
            self._tell(SIGN_IN_ID, self.tr("Sign-in needed"), words)

    def call_silent(self, tool: str, server: str) -> None:
        """A tool call has not been answered for long. Both names are as they are shown."""
        if self._settings.flag(NOTIFY_CALLS):
            self._tell(
                CALL_ID,
                self.tr("Still no answer from {0}").format(tool),
                self.tr("{0}. You can keep waiting or cancel.").format(server),
            )

    def approval_wanted(self, title: str, text: str) -> None:
        """An agent waits for the user's word before a call."""
        if self._settings.flag(NOTIFY_CALLS):
            self._tell(APPROVAL_ID, title, text)

    def _recorded(self, record: ActivityRecord) -> None:
        called = activity_words.called(record)
        if called and self._settings.flag(NOTIFY_CALLS):
            words = self.tr("{0}: {1}").format(isolated(activity_words.server(record)), activity_words.outcome(record))
            self._tell(CALL_ID, self.tr("{0} has ended").format(isolated(called)), words)

    def _tell(self, key: str, title: str, text: str) -> None:
        if QGuiApplication.applicationState() is Qt.ApplicationState.ApplicationActive:
            return
        QApplication.alert(self._window)
        self._show(key, title, text)

    def _show_on_desktop(self, key: str, title: str, text: str) -> None:
        if not sys.platform.startswith("linux"):
            self._show_in_tray(title, text)
            return
        from PySide6.QtDBus import QDBusConnection, QDBusMessage, QDBusPendingCallWatcher

        bus = QDBusConnection.sessionBus()
        if not bus.isConnected():
            self._show_in_tray(title, text)
            return
        message = QDBusMessage.createMethodCall(PORTAL, PORTAL_PATH, PORTAL_INTERFACE, "AddNotification")
        message.setArguments([key, {"title": title, "body": text}])
        watcher = QDBusPendingCallWatcher(bus.asyncCall(message), self)

        def answered(watched: QDBusPendingCallWatcher) -> None:
            if watched.isError():
                self._show_in_tray(title, text)
            watched.deleteLater()

        watcher.finished.connect(answered)

    def _show_in_tray(self, title: str, text: str) -> None:
        from PySide6.QtWidgets import QSystemTrayIcon

        if not QSystemTrayIcon.isSystemTrayAvailable():
            return
        from app.ui.theme.icons import icon

        if not isinstance(self._tray, QSystemTrayIcon):
            own = self._window.windowIcon()
            self._tray = QSystemTrayIcon(icon("bell") if own.isNull() else own, self)
        self._tray.show()
        self._tray.showMessage(title, text, QSystemTrayIcon.MessageIcon.Information, TRAY_MS)
