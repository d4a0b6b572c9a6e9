"""Makes the repositories of a new workspace with git, when they are first needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app.workspace.code_host.repositories import FOLDER, SUFFIX, RepositoryShelf, make_repository

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.workspace.runtime.context import Workspace
    from app.workspace.seed.sample_code import SampleCommit

MARK = "repositories_seeded"
FIRST_DAY = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def offer_repositories(workspace: Workspace) -> None:
    """Have the repositories made by the first who asks for them."""
    workspace.state(RepositoryShelf).fill = make_repositories


async def make_repositories(workspace: Workspace) -> None:
    """Make those of a new workspace; one that a person deletes later stays deleted. Raises `GitFailed`."""
    query = "SELECT 1 FROM meta WHERE name = ?"
    if await workspace.db.read(lambda db: db.execute(query, (MARK,)).fetchone()):
        return
    from app.workspace.seed.sample_code import REPOSITORIES

    for name, commits in REPOSITORIES.items():
        folder = workspace.settings.data / FOLDER / f"{name}{SUFFIX}"
        if not folder.exists():
            await make_repository(folder, import_stream(commits))
    await workspace.db.run(lambda db: db.execute("INSERT OR REPLACE INTO meta VALUES (?, '1')", (MARK,)))


def import_stream(commits: Iterable[SampleCommit]) -> bytes:
    """The commits as `git fast-import` reads them. Times are fixed, so every workspace has the same commit ids."""
    parts: list[bytes] = []
    begun: set[str] = set()
    for commit in commits:
        when = int((FIRST_DAY + timedelta(days=commit.day)).timestamp())
        parts.append(f"commit refs/heads/{commit.branch}\n".encode())
        parts += [f"{role} {commit.author} {when} +0000\n".encode() for role in ("author", "committer")]
        parts.append(_data(commit.message))
        # A further branch begins where the main one is at this point.
        if begun and commit.branch not in begun:
            parts.append(b"from refs/heads/main\n")
        begun.add(commit.branch)
        for path, content in commit.files.items():
            if content is None:
                parts.append(f"D {path}\n".encode())
            else:
                parts += [f"M 100644 inline {path}\n".encode(), _data(content)]
    return b"".join(parts)


def _data(text: str) -> bytes:
    content = text.encode()
    return b"data %d\n%s\n" % (len(content), content)
