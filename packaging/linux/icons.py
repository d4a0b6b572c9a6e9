"""The application's icon as files of the hicolor theme, drawn by the window's own code.

The icon theme specification (https://specifications.freedesktop.org/icon-theme-spec/latest/) asks for 48; docks, task
bars and menus take the others.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SIZES = (16, 22, 24, 32, 48, 64, 96, 128, 256, 512)


def write(theme: Path) -> None:
    """`theme` is the folder `hicolor`: a PNG for each size, and one SVG."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from PySide6.QtCore import QRectF, QSize, Qt
    from PySide6.QtGui import QGuiApplication, QImage, QPainter
    from PySide6.QtSvg import QSvgGenerator

    from app.ui.theme.app_icon import paint_app_icon

    # Painters need it; it must outlive them.
    application = QGuiApplication.instance() or QGuiApplication(["icons"])
    for size in SIZES:
        image = QImage(size, size, QImage.Format.Format_ARGB32)
        image.fill(Qt.GlobalColor.transparent)
        painter = QPainter(image)
        paint_app_icon(painter, QRectF(0, 0, size, size))
        painter.end()
        file = theme / f"{size}x{size}" / "apps" / "burrow.png"
        file.parent.mkdir(parents=True)
        if not image.save(str(file)):
            raise OSError(f"{file} could not be written")
    file = theme / "scalable" / "apps" / "burrow.svg"
    file.parent.mkdir(parents=True)
    drawing = QSvgGenerator()
    drawing.setFileName(str(file))
    drawing.setSize(QSize(64, 64))
    drawing.setViewBox(QRectF(0, 0, 64, 64))
    painter = QPainter(drawing)
    paint_app_icon(painter, QRectF(0, 0, 64, 64))
    painter.end()
    del application
    # In pixels as icon loaders read them; Qt's generator says millimetres of its own resolution.
    text = re.sub(r'width="[^"]*mm" height="[^"]*mm"', 'width="64" height="64"', file.read_text("utf-8"), count=1)
    file.write_text(text, "utf-8")
