"""The list of tasks: the selected rows are what the right side shows and what every action is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QGuiApplication, QInputEvent
from PySide6.QtWidgets import QTableView

from app.ui.widgets.guard import guarded
from app.ui.widgets.lists import ListTable
from app.ui.widgets.rows import Heading

if TYPE_CHECKING:
    from PySide6.QtCore import QEvent
    from PySide6.QtGui import QFocusEvent, QKeyEvent

NO_UPDATE = QItemSelectionModel.SelectionFlag.NoUpdate


class TaskTable(ListTable):
    """A list in which several rows can be selected.

    Emits `chosen(keys)` when the person selected other rows, `refolded()` after a group was folded or opened,
    `rename()` on F2, `delete()` on Delete. Moving over a heading keeps the selection.
    """

    chosen = Signal(object)
    refolded = Signal()
    rename = Signal()
    delete = Signal()

    def fold(self, key: str, folded: bool) -> None:
        super().fold(key, folded)
        self.refolded.emit()

    @guarded()
    def selectionChanged(self, selected: QItemSelection, deselected: QItemSelection) -> None:
        super().selectionChanged(selected, deselected)
        if not self._quiet:
            self.chosen.emit(self.selected_keys())

    @guarded(default=NO_UPDATE)
    def selectionCommand(
        self, index: QModelIndex | QPersistentModelIndex, event: QEvent | None = None
    ) -> QItemSelectionModel.SelectionFlag:
        # Qt asks twice, the second time without the event, and looks at the keyboard then.
        modifiers = event.modifiers() if isinstance(event, QInputEvent) else QGuiApplication.keyboardModifiers()
        extends = bool(modifiers & Qt.KeyboardModifier.ShiftModifier)
        if isinstance(self.rows.line(index.row()), Heading) and not extends:
            return NO_UPDATE
        return super().selectionCommand(index, event)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if plain and event.key() == Qt.Key.Key_F2:
            self.rename.emit()
        elif plain and event.key() == Qt.Key.Key_Delete and not event.isAutoRepeat():
            self.delete.emit()
        elif plain and event.key() == Qt.Key.Key_Down and not self.currentIndex().isValid():
            self.select_first()
        else:
            super().keyPressEvent(event)

    @guarded()
    def focusInEvent(self, event: QFocusEvent) -> None:
        """Take the focus without making a row current: the right side stays as it is."""
        self.keyboard_focus = event.reason() != Qt.FocusReason.MouseFocusReason
        empty = not self.currentIndex().isValid()
        former, self._quiet = self._quiet, True
        try:
            # Not that of ListTable, which selects the first row.
            QTableView.focusInEvent(self, event)
            if empty:
                # Qt has made the first row current.
                self.selectionModel().clearCurrentIndex()
        finally:
            self._quiet = former
