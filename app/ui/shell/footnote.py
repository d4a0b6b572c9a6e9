"""A line below the place for what the status corner says while the window is too narrow for it there."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.text import ElidedLabel


class Footnote(QFrame):
    """Hidden while there is nothing to say."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setVisible(False)
        self.words = ElidedLabel("", "caption", "muted", mode=Qt.TextElideMode.ElideRight)
        side, gap = theme().px(tokens.SPACE_4), theme().px(tokens.SPACE_1)
        row = QHBoxLayout(self)
        row.setContentsMargins(side, gap, side, gap)
        row.addWidget(self.words)

    def say(self, words: str) -> None:
        """Show these words; empty hides the line."""
        self.words.setText(words)
        self.setVisible(bool(words))
