"""F6: which panes a place has, and where in them the focus goes."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractItemView, QPlainTextEdit, QSplitter, QWidget


def panes_of(place: QWidget) -> list[QWidget]:
    """What the place names as its panes, else the parts of its first splitter, else the place itself."""
    named = getattr(place, "panes", None)
    if callable(named):
        panes = named()
        if isinstance(panes, Sequence):
            return [pane for pane in panes if isinstance(pane, QWidget) and pane.isVisible()]
    splitter = next((each for each in place.findChildren(QSplitter) if each.isVisible()), None)
    if splitter is None:
        return [place]
    parts = [splitter.widget(number) for number in range(splitter.count())]
    return [part for part in parts if part is not None and part.isVisible()]


def first_focus(pane: QWidget) -> QWidget | None:
    """The first control in a pane that the Tab key would reach, lists and text before the others."""
    candidates = [pane, *pane.findChildren(QWidget)]
    reachable = [
        widget
        for widget in candidates
        if widget.isVisible() and widget.isEnabled() and widget.focusPolicy() & Qt.FocusPolicy.TabFocus
    ]
    lists = [widget for widget in reachable if isinstance(widget, QAbstractItemView | QPlainTextEdit)]
    return next(iter([*lists, *reachable]), None)


def next_pane(panes: Sequence[QWidget], focused: QWidget | None, step: int) -> QWidget | None:
    """The pane after (or before) the one with the focus, round in a circle; panes without a control are passed over."""
    usable = [pane for pane in panes if first_focus(pane) is not None]
    if not usable:
        return None
    here = next((n for n, pane in enumerate(usable) if focused is not None and _holds(pane, focused)), None)
    if here is None:
        return usable[0 if step > 0 else -1]
    return usable[(here + step) % len(usable)]


def _holds(pane: QWidget, widget: QWidget) -> bool:
    return pane is widget or pane.isAncestorOf(widget)
