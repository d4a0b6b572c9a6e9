"""Help (F1): how to get around, with the keys, and the doors to everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.ui.shell.keymap import native
from app.ui.theme import theme, tokens
from app.ui.translation import marked, translate
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WIDTH, HEIGHT = 580, 500
LEAST_WIDTH, LEAST_HEIGHT = 320, 260

# Heading, text and keys, both words untranslated (context `Help`). `{0}` stands for the keys.
TOPICS: tuple[tuple[str, str, str], ...] = (
    (
        marked("Help", "Find anything"),
        marked(
            "Help",
            "{0} opens the palette: type a few letters of a task, a server, a tool, a client, a setting or a command.",
        ),
        "Ctrl+K",
    ),
    (
        marked("Help", "Move by keyboard"),
        marked("Help", "{0} goes to the next part of the window. Arrow keys move in a list, Enter opens a row."),
        "F6",
    ),
    (
        marked("Help", "Run tasks"),
        marked("Help", "{0} starts a new task. Describe the work, choose a repository, and send it."),
        "Ctrl+N",
    ),
    (
        marked("Help", "Use servers"),
        marked("Help", "{0} adds a server. Choose one of its tools, fill in the arguments, and run it."),
        "Ctrl+Shift+N",
    ),
    (
        marked("Help", "Connect agents"),
        marked("Help", "{0} gives a program on this computer a key for your servers, and shows what to paste where."),
        "Ctrl+Shift+L",
    ),
    (
        marked("Help", "Answer agents"),
        marked(
            "Help",
            "{0} goes to the question of an agent that wants to call a tool. Enter never allows. Always and Block "
            "count for that agent alone.",
        ),
        "Ctrl+Shift+A",
    ),
    (
        marked("Help", "See what happened"),
        marked("Help", "{0} shows every request with its headers, bodies and times, without secrets."),
        "Ctrl+J",
    ),
    (
        marked("Help", "Make it yours"),
        marked("Help", "{0} opens the settings: theme, text size, proxy, notifications."),
        "Ctrl+,",
    ),
)


class Help(QDialog):
    """Opened with `open()`. `doors` are pairs of words and what they open; it closes first."""

    def __init__(self, doors: Sequence[tuple[str, Callable[[], None]]], parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Help"))
        current = theme()
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_2)
        column = ScrollColumn(self.tr("Help"), top=0)
        column.box.addWidget(Text(self.tr("Help"), "title"))
        for heading, words, keys in TOPICS:
            column.box.addSpacing(gap)
            column.box.addWidget(Text(translate("Help", heading), "strong"))
            shown = translate("Help", words).format(native(keys))
            column.box.addWidget(Text(shown, tone="muted", wrap=True, selectable=True))
        column.box.addStretch(1)
        self.buttons = {words: QuietButton(words, clicked=self._leading_to(run)) for words, run in doors}
        leading = FlowLayout()
        for button in self.buttons.values():
            leading.addWidget(button)
        self.close_button = QuietButton(self.tr("Close"), clicked=self.accept)
        foot = QHBoxLayout()
        foot.setContentsMargins(wide, current.px(tokens.SPACE_2), wide, 0)
        foot.setSpacing(gap)
        foot.addLayout(leading, 1)
        foot.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignBottom)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, wide, 0, wide)
        box.setSpacing(0)
        box.addWidget(column, 1)
        box.addLayout(foot)
        self.setMinimumSize(current.px(LEAST_WIDTH), current.px(LEAST_HEIGHT))
        room = self.screen().availableGeometry()
        self.resize(min(current.px(WIDTH), room.width()), min(current.px(HEIGHT), room.height()))
        show_focus_ring(self)
        self.close_button.setFocus()

    def _leading_to(self, run: Callable[[], None]) -> Callable[[], None]:
        def leave() -> None:
            self.accept()
            run()

        return leave
