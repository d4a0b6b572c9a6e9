"""How changes are worded: kinds of files, counts, groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QLocale

from app.marks import isolated, revealed_name
from app.ui.theme.state import State, by_name
from app.ui.translation import marked
from app.ui.widgets.rows import Group, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.runs.worktrees.changes import FileChange
    from app.core.runs.worktrees.run_changes import ChangeList, ListedChange

MINUS = "\u2212"
KINDS: dict[str, State] = {
    "added": State("plus", marked("State", "Added"), "good"),
    "modified": State("edit", marked("State", "Changed"), "info"),
    "deleted": State("minus", marked("State", "Deleted"), "bad"),
    "renamed": State("forward", marked("State", "Renamed"), "info"),
    "copied": State("copy", marked("State", "Copied"), "info"),
    "type": State("edit", marked("State", "Other type"), "attention"),
    "conflict": State("warning", marked("State", "Conflict"), "attention"),
    "untracked": State("plus", marked("State", "New"), "good"),
    "submodule": State("folder", marked("State", "Submodule"), "muted"),
    # As it was when the run began: the next commit takes the change out of the branch.
    "reverted": State("undo", marked("State", "Taken back"), "muted"),
}
STAGES = {
    "open": marked("Changes", "To decide"),
    "kept": marked("Changes", "Kept for the next commit"),
    "committed": marked("Changes", "Committed"),
}


def counts(change: FileChange) -> str:
    """How many lines came and went."""
    if change.path.endswith("/"):
        return tr("repository")
    if change.kind == "submodule":
        return ""
    if change.added is None or change.removed is None:
        return tr("binary")
    lines = _signed(change.added, change.removed)
    if change.executable is None:
        return lines
    return f"{lines}  {tr('mode')}" if change.added or change.removed else tr("mode")


def mode_words(change: FileChange) -> str:
    """What became of the file as a program; empty where that is as before."""
    words = {True: tr("It can be run as a program now."), False: tr("It cannot be run as a program any more.")}
    return "" if change.executable is None else words[change.executable]


def totals(found: ChangeList) -> str:
    """The same of all files, with their number."""
    if not found.files:
        return ""
    number = len(found.files)
    files = tr("1 file") if number == 1 else tr("{0} files").format(QLocale().toString(number))
    lines = [each.change for each in found.files if each.change.kind not in {"submodule", "reverted"}]
    came, went = sum(each.added or 0 for each in lines), sum(each.removed or 0 for each in lines)
    return f"{files}   {_signed(came, went)}"


def groups_of(found: ChangeList) -> list[Group]:
    """The files by what is to become of them."""
    return [
        Group(stage, tr(words), tuple(row_of(each) for each in found.files if each.stage == stage))
        for stage, words in STAGES.items()
    ]


def row_of(listed: ListedChange) -> Row:
    """A file in the list."""
    change = listed.change
    state = by_name(KINDS, change.kind)
    name, folder = split(change.path)
    detail = folder
    if change.old_path:
        detail = tr("from {0}").format(revealed_name(change.old_path))
    return Row(
        change.path,
        name,
        detail,
        state,
        trailing=counts(change),
        accessible=", ".join(
            filter(None, (state.word, revealed_name(change.path), spoken_counts(change), tr(STAGES[listed.stage])))
        ),
        tooltip=revealed_name(change.path),
    )


def spoken_counts(change: FileChange) -> str:
    """The counts without signs."""
    if change.added is None or change.removed is None or change.kind == "submodule":
        return counts(change)
    lines = tr("{0} lines added, {1} removed").format(change.added, change.removed)
    return f"{lines}. {mode_words(change)}" if change.executable is not None else lines


def split(path: str) -> tuple[str, str]:
    """Name and folder of a file."""
    whole = path.rstrip("/")
    folder, _, name = whole.rpartition("/")
    name = revealed_name(name) + ("/" if path.endswith("/") else "")
    return isolated(name), isolated(revealed_name(folder))


def subjects(paths: Sequence[str]) -> dict[str, str]:
    """Paths with what they are called in the bar that undoes."""
    return {path: split(path)[0] for path in paths}


def tr(text: str) -> str:
    return QCoreApplication.translate("Changes", text)


def _signed(came: int, went: int) -> str:
    locale = QLocale()
    return f"+{locale.toString(came)} {MINUS}{locale.toString(went)}"
