"""Widgets for the content blocks of a result: text, pictures, links, resources, files."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QSize, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QFontMetricsF, QGuiApplication, QImageReader, QPainter, QPixmap, QTextOption
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.core.mcp.results.blocks import AudioBlock, ImageBlock, LinkBlock, OtherBlock, ResourceBlock, TextBlock
from app.ui.servers.wording import tr
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.fields import CodeEdit
from app.ui.widgets.guard import guarded
from app.ui.widgets.jsontree import JsonTree
from app.ui.widgets.text import ElidedLabel, Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QKeyEvent, QMouseEvent, QPaintEvent, QResizeEvent

    from app.core.mcp.results.blocks import Block

SHOWN_CHARACTERS = 200 * 1024
# A picture of a few kilobytes may claim a size that takes gigabytes of memory once it is decoded.
LARGEST_SIDE = 16_000
TALLEST_TEXT = 420
LONGEST_WRAPPED = 4_000
SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "application/pdf": ".pdf",
    "application/json": ".json",
    "text/markdown": ".md",
    "text/html": ".html",
    "text/csv": ".csv",
}


def block_widget(block: Block, save: Callable[[str, bytes], None], read: Callable[[str], None]) -> QWidget:
    """A widget for a block. `save(name, data)` saves a file, `read(uri)` reads a resource from the server."""
    match block:
        case TextBlock(text=text):
            return text_widget(text, "result.txt", save)
        case ImageBlock(data=data, mime=mime):
            return picture_widget(data, mime, save)
        case AudioBlock(data=data, mime=mime):
            return _file(tr("Audio"), data, mime, save)
        case LinkBlock():
            return LinkCard(block, read)
        case ResourceBlock(uri=uri, text=text, blob=blob, mime=mime):
            return _resource(uri, text, blob, mime, save)
        case OtherBlock(raw=raw):
            return _other(raw)


def text_widget(text: str, name: str, save: Callable[[str, bytes], None]) -> QWidget:
    """Plain text that can be selected. Of a long text it shows the beginning and offers the whole as a file."""
    shown = text[:SHOWN_CHARACTERS]
    edit = FittedText(tr("Text of the result"))
    if any(len(line) > LONGEST_WRAPPED for line in shown.split("\n")):
        # Wrapping takes quadratic time in the length of a line: 8 s for one of 200 KB, 0.15 s without.
        edit.setWordWrapMode(QTextOption.WrapMode.NoWrap)
    edit.setPlainText(shown)
    if len(text) <= SHOWN_CHARACTERS:
        return edit
    box = _box()
    beginning, whole = size_words(SHOWN_CHARACTERS), size_words(len(text))
    note = _note(
        tr("The first {0} of {1}").format(beginning, whole),
        QuietButton(tr("Save full text…"), "download", clicked=lambda: save(name, text.encode())),
    )
    _fill(box, note, edit)
    return box


def picture_widget(data: bytes, mime: str, save: Callable[[str, bytes], None]) -> QWidget:
    """A picture, fitted to the width; a file where it cannot be shown."""
    pixmap = read_picture(data)
    if pixmap is None:
        return _file(tr("This picture cannot be shown"), data, mime, save)
    box = _box()
    words = f"{pixmap.width()} × {pixmap.height()}  ·  {mime}  ·  {size_words(len(data))}"
    button = QuietButton(tr("Save…"), "download", clicked=lambda: save(f"picture{suffix(mime)}", data))
    button.setAccessibleName(tr("Save picture"))
    _fill(box, Picture(pixmap), _note(words, button))
    return box


def read_picture(data: bytes) -> QPixmap | None:
    """The picture in `data`; None when there is none or when it is far too large."""
    buffer = QBuffer()
    buffer.setData(QByteArray(data))
    if not buffer.open(QIODevice.OpenModeFlag.ReadOnly):
        return None
    reader = QImageReader(buffer)
    if not reader.canRead():
        return None
    size = reader.size()
    if size.width() > LARGEST_SIDE or size.height() > LARGEST_SIDE:
        return None
    image = reader.read()
    return None if image.isNull() else QPixmap.fromImage(image)


def suffix(mime: str) -> str:
    """The file name extension of a media type."""
    return SUFFIXES.get(mime.partition(";")[0].strip().lower(), ".bin")


def size_words(count: int) -> str:
    """A number of bytes with a unit."""
    if count < 1024:
        return tr("{0} bytes").format(count)
    if count < 1024 * 1024:
        return f"{count / 1024:.0f} KB"
    return f"{count / 1024 / 1024:.1f} MB"


def is_web(uri: str) -> bool:
    """Whether a link may be opened in the browser. A server could name a file or a program by another scheme."""
    return uri.startswith(("https://", "http://")) and not any(ord(character) <= 32 for character in uri)


class FittedText(CodeEdit):
    """Read-only text as tall as its content up to a limit, above which it scrolls."""

    def __init__(self, name: str) -> None:
        super().__init__(name, read_only=True, wrap=True)
        self._tall = 0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.document().documentLayout().documentSizeChanged.connect(lambda _size: self._fit())

    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), self._tall or super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        return QSize(0, min(self._tall, theme().px(TALLEST_TEXT)))

    def _fit(self) -> None:
        # The document of a QPlainTextEdit measures its height in lines.
        lines = max(1, int(self.document().size().height()))
        margins = 2 * self.document().documentMargin() + theme().px(tokens.SPACE_4)
        wanted = ceil(lines * QFontMetricsF(self.font()).lineSpacing() + margins)
        tall = min(wanted, theme().px(TALLEST_TEXT))
        fits = wanted <= theme().px(TALLEST_TEXT)
        off, needed = Qt.ScrollBarPolicy.ScrollBarAlwaysOff, Qt.ScrollBarPolicy.ScrollBarAsNeeded
        self.setVerticalScrollBarPolicy(off if fits else needed)
        if tall != self._tall:
            self._tall = tall
            self.updateGeometry()

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()


class Picture(QWidget):
    """A picture fitted to the width. A click or Enter switches to full size and back."""

    enlarged = Signal(bool)

    def __init__(self, pixmap: QPixmap) -> None:
        super().__init__()
        self.pixmap = pixmap
        self._full = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName(tr("Picture, {0} by {1}").format(pixmap.width(), pixmap.height()))
        self.setToolTip(tr("Click for full size"))
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
        self.setToolTip(tr("Click to fit the width") if self._full else tr("Click for full size"))
        self.setMinimumWidth(self.pixmap.width() if self._full else 0)
        self.updateGeometry()
        self.update()
        self.enlarged.emit(self._full)

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
        else:
            super().keyPressEvent(event)


class LinkCard(QFrame):
    """A link with its full address. A web link opens in the browser; any other is read from the server."""

    def __init__(self, link: LinkBlock, read: Callable[[str], None]) -> None:
        super().__init__()
        self.setProperty("card", "true")
        current = theme()
        box = QVBoxLayout(self)
        box.setContentsMargins(*([current.px(tokens.SPACE_3)] * 4))
        box.setSpacing(current.px(tokens.SPACE_1))
        title = link.title or link.name or link.uri
        box.addWidget(Text(title, "strong", wrap=True))
        if link.description:
            box.addWidget(Text(link.description, tone="muted", wrap=True, selectable=True))
        address = Text(link.uri, "mono", "muted", wrap=True, selectable=True)
        address.setAccessibleName(tr("Address {0}").format(link.uri))
        box.addWidget(address)
        buttons = QHBoxLayout()
        buttons.setSpacing(current.px(tokens.SPACE_2))
        if is_web(link.uri):
            self.follow = QuietButton(tr("Open in browser"), "external", clicked=lambda: _open(link.uri))
        else:
            self.follow = QuietButton(tr("Read"), "document", clicked=lambda: read(link.uri))
        self.follow.setAccessibleName(f"{self.follow.text()}: {title}")
        copy = QuietButton(
            tr("Copy address"), "copy", kind="flat", clicked=lambda: QGuiApplication.clipboard().setText(link.uri)
        )
        copy.setAccessibleName(tr("Copy address of {0}").format(title))
        buttons.addWidget(self.follow)
        buttons.addWidget(copy)
        buttons.addStretch()
        box.addLayout(buttons)


def _resource(uri: str, text: str | None, blob: bytes | None, mime: str, save: Callable[[str, bytes], None]) -> QWidget:
    name = uri.rstrip("/").rpartition("/")[2] or "resource"
    box = _box()
    head = ElidedLabel(f"{uri}  ·  {mime}" if mime else uri, "caption", "muted")
    if text is not None:
        body = text_widget(text, name, save)
    elif blob is not None and mime.startswith("image/"):
        body = picture_widget(blob, mime, save)
    else:
        body = _file(tr("Binary content"), blob or b"", mime, save, name)
    _fill(box, head, body)
    return box


def _file(words: str, data: bytes, mime: str, save: Callable[[str, bytes], None], name: str = "") -> QWidget:
    chosen = name or f"result{suffix(mime)}"
    button = QuietButton(tr("Save…"), "download", clicked=lambda: save(chosen, data))
    button.setAccessibleName(tr("Save {0}").format(chosen))
    return _note("  ·  ".join(part for part in (words, mime, size_words(len(data))) if part), button)


def _other(raw: object) -> QWidget:
    box = _box()
    tree = JsonTree(tr("Unknown content"))
    tree.set_value(raw)
    tree.setMinimumHeight(theme().px(140))
    _fill(box, Text(tr("Burrow does not know this kind of content."), "caption", "muted", wrap=True), tree)
    return box


def _open(uri: str) -> None:
    QDesktopServices.openUrl(QUrl(uri))


def _box() -> QWidget:
    widget = QWidget()
    box = QVBoxLayout(widget)
    box.setContentsMargins(0, 0, 0, 0)
    box.setSpacing(theme().px(tokens.SPACE_1))
    return widget


def _fill(box: QWidget, *parts: QWidget) -> None:
    layout = box.layout()
    assert layout is not None
    for part in parts:
        layout.addWidget(part)


def _note(words: str, button: QWidget) -> QWidget:
    line = QWidget()
    row = QHBoxLayout(line)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(Text(words, "caption", "muted", wrap=True), 1)
    row.addWidget(button)
    return line
