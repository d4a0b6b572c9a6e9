"""The line icons: strokes on a 16 x 16 grid, painted in any colour and size.

A drawing is a string of commands: `M x y` move, `L x y …` lines, `C x1 y1 x2 y2 x y` curve, `Z` close,
`O x y r` circle, `D x y r` filled disc, `A x y r start sweep` arc in degrees (counter-clockwise from three o'clock).
"""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPainterPath, QPen, QPixmap

from app.ui.theme.apply import theme
from app.ui.theme.tokens import GLYPH, ICON

GRID = 16.0
STROKE = 1.4

DRAWINGS: dict[str, str] = {
    "activity": "M 1.5 8 L 4.5 8 L 6.5 3 L 9.5 13 L 11.5 8 L 14.5 8",
    "archive": "M 2 3 L 14 3 L 14 6 L 2 6 Z M 3 6 L 3 13 L 13 13 L 13 6 M 6.5 9 L 9.5 9",
    "back": "M 9.5 3.5 L 5 8 L 9.5 12.5",
    "block": "O 8 8 5.5 M 4.2 4.2 L 11.8 11.8",
    "check": "M 3 8.5 L 6.5 12 L 13 4.5",
    "chevron-down": "M 4 6 L 8 10 L 12 6",
    "chevron-right": "M 6 4 L 10 8 L 6 12",
    "chevron-up": "M 4 10 L 8 6 L 12 10",
    "clock": "O 8 8 5.5 M 8 5 L 8 8.2 L 10.2 9.6",
    "copy": "M 6 6 L 13.5 6 L 13.5 13.5 L 6 13.5 Z M 10 6 L 10 2.5 L 2.5 2.5 L 2.5 10 L 6 10",
    "cross": "M 4 4 L 12 12 M 12 4 L 4 12",
    "dashed": "A 8 8 5.5 10 45 A 8 8 5.5 82 45 A 8 8 5.5 154 45 A 8 8 5.5 226 45 A 8 8 5.5 298 45",
    "document": (
        "M 4 2 L 9.5 2 L 12.5 5 L 12.5 14 L 4 14 Z M 9.5 2 L 9.5 5 L 12.5 5 M 6 8.5 L 10.5 8.5 M 6 11 L 10.5 11"
    ),
    "dot": "D 8 8 4.2",
    "download": "M 8 2.5 L 8 10 M 4.8 7 L 8 10.2 L 11.2 7 M 3 13.2 L 13 13.2",
    "edit": "M 3 13 L 3.6 10.2 L 10.6 3.2 L 12.8 5.4 L 5.8 12.4 Z M 9.2 4.6 L 11.4 6.8",
    "external": "M 9 3 L 13 3 L 13 7 M 13 3 L 7.5 8.5 M 11 9.5 L 11 13 L 3 13 L 3 5 L 6.5 5",
    "eye": "M 1.5 8 C 4.5 3.2 11.5 3.2 14.5 8 C 11.5 12.8 4.5 12.8 1.5 8 Z O 8 8 2",
    "filter": "M 2 4 L 14 4 M 4.5 8 L 11.5 8 M 6.8 12 L 9.2 12",
    "folder": "M 2 4 L 6.2 4 L 7.8 5.8 L 14 5.8 L 14 13 L 2 13 Z",
    "forward": "M 6.5 3.5 L 11 8 L 6.5 12.5",
    "home": "M 2.5 7.5 L 8 2.8 L 13.5 7.5 M 4 6.5 L 4 13 L 12 13 L 12 6.5",
    "image": "M 2 3 L 14 3 L 14 13 L 2 13 Z O 5.6 6.4 1.2 M 2.4 12.2 L 6.6 8.6 L 9 10.6 L 11 8.8 L 13.8 11.4",
    "info": "O 8 8 5.8 M 8 7.4 L 8 11 D 8 5.1 0.85",
    "key": "O 5.2 10.8 2.7 M 7.1 8.9 L 13 3 M 10.6 5.4 L 12.6 7.4",
    "keyboard": (
        "M 1.5 4 L 14.5 4 L 14.5 12 L 1.5 12 Z M 5 9.8 L 11 9.8 D 4.2 6.8 0.8 D 6.8 6.8 0.8 D 9.3 6.8 0.8 "
        "D 11.8 6.8 0.8"
    ),
    "lab": (
        "M 6.3 2.2 L 6.3 6.3 L 2.8 12.3 L 3.6 13.6 L 12.4 13.6 L 13.2 12.3 L 9.7 6.3 L 9.7 2.2 "
        "M 5.2 2.2 L 10.8 2.2 M 4.6 9.8 L 11.4 9.8"
    ),
    "link": (
        "M 6.8 9.2 C 5.4 7.8 5.6 6.6 6.6 5.6 L 8.6 3.6 C 11 1.6 14.4 5 12.4 7.4 L 11 8.8 "
        "M 9.2 6.8 C 10.6 8.2 10.4 9.4 9.4 10.4 L 7.4 12.4 C 5 14.4 1.6 11 3.6 8.6 L 5 7.2"
    ),
    "lock": "M 3.5 7.2 L 12.5 7.2 L 12.5 13.5 L 3.5 13.5 Z M 5.5 7.2 L 5.5 5 C 5.5 1.8 10.5 1.8 10.5 5 L 10.5 7.2",
    "minus": "M 3.5 8 L 12.5 8",
    "more": "D 3.5 8 1.15 D 8 8 1.15 D 12.5 8 1.15",
    "offline": (
        "M 4.6 12.5 C 1.2 12.5 1.2 8.2 4.2 8 C 4.2 6.6 5 5.4 6.2 4.8 "
        "M 8.4 4.2 C 10.6 4.2 12 5.8 12 7.8 C 14.4 8.2 15 10.6 13.4 12 M 2.5 2.5 L 13.5 13.5"
    ),
    "pin": "M 5.5 2.5 L 10.5 2.5 M 6.2 2.5 L 6.2 6.5 L 4.2 9.2 L 11.8 9.2 L 9.8 6.5 L 9.8 2.5 M 8 9.2 L 8 14",
    "play": "M 5 3 L 12.5 8 L 5 13 Z",
    "plus": "M 8 3 L 8 13 M 3 8 L 13 8",
    "project": (
        "M 2.5 2.5 L 7 2.5 L 7 7 L 2.5 7 Z M 9 2.5 L 13.5 2.5 L 13.5 7 L 9 7 Z "
        "M 2.5 9 L 7 9 L 7 13.5 L 2.5 13.5 Z M 9 9 L 13.5 9 L 13.5 13.5 L 9 13.5 Z"
    ),
    "question": "O 8 8 5.8 M 6.3 6.5 C 6.3 4.2 9.8 4.2 9.8 6.5 C 9.8 7.9 8 7.8 8 9.3 D 8 11.4 0.8",
    "refresh": "A 8 8 5.2 40 290 M 12.6 1.6 L 12.2 4.8 L 9 4.4",
    "ring": "O 8 8 4.4",
    "search": "O 7 7 4.5 M 10.4 10.4 L 14 14",
    "servers": (
        "M 2.5 2.8 L 13.5 2.8 L 13.5 7 L 2.5 7 Z M 2.5 9 L 13.5 9 L 13.5 13.2 L 2.5 13.2 Z D 5 4.9 0.8 D 5 11.1 0.8"
    ),
    "sign-out": "M 6.5 2.5 L 3 2.5 L 3 13.5 L 6.5 13.5 M 6.5 8 L 13.5 8 M 10.7 5.2 L 13.5 8 L 10.7 10.8",
    "stop": "M 4 4 L 12 4 L 12 12 L 4 12 Z",
    "tasks": "M 2 4.2 L 3.2 5.4 L 5.4 3 M 8 4.2 L 14 4.2 M 2 11.2 L 3.2 12.4 L 5.4 10 M 8 11.2 L 14 11.2",
    "tool": (
        "M 9.6 6.4 L 3 13 M 13.4 4.4 C 13.9 7 11.6 8.8 9.6 8 M 8 6.4 C 7.2 4.4 9 2.1 11.6 2.6 L 9.8 4.6 L 11.4 6.2 Z"
    ),
    "trash": (
        "M 2.5 4 L 13.5 4 M 6 4 L 6 2.2 L 10 2.2 L 10 4 M 3.8 4 L 4.6 13.8 L 11.4 13.8 L 12.2 4 "
        "M 6.8 6.8 L 7 11.2 M 9.2 6.8 L 9 11.2"
    ),
    "user": "O 8 5.2 2.7 M 2.8 13.8 C 3.4 8.8 12.6 8.8 13.2 13.8",
    "warning": "M 8 2.2 L 14.3 13.2 L 1.7 13.2 Z M 8 6.4 L 8 9.4 D 8 11.3 0.8",
}


