"""The Servers place: servers on the left, a server or one of its tools on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.ui.widgets.places import EmptyState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.services import Backend
    from app.ui.context import Command, Context


class ServersPlace(QWidget):
    """A `PlaceWidget`."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        box = QHBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(EmptyState(self.tr("No server selected")))

    def set_backend(self, backend: Backend | None) -> None:
        """Show the servers of this backend's account and project."""

    def activate(self) -> None:
        """The place came into view."""

    def refresh(self) -> None:
        """F5."""

    def focus_filter(self) -> None:
        """`/` and Ctrl+F."""

    def open_item(self, item: str) -> None:
        """Show a server by its id."""

    def commands(self) -> Sequence[Command]:
        return []
