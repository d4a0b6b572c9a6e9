"""What the window shows of the host: the page or the place, the account, and how its credential stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from app.core.storage import Scope
    from app.ui.shell.window_parts import WindowParts


class ShownHost(QObject):
    """Brings the window up to date with the follower of the host, and has the user choose another one."""

    def __init__(self, window: WindowParts, parent: QWidget) -> None:
        super().__init__(parent)
        self._window = window
        follower = window.follower
        follower.backend_changed.connect(self._show_backend)
        follower.account_changed.connect(self._show_account)
        follower.account_left.connect(self._ask_about)
        follower.status_changed.connect(self._show_status)

    def choose(self, choosing: bool) -> None:
        """Show the choice of servers, or leave it for the place that was shown."""
        self._window.pages.choosing_host = choosing
        self._choose_page()

    def _show_backend(self) -> None:
        window = self._window
        # The choice has been made.
        window.pages.choosing_host = False
        window.corner.set_message("")
        window.sign_ins.reset()
        window.dialogs.close_details()
        window.previous_account.forget()
        self._tell_places()

    def _show_account(self) -> None:
        self._window.corner.refresh()
        self._tell_places()

    def _ask_about(self, former: Scope, name: str) -> None:
        """The places have saved by now what was being typed: that belongs to the former account too."""
        self._window.previous_account.forget()
        self._window.previous_account.ask(former, name)

    def _show_status(self) -> None:
        window = self._window
        window.corner.set_backend(window.backend)
        window.sign_ins.show()
        self._choose_page()

    def _tell_places(self) -> None:
        window = self._window
        window.stack.set_backend(window.backend)
        window.rail.set_places(window.stack.available())
        window.backend_shown.emit(window.backend)

    def _choose_page(self) -> None:
        """Show the first page or the places."""
        window = self._window
        turned = window.pages.choose()
        if not window.pages.shows_places:
            return
        # The host may not have the place in view, such as the lab.
        if not window.stack.can_show(window.current):
            window.stack.show_first(window.layout_memory.place)
        if turned and window.isVisible():
            window.navigation.focus_place()
