"""Opens and discards the drafts of the list, and keeps the row of the open one selected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint, Qt
from PySide6.QtWidgets import QMenu

from app.ui.tasks.rows import draft_key, draft_of_key

if TYPE_CHECKING:
    from app.core.storage import Draft
    from app.ui.context import Navigator
    from app.ui.tasks.composer import Composer
    from app.ui.tasks.drafts import TaskDrafts
    from app.ui.tasks.pages import TaskPages
    from app.ui.tasks.pane import TaskPane
    from app.ui.tasks.selection import TaskSelection


class DraftActions(QObject):
    """Connects the Drafts group with the composer."""

    def __init__(
        self, navigator: Navigator, drafts: TaskDrafts, selection: TaskSelection, pane: TaskPane, pages: TaskPages
    ) -> None:
        super().__init__(pages)
        self._navigator, self._drafts, self._selection = navigator, drafts, selection
        self._pane, self._pages = pane, pages
        pane.picked.connect(self._picked)
        pane.opened.connect(self._opened)
        pane.delete_wanted.connect(self._discard_current)
        pane.menu_wanted.connect(self._open_menu)
        pages.composer_built.connect(self._connect_composer)
        drafts.changed.connect(self._select_open)

    def _connect_composer(self, page: Composer) -> None:
        page.draft.stored.connect(self._drafts.refresh)
        page.draft.loaded.connect(lambda _fields: self._drafts.refresh())
        page.draft.missing.connect(self._drafts.refresh)

    def _draft(self, key: str) -> Draft | None:
        found = draft_of_key(key)
        return self._drafts.get(*found) if found is not None else None

    def _picked(self, key: str) -> None:
        draft = self._draft(key)
        if draft is None:
            return
        self._selection.forget_wanted()
        if draft.held_elsewhere:
            self._pages.nothing.show_state(
                self.tr("Open in another window"),
                self.tr("The draft is being written in another Burrow window, which keeps it."),
                [(self.tr("Open a copy"), lambda: self._open_copy(draft))],
                glyph="external",
            )
            self._pages.turn_to(self._pages.nothing)
        else:
            self._pages.composer.open_draft(draft)
            self._pages.turn_to(self._pages.composer)

    def _opened(self, key: str) -> None:
        draft = self._draft(key)
        if draft is not None and not draft.held_elsewhere:
            self._picked(key)
            self._selection.show_composer()

    def _open_copy(self, draft: Draft) -> None:
        self._pages.composer.open_copy(draft)
        self._selection.show_composer()

    def _discard_current(self) -> None:
        draft = self._draft(self._pane.table.current_key() or "")
        if draft is not None and self._pane.table.hasFocus():
            self._discard(draft)

    def _discard(self, draft: Draft) -> None:
        if draft.held_elsewhere:
            self._navigator.status(self.tr("The draft is open in another window"))
            return
        self._pages.composer.discard_draft(draft)
        self._pages.turn_to(self._pages.composer)

    def _select_open(self) -> None:
        """The row of the draft in view is the selected one, also once typing has made that row."""
        if not self._pages.shows_composer:
            return
        open_id = self._pages.composer.draft.id
        mine = next((each for each in self._drafts.all if each.id == open_id and not each.held_elsewhere), None)
        key = draft_key(mine.id, mine.copy) if mine is not None else None
        if not self._pane.table.select_key(key, quiet=True) and key is not None:
            # The rows have it in the next turn of the loop only.
            self._pane.show_now()
            self._pane.table.select_key(key, quiet=True)

    def _open_menu(self, key: str, at: QPoint) -> None:
        draft = self._draft(key)
        if draft is None:
            return
        self._pane.table.select_key(key)
        menu = QMenu(self._pane)
        menu.setAccessibleName(self.tr("Draft"))
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if draft.held_elsewhere:
            menu.addAction(self.tr("Open a copy"), lambda: self._open_copy(draft))
        else:
            menu.addAction(self.tr("Open"), lambda: self._opened(key))
            menu.addAction(self.tr("Discard"), lambda: self._discard(draft))
        menu.popup(at)
