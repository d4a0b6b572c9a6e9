"""A column of many parts that are made when they come into view."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.focus_chain import anchor_of, first_stop, last_stop, order_after, reveal, show_now
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from PySide6.QtGui import QFocusEvent, QPaintEvent


class LazyColumn(QWidget):
    """`count` parts one below the other, which `make(place)` makes. `name(first, last)` is read for those not made.

    Parts are made in chunks of `size`: the first at once unless `later`, the others when they are painted, when Tab
    comes to them, or when `part` asks for one. `estimate` is the height of a part in device-independent pixels. A part
    stays once it is made.
    """

    def __init__(
        self,
        count: int,
        make: Callable[[int], QWidget],
        name: Callable[[int, int], str],
        *,
        size: int = 8,
        estimate: int = 80,
        spacing: int = tokens.SPACE_4,
        later: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._make, self._name = make, name
        # The control that Tab comes to after the parts. A first part is put before it.
        self.follower: QWidget | None = None
        self._size, self._estimate, self._spacing = size, estimate, theme().px(spacing)
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(self._spacing)
        self._chunks: list[_Chunk] = []
        self._wanted: list[_Chunk] = []
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._make_wanted)
        for start in range(0, count, size):
            self._add_chunk(len(self._chunks), min(size, count - start))
        if self._chunks and not later:
            self._fill(self._chunks[0])
        self._name_chunks()

    def __len__(self) -> int:
        return sum(chunk.count for chunk in self._chunks)

    def part(self, place: int) -> QWidget:
        """The part at a place, which is made if need be. Raises `IndexError`."""
        chunk, start = self._find(place)
        self._fill(chunk)
        return chunk.parts[place - start]

    def made(self) -> Iterator[QWidget]:
        """The parts that are made, in order."""
        return chain.from_iterable(chunk.parts for chunk in self._chunks)

    def made_from(self, place: int) -> Iterator[tuple[int, QWidget]]:
        """The parts that are made, from a place on, with their places."""
        start = 0
        for chunk in self._chunks:
            if start + chunk.count > place:
                yield from ((start + n, part) for n, part in enumerate(chunk.parts) if start + n >= place)
            start += chunk.count

    def place_of(self, part: QWidget) -> int:
        """The place of a part that is made. Raises `ValueError`."""
        start = 0
        for chunk in self._chunks:
            if part.parentWidget() is chunk:
                return start + chunk.parts.index(part)
            start += chunk.count
        raise ValueError("not a part of this column")

    def insert(self, place: int) -> None:
        """Make room for a part at a place, and make it if its neighbours are made."""
        last = self._chunks[-1] if self._chunks else None
        if last is None or (place >= len(self) and last.count >= self._size):
            chunk = self._add_chunk(len(self._chunks), 1)
            self._fill(chunk)
            self._order(chunk.parts[0])
            return
        chunk, start = self._find(min(place, len(self) - 1))
        chunk.count += 1
        if chunk.filled:
            self._put(chunk, place - start, self._make(place))
        else:
            self._measure(chunk)
        self._name_chunks()

    def remove(self, place: int) -> None:
        """Take a part away."""
        chunk, start = self._find(place)
        chunk.count -= 1
        if chunk.filled:
            part = chunk.parts.pop(place - start)
            chunk.box.removeWidget(part)
            part.hide()
            part.deleteLater()
        if not chunk.count:
            self._chunks.remove(chunk)
            self._box.removeWidget(chunk)
            chunk.hide()
            chunk.deleteLater()
        elif not chunk.filled:
            self._measure(chunk)
        self._name_chunks()

    def swap(self, place: int) -> None:
        """Exchange a part with the one after it. In one chunk they stay what they are and keep the focus."""
        chunk, start = self._find(place)
        other, other_start = self._find(place + 1)
        if chunk is other and chunk.filled:
            part = chunk.parts.pop(place - start)
            chunk.parts.insert(place - start + 1, part)
            # Moved behind the other without being taken out, which would cost the focus.
            chunk.box.insertWidget(place - start, chunk.parts[place - start])
            self._order(part)
            return
        for found, first, number in ((chunk, start, place), (other, other_start, place + 1)):
            if found.filled:
                former = found.parts.pop(number - first)
                self._put(found, number - first, self._make(number))
                former.hide()
                former.deleteLater()

    def _find(self, place: int) -> tuple[_Chunk, int]:
        start = 0
        for chunk in self._chunks:
            if start <= place < start + chunk.count:
                return chunk, start
            start += chunk.count
        raise IndexError(place)

    def _add_chunk(self, number: int, count: int) -> _Chunk:
        chunk = _Chunk(self, count, self._spacing)
        self._chunks.insert(number, chunk)
        self._box.insertWidget(number, chunk)
        self._measure(chunk)
        show_now(chunk)
        return chunk

    def _measure(self, chunk: _Chunk) -> None:
        each = theme().px(self._estimate) + self._spacing
        chunk.setMinimumHeight(each * chunk.count - self._spacing)

    def _fill(self, chunk: _Chunk) -> None:
        if chunk.filled:
            return
        start = 0
        for other in self._chunks:
            if other is chunk:
                break
            start += other.count
        chunk.fill([self._make(start + number) for number in range(chunk.count)])

    def _put(self, chunk: _Chunk, number: int, part: QWidget) -> None:
        chunk.parts.insert(number, part)
        chunk.box.insertWidget(number, part)
        show_now(part)
        self._order(part)

    def _order(self, part: QWidget) -> None:
        """Have Tab reach a part between its neighbours."""
        made = list(self.made())
        place = made.index(part)
        before = next((stop for other in reversed(made[:place]) if (stop := last_stop(other)) is not None), None)
        if before is None:
            after = next((other for other in made[place + 1 :] if first_stop(other) is not None), None)
            after = after if after is not None else self.follower
            before = anchor_of(after) if after is not None else None
        while before is not None and (before is part or part.isAncestorOf(before)):
            before = before.previousInFocusChain()
        if before is not None:
            order_after(before, [part])

    def _seen(self, chunk: _Chunk) -> None:
        """A chunk was painted: make it soon, and the one after it before it is needed."""
        number = self._chunks.index(chunk) if chunk in self._chunks else -1
        if number < 0:
            return
        for near in self._chunks[number : number + 2]:
            if not near.filled and near not in self._wanted:
                self._wanted.append(near)
        if self._wanted:
            self._soon.start()

    @guarded()
    def _make_wanted(self) -> None:
        # One in each turn of the loop, so that scrolling goes on meanwhile. While a layout grows, chunks are painted
        # that are out of view once it has: those wait until they are painted again.
        while self._wanted:
            chunk = self._wanted.pop(0)
            if self._is_near(chunk):
                self._fill(chunk)
                break
        if self._wanted:
            self._soon.start()

    def _is_near(self, chunk: _Chunk) -> bool:
        """Whether a chunk or the one before it is in view."""
        number = self._chunks.index(chunk) if chunk in self._chunks else -1
        return number >= 0 and any(
            not near.visibleRegion().isEmpty() for near in self._chunks[max(0, number - 1) : number + 1]
        )

    def _entered(self, chunk: _Chunk, *, backwards: bool) -> None:
        """Tab came to a chunk that is not made: make it and pass the focus on."""
        self._fill(chunk)
        target = last_stop(chunk) if backwards else first_stop(chunk)
        if target is not None:
            target.setFocus(Qt.FocusReason.BacktabFocusReason if backwards else Qt.FocusReason.TabFocusReason)
            reveal(target)

    def _name_chunks(self) -> None:
        """Have assistive technology read which parts are not made."""
        start = 0
        for chunk in self._chunks:
            chunk.setAccessibleName("" if chunk.filled else self._name(start + 1, start + chunk.count))
            start += chunk.count


class _Chunk(QWidget):
    """A few parts of a column; an empty room that Tab stops at until they are made."""

    def __init__(self, column: LazyColumn, count: int, spacing: int) -> None:
        super().__init__(column)
        self._column = column
        self.count = count
        self.parts: list[QWidget] = []
        self.filled = False
        self.box = QVBoxLayout(self)
        self.box.setContentsMargins(0, 0, 0, 0)
        self.box.setSpacing(spacing)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def fill(self, parts: list[QWidget]) -> None:
        self.filled = True
        self.parts = parts
        for part in parts:
            self.box.addWidget(part)
            show_now(part)
        order_after(self, parts)
        self.setMinimumHeight(0)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName("")

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        self._column._seen(self)

    @guarded()
    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        if not self.filled:
            self._column._entered(self, backwards=event.reason() == Qt.FocusReason.BacktabFocusReason)
