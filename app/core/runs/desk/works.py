"""What agents of this machine have under way, for `Busy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.busy import Work, WorkKind
from app.core.runs.local.status import RunPhase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.runs.desk.local_conversation import LocalConversation

UNDER_WAY = frozenset({RunPhase.STARTING, RunPhase.WORKING, RunPhase.STOPPING})


def works_of_runs(conversations: Iterable[LocalConversation]) -> tuple[Work, ...]:
    """The runs whose agents work, or wait for an answer."""
    found = []
    for each in conversations:
        words = ""
        if each.local.questions:
            words = "Its agent waits for your answer, and is ended without one."
        elif each.status.phase in UNDER_WAY:
            words = "Its agent is ended in the middle of what it does."
        if words:
            # Without the account nobody would see or answer it.
            what = f"“{each.record.title}” on this machine"
            found.append(Work(WorkKind.RUN, what, words, without_account=words))
    return tuple(found)
