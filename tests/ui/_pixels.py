"""What is really painted: a widget over a colour that the theme does not have, and the contrast of words in a part."""

from __future__ import annotations

from collections import Counter

from PySide6.QtCore import QPoint, QRect
from PySide6.QtGui import QColor, QImage
from PySide6.QtWidgets import QWidget

from app.ui.theme.tokens import contrast

BENEATH = "#ff00ff"


def painted(widget: QWidget) -> QImage:
    """The widget with everything that its window would show beneath it left out."""
    image = QImage(widget.size(), QImage.Format.Format_RGB32)
    image.fill(QColor(BENEATH))
    flags = QWidget.RenderFlag.DrawChildren | QWidget.RenderFlag.DrawWindowBackground
    widget.render(image, QPoint(), renderFlags=flags)
    return image


def ground(image: QImage, part: QRect) -> str:
    """The colour that most of a part has."""
    return colours(image, part).most_common(1)[0][0]


def words_contrast(image: QImage, part: QRect) -> float:
    """The contrast between the ground of a part and what stands out most from it."""
    found = colours(image, part)
    below = found.most_common(1)[0][0]
    return max(contrast(colour, below) for colour in found)


def colours(image: QImage, part: QRect) -> Counter[str]:
    """How many pixels of a part have each colour."""
    area = part & image.rect()
    return Counter(
        image.pixelColor(x, y).name()
        for x in range(area.left(), area.right() + 1)
        for y in range(area.top(), area.bottom() + 1)
    )
