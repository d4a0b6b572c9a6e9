"""What is remembered of the window between starts: size, position, the place in view, the height of the drawer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint, QRect, QSize, Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from app.ui.settings import LARGEST
from app.ui.shell.window_places import (
    MAXIMIZED,
    NORMAL,
    STATES,
    WindowPlace,
    can_be_moved,
    choose_place,
    inside,
    nearest_screen,
    place_of,
    read_places,
    screens_name,
    write_places,
)
from app.ui.theme import theme

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QScreen
    from PySide6.QtWidgets import QWidget

    from app.ui.settings import UiSettings

WINDOW_SETTING = "ui.window"
PLACES_SETTING = "ui.window_places"
PLACE_SETTING = "ui.place"
START_SETTING = "ui.start"
DRAWER_SETTING = "ui.drawer"

SAVE_AFTER_MS = 400
SETTLE_MS = 600
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
        # The desktop moves windows by itself meanwhile.
        self._fit_soon = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._fit_soon.timeout.connect(self._fit)
        # The set of screens that is followed, empty before `restore`.
        self._screens = ""
        # Where it was put before it was shown, and that relative to its screen.
        self._given: tuple[QRect, QPoint] | None = None

    @property
    def place(self) -> str:
        """The place to start with: the one that the user chose, else the last one; empty when there is none."""
        chosen = self._settings.get(START_SETTING, "")
        last = self._settings.get(PLACE_SETTING, "")
        return next((each for each in (chosen, last) if isinstance(each, str) and each), "")

    def restore(self) -> None:
        """Give the window its remembered size and position, and keep it in view when screens come and go."""
        current = theme()
        usual = QSize(current.px(USUAL.width()), current.px(USUAL.height()))
        self._window.resize(usual.boundedTo(_room(self._window.screen())))
        chosen = choose_place(read_places(self._settings.get(PLACES_SETTING)))
        if chosen is None:
            self._restore_former(self._settings.get(WINDOW_SETTING))
        else:
            self._apply(*chosen)
        self._follow_screens()

    def changed(self) -> None:
        """Write the layout soon. What the desktop does to the window while screens change is not the user's choice."""
        if not self._fit_soon.isActive():
            self._save_soon.start()

    def stop(self) -> None:
        """Write nothing more: what changes while the window closes is not the user's choice."""
        self._save_soon.stop()
        self._fit_soon.stop()

    async def save(self) -> None:
        """Write the layout; await it before the storage closes."""
        self._save_soon.stop()
        for key, value in self._values().items():
            await self._settings.write(key, value)

    def _save_now(self) -> None:
        for key, value in self._values().items():
            self._settings.put(key, value)

    def _values(self) -> dict[str, object]:
        places = read_places(self._settings.get(PLACES_SETTING))
        found: dict[str, object] = {PLACES_SETTING: write_places(places, self._here())}
        # What there is not keeps the value of the last time: no place on the first page, no height of a closed drawer.
        if place := self._place():
            found[PLACE_SETTING] = place
        if heights := self._drawer():
            found[DRAWER_SETTING] = heights
        return found

    def _here(self) -> WindowPlace:
        place = place_of(self._window)
        # A window that was never shown in its normal size has no frame there: it would go up by a title bar each time.
        if self._given is None or place.state == NORMAL or self._window.normalGeometry() != self._given[0]:
            return place
        return place._replace(x=self._given[1].x(), y=self._given[1].y())

    def _apply(self, place: WindowPlace, screen: QScreen | None) -> None:
        """Place the window as it was; where its screen is gone, only its size and state."""
        window = self._window
        filled = Qt.WindowState.WindowMaximized | Qt.WindowState.WindowFullScreen
        # First: a window that fills its screen takes no other place.
        window.setWindowState(window.windowState() & ~filled)
        size = place.size.boundedTo(_room(screen or window.screen())).expandedTo(SMALLEST)
        if screen is None:
            window.resize(size)
        else:
            self._put(screen.geometry().topLeft() + QPoint(place.x, place.y), size, screen)
        window.setWindowState(window.windowState() | STATES[place.state])

    def _restore_former(self, remembered: object) -> None:
        """What was remembered before there was a place for each set of screens: x, y, width, height, maximized."""
        if not isinstance(remembered, list) or len(remembered) != 5:
            return
        if not all(isinstance(value, int) and abs(value) < LARGEST for value in remembered):
            return
        x, y, width, height, maximized = remembered
        screen = QApplication.screenAt(QPoint(x + 40, y + 40))
        at = QPoint(x, y) - (screen.geometry().topLeft() if screen is not None else QPoint())
        state = MAXIMIZED if maximized else NORMAL
        self._apply(WindowPlace("", "", at.x(), at.y(), width, height, state), screen)

    def _follow_screens(self) -> None:
        app = QGuiApplication.instance()
        if not isinstance(app, QGuiApplication) or self._screens:
            return
        self._screens = screens_name(QApplication.screens())
        for screen in QApplication.screens():
            self._follow_screen(screen)
        app.screenAdded.connect(self._screen_added)
        app.screenRemoved.connect(self._screens_changed)

    def _follow_screen(self, screen: QScreen) -> None:
        screen.geometryChanged.connect(self._screens_changed)
        screen.availableGeometryChanged.connect(self._screens_changed)

    def _screen_added(self, screen: QScreen) -> None:
        self._follow_screen(screen)
        self._screens_changed()

    def _screens_changed(self, *_: object) -> None:
        self._save_soon.stop()
        self._fit_soon.start()

    def _fit(self) -> None:
        """The screens are others now: go where the window was with them, or at least where it can be seen."""
        screens = QApplication.screens()
        if not screens:
            # The last one was switched off. There is another change when it is back.
            return
        former, self._screens = self._screens, screens_name(screens)
        chosen = choose_place(read_places(self._settings.get(PLACES_SETTING)))
        if former != self._screens and chosen is not None and chosen[0].screens == self._screens:
            self._apply(*chosen)
        elif self._window.isMaximized() or self._window.isFullScreen():
            # The desktop takes it to another screen.
            return
        elif former != self._screens or not can_be_moved(self._window.frameGeometry(), screens):
            # A window manager may have left just a corner of it in view.
            frame = self._window.frameGeometry()
            screen = nearest_screen(frame)
            self._put(frame.topLeft(), self._window.size().boundedTo(_room(screen)).expandedTo(SMALLEST), screen)

    def _put(self, at: QPoint, size: QSize, screen: QScreen) -> None:
        """Give the window a size on a screen, with its frame as near to `at` as there it can be seen whole."""
        window = self._window
        corner = inside(at, size, screen, FRAME)
        if window.isVisible():
            # At once: after one of the two, Qt would take the other in pixels of the screen that the window leaves.
            frame = window.geometry().topLeft() - window.frameGeometry().topLeft()
            window.setGeometry(QRect(corner + frame, size))
        else:
            # On Wayland the desktop alone places windows, but takes the screen of one in full screen.
            window.setScreen(screen)
            window.resize(size)
            window.move(corner)
            self._given = QRect(corner, size), corner - screen.geometry().topLeft()


def _room(screen: QScreen) -> QSize:
    """How large a window may be on a screen. Offscreen it may have any size."""
    return UNBOUNDED if QApplication.platformName() == "offscreen" else screen.availableSize() - FRAME
