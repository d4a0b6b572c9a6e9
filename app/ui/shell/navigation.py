"""Which place is in view, the way back and forward, and where the focus goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt

from app.ui.shell.panes import first_focus, holds_focus, visible_panes

if TYPE_CHECKING:
    from app.ui.shell.place_stack import PlaceStack


STOPS_KEPT = 100

Stop = tuple[str, str | None]


class History:
    """Visited stops, each a place and perhaps an item in it. A visit after going back drops the stops ahead."""

    def __init__(self) -> None:
        self._stops: list[Stop] = []
        self._here = -1

    def visit(self, place: str, item: str | None) -> None:
        """Record where the user is now. The same stop twice in a row counts once."""
        stop = (place, item)
        if self._here >= 0 and self._stops[self._here] == stop:
            return
        del self._stops[self._here + 1 :]
        self._stops.append(stop)
        del self._stops[:-STOPS_KEPT]
        self._here = len(self._stops) - 1

    def back(self) -> Stop | None:
        """The previous stop, if there is one."""
        return self._move(-1)

    def forward(self) -> Stop | None:
        """The next stop, after going back; None at the end."""
        return self._move(1)

    def _move(self, step: int) -> Stop | None:
        if not 0 <= self._here + step < len(self._stops):
            return None
        self._here += step
        return self._stops[self._here]


class Navigation(QObject):
    """Goes from place to place, back and forward."""

    def __init__(self, stack: PlaceStack) -> None:
        super().__init__(stack)
        self._stack = stack
        self._history = History()

    def go(self, place: str, item: str | None = None) -> None:
        """Show a place and, in it, an item; the focus goes along."""
        # Before the former place is hidden: Qt then moves the focus to the next widget.
        stays = place == self._stack.current_id and holds_focus(self._stack.current)
        if not self._stack.show_place(place):
            return
        self._history.visit(place, item)
        if not stays:
            self.focus_place()
        self._open(item)

    def look_at(self, place: str) -> None:
        """Show a place while the focus stays in the rail."""
        if self._stack.show_place(place):
            self._history.visit(place, None)

    def back(self) -> None:
        """Show the previous stop."""
        self._return_to(self._history.back())

    def forward(self) -> None:
        """Show the stop that `back` left."""
        self._return_to(self._history.forward())

    def focus_place(self) -> None:
        """Put the focus on the first control of the place in view."""
        place = self._stack.current
        if place is None:
            return
        found = (first_focus(part) for part in (*visible_panes(place), place))
        target = next((each for each in found if each is not None), None)
        if target is not None:
            target.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _return_to(self, stop: Stop | None) -> None:
        # Not recorded as a visit: that would drop the stops ahead.
        if stop is not None and self._stack.show_place(stop[0]):
            self._open(stop[1])

    def _open(self, item: str | None) -> None:
        if item is not None and self._stack.current is not None:
            self._stack.current.open_item(item)
