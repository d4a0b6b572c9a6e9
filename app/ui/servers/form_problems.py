"""The card above a form that lists what is wrong, and leads to each field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.ui.servers.field_editors import LABEL_LIMIT
from app.ui.theme import theme, tokens
from app.ui.widgets.bounded_text import beginning
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.feedback import Glyph
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN = 8
# Characters of a label, and those beside which the problem fits.
NAME_LIMIT, SHORT = 24, 12


class ProblemCard(QFrame):
    """Hidden while there is nothing wrong. `wanted(str)` when a person wants to see the field of that name."""

    # The name of an argument, exactly: a string of Qt may not hold it.
    wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        current = theme()
        self.setProperty("card", "attention")
        self._title = Text(role="strong", wrap=True)
        self._lines = QVBoxLayout()
        self._lines.setSpacing(0)
        self._list: QWidget | None = None
        words = QVBoxLayout()
        words.setSpacing(current.px(tokens.SPACE_1))
        words.addWidget(self._title)
        words.addLayout(self._lines)
        row = QHBoxLayout(self)
        row.setContentsMargins(*([current.px(tokens.SPACE_3)] * 4))
        row.setSpacing(current.px(tokens.SPACE_2))
        row.addWidget(Glyph("warning", "attention"), 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(words, 1)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        self.setVisible(False)

    def show_lines(self, title: str, lines: Sequence[tuple[str, str, str]]) -> None:
        """Show problems as (name of the field or "", its label, what is wrong)."""
        self._title.setText(title)
        former, self._list = self._list, QWidget()
        grid = QGridLayout(self._list)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(0)
        grid.setColumnStretch(1, 1)
        for number, (name, label, words) in enumerate(lines[:SHOWN]):
            said = Text(words, wrap=True, selectable=True)
            if not name:
                grid.addWidget(said, 2 * number, 0, 1, 2)
                continue
            grid.addWidget(self._link(name, label, words), 2 * number, 0, Qt.AlignmentFlag.AlignTop)
            if max(len(shown) for _, shown, _ in lines[:SHOWN]) <= SHORT:
                grid.addWidget(said, 2 * number, 1, Qt.AlignmentFlag.AlignVCenter)
            else:
                said.setIndent(theme().px(tokens.SPACE_2))
                grid.addWidget(said, 2 * number + 1, 0, 1, 2)
        more = len(lines) - SHOWN
        if more > 0:
            grid.addWidget(Text(self.tr("and %n more", "", more), tone="muted"), 2 * SHOWN, 0, 1, 2)
        self._lines.addWidget(self._list)
        if former is not None:
            former.hide()
            former.deleteLater()
        shown = [f"{label}: {words}" if label else words for _, label, words in lines[:SHOWN]]
        self.setAccessibleName("\n".join([title, *shown]))
        self.setVisible(True)

    def text(self) -> str:
        """The title and the problems that are shown."""
        return self.accessibleName()

    def clear(self) -> None:
        """Hide."""
        self.setVisible(False)

    def _link(self, name: str, label: str, words: str) -> QuietButton:
        link = QuietButton(beginning(label, NAME_LIMIT), kind="flat", clicked=lambda: self.wanted.emit(name))
        font = link.font()
        font.setUnderline(True)
        link.setFont(font)
        link.setAccessibleName(self.tr("Go to {0}: {1}").format(beginning(label, LABEL_LIMIT), words))
        return link