@lru_cache(maxsize=256)
def _paths(name: str) -> tuple[QPainterPath, QPainterPath]:
    """The stroked and the filled part of a drawing, on the grid."""
    stroked, filled = QPainterPath(), QPainterPath()
    words = iter(DRAWINGS.get(name, DRAWINGS["question"]).split())

    def number() -> float:
        return float(next(words))

    for command in words:
        if command == "M":
            stroked.moveTo(number(), number())
        elif command == "L":
            stroked.lineTo(number(), number())
        elif command == "C":
            stroked.cubicTo(number(), number(), number(), number(), number(), number())
        elif command == "Z":
            stroked.closeSubpath()
        elif command in {"O", "D"}:
            x, y, radius = number(), number(), number()
            (stroked if command == "O" else filled).addEllipse(QPointF(x, y), radius, radius)
        elif command == "A":
            x, y, radius, start, sweep = (number() for _ in range(5))
            box = QRectF(x - radius, y - radius, 2 * radius, 2 * radius)
            stroked.arcMoveTo(box, start)
            stroked.arcTo(box, start, sweep)
        else:
            raise ValueError(f"{name}: unknown command {command}")
    return stroked, filled


def paint_icon(painter: QPainter, name: str, rect: QRectF, colour: QColor) -> None:
    """Paint a drawing into `rect` (square, device-independent pixels)."""
    stroked, filled = _paths(name)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(rect.topLeft())
    painter.scale(rect.width() / GRID, rect.height() / GRID)
    pen = QPen(colour, STROKE, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)
    painter.strokePath(stroked, pen)
    if not filled.isEmpty():
        painter.fillPath(filled, colour)
    painter.restore()


