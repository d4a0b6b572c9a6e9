"""RunWatch: which runs are followed although nobody looks at them.

They are the user's own that are under way, the newest first, and those for which messages wait. The pool has room for
nine; of a run beyond them only its status is known, from the list, which is asked for now and then also while nobody
looks at it. Whether an agent asks stands in its log only, as the last words of it, and neither the filter nor the pages
of `session_logs/` give those without reading the whole log.
"""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from app.ui.bridge import Generation
from app.ui.tasks.run_pool import MOST, WantedRun
from app.ui.tasks.wording import aware

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.backend import Backend
    from app.core.errors import BurrowError
    from app.core.posthog.types import Task, TaskRun, User
    from app.core.services import Services
    from app.ui.bridge import Bridge
    from app.ui.tasks.controller import TaskController
    from app.ui.tasks.local_list import LocalRunList
    from app.ui.tasks.run_pool import RunPool

# However often the list changes.
LOOK_AFTER_MS = 100
# A list that is older than this is asked for again, in seconds, and how often that is looked at.
OLD_SECONDS, OLD_LOOK_MS = 300.0, 60_000
UNDER_WAY = frozenset({"queued", "in_progress", "starting"})
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class RunWatch(QObject):
    """Tells the pool what to follow whenever the list of tasks has changed, once the server has sent it.

    `ended(task_id, status)`: a run that there was no room for has ended.
    """

    ended = Signal(str, str)

    def __init__(
        self, services: Services, bridge: Bridge, controller: TaskController, local: LocalRunList, pool: RunPool
    ) -> None:
        super().__init__(pool)
        self._services, self._controller, self._local, self._pool = services, controller, local, pool
        self._generation = Generation(bridge, self)
        # The tasks for which messages wait, and those of them that this project does not have.
        self._talks: frozenset[str] = frozenset()
        self._absent: set[str] = set()
        self._imported = False
        # By task: its run, where that is under way and not followed.
        self._beyond: dict[str, str] = {}
        self._listed_at = monotonic()
        self._old = QTimer(self, interval=OLD_LOOK_MS)
        self._old.timeout.connect(self._ask_again)
        self._old.start()
        self._look_soon = QTimer(self, singleShot=True, interval=LOOK_AFTER_MS)
        self._look_soon.timeout.connect(self._look)
        controller.changed.connect(self._look_later)
        controller.reached.connect(self._read)
        local.changed.connect(lambda _task_id: self._look_later())
        pool.ended.connect(lambda task_id, _status: self._beyond.pop(task_id, None))

    def start(self) -> None:
        """Another account or project."""
        self._generation.renew()
        self._look_soon.stop()
        self._talks = frozenset()
        self._absent.clear()
        self._beyond.clear()
        self._listed_at = monotonic()

    def _look_later(self) -> None:
        if not self._look_soon.isActive():
            self._look_soon.start()

    def _read(self) -> None:
        """The list has arrived. Look in the storage for messages that wait, perhaps since the last start."""
        self._listed_at = monotonic()
        backend = self._controller.backend
        if backend is not None and backend.scope is not None:
            work = self._services.storage.follow_ups.tasks(backend.scope)
            self._generation.spawn(work, done=self._know, failed=_ignore, key="messages")

    def _ask_again(self) -> None:
        """While the window is out of view, nobody else asks for the list."""
        if self._controller.backend is not None and monotonic() - self._listed_at >= OLD_SECONDS:
            # Not more often where the server does not answer.
            self._listed_at = monotonic()
            self._controller.refresh()

    def _know(self, tasks: frozenset[str]) -> None:
        self._talks = tasks
        backend = self._controller.backend
        if backend is not None:
            missing = [each for each in sorted(tasks - self._absent) if self._controller.cache.get(each) is None]
            for task_id in missing[:MOST]:
                # It is beyond the part of the list that is loaded, or of another project.
                self._absent.add(task_id)
                self._generation.spawn(backend.tasks.get(task_id), done=self._found, failed=_ignore)
        self._look_later()

    def _found(self, task: Task) -> None:
        self._controller.cache.know(task)
        self._controller.changed.emit()

    def _look(self) -> None:
        backend = self._controller.backend
        if backend is None or backend.scope is None or not self._controller.load.loaded:
            return
        wanted = self._wanted(backend)
        self._tell_ended()
        under_way = [each for each in wanted if not each.run.finished]
        self._beyond = {each.task.id: each.run.id for each in under_way if not self._pool.has(each.run.id)}
        if self._imported or not wanted:
            self._pool.follow(wanted)
        else:
            # Nobody waits for it, so it need not hold the window for 60 ms.
            import asyncio

            self._generation.spawn(asyncio.to_thread(_import), done=self._go_on, key="import")

    def _tell_ended(self) -> None:
        for task_id, run_id in self._beyond.items():
            task = self._controller.cache.get(task_id)
            run = task.latest_run if task is not None else None
            if run is not None and run.id == run_id and run.finished and not self._pool.has(run_id):
                self.ended.emit(task_id, run.status)

    def _go_on(self, _none: None) -> None:
        self._imported = True
        self._look()

    def _wanted(self, backend: Backend) -> Sequence[WantedRun]:
        found = [each for task in self._controller.cache.all() if (each := self._wish(task, backend.account))]
        return sorted(found, key=lambda each: (each.talks, _made(each.run)), reverse=True)

    def _wish(self, task: Task, me: User | None) -> WantedRun | None:
        if task.latest_run is None or not task.latest_run.id:
            return None
        run = self._local.with_local(task.id, (task.latest_run,))[0]
        here = self._local.runs is not None and self._local.runs.has(run.id)
        if run.environment == "local" and not here:
            # Another machine carries it out, and only there it can be answered.
            return None
        talks = task.id in self._talks
        if task.archived or not (talks or (run.status in UNDER_WAY and _is_mine(task, me))):
            # What was put away goes on only when it is opened.
            return None
        return WantedRun(task, run, talks)


def _import() -> None:
    """Load what a conversation needs. No widgets: those are defined on Qt's thread."""
    import app.core.runs.conversations  # noqa: F401


def _is_mine(task: Task, me: User | None) -> bool:
    """Whether nobody else is known to have made a task: the runs of others can be read only."""
    by = task.created_by
    if by is None or me is None:
        return by is None
    return by.account_key == me.account_key or (by.id is not None and by.id == me.id)


def _made(run: TaskRun) -> datetime:
    return aware(run.created_at) if run.created_at is not None else LONG_AGO


def _ignore(_error: BurrowError) -> None:
    """The list says what is wrong with the server, and the conversation what is wrong with the disk."""
