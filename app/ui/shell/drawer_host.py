"""The place above, the activity drawer below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal

from app.ui.shell.layout import DRAWER_SETTING
from app.ui.shell.panes import holds_focus
from app.ui.widgets.page import RememberedSplitter

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtWidgets import QWidget

    from app.core.services import Services
    from app.ui.bridge import Bridge
    from app.ui.settings import UiSettings
    from app.ui.shell.drawer import ActivityDrawer


class DrawerHost(RememberedSplitter):
    """Builds the drawer when it is first opened. `focus_left()` when it closes while it has the focus."""

    focus_left = Signal()

    def __init__(
        self, above: QWidget, services: Services, bridge: Bridge, settings: UiSettings, moved: Callable[[], None]
    ) -> None:
        super().__init__(Qt.Orientation.Vertical, [above], [500], lambda _sizes: moved())
        self._services, self._bridge, self._settings = services, bridge, settings
        self.drawer: ActivityDrawer | None = None

    def toggle(self) -> None:
        """Open or close the drawer."""
        if self.drawer is not None and self.drawer.isVisible():
            self.close_drawer()
            return
        drawer = self.drawer or self._build()
        drawer.setVisible(True)
        drawer.filter.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def close_drawer(self) -> None:
        """Hide the drawer."""
        if self.drawer is None:
            return
        # Qt moves the focus as soon as the drawer is hidden.
        had_focus = holds_focus(self.drawer)
        self.drawer.setVisible(False)
        if had_focus:
            self.focus_left.emit()

    def heights(self) -> list[int] | None:
        """The heights of place and drawer, None while that is closed."""
        return self.sizes() if self.drawer is not None and self.drawer.isVisible() else None

    def _build(self) -> ActivityDrawer:
        from app.ui.shell.drawer import ActivityDrawer

        drawer = self.drawer = ActivityDrawer(self._services, self._bridge)
        drawer.closed.connect(self.close_drawer)
        self.addWidget(drawer)
        total = self.height()
        self.setSizes(self._settings.sizes(DRAWER_SETTING) or [total * 6 // 10, total * 4 // 10])
        return drawer
