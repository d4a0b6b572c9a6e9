"""What would be lost with a worktree. What cannot be found out counts as something that would be."""

from __future__ import annotations

import asyncio
import filecmp
import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from app.core.posthog.types import Value
from app.core.runs.worktrees.git import GitTrouble, git, git_line, names_of
from app.core.runs.worktrees.under_way import under_way

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from typing import Any

T = TypeVar("T")

# A longer list is cut; whoever reads it decides the same.
MOST_NAMES = 2_000
SUBMODULE_MODE = "160000"


class LostCommit(Value, frozen=True):
    """A commit that exists nowhere else. `id` is its hash."""

    id: str
    subject: str


class Losses(Value, frozen=True, kw_only=True):
    """Names of files relative to the worktree, folders with a slash at their end.

    `unstaged` has files too that git was told not to look at. `ignored` leaves out what is a link, and what is the same
    in the repository that the worktree was made from. `unpushed` are commits that no other branch and no remote has.
    `branches` are branches that are checked out in the worktree, or in repositories inside of it, submodules included,
    and are not its own. `unknown` says what could not be found out.
    """

    staged: tuple[str, ...] = ()
    unstaged: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    unpushed: tuple[LostCommit, ...] = ()
    branches: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        """Whether anything would be lost, or might be."""
        return self != Losses()


class _Files(NamedTuple):
    staged: tuple[str, ...] = ()
    unstaged: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


async def losses_of(worktree: Path, branch: str, source: Path) -> Losses:
    """What would be lost with the worktree of `branch`, which was made from the repository in `source`."""
    unknown: list[str] = []

    async def known(look: Coroutine[Any, Any, T], default: T) -> T:
        try:
            return await look
        except (GitTrouble, OSError) as failure:
            unknown.append(str(failure))
            return default

    none: tuple[LostCommit, ...] = ()
    files = await known(_files(worktree, source), _Files())
    unpushed = await known(_unpushed(worktree, branch), none)
    branches: tuple[str, ...] = await known(_branches(worktree, branch, files.untracked), ())
    unfinished = await known(_unfinished(worktree), "")
    if unfinished:
        unknown.append(f"{unfinished[:1].upper()}{unfinished[1:]} is not finished: git holds what belongs to it.")
    return Losses(**files._asdict(), unpushed=unpushed, branches=branches, unknown=tuple(unknown))


async def _files(worktree: Path, source: Path) -> _Files:
    # Folders that are ignored as a whole are one name; untracked files are named each, but not those of a repository
    # inside. Submodules count whatever the repository says of them.
    output = await git(
        *(worktree, "status", "--porcelain=v2", "-z", "--untracked-files=all", "--ignored=matching", "--no-renames"),
        "--ignore-submodules=none",
    )
    staged, unstaged, untracked, ignored = [], [], [], []
    for entry in map(os.fsdecode, output.split(b"\0")):
        kind = entry[:1]
        if kind == "1":
            # 1 XY sub mH mI mW hH hI path
            fields = entry.split(" ", 8)
            if fields[1][0] != ".":
                staged.append(fields[8])
            if fields[1][1] != ".":
                unstaged.append(fields[8])
        elif kind == "u":
            unstaged.append(entry.split(" ", 10)[10])
        elif kind == "?":
            untracked.append(entry[2:])
        elif kind == "!":
            ignored.append(entry[2:])
    unstaged += await _unwatched(worktree)

    def only_here() -> Iterator[str]:
        return (each for each in ignored if not _is_elsewhere(each, worktree, source))

    # What is elsewhere is left out before the list is cut, or a long one would hide what is not.
    own = await asyncio.to_thread(lambda: tuple(islice(only_here(), MOST_NAMES)))
    return _Files(tuple(staged[:MOST_NAMES]), tuple(unstaged[:MOST_NAMES]), tuple(untracked[:MOST_NAMES]), own)


async def _unwatched(worktree: Path) -> list[str]:
    """Files that are there and that git was told to take for unchanged, so that their status says nothing."""
    output = await git(worktree, "ls-files", "-v", "-z")
    # "S name" for `--skip-worktree`, a small letter for `--assume-unchanged` (git-ls-files(1), "-v").
    names = [each[2:] for each in names_of(output) if each[0] == "S" or each[0].islower()]
    return await asyncio.to_thread(lambda: [each for each in names if os.path.lexists(worktree / each)])


def _is_elsewhere(name: str, worktree: Path, source: Path) -> bool:
    """Whether an ignored file is a link, or a copy of what the repository has: nothing is lost with it."""
    path = worktree / name.rstrip("/")
    if path.is_symlink():
        return True
    try:
        return path.is_file() and filecmp.cmp(path, source / name, shallow=False)
    except OSError:
        return False


async def _unpushed(worktree: Path, branch: str) -> tuple[LostCommit, ...]:
    """The commits of the branch, and of a HEAD without a branch, that nothing else leads to."""
    # The name alone would be that of a tag first.
    tips = ("HEAD", f"refs/heads/{branch}")
    output = await git(
        *(worktree, "log", "-z", f"--max-count={MOST_NAMES}", "--format=%H %s", *tips, "--not", "--remotes"),
        *("--tags", f"--exclude={branch}", "--branches"),
    )
    lines = (each.decode("utf-8", "replace").partition(" ") for each in output.split(b"\0") if each)
    return tuple(LostCommit(each[0], each[2]) for each in lines)


async def _branches(worktree: Path, branch: str, untracked: tuple[str, ...]) -> tuple[str, ...]:
    head = await git_line(worktree, "rev-parse", "--symbolic-full-name", "HEAD")
    found = [] if head in {"HEAD", f"refs/heads/{branch}"} else [head.removeprefix("refs/heads/")]
    inside = [each for each in untracked if each.endswith("/")]
    inside += [f"{each}/" for each in await submodules_in(worktree)]
    for name in inside:
        checked_out = await git_line(worktree / name, "rev-parse", "--abbrev-ref", "HEAD")
        if checked_out == "HEAD":
            checked_out = await git_line(worktree / name, "rev-parse", "--short", "HEAD")
        found.append(f"{name}: {checked_out}")
    return tuple(found)


async def links_in(repository: Path) -> list[str]:
    """Where submodules belong, whether they are there or not (gitlinks of the index)."""
    output = await git(repository, "ls-files", "--stage", "-z")
    return [each.partition("\t")[2] for each in names_of(output) if each.startswith(f"{SUBMODULE_MODE} ")]


async def submodules_in(repository: Path) -> list[str]:
    """The submodules that are there, without those inside of them."""
    names = await links_in(repository)
    return await asyncio.to_thread(lambda: [each for each in names if os.path.lexists(repository / each / ".git")])


async def _unfinished(worktree: Path) -> str:
    return await under_way(Path(await git_line(worktree, "rev-parse", "--absolute-git-dir")))
