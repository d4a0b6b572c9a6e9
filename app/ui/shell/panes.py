"""F6: which pane comes next, and where in it the focus goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractItemView, QApplication, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.ui.place import Place


# By their names: what they are is not loaded for this.
LISTS = ("QPlainTextEdit", "TranscriptView")


def first_focus(pane: QWidget) -> QWidget | None:
    """The first control in a pane that the Tab key would reach, lists and text before the others."""
    candidates = [pane, *pane.findChildren(QWidget)]
    reachable = [
        widget
        for widget in candidates
        if widget.isVisible() and widget.isEnabled() and widget.focusPolicy() & Qt.FocusPolicy.TabFocus
    ]
    lists = [
        widget
        for widget in reachable
        if isinstance(widget, QAbstractItemView) or any(widget.inherits(name) for name in LISTS)
    ]
    return next(iter([*lists, *reachable]), None)


def holds_focus(widget: QWidget | None) -> bool:
    """Whether the focus is inside a widget."""
    focused = QApplication.focusWidget()
    return widget is not None and focused is not None and widget.isAncestorOf(focused)


def visible_panes(place: Place) -> list[QWidget]:
    """The parts of a place that F6 can reach now."""
    return [pane for pane in place.panes() if pane.isVisible()]


def move_focus(panes: Sequence[QWidget], step: int) -> None:
    """Put the focus into the next or previous pane."""
    pane = next_pane(panes, QApplication.focusWidget(), step)
    target = first_focus(pane) if pane is not None else None
    if target is not None:
        target.setFocus(Qt.FocusReason.TabFocusReason)


def next_pane(panes: Sequence[QWidget], focused: QWidget | None, step: int) -> QWidget | None:
    """The pane after or before the one with the focus, in a circle. Panes without a control are skipped.

    An area within a pane stands after it, and is what has the focus then.
    """
    usable = [pane for pane in panes if first_focus(pane) is not None]
    if not usable:
        return None
    holding = [n for n, pane in enumerate(usable) if focused is not None and _holds(pane, focused)]
    here = holding[-1] if holding else None
    if here is None:
        return usable[0 if step > 0 else -1]
    return usable[(here + step) % len(usable)]


def _holds(pane: QWidget, widget: QWidget) -> bool:
    return pane is widget or pane.isAncestorOf(widget)
