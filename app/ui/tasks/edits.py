"""What is being edited in tasks and not sent yet. It is a draft: it survives another page, another place, a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QObject, Signal

from app.core.posthog.task_fields import BY_NAME
from app.ui.bridge import Generation
from app.ui.save_soon import SaveSoon
from app.ui.tasks.open_draft import KIND as DRAFT_KIND
from app.ui.tasks.open_draft import new_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.backend import Backend
    from app.core.errors import BurrowError
    from app.core.services import Services
    from app.core.storage import Draft, Scope
    from app.ui.bridge import Bridge, Job

KIND = "task.edit"
# Before the name of a field: what the server had when the user began.
BASE = "_base."


class TaskEdit(NamedTuple):
    """`texts` is what is typed and `base` what the server had at the beginning, by the names of the edited fields."""

    task_id: str
    base: Mapping[str, str]
    texts: Mapping[str, str]
    sending: bool = False

    @property
    def changes(self) -> dict[str, str]:
        """The texts that differ from what the server had."""
        return {
            name: text
            for name, text in self.texts.items()
            if BY_NAME[name].clean(text) != BY_NAME[name].clean(self.base[name])
        }


class TaskEdits(QObject):
    """The edits of one project of one account. `changed(task_id)`; `failed(BurrowError)` when one cannot be stored.

    `kept` when one has become a draft of a new task.
    """

    changed = Signal(str)
    kept = Signal()
    failed = Signal(object)

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._drafts, self._bridge = services.storage.drafts, bridge
        self._generation = Generation(bridge, self)
        self._scope: Scope | None = None
        self._project: int | None = None
        self._edits: dict[str, TaskEdit] = {}
        self._dirty: set[str] = set()
        # Given up, and still stored: should this process die now, they are there again at the next start.
        self._aside: set[str] = set()
        self._jobs: list[Job] = []
        self._save_soon = SaveSoon(self.save_now, self)

    def start(self, backend: Backend | None) -> None:
        """Save what is typed for the former account or project, and load what is kept for this one."""
        self.save_now()
        for task_id in tuple(self._aside):
            self.forget(task_id)
        self._generation.renew()
        for task_id in self._edits:
            self._release(task_id)
        self._edits.clear()
        self._scope = backend.scope if backend is not None else None
        self._project = backend.project.id if backend is not None and backend.project is not None else None
        if self._scope is not None and self._project is not None:
            self._generation.spawn(self._read(self._scope), done=self._loaded, failed=_ignore)

    def get(self, task_id: str) -> TaskEdit | None:
        """The edit of a task; None if there is none."""
        return self._edits.get(task_id)

    def all(self) -> tuple[TaskEdit, ...]:
        """Every edit."""
        return tuple(self._edits.values())

    def begin(self, task_id: str, texts: Mapping[str, str]) -> None:
        """Edit these fields of a task, which have these texts now. What is typed in others already stays."""
        known = self._edits.get(task_id) or TaskEdit(task_id, {}, {})
        self._put(known._replace(base={**texts, **known.base}, texts={**texts, **known.texts}))

    def typed(self, task_id: str, texts: Mapping[str, str]) -> None:
        """The user changed something."""
        known = self._edits.get(task_id)
        if known is not None:
            # Quietly: the page that it was typed into shows it.
            self._edits[task_id] = known._replace(texts={**known.texts, **texts})
            self._dirty.add(task_id)
            self._save_soon.changed()

    def rebase(self, task_id: str, base: Mapping[str, str]) -> None:
        """The user has seen what the server has now."""
        known = self._edits.get(task_id)
        if known is not None:
            self._put(known._replace(base={**known.base, **base}))

    def sending(self, task_id: str, sending: bool) -> None:
        """Whether the edit is on its way to the server."""
        known = self._edits.get(task_id)
        if known is not None and known.sending is not sending:
            self._put(known._replace(sending=sending))

    def drop(self, task_id: str) -> TaskEdit | None:
        """Forget an edit, and return it."""
        known = self._edits.pop(task_id, None)
        self._dirty.discard(task_id)
        if known is not None:
            self._discard(task_id)
            self.changed.emit(task_id)
        return known

    def set_aside(self, task_id: str) -> TaskEdit | None:
        """Give up an edit, and return it. It stays stored until `forget` or `restore`."""
        self.save_now()
        known = self._edits.pop(task_id, None)
        if known is not None:
            self._aside.add(task_id)
            self.changed.emit(task_id)
        return known

    def forget(self, task_id: str) -> None:
        """Delete what is stored of an edit that was given up, unless the task is being edited anew."""
        self._aside.discard(task_id)
        known = self._edits.get(task_id)
        if known is None or not known.changes:
            self._discard(task_id)

    async def flush(self) -> None:
        """Wait until what was given up is deleted; awaited before the app ends."""
        for job in tuple(self._jobs):
            await job.wait()

    def _discard(self, task_id: str) -> None:
        if self._scope is not None:
            work = self._drafts.discard(self._scope, KIND, self._name(task_id))
            self._jobs = [job for job in self._jobs if not job.done]
            self._jobs.append(self._bridge.spawn(self, work, failed=self.failed.emit))

    def keep_as_draft(self, task_id: str) -> bool:
        """The task is gone: what was typed into it becomes a draft of a new one. False if nothing was typed."""
        known = self._edits.get(task_id)
        if known is None or not known.changes or self._scope is None:
            self.drop(task_id)
            return False
        work = self._move(self._scope, task_id, known)
        self._bridge.spawn(self, work, done=lambda _nothing: self.kept.emit(), failed=self.failed.emit)
        return True

    def restore(self, edit: TaskEdit) -> None:
        """Take up an edit again that was given up. What was typed into the task since then becomes a draft."""
        newer = self._edits.get(edit.task_id)
        if newer is not None and newer.changes and self._scope is not None:
            work = self._add_draft(self._scope, newer)
            self._bridge.spawn(self, work, done=lambda _nothing: self.kept.emit(), failed=self.failed.emit)
        self._aside.discard(edit.task_id)
        self._put(edit)

    @property
    def unsaved(self) -> bool:
        """Whether something that was typed is not stored yet."""
        return bool(self._dirty) and self._scope is not None

    def save_now(self) -> list[Job]:
        """Store what is not stored yet."""
        self._save_soon.stop()
        dirty, self._dirty = self._dirty, set()
        jobs = []
        for task_id in dirty:
            edit = self._edits.get(task_id)
            if edit is not None and self._scope is not None:
                fields = dict(edit.texts) | {BASE + name: text for name, text in edit.base.items()}
                work = self._drafts.save(self._scope, KIND, self._name(task_id), fields)
                jobs.append(self._bridge.spawn(self, work, failed=self.failed.emit))
        return jobs

    def _put(self, edit: TaskEdit) -> None:
        self._edits[edit.task_id] = edit
        # An edit without a change is not worth a draft.
        if edit.changes:
            self._dirty.add(edit.task_id)
            self._save_soon.changed()
        self.changed.emit(edit.task_id)

    def _release(self, task_id: str) -> None:
        if self._scope is not None:
            self._drafts.release_soon(self._scope, KIND, self._name(task_id))

    async def _read(self, scope: Scope) -> list[TaskEdit]:
        """The newest edit of each task. Two windows may have edited one: the older text becomes a draft."""
        found: dict[str, TaskEdit] = {}
        for draft in await self._drafts.list(scope, KIND):
            project, _, task_id = draft.id.partition("/")
            if draft.held_elsewhere or project != str(self._project):
                continue
            if task_id in found:
                await self._keep_other(scope, draft, edit_of(task_id, draft.fields))
                continue
            fields = await self._drafts.load(scope, KIND, draft.id, draft.copy)
            if fields is not None:
                found[task_id] = edit_of(task_id, fields)
        return list(found.values())

    async def _keep_other(self, scope: Scope, draft: Draft, edit: TaskEdit) -> None:
        if edit.changes:
            await self._add_draft(scope, edit)
        await self._drafts.remove(scope, draft)
        self.kept.emit()

    async def _add_draft(self, scope: Scope, edit: TaskEdit) -> None:
        name = new_id()
        await self._drafts.save(scope, DRAFT_KIND, name, {name: edit.texts.get(name, "") for name in BY_NAME})
        await self._drafts.release(scope, DRAFT_KIND, name)

    async def _move(self, scope: Scope, task_id: str, edit: TaskEdit) -> None:
        await self._add_draft(scope, edit)
        # In this order: should this process die in between, the text is there twice.
        self.drop(task_id)

    def _loaded(self, edits: list[TaskEdit]) -> None:
        for edit in edits:
            if edit.changes and edit.task_id not in self._edits:
                self._edits[edit.task_id] = edit
                self.changed.emit(edit.task_id)

    def _name(self, task_id: str) -> str:
        return f"{self._project}/{task_id}"


def edit_of(task_id: str, fields: Mapping[str, str]) -> TaskEdit:
    """An edit as it was stored. Fields that this version does not know are left out."""
    texts = {name: text for name, text in fields.items() if name in BY_NAME}
    return TaskEdit(task_id, {name: fields.get(BASE + name, "") for name in texts}, texts)


def _ignore(_error: BurrowError) -> None:
    """They are read again at the next start."""
