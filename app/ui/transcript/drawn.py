"""DrawnItem: an item laid out for a width; `painted.py` paints it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

from PySide6.QtCore import QPointF, QRect, Qt
from PySide6.QtGui import QFontMetrics, QTextCursor

from app.ui.theme import theme, tokens
from app.ui.transcript.card import CardPart
from app.ui.transcript.card_words import tr
from app.ui.transcript.documents import code_blocks, document_of, has_code, pieces_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PySide6.QtGui import QTextDocument

    from app.ui.transcript.card import ItemCard

    DocumentKey = tuple[str, str, str, int]

SpotKind = Literal["fold", "whole", "copy"]
# How far the column of a wide window reaches, in pixels of the design.
COLUMN = 780
HEAD = 30
MORE = 26
MOST_PARTS = 100


class Look(NamedTuple):
    """What a layout depends on beside the item: the width of the view in pixels, dots per inch, direction, depth."""

    width: int
    dots: int
    mirrored: bool = False
    depth: int = 0


class PressableSpot(NamedTuple):
    """A place of an item that can be pressed. `text` is what a `copy` copies and a `whole` shows."""

    rect: QRect
    kind: SpotKind
    words: str
    text: str = ""


class PlacedText(NamedTuple):
    """A document at its place in the item."""

    document: QTextDocument
    rect: QRect
    ground: bool
    glyph: str
    tone: str


class TextPlace(NamedTuple):
    """A position in an item: which document, and where in it."""

    text: int
    position: int


# Before the head of an item, and after all its text.
BEFORE, AFTER = TextPlace(-1, 0), TextPlace(2**31, 0)


def first_parts(parts: Iterator[CardPart]) -> Iterator[CardPart]:
    """So many of an item's parts as can be laid out in a moment. Agents send lists of any length."""
    yield from islice(parts, MOST_PARTS)
    if next(parts, None) is not None:
        yield CardPart("caption", tr("More follows. The raw log has all of it."))


def late_words() -> str:
    """What is said of an item that is `late`."""
    return tr("Arrived after you stopped")


def with_late_words(card: ItemCard, *, is_open: bool) -> ItemCard:
    """The card of a late item: its name says so, and its head while it is folded."""
    if not card.late:
        return card
    words = late_words()
    folded = f"{words} · {card.detail}" if card.detail else words
    return card._replace(spoken=f"{card.spoken}, {words}", detail=card.detail if is_open else folded)


