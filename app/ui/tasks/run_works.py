"""What messages to agents have under way, for `Busy`: those that are on their way, and those that wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.core.busy import Work, WorkKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.ui.transcript.conversation import RunConversation

LONGEST = 60


def works_of_messages(conversations: Iterable[RunConversation]) -> list[Work]:
    """The work behind the messages of open conversations that the agent does not have yet."""
    found = []
    for conversation in conversations:
        if conversation.run.environment == "local":
            # They go with the run itself, and are kept with it.
            continue
        for each in conversation.queued:
            what = _tr("Message “{0}”").format(_excerpt(each.text))
            if each.state == "sending":
                words = _tr("Whether the agent has it is then not known. It is kept.")
                found.append(Work(WorkKind.SENDING, what, words, without_account=words))
            elif each.state == "waiting":
                kept = _tr("It is kept, and sent when the run is opened again.")
                away = _tr("It is kept, and sent when you are signed in again and open the run.")
                found.append(Work(WorkKind.SENDING, what, kept, kept=True, without_account=away))
    return found


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _tr(text: str) -> str:
    return QCoreApplication.translate("RunWorks", text)
