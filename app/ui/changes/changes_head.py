"""ChangesHead: how much a run changed, where, and how it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.marks import isolated, revealed_name
from app.ui.changes.words import totals
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import IconButton
from app.ui.widgets.choices import Segmented
from app.ui.widgets.head_row import HeadRow
from app.ui.widgets.text import ElidedLabel, Text

if TYPE_CHECKING:
    from app.core.runs.worktrees.run_changes import ChangeList

UNIFIED, BESIDE = "unified", "beside"
LONGEST_BRANCH = 200


class ChangesHead(QWidget):
    """`looked()`, `more_wanted(global position)`. `.shape` is the choice between one column and two."""

    looked = Signal()
    more_wanted = Signal(QPoint)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        current = theme()
        self.branch = ElidedLabel(tone="muted")
        self.totals = Text()
        self.under_way = Text(tone="attention")
        self.under_way.setVisible(False)
        self.shape = Segmented(
            [(UNIFIED, self.tr("Unified"), "", "text"), (BESIDE, self.tr("Side by side"), "", "text")],
            self.tr("Difference"),
        )
        self.shape.set_value(UNIFIED)
        self.again = IconButton(self.tr("Look again"), "refresh", keys="Ctrl+R", clicked=self.looked.emit)
        self.more = IconButton(self.tr("More"), "more", clicked=self._emit_more)
        controls = QWidget()
        row = QHBoxLayout(controls)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(current.px(tokens.SPACE_1))
        for control in (self.shape, self.again, self.more):
            row.addWidget(control)
        box = QVBoxLayout(self)
        wide, low = current.px(tokens.SPACE_4), current.px(tokens.SPACE_1)
        box.setContentsMargins(wide, low, wide, low)
        box.addWidget(HeadRow([self.totals, self.under_way, self.branch], controls, gap=tokens.SPACE_3))

    def show_list(self, found: ChangeList) -> None:
        """Show what all files are together."""
        where = found.branch or self.tr("no branch, at {0}").format(found.head[:10])
        where = revealed_name(where[:LONGEST_BRANCH])
        self.branch.setText(isolated(where))
        self.branch.setAccessibleName(self.tr("Branch: {0}").format(where))
        self.totals.setText(totals(found))
        words = self.tr("{0} is not finished").format(found.under_way) if found.under_way else ""
        self.under_way.setText(words[:1].upper() + words[1:])
        self.under_way.setVisible(bool(words))

    def _emit_more(self) -> None:
        self.more_wanted.emit(self.more.mapToGlobal(self.more.rect().bottomLeft()))
