"""The repositories of the workspace: bare git repositories at `repositories/ORGANISATION/NAME.git` of its data folder.

A person adds one with `git clone --bare`. Those of a new workspace are made when somebody first asks for repositories,
so that the start of the workspace does not wait for git.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zlib import crc32

from app.workspace.code_host.git import GitFailed, git

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from app.workspace.runtime.context import Workspace

FOLDER = "repositories"
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")
SUFFIX = ".git"
DEFAULT_BRANCH = "main"


@dataclass(frozen=True)
class CodeRepository:
    """A bare git repository; `full_name` is `organisation/name` in lower case."""

    full_name: str
    path: Path

    @property
    def id(self) -> int:
        """A number that stays the same for a name."""
        return crc32(self.full_name.encode())

    def as_json(self) -> dict[str, object]:
        return {"id": self.id, "name": self.full_name.partition("/")[2], "full_name": self.full_name}


@dataclass(frozen=True)
class Branches:
    """The branches of a repository in order of their names, the default one first."""

    names: tuple[str, ...]
    default: str


@dataclass
class RepositoryShelf:
    """What was found in the folder; one for each running workspace. `fill` makes those of a new workspace, once."""

    fill: Callable[[Workspace], Awaitable[None]] | None = None
    _known: dict[str, CodeRepository] | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def all(self, workspace: Workspace, *, again: bool = False) -> list[CodeRepository]:
        """Every repository in order of the names; `again` looks into the folder once more.

        Raises `GitFailed` when a new workspace cannot make its own.
        """
        async with self._turn:
            if self.fill is not None:
                await self.fill(workspace)
                self.fill = None
                again = True
            if self._known is None or again:
                self._known = await asyncio.to_thread(_found, workspace.settings.data / FOLDER)
        return list(self._known.values())

    async def named(self, workspace: Workspace, name: str) -> CodeRepository | None:
        """The repository of this name, looked for in the folder if it is not known yet."""
        known = {each.full_name: each for each in await self.all(workspace)}
        if name.lower() not in known:
            known = {each.full_name: each for each in await self.all(workspace, again=True)}
        return known.get(name.lower())


async def branches_of(repository: CodeRepository) -> Branches:
    """Raises `GitFailed`."""
    if not repository.path.is_dir():
        raise GitFailed(f"The repository {repository.full_name} is gone: {repository.path}")
    # A short name has "heads/" before it where a tag is called the same.
    listed = await git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/", folder=repository.path)
    names = sorted(listed.split())
    try:
        head = (await git("symbolic-ref", "HEAD", folder=repository.path)).strip().removeprefix("refs/heads/")
    except GitFailed:
        # It is a commit, as in a clone of a repository that has no branch checked out.
        head = ""
    default = head if head in names else (names or [DEFAULT_BRANCH])[0]
    return Branches(tuple(sorted(names, key=lambda name: (name != default, name.casefold()))), default)


async def make_repository(folder: Path, stream: bytes) -> None:
    """Make a bare repository of a `git fast-import` stream; nothing is left of one that fails. Raises `GitFailed`."""
    beside = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        await git("init", "--quiet", "--bare", f"--initial-branch={DEFAULT_BRANCH}", folder=beside)
        await git("fast-import", "--quiet", folder=beside, given=stream)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _found(folder: Path) -> dict[str, CodeRepository]:
    found = {}
    for path in sorted(folder.glob(f"*/*{SUFFIX}")):
        owner, name = path.parent.name, path.name.removesuffix(SUFFIX)
        if NAME.fullmatch(owner) and NAME.fullmatch(name) and (path / "HEAD").is_file():
            repository = CodeRepository(f"{owner}/{name}".lower(), path)
            found[repository.full_name] = repository
    return found
