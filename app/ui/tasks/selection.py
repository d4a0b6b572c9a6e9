"""Which page is shown beside the list.

There is one selection: the rows that are selected are those that the page shows, and every action is about them. The
page decides. After each change of the page or of the rows the list selects what the page shows, as far as it has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QObject, Qt, QTimer

from app.ui.tasks.pane import task_id_of
from app.ui.tasks.rows import PENDING, TASK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtWidgets import QWidget

    from app.core.backend import Backend
    from app.ui.context import Navigator
    from app.ui.tasks.composer import Composer
    from app.ui.tasks.controller import FailedAction, TaskController
    from app.ui.tasks.detail import TaskPage
    from app.ui.tasks.outbox import OutboxSender
    from app.ui.tasks.pages import TaskPages
    from app.ui.tasks.pane import TaskPane
    from app.ui.tasks.preferences import ListPreferences
    from app.ui.tasks.several import SeveralTasks
    from app.ui.tasks.unsent import UnsentTask
    from app.ui.widgets.feedback import Action

FETCH_AFTER_MS = 120


class RowKind(NamedTuple):
    """Rows whose keys begin with `prefix`. `show` shows the page of an id; `shown` is the id whose page is in view."""

    prefix: str
    show: Callable[[str], None]
    shown: Callable[[], str | None]


class TaskSelection(QObject):
    """Chooses the page of the right side and keeps it up to date."""

    def __init__(
        self,
        navigator: Navigator,
        controller: TaskController,
        outbox: OutboxSender,
        pane: TaskPane,
        pages: TaskPages,
        preferences: ListPreferences,
    ) -> None:
        super().__init__(pages)
        self._navigator, self._controller, self._outbox = navigator, controller, outbox
        self._pane, self._pages, self._preferences = pane, pages, preferences
        self._backend: Backend | None = None
        self._kinds = [
            RowKind(TASK, self.show_task, lambda: pages.task_id if pages.shows_detail else None),
            RowKind(PENDING, self.show_pending, lambda: pages.pending_id if pages.shows_unsent else None),
        ]
        # How to remove a row of a prefix by its id.
        self._removers: dict[str, Callable[[str], None]] = {TASK: controller.delete}
        # The rows of the page of several tasks.
        self._several: tuple[str, ...] = ()
        # The row that the notice in place of a task is about.
        self._notice: str | None = None
        # What was shown before the composer, and the row beside what is shown: both to go on with.
        self._former: tuple[str, ...] = ()
        self._beside: str | None = None
        # A task opened by its id that is not loaded yet.
        self._wanted: str | None = None
        # Whether the task that was last open is still to be opened.
        self._resuming = False
        # Failed actions whose task is not in view: each is shown with its task.
        self._failures: dict[str, FailedAction] = {}
        self._fetch_soon = QTimer(self, singleShot=True, interval=FETCH_AFTER_MS)
        self._fetch_soon.timeout.connect(self._stay)
        self._resume_soon = QTimer(self, singleShot=True, interval=0)
        self._resume_soon.timeout.connect(self._resume)
        self._sync_soon = QTimer(self, singleShot=True, interval=0)
        self._sync_soon.timeout.connect(self.sync)
        pane.chosen.connect(self._chosen)
        pane.opened.connect(self._opened)
        pane.new_wanted.connect(self.new_task)
        pane.rows_shown.connect(self._rows_shown)
        pane.list_changed.connect(self._scroll_to_shown)
        pane.several_left.connect(self.leave)
        pages.currentChanged.connect(lambda _page: self.sync())
        pages.composer_built.connect(self._connect_page)
        pages.detail_built.connect(self._connect_page)
        # Later: others connect to the page in this signal, and what is shown before they do they never hear of.
        pages.detail_built.connect(lambda _page: self._resume_soon.start())
        pages.unsent_built.connect(self._connect_page)
        pages.several_built.connect(self._connect_page)
        controller.changed.connect(self._update)
        controller.load_changed.connect(self._resume)
        controller.runs_changed.connect(lambda _: self._update())
        controller.failed.connect(self._show_failure)
        controller.gone.connect(self._gone)
        outbox.changed.connect(self._update_pending)

    def start(self, backend: Backend | None) -> None:
        """Another account or project: show nothing of the former. The composer stays in view."""
        self._backend = backend
        self._fetch_soon.stop()
        self._wanted, self._beside = None, None
        self._several = self._former = ()
        self._failures.clear()
        self._pane.failures.forget()
        self._resuming = self._project is not None and not self._pages.shows_composer
        if not self._pages.shows_composer or backend is None:
            self.show_nothing()

    def add_kind(self, kind: RowKind) -> None:
        """Let the list have rows of another kind."""
        self._kinds.append(kind)

    def add_remover(self, prefix: str, remove: Callable[[str], None]) -> None:
        """Let rows whose keys begin with `prefix` be removed together with tasks; `remove` takes what follows it."""
        self._removers[prefix] = remove

    def remove(self, key: str) -> None:
        """Delete a task, or discard what is not sent."""
        for prefix, remove in self._removers.items():
            if key.startswith(prefix):
                remove(key[len(prefix) :])

    @property
    def shown(self) -> tuple[str, ...]:
        """The keys of the rows that the page shows, whether the list has them or not."""
        if self._pages.shows_several:
            return self._several
        if self.notice is not None:
            return (self.notice,)
        found = ((kind.prefix, kind.shown()) for kind in self._kinds)
        return next(((prefix + shown,) for prefix, shown in found if shown is not None), ())

    @property
    def notice(self) -> str | None:
        """The key of the row that the notice in place of a task is about, while that is in view."""
        return self._notice if self._pages.currentWidget() is self._pages.nothing else None

    @property
    def task_ids(self) -> tuple[str, ...]:
        """The tasks that actions are about: those that the page shows."""
        return tuple(task_id for key in self.shown if (task_id := task_id_of(key)) is not None)

    @property
    def task_id(self) -> str | None:
        """The task that actions are about, if it is one."""
        found = self.task_ids
        return found[0] if len(found) == 1 and not self._pages.shows_several else None

    def open_item(self, task_id: str) -> None:
        """Show a task by its id, also one that is not in the list."""
        if self._backend is None:
            return
        self._resuming = False
        self._pane.table.rows.reveal(TASK + task_id)
        if self._controller.cache.get(task_id) is not None:
            self.show_task(task_id)
            self._scroll_to_shown()
            self._remember(task_id)
        else:
            self._wanted = task_id
        self._controller.fetch(task_id)

    def new_task(self) -> None:
        """Open the composer with an empty draft."""
        self._pages.composer.begin()
        self.show_composer()

    def show_composer(self) -> None:
        """Show the composer with what is in it, and put the focus there."""
        self.forget_wanted()
        self._turn_to(self._pages.composer)
        self._controller.fetch_repositories()
        self._pages.composer.focus_first()

    def forget_wanted(self) -> None:
        """Another page was chosen: a task that is still being loaded must not replace it."""
        self._resuming = False
        self._wanted = None

    def show_task(self, task_id: str) -> None:
        """Show a task, and the failed action on it that was not shown yet."""
        if self._controller.cache.get(task_id) is None:
            return
        self.forget_wanted()
        self._fill_detail(task_id)
        failure = self._failures.pop(task_id, None)
        if failure is not None:
            self._pages.detail.show_failure(failure)
            self._pane.failures.remove(task_id)
        self._turn_to(self._pages.detail)

    def show_pending(self, pending_id: str) -> None:
        """Show a task that the server may not have yet."""
        item = self._outbox.get(pending_id)
        if item is not None:
            self.forget_wanted()
            self._pages.unsent.show_pending(item)
            self._turn_to(self._pages.unsent)

    def show_several(self, keys: Sequence[str]) -> None:
        """Show what can be done with several rows."""
        self.forget_wanted()
        self._several = tuple(keys)
        self._fill_several()
        self._turn_to(self._pages.several)

    def show_nothing(self) -> None:
        """Say that nothing is selected, and offer a new task."""
        if self._backend is None:
            self.show_notice("")
        else:
            self.show_notice(
                self.tr("No task selected"),
                self.tr("Choose one from the list, or describe a new one."),
                [(self.tr("New task"), self.new_task)],
                glyph="tasks",
            )

    def show_notice(
        self, title: str, words: str = "", actions: Sequence[Action] = (), *, glyph: str = "", key: str | None = None
    ) -> None:
        """Say something instead of a task. `key` is the row that it is about, if it is about one."""
        self._notice = key
        self._pages.nothing.show_state(title, words, actions, glyph=glyph)
        self._turn_to(self._pages.nothing)

    def show_current(self) -> None:
        """What was shown went away: show the row beside it, which has taken its place."""
        self.show_beside(self._beside)

    def show_beside(self, beside: str | None) -> None:
        """Show this row, else the first one, else nothing."""
        self._pane.show_now()
        table = self._pane.table
        key = beside if beside is not None and table.rows.place(beside) >= 0 else table.first_key()
        if key is None or not self.show_key(key):
            self.show_nothing()

    def show_key(self, key: str) -> bool:
        """Show the page of a row. False if there is no such row."""
        for kind in self._kinds:
            if key.startswith(kind.prefix):
                kind.show(key[len(kind.prefix) :])
        return self.shown == (key,)

    def fetch_shown(self) -> None:
        """Request the task in view again."""
        if self._pages.shows_detail and self._pages.task_id is not None:
            self._controller.fetch(self._pages.task_id)

    def leave(self) -> None:
        """Esc: go back to the list. What was typed is kept."""
        if self._pages.shows_composer:
            self._show_former()
        elif self._pages.shows_several:
            # As in any list: Esc ends a selection of several.
            current = self._pane.table.current_key()
            self.show_key(current if current in self._several else self._several[0])
        # As by Shift+Tab: the list takes the focus and leaves the right side as it is.
        self._pane.table.setFocus(Qt.FocusReason.BacktabFocusReason)

    def _show_former(self) -> None:
        visible = [key for key in self._former if self._pane.table.rows.place(key) >= 0]
        if len(visible) > 1:
            self.show_several(visible)
        elif not self._former or not self.show_key((visible or self._former)[0]):
            self.show_nothing()
            # The composer was opened before anything else was: go on as at the start.
            self._resuming = not self._former and self._project is not None
            self._resume()

    def _connect_page(self, page: Composer | TaskPage | UnsentTask | SeveralTasks) -> None:
        page.left.connect(self.leave)

    def _turn_to(self, page: QWidget) -> None:
        self._pages.turn_to(page)
        self.sync()

    def sync(self) -> None:
        """Select in the list what the page shows."""
        shown = self.shown
        self._pane.table.show_selected(shown)
        if shown:
            self._beside = self._pane.table.neighbour(shown) or self._beside
            if not self._pages.shows_composer:
                self._former = shown

    def _rows_shown(self) -> None:
        if self._pages.shows_several:
            rows = self._pane.table.rows
            # What cannot be seen is not acted on.
            self._show_rest(tuple(key for key in self._several if rows.place(key) >= 0))
        self.sync()
        self._resume()

    def _show_rest(self, keys: tuple[str, ...]) -> None:
        """Some of several rows have left the list."""
        if keys == self._several:
            return
        if len(keys) > 1:
            self.show_several(keys)
        elif not keys or not self.show_key(keys[0]):
            self._several = ()
            self.show_current()

    def _scroll_to_shown(self) -> None:
        """Another list is shown: the row of what is open is looked for in it."""
        place = next((place for key in self.shown if (place := self._pane.table.rows.place(key)) >= 0), -1)
        if place >= 0:
            self._pane.table.scrollTo(self._pane.table.rows.index(place, 0))

    def _chosen(self, keys: tuple[str, ...]) -> None:
        """The person selected other rows. If these cannot be shown, the list selects what is shown again."""
        if len(keys) > 1:
            self.show_several(keys)
            self._navigator.announce(self._pages.several.title.text())
        elif keys and self.show_key(keys[0]):
            # Restarted by each row: whoever walks through the list requests only where they stop.
            self._fetch_soon.start()
        # Later: Qt is still changing the selection.
        self._sync_soon.start()

    def _opened(self, key: str) -> None:
        self.show_key(key)
        if self._pages.shows_detail:
            self._pages.focus_detail()
        elif self._pages.shows_unsent:
            self._pages.unsent.focus_first()
        elif self._pages.shows_composer:
            self._pages.composer.focus_first()

    def _stay(self) -> None:
        """The person stopped at a task."""
        self.fetch_shown()
        if self._pages.shows_detail and self._pages.task_id is not None:
            self._remember(self._pages.task_id)

    @property
    def _project(self) -> str | None:
        backend = self._backend
        if backend is None or backend.scope is None or backend.project is None:
            return None
        return f"{backend.scope.host}/{backend.scope.account}/{backend.project.id}"

    def _remember(self, task_id: str) -> None:
        if self._project is not None:
            self._preferences.set_last_task(self._project, task_id)

    def _resume(self) -> None:
        """Open the task that was last open, else the first of the list, once there is a page and a list."""
        if not self._resuming or not self._pages.has_detail or self._project is None:
            return
        load, last = self._controller.load, self._preferences.last_task(self._project)
        if last is not None and self._controller.cache.get(last) is not None:
            self.show_task(last)
            self._scroll_to_shown()
            self._fetch_soon.start()
        elif load.loaded and last is not None:
            # The list of a project has only its newest tasks.
            self.open_item(last)
        elif load.loaded or load.error is not None:
            self._resuming = False
            self._pane.show_now()
            first = self._pane.table.first_key()
            if first is not None and not self._pages.shows_composer and self.show_key(first):
                self._fetch_soon.start()

    def _fill_detail(self, task_id: str) -> None:
        task = self._controller.cache.get(task_id)
        if task is not None:
            embedded = self._backend is not None and self._backend.host.embedded
            pinned = self._controller.cache.is_pinned(task_id)
            runs = self._controller.runs.get(task_id)
            self._pages.detail.show_task(task, runs, pinned=pinned, embedded=embedded)

    def _fill_several(self) -> None:
        cache = self._controller.cache
        ids = [task_id for key in self._several if (task_id := task_id_of(key)) is not None]
        tasks = [task for task_id in ids if (task := cache.get(task_id)) is not None]
        unsent = len(self._several) - len(ids)
        self._pages.several.show_tasks(tasks, all_pinned=all(cache.is_pinned(task.id) for task in tasks), unsent=unsent)

    def _update(self) -> None:
        """The cache changed: update the page."""
        if self._wanted is not None and self._controller.cache.get(self._wanted) is not None:
            self._remember(self._wanted)
            self.show_task(self._wanted)
            self._scroll_to_shown()
        if self._pages.shows_several:
            self._fill_several()
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
            return
        shown = self._pages.shows_unsent
        self._pages.unsent.clear()
        if shown:
            self.show_nothing()

    def _forget_detail(self) -> None:
        shown = self._pages.shows_detail
        self._pages.detail.clear()
        if shown:
            self.show_nothing()

    def _gone(self, task_id: str) -> None:
        """The server does not have a task."""
        last = self._project is not None and self._preferences.last_task(self._project) == task_id
        if last and self._project is not None:
            # Said once, not at each start.
            self._preferences.set_last_task(self._project, None)
        if self._wanted == task_id:
            self._wanted = None
            if last:
                words = self.tr("The task that was open last is no longer on the server.")
                self._show_missing(self.tr("This task was deleted"), words)
            else:
                words = self.tr("It may have been deleted, or it belongs to another project.")
                self._show_missing(self.tr("Task not found"), words)
        elif self._pages.task_id == task_id:
            shown, title = self._pages.shows_detail, self._pages.detail.title.text()
            self._pages.detail.clear()
            if shown:
                words = self.tr("“{0}” is no longer on the server.").format(title)
                self._show_missing(self.tr("This task was deleted"), words)
            self._navigator.announce(self.tr("The task was deleted elsewhere"))

    def _show_missing(self, title: str, words: str) -> None:
        """Say why the task that was asked for is not shown, and how to go on."""
        actions = [(self.tr("Show the next task"), self.show_current)] if self._pane.table.first_key() else []
        self.show_notice(title, words, [*actions, (self.tr("New task"), self.new_task)], glyph="question")

    def _show_failure(self, failure: FailedAction) -> None:
        """Explain a failure on the page of its task, or above the list while something else is in view."""
        self._pane.show_now()
        self._navigator.announce(f"{failure.words}. {failure.error.cause}")
        if self._pages.shows_detail and self._pages.task_id == failure.task_id:
            self._pages.detail.show_failure(failure)
            return
        self._failures[failure.task_id] = failure
        if self.shown or self._pages.shows_composer or self._controller.cache.get(failure.task_id) is None:
            self._navigator.status(failure.words)
            self._pane.failures.add(failure)
        else:
            self.show_task(failure.task_id)
