"""Paints the line icons of `icon_paths` in any colour and size."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from itertools import pairwise
from math import floor
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPainterPath, QPen, QPixmap

from app.ui.theme.apply import theme
from app.ui.theme.icon_paths import DRAWINGS, FILLED
from app.ui.theme.tokens import GLYPH, ICON

if TYPE_CHECKING:
    from collections.abc import Sequence

GRID = 24.0
STROKE = 2.0


Command = tuple[str, tuple[float, ...]]
# Where lines lie across an axis of the grid, in order, and where they come to lie.
Fit = tuple[list[float], list[float]]


@lru_cache(maxsize=128)
def _commands(name: str) -> tuple[Command, ...]:
    """A drawing as letters with their numbers."""
    commands: list[tuple[str, list[float]]] = []
    for word in DRAWINGS.get(name, DRAWINGS["question"]).split():
        if word.isalpha():
            commands.append((word, []))
        else:
            commands[-1][1].append(float(word))
    return tuple((letter, tuple(numbers)) for letter, numbers in commands)


@lru_cache(maxsize=512)
def _fitted(name: str, side: int) -> QPainterPath:
    """A drawing for a square of `side` pixels of the screen: lines along the axes lie on whole pixels."""
    commands = _commands(name)
    fits = [_fit(_axis_lines(commands, axis), side) for axis in (0, 1)]
    path = QPainterPath()
    for letter, numbers in commands:
        fitted = [_moved(number, fits[at % 2]) for at, number in enumerate(numbers)]
        if letter == "M":
            path.moveTo(*fitted)
        elif letter == "L":
            path.lineTo(*fitted)
        elif letter == "C":
            path.cubicTo(*fitted)
        elif letter == "Z":
            path.closeSubpath()
        else:
            raise ValueError(f"{name}: unknown command {letter}")
    return path


def _axis_lines(commands: Sequence[Command], axis: int) -> list[float]:
    """Where lines and round edges lie across an axis (0 is x), in order."""
    found: set[float] = set()
    last: tuple[float, ...] = ()
    for _, numbers in commands:
        points = [last, *(numbers[at : at + 2] for at in range(0, len(numbers), 2))] if numbers else []
        for one, two in pairwise(point for point in points if point):
            if one[axis] == two[axis]:
                found.add(one[axis])
        last = numbers[-2:] or last
    return sorted(found)


def _fit(lines: Sequence[float], side: int) -> Fit:
    """For each line the nearest place where a stroke covers whole pixels; lines that would meet stay apart."""
    scale = side / GRID
    # The middle of a stroke that is an odd number of pixels wide is the middle of a pixel.
    middle = round(STROKE * scale) % 2 / 2
    before: list[float] = []
    after: list[float] = []
    for line in lines:
        fitted = (floor(line * scale - middle + 0.5) + middle) / scale
        if not after or fitted > after[-1]:
            before.append(line)
            after.append(fitted)
    return before, after


def _moved(place: float, fit: Fit) -> float:
    """Where a place comes to lie when the lines move: between two of them in proportion."""
    before, after = fit
    at = bisect_left(before, place)
    if at < len(before) and before[at] == place:
        return after[at]
    if 0 < at < len(before):
        share = (place - before[at - 1]) / (before[at] - before[at - 1])
        return after[at - 1] + share * (after[at] - after[at - 1])
    if not before:
        return place
    nearest = min(at, len(before) - 1)
    return place + after[nearest] - before[nearest]


def paint_icon(painter: QPainter, name: str, rect: QRectF, colour: QColor) -> None:
    """Paint a drawing into `rect` (square, device-independent pixels), moved by less than a pixel to be sharp."""
    to_screen = painter.deviceTransform()
    place = to_screen.mapRect(rect)
    side = max(round(place.width()), 1)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(rect.x() + (round(place.x()) - place.x()) / to_screen.m11(), rect.y())
    painter.translate(0, (round(place.y()) - place.y()) / to_screen.m22())
    painter.scale(rect.width() / GRID, rect.height() / GRID)
    if name in FILLED:
        painter.fillPath(_fitted(name, side), colour)
    else:
        pen = QPen(colour, STROKE, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)
        painter.strokePath(_fitted(name, side), pen)
    painter.restore()


def pixmap(name: str, colour: QColor, size: int, ratio: float, after: int = 0) -> QPixmap:
    """A drawing of `size` device-independent pixels for a screen of `ratio`.

    `after` is the room between it and the words that follow: at its right, or at its left if negative.
    """
    image = QPixmap(round((size + abs(after)) * ratio), round(size * ratio))
    image.setDevicePixelRatio(ratio)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    paint_icon(painter, name, QRectF(max(0, -after), 0, size, size), colour)
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
