"""Parts of the prompt for a call: an answer that Enter does not press, and the text of the arguments."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from PySide6.QtGui import QFontMetricsF, QKeySequence

from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import DeliberateButton, with_keys
from app.ui.widgets.exact_text import ExactText
from app.ui.widgets.guard import guarded
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QResizeEvent
    from PySide6.QtWidgets import QPushButton

    from app.ui.widgets.buttons import ButtonKind

LEAST_LINES, MOST_LINES = 2, 9


def set_letter(button: QPushButton, letter: str) -> str:
    """Have Alt and a letter press a button; returns the keys, empty where Alt types characters."""
    if sys.platform == "darwin":
        return ""
    keys = f"Alt+{letter}"
    button.setShortcut(QKeySequence(keys))
    return keys


class AnswerButton(DeliberateButton):
    """An answer, which its letter with Alt presses too."""

    def __init__(
        self, text: str, letter: str, hint: str, clicked: Callable[[], None], kind: ButtonKind = "quiet"
    ) -> None:
        super().__init__(text, kind=kind, clicked=clicked)
        self.setAccessibleDescription(hint)
        self.setToolTip(plain_tip(f"{with_keys(text, set_letter(self, letter))}\n{hint}"))


class ArgumentsText(ExactText):
    """The arguments of a call, as high as they need within a few lines, or within the room that there is."""

    def __init__(self, name: str) -> None:
        super().__init__(name, fitted=False)
        # In pixels; None for a few lines.
        self._room: int | None = None
        self.document().documentLayout().documentSizeChanged.connect(lambda _size: self._fit_lines())
        theme().changed.connect(self._fit_lines)
        self._fit_lines()

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_lines()

    @property
    def wanted(self) -> int:
        """The height within a few lines."""
        return self._height(min(self._needed, MOST_LINES))

    def set_room(self, room: int) -> None:
        """Be no higher than this, if that is enough for the fewest lines."""
        if room != self._room:
            self._room = room
            self._fit_lines()

    @property
    def _needed(self) -> int:
        # The document of a QPlainTextEdit measures its height in lines.
        return max(int(self.document().size().height()), LEAST_LINES)

    def _height(self, lines: int) -> int:
        around = 2 * self.document().documentMargin() + theme().px(tokens.SPACE_4)
        return round(lines * QFontMetricsF(self.font()).lineSpacing() + around)

    def _fit_lines(self) -> None:
        room = self._height(MOST_LINES) if self._room is None else self._room
        self.setFixedHeight(max(self._height(LEAST_LINES), min(self._height(self._needed), room)))
