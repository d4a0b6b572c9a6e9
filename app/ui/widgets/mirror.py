"""Where a part of a widget lies that is measured from the left, whichever side its language begins at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF

if TYPE_CHECKING:
    from PySide6.QtCore import QRect
    from PySide6.QtWidgets import QWidget


def mirrored(part: QRectF | QRect, widget: QWidget) -> QRectF:
    """The part, or its mirror from right to left. A painter of the widget mirrors the alignment of text by itself."""
    found = QRectF(part)
    if widget.isRightToLeft():
        found.moveLeft(widget.width() - found.right())
    return found
