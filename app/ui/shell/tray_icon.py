"""The icon in the tray: that of the application, with a mark while something needs the user."""

from __future__ import annotations

from enum import Enum

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QIcon, QPainter, QPen, QPixmap

from app.ui.theme.app_icon import paint_app_icon
from app.ui.theme.tokens import LIGHT

SIZES = (16, 22, 24, 32, 48, 64)
# Of the side of the icon.
MARK = 0.62
EDGE = 0.06


class TrayState(Enum):
    """What the icon says. The values are the marks: told apart by their shape, not by a colour alone."""

    WELL = ""
    SIGN_IN = "!"
    ASKS = "?"


def tray_icon(state: TrayState) -> QIcon:
    """The icon in every size that trays ask for."""
    result = QIcon()
    for size in SIZES:
        image = QPixmap(size, size)
        image.fill(Qt.GlobalColor.transparent)
        painter = QPainter(image)
        paint_app_icon(painter, QRectF(0, 0, size, size))
        if state.value:
            _paint_mark(painter, size, state)
        painter.end()
        result.addPixmap(image)
    return result


def _paint_mark(painter: QPainter, size: int, state: TrayState) -> None:
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    side, edge = size * MARK, size * EDGE
    disc = QRectF(size - side, size - side, side, side).adjusted(edge, edge, -edge / 2, -edge / 2)
    painter.setPen(QPen(QColor("white"), max(1.0, edge)))
    painter.setBrush(QColor(LIGHT.attention if state is TrayState.SIGN_IN else LIGHT.bad))
    painter.drawEllipse(disc)
    font = QFont()
    font.setBold(True)
    font.setPixelSize(max(7, round(disc.height() * 0.85)))
    painter.setFont(font)
    painter.setPen(QColor("white"))
    painter.drawText(disc.translated(QPointF(0, 0)), Qt.AlignmentFlag.AlignCenter, state.value)