def pixmap(name: str, colour: QColor, size: int, ratio: float, after: int = 0) -> QPixmap:
    """A drawing of `size` device-independent pixels with `after` empty ones to its right, for a screen of `ratio`."""
    image = QPixmap(round((size + after) * ratio), round(size * ratio))
    image.setDevicePixelRatio(ratio)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    paint_icon(painter, name, QRectF(0, 0, size, size), colour)
    painter.end()
    return image


def icon(name: str, tone: str = "text", after: int = 0) -> QIcon:
    """A drawing as an icon in a colour of the theme, muted when disabled. Ask again after `theme().changed`."""
    current = theme()
    size = current.px(ICON)
    result = QIcon()
    for mode, colour in ((QIcon.Mode.Normal, tone), (QIcon.Mode.Disabled, "muted")):
        for ratio in (1.0, 2.0):
            result.addPixmap(pixmap(name, current.colour(colour), size, ratio, after), mode)
    return result


def glyph_icon(name: str, tone: str) -> QIcon:
    """A drawing for a cell of a table: the same colour whether the row is selected or not."""
    current = theme()
    result = QIcon()
    for ratio in (1.0, 2.0):
        image = pixmap(name, current.colour(tone), current.px(GLYPH), ratio)
        for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
            result.addPixmap(image, mode)
    return result


def icon_size() -> QSize:
    """The size icons are made for at this text size."""
    size = theme().px(ICON)
    return QSize(size, size)
