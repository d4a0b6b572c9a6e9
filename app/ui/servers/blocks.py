"""Widgets for the content blocks of a result: text, pictures, links, resources, files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.core.mcp.results.blocks import (
    AudioBlock,
    ImageBlock,
    LinkBlock,
    OtherBlock,
    ResourceBlock,
    TextBlock,
    UndecodedBlock,
)
from app.core.mcp.results.media import RASTER
from app.marks import isolated, revealed, revealed_name
from app.ui.servers.wording import tr
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.exact_text import TALLEST, ExactText
from app.ui.widgets.jsontree import JsonTree
from app.ui.widgets.pictures import Picture
from app.ui.widgets.prose import Prose, looks_like_markdown
from app.ui.widgets.text import ElidedLabel, Text
from app.ui.widgets.viewed_column import Viewed

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.mcp.results.blocks import Block
    from app.ui.servers.picture_loader import LoadedPicture, PictureLoader

SHOWN_CHARACTERS = 200 * 1024
LONGEST_DESCRIPTION = 2_000
LONGEST_NAME = 300
LINE_HEIGHT = 18
FILE_HEIGHT, LINK_HEIGHT, PICTURE_HEIGHT, TREE_HEIGHT = 32, 110, 320, 170
SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/bmp": ".bmp",
    "image/tiff": ".tiff",
    "image/x-icon": ".ico",
    "image/avif": ".avif",
    "image/svg+xml": ".svg",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/flac": ".flac",
    "audio/mp4": ".m4a",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "application/pdf": ".pdf",
    "application/zip": ".zip",
    "application/gzip": ".gz",
    "application/json": ".json",
    "text/markdown": ".md",
    "text/html": ".html",
    "text/csv": ".csv",
}


@dataclass(frozen=True)
class BlockTools:
    """What the blocks of a result need: `save(name, data)` saves a file, `read(uri)` reads a resource from the server.

    `formatted` shows Markdown as such.
    """

    save: Callable[[str, bytes], None]
    read: Callable[[str], None]
    pictures: PictureLoader
    formatted: bool = False


def block_part(block: Block, tools: BlockTools) -> Viewed:
    """A block as a part of a column, which is built when it comes into view."""
    return Viewed(lambda: block_widget(block, tools), _height(block))


def block_widget(block: Block, tools: BlockTools) -> QWidget:
    """A widget for a block."""
    match block:
        case TextBlock(text=text):
            return text_widget(text, "result.txt", tools)
        case ImageBlock(data=data, mime=mime):
            return _binary(tr("Picture"), data, mime, tools, f"picture{suffix(mime)}")
        case AudioBlock(data=data, mime=mime):
            return _binary(tr("Audio"), data, mime, tools, f"audio{suffix(mime)}")
        case LinkBlock():
            return LinkCard(block, tools.read)
        case ResourceBlock():
            return _resource(block, tools)
        case UndecodedBlock():
            return _undecoded(block, tools)
        case OtherBlock(raw=raw):
            return _other(raw)


def text_widget(text: str, name: str, tools: BlockTools) -> QWidget:
    """Text that can be selected. Of a long one it shows the beginning, and offers the rest and the whole as a file."""
    if tools.formatted and looks_like_markdown(text):
        prose = Prose(tr("Text of the result"))
        prose.set_text(text)
        return prose
    edit = ExactText(tr("Text of the result"))
    edit.set_source(text, SHOWN_CHARACTERS)
    if len(text) <= SHOWN_CHARACTERS:
        return edit
    words = Text(
        tr("The first {0} of {1}").format(size_words(SHOWN_CHARACTERS), size_words(len(text))),
        "caption",
        "muted",
        wrap=True,
    )
    more = QuietButton(tr("Show all"), "chevron-down", clicked=lambda: _show_all(edit, more, words))
    save = QuietButton(tr("Save full text…"), "download", clicked=lambda: tools.save(name, encoded(text)))
    box = _box()
    _fill(box, _line(words, more, save), edit)
    return box


def encoded(text: str) -> bytes:
    """The text as a file has it. A lone surrogate, which no encoding can hold, becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


class PictureBox(QWidget):
    """A picture that is being decoded, then the picture; or why there is none, with the file to save."""

    def __init__(self, kind: str, data: bytes, mime: str, tools: BlockTools, name: str) -> None:
        super().__init__()
        self._kind, self._data, self._mime, self._tools, self._name = kind, data, mime, tools, name
        self.picture: Picture | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(theme().px(tokens.SPACE_1))
        self._note: QWidget = _file(tr("Reading the picture…"), data, mime, tools, name)
        self._layout.addWidget(self._note)
        tools.pictures.load(self, data, mime, self._loaded)

    def _loaded(self, found: LoadedPicture) -> None:
        size = f"{found.width} × {found.height}" if found.width else ""
        self._layout.removeWidget(self._note)
        self._note.hide()
        self._note.deleteLater()
        if found.image is None:
            words = tr("This picture is not shown. {0}").format(found.reason)
            self._note = _file(words, self._data, self._mime, self._tools, self._name, size)
        else:
            self.picture = Picture(found.image)
            self._layout.addWidget(self.picture)
            self._note = _file("", self._data, self._mime, self._tools, self._name, size)
        self._layout.addWidget(self._note)


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


