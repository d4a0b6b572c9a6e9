"""Text of any length from outside: its beginning, and the rest on request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QLocale, Qt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.exact_text import ExactText
from app.ui.widgets.focus_chain import anchor_of, order_after
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from app.ui.theme.tokens import TextRole, Tone

SHOWN = 1_000
LINES = 14


class BoundedText(QWidget):
    """A wrapped text that can be selected. From a longer one it shows the first 1,000 characters and *Show all*."""

    def __init__(
        self, text: str, role: TextRole = "body", tone: Tone = "text", *, name: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._text, self._name = text, name
        self._label = Text(beginning(text, SHOWN), role, tone, wrap=True, selectable=True)
        self._all: ExactText | None = None
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(theme().px(tokens.SPACE_1))
        self._box.addWidget(self._label)
        self.more: QuietButton | None = None
        if len(text) > SHOWN:
            words = self.tr("Show all {0} characters").format(QLocale().toString(len(text)))
            self.more = QuietButton(words, kind="flat", clicked=self.show_all)
            self._box.addWidget(self.more, 0, Qt.AlignmentFlag.AlignLeft)

    def text(self) -> str:
        """What is shown."""
        return self._label.text() if self._all is None else self._all.source

    def show_all(self) -> None:
        """Show the whole text in a field that scrolls, which gets the focus."""
        if self._all is not None or self.more is None:
            return
        self._all = ExactText(self._name or self.tr("Whole text"), fitted=False)
        self._all.set_source(self._text, len(self._text))
        self._all.setFixedHeight(self._all.fontMetrics().lineSpacing() * LINES)
        before = anchor_of(self)
        self._box.addWidget(self._all)
        if before is not None:
            order_after(before, [self._all])
        self._all.setFocus(Qt.FocusReason.OtherFocusReason)
        self._label.setVisible(False)
        self.more.setVisible(False)


class FoldedText(QWidget):
    """The place of a `BoundedText` whose text changes. Hidden while that is empty."""

    def __init__(self, name: str, role: TextRole = "body", tone: Tone = "text", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name, self._role, self._tone = name, role, tone
        self._shown: BoundedText | None = None
        self._text = ""
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self.setVisible(False)

    def text(self) -> str:
        """What is shown."""
        return "" if self._shown is None else self._shown.text()

    def set_text(self, text: str) -> None:
        """Show another text, folded again."""
        if text == self._text:
            return
        self._text = text
        former = self._shown
        self._shown = BoundedText(text, self._role, self._tone, name=self._name) if text else None
        if self._shown is not None:
            self._box.addWidget(self._shown)
        self.setVisible(bool(text))
        if former is not None:
            # Not destroyed at once: this may run in a signal of its button.
            former.hide()
            former.deleteLater()


def beginning(text: str, length: int) -> str:
    """The beginning of a text, with an ellipsis where it was cut."""
    return text if len(text) <= length else f"{text[:length].rstrip()}…"
