"""What is remembered of the window between starts: size, position, the place in view, the height of the drawer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint, QSize, Qt, QTimer
from PySide6.QtWidgets import QApplication

from app.ui.settings import LARGEST
from app.ui.theme import theme

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QScreen
    from PySide6.QtWidgets import QWidget

    from app.ui.settings import UiSettings

WINDOW_SETTING = "ui.window"
PLACE_SETTING = "ui.place"
START_SETTING = "ui.start"
DRAWER_SETTING = "ui.drawer"

SAVE_AFTER_MS = 400
SMALLEST = QSize(720, 420)
USUAL = QSize(1180, 760)
UNBOUNDED = QSize(10_000, 10_000)
# Room for title bar and borders: no platform says their size before the window is shown.
FRAME = QSize(8, 40)


class WindowLayout(QObject):
    """Restores the layout of a window, and writes it a moment after the last change.

    `place` names the place in view, `drawer` the heights of place and drawer (None while the drawer is closed).
    """

    def __init__(
        self,
        window: QWidget,
        settings: UiSettings,
        *,
        place: Callable[[], str],
        drawer: Callable[[], list[int] | None],
    ) -> None:
        super().__init__(window)
        self._window, self._settings = window, settings
        self._place, self._drawer = place, drawer
        self._save_soon = QTimer(self, singleShot=True, interval=SAVE_AFTER_MS)
        self._save_soon.timeout.connect(self._save_now)

    @property
    def place(self) -> str:
        """The place to start with: the one that the user chose, else the last one; empty when there is none."""
        chosen = self._settings.get(START_SETTING, "")
        last = self._settings.get(PLACE_SETTING, "")
        return next((each for each in (chosen, last) if isinstance(each, str) and each), "")

    def restore(self) -> None:
        """Give the window its remembered size and position."""
        _place_window(self._window, self._settings.get(WINDOW_SETTING))

    def changed(self) -> None:
        """Write the layout soon."""
        self._save_soon.start()

    def stop(self) -> None:
        """Write nothing more: what changes while the window closes is not the user's choice."""
        self._save_soon.stop()

    async def save(self) -> None:
        """Write the layout; await it before the storage closes."""
        self._save_soon.stop()
        for key, value in self._values().items():
            await self._settings.write(key, value)

    def _save_now(self) -> None:
        for key, value in self._values().items():
            self._settings.put(key, value)

    def _values(self) -> dict[str, object]:
        found: dict[str, object] = {WINDOW_SETTING: _geometry(self._window)}
        # What there is not keeps the value of the last time: no place on the first page, no height of a closed drawer.
        if place := self._place():
            found[PLACE_SETTING] = place
        if heights := self._drawer():
            found[DRAWER_SETTING] = heights
        return found


def _geometry(window: QWidget) -> list[int]:
    """Position and size of a window as JSON values: x, y, width, height, and 1 when maximized."""
    # Of a maximized window this is the size to go back to.
    normal = window.normalGeometry()
    # `move` places the frame. Without its share the window would wander with each start.
    at = normal.topLeft() - (window.geometry().topLeft() - window.frameGeometry().topLeft())
    return [at.x(), at.y(), normal.width(), normal.height(), int(window.isMaximized())]


def _place_window(window: QWidget, remembered: object) -> None:
    """Give a window its remembered position and size, or the usual ones, but never more than its screen has."""
    current = theme()
    usual = QSize(current.px(USUAL.width()), current.px(USUAL.height()))
    window.resize(usual.boundedTo(_room(window.screen())))
    if not isinstance(remembered, list) or len(remembered) != 5:
        return
    # Qt's coordinates are of 24 bits.
    if not all(isinstance(value, int) and abs(value) < LARGEST for value in remembered):
        return
    x, y, width, height, maximized = remembered
    # The screen may be gone. A point of the title bar must be on one, or the window could not be moved back.
    shown_by = [screen for screen in QApplication.screens() if screen.availableGeometry().contains(x + 40, y + 40)]
    room = _room((shown_by or [window.screen()])[0])
    window.resize(QSize(width, height).boundedTo(room).expandedTo(SMALLEST))
    if shown_by:
        window.move(_inside(QPoint(x, y), window.size(), shown_by[0]))
    if maximized:
        window.setWindowState(Qt.WindowState.WindowMaximized)


def _inside(at: QPoint, size: QSize, screen: QScreen) -> QPoint:
    """The place nearest to `at` where nothing of the window is off the screen, as far as it has room for it."""
    area, whole = screen.availableGeometry(), size + FRAME
    right, bottom = area.right() + 1 - whole.width(), area.bottom() + 1 - whole.height()
    return QPoint(max(area.left(), min(at.x(), right)), max(area.top(), min(at.y(), bottom)))


def _room(screen: QScreen) -> QSize:
    """How large a window may be on a screen. Offscreen it may have any size."""
    return UNBOUNDED if QApplication.platformName() == "offscreen" else screen.availableSize() - FRAME
