"""The folder that a run works in: its own clone, the branch it works on, and what it has made there."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import re
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.workspace.code_host.git import git, git_bytes
from app.workspace.code_host.repositories import FOLDER as REPOSITORIES
from app.workspace.code_host.repositories import RepositoryShelf, branches_of

if TYPE_CHECKING:
    from pathlib import Path

    from app.workspace.code_host.repositories import CodeRepository
    from app.workspace.runtime.context import Workspace

FOLDER = "runs"
CLONE, ATTACHMENTS = "work", "attachments"
PATCH = "changes.patch"
MOST_DOCUMENTS = 10
LARGEST_MADE = 3 * 1024 * 1024
LARGEST_LIST = 16 * 1024 * 1024
# A patch that applies, whatever the agent has set in the clone.
PATCH_OPTIONS = (
    *("--binary", "--no-color", "--no-ext-diff", "--no-textconv"),
    *("--src-prefix=a/", "--dst-prefix=b/"),
)
NAMES_SHOWN = 5


class RunFailed(Exception):
    """The run cannot go on. The text is a sentence or two for a person."""


@dataclass(frozen=True)
class Author:
    """In whose name a run commits."""

    name: str
    email: str


BOT = Author("Burrow", "runs@burrow.invalid")


@dataclass(frozen=True)
class MadeFile:
    """A file that a run has made."""

    name: str
    content_type: str
    content: bytes


@dataclass
class WorkFolder:
    """Where one run works. `base` is the commit it began with; empty without a repository."""

    path: Path
    branch: str = ""
    base: str = ""
    attachments: list[Path] = field(default_factory=list)

    @property
    def is_repository(self) -> bool:
        return bool(self.base)

    async def head(self) -> tuple[str, str]:
        """The branch and the commit that are checked out. Raises `GitFailed`."""
        head = (await git("rev-parse", "--symbolic-full-name", "HEAD", folder=self.path)).strip()
        branch = head.removeprefix("refs/heads/")
        return branch, (await git("rev-parse", "HEAD", folder=self.path)).strip()

    async def push(self) -> dict[str, object]:
        """Push what is committed; the run's `output`, empty when nothing is. Raises `GitFailed`."""
        branch, commit = await self.head()
        if commit == self.base or branch == "HEAD":
            return {}
        await git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}", folder=self.path)
        self.branch = branch
        return {"head_branch": branch, "commit": commit}

    async def made(self) -> list[MadeFile]:
        """The documents that were written, and the whole change as a patch. Raises `GitFailed`.

        What is not committed belongs to it: the folder does not outlive the run.
        """
        await git("add", "--all", "--intent-to-add", folder=self.path)
        names = ("diff", "--name-only", "--diff-filter=AM", "-z", self.base)
        listed = await git_bytes(*names, folder=self.path, most=LARGEST_LIST) or b""
        documents = [os.fsdecode(each) for each in listed.split(b"\0") if each.endswith(b".md")][:MOST_DOCUMENTS]
        found = [await asyncio.to_thread(_read, self.path / name, name) for name in documents]
        # As bytes: a text in another encoding would be another one after decoding.
        patch = await git_bytes("diff", *PATCH_OPTIONS, self.base, folder=self.path, most=LARGEST_MADE)
        if patch:
            found.append(MadeFile(PATCH, "text/x-diff", patch))
        return [each for each in found if len(each.content) <= LARGEST_MADE]

    async def remove(self) -> None:
        """Remove the folder. What was committed has been pushed."""
        await asyncio.to_thread(shutil.rmtree, self.path.parent, ignore_errors=True)


def folder_of(workspace: Workspace, run_id: str) -> Path:
    return workspace.settings.data / FOLDER / run_id


async def empty_folder(workspace: Workspace, run_id: str) -> WorkFolder:
    """The folder of a run without a repository."""
    path = folder_of(workspace, run_id) / CLONE
    await asyncio.to_thread(path.mkdir, parents=True, exist_ok=True)
    return WorkFolder(path)


async def find_repository(workspace: Workspace, name: str) -> CodeRepository:
    """Raises `RunFailed` and `GitFailed`."""
    shelf = workspace.state(RepositoryShelf)
    found = await shelf.named(workspace, name)
    if found is None:
        known = ", ".join(each.full_name for each in (await shelf.all(workspace))[:NAMES_SHOWN])
        where = workspace.settings.data / REPOSITORIES / f"{name}.git"
        raise RunFailed(
            f"The workspace has no repository {name}. It has: {known or 'none'}. Choose one of these for the task, or"
            f" put a bare clone at {where}."
        )
    return found


async def clone(
    workspace: Workspace, run_id: str, repository: CodeRepository, branch: str | None, author: Author
) -> WorkFolder:
    """A clone with `branch` checked out, or the default one. Raises `RunFailed` and `GitFailed`.

    Who commits is set in the clone: the workspace's own machine may know another person.
    """
    path = folder_of(workspace, run_id) / CLONE
    await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
    branches = await branches_of(repository)
    wanted = branch or branches.default
    if wanted not in branches.names:
        known = ", ".join(branches.names[:NAMES_SHOWN])
        raise RunFailed(f"The branch {wanted} does not exist in {repository.full_name}. There are: {known or 'none'}.")
    identity = (f"--config=user.name={author.name}", f"--config=user.email={author.email}")
    source, target = str(repository.path), str(path)
    await git("clone", "--quiet", *identity, f"--branch={wanted}", "--", source, target, folder=path.parent)
    _, base = await WorkFolder(path).head()
    return WorkFolder(path, wanted, base)


async def make_branch(folder: WorkFolder, title: str, run_id: str) -> str:
    """Begin a branch for the run, named after the task. Raises `GitFailed`."""
    words = "-".join(re.findall(r"[a-z0-9]+", title.lower())[:5])[:40].strip("-") or "task"
    folder.branch = f"burrow/{words}-{run_id[:6]}"
    await git("switch", "--quiet", "-c", folder.branch, folder=folder.path)
    return folder.branch


def _read(path: Path, name: str) -> MadeFile:
    """A file of the clone; nothing of what a link in it leads to."""
    try:
        content = b""
        if path.is_file() and not path.is_symlink():
            with open(path, "rb") as file:
                # One more, so that a file that is too large is known as such.
                content = file.read(LARGEST_MADE + 1)
    except OSError:
        content = b""
    name = name.encode("utf-8", "replace").decode()
    kind = "text/markdown" if name.endswith(".md") else mimetypes.guess_type(name)[0]
    return MadeFile(name, kind or "application/octet-stream", content)
