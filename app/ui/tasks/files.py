"""The files that wait on this computer for a run of their task."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from app.core.storage.attachments import FIELD, decode, encode
from app.ui.bridge import Generation

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.backend import Backend
    from app.core.errors import BurrowError
    from app.core.posthog.run_files import RunFile
    from app.core.services import Services
    from app.core.storage import Draft, Scope
    from app.core.storage.attachments import Attachment
    from app.core.storage.drafts import Drafts
    from app.ui.bridge import Bridge

KIND = "task.files"


class TaskFiles(QObject):
    """The files of the tasks of one project of one account. `changed(task_id)`, `trouble(BurrowError)`."""

    changed = Signal(str)
    trouble = Signal(object)

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._storage, self._bridge = services.storage, bridge
        self._generation = Generation(bridge, self)
        self._scope: Scope | None = None
        self._project: int | None = None
        self._files: dict[str, tuple[Attachment, ...]] = {}
        self._sent: set[str] = set()
        # Once in a process.
        self._cleaned = False

    def start(self, backend: Backend | None) -> None:
        """Another account or project: load what waits for it."""
        self._generation.renew()
        self._files.clear()
        self._scope = backend.scope if backend is not None else None
        self._project = backend.project.id if backend is not None and backend.project is not None else None
        self.refresh()
        if self._scope is not None and not self._cleaned:
            self._cleaned = True
            self._bridge.spawn(self, self._storage.delete_unnamed_attachments(), failed=_ignore)

    def refresh(self) -> None:
        """Read again what is stored; another window may have kept or sent files."""
        if self._scope is not None and self._project is not None:
            work = self._storage.drafts.list(self._scope, KIND)
            self._generation.spawn(work, done=self._loaded, failed=self.trouble.emit, key="list")

    def get(self, task_id: str) -> tuple[Attachment, ...]:
        """The files of a task."""
        return self._files.get(task_id, ())

    def forget_those(self, gone: Callable[[str], bool]) -> None:
        """Forget the files of tasks that are gone."""
        for task_id, files in list(self._files.items()):
            if files and gone(task_id):
                self._set(task_id, ())

    def remove(self, task_id: str, file: Attachment) -> None:
        """Take a file away from a task."""
        self._set(task_id, tuple(each for each in self.get(task_id) if each != file))

    async def for_run(self, task_id: str) -> list[RunFile]:
        """The files to start a run with, as they are stored now. Raises `StorageTrouble`."""
        scope = self._scope
        if scope is None:
            return []
        files = self._of(await self._storage.drafts.list(scope, KIND)).get(task_id, ())
        if not files:
            return []
        # It is not needed before the first paint.
        from app.core.posthog.run_files import RunFile

        self._sent.add(task_id)
        read = self._storage.attachments.read
        return [RunFile(each.name, each.type, each.size, partial(read, each), each.digest) for each in files]

    def forget(self, task_id: str) -> None:
        """A run was started with what `for_run` gave."""
        if task_id in self._sent:
            self._sent.discard(task_id)
            self._set(task_id, ())

    def _set(self, task_id: str, files: tuple[Attachment, ...]) -> None:
        if self._scope is None or self._project is None:
            return
        self._files[task_id] = files
        self.changed.emit(task_id)
        work = keep(self._storage.drafts, self._scope, self._project, task_id, encode(files))
        # Not in the generation: what the user took away goes, even if the account changes now.
        self._bridge.spawn(self, work, failed=self.trouble.emit)

    def _loaded(self, drafts: tuple[Draft, ...]) -> None:
        found = self._of(drafts)
        before, self._files = self._files, found
        for task_id in before.keys() | found.keys():
            if before.get(task_id, ()) != found.get(task_id, ()):
                self.changed.emit(task_id)

    def _of(self, drafts: tuple[Draft, ...]) -> dict[str, tuple[Attachment, ...]]:
        found: dict[str, tuple[Attachment, ...]] = {}
        # The last saved first.
        for draft in drafts:
            project, _, task_id = draft.id.partition("/")
            if project == str(self._project) and task_id not in found:
                found[task_id] = decode(draft.fields.get(FIELD))
        return found


async def keep(drafts: Drafts, scope: Scope, project: int, task_id: str, text: str) -> None:
    """Store the files of a task, as `encode` writes them; empty for none. Raises `StorageTrouble`."""
    name = f"{project}/{task_id}"
    # Held for this moment only: every window may show and send them.
    await drafts.load(scope, KIND, name)
    if text:
        await drafts.save(scope, KIND, name, {FIELD: text})
    else:
        await drafts.discard(scope, KIND, name)
    await drafts.release(scope, KIND, name)


def _ignore(_error: BurrowError) -> None:
    """The next start deletes them."""
