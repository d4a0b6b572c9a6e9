"""Where the focus goes when its control is hidden, disabled or removed: to what stands nearest in the same part.

Qt gives it to the next control of the window's tab order, which may be in another pane: the next arrow key would then
change something else. `focus.show_focus_ring(window)` calls `keep_focus`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, Qt, QTimer
from PySide6.QtWidgets import QApplication, QScrollArea, QWidget
from shiboken6 import isValid

from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGES = frozenset({QEvent.Type.Hide, QEvent.Type.Show, QEvent.Type.EnabledChange})


class _Control(NamedTuple):
    """A control with its place in the window, what holds it, from the inside outwards, and what was shown beside it."""

    widget: QWidget
    place: QPoint
    holders: tuple[QWidget, ...]
    beside: frozenset[QWidget] = frozenset()


class FocusKeeper(QObject):
    """Follows the focus in a window.

    A control that comes back gets the focus back, unless a person or the program has moved it meanwhile.
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._current: _Control | None = None
        self._lost: _Control | None = None
        # Who got the focus of the lost control: Qt's choice, then ours. Anybody else got it from somebody.
        self._given: QWidget | None = None
        # Between the loss and what Qt does with the focus, which may be nothing.
        self._awaiting = False
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._settle)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.focusChanged.connect(self._changed)

    @guarded()
    def _changed(self, old: QWidget | None, new: QWidget | None) -> None:
        if new is None:
            # The window was left, or the control was destroyed.
            self._soon.start()
        elif self._window.isAncestorOf(new):
            current = self._current
            if current is not None and current.widget is old and _gone(old) and not self._is_lost(old):
                # Qt moves the focus of a disabled control before it tells that it is disabled.
                self._lose(self._described(old) if isValid(old) else current)
            if self._awaiting and self._may_be_qts(new):
                self._given = new
            elif new is not self._given:
                self._forget()
            self._follow(new)
        self._awaiting = False

    def _is_lost(self, widget: QWidget) -> bool:
        return self._lost is not None and self._lost.widget is widget

    def _follow(self, widget: QWidget) -> None:
        former, self._current = self._current, self._described(widget)
        self._leave(former)
        widget.installEventFilter(self)

    def _leave(self, control: _Control | None) -> None:
        """Watch a control no longer, unless it has the focus or has lost it."""
        if control is None or not isValid(control.widget) or self._is_lost(control.widget):
            return
        if self._current is None or self._current.widget is not control.widget:
            control.widget.removeEventFilter(self)

    def _described(self, widget: QWidget) -> _Control:
        holders = []
        holder = widget.parentWidget()
        while holder is not None:
            holders.append(holder)
            holder = None if holder is self._window else holder.parentWidget()
        return _Control(widget, widget.mapTo(self._window, widget.rect().center()), tuple(holders))

    def _lose(self, control: _Control) -> None:
        # Of several that are hidden in turn, the first one had the focus by choice.
        if self._lost is None or not self._soon.isActive():
            self._forget()
            shown = (each for each in self._window.findChildren(QWidget) if each.isVisible())
            self._lost, self._given = control._replace(beside=frozenset(shown)), None
            if isValid(control.widget):
                control.widget.installEventFilter(self)
        self._awaiting = True
        # In a later turn of the loop: what takes its place may be shown after it is hidden.
        self._soon.start()

    def _forget(self) -> None:
        lost, self._lost, self._given = self._lost, None, None
        self._leave(lost)

    @guarded()
    def _settle(self) -> None:
        current = self._current
        if self._lost is None and current is not None and not isValid(current.widget):
            self._lost = current
        lost = self._lost
        if lost is None or not self._window.isVisible():
            return
        if not self._undisturbed():
            self._forget()
        elif not _gone(lost.widget):
            self._forget()
            self._give(lost.widget)
        elif (target := next(self._nearest(lost), None)) is not None:
            self._given = target
            self._give(target)
        self._awaiting = False

    def _undisturbed(self) -> bool:
        """Whether the focus is where it went by itself."""
        focused: QWidget | None = self._window.focusWidget()
        if focused is None or focused is self._given or _gone(focused):
            return True
        # While the window is not active, nobody tells who got the focus.
        return self._awaiting and self._may_be_qts(focused)

    def _may_be_qts(self, widget: QWidget) -> bool:
        """Whether Qt may have chosen this control: what is shown only since got the focus from the program."""
        return self._lost is None or widget in self._lost.beside

    def _give(self, target: QWidget) -> None:
        if self._window.focusWidget() is not target:
            target.setFocus(Qt.FocusReason.OtherFocusReason)

    def _nearest(self, lost: _Control) -> Iterator[QWidget]:
        """The controls that can take the focus: inside the nearest holder first, there the nearest first."""
        for holder in lost.holders:
            if isValid(holder) and holder.isVisible():
                found = [each for each in holder.findChildren(QWidget) if self._takes(each, lost)]
                yield from sorted(found, key=lambda each: self._distance(each, lost))

    def _takes(self, widget: QWidget, lost: _Control) -> bool:
        return (
            bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus)
            and widget.isVisible()
            and widget.isEnabled()
            and widget is not lost.widget
            and widget not in lost.holders
            # A key that is pressed again must not destroy anything.
            and widget.property("kind") != "danger"
        )

    def _distance(self, widget: QWidget, lost: _Control) -> tuple[bool, bool, int]:
        """What was shown in its place before what stood beside it, and controls before areas that only scroll."""
        area = QRect(widget.mapTo(self._window, QPoint(0, 0)), widget.size())
        across = max(area.left() - lost.place.x(), 0, lost.place.x() - area.right())
        down = max(area.top() - lost.place.y(), 0, lost.place.y() - area.bottom())
        return isinstance(widget, QScrollArea), widget in lost.beside, across + down

    @guarded(default=False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in CHANGES and isinstance(watched, QWidget):
            if self._current is not None and watched is self._current.widget and _gone(watched):
                # Controls are hidden once more while their window is destroyed.
                if isValid(self._window) and self._window.isVisible():
                    self._lose(self._described(watched))
                    # Of a hidden control Qt moves the focus after this event, of a disabled one before it.
                    self._awaiting = event.type() == QEvent.Type.Hide
            elif self._lost is not None and watched is self._lost.widget and not _gone(watched):
                self._settle()
        return False


def _gone(control: QWidget) -> bool:
    return not isValid(control) or not control.isVisible() or not control.isEnabled()


def keep_focus(window: QWidget) -> FocusKeeper:
    """Keep the focus of a top-level window in the part in which its control was."""
    return FocusKeeper(window)
