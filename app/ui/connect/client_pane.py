"""The left part of the place: the proxy, and below it the clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal

from app.ui.connect.rows import PROXY_ROW, client_groups
from app.ui.theme import theme
from app.ui.widgets.buttons import PrimaryButton
from app.ui.widgets.feedback import ProgressLine
from app.ui.widgets.guard import guarded
from app.ui.widgets.lists import ListTable
from app.ui.widgets.page import SidePane
from app.ui.widgets.times import ticker

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent
    from PySide6.QtWidgets import QWidget

    from app.ui.connect.controller import ConnectController

NARROWEST = 208


class ClientPane(SidePane):
    """Emits `picked(key)` and `opened(key)` with the id of a client or `PROXY_ROW`, `add_wanted()`, `revoke_wanted()`
    on Del, and `switched()` on Space on the row of the proxy."""

    picked = Signal(object)
    opened = Signal(object)
    add_wanted = Signal()
    revoke_wanted = Signal()
    switched = Signal()

    def __init__(self, controller: ConnectController, parent: QWidget | None = None) -> None:
        super().__init__("", parent)
        self.setAccessibleName(self.tr("Clients"))
        self._controller = controller
        self.add_button = PrimaryButton(
            self.tr("Add client"), "plus", keys="Ctrl+Shift+L", clicked=self.add_wanted.emit
        )
        self.progress = ProgressLine(self.tr("Loading clients"))
        self.list = ListTable(self.tr("Proxy and clients"), two_lines=True)
        self.list.picked.connect(self.picked)
        self.list.opened.connect(self.opened)
        self.list.toggled.connect(lambda key: self.switched.emit() if key == PROXY_ROW else None)
        self.set_head(self.add_button)
        self.box.addWidget(self.progress)
        self.box.addWidget(self.list, 1)
        self._fit()
        theme().changed.connect(self._fit)
        # The rows say how long ago a client was used.
        ticker().tick.connect(self.show_clients)

    def show_clients(self) -> None:
        """Show proxy and clients as they are now."""
        controller = self._controller
        if controller.loading:
            self.progress.start()
        else:
            self.progress.stop()
        self.list.set_groups(client_groups(controller.clients, controller.proxy, controller.servers))

    def _fit(self) -> None:
        self.setMinimumWidth(theme().px(NARROWEST))

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        plain = event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier)
        if event.key() == Qt.Key.Key_Delete and plain and not event.isAutoRepeat():
            self.revoke_wanted.emit()
        else:
            super().keyPressEvent(event)
