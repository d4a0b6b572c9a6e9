"""The order in which Tab goes through the controls of a part of the window: that in which they are read.

Qt's own order is that in which the controls were made, so controls that were made later, such as the fields of a form,
would come after everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractScrollArea,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLayout,
    QScrollArea,
    QSplitter,
    QStackedWidget,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# What they contain is theirs.
WHOLE = (QAbstractSpinBox, QComboBox)


def reading_order(root: QWidget) -> list[QWidget]:
    """The controls in `root` that Tab can focus now, as the layouts place them."""
    return [each for each in _inside(root) if takes_tab(each)]


def takes_tab(widget: QWidget) -> bool:
    """Whether Tab can focus it now."""
    wanted = bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus) and widget.focusProxy() is None
    return wanted and widget.isEnabled() and widget.isVisible()


def focus_next(root: QWidget, *, forward: bool) -> bool:
    """Move the focus to the next control in `root`, or out of it at its end; False if there is no other control."""
    here = QApplication.focusWidget()
    order = reading_order(root)
    if here in order:
        place = order.index(here) + (1 if forward else -1)
        if 0 <= place < len(order):
            _focus(order[place], forward=forward)
            return True
    elif here is not None and root.isAncestorOf(here):
        return False
    beyond = _beyond(root, forward=forward)
    if beyond is None and order:
        beyond = order[0 if forward else -1]
    if beyond is None:
        return False
    _focus(beyond, forward=forward)
    return True


def _focus(widget: QWidget, *, forward: bool) -> None:
    widget.setFocus(Qt.FocusReason.TabFocusReason if forward else Qt.FocusReason.BacktabFocusReason)
    parent = widget.parentWidget()
    while parent is not None:
        if isinstance(parent, QScrollArea):
            parent.ensureWidgetVisible(widget)
        parent = parent.parentWidget()


def _beyond(root: QWidget, *, forward: bool) -> QWidget | None:
    """The next control in Qt's order that is outside `root`."""
    step: QWidget | None = root.nextInFocusChain() if forward else root.previousInFocusChain()
    while step is not None and step is not root:
        if takes_tab(step) and not root.isAncestorOf(step) and step.window() is root.window():
            return step
        step = step.nextInFocusChain() if forward else step.previousInFocusChain()
    return None


def _inside(widget: QWidget) -> Iterator[QWidget]:
    for child in _children(widget):
        if child.isHidden():
            continue
        yield child
        if isinstance(child, WHOLE) or (isinstance(child, QAbstractScrollArea) and not isinstance(child, QScrollArea)):
            continue
        yield from _inside(child)


def _children(widget: QWidget) -> Iterator[QWidget]:
    """The widgets directly in `widget`, in their order."""
    if isinstance(widget, QScrollArea):
        inner = widget.widget()
        if inner is not None:
            yield inner
    elif isinstance(widget, QStackedWidget):
        shown = widget.currentWidget()
        if shown is not None:
            yield shown
    elif isinstance(widget, QSplitter):
        for number in range(widget.count()):
            part = widget.widget(number)
            if part is not None:
                yield part
    else:
        layout = widget.layout()
        placed = [] if layout is None else list(_of_layout(layout))
        yield from placed
        # What no layout places, such as a control that is laid over another one.
        for child in widget.children():
            if isinstance(child, QWidget) and child not in placed and not child.isWindow():
                yield child


def _of_layout(layout: QLayout) -> Iterator[QWidget]:
    for number in range(layout.count()):
        item = layout.itemAt(number)
        inner, widget = (None, None) if item is None else (item.layout(), item.widget())
        if widget is not None:
            yield widget
        elif inner is not None:
            yield from _of_layout(inner)
