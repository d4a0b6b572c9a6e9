"""The files that wait on this computer for a run of their task, for the commands that start one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.posthog.waiting_files import files_in, keep, run_files
from app.core.storage.attachments import TASK_FILES

if TYPE_CHECKING:
    from app.core.backend import Backend
    from app.core.posthog.run_files import RunFile
    from app.core.posthog.types import Task


async def waiting_files(backend: Backend, task: Task) -> list[RunFile]:
    """What the run of a task is to be given. Raises `StorageTrouble`."""
    scope, project, storage = backend.scope, backend.project, backend.storage
    if scope is None or project is None:
        return []
    found = files_in(await storage.drafts.list(scope, TASK_FILES), project.id)
    return run_files(found.get(task.id, ()), storage.attachments)


async def forget_files(backend: Backend, task: Task) -> None:
    """A run has them. Raises `StorageTrouble`."""
    if backend.scope is not None and backend.project is not None:
        await keep(backend.storage.drafts, backend.scope, backend.project.id, task.id, "")
