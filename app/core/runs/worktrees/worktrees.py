"""Worktrees: a folder with a branch of its own for a run, so that the person's own folder stays as it is.

Nothing is lost with one. Archiving touches no file. Deleting names what would go with it, waits for a turn that is
under way, looks again right before, uses no force, and puts aside what is nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.core.errors import BurrowError, Facts, Rejected
from app.core.posthog.types import Value
from app.core.private import make_private_folder, replace_private
from app.core.runs.worktrees.git import ForeignRepository, GitTrouble, git, git_line
from app.core.runs.worktrees.losses import Losses, links_in, losses_of, submodules_in
from app.core.runs.worktrees.under_way import autostashes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

FOLDER = "worktrees"
PREFIX = "burrow/"
RECORDS, TRASH = "records", "trash"
# In git's own folder of the worktree, which another one in its place would not have.
MARK = "burrow-worktree"
STAGED = "staged.patch"
CHECKOUT_SECONDS = 600.0
_UNUSABLE = re.compile(r"[^a-z0-9]+")


class WorktreeRecord(Value, frozen=True, kw_only=True):
    """`repository` is the folder that it was made from, `branch` its own, `base` the commit that it began at.

    `created` is in Unix seconds.
    """

    id: str
    repository: str
    path: str
    branch: str
    base: str
    created: float
    archived: bool = False


class WorktreeChanged(BurrowError):
    """Something would be lost that was not named when the person decided. `losses` are all of them now."""

    title = "The worktree has changed"
    action = "Look at what would be lost, then decide again."

    def __init__(self, losses: Losses) -> None:
        super().__init__("More would be lost now than when you decided.")
        self.losses = losses


class Worktrees:
    """The worktrees that Burrow made, of all repositories. `data` is the data folder. Methods raise `GitTrouble`."""

    def __init__(self, data: Path) -> None:
        # Git works in another folder than this process.
        self._folder = Path(os.path.abspath(data)) / FOLDER
        # Git reads all worktrees of a repository, and fails on one that another call is just making.
        self._turn = asyncio.Lock()

    @property
    def folder(self) -> Path:
        """Where all of them are."""
        return self._folder

    async def create(self, repository: Path, name: str, base: str = "HEAD") -> WorktreeRecord:
        """Make a worktree with a branch of its own, named after `name`, at the commit `base`.

        Raises `Rejected` for a folder that is no repository, or has no commit.
        """
        try:
            top = Path(await git_line(repository, "rev-parse", "--show-toplevel"))
            commit = await git_line(top, "rev-parse", "--verify", "--end-of-options", f"{base}^{{commit}}")
        except ForeignRepository:
            raise
        except GitTrouble as trouble:
            raise Rejected(
                f"No worktree can be made of {repository}: {trouble.cause}",
                Facts(attr="folder"),
                action="Choose the folder of a git repository that has a commit.",
            ) from None
        number = secrets.token_hex(4)
        slug = _UNUSABLE.sub("-", name.lower()).strip("-")[:40] or "run"
        path = self._folder / f"{top.name}-{number}" / slug
        await asyncio.to_thread(make_private_folder, path.parent)
        async with self._turn:
            record = WorktreeRecord(
                id=number,
                repository=str(top),
                path=str(path),
                branch=await _new_branch(top, slug, number, commit),
                base=commit,
                created=time.time(),
            )
            try:
                await git(top, "worktree", "add", "--quiet", record.path, record.branch, seconds=CHECKOUT_SECONDS)
                await asyncio.to_thread((await _git_folder(path) / MARK).write_text, number, "utf-8")
                return await self._save(record)
            except BaseException:
                await asyncio.shield(self._undo(record))
                raise

    async def all(self) -> tuple[WorktreeRecord, ...]:
        """All that Burrow made, the oldest first, archived ones too."""
        found = await asyncio.to_thread(lambda: tuple(self._load()))
        return tuple(sorted(found, key=lambda each: each.created))

    async def archive(self, record: WorktreeRecord) -> WorktreeRecord:
        """Leave it out of the lists. No file is touched."""
        return await self._save(msgspec.structs.replace(record, archived=True))

    async def restore(self, record: WorktreeRecord) -> WorktreeRecord:
        """List it again. Raises `Rejected` when the folder is not the one that was archived."""
        await self._check_is_it(record)
        return await self._save(msgspec.structs.replace(record, archived=False))

    async def losses(self, record: WorktreeRecord) -> Losses:
        """What would be lost if it were deleted now."""
        try:
            await self._check_is_it(record)
        except Rejected as refused:
            return Losses(unknown=(refused.cause,))
        return await losses_of(Path(record.path), record.branch, Path(record.repository))

    async def delete(
        self, record: WorktreeRecord, agreed: Losses, idle: Callable[[], Awaitable[None]] | None = None
    ) -> Path | None:
        """Delete it. `agreed` is what the person saw; `idle` returns when no turn is under way in it.

        Where something would be lost, the folder is moved aside instead, with what is staged, and that place is
        returned. Its branch goes only if another one has all of its commits, and commits that are on no branch get one.
        Of one whose folder is gone only the record goes. Raises `WorktreeChanged`, `Rejected`, `GitTrouble`, `OSError`;
        then the worktree is where it was.
        """
        if idle is not None:
            await idle()
        if not await asyncio.to_thread(os.path.lexists, record.path):
            await asyncio.to_thread(self._forget, record)
            return None
        await self._check_is_it(record)
        now = await losses_of(Path(record.path), record.branch, Path(record.repository))
        if now != agreed:
            raise WorktreeChanged(now)
        await _check_not_locked(Path(record.path))
        # Whoever is cancelled in the middle of it leaves nothing half done.
        async with self._turn:
            return await asyncio.shield(self._take_away(record, now))

    async def _take_away(self, record: WorktreeRecord, losses: Losses) -> Path | None:
        repository, path = Path(record.repository), Path(record.path)
        # Git removes none that may have submodules.
        aside = await self._move_aside(record) if losses.any or await links_in(path) else None
        try:
            # Without --force git looks once more by itself. It forgets one that has been moved.
            await git(repository, "worktree", "remove", record.path, seconds=CHECKOUT_SECONDS)
        except GitTrouble:
            if aside is not None:
                await asyncio.to_thread(shutil.move, aside / path.name, path)
                raise
            if await _number_of(path) == record.id:
                raise
            # It has let go of it all the same, and there is no going back. A program may hold one of the files.
            aside = await asyncio.to_thread(self._move_rest, path, record)
        with contextlib.suppress(GitTrouble):
            # Refused while commits are on this branch alone.
            await git(repository, "branch", "--delete", "--quiet", record.branch)
        await asyncio.to_thread(self._forget, record)
        return aside

    async def _move_aside(self, record: WorktreeRecord) -> Path:
        path = Path(record.path)
        aside = self._trash_of(record)
        await asyncio.to_thread(make_private_folder, aside)
        try:
            # The index is in git's own folder, which does not move along.
            staged = ("diff", "--cached", "--binary", "--no-ext-diff", "--no-textconv", f"--output={aside / STAGED}")
            await git(path, *staged, seconds=CHECKOUT_SECONDS)
            await _keep_commits(record)
            await _detach_submodules(path)
        except GitTrouble:
            await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)
            raise
        await asyncio.to_thread(shutil.move, path, aside / path.name)
        return aside

    def _move_rest(self, path: Path, record: WorktreeRecord) -> Path:
        """Move what could not be deleted aside; returns where it is then, perhaps where it was."""
        aside = self._trash_of(record)
        try:
            make_private_folder(aside)
            shutil.move(path, aside / path.name)
        except OSError:
            return path
        return aside

    def _trash_of(self, record: WorktreeRecord) -> Path:
        return self._folder / TRASH / f"{Path(record.path).name}-{record.id}-{secrets.token_hex(3)}"

    async def _check_is_it(self, record: WorktreeRecord) -> None:
        """Raises `Rejected` unless the folder is there, and is the worktree that the record is of."""
        path = Path(record.path)
        if not await asyncio.to_thread(path.is_dir):
            raise Rejected(
                f"{path} is gone, and a new worktree would not have what was in it.",
                Facts(attr="folder"),
                action="Make a new worktree; the branch may still be there.",
            )
        if await _number_of(path) != record.id:
            raise Rejected(
                f"{path} is another folder than the worktree that was there.",
                Facts(attr="folder"),
                action="Look at the folder yourself; Burrow does not touch it.",
            )

    async def _undo(self, record: WorktreeRecord) -> None:
        """Remove what there is of a worktree that could not be made. Nobody has worked in it."""
        path, repository = Path(record.path), Path(record.repository)
        await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
        for words in (
            # A half-made one is locked.
            ("worktree", "unlock", record.path),
            ("worktree", "remove", record.path),
            # Only while it is where it began.
            ("update-ref", "-d", f"refs/heads/{record.branch}", record.base),
        ):
            with contextlib.suppress(GitTrouble):
                await git(repository, *words)
        await asyncio.to_thread(self._forget, record)

    async def _save(self, record: WorktreeRecord) -> WorktreeRecord:
        def write() -> None:
            make_private_folder(self._folder / RECORDS)
            text = msgspec.json.encode(record).decode()
            replace_private(self._folder / RECORDS / f"{record.id}.json", text, prefix=".worktree-")

        await asyncio.to_thread(write)
        return record

    def _load(self) -> Iterator[WorktreeRecord]:
        folder = self._folder / RECORDS
        for path in folder.glob("*.json") if folder.is_dir() else ():
            # One that cannot be read is left where it is.
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                yield msgspec.json.decode(path.read_bytes(), type=WorktreeRecord)

    def _forget(self, record: WorktreeRecord) -> None:
        (self._folder / RECORDS / f"{record.id}.json").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.rmdir(Path(record.path).parent)


async def _git_folder(worktree: Path) -> Path:
    return Path(await git_line(worktree, "rev-parse", "--absolute-git-dir"))


async def _number_of(worktree: Path) -> str:
    """The id of the record that a folder was made for; empty for any other folder."""
    try:
        return (await asyncio.to_thread((await _git_folder(worktree) / MARK).read_text, "utf-8")).strip()
    except (GitTrouble, OSError, ValueError):
        return ""


async def _new_branch(repository: Path, slug: str, number: str, commit: str) -> str:
    """Make a branch; returns its name. A name may be taken, also by a branch that is called like one of its folders."""
    names = (f"{PREFIX}{slug}", f"{PREFIX}{slug}-{number}", f"{PREFIX[:-1]}-{slug}-{number}")
    for name in names:
        try:
            await git(repository, "branch", "--no-track", name, commit)
        except GitTrouble:
            if name == names[-1]:
                raise
        else:
            break
    return name


async def _check_not_locked(worktree: Path) -> None:
    locked = await _git_folder(worktree) / "locked"
    if await asyncio.to_thread(locked.exists):
        raise Rejected(
            f"{worktree} is locked in git.",
            Facts(attr="folder"),
            action="Whoever locked it has a reason. Unlock it with: git worktree unlock",
        )


async def _keep_commits(record: WorktreeRecord) -> None:
    """Give a branch to commits that only the HEAD of the worktree leads to, and keep what a rebase has put away."""
    path = Path(record.path)
    try:
        head = await git_line(path, "rev-parse", "--verify", "HEAD^{commit}")
    except GitTrouble:
        # It has no commit yet.
        head = ""
    elsewhere = ("--not", "--branches", "--remotes", "--tags")
    if head and await git(path, "rev-list", "--max-count=1", head, *elsewhere):
        await git(path, "branch", "--no-track", f"{record.branch}-{record.id}-{head[:8]}", head)
    for commit in await asyncio.to_thread(autostashes, await _git_folder(path)):
        await git(path, "stash", "store", "--quiet", "-m", f"From the worktree of {record.branch}", commit)


async def _detach_submodules(worktree: Path) -> None:
    """Make each submodule a repository of its own, as its commits are in git's own folder of the worktree."""
    within = await _git_folder(worktree)
    for name in await submodules_in(worktree):
        submodule = worktree / name
        await _detach_submodules(submodule)
        link = submodule / ".git"
        own = await _git_folder(submodule)
        # One that is elsewhere stays there: another working folder may use it.
        if own.is_relative_to(within) and await asyncio.to_thread(link.is_file):
            await git(submodule, "config", "--unset-all", "core.worktree", fine=(0, 5))
            await asyncio.to_thread(_take_in, own, link)


def _take_in(own: Path, link: Path) -> None:
    link.unlink()
    shutil.move(own, link)
