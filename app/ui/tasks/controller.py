"""Loads tasks and changes them: a change is shown at once, then confirmed by the server or rolled back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from PySide6.QtCore import QObject, QTimer, Signal

from app.core.errors import NotFound, OutcomeUnknown
from app.core.posthog.run_options import RunOptions
from app.core.posthog.task_fields import cleaned, texts_of
from app.core.posthog.types import Page, Task, TaskQuery, TaskRun
from app.ui.bridge import Generation
from app.ui.tasks import undoing
from app.ui.tasks.cache import TaskCache
from app.ui.tasks.deletion import TaskDeleter
from app.ui.tasks.outbox import may_have_arrived
from app.ui.tasks.turns import Turns
from app.ui.tasks.wording import title_of
from app.ui.widgets.undo import Undoable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from app.core.backend import Backend
    from app.core.errors import BurrowError
    from app.core.events import Event
    from app.core.posthog.run_files import RunFile
    from app.core.services import Services
    from app.ui.bridge import Bridge
    from app.ui.tasks.cache import PendingEdit
    from app.ui.widgets.undo import UndoKind

T = TypeVar("T")
PAGE = 50
SEARCH_DELAY_MS = 250
# Each pinned task that no page has costs a request.
PINS_FETCHED = 20


@dataclass(frozen=True)
class LoadState:
    """The state of loading. `stored_at` (unix seconds) is set while a list saved earlier is shown."""

    busy: bool = False
    more_busy: bool = False
    error: BurrowError | None = None
    stored_at: float | None = None
    loaded: bool = False


@dataclass(frozen=True)
class FailedAction:
    """An action that was rolled back. `again` repeats it; `text` is what the user had typed, if anything.

    `options` are those of a run that was not started.
    """

    task_id: str
    words: str
    error: BurrowError
    again: Callable[[], None]
    text: str = ""
    options: RunOptions | None = None


class TaskController(QObject):
    """The tasks of one project of one account.

    `changed` when the cache changed, `undoable(Undoable)` when something was done that can be undone,
    `not_undoable(Undoable)` when it did not take effect, `edited(task_id)` when the server has taken a text,
    `run_started(task_id)`, and with it `ran_with(repository, RunOptions)`,
    `load_changed` when `load` did, `saved_shown` once the list of the last start is shown, `failed(FailedAction)` when
    an action was rolled back, `runs_changed(task_id)`, `gone(task_id)` when the server no longer has a task,
    `repositories_changed`, `reached` when the server answered.
    """

    changed = Signal()
    undoable = Signal(object)
    not_undoable = Signal(object)
    edited = Signal(str)
    run_started = Signal(str)
    ran_with = Signal(str, object)
    saved_shown = Signal()
    load_changed = Signal()
    failed = Signal(object)
    runs_changed = Signal(str)
    gone = Signal(str)
    repositories_changed = Signal()
    reached = Signal()

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self._bridge = bridge
        self._generation = Generation(bridge, self)
        self._backend: Backend | None = None
        # The files that a run of a task is started with.
        self.files_of: Callable[[str], Awaitable[Sequence[RunFile]]] = _no_files
        # What a run of a repository is started with where nothing else was chosen.
        self.options_of: Callable[[str | None], RunOptions] = _usual_options
        self.connected_to: Backend | None = None
        self.cache = TaskCache()
        self.query = TaskQuery()
        self.load = LoadState()
        self.runs: dict[str, Page[TaskRun]] = {}
        self.repositories: tuple[str, ...] = ()
        self._turns = Turns()
        self.deleter = TaskDeleter(services, bridge, self._turns, self)
        self.deleter.changed.connect(self.changed)
        self.deleter.failed.connect(self._not_deleted)
        self._search_soon = QTimer(self, singleShot=True, interval=SEARCH_DELAY_MS)
        self._search_soon.timeout.connect(self.refresh)

    @property
    def backend(self) -> Backend | None:
        """The backend once its project is known. `connected_to` is the backend before that, too."""
        return self._backend

    def start(self, backend: Backend | None) -> None:
        """Drop everything of the former account, then show the saved list and load a fresh one."""
        self._generation.renew()
        self._search_soon.stop()
        self._turns.clear()
        self.connected_to = backend
        self._backend = backend if backend is not None and backend.project is not None else None
        self.cache.clear()
        self.runs.clear()
        self.repositories = ()
        self.query = TaskQuery(ordering=self.query.ordering)
        self.deleter.start(self._backend, self.cache)
        self.load = LoadState(busy=self._backend is not None)
        self.load_changed.emit()
        self.changed.emit()
        if self._backend is not None:
            self.spawn(self._read_cache(self._backend), self._show_stored, _ignore, key="cache")
            self.refresh()

    def set_query(
        self, *, search: str | None = None, archived: bool | None = None, ordering: str | None = None
    ) -> None:
        """Show another list: at once from what is loaded, then from the server when typing has paused."""
        query = self.query
        if search is not None:
            query = msgspec.structs.replace(query, search=" ".join(search.split()))
        if archived is not None:
            query = msgspec.structs.replace(query, archived=archived)
        if ordering is not None:
            query = msgspec.structs.replace(query, ordering=ordering)
        if query == self.query:
            return
        searched = query.search != self.query.search
        self.query = query
        self.cache.forget_searches(query)
        # It would be the next page of a list that is not shown any more.
        self._generation.cancel("more")
        self._set_load(busy=self._backend is not None, more_busy=False, error=None)
        self.changed.emit()
        if searched and query.search:
            # Its answer would end `busy` although the one for this text has not even been asked for.
            self._generation.cancel("list")
            self._search_soon.start()
        else:
            self._search_soon.stop()
            self.refresh()

    def refresh(self) -> None:
        """Request the list again. What is shown stays until the answer arrives."""
        backend = self._backend
        if backend is None:
            return
        self._search_soon.stop()
        self._set_load(busy=True)
        mark, query = self.cache.begin(), self.query
        self.spawn(
            backend.tasks.list(query, limit=PAGE),
            lambda page: self._listed(query, page, mark),
            self._list_failed,
            key="list",
        )
        self.spawn(backend.tasks.pinned(), lambda pins: self._pinned(pins, mark), _ignore, key="pins")

    def load_more(self) -> None:
        """Request the next page, if there is one and none was requested yet."""
        backend, query = self._backend, self.query
        listing = self.cache.listing(query)
        if backend is None or listing is None or listing.next is None or self.load.more_busy:
            return
        self._set_load(more_busy=True, error=None)
        self.changed.emit()
        mark = self.cache.begin()
        self.spawn(
            backend.tasks.more(listing.next),
            lambda page: self._more(query, page, mark),
            self._more_failed,
            key="more",
        )

    def fetch(self, task_id: str) -> None:
        """Request a task and its runs again, for the page that shows it."""
        backend = self._backend
        if backend is None:
            return
        failed, key = (lambda error: self._fetch_failed(task_id, error)), f"task {task_id}"
        self.spawn(backend.tasks.get(task_id), self._fetched, failed, key=key)
        self.spawn(backend.tasks.runs(task_id), lambda page: self._ran(task_id, page), _ignore, key=f"runs {task_id}")

    def fetch_repositories(self) -> None:
        """Request the repositories that tasks name, for the composer."""
        if self._backend is not None:
            self.spawn(self._backend.tasks.repositories(), self._know_repositories, _ignore, key="repositories")

    def rename(self, task_id: str, title: str) -> None:
        self.edit(task_id, {"title": title})

    def edit(self, task_id: str, texts: Mapping[str, str], since: Mapping[str, str] | None = None) -> None:
        """Change what is written in a task; `edited(task_id)` once the server has it. `since`: see `Tasks.edit`."""
        task = self.cache.get(task_id)
        if task is not None:
            former = {name: text for name, text in texts_of(task).items() if name in texts}
            kind = undoing.renamed() if set(texts) == {"title"} else undoing.edited()
            done = self._offer_undo(kind, task_id, title_of(task), lambda: self._edit(task_id, former))
            self._edit(task_id, texts, since, done)

    def _edit(
        self,
        task_id: str,
        texts: Mapping[str, str],
        since: Mapping[str, str] | None = None,
        undoable: Undoable | None = None,
    ) -> None:
        backend = self._backend
        if backend is None:
            return
        sent = {name: text for name, text in cleaned(texts).items() if name in texts}
        title = sent.get("title")
        if title is not None and len(sent) == 1:
            self._act(
                self.cache.edit(task_id, title=title, title_manually_set=True),
                lambda: backend.tasks.rename(task_id, title),
                self.tr("Not renamed"),
                lambda: self.rename(task_id, title),
                text=title,
                done=self.edited.emit,
                undoable=undoable,
            )
            return
        shown: dict[str, Any] = {**sent} if title is None else {**sent, "title_manually_set": True}
        self._act(
            self.cache.edit(task_id, **shown),
            lambda: backend.tasks.edit(task_id, since=since, **texts),
            self.tr("Not saved"),
            lambda: self.edit(task_id, texts),
            text="\n".join(texts.values()),
            done=self.edited.emit,
            undoable=undoable,
        )

    def pin(self, task_id: str, pinned: bool) -> None:
        self._pin(task_id, pinned, self._offer_undo_of(undoing.pinned(pinned), task_id, self._pin, not pinned))

    def _pin(self, task_id: str, pinned: bool, undoable: Undoable | None = None) -> None:
        if (backend := self._backend) is not None:
            self._act(
                self.cache.edit(task_id, pinned=pinned),
                lambda: backend.tasks.pin(task_id, pinned),
                self.tr("Not pinned") if pinned else self.tr("Not unpinned"),
                lambda: self.pin(task_id, pinned),
                undoable=undoable,
            )

    def archive(self, task_id: str, archived: bool) -> None:
        undoable = self._offer_undo_of(undoing.archived(archived), task_id, self._archive, not archived)
        self._archive(task_id, archived, undoable)

    def _archive(self, task_id: str, archived: bool, undoable: Undoable | None = None) -> None:
        if (backend := self._backend) is not None:
            self._act(
                self.cache.edit(task_id, archived=archived),
                lambda: backend.tasks.archive(task_id, archived),
                self.tr("Not archived") if archived else self.tr("Not unarchived"),
                lambda: self.archive(task_id, archived),
                undoable=undoable,
            )

    def run(self, task_id: str, options: RunOptions | None = None) -> None:
        """Start a run, with what the last run of the repository was started with if nothing else is given."""
        backend, task = self._backend, self.cache.get(task_id)
        if backend is None:
            return
        repository = task.repository if task is not None else None
        chosen = self.options_of(repository) if options is None else options

        def started(task_id: str) -> None:
            self.run_started.emit(task_id)
            self.ran_with.emit(repository or "", chosen)
            self.fetch(task_id)

        self._act(
            # Without an id: it stands for the run that the server is about to make.
            self.cache.edit(task_id, latest_run=TaskRun("", status="queued", task=task_id)),
            lambda: self._start_run(backend, task_id, task, chosen),
            self.tr("Run not started"),
            lambda: self.run(task_id, chosen),
            done=started,
            options=chosen,
        )

    async def _start_run(self, backend: Backend, task_id: str, task: Task | None, options: RunOptions) -> Task:
        files = await self.files_of(task_id)
        return await backend.run_start.start(task or await backend.tasks.get(task_id), options, files)

    def cancel_run(self, task_id: str) -> None:
        """Cancel the latest run."""
        backend, task = self._backend, self.cache.get(task_id)
        run = task.latest_run if task is not None else None
        if backend is not None and run is not None and run.id:
            run_id = run.id
            self._act(
                self.cache.edit(task_id, latest_run=msgspec.structs.replace(run, status="cancelled")),
                lambda: backend.tasks.cancel(task_id, run_id),
                self.tr("Run not cancelled"),
                lambda: self.cancel_run(task_id),
                done=self.fetch,
            )

    def delete(self, task_id: str) -> None:
        """Hide a task at once. The deletion is sent when the time to undo is over."""
        task, edit = self.cache.get(task_id), self.deleter.delete(task_id)
        if task is not None and edit is not None:
            undo, settle = (lambda: self.deleter.undo(edit)), (lambda: self.deleter.commit(edit))
            self._offer_undo(undoing.deleted(), task_id, title_of(task), undo, settle)

    def put(self, task: Task) -> None:
        """Add a task that the server has just created."""
        self.cache.put(task)
        self.changed.emit()
        self._write_cache()

    def _act(
        self,
        edit: PendingEdit,
        call: Callable[[], Coroutine[Any, Any, Task | None]],
        words: str,
        again: Callable[[], None],
        *,
        text: str = "",
        done: Callable[[str], None] | None = None,
        undoable: Undoable | None = None,
        options: RunOptions | None = None,
    ) -> None:
        """Show `edit` until the server has answered `call`, then settle it; or roll it back and emit `failed`."""
        self.changed.emit()

        def settled(task: Task | None) -> None:
            self.cache.settle(edit, task)
            self.changed.emit()
            self._write_cache()
            if done is not None:
                done(edit.task)

        def rolled_back(error: BurrowError) -> None:
            self.cache.roll_back(edit)
            if undoable is not None:
                self.not_undoable.emit(undoable)
            self.changed.emit()
            unknown = may_have_arrived(error)
            if unknown:
                # It may have taken effect. What the server has now is shown, and nothing is repeated unasked.
                self.fetch(edit.task)
            said = OutcomeUnknown.title if unknown else words
            self.failed.emit(FailedAction(edit.task, said, error, again, text, options))

        self.spawn(self._turns.send(edit.task, call), settled, rolled_back)

    def _offer_undo(
        self,
        kind: UndoKind,
        task_id: str,
        name: str,
        undo: Callable[[], None],
        settle: Callable[[], None] | None = None,
    ) -> Undoable:
        made = Undoable(kind, {task_id: name}, undo, settle)
        self.undoable.emit(made)
        return made

    def _offer_undo_of(
        self, kind: UndoKind, task_id: str, change: Callable[[str, bool], None], former: bool
    ) -> Undoable | None:
        """Offer to undo a change of a task that is either so or not."""
        task = self.cache.get(task_id)
        return (
            None if task is None else self._offer_undo(kind, task_id, title_of(task), lambda: change(task_id, former))
        )

    def _not_deleted(self, task_id: str, error: BurrowError) -> None:
        self.failed.emit(FailedAction(task_id, self.tr("Not deleted"), error, lambda: self.delete(task_id)))

    def _listed(self, query: TaskQuery, page: Page[Task], mark: int) -> None:
        self.cache.load(query, page, mark)
        self._set_load(busy=False, error=None, stored_at=None, loaded=True)
        self.changed.emit()
        self.reached.emit()
        if not query.search and not query.archived:
            self._write_cache()

    def _list_failed(self, error: BurrowError) -> None:
        self._set_load(busy=False, error=error)
        self.changed.emit()

    def _more(self, query: TaskQuery, page: Page[Task], mark: int) -> None:
        self.cache.append(query, page, mark)
        self._set_load(more_busy=False)
        self.changed.emit()

    def _more_failed(self, error: BurrowError) -> None:
        self._set_load(more_busy=False, error=error)
        self.changed.emit()

    def _pinned(self, pins: frozenset[str], mark: int) -> None:
        self.cache.set_pins(pins, mark)
        self.changed.emit()
        backend = self._backend
        # Before the list has arrived every pin is missing, and most of them are in the list.
        missing = self.cache.missing_pins()[:PINS_FETCHED] if self.load.loaded else []
        if backend is not None and missing:
            self.spawn(self._get_each(backend, missing), self._take_pinned, _ignore, key="missing pins")

    async def _get_each(self, backend: Backend, ids: list[str]) -> list[Task]:
        found = []
        for task_id in ids:
            try:
                found.append(await backend.tasks.get(task_id))
            # A pin outlives its task.
            except NotFound:
                continue
        return found

    def _take_pinned(self, tasks: list[Task]) -> None:
        for task in tasks:
            self.cache.know(task)
        self.changed.emit()

    def know_run(self, task_id: str, run: TaskRun) -> None:
        """An open conversation knows its run better than the list does."""
        if self.cache.know_run(task_id, run):
            self.changed.emit()

    def _fetched(self, task: Task) -> None:
        self.cache.know(task)
        self.changed.emit()

    def _fetch_failed(self, task_id: str, error: BurrowError) -> None:
        """A task that is gone leaves the cache. Any other failure leaves what is shown."""
        if isinstance(error, NotFound):
            self.cache.remove(task_id)
            self.changed.emit()
            self.gone.emit(task_id)

    def _ran(self, task_id: str, page: Page[TaskRun]) -> None:
        self.runs[task_id] = page
        self.runs_changed.emit(task_id)

    def _know_repositories(self, names: tuple[str, ...]) -> None:
        self.repositories = names
        self.repositories_changed.emit()

    def _set_load(self, **changes: Any) -> None:
        changed = replace(self.load, **changes)
        if changed != self.load:
            self.load = changed
            self.load_changed.emit()

    def spawn(
        self,
        coroutine: Coroutine[Any, Any, Any],
        done: Callable[[Any], None],
        failed: Callable[[BurrowError], None],
        key: str | None = None,
    ) -> None:
        """Run a coroutine for as long as this account and project are shown."""
        self._generation.spawn(coroutine, done=done, failed=failed, key=key)

    def listen(self, event: Event[T], slot: Callable[[T], object]) -> None:
        """Call `slot` with every value of `event` for as long as this account and project are shown."""
        self._generation.listen(event, slot)

    async def _read_cache(self, backend: Backend) -> tuple[Page[Task], frozenset[str], float] | None:
        if backend.scope is None or backend.project is None:
            return None
        cached = await self._services.storage.cache.get(backend.scope, cache_name(backend))
        if cached is None:
            return None
        import app.ui.tasks.stored as stored

        found = stored.decode(cached.payload)
        return None if found is None else (*found, cached.stored_at)

    def _show_stored(self, found: tuple[Page[Task], frozenset[str], float] | None) -> None:
        # In the next turn: this one builds the rows.
        QTimer.singleShot(0, self.saved_shown.emit)
        # The server may have been faster than the disk.
        if found is None or self.load.loaded:
            return
        page, pins, stored_at = found
        mark = self.cache.begin()
        # It may have been saved in another order than that shown now: then `visible` shows it as loaded tasks.
        self.cache.load(TaskQuery(), page, mark)
        self.cache.set_pins(pins, mark)
        self._set_load(stored_at=stored_at)
        self.changed.emit()

    def _write_cache(self) -> None:
        backend = self._backend
        listing = self.cache.listing(msgspec.structs.replace(self.query, search="", archived=False))
        if backend is None or backend.scope is None or listing is None:
            return
        import app.ui.tasks.stored as stored

        payload = stored.encode(self.cache, msgspec.structs.replace(self.query, search="", archived=False))
        put = self._services.storage.cache.put(backend.scope, cache_name(backend), payload)
        self.spawn(put, _ignore, _ignore, key="write cache")


def cache_name(backend: Backend) -> str:
    return f"tasks.{backend.project.id}" if backend.project is not None else "tasks"


def _ignore(_: object) -> None:
    """For results and errors that nothing depends on."""


async def _no_files(_task_id: str) -> Sequence[RunFile]:
    return ()


def _usual_options(_repository: str | None) -> RunOptions:
    return RunOptions()
