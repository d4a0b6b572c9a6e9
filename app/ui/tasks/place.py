"""The Tasks place: the list on the left; on the right the composer, a task, or one that was not sent yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.ui.bridge import Generation
from app.ui.busy_source import register_work
from app.ui.place import Place, RecoveryDetector
from app.ui.settings import UiSettings
from app.ui.tasks.actions import TaskActions
from app.ui.tasks.controller import TaskController
from app.ui.tasks.draft_actions import DraftActions
from app.ui.tasks.drafts import TaskDrafts
from app.ui.tasks.editing import TaskEditing
from app.ui.tasks.edits import TaskEdits
from app.ui.tasks.files import TaskFiles
from app.ui.tasks.local_desk import LocalRunDesk
from app.ui.tasks.menus import TaskMenus
from app.ui.tasks.outbox import OutboxSender
from app.ui.tasks.pages import TaskPages
from app.ui.tasks.pane import TaskPane
from app.ui.tasks.preferences import ListPreferences
from app.ui.tasks.run_conversations import ConversationOpener
from app.ui.tasks.run_desk import RunDesk
from app.ui.tasks.run_sources import RunChoices
from app.ui.tasks.run_transcripts import RunTranscripts
from app.ui.tasks.selection import TaskSelection
from app.ui.tasks.submission import TaskSubmission
from app.ui.tasks.works import works_of
from app.ui.theme import theme, tokens
from app.ui.widgets.page import RememberedSplitter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from PySide6.QtGui import QHideEvent, QShowEvent

    from app.core.auth.status import CredentialStatus
    from app.core.busy import Work
    from app.ui.context import Command, Context
    from app.ui.place import Identity
    from app.ui.tasks.run_pool import OpenConversation

POLL_MS = 30_000


class TasksPlace(Place):
    """The tasks of one project of one account."""

    shows_saved = True

    def __init__(
        self,
        context: Context,
        parent: QWidget | None = None,
        *,
        open_conversation: OpenConversation | None = None,
    ) -> None:
        super().__init__(context, parent)
        services, bridge, navigator = context.services, context.bridge, context.navigator
        self._generation = Generation(bridge, self)
        self._recovery: RecoveryDetector | None = None
        settings = UiSettings(services.storage.settings, bridge, self)
        self.preferences = ListPreferences(settings)
        self.controller = TaskController(services, bridge, self)
        self.controller.query = msgspec.structs.replace(self.controller.query, ordering=self.preferences.ordering)
        self.outbox = OutboxSender(services, bridge, self)
        self.drafts = TaskDrafts(services, bridge, self)
        self.pane = TaskPane(self.controller, self.outbox, self.drafts, self.preferences)
        self.pages = TaskPages(context, self.controller)
        self.run_choices = RunChoices(settings, bridge, self)
        self.run_desk = RunDesk(self.controller, self.run_choices, self.pages)
        self.selection = TaskSelection(navigator, self.controller, self.outbox, self.pane, self.pages, self.preferences)
        self.task_actions = TaskActions(navigator, self.controller, self.selection, self.pane, self.pages)
        self.menus = TaskMenus(self.task_actions, self.selection, self.pane)
        self.submission = TaskSubmission(
            navigator, self.controller, self.outbox, self.drafts, self.selection, self.pane, self.pages
        )
        self.edits = TaskEdits(services, bridge, self)
        self.files = TaskFiles(services, bridge, self)
        self.editing = TaskEditing(navigator, self.controller, self.edits, self.files, self.pane, self.pages)
        open_run = open_conversation or ConversationOpener(services, bridge, self)
        self.runs = RunTranscripts(context, self.controller, self.pages, open_run, withheld=self.run_choices.withheld)
        self.task_actions.worktrees_wanted.connect(self.runs.open_worktrees)
        self.local_desk = LocalRunDesk(
            context, self.controller, self.pages, self.runs.local, self.files, self.runs.show_started
        )
        self.draft_actions = DraftActions(navigator, self.drafts, self.selection, self.pane, self.pages)
        width = theme().px(tokens.LIST)
        self.splitter = RememberedSplitter(
            Qt.Orientation.Horizontal,
            [self.pane, self.pages],
            self.preferences.widths or [width, 2 * width],
            self.preferences.set_widths,
            share=0 if self.preferences.widths else tokens.LIST_SHARE,
        )
        box = QHBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.splitter)
        self.follow_titles(self.pages)
        self._poll = QTimer(self, interval=POLL_MS)
        self._poll.timeout.connect(self._refresh_if_active)
        self.pane.sign_in_wanted.connect(navigator.sign_in)
        self.pane.needs_you.connect(self.count_changed)
        self.runs.asking_changed.connect(self.pane.set_asking)
        self.runs.told.connect(self.told)
        self.runs.over.connect(self.over)
        self.controller.saved_shown.connect(self.saved_shown)
        self.controller.saved_shown.connect(self.pages.build_soon)
        self.controller.reached.connect(self.outbox.drain)
        self.outbox.sent.connect(lambda _id, _task: self.files.refresh())
        self.edits.kept.connect(self.drafts.refresh)
        self.outbox.waiting_sent.connect(self.waiting_sent)
        self.outbox.gone_elsewhere.connect(self.controller.refresh)
        self.selection.show_nothing()
        register_work(self, services.busy, self._works_of_messages)
        register_work(
            self,
            services.busy,
            lambda: works_of(self.outbox.pending, self.outbox.sending, self.edits.all(), self.drafts.all),
            self.outbox.changed,
            self.edits.changed,
            self.drafts.changed,
        )

    def _works_of_messages(self) -> Iterable[Work]:
        # Asked for when Burrow is about to end, or an account to be left.
        from app.ui.tasks.run_works import works_of_messages

        return works_of_messages(self.runs.pool.conversations)

    def show_account(self, former: Identity | None) -> None:
        """Show the tasks of this account and project."""
        backend = self.backend
        self._generation.renew()
        # The composer first: it saves what was being typed for the former account.
        self.pages.start(backend)
        self.edits.start(backend)
        self.files.start(backend)
        self.run_choices.start(backend)
        self.run_desk.start()
        self.runs.start(backend)
        self.controller.start(backend)
        self.outbox.start(backend)
        self.drafts.start(backend.scope if backend is not None else None)
        self.pane.reset()
        self.selection.start(backend)
        self._recovery = RecoveryDetector(backend.credential.status) if backend is not None else None
        if backend is not None:
            self._generation.listen(backend.credential.changed, self._status_changed)

    def activate(self) -> None:
        """Refresh: what is shown may be outdated."""
        self._refresh_if_active()

    def refresh(self) -> None:
        """Request the list, the task in view and, for the composer, the repositories again."""
        self.controller.refresh()
        self.selection.fetch_shown()
        if self.pages.shows_composer:
            self.controller.fetch_repositories()

    def focus_filter(self) -> None:
        self.pane.filter.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.pane.filter.selectAll()

    def open_item(self, item: str) -> None:
        """Show a task by its id, also one that is not in the list."""
        self.selection.open_item(item)

    def begin_draft(self, fields: Mapping[str, str], note: str) -> None:
        """Open the composer with these texts. What is typed there is kept as another draft."""
        self.selection.new_task()
        self.pages.composer.fill_from_link(fields, note)

    def commands(self) -> Sequence[Command]:
        return [*self.task_actions.commands(), *self.runs.commands()]

    def items(self) -> Sequence[Command]:
        """Every loaded task."""
        return self.task_actions.items()

    def panes(self) -> Sequence[QWidget]:
        return [self.pane, self.pages, *self.pages.areas()]

    @property
    def unsaved(self) -> bool:
        return self.pages.unsaved or self.edits.unsaved or self.runs.unsaved or bool(self.unsaved_text())

    def unsaved_text(self) -> str:
        return self.pages.unsaved_text()

    async def save_typed(self) -> None:
        """Save the draft and the edits."""
        saving = self.pages.save_draft()
        for job in [*([] if saving is None else [saving]), *self.edits.save_now()]:
            await job.wait()

    async def flush(self) -> None:
        """Save what is typed, and make final what could still be undone."""
        await self.save_typed()
        self.pane.undo.settle()
        await self.runs.flush()
        await self.drafts.flush()
        await self.edits.flush()
        await self.controller.deleter.flush()

    def _status_changed(self, status: CredentialStatus) -> None:
        self.pane.show_session()
        if self._recovery is not None and self._recovery.recovered(status):
            if self.controller.load.error is not None:
                self.controller.refresh()
            self.outbox.drain()
            self.runs.retry()

    def _refresh_if_active(self) -> None:
        """Refresh, but only while somebody may look at it: the place is in view and the window is active."""
        if self.backend is not None and self.isVisible() and self.window().isActiveWindow():
            self.controller.refresh()
            self.selection.fetch_shown()
            self.drafts.refresh()
            self.files.refresh()

    def showEvent(self, event: QShowEvent) -> None:
        self._poll.start()
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        self._poll.stop()
        super().hideEvent(event)
