"""The files that wait on this computer for a run of their task, as drafts that every window and command may read."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from app.core.storage.attachments import FIELD, decode
from app.core.storage.attachments import TASK_FILES as KIND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.posthog.run_files import RunFile
    from app.core.storage.attachments import Attachment, Attachments
    from app.core.storage.drafts import Drafts
    from app.core.storage.values import Draft, Scope


def files_in(drafts: Iterable[Draft], project: int | None) -> dict[str, tuple[Attachment, ...]]:
    """The files of the tasks of a project, by the ids of the tasks."""
    found: dict[str, tuple[Attachment, ...]] = {}
    # The last saved first.
    for draft in drafts:
        named, _, task_id = draft.id.partition("/")
        if named == str(project) and task_id not in found:
            found[task_id] = decode(draft.fields.get(FIELD))
    return found


def run_files(files: Iterable[Attachment], attachments: Attachments) -> list[RunFile]:
    """Files as a run is started with them."""
    # It is not needed before the first paint.
    from app.core.posthog.run_files import RunFile

    return [RunFile(each.name, each.type, each.size, partial(attachments.read, each), each.digest) for each in files]


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
