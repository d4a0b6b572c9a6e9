"""Burrow without its window: closing the window may leave it in the tray, where clients still use its proxy.

Where the desktop has no tray, closing quits. A window is never left hidden without an icon that brings it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QDialog, QWidget

from app.ui.widgets.times import ticker

if TYPE_CHECKING:
    from app.core.services import Services
    from app.ui.bridge import Bridge
    from app.ui.settings import UiSettings
    from app.ui.shell.command_map import CommandMap
    from app.ui.shell.keep_running import KeepRunningDialog
    from app.ui.shell.notices import Notices
    from app.ui.shell.sign_in import SignInController
    from app.ui.shell.tray import Tray

CLOSE_SETTING, START_HIDDEN_SETTING = "tray.close", "tray.start_hidden"
ASK, HIDE, QUIT = "ask", "hide", "quit"
CLOSE_CHOICES = (ASK, HIDE, QUIT)
# Qt does not tell that a tray has gone.
LOOK_MS = 3_000


class HideableWindow(Protocol):
    """What the menu of the tray does in the window. `MainWindow` implements it."""

    sign_ins: SignInController
    commands: CommandMap

    @property
    def asked(self) -> bool: ...

    def bring_forward(self, activation_token: str = "") -> None: ...

    def go(self, place: str, item: str | None = None) -> None: ...

    def go_to_question(self) -> None: ...

    def sign_in(self) -> None: ...

    def open_settings(self, key: str = "") -> None: ...

    def status(self, text: str) -> None: ...

    def leave(self) -> None: ...


class Background(QObject):
    """Decides what closing the window does, hides it, and brings it back when the tray goes.

    It implements `TrayActions`. `begin` looks for a tray; until then closing quits. `looked` says whether it has, and
    `changed()` that `possible` may be another.
    """

    changed = Signal()

    def __init__(
        self,
        window: QWidget,
        actions: HideableWindow,
        services: Services,
        settings: UiSettings,
        bridge: Bridge,
        notices: Notices,
    ) -> None:
        super().__init__(window)
        self._window, self._actions, self._notices = window, actions, notices
        self._services, self._settings, self._bridge = services, settings, bridge
        # What the system starts at login: the program as it is installed, on the same data.
        self.login_command: tuple[str, ...] = ()
        self.tray: Tray | None = None
        self.looked = False
        self.dialog: KeepRunningDialog | None = None
        self._look = QTimer(self, interval=LOOK_MS)
        self._look.timeout.connect(self._check)

    @property
    def choice(self) -> str:
        """What the user wants of the close button: one of `CLOSE_CHOICES`."""
        return self._settings.choice(CLOSE_SETTING, CLOSE_CHOICES, ASK)

    @property
    def possible(self) -> bool:
        """Whether a hidden window could be brought back."""
        return self.tray is not None and self.tray.available

    @property
    def shown(self) -> bool:
        """Whether the user can see the window."""
        return self._window.isVisible() and not self._window.isMinimized()

    @property
    def asked(self) -> bool:
        """Whether an agent waits for the user's word."""
        return self._actions.asked

    @property
    def sign_in_wanted(self) -> bool:
        """Whether a sign-in needs the user."""
        return self._actions.sign_ins.needed

    async def begin(self, *, hidden: bool = False) -> None:
        """Show the icon where the desktop has a tray. A window that was started `hidden` is shown minimised without."""
        from app.ui.shell.tray import LOGIN_SECONDS, WATCHER_SECONDS, Tray, tray_appears

        if await tray_appears(LOGIN_SECONDS if hidden else WATCHER_SECONDS):
            tray = self.tray = Tray(self, self._services, self._bridge, self)
            tray.message_clicked.connect(self._notices.tray_message_clicked)
            self._notices.show_in_tray = tray.show_message
            if hidden and not self._window.isVisible():
                self._put_away()
        elif hidden and not self._window.isVisible():
            self._window.showMinimized()
        self.looked = True
        self.changed.emit()

    def refresh(self, *_: object) -> None:
        """Bring the icon up to date."""
        if self.tray is not None:
            self.tray.refresh()

    def bring_forward(self, activation_token: str = "") -> None:
        """Bring the window forward."""
        self._actions.bring_forward(activation_token)

    def go_to_question(self) -> None:
        """Put the focus on the question of an agent."""
        self._actions.go_to_question()

    def sign_in(self) -> None:
        """Sign in again, in the browser."""
        self._actions.sign_in()

    def open_settings(self) -> None:
        """Show the settings."""
        self._actions.open_settings()

    def show_proxy(self) -> None:
        """Show the clients of the proxy."""
        self._actions.go("connect")

    def new_task(self) -> None:
        """Begin a new task, as far as the user may."""
        self._actions.go("tasks")
        command = next((each for each in self._actions.commands.every() if each.id == "tasks.new"), None)
        if command is not None and command.enabled():
            command.run()

    def leave(self) -> None:
        """End Burrow. The user is asked first if something would be lost or broken off."""
        self._actions.leave()

    def hides(self) -> bool:
        """The window is asked to close. Whether it stays, hidden or while the user is asked what to do."""
        if not self.possible or self.choice == QUIT:
            return False
        if self.choice == HIDE:
            self.put_away()
        else:
            self._ask()
        return True

    def put_away(self) -> None:
        """Hide the window, if it could be brought back."""
        if self.possible:
            self._put_away()

    def window_shown(self) -> None:
        """The window is in view again."""
        self._look.stop()
        ticker().hold(False)
        self.refresh()

    def close(self) -> None:
        """Take the icon away: Burrow ends."""
        self._look.stop()
        if self.tray is not None:
            self.tray.close()
            self.tray = None

    def _put_away(self) -> None:
        # They would stay in view, without the window that they belong to.
        for dialog in self._window.findChildren(QDialog):
            if dialog.isVisible():
                dialog.reject()
        self._window.hide()
        ticker().hold(True)
        self._look.start()
        self.refresh()

    def _check(self) -> None:
        if not self.possible:
            self._look.stop()
            self.changed.emit()
            self._actions.bring_forward()
            self._actions.status(self.tr("The tray has gone. The window is back."))

    def _ask(self) -> None:
        from app.ui.shell.keep_running import KeepRunningDialog

        if self.dialog is not None:
            self.dialog.raise_()
            return
        dialog = self.dialog = KeepRunningDialog(serves=self._services.proxy.enabled, parent=self._window)
        dialog.kept.connect(lambda: self._chosen(HIDE))
        dialog.quit_wanted.connect(lambda: self._chosen(QUIT))
        dialog.finished.connect(self._answered)
        dialog.open()

    def _chosen(self, choice: str) -> None:
        dialog = self.dialog
        if dialog is None:
            return
        if dialog.remember.isChecked():
            self._settings.put(CLOSE_SETTING, choice)
        # First: it belongs to the window that is about to go.
        dialog.accept()
        if choice == HIDE:
            self.put_away()
        else:
            self._actions.leave()

    def _answered(self, _result: int) -> None:
        self.dialog = None
