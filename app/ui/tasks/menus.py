"""The context menus of the list: of its rows, and of the ground around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint, Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QApplication, QMenu

from app.ui.tasks.rows import DRAFT
from app.ui.tasks.wording import can_cancel, can_run, title_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.ui.tasks.actions import TaskActions
    from app.ui.tasks.pane import TaskPane
    from app.ui.tasks.selection import TaskSelection


class TaskMenus(QObject):
    """Opens the menu of what is selected, where the pointer or the current row is."""

    def __init__(self, actions: TaskActions, selection: TaskSelection, pane: TaskPane) -> None:
        super().__init__(pane)
        self._actions, self._selection, self._pane = actions, selection, pane
        pane.table.menu_wanted.connect(self._open)
        pane.table.ground_menu_wanted.connect(self._open_ground)

    def _open(self, key: str, at: QPoint) -> None:
        # A right click on a row has selected it. A menu key is about the current row.
        if key not in self._selection.shown and not self._selection.show_key(key):
            return
        if len(self._selection.shown) == 1 and key.startswith(DRAFT):
            return
        actions = self._actions
        tasks = actions.tasks()
        if len(self._selection.shown) > 1:
            menu = self._menu(self.tr("{0} tasks selected").format(len(self._selection.shown)))
        else:
            menu = self._menu(title_of(tasks[0]) if tasks else self.tr("Task not on the server yet"))
            self._add(menu, self.tr("Open"), lambda: self._pane.opened.emit(key), "Return")
        if tasks:
            menu.addSeparator()
            if len(tasks) == 1:
                if can_cancel(tasks[0]):
                    self._add(menu, self.tr("Cancel run"), actions.cancel_run)
                else:
                    self._add(menu, self.tr("Run"), actions.run).setEnabled(can_run(tasks[0]))
                here = self._add(menu, self.tr("Run on this machine…"), actions.run_here)
                here.setEnabled(not tasks[0].archived)
                self._add(menu, self.tr("Rename"), actions.rename, "F2")
                self._add(menu, self.tr("Edit"), actions.edit, "Ctrl+E")
            self._add(menu, self.tr("Unpin") if actions.all_pinned() else self.tr("Pin"), actions.toggle_pinned)
            archive = self.tr("Unarchive") if actions.all_archived() else self.tr("Archive")
            self._add(menu, archive, actions.toggle_archived)
            menu.addSeparator()
            many = len(tasks) > 1
            # The embedded workspace has no web pages.
            if actions.links():
                self._add(menu, self.tr("Copy links") if many else self.tr("Copy link"), actions.copy_links)
                if not many:
                    self._add(menu, self.tr("Open in PostHog"), actions.open_in_browser)
            if not many:
                self._add(menu, self.tr("Copy link for Burrow"), actions.copy_own_link)
            self._add(menu, self.tr("Copy task ids") if many else self.tr("Copy task id"), actions.copy_ids)
        several = len(self._selection.shown) > 1
        menu.addSeparator()
        words = self.tr("Delete") if tasks else self.tr("Discard")
        self._add(menu, words, actions.delete if tasks or several else self._pane.delete_wanted.emit, "Del")
        self._popup(menu, at)

    def _open_ground(self, at: QPoint) -> None:
        menu = self._menu(self.tr("Tasks"))
        self._add(menu, self.tr("New task"), self._selection.new_task, "Ctrl+N")
        menu.addSeparator()
        menu.addActions(self._pane.view_button.menu().actions())
        self._popup(menu, at)

    def _menu(self, name: str) -> QMenu:
        menu = QMenu(self._pane)
        menu.setAccessibleName(name)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        return menu

    def _add(self, menu: QMenu, words: str, act: Callable[[], object], keys: str = "") -> QAction:
        """An entry that shows its keys without binding them: the list and the window do."""
        shown = QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText)
        return menu.addAction(f"{words}\t{shown}" if shown else words, act)

    def _popup(self, menu: QMenu, at: QPoint) -> None:
        # A menu key may arrive twice: as a key, and as the request for a menu that the platform makes of it.
        if QApplication.activePopupWidget() is None:
            menu.popup(at)
        else:
            menu.deleteLater()
