"""TextReader: a whole text in place of the transcript, which stays as it was behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QLocale, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.marks import revealed_name
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.exact_text import ExactText
from app.ui.widgets.leavable import LeavablePage
from app.ui.widgets.plain_text import mime_data
from app.ui.widgets.text import ElidedLabel, Text

if TYPE_CHECKING:
    from collections.abc import Iterable

# The rest follows in portions.
FIRST = 60_000


class TextReader(LeavablePage):
    """Call `show_text`. `left()` when the person goes back."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        current = theme()
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_2)
        self.back = QuietButton(self.tr("Back"), "back", kind="flat", keys="Esc", clicked=self.left.emit)
        self.title = ElidedLabel("", "section", mode=Qt.TextElideMode.ElideRight)
        self.count = Text("", "caption", "muted")
        self.copy = QuietButton(self.tr("Copy all"), "copy", clicked=self._copy_all)
        self.text = ExactText(self.tr("Whole text"), fitted=False)
        head = QHBoxLayout()
        head.setContentsMargins(wide, gap, wide, gap)
        head.setSpacing(gap)
        head.addWidget(self.back)
        head.addWidget(self.title, 1)
        head.addWidget(self.count)
        head.addWidget(self.copy)
        body = QHBoxLayout()
        body.setContentsMargins(wide, 0, wide, wide)
        body.addWidget(self.text)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addLayout(head)
        box.addLayout(body, 1)

    def show_text(self, title: str, text: str) -> None:
        """Show a text, and put the focus there."""
        self.title.setText(revealed_name(title))
        self.count.setText(self.tr("{0} characters").format(QLocale().toString(len(text))))
        self.text.setAccessibleName(revealed_name(title))
        self.text.set_source(text, FIRST)
        self.text.show_all()
        self.text.setFocus(Qt.FocusReason.OtherFocusReason)

    def show_lines(self, title: str, lines: Iterable[str]) -> None:
        """Show the entries of a log."""
        self.show_text(title, "\n".join(lines))

    def _copy_all(self) -> None:
        QGuiApplication.clipboard().setMimeData(mime_data(self.text.source))
