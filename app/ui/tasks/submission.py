"""Submits a new task: from the composer to the outbox, then to its page, or back to the composer if it was refused."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt

from app.core.posthog.task_fields import texts_of
from app.core.storage.attachments import FIELD
from app.ui.tasks import undoing
from app.ui.tasks.pane import pending_id_of
from app.ui.tasks.rows import PENDING, TASK
from app.ui.tasks.wording import SendState, title_of
from app.ui.widgets.undo import Undoable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.core.errors import BurrowError
    from app.core.posthog.run_options import RunOptions
    from app.core.posthog.types import NewTask, Task
    from app.ui.context import Navigator
    from app.ui.tasks.composer import Composer
    from app.ui.tasks.controller import TaskController
    from app.ui.tasks.drafts import TaskDrafts
    from app.ui.tasks.outbox import OutboxSender
    from app.ui.tasks.pages import TaskPages
    from app.ui.tasks.pane import TaskPane
    from app.ui.tasks.rows import PendingTask
    from app.ui.tasks.selection import TaskSelection
    from app.ui.tasks.unsent import UnsentTask


class TaskSubmission(QObject):
    """Connects composer, outbox and list."""

    def __init__(
        self,
        navigator: Navigator,
        controller: TaskController,
        outbox: OutboxSender,
        drafts: TaskDrafts,
        selection: TaskSelection,
        pane: TaskPane,
        pages: TaskPages,
    ) -> None:
        super().__init__(pages)
        self._navigator, self._controller, self._outbox = navigator, controller, outbox
        self._drafts, self._selection, self._pane, self._pages = drafts, selection, pane, pages
        pages.composer_built.connect(self._connect_composer)
        pages.unsent_built.connect(self._connect_unsent)
        pane.delete_wanted.connect(self._discard_selected)
        selection.add_remover(PENDING, self._discard_one)
        outbox.sent.connect(self._sent)
        outbox.run_wanted.connect(controller.run)
        outbox.refused.connect(self._refused)
        outbox.trouble.connect(self._outbox_failed)

    def _connect_composer(self, page: Composer) -> None:
        page.submitted.connect(self._submit)
        page.submitted_to_run.connect(lambda new: self._submit(new, run=True, options=page.run_options))

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

    def _submit(self, new: NewTask, *, run: bool = False, options: RunOptions | None = None) -> None:
        """Show the row at once, and free the composer: the text is in the outbox before anything is sent."""
        composer = self._pages.composer
        if self._controller.connected_to is None:
            composer.show_note(self.tr("Not connected"), self.tr("Connect to a server. The text is kept."))
            return
        window = composer.window()
        had_focus = composer.isAncestorOf(window.focusWidget()) if window.focusWidget() is not None else False
        # In this order: the storage has the item before it discards the draft.
        pending_id = self._outbox.send(new, run=run, files=composer.attached.text(), options=options)
        composer.clear()
        self._pane.show_now()
        # A search and the archive do not list what is on its way: the new row must be seen.
        if self._controller.query.search or self._controller.query.archived:
            self._pane.clear_filter()
        self._pane.table.rows.reveal(PENDING + pending_id)
        self._selection.show_pending(pending_id)
        # The composer goes out of view, and Qt would move the focus anywhere.
        if had_focus:
            self._pane.table.setFocus(Qt.FocusReason.OtherFocusReason)

    def _sent(self, pending_id: str, task: Task) -> None:
        # Read while the pending task is still there: the page goes on to the task it became.
        shown = self._shows(pending_id)
        self._controller.put(task)
        self._pane.show_now()
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
        composer.restore(item.new, item.files)
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

    def _taken_back(self, new: NewTask, files: str) -> None:
        self._pages.composer.restore(new, files)
        self._selection.show_composer()

    def _discard(self) -> None:
        """Discard a task that was not sent. Undo makes its text a draft."""
        pending_id = self._pages.pending_id
        item = self._outbox.get(pending_id) if pending_id is not None else None
        if item is not None:
            words = self.tr("Discard “{0}” too?").format(title_of(item.new))
            discard = partial(self._discard_now, item)
            self._pane.ask_from_second(undoing.unsent_discarded(), words, self.tr("Discard"), discard)

    def _discard_selected(self) -> None:
        """The Delete key on a row: not while it is being sent, because then it may arrive."""
        selected = self._pane.table.selected_keys()
        pending_id = pending_id_of(selected[0]) if len(selected) == 1 else None
        item = self._outbox.get(pending_id) if pending_id is not None else None
        if item is not None and item.state is not SendState.SENDING:
            self._discard()

    def _discard_one(self, pending_id: str) -> None:
        item = self._outbox.get(pending_id)
        if item is not None and item.state is not SendState.SENDING:
            self._take_out(item)

    def _discard_now(self, item: PendingTask) -> None:
        self._take_out(item)
        self._selection.show_current()

    def _take_out(self, item: PendingTask) -> None:
        fields = {**texts_of(item.new), FIELD: item.files}
        # In this order: should this process die in between, the text is there twice.
        draft_id = self._drafts.keep_aside(fields)
        self._outbox.discard(item.id)
        undo = partial(self._bring_back, draft_id, fields)
        settle = partial(self._drafts.forget, draft_id)
        self._pane.undo.add(Undoable(undoing.unsent_discarded(), {item.id: title_of(item.new)}, undo, settle))

    def _bring_back(self, draft_id: str, fields: Mapping[str, str]) -> None:
        self._pages.composer.bring_back(draft_id, fields)
        self._drafts.take_back(draft_id)
        self._selection.show_composer()

    def _found(self, pending_id: str, task: Task) -> None:
        """A task of unknown outcome is on the server: it replaces the pending one."""
        self._outbox.found(pending_id, task.id)
        self._controller.put(task)
        self._pane.show_now()
        self._pane.table.select_key(TASK + task.id)

    def _outbox_failed(self, error: BurrowError) -> None:
        self._navigator.status(error.title)
