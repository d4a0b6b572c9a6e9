"""What a person decides about the changes of a run: nothing of it is lost, and trouble says what it is."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from app.core.errors import Rejected
from app.core.runs.worktrees.git import ForeignRepository, GitTrouble, IdentityMissing, git
from app.core.runs.worktrees.run_changes import ChangeList, NoRepository, RepositoryBusy, RunChanges
from app.core.runs.worktrees.sizes import FolderSize, size_of
from app.core.runs.worktrees.worktrees import Worktrees
from tests.core.worktrees.conftest import run_git
from tests.until import until

LONG = "".join(f"line {each}\n" for each in range(40))


@pytest.fixture
def run(repository: Path, tmp_path: Path) -> RunChanges:
    """A run that committed a change, renamed a file, deleted one, made one, and put a repository inside."""
    (repository / "moved.txt").write_text(LONG)
    (repository / "gone.txt").write_text("gone\n")
    run_git(repository, "add", ".")
    run_git(repository, "commit", "--quiet", "-m", "Second")
    base = run_git(repository, "rev-parse", "HEAD").strip()
    (repository / "a.txt").write_text("one\n2\nthree\n")
    run_git(repository, "commit", "--quiet", "--all", "-m", "By the agent")
    run_git(repository, "mv", "moved.txt", "to.txt")
    (repository / "b.txt").write_text("b2\n")
    (repository / "gone.txt").unlink()
    (repository / "new.txt").write_text("new\n")
    inside = repository / "inside"
    inside.mkdir()
    run_git(inside, "init", "--quiet")
    run_git(inside, "commit", "--quiet", "--allow-empty", "-m", "x")
    return RunChanges(repository, base, tmp_path / "asides")


def told(found: ChangeList) -> list[tuple[str, str, str]]:
    return [(each.path, each.change.kind, each.stage) for each in found.files]


FIRST = [
    ("a.txt", "modified", "committed"),
    ("b.txt", "modified", "open"),
    ("gone.txt", "deleted", "open"),
    ("inside/", "untracked", "open"),
    ("new.txt", "untracked", "open"),
    ("to.txt", "renamed", "kept"),
]


async def test_files_are_committed_kept_or_open(run: RunChanges) -> None:
    found = await run.look()
    assert told(found) == FIRST
    assert (found.branch, found.under_way) == ("main", "")
    every = [each.change for each in found.files if each.path in {"b.txt", "gone.txt", "to.txt"}]
    await run.keep(every)
    assert {stage for path, _kind, stage in told(await run.look()) if path in {"b.txt", "gone.txt"}} == {"kept"}
    await run.release(every)
    assert told(await run.look()) != FIRST
    assert (run.folder / "b.txt").read_text() == "b2\n"
    assert not [each for each in (await run.look()).files if each.stage == "kept"]


@pytest.mark.parametrize("path", [each[0] for each in FIRST])
async def test_a_discard_that_is_undone_gives_back_files_and_index(run: RunChanges, path: str) -> None:
    before = await run.look()
    [change] = [each.change for each in before.files if each.path == path]
    done = await run.discard([change])
    # What was committed is to be committed as it was before.
    kinds = [(each.change.kind, each.stage) for each in (await run.look()).files if each.path == path]
    assert kinds == ([("reverted", "kept")] if path == "a.txt" else [])
    await run.take_back(done)
    assert told(await run.look()) == told(before)
    assert not (run.folder / "moved.txt").exists()


async def test_what_is_kept_is_committed_and_counts_as_that(run: RunChanges) -> None:
    kept = [each.change for each in (await run.look()).files if each.stage == "kept"]
    made = await run.commit("Rename", kept)
    found = await run.look()
    assert found.head == made
    assert ("to.txt", "renamed", "committed") in told(found)


async def test_a_submodule_is_named_and_never_moved_away(run: RunChanges) -> None:
    run_git(run.folder, "submodule", "--quiet", "add", "./inside", "module")
    changes = {each.path: each.change for each in (await run.look()).files}
    assert changes["module"].kind == "submodule"
    with pytest.raises(Rejected, match="repository of its own"):
        await run.discard([changes["module"]])
    assert (run.folder / "module" / ".git").exists()


async def test_a_conflict_and_a_head_without_a_branch_are_told(run: RunChanges) -> None:
    run_git(run.folder, "stash", "--quiet")
    run_git(run.folder, "checkout", "--quiet", "-b", "other", "HEAD~1")
    (run.folder / "a.txt").write_text("other\n")
    run_git(run.folder, "commit", "--quiet", "--all", "-m", "Other")
    with pytest.raises(Exception, match="merge"):
        run_git(run.folder, "merge", "main")
    found = await run.look()
    assert found.under_way == "a merge"
    assert ("a.txt", "conflict", "open") in told(found)
    run_git(run.folder, "merge", "--abort")
    run_git(run.folder, "checkout", "--quiet", "--detach")
    assert (await run.look()).branch == ""


async def test_trouble_says_what_it_is(run: RunChanges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change = next(each.change for each in (await run.look()).files if each.path == "b.txt")
    lock = run.folder / ".git" / "index.lock"
    lock.write_text("")
    with pytest.raises(RepositoryBusy, match=r"index\.lock"):
        await run.keep([change])
    lock.unlink()
    await run.keep([change])
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(NoRepository):
            await RunChanges(folder, "HEAD", tmp_path / "asides").look()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitTrouble, match="not installed"):
        await run.look()


async def test_a_repository_of_another_user_is_named_as_such(
    run: RunChanges, worktrees: Worktrees, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With it git takes every repository for one (t/t0033-safe-directory.sh).
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "true")
    for attempt in (run.look(), worktrees.create(run.folder, "x")):
        with pytest.raises(ForeignRepository, match="belongs to another user"):
            await attempt


async def test_a_commit_of_nobody_says_what_to_tell_git(run: RunChanges, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("user.name", "user.email"):
        run_git(run.folder, "config", "--unset", name)
    run_git(run.folder, "config", "user.useConfigOnly", "true")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    kept = [each.change for each in (await run.look()).files if each.stage == "kept"]
    with pytest.raises(IdentityMissing):
        await run.commit("Rename", kept)


async def test_a_call_of_git_that_is_cancelled_at_any_moment_ends(repository: Path) -> None:
    for number in range(8):
        call = asyncio.ensure_future(git(repository, "status"))
        await asyncio.sleep(number * 0.0005)
        call.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait((call,))
    assert await git(repository, "rev-parse", "--is-inside-work-tree") == b"true\n"


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
@pytest.mark.parametrize("stubborn", ["", "trap '' TERM; "])
async def test_a_commit_that_is_given_up_leaves_no_lock(run: RunChanges, stubborn: str) -> None:
    hook = run.folder / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{stubborn}echo $$ > .git/began\nsleep 60\n")
    hook.chmod(0o755)
    kept = [each.change for each in (await run.look()).files if each.stage == "kept"]
    committing = asyncio.ensure_future(run.commit("x", kept, hooks=True))
    began = run.folder / ".git" / "began"
    await until(lambda: began.exists() and began.read_text().strip())
    committing.cancel()
    await asyncio.wait((committing,))
    await until(lambda: not (run.folder / ".git" / "index.lock").exists())
    await until(lambda: not runs(int(began.read_text())))
    hook.unlink()
    await run.commit("x", kept)


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_size_of_a_folder_follows_no_links(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "file").write_bytes(b"x" * 1000)
    (tmp_path / "in" / "round").symlink_to(tmp_path)
    assert size_of(tmp_path / "in") == FolderSize(1000, False)
    assert size_of(tmp_path / "gone") is None
