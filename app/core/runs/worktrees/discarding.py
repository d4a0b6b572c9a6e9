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
    from collections.abc import Iterable, Sequence

    from app.core.runs.worktrees.changes import FileChange

# Paths of one command: arguments have a limit.
PATHS_AT_ONCE = 200
DISCARD_SECONDS = 120.0


class Discarded(Value, frozen=True):
    """`asides` are pairs of what was moved away, by its path, and where it is now, the last one last.

    `entries` are the lines that the index had of them, as `git update-index --index-info` reads them.
    """

    changes: tuple[FileChange, ...]
    asides: tuple[tuple[str, str], ...]
    entries: bytes


async def discard(folder: Path, base: str, changes: Sequence[FileChange], asides: Path) -> Discarded:
    """Give files the content that they have in the commit or tree `base`, or remove them where `base` has none.

    What was there is moved into a new folder of `asides` first. Raises `GitTrouble`, `OSError`, `Rejected` for a path
    that leads out of the folder; then all of them are as they were.
    """
    top = await top_of(folder)
    tree = await git_line(top, "rev-parse", "--verify", "--end-of-options", f"{base}^{{tree}}")
    wanted = [each.old_path or each.path for each in changes]
    listed = await _of_paths(top, ("ls-tree", "-z", "--name-only", tree, "--"), wanted)
    restored = set(names_of(listed)).intersection(wanted)
    names = await asyncio.to_thread(_in_the_way, top, changes, restored)
    entries = await _of_paths(top, ("ls-files", "--stage", "-z", "--"), {*paths_of(changes), *names})
    place = _new_place(asides)
    moved: list[tuple[str, str]] = []
    try:
        await asyncio.to_thread(_move_all, top, names, place, moved)
        if restored:
            words = ("checkout", "--quiet", tree, "--pathspec-from-file=-", "--pathspec-file-nul")
            await git(top, *words, given=as_input(restored), seconds=DISCARD_SECONDS)
        gone = [each.path for each in changes if each.path not in restored]
        await git(top, "update-index", "--force-remove", "-z", "--stdin", given=as_input(gone))
    except (GitTrouble, OSError):
        await asyncio.shield(asyncio.to_thread(_put_back, top, Discarded(tuple(changes), tuple(moved), b""), asides))
        raise
    return Discarded(tuple(changes), tuple(moved), entries)


async def take_back(folder: Path, done: Discarded, asides: Path) -> None:
    """Undo `discard`: files and index are what they were, and what stands in their place goes aside.

    Raises `OSError`, `GitTrouble`.
    """
    top = await top_of(folder)
    await asyncio.to_thread(_put_back, top, done, asides)
    known = [each.partition("\t")[2] for each in names_of(done.entries)]
    # Entries of a conflict are added to those of a path, and do not replace them.
    paths = {*paths_of(done.changes), *known}
    await git(top, "update-index", "--force-remove", "-z", "--stdin", given=as_input(paths))
    await git(top, "update-index", "-z", "--index-info", given=done.entries)


async def _of_paths(top: Path, words: tuple[str, ...], paths: Iterable[str]) -> bytes:
    """What git says of paths that are given as arguments."""
    every = list(paths)
    parts = [every[at : at + PATHS_AT_ONCE] for at in range(0, len(every), PATHS_AT_ONCE)]
    return b"".join([await git(top, *words, *each) for each in parts])


def _new_place(asides: Path) -> Path:
    return asides / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"


def _move_all(top: Path, names: Sequence[str], place: Path, moved: list[tuple[str, str]]) -> None:
    for name in names:
        moved += [(name, str(_move_aside(top, name, place)))]


def _move_aside(top: Path, name: str, place: Path) -> Path:
    """Move a file or folder of `top` to the same path below `place`; returns where it is.

    Raises `OSError`, `Rejected` for a name that leads out of `top`.
    """
    path, aside = top / name, place / name
    if not path.parent.resolve().is_relative_to(top.resolve()):
        raise Rejected(f"{name} leads out of the folder.", action="Look at it yourself.")
    make_private_folder(aside.parent)
    shutil.move(path, aside)
    return aside


def _in_the_way(top: Path, changes: Sequence[FileChange], restored: set[str]) -> list[str]:
    """What has to move away, by its path: the files themselves, and what stands where others are to be."""
    found: dict[str, None] = {}
    own = {each.path for each in changes}
    for path in paths_of(changes):
        blocking = _no_folder(top, path)
        there = os.path.lexists(top / path)
        if path in restored:
            if blocking or there:
                found[blocking or path] = None
        elif path in own and there:
            if blocking:
                # A link leads to it: it is another file.
                raise Rejected(f"{path} leads out of its folder.", action="Look at it yourself.")
            found[path.rstrip("/")] = None
    # A folder takes along what is in it.
    return [each for each in found if not any(str(parent) in found for parent in Path(each).parents)]


def _no_folder(top: Path, path: str) -> str | None:
    """The first part of a path that should be a folder, and is a file or a link."""
    for parent in reversed(Path(path).parents):
        place = top / parent
        if os.path.lexists(place) and (place.is_symlink() or not place.is_dir()):
            return str(parent)
    return None


def _put_back(top: Path, done: Discarded, asides: Path) -> None:
    names = [*paths_of(done.changes), *(name for name, _ in done.asides)]
    place = _new_place(asides)
    for name in dict.fromkeys(names):
        if _no_folder(top, name) is None and os.path.lexists(top / name):
            _move_aside(top, name, place)
            _remove_empty_folders(top, name)
    for name, aside in reversed(done.asides):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(aside, top / name)


def _remove_empty_folders(top: Path, name: str) -> None:
    """Git made them for the file."""
    with contextlib.suppress(OSError):
        for parent in Path(name).parents[:-1]:
            (top / parent).rmdir()