class LinkCard(QFrame):
    """A link with its full address. A web link opens in the browser; any other is read from the server."""

    def __init__(self, link: LinkBlock, read: Callable[[str], None]) -> None:
        super().__init__()
        self.setProperty("card", "true")
        current = theme()
        box = QVBoxLayout(self)
        box.setContentsMargins(*([current.px(tokens.SPACE_3)] * 4))
        box.setSpacing(current.px(tokens.SPACE_1))
        title = isolated(revealed_name((link.title or link.name or link.uri)[:LONGEST_NAME]))
        box.addWidget(Text(title, "strong", wrap=True, selectable=True))
        if link.description:
            words = revealed(link.description[:LONGEST_DESCRIPTION])
            box.addWidget(Text(words, tone="muted", wrap=True, selectable=True))
        shown = revealed_name(link.uri[:LONGEST_DESCRIPTION])
        address = Text(shown, "mono", "muted", wrap=True, selectable=True)
        address.setAccessibleName(tr("Address {0}").format(shown))
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


def _resource(block: ResourceBlock, tools: BlockTools) -> QWidget:
    name = block.uri.rstrip("/").rpartition("/")[2][:LONGEST_NAME] or f"resource{suffix(block.mime)}"
    words = "  ·  ".join(part for part in (revealed_name(block.uri[:LONGEST_DESCRIPTION]), block.mime) if part)
    box = _box()
    if block.text is not None:
        body = text_widget(block.text, name, tools)
    else:
        body = _binary(tr("Binary content"), block.blob or b"", block.mime, tools, name)
    _fill(box, *([ElidedLabel(words, "caption", "muted")] if words else []), body)
    return box


def _binary(kind: str, data: bytes, mime: str, tools: BlockTools, name: str) -> QWidget:
    """A picture where it is one, whatever block it came in; else a file."""
    if mime in RASTER or mime.startswith("image/"):
        return PictureBox(kind, data, mime, tools, name)
    return _file(kind, data, mime, tools, name)


def _undecoded(block: UndecodedBlock, tools: BlockTools) -> QWidget:
    words = {
        "image": tr("This picture cannot be shown: its data is not base64."),
        "audio": tr("This recording cannot be read: its data is not base64."),
    }.get(block.kind, tr("This content cannot be read: its data is not base64."))
    return _file(words, encoded(block.text), block.mime, tools, "data.txt")


def _file(words: str, data: bytes, mime: str, tools: BlockTools, name: str, size: str = "") -> QWidget:
    button = QuietButton(tr("Save…"), "download", clicked=lambda: tools.save(name, data))
    button.setAccessibleName(tr("Save {0}").format(revealed_name(name)))
    shown = "  ·  ".join(part for part in (words, size, mime[:LONGEST_NAME], size_words(len(data))) if part)
    return _line(Text(shown, "caption", "muted", wrap=True), button)


def _other(raw: object) -> QWidget:
    box = _box()
    tree = JsonTree(tr("Unknown content"))
    tree.set_value(raw)
    tree.setMinimumHeight(theme().px(140))
    _fill(box, Text(tr("Burrow does not know this kind of content."), "caption", "muted", wrap=True), tree)
    return box


def _height(block: Block) -> int:
    match block:
        case TextBlock(text=text) | ResourceBlock(text=str(text)):
            beginning = text[:SHOWN_CHARACTERS]
            return min(TALLEST, (beginning.count("\n") + len(beginning) // 100 + 2) * LINE_HEIGHT)
        case ImageBlock():
            return PICTURE_HEIGHT
        case LinkBlock():
            return LINK_HEIGHT
        case OtherBlock():
            return TREE_HEIGHT
        case _:
            return FILE_HEIGHT


def _show_all(edit: ExactText, button: QuietButton, words: Text) -> None:
    edit.setFocus()
    button.hide()
    words.setText(tr("All of {0}").format(size_words(len(edit.source))))
    edit.show_all()


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


def _line(words: QWidget, *buttons: QWidget) -> QWidget:
    line = QWidget()
    row = QHBoxLayout(line)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(theme().px(tokens.SPACE_2))
    row.addWidget(words, 1)
    for button in buttons:
        row.addWidget(button)
    return line
