"""The icon of the application: the mouth of a burrow. Painted, so that every size comes from one drawing."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPainterPath, QPixmap

from app.ui.theme.tokens import DARK, LIGHT

GRID = 64.0
SIZES = (16, 22, 24, 32, 48, 64, 128, 256)


def app_icon() -> QIcon:
    """Every size that task bars, window lists and docks ask for. Takes some milliseconds: call it after the start."""
    result = QIcon()
    for size in SIZES:
        result.addPixmap(_pixmap(size))
    return result


def paint_app_icon(painter: QPainter, rect: QRectF) -> None:
    """Paint it into a square. The colours are the same on light and dark: the task bar is not ours."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(rect.topLeft())
    painter.scale(rect.width() / GRID, rect.height() / GRID)
    ground = QPainterPath()
    ground.addRoundedRect(QRectF(2, 2, 60, 60), 14, 14)
    painter.fillPath(ground, QColor(LIGHT.accent))
    painter.fillPath(_arch(12, 16, 40, 28), QColor(LIGHT.selection))
    painter.fillPath(_arch(22, 26, 20, 18), QColor(DARK.window))
    floor = QPainterPath()
    floor.addRect(QRectF(8, 44, 48, 4))
    painter.fillPath(floor, QColor(LIGHT.selection))
    painter.restore()


def _arch(left: float, top: float, width: float, height: float) -> QPainterPath:
    """A half circle on straight sides, down to the floor."""
    path = QPainterPath()
    path.moveTo(left, top + height)
    path.lineTo(left, top + width / 2)
    path.arcTo(QRectF(left, top, width, width), 180, -180)
    path.lineTo(left + width, top + height)
    path.closeSubpath()
    return path


def _pixmap(size: int) -> QPixmap:
    image = QPixmap(size, size)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    paint_app_icon(painter, QRectF(0, 0, size, size))
    painter.end()
    return image
