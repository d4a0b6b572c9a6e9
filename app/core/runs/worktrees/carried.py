"""What a worktree gets of the files that git ignores: copies (`.worktreeinclude`) and links (`.worktreelink`).

Both files have the syntax of `.gitignore`, and git itself matches. Only what git ignores is taken, and nothing that
leads out of the repository.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import shutil
from typing import TYPE_CHECKING

from app.core.posthog.types import Value
from app.core.runs.worktrees.git import as_input, git, names_of

if TYPE_CHECKING:
    from pathlib import Path

INCLUDE, LINK = ".worktreeinclude", ".worktreelink"
THERE = "it is there already"
# More is a mistake in the patterns, such as a whole folder of packages, and would fill the disk.
MOST_FILES, MOST_BYTES = 20_000, 2 * 1024**3


class Carried(Value, frozen=True):
    """Names relative to the repository. `left` says for each name that was not taken why, in words."""

    copied: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()
    left: tuple[tuple[str, str], ...] = ()


async def carry(repository: Path, worktree: Path) -> Carried:
    """Copy and link from `repository` into `worktree`. What is there already stays.

    Raises `GitTrouble`, and `OSError` where the disk is full.
    """
    links = await _matching(repository, LINK, "--directory")
    copies = [each for each in await _matching(repository, INCLUDE) if not _is_below(each, links)]
    return await asyncio.to_thread(_carry, repository, worktree, copies, links)


async def _matching(repository: Path, patterns: str, *options: str) -> list[str]:
    """The names that the file `patterns` of the repository matches and that git ignores."""
    path = repository / patterns
    if not await asyncio.to_thread(lambda: path.is_file() and not path.is_symlink()):
        return []
    listed = ("ls-files", "-z", "--others", "--ignored", f"--exclude-from={path}", *options)
    found = await git(repository, *listed)
    names = [each for each in names_of(found) if each not in {"./", ""}]
    if not names:
        return []
    # A colon at the beginning would be magic. The code 1 says that none of them is ignored.
    given = as_input(f"./{each}" for each in names)
    ignored = set(names_of(await git(repository, "check-ignore", "-z", "--stdin", given=given, fine=(0, 1))))
    return [each for each in names if f"./{each}" in ignored]


def _is_below(name: str, folders: list[str]) -> bool:
    return any(name == each or (each.endswith("/") and name.startswith(each)) for each in folders)


def _carry(repository: Path, worktree: Path, copies: list[str], links: list[str]) -> Carried:
    repository, worktree = repository.resolve(), worktree.resolve()
    copied: list[str] = []
    linked: list[str] = []
    left: list[tuple[str, str]] = []
    total = 0
    linking = set(links)
    for name in (*links, *copies):
        link = name in linking
        source, target = repository / name.rstrip("/"), worktree / name.rstrip("/")
        why = _why_not(source, target, repository, worktree)
        if not why and not link:
            total += source.stat().st_size
            why = "too much is copied" if len(copied) >= MOST_FILES or total > MOST_BYTES else ""
        if not why and not link and source.is_dir():
            # Git names one as a whole.
            why = "it is a repository of its own"
        if not why:
            why = _bring(source, target, link=link)
        if why:
            left.append((name, why))
        else:
            (linked if link else copied).append(name)
    return Carried(tuple(copied), tuple(linked), tuple(left))


def _bring(source: Path, target: Path, *, link: bool) -> str:
    """Link or copy; why it did not work. Raises `OSError` for a full disk."""
    beside = target.with_name(f".{secrets.token_hex(6)}.burrow")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            os.symlink(source, target, target_is_directory=source.is_dir())
        else:
            # Whoever ends in the middle leaves no part of a file that a later call would take for the whole.
            shutil.copy2(source, beside)
            os.replace(beside, target)
    except OSError as failure:
        with contextlib.suppress(OSError):
            beside.unlink()
        if failure.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise
        return f"{failure.strerror or failure}"
    return ""


def _why_not(source: Path, target: Path, repository: Path, worktree: Path) -> str:
    if not source.resolve().is_relative_to(repository):
        return "it leads out of the repository"
    if ".git" in source.relative_to(repository).parts:
        return "it belongs to git"
    if not target.parent.resolve().is_relative_to(worktree):
        return "its folder leads out of the worktree"
    if os.path.lexists(target):
        return THERE
    return "" if source.is_file() or source.is_dir() else "it is no file"
