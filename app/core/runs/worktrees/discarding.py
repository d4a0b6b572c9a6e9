"""Gives files the content back that they had, and takes that back. Nothing is lost by it: what is there moves aside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import Rejected
from app.core.posthog.types import Value
from app.core.private import make_private_folder
from app.core.runs.worktrees.changes import paths_of, top_of
from app.core.runs.worktrees.git import GitTrouble, as_input, git, git_line, names_of

if TYPE_CHECKING:
    from app.core.runs.worktrees.changes import FileChange


class Discarded(Value, frozen=True):
    """`asides` are pairs of what was moved away, by its path, and where it is now, the last one last.

    `entries` are the lines that the index had of them, as `git update-index --index-info` reads them.
    """

    change: FileChange
    asides: tuple[tuple[str, str], ...]
    entries: bytes


async def discard(folder: Path, base: str, change: FileChange, asides: Path) -> Discarded:
    """Give a file the content that it has in the commit or tree `base`, or remove it where `base` has none.

    What was there is moved into new folders of `asides` first. Raises `GitTrouble`, `OSError`, `Rejected` for a path
    that leads out of the folder.
    """
    top = await top_of(folder)
    tree = await git_line(top, "rev-parse", "--verify", "--end-of-options", f"{base}^{{tree}}")
    restored = change.old_path or change.path
    there = bool(await git(top, "ls-tree", "-z", tree, "--", restored))
    # A file or a link may stand where a folder was, and something new where a file was moved away from.
    names = await asyncio.to_thread(_in_the_way, top, change, restored if there else "")
    entries = await git(top, "ls-files", "--stage", "-z", "--", *{*paths_of([change]), *names})
    moved: list[tuple[str, str]] = []
    done = Discarded(change, (), entries)
    try:
        for name in names:
            aside = await asyncio.to_thread(move_aside, top, name, asides)
            moved += [(name, str(aside))]
            done = Discarded(change, tuple(moved), entries)
        if there:
            await git(top, "checkout", "--quiet", tree, "--", restored)
        if restored != change.path or not there:
            await git(top, "rm", "--quiet", "--cached", "--ignore-unmatch", "-r", "--", change.path)
    except (GitTrouble, OSError):
        await asyncio.shield(asyncio.to_thread(_put_back, top, done, asides))
        raise
    return done


async def take_back(folder: Path, done: Discarded, asides: Path) -> None:
    """Undo `discard`: files and index are what they were, and what stands in their place goes aside.

    Raises `OSError`, `GitTrouble`.
    """
    top = await top_of(folder)
    await asyncio.to_thread(_put_back, top, done, asides)
    known = [each.partition("\t")[2] for each in names_of(done.entries)]
    # Entries of a conflict are added to those of a path, and do not replace them.
    paths = {*paths_of([done.change]), *known}
    await git(top, "update-index", "--force-remove", "-z", "--stdin", given=as_input(paths))
    await git(top, "update-index", "-z", "--index-info", given=done.entries)


def move_aside(top: Path, name: str, asides: Path) -> Path:
    """Move a file or folder of `top` into a new folder of `asides`; returns where it is.

    Raises `OSError`, `Rejected` for a name that leads out of `top`. Call it in a thread.
    """
    path = top / name
    if not path.parent.resolve().is_relative_to(top.resolve()):
        raise Rejected(f"{name} leads out of the folder.", action="Look at it yourself.")
    place = asides / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    make_private_folder(place)
    aside = place / path.name
    shutil.move(path, aside)
    return aside


def _in_the_way(top: Path, change: FileChange, restored: str) -> list[str]:
    """What has to move away, by its path: the file itself, and what stands where `restored` is to be."""
    found = []
    for path in dict.fromkeys(each for each in (change.path, restored) if each):
        blocking = _no_folder(top, path)
        if blocking is None:
            blocking = path if os.path.lexists(top / path) else None
        elif path != restored:
            if os.path.lexists(top / path):
                # A link leads to it: it is another file.
                raise Rejected(f"{path} leads out of its folder.", action="Look at it yourself.")
            continue
        if blocking is not None and blocking not in found:
            found.append(blocking)
    return found


def _no_folder(top: Path, path: str) -> str | None:
    """The first part of a path that should be a folder, and is a file or a link."""
    for parent in reversed(Path(path).parents):
        place = top / parent
        if os.path.lexists(place) and (place.is_symlink() or not place.is_dir()):
            return str(parent)
    return None


def _put_back(top: Path, done: Discarded, asides: Path) -> None:
    names = [*paths_of([done.change]), *(name for name, _ in done.asides)]
    for name in dict.fromkeys(names):
        if _no_folder(top, name) is None and os.path.lexists(top / name):
            move_aside(top, name, asides)
            _remove_empty_folders(top, name)
    for name, aside in reversed(done.asides):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(aside, top / name)


def _remove_empty_folders(top: Path, name: str) -> None:
    """Git made them for the file."""
    with contextlib.suppress(OSError):
        for parent in Path(name).parents[:-1]:
            (top / parent).rmdir()
