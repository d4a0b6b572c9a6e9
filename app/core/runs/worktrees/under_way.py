"""What git is in the middle of in a working folder."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# By the file or folder of git's own folder that says so.
UNDER_WAY = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
}
# Where these keep the commit of what was put away when they began (`--autostash`).
AUTOSTASHES = ("rebase-merge/autostash", "rebase-apply/autostash", "MERGE_AUTOSTASH")


async def under_way(git_folder: Path) -> str:
    """What is not finished in the working folder whose own git folder this is; empty for nothing."""
    found = await asyncio.to_thread(lambda: [each for each in UNDER_WAY if (git_folder / each).exists()])
    return UNDER_WAY[found[0]] if found else ""


def autostashes(git_folder: Path) -> list[str]:
    """The commits that nothing but an unfinished rebase or merge leads to. Raises `OSError`. Call it in a thread."""
    paths = (git_folder / each for each in AUTOSTASHES)
    return [each.read_text("utf-8").strip() for each in paths if each.is_file()]
