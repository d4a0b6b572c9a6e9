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
from app.core.runs.worktrees.git import GitTrouble, git, git_line
from app.core.runs.worktrees.losses import Losses, losses_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

FOLDER = "worktrees"
PREFIX = "burrow/"
RECORDS, TRASH = "records", "trash"
# In git's own folder of the worktree, which another one in its place would not have.
MARK = "burrow-worktree"
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
        self._folder = data / FOLDER

    async def create(self, repository: Path, name: str, base: str = "HEAD") -> WorktreeRecord:
        """Make a worktree with a branch of its own, named after `name`, at the commit `base`.

        Raises `Rejected` for a folder that is no repository, or has no commit.
        """
        try:
            top = Path(await git_line(repository, "rev-parse", "--show-toplevel"))
            commit = await git_line(top, "rev-parse", "--verify", "--end-of-options", f"{base}^{{commit}}")
        except GitTrouble as trouble:
            raise Rejected(
                f"No worktree can be made of {repository}: {trouble.cause}",
                Facts(attr="folder"),
                action="Choose the folder of a git repository that has a commit.",
            ) from None
        number = secrets.token_hex(4)
        slug = _UNUSABLE.sub("-", name.lower()).strip("-")[:40] or "run"
        branch = await self._free_branch(top, f"{PREFIX}{slug}", number)
        path = self._folder / f"{top.name}-{number}" / slug
        await asyncio.to_thread(make_private_folder, path.parent)
        made = ("worktree", "add", "--quiet", "--no-track", "-b", branch, str(path), commit)
        await git(top, *made, seconds=CHECKOUT_SECONDS)
        record = WorktreeRecord(
            id=number, repository=str(top), path=str(path), branch=branch, base=commit, created=time.time()
        )
        await asyncio.to_thread((await _git_folder(path) / MARK).write_text, number, "utf-8")
        await self._save(record)
        return record

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
        returned. Its branch goes only if another one has all of its commits. Raises `WorktreeChanged`, `Rejected`,
        `GitTrouble`; then nothing has happened.
        """
        if idle is not None:
            await idle()
        await self._check_is_it(record)
        now = await losses_of(Path(record.path), record.branch, Path(record.repository))
        if now != agreed:
            raise WorktreeChanged(now)
        repository, path = Path(record.repository), Path(record.path)
        aside = await self._move_aside(record) if now.any else None
        # Without --force git looks once more by itself. It forgets one that has been moved.
        await git(repository, "worktree", "remove", str(path))
        with contextlib.suppress(GitTrouble):
            # Refused while commits are on this branch alone.
            await git(repository, "branch", "--delete", "--quiet", record.branch)
        await asyncio.to_thread(self._forget, record)
        return aside

    async def _move_aside(self, record: WorktreeRecord) -> Path:
        path = Path(record.path)
        aside = self._folder / TRASH / f"{path.name}-{record.id}-{secrets.token_hex(3)}"
        await asyncio.to_thread(make_private_folder, aside)
        # The index is in git's own folder, which does not move along.
        staged = await git(path, "diff", "--cached", "--binary", "--no-ext-diff", "--no-textconv")
        await asyncio.to_thread((aside / "staged.patch").write_bytes, staged)
        await asyncio.to_thread(shutil.move, path, aside / path.name)
        return aside

    async def _check_is_it(self, record: WorktreeRecord) -> None:
        """Raises `Rejected` unless the folder is there, and is the worktree that the record is of."""
        path = Path(record.path)
        if not await asyncio.to_thread(path.is_dir):
            raise Rejected(
                f"{path} is gone, and a new worktree would not have what was in it.",
                Facts(attr="folder"),
                action="Make a new worktree; the branch may still be there.",
            )
        try:
            mark = (await asyncio.to_thread((await _git_folder(path) / MARK).read_text, "utf-8")).strip()
        except (GitTrouble, OSError):
            mark = ""
        if mark != record.id:
            raise Rejected(
                f"{path} is another folder than the worktree that was there.",
                Facts(attr="folder"),
                action="Look at the folder yourself; Burrow does not touch it.",
            )

    async def _free_branch(self, repository: Path, wanted: str, number: str) -> str:
        names = (f"refs/heads/{wanted}", f"refs/heads/{PREFIX[:-1]}")
        taken = await git(repository, "for-each-ref", "--format=%(refname)", *names)
        return f"{wanted}-{number}" if f"refs/heads/{wanted}".encode() in taken.splitlines() else wanted

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
