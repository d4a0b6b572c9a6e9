"""FindBar: search in the whole transcript, with the number of the match."""

from __future__ import annotations

from bisect import bisect_left
from time import perf_counter
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import IconButton
from app.ui.widgets.guard import guarded
from app.ui.widgets.line_edit import LineEdit
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PySide6.QtGui import QKeyEvent

    from app.ui.transcript.source import ItemSource

# So long may a search keep the window from painting; it goes on in the next turn of the loop.
SLICE_SECONDS = 0.006


class FindBar(QWidget):
    """`found(place)` when a match is to be shown, `needle_changed(str)` when another text is searched, `closed()`.

    Counts in slices. Matches are items; what is added meanwhile is searched too.
    """

    found = Signal(int)
    needle_changed = Signal(str)
    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setVisible(False)
        self._source: ItemSource | None = None
        self._places: list[int] = []
        self._searched = self._end = 0
        self._search_on: Iterator[int | None] | None = None
        self._shown = -1
        # Where the search began: the first match from there on is shown.
        self._from = 0
        self._wants_first = False
        self._begin_soon = QTimer(self, singleShot=True, interval=tokens.FILTER_DEBOUNCE_MS)
        self._begin_soon.timeout.connect(self._begin)
        self._slice = QTimer(self, singleShot=True, interval=0)
        self._slice.timeout.connect(self._search)
        current = theme()
        self.field = LineEdit()
        self.field.setPlaceholderText(self.tr("Find in transcript"))
        self.field.setAccessibleName(self.tr("Find in transcript"))
        self.field.textChanged.connect(lambda _text: self._begin_soon.start())
        self.count = Text("", "caption", "muted")
        self.count.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        self.previous = IconButton(self.tr("Previous match"), "chevron-up", keys="Shift+Return", clicked=self.go_back)
        self.next = IconButton(self.tr("Next match"), "chevron-down", keys="Return", clicked=self.go_on)
        self.close_button = IconButton(self.tr("Close search"), "cross", keys="Esc", clicked=self.leave)
        row = QHBoxLayout(self)
        wide = current.px(tokens.SPACE_4)
        row.setContentsMargins(wide, current.px(tokens.SPACE_1), wide, current.px(tokens.SPACE_1))
        row.setSpacing(current.px(tokens.SPACE_1))
        row.addWidget(self.field, 1)
        row.addWidget(self.count)
        for button in (self.previous, self.next, self.close_button):
            row.addWidget(button)

    def set_source(self, source: ItemSource | None) -> None:
        """Search another transcript."""
        self._source = source
        self._begin()

    def open(self, place: int) -> None:
        """Show it; the first match from an item on is shown."""
        self._from = max(0, place)
        self.setVisible(True)
        self.field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.field.selectAll()
        self._begin()

    def leave(self) -> None:
        """Close it. Nothing is marked any more."""
        self._slice.stop()
        self._begin_soon.stop()
        self.setVisible(False)
        self.needle_changed.emit("")
        self.closed.emit()

    def go_on(self) -> None:
        """Show the next match; after the last the first."""
        self._go(1)

    def go_back(self) -> None:
        """Show the match before; before the first the last."""
        self._go(-1)

    @property
    def busy(self) -> bool:
        """Whether it is still searching."""
        return self._slice.isActive() or self._begin_soon.isActive()

    def grown(self) -> None:
        """The transcript has grown: search on."""
        if self.isVisible() and self.field.text() and not self._slice.isActive():
            self._slice.start()

    def _begin(self) -> None:
        self._begin_soon.stop()
        self._places.clear()
        self._searched, self._shown, self._search_on = 0, -1, None
        self._wants_first = True
        if not self.isVisible():
            return
        self.needle_changed.emit(self.field.text())
        if self.field.text() and self._source is not None:
            self._slice.start()
        self._show_count()

    @guarded()
    def _search(self) -> None:
        source, text = self._source, self.field.text()
        if source is None or not text:
            return
        until = perf_counter() + SLICE_SECONDS
        while perf_counter() < until:
            if self._search_on is None:
                self._end = len(source)
                self._search_on = source.search(text, after=self._searched - 1)
            try:
                place = next(self._search_on)
            except StopIteration:
                # The last item may still grow.
                self._search_on, self._searched = None, max(0, self._end - 1)
                break
            if place is not None:
                if not self._places or self._places[-1] < place:
                    self._places.append(place)
                self._search_on, self._searched = None, place + 1
        else:
            self._slice.start()
        self._show_first()
        self._show_count()

    def _show_first(self) -> None:
        if not self._wants_first or not self._places:
            return
        at = bisect_left(self._places, self._from)
        if at < len(self._places) or not self.busy:
            self._wants_first = False
            self._shown = min(at, len(self._places) - 1)
            self.found.emit(self._places[self._shown])

    def _go(self, way: int) -> None:
        if self._begin_soon.isActive():
            self._begin()
            return
        if not self._places:
            return
        self._wants_first = False
        self._shown = (self._shown + way) % len(self._places)
        self._from = self._places[self._shown]
        self.found.emit(self._from)
        self._show_count()

    def _show_count(self) -> None:
        total = len(self._places)
        if not self.field.text():
            words = ""
        elif total:
            words = self.tr("{0} of {1}").format(self._shown + 1, f"{total}…" if self.busy else total)
        else:
            words = self.tr("Searching…") if self.busy else self.tr("No match")
        self.count.setText(words)
        self.field.setAccessibleDescription(words)
        for button in (self.previous, self.next):
            button.setEnabled(total > 0)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.leave()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            back = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
            self.go_back() if back else self.go_on()
        else:
            super().keyPressEvent(event)
