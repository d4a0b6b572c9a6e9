"""How much room a folder takes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

# Counting so many takes about a second.
MOST_FILES = 200_000


class FolderSize(NamedTuple):
    """`bytes` of its files; with `more`, of some of them only."""

    bytes: int
    more: bool


def size_of(folder: Path) -> FolderSize | None:
    """The size of what is in a folder, without following links; None if it is not there. Call it in a thread."""
    if not folder.is_dir():
        return None
    total = count = 0
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif not entry.is_symlink():
                        total += entry.stat(follow_symlinks=False).st_size
                        count += 1
        except OSError:
            # A folder that went or that may not be read takes no room of which anything is known.
            continue
        if count > MOST_FILES:
            return FolderSize(total, True)
    return FolderSize(total, False)
