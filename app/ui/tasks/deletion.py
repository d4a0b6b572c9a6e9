"""Deletion with undo: the task is hidden at once, and the deletion is sent when the time to undo is over.

Between the two the intent is in the outbox, claimed by this process. If the process ends there, the next start sends
the deletion (`_resume`); one that ends before the intent was written has sent nothing, and the task is still there. The
intent leaves the outbox once the server has answered, or when the deletion is undone.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from app.core.errors import NotFound
from app.ui.bridge import Generation

if TYPE_CHECKING:
    import asyncio

    from app.core.backend import Backend
    from app.core.errors import BurrowError
    from app.core.services import Services
    from app.core.storage import OutboxItem, Scope
    from app.ui.bridge import Bridge, Job
    from app.ui.tasks.cache import PendingEdit, TaskCache

KIND = "task.delete"

logger = logging.getLogger(__name__)


# The fetcher lets six requests to a host through at a time. The rest is for what the person looks at meanwhile.
MOST_AT_ONCE = 4


class TaskDeleter(QObject):
    """Hides tasks, and deletes them when it is told that the time to undo is over.

    `changed` when the cache changed, `failed(task_id, BurrowError)` when the server refused and the task is shown
    again.
    """

    changed = Signal()
    failed = Signal(str, object)

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self._bridge = bridge
        self._generation = Generation(bridge, self)
        self._backend: Backend | None = None
        self._scope: Scope | None = None
        self._cache: TaskCache | None = None
        # Hidden, and not sent yet.
        self._open: list[PendingEdit] = []
        self._gate: asyncio.Semaphore | None = None
        # The number of an edit to the id of its intent in the outbox.
        self._item_ids: dict[int, str] = {}
        self._jobs: list[Job] = []

    def start(self, backend: Backend | None, cache: TaskCache) -> None:
        """Another account or project: send the deletions of an earlier start that belong to it."""
        # What is cancelled here is not lost: its intent is sent when this account is shown again. If the server has
        # deleted the task by then, it answers that it does not exist, which is what was wanted.
        self._generation.renew()
        self._backend, self._cache = backend, cache
        self._scope = backend.scope if backend is not None else None
        self._item_ids.clear()
        self._jobs.clear()
        self._open.clear()
        if backend is not None and backend.scope is not None and backend.project is not None:
            read = self._read(backend.scope, backend.project.id)
            self._generation.spawn(read, done=self._resume, failed=_not_stored)

    def delete(self, task_id: str) -> PendingEdit | None:
        """Hide a task until `undo` or `commit`. None if it is not known."""
        backend, cache = self._backend, self._cache
        if backend is None or backend.project is None or cache is None or cache.get(task_id) is None:
            return None
        edit = cache.edit(task_id, hidden=True)
        self._open.append(edit)
        if backend.scope is not None:
            payload = {"id": task_id, "project": backend.project.id}
            self._generation.spawn(
                self._services.storage.outbox.add(backend.scope, KIND, payload, claim=True),
                done=lambda item: self._stored(edit, item),
                failed=_not_stored,
            )
        self.changed.emit()
        return edit

    def undo(self, edit: PendingEdit) -> None:
        """Show the task again. Nothing was sent."""
        if edit not in self._open or self._cache is None:
            return
        self._open.remove(edit)
        self._cache.roll_back(edit)
        self._forget(edit)
        self.changed.emit()

    def commit(self, edit: PendingEdit) -> None:
        """Send a deletion that could still be undone."""
        if edit in self._open:
            self._open.remove(edit)
            self._send(edit)

    async def flush(self) -> None:
        """Send every deletion and wait for the answers; awaited before the app ends."""
        for edit in tuple(self._open):
            self.commit(edit)
        for job in tuple(self._jobs):
            await job.wait()

    def _send(self, edit: PendingEdit) -> None:
        backend = self._backend
        if backend is None:
            return
        self._jobs = [job for job in self._jobs if not job.done]
        self._jobs.append(
            self._generation.spawn(
                self._delete(backend, self._scope, edit.task),
                done=lambda _: self._deleted(edit),
                failed=lambda error: self._refused(edit, error),
            )
        )

    async def _delete(self, backend: Backend, scope: Scope | None, task_id: str) -> None:
        import asyncio

        self._gate = self._gate or asyncio.Semaphore(MOST_AT_ONCE)
        async with self._gate:
            # Another process can sign in to another account at any time: this deletion is not for that one.
            await backend.tasks.delete(task_id, admission=await backend.admit(scope))

    def _deleted(self, edit: PendingEdit) -> None:
        if self._cache is not None:
            self._cache.settle(edit)
        self._forget(edit)
        self.changed.emit()

    def _refused(self, edit: PendingEdit, error: BurrowError) -> None:
        if isinstance(error, NotFound):
            self._deleted(edit)
            return
        if self._cache is not None:
            self._cache.roll_back(edit)
        self._forget(edit)
        self.changed.emit()
        self.failed.emit(edit.task, error)

    def _stored(self, edit: PendingEdit, item: OutboxItem) -> None:
        """The intent is written. If the deletion was undone or answered meanwhile, it is removed again."""
        if self._cache is not None and self._cache.is_hidden(edit.task):
            self._item_ids[edit.number] = item.id
        else:
            self._remove(item.id)

    def _forget(self, edit: PendingEdit) -> None:
        item_id = self._item_ids.pop(edit.number, None)
        if item_id is not None:
            self._remove(item_id)

    def _remove(self, item_id: str) -> None:
        self._bridge.spawn(self, self._services.storage.outbox.remove(item_id), failed=_not_stored)

    async def _read(self, scope: Scope, project: int) -> list[OutboxItem]:
        """The deletions of a project that no other process is about to send, claimed."""
        outbox = self._services.storage.outbox
        stored = [item for item in await outbox.list(scope) if item.kind == KIND]
        due = [item for item in stored if item.payload.get("project") == project]
        return [item for item in due if await outbox.claim(item.id) is not None]

    def _resume(self, items: list[OutboxItem]) -> None:
        backend, cache = self._backend, self._cache
        if backend is None or cache is None:
            return
        for item in items:
            task_id = item.payload.get("id")
            if not isinstance(task_id, str) or item.id in self._item_ids.values():
                continue
            edit = cache.edit(task_id, hidden=True)
            self._item_ids[edit.number] = item.id
            self._send(edit)
        self.changed.emit()


def _not_stored(error: BurrowError) -> None:
    """Only logged: the deletion goes on, and is lost only if the process ends before it is sent."""
    logger.error("The outbox could not be used", exc_info=error)
