"""What is new in a version: the release notes, which are words of others and shown without doing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.marks import revealed
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.prose import Prose
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, HEIGHT = 560, 420


class UpdateNotes(QDialog):
    """Opened with `show()`, beside the window."""

    def __init__(self, version: str, notes: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        title = self.tr("What is new in Burrow {0}").format(version)
        self.setWindowTitle(title)
        current = theme()
        wide = current.px(tokens.SPACE_4)
        self.prose = Prose(title)
        self.prose.set_text(revealed(notes))
        column = ScrollColumn(title, side=tokens.SPACE_4, top=0)
        column.box.addWidget(self.prose)
        column.box.addStretch(1)
        self.close_button = QuietButton(self.tr("Close"), clicked=self.reject)
        head, foot = QVBoxLayout(), QHBoxLayout()
        head.setContentsMargins(wide, wide, wide, current.px(tokens.SPACE_2))
        head.addWidget(Text(title, "title"))
        foot.setContentsMargins(wide, current.px(tokens.SPACE_2), wide, wide)
        foot.addStretch(1)
        foot.addWidget(self.close_button)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addLayout(head)
        box.addWidget(column, 1)
        box.addLayout(foot)
        room = self.screen().availableGeometry()
        self.resize(min(current.px(WIDTH), room.width()), min(current.px(HEIGHT), room.height()))
        show_focus_ring(self)
        self.close_button.setFocus()


def notes_opener(window: QWidget) -> Callable[[str, str], None]:
    """A slot that shows the notes of a version beside `window`."""

    def opened(version: str, notes: str) -> None:
        UpdateNotes(version, notes, window).show()

    return opened
