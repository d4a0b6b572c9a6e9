"""RunChanges: the changes of one run in its folder, as a person decides about them."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from app.core.errors import BurrowError, Facts, Rejected
from app.core.posthog.types import Value
from app.core.private import make_private_folder, replace_private
from app.core.runs.worktrees.changes import (
    FileChange,
    changed_files,
    commit,
    difference_of,
    keep,
    paths_of,
    tracked_changes,
)
from app.core.runs.worktrees.discarding import Discarded, discard, take_back
from app.core.runs.worktrees.git import ForeignRepository, GitTrouble, as_input, git, git_line
from app.core.runs.worktrees.under_way import under_way

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from app.core.runs.worktrees.changes import FileDifference

# Kinds of changes, and why they cannot be discarded.
UNDISCARDABLE = {
    "submodule": ("is a repository of its own.", "Discard its changes inside of it."),
    "reverted": ("is as it was when the run began.", "Keep it to have the next commit say so."),
}
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


class RunChanges:
    """`base` is the commit that the run began at, empty where there was none. What is discarded is moved into `asides`.

    Methods raise `NoRepository`, `RepositoryBusy`, `GitTrouble` and `OSError`. What writes waits for what writes.
    """

    def __init__(self, folder: Path, base: str, asides: Path) -> None:
        self.folder, self.base, self.asides = folder, base, asides
        self._message = asides / MESSAGE
        self._writing = asyncio.Lock()

    async def look(self) -> ChangeList:
        """What is changed now."""
        top, base = await self._top(), await self._begun()
        async with self._told():
            changes, status = await asyncio.gather(
                changed_files(top, base),
                _status(top),
            )
            git_folder = Path(await git_line(top, "rev-parse", "--absolute-git-dir"))
            changes += await self._reverted(top, changes, status)
        # They may be many.
        listed = await asyncio.to_thread(lambda: [status.listed(each) for each in sorted(changes, key=_path)])
        unfinished = await under_way(git_folder)
        return ChangeList(
            top=str(top), files=tuple(listed), branch=status.branch, head=status.head, under_way=unfinished
        )

    async def difference(self, change: FileChange, *, context: int = 3) -> FileDifference:
        """The lines of one file that differ."""
        async with self._told():
            return await difference_of(self.folder, await self._begun(), change, context=context)

    async def keep(self, changes: Sequence[FileChange]) -> None:
        """Have the next commit include them as they are now."""
        async with self._alone():
            await keep(self.folder, changes)

    async def release(self, changes: Sequence[FileChange]) -> None:
        """The other way round. The files stay as they are."""
        paths = paths_of(changes)
        if paths:
            async with self._alone():
                top = await self._top()
                # Paths as arguments have a limit, so they go through standard input.
                await git(
                    *(top, "reset", "--quiet", "--pathspec-from-file=-", "--pathspec-file-nul"),
                    given=as_input(paths),
                )

    async def discard(self, changes: Sequence[FileChange]) -> Discarded:
        """Bring back what the files were when the run began: all of them that can be, or none.

        Raises `Rejected` where none can be.
        """
        possible = [each for each in changes if each.kind not in UNDISCARDABLE]
        if changes and not possible:
            why = UNDISCARDABLE[changes[0].kind]
            raise Rejected(f"{changes[0].path} {why[0]}", Facts(attr="file"), action=why[1])
        async with self._alone():
            return await discard(await self._top(), await self._begun(), possible, self.asides)

    async def take_back(self, done: Discarded) -> None:
        """Undo `discard`: files and index are what they were. What stands in their place goes aside."""
        async with self._alone():
            await take_back(await self._top(), done, self.asides)

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
        """Commit these files; returns the commit's hash.

        Raises `Rejected` without message or files, and for a file that is another one than that which was kept.
        """
        async with self._alone():
            stages = (await _status(await self._top())).stages
            for path in paths_of(changes):
                if stages.get(path) == "open":
                    raise Rejected(
                        f"{path} has changed since it was kept.",
                        Facts(attr="file"),
                        action="Look at it again, then keep it.",
                    )
            return await commit(self.folder, message, changes, hooks=hooks)

    async def _reverted(self, top: Path, changes: Sequence[FileChange], status: _Status) -> tuple[FileChange, ...]:
        """Files that are as they were when the run began, and others in the last commit."""
        shown = set(paths_of(changes))
        missing = [each for each in status.stages if each not in shown]
        if not missing or not status.head:
            return ()
        known = {path: each for each in await tracked_changes(top, "HEAD") for path in paths_of([each])}
        found = [(each, known[each]) for each in missing if each in known]
        return tuple([FileChange(path, "reverted", "", each.added, each.removed) for path, each in found])

    async def _begun(self) -> str:
        """The commit that the run began at, or the tree without files."""
        return self.base or await git_line(await self._top(), "hash-object", "-t", "tree", os.devnull)

    async def _top(self) -> Path:
        if not await asyncio.to_thread(self.folder.is_dir):
            raise NoRepository(f"{self.folder} is not there any more.", action="The folder was moved or deleted.")
        if await asyncio.to_thread(shutil.which, "git") is None:
            raise GitTrouble("git is not installed.", action="Install git, then try again.")
        try:
            return Path(await git_line(self.folder, "rev-parse", "--show-toplevel"))
        except ForeignRepository:
            raise
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


def _path(change: FileChange) -> str:
    return change.path


class _Status(NamedTuple):
    """What `git status` says (git-status(1), "Porcelain Format Version 2"): stages by path, and paths in conflict."""

    stages: dict[str, str]
    conflicts: set[str]
    branch: str
    head: str

    @staticmethod
    def of(output: bytes) -> _Status:
        stages: dict[str, str] = {}
        conflicts: set[str] = set()
        facts: dict[str, str] = {}
        for entry in map(os.fsdecode, output.split(b"\0")):
            if entry.startswith("# "):
                name, _, value = entry.removeprefix("# ").partition(" ")
                # A branch that is not there, or no commit.
                facts[name] = "" if value in {"(detached)", "(initial)"} else value
            elif entry.startswith("1 "):
                # 1 XY sub mH mI mW hH hI path
                fields = entry.split(" ", 8)
                stages[fields[8]] = "kept" if fields[1][1] == "." else "open"
            elif entry.startswith("u "):
                conflicts.add(entry.split(" ", 10)[10])
            elif entry.startswith("? "):
                stages[entry[2:]] = "open"
        return _Status(stages, conflicts, facts.get("branch.head", ""), facts.get("branch.oid", ""))

    def listed(self, change: FileChange) -> ListedChange:
        paths = paths_of([change])
        if self.conflicts.intersection(paths):
            return ListedChange(FileChange(change.path, "conflict", "", change.added, change.removed), "open")
        found = {self.stages.get(each, "committed") for each in paths}
        return ListedChange(change, "open" if "open" in found else "kept" if "kept" in found else "committed")


async def _status(top: Path) -> _Status:
    words = ("status", "--porcelain=v2", "-z", "--branch", "--untracked-files=all", "--no-renames")
    return await asyncio.to_thread(_Status.of, await git(top, *words))
