"""TranscriptCopier: puts items, turns and the whole transcript on the clipboard, as Markdown."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QGuiApplication

from app.ui.transcript.copied import joined, markdown_of
from app.ui.widgets.plain_text import mime_data

if TYPE_CHECKING:
    from collections.abc import Generator

    from app.core.runs.items import Item
    from app.ui.transcript.painted_items import PaintedItems

# So long may copying keep the window from painting.
SLICE_SECONDS = 0.006


class TranscriptCopier(QObject):
    """Copies what a view shows. `said(str)` when it is done."""

    said = Signal(str)

    def __init__(self, view: PaintedItems) -> None:
        super().__init__(view)
        self._view = view
        self._copied: list[str] = []
        # Those of the next item.
        self._steps: Generator[None, None, Item] | None = None
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._copy_more)

    def copy_item(self, place: int) -> None:
        """Copy an item."""
        source = self._view.source
        if source is not None:
            put_on_clipboard(markdown_of(source.item(place)))
            self.said.emit(self.tr("Copied the entry"))

    def copy_turn(self, place: int) -> None:
        """Copy all items of the turn of an item."""
        source = self._view.source
        if source is None:
            return
        turn = source.head(place).turn
        first, last = place, place + 1
        while first > 0 and source.head(first - 1).turn == turn:
            first -= 1
        while last < len(source) and source.head(last).turn == turn:
            last += 1
        put_on_clipboard(joined(source.item(number) for number in range(first, last)))
        self.said.emit(self.tr("Copied the turn"))

    def copy_all(self) -> None:
        """Copy the whole transcript."""
        self._copied, self._steps = [], None
        self._soon.start()

    def _copy_more(self) -> None:
        """Copy in slices: a long transcript is read from the disk."""
        source, until = self._view.source, perf_counter() + SLICE_SECONDS
        while source is not None and len(self._copied) < len(source):
            steps = self._steps = self._steps or source.item_steps(len(self._copied))
            try:
                next(steps)
            except StopIteration as read:
                self._copied.append(markdown_of(read.value))
                self._steps = None
            if perf_counter() > until:
                self._soon.start()
                return
        put_on_clipboard("\n\n".join(text for text in self._copied if text) + "\n")
        self._copied = []
        self.said.emit(self.tr("Copied the transcript"))


def put_on_clipboard(text: str) -> None:
    """Put a text on the clipboard. As Qt's own data: a text may hold what a string of Qt cannot."""
    QGuiApplication.clipboard().setMimeData(mime_data(text))
