"""RunChanges: the changes of one run in its folder, as a person decides about them."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import BurrowError, Facts, Rejected
from app.core.posthog.types import Value
from app.core.private import make_private_folder, replace_private
from app.core.runs.worktrees.changes import (
    Discarded,
    FileChange,
    changed_files,
    commit,
    difference_of,
    discard,
    keep,
    move_aside,
    take_back,
)
from app.core.runs.worktrees.git import GitTrouble, as_input, git, git_line
from app.core.runs.worktrees.under_way import under_way

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from app.core.runs.worktrees.changes import FileDifference

LOCK = "index.lock"
MESSAGE = "commit-message"


class NoRepository(BurrowError):
    """The folder of the run is not under version control, or is gone."""

    title = "No changes can be shown"
    action = "Run in the folder of a git repository to see changes here."


class RepositoryBusy(BurrowError):
    """Another program holds the lock of the repository's index."""

    title = "The repository is busy"
    action = "Wait until the other git command has ended, then try again."
    retryable = True


class ListedChange(Value, frozen=True):
    """`stage`: `committed`, `kept` (the next commit has it as it is) or `open`."""

    change: FileChange
    stage: str

    @property
    def path(self) -> str:
        return self.change.path


class ChangeList(Value, frozen=True, kw_only=True):
    """`branch` is empty without one, `head` the commit that is checked out. `under_way` says what git has not finished.

    Files are in the order of their paths, which are relative to the folder `top`.
    """

    top: str = ""

    files: tuple[ListedChange, ...] = ()
    branch: str = ""
    head: str = ""
    under_way: str = ""


class DiscardedChange(Value, frozen=True):
    """`entries` are the lines of the index that the file had, for `git update-index --index-info`."""

    change: FileChange
    discarded: Discarded
    entries: bytes


