"""Paints an item that is laid out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import (
    QAbstractTextDocumentLayout,
    QFont,
    QFontMetrics,
    QPainter,
    QPalette,
    QPen,
    QTextCharFormat,
    QTextCursor,
)

from app.ui.theme import theme, tokens
from app.ui.theme.icons import paint_icon
from app.ui.transcript.drawn import BEFORE, HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.ui.transcript.drawn import DrawnItem, PlacedText, PressableSpot, TextPlace

# So many matches of a search are marked in a document.
MOST_MARKED = 200


class ItemPainter:
    """Paints one item at the origin of a painter."""

    def __init__(self, painter: QPainter, drawn: DrawnItem) -> None:
        self.painter, self.drawn = painter, drawn

    def paint(
        self,
        *,
        current: bool = False,
        focused: bool = False,
        hovered: PressableSpot | None = None,
        over: bool = False,
        selection: tuple[TextPlace, TextPlace] | None = None,
        needle: str = "",
    ) -> None:
        """Paint it at the origin of the painter. `needle` is marked wherever it occurs."""
        self.painter.save()
        # Stacked marks reach far beyond their line.
        self.painter.setClipRect(
            QRect(0, -theme().px(2), self.drawn.look.width, self.drawn.height), Qt.ClipOperation.IntersectClip
        )
        self._paint_frame(current=current, focused=focused)
        if selection is not None and min(selection) == BEFORE and self.drawn.card.title:
            self._paint_selected_head()
        if self.drawn.card.frame == "separator":
            self._paint_separator()
        elif self.drawn.card.title:
            self._paint_head(hovered)
        for ground in self.drawn.grounds:
            self._paint_ground(QRectF(ground))
        for number, placed in enumerate(self.drawn.texts):
            self._paint_text(number, placed, selection, needle)
        for rect, words in self.drawn.more:
            under = hovered is not None and hovered.rect == rect
            font = theme().font("caption")
            self.painter.setFont(font)
            self.painter.setPen(theme().colour("info" if not under else "text"))
            self.painter.drawText(rect, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft), words)
        if over:
            for spot in self.drawn.spots:
                if spot.kind == "copy":
                    self._paint_copy(spot, under=spot == hovered)
        self.painter.restore()

    def _paint_frame(self, *, current: bool, focused: bool) -> None:
        shown = theme()
        frame = QRectF(self.drawn.frame).adjusted(0.5, 0.5, -0.5, -0.5)
        self.painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        radius = shown.px(tokens.RADIUS_CARD if self.drawn.card.frame == "raised" else tokens.RADIUS_CONTROL)
        if self.drawn.card.frame == "card":
            self.painter.setPen(QPen(shown.colour("border"), 1))
            self.painter.setBrush(shown.colour("surface"))
            self.painter.drawRoundedRect(frame, radius, radius)
        elif self.drawn.card.frame == "raised":
            self.painter.setPen(Qt.PenStyle.NoPen)
            self.painter.setBrush(shown.colour("raised"))
            self.painter.drawRoundedRect(frame, radius, radius)
        elif self.drawn.card.frame == "line" and self.drawn.is_open and self.drawn.texts:
            bar = QRect(
                self.drawn.frame.left(),
                shown.px(HEAD),
                tokens.SELECTION_BAR,
                self.drawn.frame.height() - shown.px(HEAD),
            )
            if self.drawn.look.mirrored:
                bar.moveRight(self.drawn.frame.right())
            self.painter.fillRect(bar, shown.colour("border"))
        self.painter.setBrush(Qt.BrushStyle.NoBrush)
        if current:
            gap = shown.px(tokens.SPACE_1)
            bar = QRect(
                self.drawn.frame.left() - gap - tokens.SELECTION_BAR, 0, tokens.SELECTION_BAR, self.drawn.frame.height()
            )
            if self.drawn.look.mirrored:
                bar.moveLeft(self.drawn.frame.right() + 1 + gap)
            self.painter.fillRect(bar, shown.colour("accent"))
        if focused:
            self.painter.setPen(QPen(shown.colour("ring"), tokens.RING))
            self.painter.drawRoundedRect(QRectF(self.drawn.frame).adjusted(1, 1, -1, -1), radius, radius)

    def _paint_selected_head(self) -> None:
        shown = theme()
        head = QRect(self.drawn.frame)
        head.setHeight(min(head.height(), shown.px(HEAD)))
        radius = shown.px(tokens.RADIUS_CONTROL)
        self.painter.setPen(Qt.PenStyle.NoPen)
        self.painter.setBrush(shown.colour("selection"))
        edge = tokens.RING
        self.painter.drawRoundedRect(QRectF(head).adjusted(edge, edge, -edge, -edge), radius, radius)
        self.painter.setBrush(Qt.BrushStyle.NoBrush)

    def _paint_separator(self) -> None:
        shown = theme()
        words = "  ".join(part for part in (self.drawn.card.title, self.drawn.card.took) if part)
        self.painter.setFont(shown.font("caption"))
        metrics = self.painter.fontMetrics()
        wide = metrics.horizontalAdvance(words)
        middle, gap = self.drawn.frame.center().y(), shown.px(tokens.SPACE_3)
        start = self.drawn.frame.center().x() - wide // 2
        self.painter.setPen(shown.colour("muted"))
        self.painter.drawText(self.drawn.frame, int(Qt.AlignmentFlag.AlignCenter), words)
        self.painter.fillRect(
            QRect(self.drawn.frame.left(), middle, start - gap - self.drawn.frame.left(), 1), shown.colour("border")
        )
        right = start + wide + gap
        self.painter.fillRect(QRect(right, middle, self.drawn.frame.right() - right, 1), shown.colour("border"))

    def _paint_head(self, hovered: PressableSpot | None) -> None:
        shown, card = theme(), self.drawn.card
        framed = card.frame in ("card", "raised")
        pad = shown.px(tokens.SPACE_3) if framed else 0
        gap, icon, high = shown.px(tokens.SPACE_2), shown.px(tokens.ICON), shown.px(HEAD)
        left, right = (
            self._unmirrored(self.drawn.frame).left() + pad,
            self._unmirrored(self.drawn.frame).right() + 1 - pad,
        )
        if card.folds:
            under = hovered is not None and hovered.kind == "fold"
            name = (
                "chevron-down"
                if self.drawn.is_open
                else "chevron-left"
                if self.drawn.look.mirrored
                else "chevron-right"
            )
            self._icon("back" if name == "chevron-left" else name, right - icon, "text" if under else "muted")
            right -= icon + gap
        right = self._paint_state(right)
        self._icon(card.glyph, left, card.tone)
        left += icon + gap
        title_font = shown.font("strong" if card.frame != "line" else "body")
        metrics = QFontMetrics(title_font)
        title = metrics.elidedText(card.title, Qt.TextElideMode.ElideRight, max(0, right - left - gap))
        self._words(title, title_font, "text" if card.frame != "line" else "muted", left, right, high)
        left += metrics.horizontalAdvance(title) + gap
        if card.detail and right - left > 2 * icon and not (self.drawn.is_open and card.frame == "line"):
            detail_font = shown.font("body")
            way = Qt.TextElideMode.ElideMiddle if "/" in card.detail else Qt.TextElideMode.ElideRight
            detail = QFontMetrics(detail_font).elidedText(card.detail, way, right - left - gap)
            self._words(detail, detail_font, "muted", left, right, high)

    def _paint_state(self, right: int) -> int:
        """State and time at the right; returns where what is left of them has to end."""
        shown, card = theme(), self.drawn.card
        gap, icon, high = shown.px(tokens.SPACE_2), shown.px(tokens.ICON), shown.px(HEAD)
        font = shown.font("caption")
        metrics = QFontMetrics(font)
        state = card.state
        # What is done says so by its glyph and the time that it took.
        quiet = state is None or (state.glyph == "check" and bool(card.took))
        for words, tone in ((card.took, "muted"), ("" if quiet or state is None else state.word, "")):
            if words:
                wide = metrics.horizontalAdvance(words) + 2
                ink = tone or (state.tone if state is not None else "muted")
                self._words(words, font, ink, right - wide, right, high)
                right -= wide + gap
        if state is not None:
            right += gap - shown.px(tokens.SPACE_1)
            self._icon(state.glyph, right - icon, state.tone)
            right -= icon + gap
        return right

    def _paint_ground(self, around: QRectF) -> None:
        shown = theme()
        self.painter.setPen(Qt.PenStyle.NoPen)
        self.painter.setBrush(shown.colour("raised"))
        self.painter.drawRoundedRect(around, shown.px(tokens.SPACE_1), shown.px(tokens.SPACE_1))
        self.painter.setBrush(Qt.BrushStyle.NoBrush)

    def _paint_text(
        self,
        number: int,
        placed: PlacedText,
        selection: tuple[TextPlace, TextPlace] | None,
        needle: str,
    ) -> None:
        shown = theme()
        if placed.ground:
            gap = shown.px(tokens.SPACE_2)
            self._paint_ground(QRectF(placed.rect.adjusted(-gap, -gap // 2, gap, gap // 2)))
        if placed.glyph:
            side, small = shown.px(tokens.ICON), shown.px(6)
            at = placed.rect.right() + 1 + small if self.drawn.look.mirrored else placed.rect.left() - side - small
            line = QFontMetrics(placed.document.defaultFont()).height()
            box = QRectF(at, placed.rect.top() + max(0, (line - side) / 2), side, side)
            paint_icon(self.painter, placed.glyph, box, shown.colour(_GLYPH_TONES.get(placed.glyph, "muted")))
        context = QAbstractTextDocumentLayout.PaintContext()
        palette = QPalette()
        muted = placed.tone == "text" and placed.document.defaultFont() == shown.font("caption")
        palette.setColor(QPalette.ColorRole.Text, shown.colour("muted" if muted else placed.tone))
        context.palette = palette
        context.selections = list(self._selections(number, selection, needle))
        self.painter.save()
        self.painter.translate(placed.rect.topLeft())
        # Only what is to be painted is: the lines of a long text are many.
        area = self.painter.clipBoundingRect()
        context.clip = area
        placed.document.documentLayout().draw(self.painter, context)
        self.painter.restore()

    def _selections(
        self, number: int, selection: tuple[TextPlace, TextPlace] | None, needle: str
    ) -> Iterator[QAbstractTextDocumentLayout.Selection]:
        shown = theme()
        if needle:
            found = QTextCursor(self.drawn.texts[number].document)
            for _ in range(MOST_MARKED):
                found = self.drawn.texts[number].document.find(needle, found)
                if found.isNull():
                    break
                form = QTextCharFormat()
                form.setBackground(shown.colour("attention_fill"))
                form.setForeground(shown.colour("attention"))
                yield _selection(found, form)
        if selection is not None:
            first, last = min(selection), max(selection)
            if first.text <= number <= last.text:
                form = QTextCharFormat()
                form.setBackground(shown.colour("accent"))
                form.setForeground(shown.colour("on_accent"))
                yield _selection(self.drawn.cursor(number, first, last), form)

    def _paint_copy(self, spot: PressableSpot, *, under: bool) -> None:
        shown = theme()
        self.painter.setPen(QPen(shown.colour("border"), 1))
        self.painter.setBrush(shown.colour("surface"))
        radius = shown.px(tokens.SPACE_1)
        self.painter.drawRoundedRect(QRectF(spot.rect).adjusted(0.5, 0.5, -0.5, -0.5), radius, radius)
        self.painter.setBrush(Qt.BrushStyle.NoBrush)
        side = shown.px(tokens.GLYPH)
        box = QRectF(0, 0, side, side)
        box.moveCenter(QRectF(spot.rect).center())
        paint_icon(self.painter, "copy", box, shown.colour("text" if under else "muted"))

    def _unmirrored(self, rect: QRect) -> QRect:
        return self.drawn.place(QRect(rect))

    def _icon(self, name: str, left: int, tone: str) -> None:
        shown = theme()
        side = shown.px(tokens.ICON)
        box = self.drawn.place(QRect(left, (shown.px(HEAD) - side) // 2, side, side))
        paint_icon(self.painter, name, QRectF(box), shown.colour(tone))

    def _words(self, words: str, font: QFont, tone: str, left: int, right: int, high: int) -> None:
        self.painter.setFont(font)
        self.painter.setPen(theme().colour(tone))
        align = Qt.AlignmentFlag.AlignRight if self.drawn.look.mirrored else Qt.AlignmentFlag.AlignLeft
        self.painter.drawText(
            self.drawn.place(QRect(left, 0, right - left, high)),
            int(Qt.AlignmentFlag.AlignVCenter | align | Qt.AlignmentFlag.AlignAbsolute)
            | int(Qt.TextFlag.TextSingleLine),
            words,
        )


# The glyphs of rows say a state by their colour too.
_GLYPH_TONES = {"check": "good", "cross": "bad", "play": "accent", "warning": "attention", "question": "attention"}


def _selection(cursor: QTextCursor, form: QTextCharFormat) -> QAbstractTextDocumentLayout.Selection:
    found = QAbstractTextDocumentLayout.Selection()
    found.cursor = cursor
    found.format = form
    return found
