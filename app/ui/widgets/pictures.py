"""Pictures from strangers: decoded within a limit, in a format that is named, and shown fitted to the width."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import QBuffer, QByteArray, QCoreApplication, QIODevice, QSize, Qt, Signal
from PySide6.QtGui import QImage, QImageReader, QKeySequence, QPainter, QPixmap
from PySide6.QtWidgets import QMenu, QSizePolicy, QWidget

from app.ui.theme import theme
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QMouseEvent, QPaintEvent, QResizeEvent

T = TypeVar("T")

# How much one picture may take while it is decoded, in MB.
ALLOCATION_MB = 256
# A larger one is kept smaller than it is. No screen shows more.
KEPT_PIXELS = 8_000_000
# A pixmap has no longer side.
LONGEST_SIDE = 16_000


def picture_size(data: bytes, form: str) -> QSize:
    """The size in pixels that a picture claims; an invalid one when it is none. Runs in any thread."""
    return _read(data, form, lambda reader: reader.size() if reader.canRead() else QSize())


def decode_picture(data: bytes, form: str) -> QImage:
    """The first frame of a picture in the format `form`, a null image when it is damaged. Runs in any thread."""
    return _read(data, form, _decoded)


def _decoded(reader: QImageReader) -> QImage:
    size = reader.size()
    if size.isEmpty():
        return QImage()
    width, height = size.width(), size.height()
    share = min(1.0, sqrt(KEPT_PIXELS / (width * height)), LONGEST_SIDE / max(width, height))
    if share < 1.0:
        reader.setScaledSize(QSize(max(1, round(width * share)), max(1, round(height * share))))
    return reader.read()


def _read(data: bytes, form: str, use: Callable[[QImageReader], T]) -> T:
    # The limit belongs to the process. Nothing else in Burrow decodes what it did not bring with it.
    QImageReader.setAllocationLimit(ALLOCATION_MB)
    buffer = QBuffer()
    buffer.setData(QByteArray(data))
    buffer.open(QIODevice.OpenModeFlag.ReadOnly)
    reader = QImageReader(buffer, QByteArray(form.encode()))
    # With detection Qt would choose among all its formats, of which SVG reads files.
    reader.setAutoDetectImageFormat(False)
    reader.setDecideFormatFromContent(False)
    reader.setAutoTransform(True)
    try:
        return use(reader)
    finally:
        # Some formats read from the buffer once more when their reader ends. The reader does not keep it alive.
        del reader
        buffer.close()


class Picture(QWidget):
    """A picture fitted to the width. A click or Enter switches to full size and back."""

    enlarged = Signal(bool)

    def __init__(self, image: QImage) -> None:
        super().__init__()
        self.image = image
        self.pixmap = QPixmap.fromImage(image)
        self._full = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName(_tr("Picture, {0} by {1}").format(image.width(), image.height()))
        self.setToolTip(_tr("Click for full size"))
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    @property
    def full(self) -> bool:
        """Whether it is shown at full size."""
        return self._full

    def toggle(self) -> None:
        """Switch between fitted and full size."""
        self._full = not self._full
        self.setToolTip(_tr("Click to fit the width") if self._full else _tr("Click for full size"))
        self.setMinimumWidth(self.pixmap.width() if self._full else 0)
        self.updateGeometry()
        self.update()
        self.enlarged.emit(self._full)

    def copy(self) -> None:
        """Put the picture on the clipboard."""
        from PySide6.QtGui import QGuiApplication

        QGuiApplication.clipboard().setImage(self.image)

    def sizeHint(self) -> QSize:
        return self.pixmap.size()

    def minimumSizeHint(self) -> QSize:
        return QSize(0, self.heightForWidth(max(self.width(), 1)))

    def hasHeightForWidth(self) -> bool:
        return True

    @guarded(default=0)
    def heightForWidth(self, width: int) -> int:
        return max(1, round(self.pixmap.height() * self._share(width)))

    def _share(self, width: int) -> float:
        return 1.0 if self._full else min(1.0, width / max(1, self.pixmap.width()))

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        share = self._share(self.width())
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawPixmap(0, 0, round(self.pixmap.width() * share), round(self.pixmap.height() * share), self.pixmap)
        if self.hasFocus():
            painter.setPen(theme().colour("accent"))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.updateGeometry()

    @guarded()
    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.toggle()

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.toggle()
        elif event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)

    @guarded()
    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction(_tr("Copy picture"), QKeySequence(QKeySequence.StandardKey.Copy), self.copy)
        menu.addAction(_tr("Fit the width") if self._full else _tr("Full size"), self.toggle)
        menu.popup(event.globalPos())


def _tr(text: str) -> str:
    return QCoreApplication.translate("Picture", text)
