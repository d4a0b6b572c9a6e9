"""The differences of the core as rows of the view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.changes.words import tr
from app.ui.widgets.diff_rows import DiffBlock, rows_of

if TYPE_CHECKING:
    from app.core.runs.worktrees.changes import FileDifference
    from app.ui.widgets.diff_rows import DiffRows


def rows_of_difference(difference: FileDifference, *, beside: bool) -> DiffRows:
    """Rows in one column or two. Call it in a thread where the lines may be many."""
    heading = tr("Line {0}")
    blocks = []
    for hunk in difference.hunks:
        # Of a file that was deleted only the old lines are there.
        words = heading.format(hunk.new_start or hunk.old_start)
        lines = [(each.mark, each.text, each.old or 0, each.new or 0, each.open) for each in hunk.lines]
        blocks.append(DiffBlock(f"{words}  ·  {hunk.heading}" if hunk.heading else words, lines))
    return rows_of(blocks, beside=beside)
