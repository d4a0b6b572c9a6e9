"""Local runs in the form of a task's runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.core.posthog.types import TaskRun
from app.core.runs.local.status import RunPhase

if TYPE_CHECKING:
    from app.core.runs.local.record import LocalRecord

# What a run of this machine can be besides the statuses of the server.
PAUSED, STARTING, IN_PROGRESS = "paused", "starting", "in_progress"
# Paused by the end of Burrow, in the middle of a turn.
CUT_OFF = "cut_off"
# In the state of a run of this machine.
FOLDER = "folder"
STATUS_OF_PHASE = {
    RunPhase.NEW: PAUSED,
    RunPhase.STARTING: STARTING,
    RunPhase.ENDED: PAUSED,
    RunPhase.FAILED: PAUSED,
    RunPhase.FORGOTTEN: PAUSED,
}


def run_of(record: LocalRecord, status: str = PAUSED) -> TaskRun:
    """A local run in the form of a task's runs. `status` counts unless the person ended it."""
    return TaskRun(
        id=record.id,
        task=record.task or None,
        status=record.ended or (CUT_OFF if record.cut and status == PAUSED else status),
        environment="local",
        branch=record.branch or None,
        model=record.agent.name,
        state={FOLDER: record.folder},
        created_at=datetime.fromtimestamp(record.created, UTC),
        completed_at=datetime.fromtimestamp(record.ended_at, UTC) if record.ended_at else None,
    )
