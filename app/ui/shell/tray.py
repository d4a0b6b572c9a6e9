"""Burrow in the tray of the desktop: how it stands, and a menu. There where the desktop has a tray.

Qt speaks https://www.freedesktop.org/wiki/Specifications/StatusNotifierItem/ or, under X, the System Tray Protocol.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QSystemTrayIcon

from app.core.mcp.proxy.service import ProxyState
from app.marks import isolated, revealed_name
from app.ui.shell.tray_icon import TrayState, tray_icon

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.core.services import Services
    from app.ui.bridge import Bridge

WATCHER = "org.kde.StatusNotifierWatcher"
# Qt looks for the watcher once and keeps to what it found. Started with the session, Burrow may be there before it.
WATCHER_SECONDS, LOGIN_SECONDS = 2.0, 15.0
LOOK_SECONDS = 0.25
MESSAGE_MS = 10_000


class TrayActions(Protocol):
    """What the menu does. `Background` implements it."""

    @property
    def shown(self) -> bool:
        """Whether the user can see the window."""
        ...

    @property
    def asked(self) -> bool: ...

    @property
    def sign_in_wanted(self) -> bool: ...

    def bring_forward(self, activation_token: str = "") -> None: ...

    def put_away(self) -> None: ...

    def go_to_question(self) -> None: ...

    def sign_in(self) -> None: ...

    def show_proxy(self) -> None: ...

    def new_task(self) -> None: ...

    def open_settings(self) -> None: ...

    def leave(self) -> None: ...


class Tray(QObject):
    """The icon with its menu. `refresh` brings both up to date.

    `message_clicked()`: the message that was shown last was pressed.
    """

    message_clicked = Signal()

    def __init__(self, actions: TrayActions, services: Services, bridge: Bridge, parent: QObject) -> None:
        super().__init__(parent)
        self._actions, self._services = actions, services
        self._state: TrayState | None = None
        self._menu = QMenu()
        self.show_action = self._add("", self._show_or_hide)
        self.question_action = self._add("", self._forward_to(actions.go_to_question))
        self.sign_in_action = self._add(self.tr("Sign in again"), actions.sign_in)
        self._menu.addSeparator()
        self.proxy_action = self._add("", self._forward_to(actions.show_proxy))
        self.task_action = self._add(self.tr("New task"), self._forward_to(actions.new_task))
        self.settings_action = self._add(self.tr("Settings…"), self._forward_to(actions.open_settings))
        self._menu.addSeparator()
        self.quit_action = self._add(self.tr("Quit Burrow"), actions.leave)
        self._menu.aboutToShow.connect(self.refresh)
        self.icon = QSystemTrayIcon(self)
        self.icon.setContextMenu(self._menu)
        self.icon.activated.connect(self._activated)
        self.icon.messageClicked.connect(self.message_clicked)
        bridge.listen(self, services.proxy.changed, lambda _status: self.refresh())
        bridge.listen(self, services.proxy.clients.changed, lambda _nothing: self.refresh())
        bridge.listen(self, services.proxy.approvals.changed, lambda _nothing: self.refresh())
        self.refresh()
        self.icon.show()

    @property
    def available(self) -> bool:
        """Whether the icon can be seen and pressed: the desktop may have lost its tray."""
        return QSystemTrayIcon.isSystemTrayAvailable()

    def refresh(self) -> None:
        """Show how Burrow stands."""
        actions = self._actions
        state = TrayState.ASKS if actions.asked else TrayState.SIGN_IN if actions.sign_in_wanted else TrayState.WELL
        if state is not self._state:
            self._state = state
            self.icon.setIcon(tray_icon(state))
        question = self._question() if actions.asked else ""
        self.show_action.setText(self.tr("Hide Burrow") if actions.shown else self.tr("Show Burrow"))
        self.question_action.setVisible(actions.asked)
        self.question_action.setText(_plain(question))
        self.sign_in_action.setVisible(actions.sign_in_wanted)
        self.proxy_action.setText(self._proxy_words())
        # Without names of others: some trays read the words as markup.
        self.icon.setToolTip(
            self.tr("Burrow: an agent waits for your answer")
            if actions.asked
            else self.tr("Burrow: a sign-in is needed")
            if actions.sign_in_wanted
            else "Burrow"
        )

    def show_message(self, title: str, text: str) -> None:
        """Show a message beside the icon, as far as the desktop shows such messages."""
        self.icon.showMessage(title, text, QSystemTrayIcon.MessageIcon.Information, MESSAGE_MS)

    def close(self) -> None:
        """Take the icon away at once: a tray that learns of the end of a process late shows a dead one."""
        self.icon.hide()
        self._menu.deleteLater()

    def _add(self, words: str, run: Callable[[], object]) -> QAction:
        action = QAction(words, self._menu)
        action.triggered.connect(lambda _checked: run())
        self._menu.addAction(action)
        return action

    def _forward_to(self, run: Callable[[], object]) -> Callable[[], object]:
        def forward() -> None:
            self._actions.bring_forward()
            run()

        return forward

    def _show_or_hide(self) -> None:
        if self._actions.shown:
            self._actions.put_away()
        else:
            self._actions.bring_forward()

    def _activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        reasons = QSystemTrayIcon.ActivationReason
        # A press opens the menu on macOS.
        if reason in (reasons.Trigger, reasons.DoubleClick) and sys.platform != "darwin":
            self._actions.bring_forward()

    def _question(self) -> str:
        """Who waits for the user."""
        names: Sequence[str] = sorted({question.client.name for question in self._services.proxy.approvals.open})
        if len(names) == 1:
            return self.tr("{0} waits for your answer").format(isolated(revealed_name(names[0])))
        return self.tr("{0} agents wait for your answer").format(len(names))

    def _proxy_words(self) -> str:
        proxy = self._services.proxy
        state = proxy.status.state
        words = {
            ProxyState.OFF: self.tr("Proxy: off"),
            ProxyState.STARTING: self.tr("Proxy: starting"),
            ProxyState.STANDING_BY: self.tr("Proxy: another Burrow serves"),
            ProxyState.FAILED: self.tr("Proxy: does not run"),
        }
        if state in words:
            return words[state]
        count = sum(client.revoked_at is None for client in proxy.clients.clients)
        return self.tr("Proxy: on, 1 client") if count == 1 else self.tr("Proxy: on, {0} clients").format(count)


async def tray_appears(seconds: float) -> bool:
    """Whether the desktop has a tray, waiting for one that is still starting.

    On Linux the watcher of StatusNotifierItem is waited for on the bus, before Qt is asked, which also knows the trays
    of X.
    """
    if sys.platform.startswith("linux"):
        await _wait_for_watcher(seconds)
    return QSystemTrayIcon.isSystemTrayAvailable()


async def _wait_for_watcher(seconds: float) -> None:
    import asyncio

    from app.core.desktop.session_bus import BusTrouble, SessionBus

    try:
        async with asyncio.timeout(seconds), SessionBus() as bus:
            while not await bus.has_owner(WATCHER):  # noqa: ASYNC110 - asked again, as Qt would
                await asyncio.sleep(LOOK_SECONDS)
    except (BusTrouble, TimeoutError):
        return


def _plain(words: str) -> str:
    """`words` for a menu, where an ampersand would mark a key."""
    return words.replace("&", "&&")
