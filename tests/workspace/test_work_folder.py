"""What a run has made is kept as it is: names, encodings and sizes of any kind."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from app.workspace.code_host.repositories import CodeRepository, branches_of
from app.workspace.runner import patience, work_folder
from app.workspace.runner.agent_session import agent_environment
from app.workspace.runner.prompts import save_files
from app.workspace.runner.work_folder import PATCH, MadeFile, WorkFolder
from tests.survey_agent.client import git


@pytest.fixture
def made_in(tmp_path: Path) -> WorkFolder:
    """A clone in which nothing was made yet."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "config", "user.name", "Ada")
    git(tmp_path, "config", "user.email", "ada@example.org")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "First")
    return WorkFolder(tmp_path, "main", git(tmp_path, "rev-parse", "HEAD").strip())


async def test_documents_have_any_name_and_the_patch_applies(made_in: WorkFolder, tmp_path: Path) -> None:
    folder = made_in.path
    git(folder, "config", "diff.noprefix", "true")
    git(folder, "config", "diff.external", "false")
    for name in ("Überblick.md", "two\nlines.md", "-f.md"):
        (folder / name).write_text("# x\n")
    (folder / "latin.txt").write_bytes(b"na\xefve\n")
    (folder / "link.md").symlink_to("/etc/passwd")
    (folder / "large.md").write_bytes(b"x" * (work_folder.LARGEST_MADE + 1))
    made = {each.name: each for each in await made_in.made()}
    assert set(made) == {"Überblick.md", "two\nlines.md", "-f.md", "link.md"}
    assert made["link.md"].content == b""
    (folder / "large.md").unlink()
    patch = next(each for each in await made_in.made() if each.name == PATCH)
    assert b"+na\xefve\n" in patch.content
    applied_to(tmp_path / "other", folder, made_in.base, patch)
    assert content_of(tmp_path / "other" / "latin.txt") == b"na\xefve\n"


async def test_a_branch_has_its_name_beside_a_tag_of_the_same(made_in: WorkFolder, tmp_path: Path) -> None:
    git(made_in.path, "tag", "main")
    git(made_in.path, "checkout", "--quiet", "--detach")
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(made_in.path), str(bare))
    found = await branches_of(CodeRepository("a/b", bare))
    assert (found.names, found.default) == (("main",), "main")
    git(made_in.path, "checkout", "--quiet", "-B", "main", "refs/heads/main")
    assert (await made_in.head())[0] == "main"


def test_an_agent_gets_no_token_and_no_other_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        *(("GIT_DIR", "/elsewhere"), ("BURROW_DATA", "/data"), ("POSTHOG_KEY", "phx_0123456789abcdefgh")),
        ("MODEL_API_KEY", "sk-the-person-wants-this"),
    ):
        monkeypatch.setenv(name, value)
    given = agent_environment()
    assert given.keys() & {"GIT_DIR", "BURROW_DATA", "POSTHOG_KEY", "MODEL_API_KEY"} == {"MODEL_API_KEY"}
    assert given["PATH"] == os.environ["PATH"]


def test_a_file_of_a_message_has_a_name_that_fits(tmp_path: Path) -> None:
    with sqlite3.connect(":memory:") as db:
        db.row_factory = sqlite3.Row
        query = "SELECT 'a' AS id, ? AS name, x'31' AS content UNION ALL SELECT 'b', '../..', x'32'"
        saved = save_files(tmp_path, db.execute(query, ("語" * 120,)).fetchall())
    db.close()
    assert [each.parent.name for each in saved] == ["a", "b"]
    assert [each.read_bytes() for each in saved] == [b"1", b"2"]


async def test_a_database_that_another_process_holds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "RETRY_SECONDS", 0.01)
    first, second = (sqlite3.connect(tmp_path / "runs.db", timeout=0.01, isolation_level=None) for _ in range(2))
    first.execute("BEGIN IMMEDIATE")
    tried = 0

    async def begin() -> None:
        nonlocal tried
        tried += 1
        if tried == 3:
            first.execute("COMMIT")
        second.execute("BEGIN IMMEDIATE")

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await patience.patiently(begin, 2)
    await patience.patiently(begin)
    assert tried == 3
    first.close()
    second.close()


def applied_to(other: Path, folder: Path, base: str, patch: MadeFile) -> None:
    git(folder, "worktree", "add", "--quiet", "--detach", str(other), base)
    subprocess.run(("git", "apply", "-"), cwd=other, input=patch.content, check=True)


def content_of(path: Path) -> bytes:
    return path.read_bytes()
