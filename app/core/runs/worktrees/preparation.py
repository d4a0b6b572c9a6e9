"""What makes a worktree ready before an agent starts in it, as `LocalRun` wants it: `prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from app.core.runs.worktrees.carried import THERE, carry
from app.core.runs.worktrees.setup import set_up

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.runs.local.run_log import RunLog
    from app.core.runs.worktrees.environments import WorkEnvironment
    from app.core.runs.worktrees.setup import SetupConsent
    from app.core.runs.worktrees.worktrees import WorktreeRecord


def preparation(
    worktree: WorktreeRecord, environment: WorkEnvironment | None, consent: SetupConsent
) -> Callable[[RunLog], Awaitable[None]]:
    """Copy and link what the repository says, then run the setup script of `environment`, if there is one.

    All of it is done once in each worktree, however often the agent is started. It raises as `carry` and `set_up` do.
    """

    async def prepare(log: RunLog) -> None:
        step = {"group": "setup", "step": "files", "label": "Copy and link ignored files"}
        try:
            carried = await carry(Path(worktree.repository), Path(worktree.path))
        except Exception as failure:
            log.notify("_posthog/progress", **step, status="failed", detail=str(failure))
            raise
        if carried.copied or carried.linked:
            detail = f"{len(carried.copied)} copied, {len(carried.linked)} linked"
            log.notify("_posthog/progress", **step, status="completed", detail=detail)
        for name, why in carried.left:
            if why != THERE:
                log.notify("_posthog/console", level="warn", message=f"{name} was left out: {why}.")
        if environment is not None:
            await set_up(Path(worktree.path), worktree.repository, environment, consent, log)

    return prepare
