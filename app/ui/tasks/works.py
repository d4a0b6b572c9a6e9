"""What the tasks have under way, for `Busy`: tasks and changes on their way to the server, and drafts that wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.core.busy import Work, WorkKind
from app.ui.tasks.wording import SendState, title_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from app.core.storage import Draft
    from app.ui.tasks.edits import TaskEdit
    from app.ui.tasks.rows import PendingTask


def works_of(
    pending: Iterable[PendingTask], sending: Container[str], edits: Iterable[TaskEdit], drafts: Iterable[Draft]
) -> list[Work]:
    """The work behind them. What was not sent yet is kept for the next start.

    `sending` has the ids of the tasks that this window sends, and not another one.
    """
    found = [work for item in pending if (work := _of_task(item, sending)) is not None]
    found.extend(_of_edit(edit) for edit in edits if edit.sending)
    kept = _tr("It is kept for the next start.")
    found.extend(Work(WorkKind.DRAFT, _title(draft.fields), kept, kept=True) for draft in drafts)
    return found


def _of_task(item: PendingTask, sending: Container[str]) -> Work | None:
    title = title_of(item.new)
    if item.id in sending:
        words = _tr("Whether the server has it is then not known. Burrow asks you at the next start.")
        away = _tr("Whether the server has it is then not known. Burrow asks you when you are signed in again.")
        return Work(WorkKind.SENDING, title, words, without_account=away)
    if item.state in {SendState.SIGN_IN, SendState.CONNECTION}:
        away = _tr("It is kept, and sent when you are signed in again.")
        return Work(WorkKind.SENDING, title, _tr("It is sent at the next start."), kept=True, without_account=away)
    return None


def _of_edit(edit: TaskEdit) -> Work:
    words = _tr("Whether the server has your change is then not known. The text is kept.")
    return Work(WorkKind.SENDING, _title(edit.texts), words, without_account=words)


def _title(fields: Mapping[str, str]) -> str:
    lines = (" ".join(fields.get(name, "").strip().partition("\n")[0].split()) for name in ("title", "description"))
    return next((line for line in lines if line), _tr("Untitled task"))


def _tr(text: str) -> str:
    return QCoreApplication.translate("TaskWorks", text)
