"""The picture of a sign-in: the lives of its tokens and what each process did, as spans over time.

It is one focus stop: Left and Right go from span to span, Home and End to the first and the last.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QPainter, QPen
from PySide6.QtWidgets import QScrollArea, QSizePolicy, QToolTip, QWidget

from app.core.diagnostics.history import GrantHistory, Span, SpanKind, history
from app.core.diagnostics.timeline import FAILED
from app.ui.shell import history_words, timeline_words
from app.ui.theme import theme, tokens
from app.ui.theme.icons import paint_icon
from app.ui.widgets.guard import guarded
from app.ui.widgets.times import clock, moment_at, relative

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QFocusEvent, QHelpEvent, QKeyEvent, QMouseEvent, QPaintEvent

    from app.core.diagnostics.timeline import TimelineStep

LANE = 24
AXIS = 18
GLYPH = 12
NAMES = 132
# With less room between them, marks are lines.
ROOM_FOR_GLYPH = 14
LEAST_BAR = 3
NEAR = 6
DAY = 86_400


class HistoryPicture(QWidget):
    """`chosen(Span)` when the user goes to a span."""

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(self.tr("Picture of the sign-in"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._steps: tuple[TimelineStep, ...] = ()
        self._range = float("inf")
        self._here = ""
        self._current: tuple[SpanKind, str] | None = None
        self._history: GrantHistory = history((), time.time(), self._range)
        self._rects: list[QRectF] = []
        theme().changed.connect(self.updateGeometry)

    @property
    def history(self) -> GrantHistory:
        """What is drawn."""
        return self._history

    @property
    def current(self) -> Span | None:
        """The span that the user went to."""
        return next((span for span in self._history.spans if _name(span) == self._current), None)

    def show_steps(self, steps: Sequence[TimelineStep], length: float, *, now: float | None = None) -> None:
        """Show the last `length` seconds of these steps. `now` is in Unix seconds, by default the present."""
        lanes = len(self._history.lanes)
        self._steps, self._range = tuple(steps), length
        self._here = next((step.process for step in steps if step.here), "")
        self._history = history(self._steps, time.time() if now is None else now, length)
        if len(self._history.lanes) != lanes:
            self.updateGeometry()
        self._describe()
        self.update()

    def select_step(self, step: TimelineStep | None) -> None:
        """Mark the span of a step without emitting `chosen`."""
        self._current = None if step is None else (SpanKind.STEP, step.key)
        self._describe()
        self.update()

    @guarded(default=QSize(1, 1))
    def sizeHint(self) -> QSize:
        height = len(self._history.lanes) * theme().px(LANE) + theme().px(AXIS)
        return QSize(theme().px(tokens.READING_WIDTH), height)

    @guarded(default=QSize(1, 1))
    def minimumSizeHint(self) -> QSize:
        return QSize(1, self.sizeHint().height())

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        # Time runs from left to right in every language.
        painter.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
        self._paint_lanes(painter)
        self._rects = [self._rect(span) for span in self._history.spans]
        glyphs = self._with_glyph()
        for span, rect, glyph in zip(self._history.spans, self._rects, glyphs, strict=True):
            if span.kind is SpanKind.TOKEN:
                self._paint_token(painter, span, rect)
            else:
                self._paint_step(painter, span, rect, glyph=glyph)
        current = self.current
        if current is not None:
            pen = QPen(theme().colour("ring" if self.hasFocus() else "muted"), tokens.RING)
            painter.setPen(pen)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(self._rect(current).adjusted(-2, -2, 2, 2), LEAST_BAR, LEAST_BAR)
        painter.end()

    def _left(self) -> float:
        return min(theme().px(NAMES), self.width() // 4)

    def _paint_lanes(self, painter: QPainter) -> None:
        current = theme()
        lane, left = current.px(LANE), self._left()
        caption = current.font("caption")
        painter.setFont(caption)
        metrics = QFontMetrics(caption)
        middle = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        for number, process in enumerate(self._history.lanes):
            painter.setPen(current.colour("muted"))
            room = left - current.px(tokens.SPACE_2)
            name = metrics.elidedText(
                history_words.lane_name(process, self._here), Qt.TextElideMode.ElideRight, int(room)
            )
            painter.drawText(QRectF(0, number * lane, room, lane), middle, name)
            painter.setPen(current.colour("border"))
            at = number * lane + lane / 2
            painter.drawLine(int(left), int(at), self.width(), int(at))
        top = len(self._history.lanes) * lane
        painter.setPen(current.colour("muted"))
        axis = QRectF(left, top, self.width() - left, current.px(AXIS))
        painter.drawText(axis, middle, self._moment(self._history.start))
        painter.drawText(axis, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, self.tr("now"))

    def _moment(self, at: float) -> str:
        moment = moment_at(at)
        return relative(moment) if self._history.end - at > DAY else clock(moment)

    def _rect(self, span: Span) -> QRectF:
        """Where a span is drawn."""
        lane, left = theme().px(LANE), self._left()
        room = self.width() - left
        start, end = (left + room * self._history.place(moment) for moment in (span.start, span.end))
        top, height = span.lane * lane, lane
        if span.kind is SpanKind.TOKEN:
            return QRectF(start, top + height / 4, max(LEAST_BAR, end - start - 1), height / 2)
        side = theme().px(GLYPH)
        if end - start >= side:
            return QRectF(start, top + height / 4, end - start, height / 2)
        return QRectF(start - side / 2, top + (height - side) / 2, side, side)

    def _with_glyph(self) -> list[bool]:
        """For each span, whether there is room for its glyph beside the next one of its lane."""
        last: dict[int, float] = {}
        room = theme().px(ROOM_FOR_GLYPH)
        found = []
        for span, rect in zip(self._history.spans, self._rects, strict=True):
            found.append(span.kind is SpanKind.STEP and rect.center().x() - last.get(span.lane, -room) >= room)
            if found[-1]:
                last[span.lane] = rect.center().x()
        return found

    def _paint_token(self, painter: QPainter, span: Span, rect: QRectF) -> None:
        current = theme()
        ended = span.ended_by is not None
        tone = "attention" if span.refused else "good"
        painter.setPen(QPen(current.colour(tone), 1, Qt.PenStyle.SolidLine if ended else Qt.PenStyle.DashLine))
        painter.setBrush(current.colour(f"{tone}_fill"))
        painter.drawRoundedRect(rect, LEAST_BAR, LEAST_BAR)
        generation = span.step.after
        if generation is not None and rect.width() > current.px(tokens.SPACE_6):
            painter.setPen(current.colour("text"))
            painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, str(generation))
        side = min(rect.height(), current.px(GLYPH))
        if span.refused and rect.width() > 2 * side:
            box = QRectF(rect.right() - side - 1, rect.center().y() - side / 2, side, side)
            paint_icon(painter, "cross", box, current.colour("attention"))

    def _paint_step(self, painter: QPainter, span: Span, rect: QRectF, *, glyph: bool) -> None:
        current = theme()
        state = timeline_words.what(span.step)
        colour = current.colour(state.tone)
        side = current.px(GLYPH)
        if rect.width() > side:
            painter.setPen(QPen(colour, 1, Qt.PenStyle.DashLine if span.open else Qt.PenStyle.SolidLine))
            painter.setBrush(current.colour("surface"))
            painter.drawRoundedRect(rect, LEAST_BAR, LEAST_BAR)
        if glyph:
            box = QRectF(rect.center().x() - side / 2, rect.center().y() - side / 2, side, side)
            painter.fillRect(box, current.colour("window"))
            paint_icon(painter, state.glyph, box, colour)
            return
        # A failure stands out of its neighbours by its height too.
        tall = 0 if span.step.kind in FAILED else rect.height() / 4
        painter.setPen(QPen(colour, 2))
        at = rect.center().x()
        painter.drawLine(int(at), int(rect.top() + tall), int(at), int(rect.bottom() - tall))

    @guarded(default=False)
    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip:
            self._show_tip(event)  # type: ignore[arg-type]
            return True
        return super().event(event)

    def _show_tip(self, event: QHelpEvent) -> None:
        span = self._at(event.pos().x(), event.pos().y())
        if span is None:
            QToolTip.hideText()
        else:
            QToolTip.showText(event.globalPos(), history_words.sentence(span), self)

    @guarded()
    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        span = self._at(event.position().x(), event.position().y())
        if span is not None:
            self._go(span)

    def _at(self, x: float, y: float) -> Span | None:
        """The span under a point, or the nearest one within a few pixels on its lane."""
        lane = int(y // theme().px(LANE))
        best: tuple[float, Span] | None = None
        for span, rect in zip(self._history.spans, self._rects, strict=False):
            if span.lane != lane:
                continue
            distance = max(rect.left() - x, x - rect.right(), 0.0)
            if distance <= NEAR and (best is None or distance <= best[0]):
                best = distance, span
        return None if best is None else best[1]

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        spans = self._history.spans
        current = self.current
        here = spans.index(current) if current is not None else None
        back, on = (Qt.Key.Key_Left, Qt.Key.Key_Right)
        if self.isRightToLeft():
            back, on = on, back
        wanted = {
            back: len(spans) - 1 if here is None else here - 1,
            on: 0 if here is None else here + 1,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: len(spans) - 1,
        }.get(Qt.Key(event.key()))
        if wanted is None or not spans:
            super().keyPressEvent(event)
            return
        self._go(spans[min(max(wanted, 0), len(spans) - 1)])

    @guarded()
    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self._come_into_view()
        if self.current is None and self._history.spans and event.reason() != Qt.FocusReason.MouseFocusReason:
            self._go(self._history.spans[-1])
        self.update()

    def _come_into_view(self) -> None:
        """Scroll to here: Qt does so only when the focus comes from within the same scroll area."""
        above = self.parentWidget()
        while above is not None and not isinstance(above, QScrollArea):
            above = above.parentWidget()
        if isinstance(above, QScrollArea):
            above.ensureWidgetVisible(self)

    def _go(self, span: Span) -> None:
        self._current = _name(span)
        self._describe()
        self.update()
        self.chosen.emit(span)

    def _describe(self) -> None:
        current = self.current
        if current is not None:
            self.setAccessibleDescription(history_words.sentence(current))
            return
        count = len(self._history.spans)
        self.setAccessibleDescription(
            self.tr("%n span(s)", "", count) if count else self.tr("Nothing has happened in this time.")
        )


def _name(span: Span) -> tuple[SpanKind, str]:
    return span.kind, span.step.key
