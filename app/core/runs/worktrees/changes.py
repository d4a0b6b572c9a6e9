"""What an agent changed in a folder: files, their differences, kept one by one, and committed."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import Facts, Rejected
from app.core.posthog.types import Value
from app.core.runs.worktrees.git import as_input, git, git_line, names_of
from app.core.runs.worktrees.hunks import Hunk, parse_hunks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SUBMODULE_MODE = "160000"
# Those of a file before and after.
MODES = {"100644 100755": True, "100755 100644": False}
KINDS = {"A": "added", "M": "modified", "D": "deleted", "R": "renamed", "C": "copied", "T": "type", "U": "conflict"}
# What a comparison of two files looks like, and what would make git run a program for it.
PLAIN = ("--no-ext-diff", "--no-textconv", "--no-color", "--find-renames")
LONGEST_DIFF = 4 * 1024 * 1024
MOST_OF_HEAD = 2_000
COMMIT_SECONDS = 120.0
_GONE = re.compile(rb"^deleted file mode ", re.MULTILINE)


class FileChange(Value, frozen=True):
    """`kind`: `added`, `modified`, `deleted`, `renamed`, `copied`, `type`, `conflict`, `untracked`, `submodule` or
    `reverted`: as it was at the beginning, and another one in the last commit.

    `added` and `removed` count lines; both are None for a file that is no text. A submodule is a repository inside of
    this one, of which only the commit is recorded. `executable` says what the file became, None where it is as before.
    """

    path: str
    kind: str
    old_path: str = ""
    added: int | None = None
    removed: int | None = None
    executable: bool | None = None

    @property
    def binary(self) -> bool:
        return self.added is None


class FileDifference(Value, frozen=True):
    """`cut` says that the difference is too long to be shown as a whole."""

    hunks: tuple[Hunk, ...] = ()
    binary: bool = False
    cut: bool = False


async def changed_files(folder: Path, base: str) -> tuple[FileChange, ...]:
    """What differs from the commit or tree `base`, committed or not, by path. Raises `GitTrouble`."""
    top = await top_of(folder)
    changes = {each.path: each for each in await tracked_changes(top, base)}
    listed = names_of(await git(top, "ls-files", "-z", "--others", "--exclude-standard"))
    # They may be many, and are read.
    return await asyncio.to_thread(_with_untracked, top, changes, listed)


def _with_untracked(top: Path, changes: dict[str, FileChange], listed: Iterable[str]) -> tuple[FileChange, ...]:
    for name in listed:
        count = _lines_of(top / name)
        # One that was deleted for git and is there all the same is modified for the person.
        known = changes.get(name)
        kind, removed = ("untracked", 0) if known is None else ("modified", known.removed)
        changes[name] = FileChange(name, kind, "", count, None if count is None else removed)
    return tuple(changes[name] for name in sorted(changes))


async def tracked_changes(top: Path, base: str) -> list[FileChange]:
    """The same, without files that git does not know. Raises `GitTrouble`."""
    return _parsed(await git(top, "diff", "--raw", "--numstat", "-z", *PLAIN, "--end-of-options", base, "--"))


async def difference_of(folder: Path, base: str, change: FileChange, *, context: int = 3) -> FileDifference:
    """The hunks of one file. Raises `GitTrouble`."""
    if change.binary:
        return FileDifference(binary=True)
    top = await top_of(folder)
    unified = f"--unified={context}"
    if change.kind == "untracked":
        words: tuple[str, ...] = ("--no-index", unified, *PLAIN, "--", os.devnull, change.path)
    else:
        paths = [each for each in (change.old_path, change.path) if each]
        begun = "HEAD" if change.kind == "reverted" else base
        words = (unified, *PLAIN, "--end-of-options", begun, "--", *paths)
    output = await _compared(top, *words)
    if change.kind == "modified" and _GONE.search(output[:MOST_OF_HEAD]):
        # Git does not know the file any more, and it is there.
        output = await _compared(top, unified, *PLAIN, f"{base}:{change.path}", "--", change.path)
    # The lines may be many.
    return await asyncio.to_thread(_difference, output)


async def _compared(top: Path, *words: str) -> bytes:
    """Also the beginning of a difference that is longer than what is shown."""
    return await git(top, "diff", *words, fine=(0, 1), enough=LONGEST_DIFF + 1)


def _difference(output: bytes) -> FileDifference:
    cut = len(output) > LONGEST_DIFF
    whole_lines = output[:LONGEST_DIFF].rpartition(b"\n")[0] if cut else output
    return FileDifference(tuple(parse_hunks(whole_lines.decode("utf-8", "replace"))), cut=cut)


async def keep(folder: Path, changes: Sequence[FileChange]) -> None:
    """Stage them, so that the next commit has them. Raises `GitTrouble`, `Rejected` for repositories only."""
    # Git would not say that it leaves them out.
    paths = paths_of([each for each in changes if not each.path.endswith("/")])
    if changes and not paths:
        raise Rejected(
            f"{changes[0].path} is a repository of its own.", Facts(attr="file"), action="Commit inside of it."
        )
    if paths:
        # Unlike `git add`, it takes a name that is in neither place, such as the old one of a file that was moved.
        await git(await top_of(folder), "update-index", "--add", "--remove", "-z", "--stdin", given=as_input(paths))


async def commit(folder: Path, message: str, changes: Sequence[FileChange], *, hooks: bool = False) -> str:
    """Commit these files and nothing else. Returns the commit's hash. Raises `Rejected`, `GitTrouble`.

    The repository's hooks run only with `hooks`: they are programs of whoever made the repository.
    """
    if not message.strip():
        raise Rejected("The commit has no message.", Facts(attr="message"), action="Say in a line what changed.")
    paths = paths_of(changes)
    if not paths:
        raise Rejected("There is nothing to commit.", action="Keep at least one file.")
    top = await top_of(folder)
    await keep(top, changes)
    # What no program takes as an argument.
    message = message.replace("\0", "").encode("utf-8", "replace").decode()
    # Paths as arguments have a limit, so they go through standard input.
    words = ("commit", "--quiet", "--only", "-m", message, "--pathspec-from-file=-", "--pathspec-file-nul")
    given = as_input(f":(literal){each}" for each in paths)
    await git(top, *words, given=given, seconds=COMMIT_SECONDS, hooks=hooks)
    return await git_line(top, "rev-parse", "HEAD")


async def top_of(folder: Path) -> Path:
    """The folder at the top of the repository. Raises `GitTrouble`."""
    return Path(await git_line(folder, "rev-parse", "--show-toplevel"))


def paths_of(changes: Iterable[FileChange]) -> list[str]:
    """Their paths, and those that they had before."""
    return [each for change in changes for each in (change.path, change.old_path) if each]


def _parsed(output: bytes) -> list[FileChange]:
    """The output of `git diff --raw --numstat -z`: kinds first, then counts, each with its names."""
    fields = [os.fsdecode(each) for each in output.split(b"\0")]
    kinds: dict[str, tuple[str, str, bool | None]] = {}
    changes = []
    at = 0
    while at < len(fields) and fields[at]:
        field = fields[at]
        if field.startswith(":"):
            letter = field.rsplit(" ", 1)[1][:1]
            two = letter in "RC"
            old, new = (fields[at + 1], fields[at + 2]) if two else ("", fields[at + 1])
            kind = "submodule" if SUBMODULE_MODE in field[1:14].split(" ") else KINDS.get(letter, "modified")
            kinds[new] = (kind, old, MODES.get(field[1:14]))
            at += 3 if two else 2
            continue
        added, removed, name = field.split("\t", 2)
        if name:
            at += 1
        else:
            name = fields[at + 2]
            at += 3
        kind, old, executable = kinds.get(name, ("modified", "", None))
        changes.append(FileChange(name, kind, old, _number(added), _number(removed), executable))
    return changes


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _lines_of(path: Path) -> int | None:
    """How many lines a new file has; None for one that is no text, as git decides: a NUL in its first 8,000 bytes."""
    try:
        if path.is_symlink() or not path.is_file():
            return 1 if path.is_symlink() else None
        with open(path, "rb") as file:
            data = file.read(8_000)
            if b"\0" in data:
                return None
            data += file.read(LONGEST_DIFF)
    except OSError:
        return None
    return data.count(b"\n") + (1 if data and not data.endswith(b"\n") else 0)
