"""Walks the widgets of a screen for what a person cannot read, cannot hit, or cannot have read to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations

from PySide6.QtCore import QPoint, QRect
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QScrollArea,
    QTabBar,
    QTableView,
    QWidget,
)

from app.ui.theme import tokens
from app.ui.transcript.pill import NewLinesPill
from app.ui.widgets.row_button import RowButton
from app.ui.widgets.text import ElidedLabel

FIELDS = QLineEdit | QComboBox | QAbstractSpinBox
LETTER = re.compile(r"&(\w)")
# Lines of antialiasing and of rounding to whole pixels.
SLACK = 1


def shown(root: QWidget) -> Iterator[QWidget]:
    """Every visible widget of the program's own, without the insides of Qt's."""
    for widget in root.findChildren(QWidget):
        name = widget.objectName()
        if widget.isVisible() and not name.startswith("qt_") and not widget.size().isEmpty():
            inside = widget.parentWidget()
            if not isinstance(inside, QComboBox | QLineEdit | QAbstractSpinBox | QAbstractItemView | QTabBar):
                yield widget


def told(widget: QWidget) -> str:
    """A widget as a failure names it."""
    words = widget.text() if isinstance(widget, QLabel | QAbstractButton | QLineEdit) else ""
    return f"{type(widget).__name__} {words[:40] or widget.accessibleName()[:40]!r}"


def clipped(root: QWidget) -> list[str]:
    """Words that are cut off: too little room, or beyond the edge of what holds them."""
    found = []
    for widget in shown(root):
        if isinstance(widget, QLabel) and widget.text():
            if widget.wordWrap():
                needed = widget.heightForWidth(widget.width())
                if widget.height() < needed - SLACK:
                    found.append(f"{told(widget)} has {widget.height()} of {needed} pixels in height")
            elif not isinstance(widget, ElidedLabel) and widget.width() < widget.sizeHint().width() - SLACK:
                found.append(f"{told(widget)} has {widget.width()} of {widget.sizeHint().width()} pixels in width")
        elif isinstance(widget, QAbstractButton) and not isinstance(widget, RowButton):
            hint = widget.sizeHint()
            if widget.width() < hint.width() - SLACK or widget.height() < hint.height() - SLACK:
                found.append(f"{told(widget)} is {widget.size().toTuple()}, and needs {hint.toTuple()}")
        if isinstance(widget, QLabel | QAbstractButton | FIELDS) and (edge := _beyond(widget, root)):
            found.append(f"{told(widget)} lies beyond {edge}")
    return found


def _beyond(widget: QWidget, root: QWidget) -> str:
    """The widget whose edge cuts this one off. What can be scrolled into view is not cut off."""
    down = True
    holder = widget.parentWidget()
    while holder is not None:
        place = QRect(widget.mapTo(holder, QPoint(0, 0)), widget.size())
        area = holder.parentWidget()
        if isinstance(area, QScrollArea) and holder is area.viewport():
            down = False
        if place.left() < -SLACK or place.right() > holder.width() + SLACK:
            return f"the side of {told(holder)}"
        if down and (place.top() < -SLACK or place.bottom() > holder.height() + SLACK):
            return f"the end of {told(holder)}"
        if holder is root:
            return ""
        holder = holder.parentWidget()
    return ""


def overlapping(root: QWidget) -> list[str]:
    """Pairs of words or controls of which one lies over the other."""
    kinds = QLabel | QAbstractButton | FIELDS | QAbstractScrollArea
    # The pill floats: the transcript below it can be scrolled.
    leaves = [each for each in shown(root) if isinstance(each, kinds) and not isinstance(each, NewLinesPill)]
    found = []
    for one, two in combinations(leaves, 2):
        if one.isAncestorOf(two) or two.isAncestorOf(one):
            continue
        both = _seen(one, root) & _seen(two, root)
        if both.width() > SLACK and both.height() > SLACK:
            found.append(f"{told(one)} over {told(two)}")
    return found


def _seen(widget: QWidget, root: QWidget) -> QRect:
    """The part of a widget that its holders leave, in the place it has in the window."""
    part = QRect(widget.mapTo(root, QPoint(0, 0)), widget.size())
    holder = widget.parentWidget()
    while holder is not None and holder is not root:
        part &= QRect(holder.mapTo(root, QPoint(0, 0)), holder.size())
        holder = holder.parentWidget()
    return part


def small_targets(root: QWidget, scale: float) -> list[str]:
    """What can be clicked and is smaller than a target must be."""
    least = round(tokens.TARGET * scale) - SLACK
    found = []
    for widget in shown(root):
        if isinstance(widget, QAbstractButton | FIELDS) and min(widget.width(), widget.height()) < least:
            found.append(f"{told(widget)} is {widget.width()} × {widget.height()}")
        elif isinstance(widget, QTabBar):
            rects = [widget.tabRect(at) for at in range(widget.count()) if widget.isTabVisible(at)]
            found.extend(f"a tab of {told(widget)}" for rect in rects if min(rect.width(), rect.height()) < least)
        elif isinstance(widget, QTableView) and widget.model().rowCount() and widget.rowHeight(0) < least:
            found.append(f"a row of {told(widget)}")
    return found


def misnamed(root: QWidget) -> list[str]:
    """Buttons whose name for assistive technology leaves out what they show (WCAG 2.2, 2.5.3)."""
    found = []
    for widget in shown(root):
        if isinstance(widget, QAbstractButton) and widget.text():
            interface = QAccessible.queryAccessibleInterface(widget)
            name = interface.text(QAccessible.Text.Name) if interface is not None else ""
            visible = widget.text().replace("&", "").strip(" …").casefold()
            if visible not in name.casefold():
                found.append(f"{told(widget)} is called {name!r}")
    return found


def mnemonics(root: QWidget) -> list[str]:
    """The letters that Alt leads to in what is shown."""
    texts = [each.text() for each in shown(root) if isinstance(each, QAbstractButton) or _is_caption(each)]
    return [match.group(1).casefold() for text in texts if (match := LETTER.search(text.replace("&&", "")))]


def _is_caption(widget: QWidget) -> bool:
    return isinstance(widget, QLabel) and widget.buddy() is not None
