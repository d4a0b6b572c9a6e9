"""Opens and discards the drafts of the list, and keeps the row of the open one selected."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint, Qt
from PySide6.QtWidgets import QMenu

from app.core.posthog.types import new_task
from app.ui.tasks import undoing
from app.ui.tasks.rows import DRAFT, draft_key, draft_of_key
from app.ui.tasks.selection import RowKind
from app.ui.tasks.wording import title_of
from app.ui.widgets.undo import Undoable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        selection.add_kind(RowKind(DRAFT, self._show, self._shown))
        pane.delete_wanted.connect(self._discard_selected)
        selection.add_remover(DRAFT, self._discard_one)
        pane.table.menu_wanted.connect(self._open_menu)
        pages.composer_built.connect(self._connect_composer)
        drafts.changed.connect(self._select_open)

    def _connect_composer(self, page: Composer) -> None:
        page.draft.stored.connect(self._drafts.refresh)
        page.draft.loaded.connect(lambda _fields: self._drafts.refresh())
        page.draft.missing.connect(self._drafts.refresh)
        page.discard_wanted.connect(self._discard_open)

    def _draft(self, key: str) -> Draft | None:
        found = draft_of_key(key)
        return self._drafts.get(*found) if found is not None else None

    def _show(self, name: str) -> None:
        draft = self._draft(DRAFT + name)
        if draft is None:
            return
        self._selection.forget_wanted()
        if draft.held_elsewhere:
            self._selection.show_notice(
                self.tr("Open in another window"),
                self.tr("The draft is being written in another Burrow window, which keeps it."),
                [(self.tr("Open a copy"), lambda: self._open_copy(draft))],
                glyph="external",
                key=DRAFT + name,
            )
        else:
            self._pages.composer.open_draft(draft)
            self._pages.turn_to(self._pages.composer)
            self._selection.sync()

    def _shown(self) -> str | None:
        """What follows the prefix in the key of the draft in view; None if none is, or it has no row yet."""
        if not self._pages.shows_composer:
            return None
        open_id = self._pages.composer.draft.id
        mine = next((each for each in self._drafts.all if each.id == open_id and not each.held_elsewhere), None)
        return draft_key(mine.id, mine.copy).removeprefix(DRAFT) if mine is not None else None

    def _open_copy(self, draft: Draft) -> None:
        self._pages.composer.open_copy(draft)
        self._selection.show_composer()

    def _discard_selected(self) -> None:
        selected = self._pane.table.selected_keys()
        draft = self._draft(selected[0]) if len(selected) == 1 else None
        if draft is not None:
            self._discard(draft)

    def _discard_open(self) -> None:
        """The button of the composer: discard the draft that is open now, also if the answer comes from another one."""
        composer, draft_id = self._pages.composer, self._pages.composer.draft.id

        def discard() -> None:
            if composer.draft.id == draft_id:
                self._discard_now(draft_id, composer.fields())
                return
            stored = next((each for each in self._drafts.all if each.id == draft_id), None)
            if stored is not None:
                self._discard_stored(stored)

        self._ask_discard(composer.fields(), discard)

    def _discard(self, draft: Draft) -> None:
        if draft.held_elsewhere:
            self._navigator.status(self.tr("The draft is open in another window"))
            return
        self._ask_discard(draft.fields, lambda: self._discard_stored(draft))

    def _discard_one(self, name: str) -> None:
        draft = self._draft(DRAFT + name)
        if draft is not None and not draft.held_elsewhere:
            self._discard_stored(draft)

    def _discard_stored(self, draft: Draft) -> None:
        """Discard a draft of the list. If it is open, it goes with what was typed since it was stored."""
        open_draft = self._pages.composer.draft
        read = open_draft.id == draft.id and not open_draft.loading
        if not read:
            self._drafts.hold(draft)
        self._discard_now(draft.id, self._pages.composer.fields() if read else draft.fields)

    def _discard_now(self, draft_id: str, fields: Mapping[str, str]) -> None:
        composer = self._pages.composer
        if composer.draft.id == draft_id:
            composer.set_aside()
        self._drafts.set_aside(draft_id)
        undo = partial(self._bring_back, draft_id, fields)
        settle = partial(self._drafts.forget, draft_id)
        self._pane.undo.add(Undoable(undoing.discarded(), {draft_id: title_of(new_task(fields))}, undo, settle))

    def _bring_back(self, draft_id: str, fields: Mapping[str, str]) -> None:
        self._pages.composer.bring_back(draft_id, fields)
        self._drafts.take_back(draft_id)
        self._pages.turn_to(self._pages.composer)

    def _ask_discard(self, fields: Mapping[str, str], discard: Callable[[], None]) -> None:
        """Discard, but a further draft within the time to undo only after a question, as with tasks."""
        words = self.tr("Discard “{0}” too?").format(title_of(new_task(fields)))
        self._pane.ask_from_second(undoing.discarded(), words, self.tr("Discard"), discard)

    def _select_open(self) -> None:
        """The row of the draft in view is the selected one, also once typing has made that row."""
        if self._pages.shows_composer:
            self._pane.show_now()
            self._selection.sync()
        elif self._selection.notice is not None and self._selection.notice.startswith(DRAFT):
            self._follow_elsewhere(self._selection.notice)

    def _follow_elsewhere(self, key: str) -> None:
        """Another window has given up the draft whose notice is in view: open it, or go on if it is gone."""
        draft = self._draft(key)
        if draft is None:
            self._selection.show_current()
        elif not draft.held_elsewhere:
            self._show(key.removeprefix(DRAFT))

    def _open_menu(self, key: str, at: QPoint) -> None:
        draft = self._draft(key)
        if draft is None or len(self._selection.shown) > 1:
            return
        menu = QMenu(self._pane)
        menu.setAccessibleName(self.tr("Draft"))
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if draft.held_elsewhere:
            menu.addAction(self.tr("Open a copy"), lambda: self._open_copy(draft))
        else:
            menu.addAction(self.tr("Open"), lambda: self._pane.opened.emit(key))
            menu.addAction(self.tr("Discard"), lambda: self._discard(draft))
        menu.popup(at)
