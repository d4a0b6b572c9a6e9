"""Shows a description of any length: its beginning, and all of it on request, without a pause.

A text is laid out in parts, one in each turn of the loop. A part out of view waits with its layout until it is resized
no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.ui.tasks.markdown import MarkdownView
from app.ui.tasks.wording import FENCES
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

# A part takes 10 ms to lay out.
PART_LINES = 150
PART_CHARACTERS = 12_000


class DescriptionView(QWidget):
    """Markdown, at first only the part that fits on a few screens. It says how much is hidden."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._text = ""
        self._parts: list[str] = []
        self._views: list[MarkdownView] = []
        current = theme()
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(0)
        self._foot = QWidget()
        self._hidden = Text(role="caption", tone="muted")
        self.all_button = QuietButton(self.tr("Show all"), clicked=self._show_all)
        foot = QHBoxLayout(self._foot)
        foot.setContentsMargins(0, current.px(tokens.SPACE_2), 0, 0)
        foot.setSpacing(current.px(tokens.SPACE_2))
        foot.addWidget(self.all_button)
        foot.addWidget(self._hidden)
        foot.addStretch()
        self._box.addWidget(self._foot)
        self._next_soon = QTimer(self, singleShot=True, interval=0)
        self._next_soon.timeout.connect(self._show_next)
        self._show_parts([])

    @property
    def text(self) -> str:
        """The Markdown as it was given."""
        return self._text

    @property
    def complete(self) -> bool:
        """Whether all of it is shown."""
        return len(self._views) >= len(self._parts)

    def set_text(self, text: str) -> None:
        """Show a text. If it is shown already, its selection stays, and so does what was unfolded."""
        if text != self._text:
            self._text = text
            self._show_parts(list(parts_of(text)))

    def _show_parts(self, parts: list[str]) -> None:
        self._next_soon.stop()
        self._parts = parts
        # The first one stays, so that a text that changes does not flicker.
        while len(self._views) > 1:
            view = self._views.pop()
            self._box.removeWidget(view)
            view.hide()
            view.deleteLater()
        if parts:
            self._show_part(0)
        elif self._views:
            self._views[0].set_text("")
        self._show_foot()

    def _show_part(self, number: int) -> None:
        if number >= len(self._views):
            view = MarkdownView(self._name)
            self._views.append(view)
            self._box.insertWidget(number, view)
            # A layout shows a new widget in the next turn of the loop only.
            view.setVisible(True)
        self._views[number].set_text(self._parts[number])

    def _show_all(self) -> None:
        had_focus = self.all_button.hasFocus()
        self._show_next()
        if had_focus:
            self._views[0].setFocus()

    def _show_next(self) -> None:
        if not self.complete:
            self._show_part(len(self._views))
            self._next_soon.start()
        self._show_foot()

    def _show_foot(self) -> None:
        self._foot.setVisible(not self.complete and not self._next_soon.isActive())
        lines, shown = self._text.count("\n") + 1, sum(part.count("\n") + 1 for part in self._parts[:1])
        if lines > shown:
            self._hidden.setText(self.tr("{0} of {1} lines").format(f"{shown:,}", f"{lines:,}"))
        else:
            characters = len(self._parts[0]) if self._parts else 0
            self._hidden.setText(self.tr("{0} of {1} characters").format(f"{characters:,}", f"{len(self._text):,}"))


def parts_of(text: str) -> Iterator[str]:
    """A text in parts of a bounded size, cut between lines where that is possible. Nothing is left out.

    A block of code that goes over a cut is closed there and opened again.
    """
    part: list[str] = []
    size, fence = 0, ""
    for line in _bounded_lines(text):
        if part and (len(part) >= PART_LINES or size + len(line) > PART_CHARACTERS):
            yield "\n".join([*part, fence] if fence else part)
            part, size = ([fence], len(fence)) if fence else ([], 0)
        part.append(line)
        size += len(line) + 1
        mark = line.lstrip()[:3]
        if mark in FENCES and fence in {"", mark}:
            fence = "" if fence else mark
    if part:
        yield "\n".join(part)


def _bounded_lines(text: str) -> Iterator[str]:
    for line in text.replace("\r\n", "\n").split("\n"):
        while len(line) > PART_CHARACTERS:
            # Between words where there are any.
            cut = line.rfind(" ", PART_CHARACTERS // 2, PART_CHARACTERS) + 1 or PART_CHARACTERS
            yield line[:cut]
            line = line[cut:]
        yield line
