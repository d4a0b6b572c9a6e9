"""How worktrees, and what would be lost with one, are worded."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QCoreApplication, QLocale

from app.marks import isolated, revealed_name
from app.ui.theme.state import State, translated
from app.ui.translation import marked
from app.ui.widgets.rows import Group, Row
from app.ui.widgets.times import relative

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from app.core.runs.worktrees.losses import Losses
    from app.core.runs.worktrees.sizes import FolderSize
    from app.core.runs.worktrees.worktrees import WorktreeRecord

HERE = State("folder", marked("State", "Folder"), "muted")
WORKS = State("play", marked("State", "Agent works"), "accent")
GONE = State("warning", marked("State", "Folder is gone"), "attention")
# What may be lost, in the order of `Losses`.
KINDS: tuple[tuple[str, str], ...] = (
    ("unknown", marked("Worktrees", "Cannot be found out, so it counts as something to lose")),
    ("staged", marked("Worktrees", "Staged")),
    ("unstaged", marked("Worktrees", "Changed, not staged")),
    ("untracked", marked("Worktrees", "Untracked")),
    ("ignored", marked("Worktrees", "Ignored by git, and only here")),
    ("branches", marked("Worktrees", "Branches checked out inside")),
)
COMMITS = marked("Worktrees", "Commits that no other branch and no remote has")


class KnownWorktree(NamedTuple):
    """`size` is None where the folder is gone, or is not counted yet while `counted` is False."""

    record: WorktreeRecord
    size: FolderSize | None = None
    counted: bool = False
    works: bool = False


def groups_of_worktrees(found: Sequence[KnownWorktree]) -> list[Group]:
    """All worktrees, the archived ones by themselves, the newest first."""
    newest = sorted(found, key=lambda each: -each.record.created)
    return [
        Group("here", tr("Worktrees"), tuple(row_of_worktree(each) for each in newest if not each.record.archived)),
        Group("archived", tr("Archived"), tuple(row_of_worktree(each) for each in newest if each.record.archived)),
    ]


def row_of_worktree(known: KnownWorktree) -> Row:
    """A worktree in the list."""
    record = known.record
    state = WORKS if known.works else GONE if known.counted and known.size is None else HERE
    age = relative(datetime.fromtimestamp(record.created, UTC))
    parts = [isolated(revealed_name(Path(record.repository).name)), age]
    return Row(
        record.id,
        isolated(revealed_name(record.branch)),
        "  ·  ".join(parts),
        translated(state),
        trailing=size_words(known),
        worded=state is not HERE,
        tooltip=revealed_name(record.path),
    )


def size_words(known: KnownWorktree) -> str:
    """How much room it takes."""
    if known.size is None:
        return "" if known.counted else "…"
    words = QLocale().formattedDataSize(known.size.bytes)
    return tr("more than {0}").format(words) if known.size.more else words


def losses_text(losses: Losses) -> str:
    """Everything that would be lost, one name on a line."""
    return "\n".join(_lines(losses))


def losses_summary(losses: Losses) -> str:
    """The same in a sentence."""
    if not losses.any:
        return tr("Nothing would be lost: all of it is elsewhere too.")
    names = sum(len(getattr(losses, kind)) for kind in ("staged", "unstaged", "untracked", "ignored"))
    parts = []
    if names:
        parts.append(tr("1 file") if names == 1 else tr("{0} files").format(names))
    if losses.unpushed:
        number = len(losses.unpushed)
        parts.append(tr("1 commit") if number == 1 else tr("{0} commits").format(number))
    if losses.branches:
        number = len(losses.branches)
        parts.append(tr("1 branch inside") if number == 1 else tr("{0} branches inside").format(number))
    if losses.unknown:
        parts.append(tr("what cannot be found out"))
    return tr("Only in this worktree: {0}.").format(", ".join(parts))


def _lines(losses: Losses) -> Iterator[str]:
    for kind, words in KINDS:
        names: tuple[str, ...] = getattr(losses, kind)
        if names:
            yield f"{tr(words)} ({len(names)})"
            yield from (f"    {revealed_name(name)}" for name in names)
    if losses.unpushed:
        yield f"{tr(COMMITS)} ({len(losses.unpushed)})"
        yield from (f"    {each.id[:10]} {revealed_name(each.subject)}" for each in losses.unpushed)


def tr(text: str) -> str:
    return QCoreApplication.translate("Worktrees", text)
