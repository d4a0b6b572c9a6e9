"""RunTranscripts: which run of the task in view is shown, its conversation and draft, and which runs need the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from app.ui.context import Command
from app.ui.place import PlaceNotice
from app.ui.tasks.local_list import LocalRunList
from app.ui.tasks.run_page import DETAILS, TRANSCRIPT
from app.ui.tasks.run_pool import RunPool
from app.ui.tasks.run_watch import RunWatch
from app.ui.tasks.wording import can_cancel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.core.backend import Backend
    from app.core.posthog.types import Task, TaskRun
    from app.ui.context import Context
    from app.ui.tasks.controller import TaskController
    from app.ui.tasks.pages import TaskPages
    from app.ui.tasks.run_changes import RunChangesDesk, RunChangesView
    from app.ui.tasks.run_page import RunViews
    from app.ui.tasks.run_pool import OpenConversation
    from app.ui.transcript.conversation import RunConversation
    from app.ui.transcript.driver import ConversationDriver
    from app.ui.transcript.page import TranscriptPage
    from app.ui.transcript.reply_draft import ReplyDraft
    from app.ui.widgets.context_menu import ContextMenu


OPEN_AFTER_MS = 120


class RunTranscripts(QObject):
    """`asking_changed(frozenset)`: the tasks whose runs wait for an answer. `told(PlaceNotice)`: something happened
    that a person who looks elsewhere wants to know. `over(key)`: it need not be told any more.
    """

    asking_changed = Signal(object)
    told = Signal(object)
    over = Signal(str)

    def __init__(
        self,
        context: Context,
        controller: TaskController,
        pages: TaskPages,
        open_conversation: OpenConversation,
        *,
        withheld: Callable[[str], bool],
    ) -> None:
        super().__init__(pages)
        self._context, self._controller, self._pages = context, controller, pages
        self._withheld = withheld
        self._backend: Backend | None = None
        self._views: RunViews | None = None
        self._driver: ConversationDriver | None = None
        self._draft: ReplyDraft | None = None
        self._changes: RunChangesDesk | None = None
        # The task in view, and the run of it that a person chose; None for the latest.
        self._task_id = ""
        self._chosen: str | None = None
        self._run_id = ""
        self._asking: frozenset[str] = frozenset()
        # The tasks whose tab a person has chosen in this session.
        self._tabs: dict[str, int] = {}
        self.local = LocalRunList(context.services, context.bridge, self)
        self.local.seen = lambda: pages.isVisible() and not pages.window().isMinimized()
        self.local.changed.connect(self._local_changed)
        self.local.written.connect(controller.fetch)
        self._open_soon = QTimer(self, singleShot=True, interval=OPEN_AFTER_MS)
        self._open_soon.timeout.connect(self._open)
        self.pool = RunPool(context.bridge, open_conversation, self)
        self.pool.asking_changed.connect(lambda _asking: self._count_asking())
        self.pool.asks.connect(self._tell_asks)
        self.pool.turn_ended.connect(self._turn_ended)
        self.pool.ended.connect(self._ended)
        self.pool.status_changed.connect(controller.know_run)
        self.pool.moved.connect(controller.fetch)
        self._watch = RunWatch(context.services, context.bridge, controller, self.local, self.pool)
        self._watch.ended.connect(lambda task_id, status: self._tell(task_id, "ended", status))
        pages.views_built.connect(self._connect_views)
        pages.currentChanged.connect(lambda _page: self._show())
        controller.changed.connect(self._show)
        controller.runs_changed.connect(lambda _task_id: self._show())
        controller.run_started.connect(self.show_started)

    def start(self, backend: Backend | None) -> None:
        """Another account or project."""
        self._backend = backend
        self._task_id, self._run_id, self._chosen = "", "", None
        self._tabs.clear()
        if self._driver is not None:
            self._driver.show(None)
        if self._draft is not None:
            self._draft.open(None, "")
        self._watch.start()
        self.pool.start(backend)

    @property
    def unsaved(self) -> bool:
        """Whether what is typed to an agent is not saved yet."""
        return self._draft is not None and self._draft.unsaved

    async def flush(self) -> None:
        """Save what is typed to an agent."""
        if self._draft is not None:
            await self._draft.flush()
        if self._changes is not None:
            await self._changes.flush()

    def retry(self) -> None:
        """The credential works again: connect and send at once."""
        self.pool.retry()

    def commands(self) -> Sequence[Command]:
        """What can be done with the run in view, for the palette and the keys. Its page has them by itself, too."""
        group = self.tr("Run")
        return [
            Command("run.stop", self.tr("Stop what the agent does"), self._stop, "Ctrl+.", group, self._can_stop),
            Command("run.transcript", self.tr("Show the transcript"), self._show_transcript, "", group, self._has_task),
        ]

    def _can_stop(self) -> bool:
        conversation = self._driver.conversation if self._driver is not None and self._has_task() else None
        return conversation is not None and conversation.transcript.state.busy and not conversation.run.finished

    def _stop(self) -> None:
        if self._views is not None and self._can_stop():
            self._views.transcript.header.stop_wanted.emit()

    def _has_task(self) -> bool:
        return self._task() is not None

    def _show_transcript(self) -> None:
        if self._views is not None:
            self._views.turn_to(TRANSCRIPT)
            self._views.focus_first()

    def _connect_views(self, views: RunViews) -> None:
        self._views = views
        self.local.load()
        views.seen.connect(self._show)
        views.turned.connect(self._turned)
        views.run_chosen.connect(self._choose)
        views.transcript_built.connect(self._connect_transcript)
        views.changes_built.connect(self._connect_changes)
        views.details.task_changed.connect(lambda _task_id: self._show())
        views.details.with_local = self.local.with_local
        self.local.changed.connect(lambda _task_id: views.details.show_runs_anew())

    def _connect_transcript(self, page: TranscriptPage) -> None:
        # Not needed for the first paint.
        from app.ui.tasks.attached import AttachmentBox
        from app.ui.tasks.run_facts import facts_of
        from app.ui.transcript.driver import ConversationDriver
        from app.ui.transcript.reply_draft import ReplyDraft

        bridge, storage = self._context.bridge, self._context.services.storage
        page.put_files(AttachmentBox(lambda: storage.attachments, bridge, of_message=True))
        self._driver = ConversationDriver(page, bridge, facts_of, withheld=self._withheld)
        self._driver.sent.connect(self._sent)
        page.menu_filled.connect(self._fill_menu)
        self._draft = ReplyDraft(self._context.services, bridge, page.reply, page)

    def _connect_changes(self, view: RunChangesView) -> None:
        from app.ui.tasks.run_changes import RunChangesDesk

        self._changes = RunChangesDesk(view, self._context)

    def open_worktrees(self) -> None:
        """Show the worktrees of the runs of this machine."""
        from app.ui.tasks.run_changes import open_worktrees

        open_worktrees(self.local.connect_runs(), self._context.bridge, self._pages.window())

    def _fill_menu(self, menu: ContextMenu) -> None:
        task, views = self._controller.cache.get(self._task_id), self._views
        if task is not None and views is not None and can_cancel(task) and self._chosen is None:
            menu.add(self.tr("Cancel run"), views.details.cancel_run.emit)
        menu.add(self.tr("Worktrees of runs…"), self.open_worktrees)

    def _turned(self, tab: int) -> None:
        self._tabs[self._task_id] = tab

    def _choose(self, run_id: str) -> None:
        latest = self._runs(self._task_id)
        self._chosen = run_id if latest and latest[0].id != run_id else None
        self._show()

    def show_started(self, task_id: str) -> None:
        """A run of a task has started: it is what is looked at."""
        self._tabs[task_id] = TRANSCRIPT
        if task_id == self._task_id:
            self._chosen = None
            if self._views is not None:
                self._views.turn_to(TRANSCRIPT)

    def _task(self) -> Task | None:
        views = self._views
        task_id = views.details.task_id if views is not None and self._pages.shows_detail else None
        return self._controller.cache.get(task_id) if task_id is not None else None

    def _runs(self, task_id: str) -> tuple[TaskRun, ...]:
        """The runs of a task, the latest first. Until they have arrived, the task itself names the latest one."""
        task, page = self._controller.cache.get(task_id), self._controller.runs.get(task_id)
        runs = tuple(page.items) if page is not None else ()
        latest = task.latest_run if task is not None else None
        if latest is not None and latest.id and all(run.id != latest.id for run in runs):
            runs = (latest, *runs)
        return self.local.with_local(task_id, runs)

    def _show(self) -> None:
        """Show the run of the task in view, if the transcript is what is looked at."""
        self._count_asking()
        views, task = self._views, self._task()
        if views is None or task is None:
            return
        if task.id != self._task_id:
            self._task_id, self._chosen = task.id, None
            views.turn_to(self._first_tab(task))
        runs = self._runs(task.id)
        run = next((run for run in runs if run.id == self._chosen), runs[0] if runs else None)
        views.show_runs(runs, run.id if run is not None else "")
        if views.shows_changes and self._changes is not None:
            self._changes.show(run, self._backend, self.local.runs)
        if not views.shows_transcript:
            return
        former, self._run_id = self._run_id, run.id if run is not None else ""
        if self._draft is not None and self._backend is not None:
            self._draft.open(self._backend.scope, task.id)
        if not self._run_id or self.pool.has(self._run_id):
            self._open()
        elif former != self._run_id:
            # Whoever walks through the list opens only the run where they stop.
            if self._driver is not None:
                self._driver.show_loading()
            self._open_soon.start()
        if former and former != self._run_id:
            # Once it is not shown any more: it is empty when it is closed.
            self.pool.leave(former)

    def _open(self) -> None:
        """Show the conversation with the run in view."""
        task, views = self._controller.cache.get(self._task_id), self._views
        run = next((run for run in self._runs(self._task_id) if run.id == self._run_id), None)
        if task is None or views is None or self._driver is None or not views.shows_transcript:
            return
        self._driver.show(self.pool.conversation(task, run) if run is not None and run.id else None)

    def _first_tab(self, task: Task) -> int:
        """A run that is under way is watched; else a task is read."""
        under_way = task.latest_run is not None and task.latest_run.status == "in_progress"
        watched = under_way or task.id in self.local.cut_off
        return self._tabs.get(task.id, TRANSCRIPT if watched else DETAILS)

    def _sent(self, conversation: RunConversation) -> None:
        """A message was taken. The server may go on in another run, which the list does not know yet."""
        task_id = self.pool.task_of(conversation)
        if task_id is None:
            return
        if conversation.run.finished:
            self._controller.fetch(task_id)
        if self._draft is not None and self._backend is not None and self._backend.scope is not None:
            self._draft.discard(self._backend.scope, task_id)

    def _local_changed(self, _task_id: str) -> None:
        self._count_asking()
        self._show()

    def _count_asking(self) -> None:
        asking = self.pool.asking | self.local.cut_off
        if asking == self._asking:
            return
        for task_id in self._asking - asking:
            self.over.emit(f"run:{task_id}")
        self._asking = asking
        self.asking_changed.emit(asking)

    def _tell_asks(self, task_id: str) -> None:
        self._tell(task_id, "asks")

    def _turn_ended(self, task_id: str) -> None:
        self._look_at_changes(task_id)
        self._tell(task_id, "turn")

    def _look_at_changes(self, task_id: str) -> None:
        if self._changes is not None and task_id == self._task_id:
            self._changes.turn_ended()

    def _ended(self, task_id: str, status: str) -> None:
        self._look_at_changes(task_id)
        # The list is asked what it says of the task now.
        self._controller.fetch(task_id)
        self._tell(task_id, "ended", status)

    def _tell(self, task_id: str, what: str, status: str = "") -> None:
        from app.ui.tasks.run_facts import asks_words, ended_words, turn_words

        task = self._controller.cache.get(task_id)
        if task is None:
            return
        title, text = {
            "asks": lambda: asks_words(task),
            "turn": lambda: turn_words(task),
            "ended": lambda: ended_words(task, status),
        }[what]()
        self.told.emit(PlaceNotice(f"run:{task_id}", title, text, task_id, waits=what == "asks"))
