"""The Tasks place: the list on the left; the composer, a task, or a task on its way to the server on the right."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtWidgets import QApplication, QHBoxLayout, QMenu, QStackedWidget, QWidget

from app.ui.bridge import Generation
from app.ui.context import Command
from app.ui.place import Place, RecoveryDetector
from app.ui.tasks.controller import TaskController
from app.ui.tasks.outbox import OutboxSender
from app.ui.tasks.pane import TaskPane, pending_id_of, task_id_of
from app.ui.tasks.preferences import ListPreferences
from app.ui.tasks.rows import PENDING, TASK, Grouping
from app.ui.tasks.wording import can_run, title_of
from app.ui.theme import theme
from app.ui.widgets.feedback import EmptyState
from app.ui.widgets.page import RememberedSplitter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QHideEvent, QShowEvent

    from app.core.auth.status import CredentialStatus
    from app.core.errors import BurrowError
    from app.core.posthog.types import NewTask, Task, TaskQuery
    from app.ui.context import Context
    from app.ui.place import Identity
    from app.ui.tasks.composer import Composer
    from app.ui.tasks.controller import FailedAction
    from app.ui.tasks.detail import TaskPage
    from app.ui.tasks.unsent import UnsentTask

POLL_MS = 30_000
FETCH_AFTER_MS = 120
BUILD_AFTER_MS = 50
LIST_WIDTH = 360
DETAIL_AT_LEAST = 320
GROUP = "Tasks"


class TasksPlace(Place):
    """The tasks of one project of one account."""

    shows_saved = True

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self._navigator = context.navigator
        self._recovery: RecoveryDetector | None = None
        self._wanted: str | None = None
        self._failures: dict[str, FailedAction] = {}
        self.preferences = ListPreferences(context.services, context.bridge, self)
        self.controller = TaskController(context.services, context.bridge, self)
        self.outbox = OutboxSender(context.services, context.bridge, self)
        self.controller.query = self._first_query()
        self.pane = TaskPane(self.controller, self.outbox, self.preferences)
        self.nothing = EmptyState()
        self.right = QStackedWidget()
        self.right.addWidget(self.nothing)
        current = theme()
        self.right.setMinimumWidth(current.px(DETAIL_AT_LEAST))
        sizes = self.preferences.widths or [current.px(LIST_WIDTH), current.px(2 * LIST_WIDTH)]
        self.splitter = RememberedSplitter(
            Qt.Orientation.Horizontal, [self.pane, self.right], sizes, self.preferences.set_widths
        )
        box = QHBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.splitter)
        self._fetch_soon = QTimer(self, singleShot=True, interval=FETCH_AFTER_MS)
        self._fetch_soon.timeout.connect(self._fetch_shown)
        self._poll = QTimer(self, interval=POLL_MS)
        self._poll.timeout.connect(self._tick)
        self._build_soon = QTimer(self, singleShot=True, interval=BUILD_AFTER_MS)
        self._build_soon.timeout.connect(self._build_pages)
        self._generation = Generation(context.bridge, self)
        self._connect()
        self._show_nothing()

    # The pages of the right side: built when first used, or once the list of the last start is on the screen. Together
    # they cost as much as everything else of the place.

    @cached_property
    def composer(self) -> Composer:
        """Where a new task is written."""
        from app.ui.tasks.composer import Composer

        page = Composer(self.context.services, self.context.bridge)
        page.submitted.connect(self._submit)
        page.left.connect(self._leave_right)
        self.right.addWidget(page)
        page.start(self.backend.scope if self.backend is not None else None)
        page.set_repositories(self.controller.repositories)
        return page

    @cached_property
    def detail(self) -> TaskPage:
        """The page of a task."""
        from app.ui.tasks.detail import TaskPage

        page = TaskPage()
        page.renamed.connect(lambda title: self._about_task(lambda i: self.controller.rename(i, title)))
        page.pin.connect(lambda pinned: self._about_task(lambda i: self.controller.pin(i, pinned)))
        page.archive.connect(lambda archived: self._about_task(lambda i: self.controller.archive(i, archived)))
        page.run.connect(self._run)
        page.delete.connect(self._delete)
        page.left.connect(self._leave_right)
        self.right.addWidget(page)
        return page

    @cached_property
    def unsent(self) -> UnsentTask:
        """The page of a task that the server may not have yet."""
        from app.ui.tasks.outcome_check import UnknownOutcomeCheck
        from app.ui.tasks.unsent import UnsentTask

        page = UnsentTask()
        UnknownOutcomeCheck(self.controller, self.outbox, page).accepted.connect(self._arrived)
        page.send_again.connect(lambda: self._about_pending(self.outbox.send_again))
        page.undo.connect(self._take_back)
        page.discard.connect(self._discard_pending)
        page.sign_in.connect(self._navigator.sign_in)
        page.left.connect(self._leave_right)
        self.right.addWidget(page)
        return page

    def _build_pages(self) -> None:
        """Build the next page that nobody has used yet, one a turn."""
        unbuilt = [name for name in ("composer", "detail", "unsent") if not self._is_built(name)]
        if unbuilt:
            getattr(self, unbuilt[0])
            self._build_soon.start()

    def _is_built(self, page: str) -> bool:
        return page in self.__dict__

    def _shows(self, page: str) -> bool:
        """Whether a page of the right side is in view."""
        return self._is_built(page) and self.right.currentWidget() is self.__dict__[page]

    def _detail_id(self) -> str | None:
        return self.detail.task_id if self._is_built("detail") else None

    def _pending_id(self) -> str | None:
        return self.unsent.pending_id if self._is_built("unsent") else None

    def _offer_repositories(self) -> None:
        if self._is_built("composer"):
            self.composer.set_repositories(self.controller.repositories)

    def show_account(self, former: Identity | None) -> None:
        """Show the tasks of this account and project."""
        backend = self.backend
        self._generation.renew()
        self._fetch_soon.stop()
        self._wanted = None
        self._failures.clear()
        if self._is_built("composer"):
            self.composer.start(backend.scope if backend is not None else None)
        self.controller.start(backend)
        self.outbox.start(backend)
        if self._is_built("detail"):
            self.detail.clear()
        if self._is_built("unsent"):
            self.unsent.clear()
        self.pane.reset()
        if not self._shows("composer") or backend is None:
            self._show_nothing()
        self._recovery = RecoveryDetector(backend.session.status) if backend is not None else None
        if backend is not None:
            self._generation.listen(backend.session.changed, self._session_changed)

    def activate(self) -> None:
        """The place came into view: what is shown may be old."""
        self._tick()

    def refresh(self) -> None:
        """F5."""
        self.controller.refresh()
        self._fetch_shown()
        if self._shows("composer"):
            self.controller.fetch_repositories()

    def focus_filter(self) -> None:
        self.pane.filter.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.pane.filter.selectAll()

    def open_item(self, item: str) -> None:
        """Show a task by its id, also one that is not in the list."""
        if self.backend is None:
            return
        if not self.pane.table.select_key(TASK + item, quiet=True):
            self.pane.table.select_key(None, quiet=True)
        if self.controller.cache.get(item) is not None:
            self._show_task(item)
        else:
            self._wanted = item
        self._fetch(item)

    def new_task(self) -> None:
        """Open the composer; the person asked for it."""
        self._wanted = None
        self.right.setCurrentWidget(self.composer)
        self.controller.fetch_repositories()
        self.composer.focus_first()

    def commands(self) -> Sequence[Command]:
        connected = self._is_connected
        shown = self._has_task
        found = [
            Command("tasks.new", self.tr("New task"), self.new_task, "Ctrl+N", GROUP),
            Command("tasks.run", self.tr("Run task"), self._run, "", GROUP, self._can_run),
            Command("tasks.rename", self.tr("Rename task"), self._rename, "F2", GROUP, shown),
            Command("tasks.pin", self.tr("Pin or unpin task"), self._toggle_pinned, "", GROUP, shown),
            Command("tasks.archive", self.tr("Archive or unarchive task"), self._toggle_archived, "", GROUP, shown),
            Command("tasks.delete", self.tr("Delete task"), self._delete, "", GROUP, shown),
            Command(
                "tasks.undo", self.tr("Undo delete"), self.pane.undo.undo, "Ctrl+Z", GROUP, lambda: self.pane.undo.open
            ),
            Command(
                "tasks.archived", self.tr("Show or hide archived tasks"), self._toggle_archive, "", GROUP, connected
            ),
        ]
        for grouping, words in (
            (Grouping.STATE, self.tr("Group tasks by state")),
            (Grouping.REPOSITORY, self.tr("Group tasks by repository")),
            (Grouping.NONE, self.tr("Do not group tasks")),
        ):
            found.append(Command(f"tasks.group.{grouping.value}", words, self._grouper(grouping), "", GROUP))
        return found

    def items(self) -> Sequence[Command]:
        """Every loaded task, for the palette."""
        group, words = self.tr("Go to task"), self.tr("Go to task {0}")
        return [
            Command(f"tasks.go.{task.id}", words.format(title_of(task)), self._goer(task.id), "", group)
            for task in self.controller.cache.all()
        ]

    def panes(self) -> Sequence[QWidget]:
        """For F6."""
        return [self.pane, self.right]

    async def flush(self) -> None:
        """Keep the draft and send the deletion that could still be undone; await it before the app ends."""
        if self._is_built("composer"):
            self.composer.save_now()
        await self.controller.deleter.flush()

    def _connect(self) -> None:
        self.pane.picked.connect(self._picked)
        self.pane.opened.connect(self._opened)
        self.pane.new_wanted.connect(self.new_task)
        self.pane.sign_in_wanted.connect(self._navigator.sign_in)
        self.pane.rename_wanted.connect(self._rename)
        self.pane.delete_wanted.connect(self._delete)
        self.pane.menu_wanted.connect(self._menu)
        self.pane.needs_you.connect(self.count_changed)
        self.controller.changed.connect(self._show_again)
        self.controller.saved_shown.connect(self.saved_shown)
        self.controller.saved_shown.connect(self._build_soon.start)
        self.controller.runs_changed.connect(lambda _: self._show_again())
        self.controller.failed.connect(self._show_failure)
        self.controller.gone.connect(self._gone)
        self.controller.repositories_changed.connect(self._offer_repositories)
        self.controller.reached.connect(self.outbox.drain)
        self.controller.deleter.offered.connect(self._deleted)
        self.outbox.changed.connect(self._show_pending_again)
        self.outbox.waiting_sent.connect(self.waiting_sent)
        self.outbox.sent.connect(self._sent)
        self.outbox.refused.connect(self._refused)
        self.outbox.trouble.connect(self._outbox_trouble)

    def _first_query(self) -> TaskQuery:
        return msgspec.structs.replace(self.controller.query, ordering=self.preferences.ordering)

    def _is_connected(self) -> bool:
        return self.backend is not None

    def _has_task(self) -> bool:
        return self._shown_task() is not None

    def _grouper(self, grouping: Grouping) -> Callable[[], None]:
        return lambda: self.pane.set_grouping(grouping)

    def _goer(self, task_id: str) -> Callable[[], None]:
        return lambda: self._navigator.go("tasks", task_id)

    def _shown_task(self) -> str | None:
        """The task that actions are about: the one on the right, else the list's current one."""
        if self._shows("detail"):
            return self.detail.task_id
        focused = QApplication.focusWidget()
        if focused is not None and self.right.isAncestorOf(focused):
            return None
        return task_id_of(self.pane.table.current_key() or "")

    def _about_task(self, act: Callable[[str], None]) -> None:
        task_id = self._shown_task()
        if task_id is not None:
            act(task_id)

    def _about_pending(self, act: Callable[[str], None]) -> None:
        pending_id = self._pending_id()
        if pending_id is not None:
            act(pending_id)

    def _picked(self, key: str) -> None:
        task_id, pending_id = task_id_of(key), pending_id_of(key)
        if task_id is not None:
            self._show_task(task_id)
            self._fetch_soon.start()
        elif pending_id is not None:
            self._show_pending(pending_id)

    def _opened(self, key: str) -> None:
        self._picked(key)
        if self._shows("detail"):
            self.detail.focus_first()
        elif self._shows("unsent"):
            self.unsent.focus_first()

    def _show_task(self, task_id: str) -> None:
        if self.controller.cache.get(task_id) is None:
            return
        self._wanted = None
        self._fill_detail(task_id)
        failure = self._failures.pop(task_id, None)
        if failure is not None:
            self.detail.show_failure(failure)
        self.right.setCurrentWidget(self.detail)

    def _fill_detail(self, task_id: str) -> None:
        task = self.controller.cache.get(task_id)
        if task is not None:
            embedded = self.backend is not None and self.backend.host.embedded
            pinned = self.controller.cache.is_pinned(task_id)
            self.detail.show_task(task, self.controller.runs.get(task_id), pinned=pinned, embedded=embedded)

    def _show_pending(self, pending_id: str) -> None:
        item = self.outbox.get(pending_id)
        if item is not None:
            self._wanted = None
            self.unsent.show_pending(item)
            self.right.setCurrentWidget(self.unsent)

    def _show_nothing(self) -> None:
        if self.backend is None:
            self.nothing.show_state("")
        else:
            self.nothing.show_state(
                self.tr("No task selected"),
                self.tr("Choose one from the list, or describe a new one."),
                [(self.tr("New task"), self.new_task)],
                glyph="tasks",
            )
        self.right.setCurrentWidget(self.nothing)

    def _leave_right(self) -> None:
        """Esc: back to the list, what was typed is kept."""
        if self._shows("composer"):
            self._show_current()
        self.pane.table.setFocus(Qt.FocusReason.BacktabFocusReason)

    def _show_current(self) -> None:
        key = self.pane.table.current_key() or ""
        self._show_nothing()
        self._picked(key)

    def _show_again(self) -> None:
        """What is known changed: bring the right side up to date without changing what it is about."""
        if self._wanted is not None and self.controller.cache.get(self._wanted) is not None:
            self._show_task(self._wanted)
        task_id = self._detail_id()
        if task_id is None:
            return
        if self.controller.cache.get(task_id) is not None:
            self._fill_detail(task_id)
        elif self.controller.cache.is_hidden(task_id):
            self._forget_detail()

    def _show_pending_again(self) -> None:
        pending_id = self._pending_id()
        if pending_id is None:
            return
        item = self.outbox.get(pending_id)
        if item is not None:
            self.unsent.show_pending(item)
        else:
            self.unsent.clear()
            if self._shows("unsent"):
                self._show_nothing()

    def _forget_detail(self) -> None:
        self.detail.clear()
        if self._shows("detail"):
            self._show_nothing()

    def _gone(self, task_id: str) -> None:
        if self._wanted == task_id:
            self._wanted = None
            self.nothing.show_state(
                self.tr("This task is not here"),
                self.tr("It may have been deleted, or belongs to another project."),
                glyph="question",
            )
            self.right.setCurrentWidget(self.nothing)
        elif self._detail_id() == task_id:
            self._forget_detail()
            self._navigator.announce(self.tr("The task was deleted elsewhere"))

    def _fetch_shown(self) -> None:
        if self._shows("detail") and self.detail.task_id is not None:
            self._fetch(self.detail.task_id)

    def _fetch(self, task_id: str) -> None:
        self.controller.fetch(task_id)

    def _show_failure(self, failure: FailedAction) -> None:
        """A card on the task, which is brought back to the right; while somebody is writing, when they return to it."""
        self._failures[failure.task_id] = failure
        self._navigator.announce(f"{failure.words}. {failure.error.cause}")
        if self._shows("composer") or self.controller.cache.get(failure.task_id) is None:
            self._navigator.status(failure.words)
            return
        self._show_task(failure.task_id)
        self.pane.show_now()
        self.pane.table.select_key(TASK + failure.task_id, quiet=True)

    def _run(self) -> None:
        task = self.controller.cache.get(self._shown_task() or "")
        if task is not None and can_run(task):
            self.controller.run(task.id)

    def _can_run(self) -> bool:
        task = self.controller.cache.get(self._shown_task() or "")
        return task is not None and can_run(task)

    def _rename(self) -> None:
        task_id = self._shown_task()
        if task_id is not None:
            self._show_task(task_id)
            self.detail.begin_rename()

    def _toggle_pinned(self) -> None:
        self._about_task(lambda i: self.controller.pin(i, not self.controller.cache.is_pinned(i)))

    def _toggle_archived(self) -> None:
        def toggle(task_id: str) -> None:
            task = self.controller.cache.get(task_id)
            if task is not None:
                self.controller.archive(task_id, not task.archived)

        self._about_task(toggle)

    def _toggle_archive(self) -> None:
        self.pane.set_archived(not self.pane.archived)

    def _delete(self) -> None:
        """Delete what is current, and make its neighbour current, as in any list."""
        pending_id = pending_id_of(self.pane.table.current_key() or "")
        if self._shows("unsent") and pending_id is not None:
            return
        task_id = self._shown_task()
        if task_id is None:
            return
        neighbour = self._neighbour(TASK + task_id)
        had_list = self.pane.table.hasFocus()
        self.controller.delete(task_id)
        self.pane.show_now()
        if neighbour is not None and self.pane.table.select_key(neighbour, quiet=not had_list) and not had_list:
            self._show_current()

    def _neighbour(self, key: str) -> str | None:
        rows = self.pane.table.rows
        keys = [line.key for line in rows.lines() if rows.place(line.key) >= 0]
        if key not in keys or len(keys) < 2:
            return None
        place = keys.index(key)
        return keys[place + 1] if place + 1 < len(keys) else keys[place - 1]

    def _deleted(self, title: str) -> None:
        self._navigator.announce(self.tr("Deleted {0}. Undo is offered below the list.").format(title))

    def _menu(self, key: str, at: QPoint) -> None:
        task_id = task_id_of(key)
        task = self.controller.cache.get(task_id) if task_id is not None else None
        if task is None or task_id is None:
            return
        self.pane.table.select_key(key)
        menu = QMenu(self)
        menu.setAccessibleName(title_of(task))
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        pinned = self.controller.cache.is_pinned(task_id)
        run = menu.addAction(self.tr("Run"), self._run)
        run.setEnabled(can_run(task))
        menu.addAction(self.tr("Rename"), self._rename)
        menu.addAction(self.tr("Unpin") if pinned else self.tr("Pin"), self._toggle_pinned)
        menu.addAction(self.tr("Unarchive") if task.archived else self.tr("Archive"), self._toggle_archived)
        menu.addSeparator()
        menu.addAction(self.tr("Delete"), self._delete)
        menu.popup(at)

    def _submit(self, new: NewTask) -> None:
        """The row appears at once; the text is in the outbox before anything is sent, so the composer is free again."""
        if self.backend is None:
            self.composer.show_note(self.tr("Not connected"), self.tr("Connect to a host; the text is kept."))
            return
        had_focus = self.composer.isAncestorOf(self.focusWidget()) if self.focusWidget() is not None else False
        pending_id = self.outbox.send(new)
        self.composer.clear()
        self.pane.show_now()
        if self.controller.query.search or self.controller.query.archived:
            self.pane.clear_filter()
        self.pane.table.select_key(PENDING + pending_id, quiet=True)
        self._show_pending(pending_id)
        if had_focus:
            self.pane.table.setFocus(Qt.FocusReason.OtherFocusReason)

    def _sent(self, pending_id: str, task: Task) -> None:
        shown = self._shows("unsent") and self.unsent.pending_id == pending_id
        current = self.pane.table.current_key() == PENDING + pending_id
        self.controller.put(task)
        self.pane.show_now()
        if current:
            self.pane.table.select_key(TASK + task.id, quiet=True)
        if shown:
            self._show_task(task.id)
        self._navigator.announce(self.tr("Task created: {0}").format(title_of(task)))

    def _refused(self, pending_id: str) -> None:
        """Put the text back into the composer if that is free; else the row says what happened."""
        item = self.outbox.get(pending_id)
        if item is None or item.error is None:
            return
        self._navigator.announce(self.tr("Not sent. {0}").format(item.error.cause))
        if not self.composer.empty:
            return
        looking = self._shows("unsent") and self.unsent.pending_id == pending_id
        self.composer.restore(item.new)
        self.composer.show_error(item.error, [(self.tr("Send again"), self.composer.submit)])
        self.outbox.discard(pending_id)
        if looking or self.right.currentWidget() is self.nothing:
            self.right.setCurrentWidget(self.composer)

    def _take_back(self) -> None:
        """Undo: the text goes back to the composer, unless another draft is there."""
        pending_id = self._pending_id()
        item = self.outbox.get(pending_id) if pending_id is not None else None
        if item is None:
            return
        if not self.composer.empty:
            self.unsent.card.show_note(
                self.tr("The composer holds another draft"),
                self.tr("Send or discard that one first; this one stays here."),
                actions=[(self.tr("Show the draft"), self.new_task)],
                tone="attention",
            )
            return
        self.composer.restore(item.new)
        self.outbox.take_back(item.id)
        self.new_task()

    def _discard_pending(self) -> None:
        self._about_pending(self.outbox.discard)
        self._show_current()

    def _arrived(self, pending_id: str, task: Task) -> None:
        """One of unknown outcome turned out to be there: it takes the place of the pending one."""
        self.outbox.discard(pending_id)
        self.controller.put(task)
        self.pane.show_now()
        self.pane.table.select_key(TASK + task.id)

    def _outbox_trouble(self, error: BurrowError) -> None:
        self._navigator.status(error.title)

    def _session_changed(self, status: CredentialStatus) -> None:
        self.pane.show_session()
        if self._recovery is not None and self._recovery.recovered(status):
            if self.controller.load.error is not None:
                self.controller.refresh()
            self.outbox.drain()

    def _tick(self) -> None:
        """Ask for news while somebody may be looking."""
        if self.backend is not None and self.isVisible() and self.window().isActiveWindow():
            self.controller.refresh()
            self._fetch_shown()

    def showEvent(self, event: QShowEvent) -> None:
        self._poll.start()
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        self._poll.stop()
        super().hideEvent(event)
