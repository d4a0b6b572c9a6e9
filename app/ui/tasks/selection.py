"""Which page is shown beside the list: that of the selected row, or of a task opened by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtWidgets import QApplication

from app.ui.tasks.pane import pending_id_of, task_id_of
from app.ui.tasks.rows import TASK

if TYPE_CHECKING:
    from app.core.backend import Backend
    from app.ui.context import Navigator
    from app.ui.tasks.composer import Composer
    from app.ui.tasks.controller import FailedAction, TaskController
    from app.ui.tasks.detail import TaskPage
    from app.ui.tasks.outbox import OutboxSender
    from app.ui.tasks.pages import TaskPages
    from app.ui.tasks.pane import TaskPane
    from app.ui.tasks.unsent import UnsentTask

FETCH_AFTER_MS = 120


class TaskSelection(QObject):
    """Chooses the page of the right side and keeps it up to date."""

    def __init__(
        self,
        navigator: Navigator,
        controller: TaskController,
        outbox: OutboxSender,
        pane: TaskPane,
        pages: TaskPages,
    ) -> None:
        super().__init__(pages)
        self._navigator, self._controller, self._outbox = navigator, controller, outbox
        self._pane, self._pages = pane, pages
        self._backend: Backend | None = None
        # A task opened by its id that is not loaded yet.
        self._wanted: str | None = None
        # Actions that failed while the composer was in view: each is shown with its task.
        self._failures: dict[str, FailedAction] = {}
        self._fetch_soon = QTimer(self, singleShot=True, interval=FETCH_AFTER_MS)
        self._fetch_soon.timeout.connect(self.fetch_shown)
        pane.picked.connect(self._picked)
        pane.opened.connect(self._opened)
        pane.new_wanted.connect(self.new_task)
        pages.composer_built.connect(self._connect_composer)
        pages.detail_built.connect(self._connect_detail)
        pages.unsent_built.connect(self._connect_unsent)
        controller.changed.connect(self._update)
        controller.runs_changed.connect(lambda _: self._update())
        controller.failed.connect(self._show_failure)
        controller.gone.connect(self._gone)
        outbox.changed.connect(self._update_pending)

    def start(self, backend: Backend | None) -> None:
        """Another account or project: show nothing of the former. The composer stays in view."""
        self._backend = backend
        self._fetch_soon.stop()
        self._wanted = None
        self._failures.clear()
        if not self._pages.shows_composer or backend is None:
            self.show_nothing()

    @property
    def task_id(self) -> str | None:
        """The task that actions apply to: the one on the right, else the current row."""
        if self._pages.shows_detail:
            return self._pages.task_id
        # On the composer or an unsent task, a key does not mean the row that happens to be current.
        focused = QApplication.focusWidget()
        if focused is not None and self._pages.isAncestorOf(focused):
            return None
        return task_id_of(self._pane.table.current_key() or "")

    def open_item(self, task_id: str) -> None:
        """Show a task by its id, also one that is not in the list."""
        if self._backend is None:
            return
        # Quiet: the page is chosen here, and the rows may not have the task.
        if not self._pane.table.select_key(TASK + task_id, quiet=True):
            self._pane.table.select_key(None, quiet=True)
        if self._controller.cache.get(task_id) is not None:
            self.show_task(task_id)
        else:
            self._wanted = task_id
        self._controller.fetch(task_id)

    def new_task(self) -> None:
        """Open the composer with an empty draft."""
        self._pages.composer.begin()
        self._pane.table.select_key(None, quiet=True)
        self.show_composer()

    def show_composer(self) -> None:
        """Show the composer with what is in it."""
        self._wanted = None
        self._pages.turn_to(self._pages.composer)
        self._controller.fetch_repositories()
        self._pages.composer.focus_first()

    def forget_wanted(self) -> None:
        """Another page was chosen: a task that is still being loaded must not replace it."""
        self._wanted = None

    def show_task(self, task_id: str) -> None:
        """Show a task, and the failed action on it that was not shown yet."""
        if self._controller.cache.get(task_id) is None:
            return
        self._wanted = None
        self._fill_detail(task_id)
        failure = self._failures.pop(task_id, None)
        if failure is not None:
            self._pages.detail.show_failure(failure)
        self._pages.turn_to(self._pages.detail)

    def show_pending(self, pending_id: str) -> None:
        """Show a task that the server may not have yet."""
        item = self._outbox.get(pending_id)
        if item is not None:
            self._wanted = None
            self._pages.unsent.show_pending(item)
            self._pages.turn_to(self._pages.unsent)

    def show_nothing(self) -> None:
        """Say that nothing is selected, and offer a new task."""
        nothing = self._pages.nothing
        if self._backend is None:
            nothing.show_state("")
        else:
            nothing.show_state(
                self.tr("No task selected"),
                self.tr("Choose one from the list, or describe a new one."),
                [(self.tr("New task"), self.new_task)],
                glyph="tasks",
            )
        self._pages.turn_to(nothing)

    def show_current(self) -> None:
        """Show the current row."""
        self.show_nothing()
        self._picked(self._pane.table.current_key() or "")

    def fetch_shown(self) -> None:
        """Request the task in view again."""
        if self._pages.shows_detail and self._pages.task_id is not None:
            self._controller.fetch(self._pages.task_id)

    def leave(self) -> None:
        """Esc: go back to the list. What was typed is kept."""
        if self._pages.shows_composer:
            self.show_current()
        # As by Shift+Tab: the list makes a row current and leaves the right side as it is.
        self._pane.table.setFocus(Qt.FocusReason.BacktabFocusReason)

    def _connect_composer(self, page: Composer) -> None:
        page.left.connect(self.leave)

    def _connect_detail(self, page: TaskPage) -> None:
        page.left.connect(self.leave)

    def _connect_unsent(self, page: UnsentTask) -> None:
        page.left.connect(self.leave)

    def _picked(self, key: str) -> None:
        task_id, pending_id = task_id_of(key), pending_id_of(key)
        if task_id is not None:
            self.show_task(task_id)
            # Restarted by each row: whoever walks through the list requests only where they stop.
            self._fetch_soon.start()
        elif pending_id is not None:
            self.show_pending(pending_id)

    def _opened(self, key: str) -> None:
        self._picked(key)
        if self._pages.shows_detail:
            self._pages.detail.focus_first()
        elif self._pages.shows_unsent:
            self._pages.unsent.focus_first()

    def _fill_detail(self, task_id: str) -> None:
        task = self._controller.cache.get(task_id)
        if task is not None:
            embedded = self._backend is not None and self._backend.host.embedded
            pinned = self._controller.cache.is_pinned(task_id)
            runs = self._controller.runs.get(task_id)
            self._pages.detail.show_task(task, runs, pinned=pinned, embedded=embedded)

    def _update(self) -> None:
        """The cache changed: update the page."""
        if self._wanted is not None and self._controller.cache.get(self._wanted) is not None:
            self.show_task(self._wanted)
        task_id = self._pages.task_id
        if task_id is None:
            return
        if self._controller.cache.get(task_id) is not None:
            self._fill_detail(task_id)
        # One that only left the list stays in view. If it is gone, `gone` says so.
        elif self._controller.cache.is_hidden(task_id):
            self._forget_detail()

    def _update_pending(self) -> None:
        """The outbox changed: update the page."""
        pending_id = self._pages.pending_id
        if pending_id is None:
            return
        item = self._outbox.get(pending_id)
        if item is not None:
            self._pages.unsent.show_pending(item)
        else:
            self._pages.unsent.clear()
            if self._pages.shows_unsent:
                self.show_nothing()

    def _forget_detail(self) -> None:
        self._pages.detail.clear()
        if self._pages.shows_detail:
            self.show_nothing()

    def _gone(self, task_id: str) -> None:
        """The server no longer has a task."""
        if self._wanted == task_id:
            self._wanted = None
            self._pages.nothing.show_state(
                self.tr("Task not found"),
                self.tr("It may have been deleted, or it belongs to another project."),
                glyph="question",
            )
            self._pages.turn_to(self._pages.nothing)
        elif self._pages.task_id == task_id:
            self._forget_detail()
            self._navigator.announce(self.tr("The task was deleted elsewhere"))

    def _show_failure(self, failure: FailedAction) -> None:
        """Show the task with a card that explains the failure; while the composer is in view, only a message."""
        self._failures[failure.task_id] = failure
        self._navigator.announce(f"{failure.words}. {failure.error.cause}")
        if self._pages.shows_composer or self._controller.cache.get(failure.task_id) is None:
            self._navigator.status(failure.words)
            return
        self.show_task(failure.task_id)
        self._pane.show_now()
        self._pane.table.select_key(TASK + failure.task_id, quiet=True)
