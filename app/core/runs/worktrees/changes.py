"""What an agent changed in a folder: files, their differences, kept or discarded one by one, and committed.

Nothing is lost by discarding: the file is moved aside first.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import Facts, Rejected
from app.core.posthog.types import Value
from app.core.private import make_private_folder
from app.core.runs.worktrees.git import GitTrouble, as_input, git, git_line, names_of
from app.core.runs.worktrees.hunks import Hunk, parse_hunks

if TYPE_CHECKING:
    from collections.abc import Sequence

SUBMODULE_MODE = "160000"
KINDS = {"A": "added", "M": "modified", "D": "deleted", "R": "renamed", "C": "copied", "T": "type", "U": "conflict"}
# What a comparison of two files looks like, and what would make git run a program for it.
PLAIN = ("--no-ext-diff", "--no-textconv", "--no-color", "--find-renames")
LONGEST_DIFF = 4 * 1024 * 1024
COMMIT_SECONDS = 120.0


class FileChange(Value, frozen=True):
    """`kind`: `added`, `modified`, `deleted`, `renamed`, `copied`, `type`, `conflict`, `untracked` or `submodule`.

    `added` and `removed` count lines; both are None for a file that is no text. A submodule is a repository inside of
    this one, of which only the commit is recorded.
    """

    path: str
    kind: str
    old_path: str = ""
    added: int | None = None
    removed: int | None = None

    @property
    def binary(self) -> bool:
        return self.added is None


class FileDifference(Value, frozen=True):
    """`cut` says that the difference is too long to be shown as a whole."""

    hunks: tuple[Hunk, ...] = ()
    binary: bool = False
    cut: bool = False


class Discarded(Value, frozen=True):
    """`aside` is where the file is now, None for one that was deleted."""

    path: str
    aside: str | None


async def changed_files(folder: Path, base: str) -> tuple[FileChange, ...]:
    """What differs from the commit `base`, committed or not, by path. Raises `GitTrouble`."""
    top = await _top(folder)
    output = await git(top, "diff", "--raw", "--numstat", "-z", *PLAIN, "--end-of-options", base, "--")
    changes = {each.path: each for each in _parsed(output)}
    listed = names_of(await git(top, "ls-files", "-z", "--others", "--exclude-standard"))
    counts = await asyncio.gather(*(asyncio.to_thread(_lines_of, top / name) for name in listed))
    for name, count in zip(listed, counts, strict=True):
        # One that was deleted for git and is there all the same is modified for the person.
        kind = "modified" if name in changes else "untracked"
        changes[name] = FileChange(name, kind, "", count, None if count is None else 0)
    return tuple(changes[name] for name in sorted(changes))


async def difference_of(folder: Path, base: str, change: FileChange, *, context: int = 3) -> FileDifference:
    """The hunks of one file. Raises `GitTrouble`."""
    if change.binary:
        return FileDifference(binary=True)
    top = await _top(folder)
    plain: tuple[str, ...]
    if change.kind == "untracked":
        plain = ("diff", "--no-index", f"--unified={context}", *PLAIN, "--", os.devnull, change.path)
    else:
        paths = [each for each in (change.old_path, change.path) if each]
        plain = ("diff", f"--unified={context}", *PLAIN, "--end-of-options", base, "--", *paths)
    output = await git(top, *plain, fine=(0, 1))
    # The lines may be many.
    return await asyncio.to_thread(_difference, output)


def _difference(output: bytes) -> FileDifference:
    text = output[:LONGEST_DIFF].decode("utf-8", "replace")
    return FileDifference(tuple(parse_hunks(text)), cut=len(output) > LONGEST_DIFF)


async def keep(folder: Path, changes: Sequence[FileChange]) -> None:
    """Stage them, so that the next commit has them. Raises `GitTrouble`."""
    paths = [each for change in changes for each in (change.path, change.old_path) if each]
    if paths:
        # Unlike `git add`, it takes a name that is in neither place, such as the old one of a file that was moved.
        await git(await _top(folder), "update-index", "--add", "--remove", "-z", "--stdin", given=as_input(paths))


async def discard(folder: Path, base: str, change: FileChange, asides: Path) -> Discarded:
    """Give a file the content that it has in `base`, or remove it where `base` has none.

    What it was is moved into a new folder of `asides` first. Raises `GitTrouble`, `OSError`, `Rejected` for a path that
    leads out of the folder.
    """
    top = await _top(folder)
    commit_id = await git_line(top, "rev-parse", "--verify", "--end-of-options", f"{base}^{{commit}}")
    aside = await asyncio.to_thread(move_aside, top, change.path, asides)
    discarded = Discarded(change.path, None if aside is None else str(aside))
    restored = change.old_path or change.path
    try:
        if await git(top, "ls-tree", "-z", commit_id, "--", restored):
            await git(top, "checkout", "--quiet", commit_id, "--", restored)
        if restored != change.path or change.kind in {"added", "untracked", "copied"}:
            await git(top, "rm", "--quiet", "--cached", "--ignore-unmatch", "--", change.path)
    except GitTrouble:
        await take_back(top, discarded)
        raise
    return discarded


async def take_back(folder: Path, discarded: Discarded) -> None:
    """Undo `discard`: what is there now goes aside, and the file is what it was. Raises `OSError`, `GitTrouble`."""
    top = await _top(folder)

    def put_back() -> None:
        if discarded.aside is None:
            return
        aside = Path(discarded.aside)
        target = top / discarded.path
        if os.path.lexists(target):
            move_aside(top, discarded.path, aside.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(aside, target)

    await asyncio.to_thread(put_back)


async def commit(folder: Path, message: str, changes: Sequence[FileChange], *, hooks: bool = False) -> str:
    """Commit these files and nothing else. Returns the commit's hash. Raises `Rejected`, `GitTrouble`.

    The repository's hooks run only with `hooks`: they are programs of whoever made the repository.
    """
    if not message.strip():
        raise Rejected("The commit has no message.", Facts(attr="message"), action="Say in a line what changed.")
    paths = [each for change in changes for each in (change.path, change.old_path) if each]
    if not paths:
        raise Rejected("There is nothing to commit.", action="Keep at least one file.")
    top = await _top(folder)
    await keep(top, changes)
    given = ("commit", "--quiet", "--only", "-m", message, "--", *paths)
    await git(top, *given, seconds=COMMIT_SECONDS, hooks=hooks)
    return await git_line(top, "rev-parse", "HEAD")


async def _top(folder: Path) -> Path:
    return Path(await git_line(folder, "rev-parse", "--show-toplevel"))


def _parsed(output: bytes) -> list[FileChange]:
    """The output of `git diff --raw --numstat -z`: kinds first, then counts, each with its names."""
    fields = [os.fsdecode(each) for each in output.split(b"\0")]
    kinds: dict[str, tuple[str, str]] = {}
    changes = []
    at = 0
    while at < len(fields) and fields[at]:
        field = fields[at]
        if field.startswith(":"):
            letter = field.rsplit(" ", 1)[1][:1]
            two = letter in "RC"
            old, new = (fields[at + 1], fields[at + 2]) if two else ("", fields[at + 1])
            kind = "submodule" if SUBMODULE_MODE in field[1:14].split(" ") else KINDS.get(letter, "modified")
            kinds[new] = (kind, old)
            at += 3 if two else 2
            continue
        added, removed, name = field.split("\t", 2)
        if name:
            at += 1
        else:
            name = fields[at + 2]
            at += 3
        kind, old = kinds.get(name, ("modified", ""))
        changes.append(FileChange(name, kind, old, _number(added), _number(removed)))
    return changes


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _lines_of(path: Path) -> int | None:
    """How many lines a new file has; None for one that is no text, as git decides: a NUL in its first 8,000 bytes."""
    try:
        if path.is_symlink() or not path.is_file():
            return 1 if path.is_symlink() else None
        with open(path, "rb") as file:
            data = file.read(LONGEST_DIFF)
    except OSError:
        return None
    if b"\0" in data[:8_000]:
        return None
    return data.count(b"\n") + (1 if data and not data.endswith(b"\n") else 0)


def move_aside(top: Path, name: str, asides: Path) -> Path | None:
    """Move a file or folder of `top` into a new folder of `asides`; returns where it is, None if there is none.

    Raises `OSError`, `Rejected` for a name that leads out of `top`. Call it in a thread.
    """
    path = top / name
    if not path.parent.resolve().is_relative_to(top.resolve()):
        raise Rejected(f"{name} leads out of the folder.", action="Look at it yourself.")
    if not os.path.lexists(path):
        return None
    place = asides / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    make_private_folder(place)
    aside = place / path.name
    shutil.move(path, aside)
    return aside
