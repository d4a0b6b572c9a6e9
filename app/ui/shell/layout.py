"""What the window remembers between starts: size, place, drawer, look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QApplication

from app.ui.theme import apply_theme, theme

if TYPE_CHECKING:
    from PySide6.QtGui import QScreen
    from PySide6.QtWidgets import QWidget

    from app.core.storage.settings import Settings
    from app.ui.theme.apply import Mode

MODE_SETTING = "ui.mode"
SCALE_SETTING = "ui.scale"
WINDOW_SETTING = "ui.window"
PLACE_SETTING = "ui.place"
DRAWER_SETTING = "ui.drawer"

SMALLEST = QSize(720, 420)
USUAL = QSize(1180, 760)
UNBOUNDED = QSize(10_000, 10_000)
# For title bar and borders, which no platform tells before the window is shown.
FRAME = QSize(8, 40)


def dress(settings: Settings) -> None:
    """Apply the remembered look; where there is none, leave what is in force or follow the system."""
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        return
    mode, scale = settings.get(MODE_SETTING), settings.get(SCALE_SETTING)
    if mode is None and scale is None and theme().applied:
        return
    chosen: Mode = mode if mode in ("light", "dark") else "system"
    apply_theme(app, chosen, float(scale) if isinstance(scale, int | float) else 1.0)


def geometry(window: QWidget) -> list[int]:
    """Place and size of a window as JSON values: x, y, width, height, and 1 when maximized."""
    normal = window.normalGeometry()
    return [normal.x(), normal.y(), normal.width(), normal.height(), int(window.isMaximized())]


def place_window(window: QWidget, remembered: object) -> None:
    """Give a window its remembered place and size, or the usual ones; never larger than the screen that shows it."""
    current = theme()
    usual = QSize(current.px(USUAL.width()), current.px(USUAL.height()))
    window.resize(usual.boundedTo(_room(window.screen())))
    if not isinstance(remembered, list) or len(remembered) != 5:
        return
    if not all(isinstance(value, int) for value in remembered):
        return
    x, y, width, height, maximized = remembered
    shown_by = [screen for screen in QApplication.screens() if screen.availableGeometry().contains(x + 40, y + 40)]
    room = _room((shown_by or [window.screen()])[0])
    window.resize(QSize(width, height).boundedTo(room).expandedTo(SMALLEST))
    if shown_by:
        window.move(x, y)
    if maximized:
        window.setWindowState(Qt.WindowState.WindowMaximized)


def _room(screen: QScreen) -> QSize:
    """What a window may take of a screen. A picture that is drawn without one is as large as it likes."""
    return UNBOUNDED if QApplication.platformName() == "offscreen" else screen.availableSize() - FRAME


def two_sizes(remembered: object, total: int) -> list[int]:
    """Remembered heights of place and drawer, or a drawer of two fifths."""
    if isinstance(remembered, list) and len(remembered) == 2:
        sizes = [size for size in remembered if isinstance(size, int) and size > 0]
        if len(sizes) == 2:
            return sizes
    return [total * 6 // 10, total * 4 // 10]
