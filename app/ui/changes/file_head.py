"""FileHead: the file whose difference is shown, and what can be done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.marks import isolated, revealed_name
from app.ui.changes.words import counts, spoken_counts
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import IconButton, QuietButton
from app.ui.widgets.head_row import HeadRow
from app.ui.widgets.text import ElidedLabel, Text

if TYPE_CHECKING:
    from app.core.runs.worktrees.run_changes import ListedChange

LEAST_PATH = 96


class FileHead(QWidget):
    """`keep_wanted()`, `discard_wanted()`, `open_wanted()`, `more_wanted(global position)`."""

    keep_wanted = Signal()
    discard_wanted = Signal()
    open_wanted = Signal()
    more_wanted = Signal(QPoint)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        current = theme()
        self.path = ElidedLabel("", "strong")
        # Less of it says nothing: the controls go below it instead.
        self.path.setMinimumWidth(current.px(LEAST_PATH))
        self.counts = Text(tone="muted")
        self.keep = QuietButton(self.tr("Keep"), "check", keys="Space", clicked=self.keep_wanted.emit)
        self.discard = QuietButton(self.tr("Discard"), "undo", keys="Del", clicked=self.discard_wanted.emit)
        self.open = IconButton(self.tr("Open in editor"), "edit", keys="Ctrl+E", clicked=self.open_wanted.emit)
        self.more = IconButton(self.tr("More about this file"), "more", clicked=self._emit_more)
        controls = QWidget()
        row = QHBoxLayout(controls)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(current.px(tokens.SPACE_1))
        for control in (self.keep, self.discard, self.open, self.more):
            row.addWidget(control)
        box = QVBoxLayout(self)
        wide, low = current.px(tokens.SPACE_3), current.px(tokens.SPACE_1)
        box.setContentsMargins(wide, low, wide, low)
        box.addWidget(HeadRow([self.path, self.counts], controls, gap=tokens.SPACE_3))

    def show_file(self, listed: ListedChange) -> None:
        """Show this file."""
        change = listed.change
        self.path.setText(isolated(revealed_name(change.path)))
        self.counts.setText(counts(change))
        self.counts.setAccessibleName(spoken_counts(change))
        self.keep.setText(self.tr("Do not keep") if listed.stage == "kept" else self.tr("Keep"))
        self.keep.set_icon_name("cross" if listed.stage == "kept" else "check")
        had_focus = self.keep.hasFocus()
        can_keep = listed.stage != "committed" and not change.path.endswith("/")
        self.keep.setVisible(can_keep)
        if had_focus and not can_keep:
            self.more.setFocus()
        self.discard.setVisible(change.kind not in {"submodule", "reverted"})
        self.open.setVisible(change.kind != "deleted" and not change.path.endswith("/"))

    def _emit_more(self) -> None:
        self.more_wanted.emit(self.more.mapToGlobal(self.more.rect().bottomLeft()))
