"""Brings a worktree what the repository says of ignored files, and tells the run's log of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.runs.worktrees.carried import THERE, carry

if TYPE_CHECKING:
    from pathlib import Path

    from app.core.runs.worktrees.setup_log import SetupLog


async def bring_files(repository: Path, worktree: Path, log: SetupLog) -> None:
    """Copy and link, before the setup script runs. What is there already stays, so a later call changes nothing.

    Raises `GitTrouble`, `OSError`.
    """
    step = {"group": "setup", "step": "files", "label": "Copy and link ignored files"}
    try:
        carried = await carry(repository, worktree)
    except Exception as failure:
        log.notify("_posthog/progress", **step, status="failed", detail=str(failure))
        raise
    if carried.copied or carried.linked:
        detail = f"{len(carried.copied)} copied, {len(carried.linked)} linked"
        log.notify("_posthog/progress", **step, status="completed", detail=detail)
    for name, why in carried.left:
        if why != THERE:
            log.notify("_posthog/console", level="warn", message=f"{name} was left out: {why}.")
