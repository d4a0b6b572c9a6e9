"""Burrow's icon as pictures, for the containers of each platform. Drawn by the application's own painter."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]

if TYPE_CHECKING:
    from PySide6.QtGui import QImage


def drawn(size: int, part: float = 1.0) -> QImage:
    """The icon on a clear square of `size` pixels; the drawing fills the middle `part` of each side.

    32 bits a pixel, blue first in memory on the machines we build on, colours not multiplied by alpha.
    """
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from PySide6.QtCore import QRectF, Qt
    from PySide6.QtGui import QImage, QPainter

    from app.ui.theme.app_icon import paint_app_icon

    image = QImage(size, size, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    margin = size * (1 - part) / 2
    paint_app_icon(painter, QRectF(margin, margin, size * part, size * part))
    painter.end()
    return image.convertToFormat(QImage.Format.Format_ARGB32)


def png(image: QImage) -> bytes:
    """The picture as a PNG file without a time in it, so that it is the same each time."""
    from PySide6.QtCore import QBuffer, QByteArray, QIODevice

    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    if not image.save(buffer, "PNG"):  # type: ignore[call-overload]
        raise ValueError("Qt cannot write PNG here")
    return bytes(data.data())
