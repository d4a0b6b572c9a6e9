"""Labels in the text roles and tones of the theme, one that elides, and a state as glyph and word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPalette
from PySide6.QtWidgets import QLabel, QSizePolicy, QStyle, QWidget

from app.ui.theme import theme, tokens
from app.ui.theme.icons import paint_icon
from app.ui.widgets.guard import guarded
from app.ui.widgets.mirror import mirrored
from app.ui.widgets.mnemonics import mnemonic_flag
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent

    from app.ui.theme.state import State
    from app.ui.theme.tokens import TextRole, Tone

LONGEST_LINE = 2_000
SELECTABLE = Qt.TextInteractionFlag.TextSelectableByMouse


class Text(QLabel):
    """A plain-text label. `wrap` breaks lines; `selectable` lets the mouse select, and too long words break.

    Set `selectable` for wrapping text from outside (titles, addresses, errors): elsewhere long words are cut off.
    """

    def __init__(
        self,
        text: str = "",
        role: TextRole = "body",
        tone: Tone = "text",
        *,
        wrap: bool = False,
        selectable: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._painted_layout: tuple[str, QSize, str] | None = None
        self.setTextFormat(Qt.TextFormat.PlainText)
        self._role: TextRole = role
        self._tone: Tone = tone
        # Only now: where assistive technology listens, a new text makes it ask for the role.
        QLabel.setText(self, text)
        if wrap:
            self.setWordWrap(True)
            self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        if selectable:
            self.setTextInteractionFlags(SELECTABLE)
        self._apply_theme()
        theme().changed.connect(self._apply_theme)

    def minimumSizeHint(self) -> QSize:
        hint = super().minimumSizeHint()
        # Of its own a wrapping label has the height that it would have at its narrowest.
        return QSize(1, self.fontMetrics().height()) if self.wordWrap() else hint

    def line_width(self) -> int:
        """The width in pixels that the text needs to stand on one line."""
        margins = self.contentsMargins()
        # More than the letters: the layout of a text rounds up.
        return self.fontMetrics().horizontalAdvance(self.text()) + margins.left() + margins.right() + 2

    def heightForWidth(self, width: int) -> int:
        height = super().heightForWidth(width)
        return super().heightForWidth(width) if self._break_long_words() else height

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        if self.buddy() is not None and not self.wordWrap():
            self._paint_caption()
            return
        if self.wordWrap():
            # QLabel would lay a new text or size out while it paints, without breaking long words; asking for the
            # height does it before. That asks for another paint too: once for each layout, or painting never ends.
            layout = (self.text(), self.size(), self.font().key())
            if layout != self._painted_layout:
                self._painted_layout = layout
                self.heightForWidth(self.width())
        super().paintEvent(event)
        if self._break_long_words():
            self.update()

    def _paint_caption(self) -> None:
        """Paint the caption of a field. Its letter is underlined while Alt is held."""
        painter = QPainter(self)
        place = QStyle.visualAlignment(self.layoutDirection(), self.alignment())
        self.style().drawItemText(
            painter,
            self.contentsRect(),
            int(place) | int(mnemonic_flag()),
            self.palette(),
            self.isEnabled(),
            self.text(),
            self.foregroundRole(),
        )
        painter.end()

    def _break_long_words(self) -> bool:
        """Let long words break; returns whether that changed the layout. QLabel resets this with each new layout."""
        from PySide6.QtGui import QTextDocument, QTextOption

        document = self.findChild(QTextDocument) if self.wordWrap() else None
        if document is None:
            return False
        wanted = QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere
        option = document.defaultTextOption()
        if option.wrapMode() == wanted:
            return False
        option.setWrapMode(wanted)
        document.setDefaultTextOption(option)
        return True

    @property
    def role(self) -> TextRole:
        """Size and weight."""
        return self._role

    def set_tone(self, tone: Tone) -> None:
        """Change the colour."""
        self._tone = tone
        self._apply_theme()

    def set_role(self, role: TextRole) -> None:
        """Change size and weight."""
        self._role = role
        self._apply_theme()

    def _apply_theme(self) -> None:
        current = theme()
        self.setFont(current.font(self._role))
        if self._role == "title":
            # As high as a control, so that titles are at one height whether or not a control stands beside them.
            self.setMinimumHeight(current.px(tokens.CONTROL))
        palette = QPalette(self.palette())
        palette.setColor(QPalette.ColorRole.WindowText, current.colour(self._tone))
        self.setPalette(palette)


class ElidedLabel(Text):
    """One line that elides (paths in the middle) instead of pushing the layout; the whole text is its tooltip."""

    def __init__(
        self,
        text: str = "",
        role: TextRole = "body",
        tone: Tone = "text",
        *,
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideMiddle,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(text, role, tone, parent=parent)
        self._mode = mode
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def minimumSizeHint(self) -> QSize:
        return QSize(theme().px(tokens.SPACE_6), super().sizeHint().height())

    def shown_text(self) -> str:
        """What fits, with the ellipsis."""
        # Only the beginning can fit, and measuring a text of megabytes takes seconds.
        line = " ".join(self.text()[:LONGEST_LINE].split())
        return self.fontMetrics().elidedText(line, self._mode, self.contentsRect().width())

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        shown = self.shown_text()
        painter.drawText(self.contentsRect(), int(self.alignment()), shown)
        painter.end()

    @guarded(default=False)
    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip:
            self.setToolTip(plain_tip(self.text()[:LONGEST_LINE]) if self.shown_text() != self.text() else "")
        return super().event(event)


class StatusWord(QWidget):
    """A state as glyph + word in its colour. Read aloud as its word."""

    def __init__(self, state: State | None = None, role: TextRole = "body", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = state
        self._role: TextRole = role
        self._suffix = ""
        self._glyph_only = False
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme().changed.connect(self._apply_theme)
        self._apply_theme()

    @property
    def state(self) -> State | None:
        """What is shown; None shows nothing."""
        return self._state

    def set_state(self, state: State | None, suffix: str = "") -> None:
        """Show another state; `suffix` stands after the word in the muted tone (a duration, a count)."""
        self._state, self._suffix = state, suffix
        self._apply_theme()

    def set_glyph_only(self, glyph_only: bool) -> None:
        """Leave the word out where there is no room for it. Whoever asks for that shows the word elsewhere."""
        self._glyph_only = glyph_only
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        current = theme()
        if self._state is None:
            return QSize(0, current.px(20))
        if self._glyph_only:
            return QSize(current.px(tokens.ICON), current.px(20))
        metrics = self.fontMetrics()
        width = current.px(tokens.ICON + 6) + metrics.horizontalAdvance(self._words()) + 2
        return QSize(width, max(current.px(20), metrics.height()))

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def _words(self) -> str:
        if self._state is None:
            return ""
        return f"{self._state.word} {self._suffix}" if self._suffix else self._state.word

    def _apply_theme(self) -> None:
        self.setFont(theme().font(self._role))
        self.setAccessibleName(self._words())
        # Without a parent it would open as a window.
        if self.parentWidget() is not None:
            self.setVisible(self._state is not None)
        self.updateGeometry()
        self.update()

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        if self._state is None:
            return
        current = theme()
        colour = current.colour(self._state.tone)
        side = current.px(tokens.ICON)
        painter = QPainter(self)
        box = mirrored(QRectF(0, (self.height() - side) / 2, side, side), self)
        paint_icon(painter, self._state.glyph, box, colour)
        if self._glyph_only:
            painter.end()
            return
        painter.setPen(colour)
        painter.setFont(self.font())
        rect = self.rect().adjusted(current.px(tokens.ICON + 6), 0, 0, 0)
        word = self._state.word
        painter.drawText(mirrored(rect, self), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, word)
        if self._suffix:
            painter.setPen(current.colour("muted"))
            rect.setLeft(rect.left() + self.fontMetrics().horizontalAdvance(word + " "))
            place = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
            painter.drawText(mirrored(rect, self), place, self._suffix)
        painter.end()
