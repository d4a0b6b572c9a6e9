"""The right side of the place: the proxy, a client, or the form of a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from app.ui.connect.client_page import ClientPage
from app.ui.connect.new_client import NewClientPage
from app.ui.connect.overview import OverviewPage
from app.ui.connect.rows import PROXY_ROW
from app.ui.theme import theme

if TYPE_CHECKING:
    from app.ui.connect.client_pane import ClientPane
    from app.ui.connect.controller import ConnectController

AT_LEAST = 280


class ConnectPages(QWidget):
    """Chooses the page of the right side, and keeps the pages up to date."""

    def __init__(self, controller: ConnectController, pane: ClientPane) -> None:
        super().__init__()
        self._controller, self._pane = controller, pane
        # A client that was asked for and is not loaded yet.
        self._wanted = ""
        # What was shown before the form of a new client. It is no longer highlighted meanwhile.
        self._before = PROXY_ROW
        self.overview = OverviewPage()
        self.client = ClientPage(controller)
        self.new = NewClientPage()
        self.stack = QStackedWidget()
        for page in (self.overview, self.client, self.new):
            self.stack.addWidget(page)
        self.setMinimumWidth(theme().px(AT_LEAST))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.stack)
        controller.changed.connect(self.update_pages)
        controller.programs_changed.connect(self.update_pages)
        controller.created.connect(self._created)
        pane.picked.connect(self._picked)
        pane.opened.connect(self._opened)
        pane.add_wanted.connect(self.add_client)
        self.new.left.connect(self._leave_new)
        self.stack.currentChanged.connect(lambda _page: None if self.shows_client else controller.hide_keys())

    @property
    def shows_client(self) -> bool:
        """Whether a client is in view."""
        return self.stack.currentWidget() is self.client

    @property
    def shows_new(self) -> bool:
        """Whether the form of a new client is in view."""
        return self.stack.currentWidget() is self.new

    def open_item(self, item: str) -> None:
        """Show a client by its id, or the proxy."""
        self._wanted = item
        self.update_pages()

    def add_client(self) -> None:
        """Open the form of a new client."""
        if not self.shows_new:
            self._before = self._pane.list.current_key() or PROXY_ROW
            self._pane.list.select_key(None, quiet=True)
            self.new.set_busy(False)
        self._fill_new()
        self.stack.setCurrentWidget(self.new)
        self.new.focus_first()

    def update_pages(self) -> None:
        """Show what is in view as it is now."""
        self._pane.show_clients()
        self.overview.show_proxy(self._controller)
        if self.shows_new:
            self._fill_new()
        elif self._wanted:
            self._follow_wanted()
        else:
            self._show_current()

    def _follow_wanted(self) -> None:
        item = self._wanted
        if item != PROXY_ROW and self._controller.client(item) is None:
            if not self._controller.loading:
                self._wanted = ""
            return
        self._wanted = ""
        # Quietly: the page is shown below, also where the row was the current one already and nothing is picked.
        self._pane.list.select_key(item, quiet=True)
        self._show(item)

    def _show_current(self) -> None:
        key = self._pane.list.current_key()
        if key is None:
            # At the start, and when the client in view is gone.
            key = PROXY_ROW
            self._pane.list.select_key(key, quiet=True)
        self._show(key)

    def _show(self, key: str) -> None:
        client = self._controller.client(key)
        if client is None:
            self.stack.setCurrentWidget(self.overview)
            return
        other = self.client.client is not None and self.client.client.id != client.id
        if other:
            self._controller.hide_keys()
        self.client.show_client(client)
        self.stack.setCurrentWidget(self.client)

    def _picked(self, key: str) -> None:
        if key:
            self._show(key)

    def _opened(self, key: str) -> None:
        self._show(key)

    def _created(self, client_id: str) -> None:
        self.new.reset()
        # Not by `_show`, which hides the key that was just made.
        client = self._controller.client(client_id)
        if client is None:
            return
        self._pane.list.select_key(client_id, quiet=True)
        self.client.setup.focus_copy()
        self.client.show_client(client)
        self.stack.setCurrentWidget(self.client)
        self._pane.list.setFocus()

    def _leave_new(self) -> None:
        self._pane.list.select_key(self._before, quiet=True)
        self._show(self._before)
        self._pane.list.setFocus()

    def _fill_new(self) -> None:
        controller = self._controller
        taken = [each.name for each in controller.clients if not each.revoked]
        self.new.show_choices(controller.programs, controller.servers, taken)