class DrawnItem:
    """Lays out at once. Places are relative to the top left of the item, as wide as the view.

    Documents of `former`, a layout of the same item, are taken over where their text is the same.
    """

    def __init__(self, card: ItemCard, look: Look, *, is_open: bool, former: DrawnItem | None = None) -> None:
        self.card, self.look, self.is_open = card, look, is_open
        self.texts: list[PlacedText] = []
        self.spots: list[PressableSpot] = []
        self.more: list[tuple[QRect, str]] = []
        # What is behind code within a text.
        self.grounds: list[QRect] = []
        # How many characters are left out after a text.
        self.cut: dict[int, int] = {}
        self._former = former._documents if former is not None else {}
        self._documents: dict[DocumentKey, QTextDocument] = {}
        current = theme()
        side, pad = current.px(tokens.SPACE_4), current.px(tokens.SPACE_3)
        indent = side + look.depth * current.px(tokens.SPACE_5)
        # What is nested ends where the others do.
        end = min(look.width - side, side + current.px(COLUMN))
        wide = max(current.px(tokens.SPACE_6), end - indent)
        self.frame = QRect(indent, 0, wide, 0)
        framed = card.frame in ("card", "raised")
        inset = pad if framed else 0
        bottom = 0
        if card.frame == "separator":
            bottom = current.px(HEAD)
        elif card.title:
            bottom = current.px(HEAD)
            if card.folds:
                head = self.place(QRect(indent, 0, wide, bottom))
                self.spots.append(PressableSpot(head, "fold", tr("Fold") if is_open else tr("Open")))
        if is_open or not card.folds:
            bottom = self._lay_out(indent + inset, bottom, wide - 2 * inset)
            if framed:
                bottom += current.px(tokens.SPACE_2)
        self.frame = self.place(QRect(indent, 0, wide, bottom))
        self._former = {}
        self.height = bottom + current.px(tokens.SPACE_2 if card.frame in ("card", "line") else tokens.SPACE_3)

    def _lay_out(self, left: int, top: int, wide: int) -> int:
        current = theme()
        gap, small = current.px(tokens.SPACE_2), current.px(6)
        icon = current.px(tokens.ICON)
        parts = list(first_parts(self.card.parts()))
        if self.card.late:
            parts.insert(0, CardPart("caption", late_words(), "clock", "muted"))
        if self.card.frame == "line":
            left += gap + small
            wide -= gap + small
        for number, part in enumerate(parts):
            ground = part.kind in ("mono", "diff")
            inner = gap if ground else 0
            indent = icon + small if part.glyph else 0
            room = max(1, wide - 2 * inner - indent)
            if number and not (part.kind == "caption" or (part.glyph and parts[number - 1].glyph)):
                top += gap
            elif number:
                top += current.px(tokens.SPACE_1)
            top += inner // 2 if ground else 0
            for at, document in enumerate(self._documents_of(part, room)):
                top += gap if at else 0
                high = round(document.size().height())
                if part.glyph and at == 0:
                    high = max(high, icon)
                rect = self.place(QRect(left + inner + indent, top, room, high))
                self.texts.append(PlacedText(document, rect, ground, part.glyph if at == 0 else "", part.tone))
                self._add_copies(document, part, rect)
                top += high
            top += inner // 2 if ground else 0
            if part.whole:
                self.cut[len(self.texts) - 1] = part.left_out
                top += current.px(tokens.SPACE_1)
                words = tr("Show all %n characters", len(part.whole))
                measured = QFontMetrics(current.font("caption")).horizontalAdvance(words) + gap
                row = self.place(QRect(left, top, min(wide, measured), current.px(MORE)))
                self.spots.append(PressableSpot(row, "whole", words, part.whole))
                self.more.append((row, words))
                top += current.px(MORE)
        return top

    def _add_copies(self, document: QTextDocument, part: CardPart, rect: QRect) -> None:
        side = theme().px(tokens.TARGET)
        found: list[tuple[int, str]] = []
        if part.kind in ("mono", "diff"):
            found = [(rect.top(), document.toPlainText())]
        elif part.kind == "markdown" and has_code(part.text):
            gap = theme().px(tokens.SPACE_2)
            for lines, text in code_blocks(document):
                around = lines.toAlignedRect().adjusted(0, -gap // 2, 0, gap // 2).translated(rect.topLeft())
                around.setRight(rect.right())
                if self.look.mirrored:
                    around.setLeft(rect.left())
                self.grounds.append(around)
                found.append((around.top(), text))
        for top, text in found:
            at = rect.left() if self.look.mirrored else rect.right() + 1 - side
            self.spots.append(PressableSpot(QRect(at, top, side, side), "copy", tr("Copy"), text))

    def _documents_of(self, part: CardPart, room: int) -> Iterator[QTextDocument]:
        for piece in pieces_of(part.text) if part.kind == "markdown" else [part.text]:
            key = (part.kind, piece, part.tone, room)
            found = self._former.get(key) or document_of(part.kind, piece, part.tone, room, self.look.dots)
            self._documents[key] = found
            yield found

    def place(self, rect: QRect) -> QRect:
        """Where a rectangle lies that is measured from the left."""
        if self.look.mirrored:
            rect.moveLeft(self.look.width - rect.left() - rect.width())
        return rect

    def spot_at(self, x: int, y: int) -> PressableSpot | None:
        """What can be pressed there; the smaller one where two lie."""
        found = [spot for spot in self.spots if spot.rect.contains(x, y)]
        return min(found, key=lambda spot: spot.rect.width() * spot.rect.height()) if found else None

    def link_at(self, x: int, y: int) -> str:
        """The address of a link there."""
        for placed in self.texts:
            if placed.rect.contains(x, y):
                at = QPointF(x - placed.rect.left(), y - placed.rect.top())
                return placed.document.documentLayout().anchorAt(at)
        return ""

    def place_at(self, x: int, y: int, *, exact: bool = False) -> TextPlace | None:
        """The position in the text nearest to a place; with `exact` only where there is text."""
        best: TextPlace | None = None
        for number, placed in enumerate(self.texts):
            if exact and not placed.rect.contains(x, y):
                continue
            at = QPointF(x - placed.rect.left(), max(0, y - placed.rect.top()))
            if y >= placed.rect.top() or best is None:
                fuzzy = Qt.HitTestAccuracy.FuzzyHit
                best = TextPlace(number, max(0, placed.document.documentLayout().hitTest(at, fuzzy)))
        return best

    def selected_text(self, first: TextPlace, last: TextPlace) -> str:
        """The text between two positions, as it is shown; from `BEFORE` on with the words of the head."""
        first, last = min(first, last), max(first, last)
        found = []
        head = " · ".join(words for words in (self.card.title, self.card.detail) if words)
        if first == BEFORE and head:
            found.append(head)
        for number in range(max(0, first.text), min(last.text + 1, len(self.texts))):
            cursor = self.cursor(number, first, last)
            found.append(cursor.selection().toPlainText())
            if number < last.text and number in self.cut:
                found.append(tr("[%n characters are left out]", self.cut[number]))
        return "\n".join(found)

    def word_at(self, place: TextPlace) -> tuple[TextPlace, TextPlace]:
        """The word around a position."""
        cursor = QTextCursor(self.texts[place.text].document)
        cursor.setPosition(place.position)
        cursor.select(QTextCursor.SelectionType.WordUnderCursor)
        return TextPlace(place.text, cursor.selectionStart()), TextPlace(place.text, cursor.selectionEnd())

    def cursor(self, number: int, first: TextPlace, last: TextPlace) -> QTextCursor:
        """What of a document lies between two positions."""
        document = self.texts[number].document
        cursor = QTextCursor(document)
        end = document.characterCount() - 1
        cursor.setPosition(min(first.position, end) if number == first.text else 0)
        at = min(last.position, end) if number == last.text else end
        cursor.setPosition(at, QTextCursor.MoveMode.KeepAnchor)
        return cursor
