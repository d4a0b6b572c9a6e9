"""A line below an editor that says what happened, and offers one thing to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.announce import announce
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable


class OfferLine(QWidget):
    """Hidden until `say`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._act: Callable[[], None] | None = None
        self._words = Text("", "caption", "muted", wrap=True)
        self.button = QuietButton("", kind="flat", clicked=self.take)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme().px(tokens.SPACE_2))
        row.addWidget(self._words, 1)
        row.addWidget(self.button)
        self.setVisible(False)

    def say(self, words: str, button: str, act: Callable[[], None]) -> None:
        """Say `words`, and offer `act`."""
        self._act = act
        self._words.setText(words)
        self.button.setText(button)
        self.button.setAccessibleName(f"{button}: {words}")
        self.setVisible(True)
        announce(self, words)

    def text(self) -> str:
        """What is said; empty if nothing is."""
        return "" if self._act is None else self._words.text()

    def take(self) -> None:
        """Do what is offered."""
        act, self._act = self._act, None
        if act is not None:
            act()
        # Hidden afterwards: what was done puts the focus where it belongs. It may also offer something else.
        if self._act is None:
            self.clear()

    def clear(self) -> None:
        """Offer nothing."""
        self._act = None
        self.setVisible(False)
