"""Worktrees lose nothing: made, archived, restored, deleted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.errors import Rejected
from app.core.runs.worktrees import git as git_module
from app.core.runs.worktrees.git import GitTrouble, git
from app.core.runs.worktrees.losses import Losses
from app.core.runs.worktrees.worktrees import WorktreeChanged, Worktrees
from tests.core.worktrees.conftest import run_git


async def test_a_worktree_has_a_branch_of_its_own_and_leaves_the_repository_as_it_was(
    repository: Path, worktrees: Worktrees
) -> None:
    (repository / "a.txt").write_text("the person's own\n")
    made = await worktrees.create(repository, "Fix the cart!")
    assert made.branch == "burrow/fix-the-cart"
    assert (Path(made.path) / "a.txt").read_text() == "one\ntwo\nthree\n"
    assert run_git(repository, "status", "--porcelain") == " M a.txt\n"
    assert (await worktrees.create(repository, "Fix the cart!")).branch.startswith("burrow/fix-the-cart-")
    assert (await worktrees.all())[0] == made


@pytest.mark.parametrize("prepare", [lambda folder: None, lambda folder: run_git(folder, "init", "--quiet")])
async def test_no_worktree_is_made_of_a_folder_without_a_commit(
    tmp_path: Path, worktrees: Worktrees, prepare: Callable[[Path], object]
) -> None:
    (tmp_path / "empty").mkdir()
    prepare(tmp_path / "empty")
    with pytest.raises(Rejected, match="No worktree can be made"):
        await worktrees.create(tmp_path / "empty", "x")
    assert await worktrees.all() == ()


async def test_a_base_that_looks_like_an_option_is_none(repository: Path, worktrees: Worktrees) -> None:
    with pytest.raises(Rejected):
        await worktrees.create(repository, "x", base="--upload-pack=touch /tmp/x")


async def test_all_that_would_be_lost_is_named(repository: Path, worktrees: Worktrees) -> None:
    made = await worktrees.create(repository, "x")
    folder = Path(made.path)
    assert not (await worktrees.losses(made)).any
    (folder / "a.txt").write_text("staged\n")
    run_git(folder, "add", "a.txt")
    (folder / "b.txt").write_text("unstaged\n")
    (folder / "new\nname.txt").write_text("x")
    (folder / "caf\udce9.txt").write_text("x")
    (folder / "own.env").write_text("mine")
    (repository / "same.env").write_text("same")
    shutil.copy(repository / "same.env", folder / "same.env")
    (folder / "node_modules").symlink_to(repository)
    (folder / "inside").mkdir()
    run_git(folder / "inside", "init", "--quiet", "--initial-branch=topic")
    run_git(folder / "inside", "commit", "--quiet", "--allow-empty", "-m", "Inside")
    run_git(folder, "commit", "--quiet", "--allow-empty", "--only", "-m", "Nowhere else")
    losses = await worktrees.losses(made)
    assert losses.staged == ("a.txt",)
    assert losses.unstaged == ("b.txt",)
    assert set(losses.untracked) == {"new\nname.txt", "caf\udce9.txt", "inside/"}
    assert losses.ignored == ("own.env",)
    assert [each.subject for each in losses.unpushed] == ["Nowhere else"]
    assert losses.branches == ("inside/: topic",)
    assert losses.unknown == ()


async def test_a_commit_that_another_branch_has_is_not_lost(repository: Path, worktrees: Worktrees) -> None:
    made = await worktrees.create(repository, "x")
    run_git(Path(made.path), "commit", "--quiet", "--allow-empty", "-m", "Kept")
    run_git(repository, "merge", "--quiet", made.branch)
    assert not (await worktrees.losses(made)).any
    assert await worktrees.delete(made, Losses()) is None
    assert made.branch not in run_git(repository, "branch", "--list")
    assert made.path not in run_git(repository, "worktree", "list")
    assert await worktrees.all() == ()


async def test_what_cannot_be_found_out_counts_as_a_loss(
    repository: Path, worktrees: Worktrees, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await worktrees.create(repository, "x")
    (repository / ".git" / "worktrees" / Path(made.path).name / "index").write_bytes(b"broken")
    losses = await worktrees.losses(made)
    assert losses.any
    assert "git status failed" in losses.unknown[0]


async def test_deleting_looks_again_right_before(repository: Path, worktrees: Worktrees) -> None:
    made = await worktrees.create(repository, "x")
    seen = await worktrees.losses(made)

    async def a_turn_ends() -> None:
        (Path(made.path) / "late.txt").write_text("written by the turn that was under way")

    with pytest.raises(WorktreeChanged) as raised:
        await worktrees.delete(made, seen, a_turn_ends)
    assert raised.value.losses.untracked == ("late.txt",)
    assert (Path(made.path) / "late.txt").exists()


async def test_what_would_be_lost_is_put_aside_and_a_branch_with_commits_stays(
    repository: Path, worktrees: Worktrees
) -> None:
    made = await worktrees.create(repository, "x")
    folder = Path(made.path)
    run_git(folder, "commit", "--quiet", "--allow-empty", "-m", "Nowhere else")
    (folder / "a.txt").write_text("staged\n")
    run_git(folder, "add", "a.txt")
    (folder / "a.txt").write_text("and changed\n")
    (folder / "own.env").write_text("mine")
    aside = await worktrees.delete(made, await worktrees.losses(made))
    assert aside is not None
    assert (aside / "x" / "a.txt").read_text() == "and changed\n"
    assert (aside / "x" / "own.env").read_text() == "mine"
    assert "+staged" in (aside / "staged.patch").read_text()
    assert made.branch in run_git(repository, "branch", "--list")
    assert str(folder) not in run_git(repository, "worktree", "list")


async def test_another_branch_that_is_checked_out_is_never_deleted(repository: Path, worktrees: Worktrees) -> None:
    run_git(repository, "branch", "theirs")
    made = await worktrees.create(repository, "x")
    run_git(Path(made.path), "switch", "--quiet", "theirs")
    losses = await worktrees.losses(made)
    assert losses.branches == ("theirs",)
    await worktrees.delete(made, losses)
    assert "theirs" in run_git(repository, "branch", "--list")


async def test_worktrees_of_others_that_are_out_of_reach_are_left_alone(
    repository: Path, worktrees: Worktrees, tmp_path: Path
) -> None:
    run_git(repository, "worktree", "add", "--quiet", "-b", "stick", str(tmp_path / "stick"))
    (tmp_path / "stick").rename(tmp_path / "unplugged")
    made = await worktrees.create(repository, "x")
    (Path(made.path) / "new.txt").write_text("x")
    await worktrees.delete(made, await worktrees.losses(made))
    assert str(tmp_path / "stick") in run_git(repository, "worktree", "list")


async def test_archiving_touches_no_file_and_restoring_finds_it_again(repository: Path, worktrees: Worktrees) -> None:
    made = await worktrees.create(repository, "x")
    (Path(made.path) / "new.txt").write_text("x")
    archived = await worktrees.archive(made)
    assert [each.archived for each in await worktrees.all()] == [True]
    assert (Path(made.path) / "new.txt").exists()
    assert (await worktrees.restore(archived)) == made


async def test_restoring_refuses_to_pose_as_the_old_folder(repository: Path, worktrees: Worktrees) -> None:
    archived = await worktrees.archive(await worktrees.create(repository, "x"))
    run_git(repository, "worktree", "remove", archived.path)
    with pytest.raises(Rejected, match="is gone"):
        await worktrees.restore(archived)
    run_git(repository, "worktree", "add", "--quiet", archived.path, archived.branch)
    (Path(archived.path) / "other.txt").write_text("x")
    with pytest.raises(Rejected, match="another folder"):
        await worktrees.restore(archived)
    with pytest.raises(Rejected, match="another folder"):
        await worktrees.delete(archived, Losses())
    assert (await worktrees.losses(archived)).unknown
    assert (Path(archived.path) / "other.txt").exists()


async def test_a_repository_runs_no_program_of_its_own(repository: Path, worktrees: Worktrees, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho $0 >> {ran}\ncat\n")
    program.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "core.pager", "core.editor", "core.askPass"):
        run_git(repository, "config", name, str(program))
    run_git(repository, "config", "diff.x.textconv", str(program))
    hooks = repository / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        shutil.copy(program, hooks / name)
    (repository / ".git" / "info" / "attributes").write_text("*.txt diff=x\n")
    ran.unlink(missing_ok=True)
    made = await worktrees.create(repository, "x")
    (Path(made.path) / "a.txt").write_text("changed\n")
    run = await worktrees.losses(made)
    assert run.unstaged == ("a.txt",)
    await worktrees.delete(made, run)
    assert not ran.exists()


async def test_git_is_bounded_in_time_and_output(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(GitTrouble, match=r"took longer than 0\.05 seconds"):
        await git(repository, "-c", "alias.wait=!sleep 60", "wait", seconds=0.05)
    monkeypatch.setattr(git_module, "LARGEST_OUTPUT", 10)
    with pytest.raises(GitTrouble, match="more than 10 bytes"):
        await git(repository, "log")
    with pytest.raises(GitTrouble, match="is not there"):
        await git(tmp_path / "gone", "log")
