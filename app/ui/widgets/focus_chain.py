"""Where Tab goes: Qt appends every control that is made later to the end of its window's order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtWidgets import QApplication, QScrollArea, QWidget

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def order_after(anchor: QWidget, parts: Iterable[QWidget]) -> None:
    """Have Tab go from `anchor` through the controls of `parts`, and then where it went from `anchor`."""
    last = anchor
    for part in parts:
        for control in (part, *part.findChildren(QWidget)):
            # The list of a drop-down is a child of it and a window of its own.
            inside = control.window() is anchor.window()
            if inside and control.focusPolicy() & Qt.FocusPolicy.TabFocus and control.focusProxy() is None:
                _put_after(last, control)
                last = control


class TabOrder(QObject):
    """Has Tab go through `parts` of a page in their order, whatever was made later in them."""

    def __init__(self, page: QWidget, parts: Iterable[QWidget]) -> None:
        super().__init__(page)
        self._page, self._parts = page, tuple(parts)
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._restore)

    def restore_soon(self) -> None:
        """Something was made, or shown."""
        self._soon.start()

    def _restore(self) -> None:
        anchor = self._page if self._page.isWindow() else anchor_of(self._page)
        if anchor is not None:
            order_after(anchor, self._parts)


def anchor_of(root: QWidget) -> QWidget | None:
    """What comes before the controls of a widget, which is no window; None if it has none."""
    step = first_stop(root)
    while step is not None and (step is root or root.isAncestorOf(step)):
        step = step.previousInFocusChain()
    return step


def _put_after(anchor: QWidget, control: QWidget) -> None:
    policy = anchor.focusPolicy()
    # Qt ignores an anchor that cannot have the focus.
    anchor.setFocusPolicy(policy | Qt.FocusPolicy.TabFocus)
    QWidget.setTabOrder(anchor, control)
    anchor.setFocusPolicy(policy)


def stops(root: QWidget) -> Iterator[QWidget]:
    """The controls in a widget that Tab stops at, in the order of its children."""
    return (widget for widget in (root, *root.findChildren(QWidget)) if _is_stop(widget, root))


def first_stop(root: QWidget) -> QWidget | None:
    """The first control in a widget that Tab stops at."""
    return next(stops(root), None)


def last_stop(root: QWidget) -> QWidget | None:
    """The last control in a widget that Tab stops at."""
    return next((widget for widget in reversed((root, *root.findChildren(QWidget))) if _is_stop(widget, root)), None)


def show_now(part: QWidget) -> None:
    """Show what was put into a layout that is shown, so that it can have the focus. A layout itself does it later."""
    parent = part.parentWidget()
    if parent is not None and parent.isVisible():
        part.show()


def holds_focus(root: QWidget) -> bool:
    """Whether the focus is on a widget or in it."""
    focused = QApplication.focusWidget()
    return focused is not None and (focused is root or root.isAncestorOf(focused))


def reveal(widget: QWidget) -> None:
    """Scroll a widget into view once the layout around it is done."""

    def show() -> None:
        step = widget.parentWidget()
        while step is not None:
            if isinstance(step, QScrollArea):
                step.ensureWidgetVisible(widget)
            step = step.parentWidget()

    QTimer.singleShot(0, widget, show)


def _is_stop(widget: QWidget, root: QWidget) -> bool:
    return (
        bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus)
        and widget.focusProxy() is None
        and widget.isEnabled()
        and widget.window() is root.window()
        and not _taken_away(widget, root)
    )


def _taken_away(widget: QWidget, root: QWidget) -> bool:
    """Whether a widget was hidden by somebody. One that was just put into a layout is not shown yet."""
    step: QWidget | None = widget
    while step is not None and step is not root:
        if step.isHidden() and step.testAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide):
            return True
        step = step.parentWidget()
    return False
