"""A field for text of one line or several, which grows with its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QLocale, Qt, QTimer, Signal
from PySide6.QtGui import QTextOption
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded
from app.ui.widgets.plain_text import PlainTextEdit

if TYPE_CHECKING:
    from PySide6.QtCore import QMimeData
    from PySide6.QtGui import QFocusEvent, QKeyEvent, QResizeEvent

# From here on the field says how many characters it holds: it shows only some of them.
COUNTED = 2_000
# The focus comes back from these, so the selection stays.
AWAY = frozenset(
    {
        Qt.FocusReason.PopupFocusReason,
        Qt.FocusReason.ActiveWindowFocusReason,
        Qt.FocusReason.MenuBarFocusReason,
    }
)
BY_KEY = frozenset(
    {
        Qt.FocusReason.TabFocusReason,
        Qt.FocusReason.BacktabFocusReason,
        Qt.FocusReason.ShortcutFocusReason,
    }
)


class TextField(PlainTextEdit):
    """A field that is `lines` high and grows up to `most` lines. It keeps every character that is put in.

    Emits `edited(text)` when the text changed, and `pasted()` after a paste of several lines. With
    `lines=1` Enter is left to the parent and Shift+Enter starts a line. Tab leaves the field. Backspace in an empty
    field, and Alt with an arrow key, are left to the parent.
    """

    # An object, because a string of Qt holds no lone surrogate, and no U+FEFF or U+FFFE at its start.
    edited = Signal(object)
    pasted = Signal()

    def __init__(
        self,
        name: str,
        text: str = "",
        *,
        lines: int = 1,
        most: int = 10,
        mono: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._lines, self._most, self._mono = lines, most, mono
        # A text that nobody typed is selected when the field gets the focus, so that typing replaces it.
        self._proposed: str | None = None
        self.setAccessibleName(name)
        self.setTabChangesFocus(True)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._count = QLabel(self)
        self._count.setVisible(False)
        self._apply_theme()
        self.set_text(text)
        self._show_count(len(text))
        self.document().documentLayout().documentSizeChanged.connect(lambda _size: self._fit())
        self.textChanged.connect(self._text_changed)
        theme().changed.connect(self._apply_theme)

    def propose(self, text: str) -> None:
        """Select the text on focus as long as it is `text`."""
        self._proposed = text

    def count_words(self) -> str:
        """What the field says about its length; empty for a short text."""
        return "" if self._count.isHidden() else self._count.text()

    @guarded()
    def insertFromMimeData(self, source: QMimeData) -> None:
        super().insertFromMimeData(source)
        if source.hasText():
            text = source.text()
            if "\n" in text or "\r" in text:
                self.pasted.emit()

    @guarded()
    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        proposed = self._proposed is not None and self.text() == self._proposed
        if proposed and event.reason() == Qt.FocusReason.MouseFocusReason:
            # The click that gave the focus still has to place the cursor.
            QTimer.singleShot(0, self, self.selectAll)
        elif event.reason() not in AWAY and (proposed or (self._lines == 1 and event.reason() in BY_KEY)):
            self.selectAll()

    @guarded()
    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        if event.reason() not in AWAY:
            cursor = self.textCursor()
            cursor.clearSelection()
            self.setTextCursor(cursor)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, modifiers = event.key(), event.modifiers()
        enter = key in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        arrow = key in (Qt.Key.Key_Up, Qt.Key.Key_Down)
        shift = bool(modifiers & Qt.KeyboardModifier.ShiftModifier)
        if (
            (enter and self._lines == 1 and not shift)
            or (arrow and modifiers & Qt.KeyboardModifier.AltModifier)
            or (key == Qt.Key.Key_Backspace and self.document().isEmpty())
        ):
            event.ignore()
        else:
            super().keyPressEvent(event)

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_count()
        self._fit()

    def _text_changed(self) -> None:
        text = self.text()
        self._show_count(len(text))
        self.edited.emit(text)

    def _show_count(self, length: int) -> None:
        counted = length > COUNTED
        if counted:
            self._count.setText(self.tr("{0} characters").format(QLocale().toString(length)))
        if counted == self._count.isHidden():
            self._count.setVisible(counted)
            self.setAccessibleDescription(self._count.text() if counted else "")
            self.setViewportMargins(0, 0, 0, self._count.sizeHint().height() if counted else 0)
            self._fit()
        self._place_count()

    def _place_count(self) -> None:
        size = self._count.sizeHint()
        edge = theme().px(tokens.SPACE_2)
        self._count.setGeometry(edge, self.height() - size.height() - 1, self.width() - 2 * edge, size.height())

    def _fit(self) -> None:
        """Fit the height to the text, in lines as they are wrapped."""
        lines = round(self.document().size().height())
        shown = min(max(self._lines, lines), self._most)
        scrolls = Qt.ScrollBarPolicy.ScrollBarAsNeeded if lines > self._most else Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        self.setVerticalScrollBarPolicy(scrolls)
        count = 0 if self._count.isHidden() else self._count.sizeHint().height()
        height = round(self.fontMetrics().lineSpacing() * shown + 2 * self.document().documentMargin()) + self._frame()
        height += count
        height = max(height, theme().px(tokens.CONTROL))
        if height != self.height() or height != self.minimumHeight():
            self.setFixedHeight(height)

    def _apply_theme(self) -> None:
        current = theme()
        self.setFont(current.font("mono" if self._mono else "body"))
        self._count.setFont(current.font("caption"))
        palette = self._count.palette()
        palette.setColor(palette.ColorRole.WindowText, current.colour("muted"))
        self._count.setPalette(palette)
        # A field of one line is as high as any control.
        room = current.px(tokens.CONTROL) - self.fontMetrics().lineSpacing() - self._frame()
        self.document().setDocumentMargin(max(0.0, room / 2))
        self._fit()

    def _frame(self) -> int:
        """The height of border and padding together, which the stylesheet sets."""
        return 2 * (theme().px(tokens.SPACE_1) + 1)
