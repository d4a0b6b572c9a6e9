"""Roles that Qt does not give by itself: the window is a window, titles and section heads are headings.

`install_roles(window)` once, after the first paint: the classes for it take 4 ms to load. `give_role` for what is
painted or made of other widgets, and would be a filler.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from PySide6.QtGui import QAccessible, QAccessibleInterface
from PySide6.QtWidgets import QAccessibleWidget, QWidget

from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from PySide6.QtCore import QObject

log = logging.getLogger(__name__)

HEADINGS = frozenset({"title", "section"})
ROLE = "accessibleRole"
_installed = False
_windows: list[QWidget] = []


class _Heading(QAccessibleWidget):
    """A label that assistive technology can jump to."""

    def __init__(self, label: Text) -> None:
        super().__init__(label, QAccessible.Role.Heading)

    def text(self, kind: QAccessible.Text) -> str:
        label = self.object()
        if kind == QAccessible.Text.Name and isinstance(label, Text):
            return label.accessibleName() or label.text()
        return super().text(kind)


def install_roles(window: QWidget) -> None:
    """Give a top-level window and the headings in it, now and later, their roles."""
    _windows.append(window)
    window.destroyed.connect(lambda: _windows.remove(window))
    _install()
    # Assistive technology may have asked for it before. It asks again.
    former = QAccessible.queryAccessibleInterface(window)
    if former.role() != QAccessible.Role.Window:
        QAccessible.deleteAccessibleInterface(QAccessible.uniqueId(former))


def give_role(widget: QWidget, role: QAccessible.Role) -> None:
    """Give a widget a role, before assistive technology has asked for it."""
    widget.setProperty(ROLE, role.value)
    _install()


def _install() -> None:
    global _installed
    if not _installed:
        _installed = True
        QAccessible.installFactory(_interface)


def _interface(_class_name: str, shown: QObject) -> QAccessibleInterface | None:
    """The interface of an object; None leaves it to Qt. Qt calls it: it never raises."""
    try:
        if isinstance(shown, Text) and shown.role in HEADINGS:
            return _Heading(shown)
        if isinstance(shown, QWidget):
            if any(shown is window for window in _windows):
                return QAccessibleWidget(shown, QAccessible.Role.Window)
            role = shown.property(ROLE)
            if role is not None:
                return QAccessibleWidget(shown, QAccessible.Role(role))
    except Exception:
        log.exception("no interface for assistive technology")
    return None
