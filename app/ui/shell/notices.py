"""Notifications of the desktop, while the window is not in front and only where the user wants them.

On Linux they go over D-Bus (`app.core.desktop`) and have buttons. Elsewhere, and where no service shows them, they go
through the icon in the tray. The window's entry in the task bar is marked in any case.

No button allows a call: a service may cut a text, so nobody knows that the arguments were read. A call is refused or
reviewed from here, and allowed only in the window.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from app.core.desktop.notification import Acted, DesktopNotification, NotificationAction
from app.marks import isolated
from app.ui import activity_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtWidgets import QWidget

    from app.core.desktop.notifications import DesktopNotifications
    from app.core.diagnostics.activity import Activity, ActivityRecord
    from app.ui.bridge import Bridge
    from app.ui.place import PlaceNotice
    from app.ui.settings import UiSettings

# Each is a flag of the settings.
NOTIFY_SIGN_IN, NOTIFY_CALLS, NOTIFY_APPROVALS = "notify.sign_in", "notify.calls", "notify.approvals"
NOTIFY_UPDATES, NOTIFY_RUNS = "notify.updates", "notify.runs"
# Nobody sees the question in a window that is not in front, and the agent waits for some minutes only.
DEFAULTS = {NOTIFY_SIGN_IN: False, NOTIFY_CALLS: False, NOTIFY_APPROVALS: True, NOTIFY_UPDATES: True, NOTIFY_RUNS: True}
# A notification replaces the one with the same id.
SIGN_IN_ID, CALL_ID, APPROVAL_ID, TRAY_ID = "sign-in", "call", "approval", "tray"


class NoticeAction(NamedTuple):
    """A button of a notification. With `forward` the window comes forward first."""

    words: str
    run: Callable[[], object]
    forward: bool = False


class Notices(QObject):
    """Tells the user what they want to be told.

    `forward(token)` brings the window forward. `show_in_tray(title, text)` shows a message where nothing else can;
    whoever has a tray sets it. `show` and `take_back` replace the services of the desktop.
    """

    def __init__(
        self,
        window: QWidget,
        activity: Activity,
        bridge: Bridge,
        settings: UiSettings,
        *,
        forward: Callable[[str], object] = lambda _token: None,
        show: Callable[[DesktopNotification], object] | None = None,
        take_back: Callable[[str], object] | None = None,
    ) -> None:
        super().__init__(window)
        self._window, self._bridge, self._settings, self._forward = window, bridge, settings, forward
        self._show = show or self._show_on_desktop
        self._take_back = take_back or self._take_back_on_desktop
        self._desktop: DesktopNotifications | None = None
        # What the buttons of each notification that may be shown do, by their ids.
        self._actions: dict[str, dict[str, NoticeAction]] = {}
        self._number = 0
        self.show_in_tray: Callable[[str, str], object] = lambda _title, _text: None
        # What the message in the tray is about.
        self._in_tray = ""
        bridge.listen(self, activity.changed, self._recorded)

    @property
    def in_front(self) -> bool:
        """Whether the user has the window before them."""
        active = QGuiApplication.applicationState() is Qt.ApplicationState.ApplicationActive
        return active and self._window.isVisible()

    def wants(self, setting: str) -> bool:
        """Whether the user wants to be told of this kind of thing: one of `DEFAULTS`."""
        return self._settings.flag(setting, default=DEFAULTS[setting])

    def tell(
        self,
        key: str,
        title: str,
        text: str,
        setting: str = "",
        actions: Sequence[NoticeAction] = (),
        *,
        opened: Callable[[], object] = lambda: None,
        stays: bool = False,
    ) -> None:
        """Tell the user something, unless the window is in front or they want none of this kind.

        Pressing the notification itself brings the window forward and calls `opened`. Nothing dangerous may be among
        `actions`, or be what `opened` does: services differ in what a key or a click presses.
        """
        if self.in_front or (setting and not self.wants(setting)):
            return
        QApplication.alert(self._window)
        # A button that was pressed just before it was replaced must not do what the new one does.
        self._number += 1
        named = {f"{self._number}.{place}": action for place, action in enumerate(actions)}
        self._actions[key] = {**named, "": NoticeAction("", opened, forward=True)}
        buttons = tuple(NotificationAction(name, action.words) for name, action in named.items())
        self._show(DesktopNotification(key, title, text, buttons, stays, self.tr("Open Burrow")))

    def withdraw(self, key: str) -> None:
        """It is over: take the notification back. Its buttons do nothing more but bring the window forward."""
        if self._actions.pop(key, None) is not None:
            self._take_back(key)

    def application_changed(self) -> None:
        """Another window is in front now. What was told is taken back once the user has the window before them."""
        if self.in_front:
            for key in tuple(self._actions):
                self.withdraw(key)

    def acted(self, acted: Acted) -> None:
        """A notification, or a button of it, was pressed."""
        action = self._actions.get(acted.key, {}).get(acted.action)
        if action is None or action.forward:
            self._forward(acted.token)
        if action is not None:
            self.withdraw(acted.key)
            action.run()

    def tray_message_clicked(self) -> None:
        """The message in the tray was pressed."""
        self.acted(Acted(self._in_tray))

    def sign_in_needed(self, words: str, sign_in: Callable[[], object]) -> None:
        """The sign-in bar says that the user is needed. `sign_in` opens the browser."""
        open_ = NoticeAction(self.tr("Open"), _nothing, forward=True)
        actions = [NoticeAction(self.tr("Sign in"), sign_in), open_]
        self.tell(SIGN_IN_ID, self.tr("Sign-in needed"), words, NOTIFY_SIGN_IN, actions, stays=True)

    def sign_in_need_changed(self, needed: bool) -> None:
        """Whether a sign-in needs the user has changed."""
        if not needed:
            self.withdraw(SIGN_IN_ID)

    def call_silent(self, tool: str, server: str) -> None:
        """A tool call has not been answered for long. Both names are as they are shown."""
        self.tell(
            CALL_ID,
            self.tr("Still no answer from {0}").format(tool),
            self.tr("{0}. You can keep waiting or cancel.").format(server),
            NOTIFY_CALLS,
            [NoticeAction(self.tr("Open"), _nothing, forward=True)],
        )

    def approval_wanted(
        self, title: str, text: str, *, refuse: Callable[[], object], review: Callable[[], object]
    ) -> None:
        """An agent waits for the user's word before a call. `review` leads to the question in the window."""
        actions = [NoticeAction(self.tr("Refuse"), refuse), NoticeAction(self.tr("Review"), review, forward=True)]
        self.tell(APPROVAL_ID, title, text, NOTIFY_APPROVALS, actions, opened=review, stays=True)

    def place_told(self, notice: PlaceNotice, review: Callable[[], object]) -> None:
        """A place has something to tell, such as that a run waits for an answer. `review` leads to what it is about."""
        open_ = [NoticeAction(self.tr("Open"), review, forward=True)]
        title, text = isolated(notice.title), notice.text
        self.tell(notice.key, title, text, NOTIFY_RUNS, open_, opened=review, stays=notice.waits)

    def _recorded(self, record: ActivityRecord) -> None:
        called = activity_words.called(record)
        if called and self.wants(NOTIFY_CALLS):
            words = self.tr("{0}: {1}").format(isolated(activity_words.server(record)), activity_words.outcome(record))
            open_ = [NoticeAction(self.tr("Open"), _nothing, forward=True)]
            self.tell(CALL_ID, self.tr("{0} has ended").format(isolated(called)), words, NOTIFY_CALLS, open_)

    def _show_on_desktop(self, notification: DesktopNotification) -> None:
        if not sys.platform.startswith("linux"):
            self._show_fallback(notification)
            return
        if self._desktop is None:
            from app.core.desktop.notifications import DesktopNotifications

            self._desktop = DesktopNotifications()
            self._bridge.listen(self, self._desktop.acted, self.acted)
            self._bridge.listen(self, self._desktop.failed, self._show_fallback)
            self._bridge.spawn(self, self._desktop.run(), key="notifications")
        self._desktop.show(notification)

    def _take_back_on_desktop(self, key: str) -> None:
        if self._desktop is not None:
            self._desktop.withdraw(key)

    def _show_fallback(self, notification: DesktopNotification) -> None:
        self._in_tray = notification.key
        self.show_in_tray(notification.title, notification.body)


def _nothing() -> None:
    pass
