"""PageMenus: the menus of the page of a run: of an entry, and of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from app.ui.widgets.context_menu import ContextMenu

if TYPE_CHECKING:
    from PySide6.QtCore import QPoint
    from PySide6.QtWidgets import QWidget

    from app.ui.transcript.view import TranscriptView


class PageMenus(QObject):
    """Opens them. `raw_wanted(place)`, `export_wanted()`, `find_wanted()`; `filled(ContextMenu)`: that of the run."""

    raw_wanted = Signal(int)
    export_wanted = Signal()
    find_wanted = Signal()
    filled = Signal(object)

    def __init__(self, page: QWidget, view: TranscriptView) -> None:
        super().__init__(page)
        self._page, self._view = page, view

    def open_item(self, place: int, at: QPoint) -> None:
        """The menu of an entry."""
        menu = ContextMenu(self.tr("Entry"), self._page)
        view = self._view
        if view.selector.some:
            menu.add(self.tr("Copy selection"), view.copy, "Ctrl+C")
            menu.add(self.tr("Copy entry as Markdown"), lambda: view.copier.copy_item(place))
        else:
            menu.add(self.tr("Copy entry as Markdown"), lambda: view.copier.copy_item(place), "Ctrl+C")
        menu.add(self.tr("Copy turn as Markdown"), lambda: view.copier.copy_turn(place))
        menu.addSeparator()
        if view.items.folds(place):
            words = self.tr("Fold") if view.items.is_open(place) else self.tr("Open")
            menu.add(words, lambda: view.toggle_place(place), "Return")
        menu.add(self.tr("Show raw log"), lambda: self.raw_wanted.emit(place))
        menu.open_at(at)

    def open_run(self, at: QPoint) -> None:
        """The menu of the run."""
        menu, view = ContextMenu(self.tr("Run"), self._page), self._view
        some = view.source is not None and len(view.source) > 0
        menu.add(self.tr("Copy all as Markdown"), view.copier.copy_all, enabled=some)
        menu.add(self.tr("Export the raw log…"), self.export_wanted.emit, enabled=some)
        menu.add(self.tr("Next turn"), lambda: view.step_turn(1), "Alt+Down", enabled=some)
        menu.add(self.tr("Previous turn"), lambda: view.step_turn(-1), "Alt+Up", enabled=some)
        menu.add(self.tr("Find in transcript"), self.find_wanted.emit, "Ctrl+F", enabled=some)
        self.filled.emit(menu)
        menu.open_at(at)
