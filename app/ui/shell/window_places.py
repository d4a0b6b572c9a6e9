"""Where the window was, for each set of screens it was used with: a laptop alone, at the desk, at a projector.

Positions are kept relative to the screen, because a screen gets other coordinates when another one is plugged in. Qt
gives them, and sizes, in pixels independent of the screen's scale.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtWidgets import QApplication

from app.ui.settings import LARGEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QScreen
    from PySide6.QtWidgets import QWidget

# Sets of screens that are remembered. The one that was not used for longest is forgotten first.
MOST = 8
NORMAL, MAXIMIZED, FULL_SCREEN = "normal", "maximized", "full-screen"
STATES = {
    NORMAL: Qt.WindowState.WindowNoState,
    MAXIMIZED: Qt.WindowState.WindowMaximized,
    FULL_SCREEN: Qt.WindowState.WindowFullScreen,
}


class WindowPlace(NamedTuple):
    """`x` and `y` of the frame, from the corner of the screen, and the size without the frame.

    While the window is maximized or in full screen they are what it goes back to. `screens` and `screen` name the set
    of screens and the one among them.
    """

    screens: str
    screen: str
    x: int
    y: int
    width: int
    height: int
    state: str = NORMAL

    @property
    def size(self) -> QSize:
        return QSize(self.width, self.height)


def screen_name(screen: QScreen) -> str:
    """What a screen is known by: its maker's number, where it has one, else the socket it is plugged into."""
    number = screen.serialNumber()
    return _short(f"{screen.manufacturer()} {screen.model()} {number}" if number else screen.name())


def screens_name(screens: Sequence[QScreen]) -> str:
    """What a set of screens is known by: the screens and how they are arranged."""
    each = sorted(f"{screen_name(screen)} {_rectangle(screen.geometry())}" for screen in screens)
    return _short(";".join(each))


def read_places(stored: object) -> list[WindowPlace]:
    """The places as they were stored, the one used last at the end. What makes no sense is left out."""
    if not isinstance(stored, list):
        return []
    return [WindowPlace(*each) for each in stored[-MOST:] if isinstance(each, list) and _makes_sense(each)]


def write_places(places: Sequence[WindowPlace], place: WindowPlace) -> list[list[object]]:
    """The places with a new one, as JSON values."""
    kept = [each for each in places if each.screens != place.screens]
    return [list(each) for each in (*kept, place)][-MOST:]


def place_of(window: QWidget) -> WindowPlace:
    """Where a window is now."""
    screen = window.screen()
    # Of a maximized window this is the size to go back to.
    normal = window.normalGeometry()
    # `move` places the frame. Without its share the window would wander with each start.
    at = normal.topLeft() - (window.geometry().topLeft() - window.frameGeometry().topLeft())
    relative = at - screen.geometry().topLeft()
    state = FULL_SCREEN if window.isFullScreen() else MAXIMIZED if window.isMaximized() else NORMAL
    return WindowPlace(
        screens_name(QApplication.screens()),
        screen_name(screen),
        relative.x(),
        relative.y(),
        normal.width(),
        normal.height(),
        state,
    )


def choose_place(places: Sequence[WindowPlace]) -> tuple[WindowPlace, QScreen | None] | None:
    """The place for the screens there are now, and its screen.

    First that of the same set of screens, then the last one on a screen that is there, then the last one, whose screen
    is gone: of that only the size counts.
    """
    screens = {screen_name(each): each for each in QApplication.screens()}
    now = screens_name(QApplication.screens())
    for place in reversed(places):
        if place.screens == now and place.screen in screens:
            return place, screens[place.screen]
    for place in reversed(places):
        if place.screen in screens:
            return place, screens[place.screen]
    return (places[-1], None) if places else None


def can_be_moved(frame: QRect, screens: Sequence[QScreen]) -> bool:
    """Whether enough of a window's title bar is on a screen to take hold of it."""
    title = QRect(frame.left(), frame.top(), frame.width(), TITLE.height())
    shown = (screen.availableGeometry().intersected(title) for screen in screens)
    return any(each.width() >= TITLE.width() and each.height() >= TITLE.height() // 2 for each in shown)


# What must be seen of the title bar.
TITLE = QSize(80, 24)


def nearest_screen(frame: QRect) -> QScreen:
    """The screen that shows most of a rectangle, else the nearest one."""

    def order(screen: QScreen) -> tuple[int, int]:
        shown = screen.geometry().intersected(frame)
        between = screen.geometry().center() - frame.center()
        return -shown.width() * shown.height() if not shown.isEmpty() else 0, between.manhattanLength()

    return min(QApplication.screens(), key=order)


def inside(at: QPoint, size: QSize, screen: QScreen, frame: QSize) -> QPoint:
    """The place nearest to `at` where nothing of a window is off the screen, as far as it has room for it."""
    area, whole = screen.availableGeometry(), size + frame
    right, bottom = area.right() + 1 - whole.width(), area.bottom() + 1 - whole.height()
    return QPoint(max(area.left(), min(at.x(), right)), max(area.top(), min(at.y(), bottom)))


def _makes_sense(values: list[object]) -> bool:
    if len(values) != len(WindowPlace._fields):
        return False
    *names, x, y, width, height, state = values
    numbers = (x, y, width, height)
    return (
        all(isinstance(each, str) for each in names)
        # Qt's coordinates are of 24 bits. True is a number, and no size.
        and all(type(each) is int and abs(each) < LARGEST for each in numbers)
        and isinstance(state, str)
        and state in STATES
    )


def _rectangle(area: QRect) -> str:
    return f"{area.width()}x{area.height()}+{area.x()}+{area.y()}"


def _short(text: str) -> str:
    return f"{zlib.crc32(text.encode('utf-8', 'replace')):08x}"
