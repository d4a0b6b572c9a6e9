"""Submits a new task: from the composer to the outbox, then to its page, or back to the composer if it was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt

from app.ui.tasks.rows import PENDING, TASK
from app.ui.tasks.wording import title_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.errors import BurrowError
    from app.core.posthog.types import NewTask, Task
    from app.ui.context import Navigator
    from app.ui.tasks.composer import Composer
    from app.ui.tasks.controller import TaskController
    from app.ui.tasks.outbox import OutboxSender
    from app.ui.tasks.pages import TaskPages
    from app.ui.tasks.pane import TaskPane
    from app.ui.tasks.selection import TaskSelection
    from app.ui.tasks.unsent import UnsentTask


class TaskSubmission(QObject):
    """Connects composer, outbox and list."""

    def __init__(
        self,
        navigator: Navigator,
        controller: TaskController,
        outbox: OutboxSender,
        selection: TaskSelection,
        pane: TaskPane,
        pages: TaskPages,
    ) -> None:
        super().__init__(pages)
        self._navigator, self._controller, self._outbox = navigator, controller, outbox
        self._selection, self._pane, self._pages = selection, pane, pages
        pages.composer_built.connect(self._connect_composer)
        pages.unsent_built.connect(self._connect_unsent)
        outbox.sent.connect(self._sent)
        outbox.refused.connect(self._refused)
        outbox.trouble.connect(self._outbox_failed)

    def _connect_composer(self, page: Composer) -> None:
        page.submitted.connect(self._submit)

    def _connect_unsent(self, page: UnsentTask) -> None:
        from app.ui.tasks.outcome_check import UnknownOutcomeCheck

        UnknownOutcomeCheck(self._controller, self._outbox, page).accepted.connect(self._found)
        page.send_again.connect(lambda: self._about_pending(self._outbox.send_again))
        page.undo.connect(self._take_back)
        page.discard.connect(self._discard)
        page.sign_in.connect(self._navigator.sign_in)

    def _about_pending(self, act: Callable[[str], None]) -> None:
        pending_id = self._pages.pending_id
        if pending_id is not None:
            act(pending_id)

    def _submit(self, new: NewTask) -> None:
        """Show the row at once, and free the composer: the text is in the outbox before anything is sent."""
        composer = self._pages.composer
        if self._controller.connected_to is None:
            composer.show_note(self.tr("Not connected"), self.tr("Connect to a server. The text is kept."))
            return
        window = composer.window()
        had_focus = composer.isAncestorOf(window.focusWidget()) if window.focusWidget() is not None else False
        # In this order: the storage has the item before it discards the draft.
        pending_id = self._outbox.send(new)
        composer.clear()
        self._pane.show_now()
        # A search and the archive do not list what is on its way: the new row must be seen.
        if self._controller.query.search or self._controller.query.archived:
            self._pane.clear_filter()
        self._pane.table.select_key(PENDING + pending_id, quiet=True)
        self._selection.show_pending(pending_id)
        # The composer goes out of view, and Qt would move the focus anywhere.
        if had_focus:
            self._pane.table.setFocus(Qt.FocusReason.OtherFocusReason)

    def _sent(self, pending_id: str, task: Task) -> None:
        # Read while the row of the pending task is still there: selection and page go on to the task it became.
        shown = self._shows(pending_id)
        current = self._pane.table.current_key() == PENDING + pending_id
        self._controller.put(task)
        self._pane.show_now()
        if current:
            self._pane.table.select_key(TASK + task.id, quiet=True)
        if shown:
            self._selection.show_task(task.id)
        self._navigator.announce(self.tr("Task created: {0}").format(title_of(task)))

    def _refused(self, pending_id: str) -> None:
        """Put the text back into the composer if that is empty; else the row says what happened."""
        item, composer = self._outbox.get(pending_id), self._pages.composer
        if item is None or item.error is None:
            return
        self._navigator.announce(self.tr("Not sent. {0}").format(item.error.cause))
        if not composer.empty:
            return
        shown = self._shows(pending_id)
        # The draft is written before the item is removed: a crash in between leaves the text twice, never not at all.
        composer.restore(item.new)
        composer.show_error(item.error, [(self.tr("Send again"), composer.submit)])
        self._outbox.discard(pending_id)
        if shown or self._pages.currentWidget() is self._pages.nothing:
            self._pages.turn_to(composer)

    def _shows(self, pending_id: str) -> bool:
        return self._pages.shows_unsent and self._pages.pending_id == pending_id

    def _take_back(self) -> None:
        """Undo: make the text a draft again."""
        pending_id = self._pages.pending_id
        if pending_id is not None:
            self._outbox.take_back(pending_id, self._taken_back)

    def _taken_back(self, new: NewTask) -> None:
        self._pages.composer.restore(new)
        self._selection.show_composer()

    def _discard(self) -> None:
        self._about_pending(self._outbox.discard)
        self._selection.show_current()

    def _found(self, pending_id: str, task: Task) -> None:
        """A task of unknown outcome is on the server: it replaces the pending one."""
        self._outbox.discard(pending_id)
        self._controller.put(task)
        self._pane.show_now()
        self._pane.table.select_key(TASK + task.id)

    def _outbox_failed(self, error: BurrowError) -> None:
        self._navigator.status(error.title)
