"""How much room all worktrees take, and what was deleted of them and kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from app.core.runs.worktrees.sizes import size_of
from app.core.runs.worktrees.worktrees import TRASH

if TYPE_CHECKING:
    from app.core.runs.worktrees.worktrees import Worktrees


class WorktreesRoom(NamedTuple):
    """`number` of worktrees, archived ones too. Sizes are in bytes; with `more` they are of some of the files only."""

    folder: Path
    number: int = 0
    bytes: int = 0
    trash: int = 0
    more: bool = False


async def room_of(worktrees: Worktrees) -> WorktreesRoom:
    """Look at the disk, in a thread. A folder that is gone takes no room."""
    records = await worktrees.all()
    folder = worktrees.folder

    def count() -> WorktreesRoom:
        sizes = [found for each in records if (found := size_of(Path(each.path))) is not None]
        trash = size_of(folder / TRASH)
        more = any(each.more for each in sizes) or (trash is not None and trash.more)
        return WorktreesRoom(
            folder, len(records), sum(each.bytes for each in sizes), 0 if trash is None else trash.bytes, more
        )

    return await asyncio.to_thread(count)