class RunChanges:
    """`base` is the commit that the run began at. What is discarded is moved into `asides`.

    Methods raise `NoRepository`, `RepositoryBusy`, `GitTrouble` and `OSError`. What writes waits for what writes.
    """

    def __init__(self, folder: Path, base: str, asides: Path) -> None:
        self.folder, self.base, self.asides = folder, base, asides
        self._message = asides / MESSAGE
        self._writing = asyncio.Lock()

    async def look(self) -> ChangeList:
        """What is changed now."""
        top = await self._top()
        async with self._told():
            changes, status, head = await asyncio.gather(
                changed_files(top, self.base),
                git(top, "status", "--porcelain=v2", "-z", "--branch", "--untracked-files=all", "--no-renames"),
                git_line(top, "rev-parse", "HEAD"),
            )
            git_folder = Path(await git_line(top, "rev-parse", "--absolute-git-dir"))
        stages, branch, conflicts = _read_status(status)
        listed = [self._listed(each, stages, conflicts) for each in changes]
        unfinished = await under_way(git_folder)
        return ChangeList(top=str(top), files=tuple(listed), branch=branch, head=head, under_way=unfinished)

    async def difference(self, change: FileChange, *, context: int = 3) -> FileDifference:
        """The lines of one file that differ."""
        async with self._told():
            return await difference_of(self.folder, self.base, change, context=context)

    async def keep(self, changes: Sequence[FileChange]) -> None:
        """Have the next commit include them as they are now."""
        async with self._alone():
            await keep(self.folder, changes)

    async def release(self, changes: Sequence[FileChange]) -> None:
        """The other way round. The files stay as they are."""
        paths = _paths_of(changes)
        if paths:
            async with self._alone():
                top = await self._top()
                # Paths as arguments have a limit, so they go through standard input.
                await git(
                    *(top, "reset", "--quiet", "--pathspec-from-file=-", "--pathspec-file-nul", "HEAD"),
                    given=as_input(paths),
                )

    async def discard(self, change: FileChange) -> DiscardedChange:
        """Bring back what the file was when the run began. Raises `Rejected` for what cannot be brought back."""
        if change.kind == "submodule":
            raise Rejected(
                f"{change.path} is a repository of its own.",
                Facts(attr="file"),
                action="Discard its changes inside of it.",
            )
        async with self._alone():
            top = await self._top()
            entries = await self._entries(top, change)
            return DiscardedChange(change, await discard(top, self.base, change, self.asides), entries)

    async def take_back(self, done: DiscardedChange) -> None:
        """Undo `discard`: files and index are what they were. What stands in their place goes aside."""
        change = done.change
        async with self._alone():
            top = await self._top()
            await take_back(top, done.discarded)
            # What the discard had brought back.
            returned = change.old_path if change.kind == "renamed" else ""
            if done.discarded.aside is None:
                returned = change.path
            if returned:
                await asyncio.to_thread(move_aside, top, returned, self.asides)
            known = {os.fsdecode(each.split(b"\t", 1)[1]) for each in done.entries.split(b"\0") if each}
            gone = [each for each in _paths_of([change]) if each not in known]
            await git(top, "update-index", "--force-remove", "-z", "--stdin", given=as_input(gone))
            await git(top, "update-index", "-z", "--index-info", given=done.entries)

    async def typed(self) -> str:
        """The message that was typed and not used yet."""

        def read() -> str:
            try:
                return self._message.read_text("utf-8")
            except (OSError, ValueError):
                return ""

        return await asyncio.to_thread(read)

    async def keep_typed(self, message: str) -> None:
        """Keep what is typed until it is used. Raises `OSError`."""

        def write() -> None:
            if message:
                make_private_folder(self._message.parent)
                replace_private(self._message, message, prefix=".message-")
            else:
                self._message.unlink(missing_ok=True)

        await asyncio.to_thread(write)

    async def commit(self, message: str, changes: Sequence[FileChange], *, hooks: bool = False) -> str:
        """Commit these files as they are now; returns the commit's hash. Raises `Rejected` without message or files."""
        async with self._alone():
            return await commit(self.folder, message, changes, hooks=hooks)

    def _listed(self, change: FileChange, stages: dict[str, str], conflicts: set[str]) -> ListedChange:
        paths = _paths_of([change])
        if conflicts.intersection(paths):
            return ListedChange(FileChange(change.path, "conflict", "", change.added, change.removed), "open")
        found = {stages.get(each, "committed") for each in paths}
        stage = "open" if "open" in found else "kept" if "kept" in found else "committed"
        return ListedChange(change, stage)

    async def _entries(self, top: Path, change: FileChange) -> bytes:
        return await git(top, "ls-files", "--stage", "-z", "--", *_paths_of([change]))

    async def _top(self) -> Path:
        if not await asyncio.to_thread(self.folder.is_dir):
            raise NoRepository(f"{self.folder} is not there any more.", action="The folder was moved or deleted.")
        if await asyncio.to_thread(shutil.which, "git") is None:
            raise GitTrouble("git is not installed.", action="Install git, then try again.")
        try:
            return Path(await git_line(self.folder, "rev-parse", "--show-toplevel"))
        except GitTrouble as trouble:
            raise NoRepository(f"{self.folder} is not in a git repository. {trouble.cause}") from None

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        async with self._writing, self._told():
            yield

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """A failure is another error while the lock of the index is there: git has no code for that."""
        try:
            yield
        except GitTrouble as trouble:
            try:
                name = await git_line(self.folder, "rev-parse", "--git-path", LOCK)
            except GitTrouble:
                raise trouble from None
            if await asyncio.to_thread((self.folder / name).exists):
                raise RepositoryBusy(f"Another program works on the repository: {name} is there.") from trouble
            raise


def _paths_of(changes: Sequence[FileChange]) -> list[str]:
    return [path for change in changes for path in (change.path, change.old_path) if path]


def _read_status(output: bytes) -> tuple[dict[str, str], str, set[str]]:
    """Stages by path, the branch, and the paths in conflict (git-status(1), "Porcelain Format Version 2")."""
    stages: dict[str, str] = {}
    conflicts: set[str] = set()
    branch = ""
    for entry in map(os.fsdecode, output.split(b"\0")):
        if entry.startswith("# branch.head "):
            name = entry.removeprefix("# branch.head ")
            branch = "" if name == "(detached)" else name
        elif entry.startswith("1 "):
            # 1 XY sub mH mI mW hH hI path
            fields = entry.split(" ", 8)
            stages[fields[8]] = "kept" if fields[1][1] == "." else "open"
        elif entry.startswith("u "):
            conflicts.add(entry.split(" ", 10)[10])
        elif entry.startswith("? "):
            stages[entry[2:]] = "open"
    return stages, branch, conflicts
