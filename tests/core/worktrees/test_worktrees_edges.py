"""What deleting a worktree must not lose in repositories that are not simple, and worktrees that cannot be made."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import Rejected
from app.core.runs.worktrees import losses as losses_module
from app.core.runs.worktrees.git import GitTrouble, git
from app.core.runs.worktrees.losses import Losses
from app.core.runs.worktrees.run_changes import RunChanges
from app.core.runs.worktrees.worktrees import WorktreeRecord, Worktrees
from tests.core.worktrees.conftest import run_git


@pytest.fixture
def library(tmp_path: Path, repository: Path) -> Path:
    """The repository of a submodule `lib` of the other one."""
    folder = tmp_path / "library"
    folder.mkdir()
    run_git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "lib.txt").write_text("lib\n")
    run_git(folder, "add", ".")
    run_git(folder, "commit", "--quiet", "-m", "Library")
    run_git(repository, "submodule", "--quiet", "add", str(folder), "lib")
    run_git(repository, "commit", "--quiet", "-m", "A submodule")
    return folder


async def with_submodule(repository: Path, worktrees: Worktrees) -> WorktreeRecord:
    made = await worktrees.create(repository, "x")
    run_git(Path(made.path), "submodule", "--quiet", "update", "--init")
    return made


async def test_commits_in_a_submodule_go_along_with_the_folder(
    repository: Path, library: Path, worktrees: Worktrees
) -> None:
    made = await with_submodule(repository, worktrees)
    folder = Path(made.path)
    run_git(folder / "lib", "commit", "--quiet", "--allow-empty", "-m", "Only in the submodule")
    commit = run_git(folder / "lib", "rev-parse", "HEAD").strip()
    run_git(folder, "commit", "--quiet", "--all", "-m", "Use it")
    losses = await worktrees.losses(made)
    assert losses.branches == (f"lib/: {commit[:7]}",)
    aside = await worktrees.delete(made, losses)
    assert aside is not None
    assert "Only in the submodule" in run_git(aside / "x" / "lib", "log", "--format=%s")
    assert run_git(aside / "x" / "lib", "status", "--porcelain") == ""


async def test_a_submodule_that_leads_to_the_persons_own_leaves_it_there(
    repository: Path, library: Path, worktrees: Worktrees
) -> None:
    made = await with_submodule(repository, worktrees)
    (Path(made.path) / "lib" / ".git").write_text(f"gitdir: {repository}/.git/modules/lib\n")
    await worktrees.delete(made, await worktrees.losses(made))
    assert run_git(repository / "lib", "log", "-1", "--format=%s") == "Library\n"


async def test_a_worktree_with_a_submodule_can_be_deleted(
    repository: Path, library: Path, worktrees: Worktrees
) -> None:
    # Git refuses that for any that could have one.
    made = await worktrees.create(repository, "x")
    assert not (await worktrees.losses(made)).any
    await worktrees.delete(made, Losses())
    assert made.path not in run_git(repository, "worktree", "list")
    assert await worktrees.all() == ()


async def test_a_submodule_that_the_repository_has_git_ignore_counts(
    repository: Path, library: Path, worktrees: Worktrees
) -> None:
    run_git(repository, "config", "--file", ".gitmodules", "submodule.lib.ignore", "all")
    run_git(repository, "commit", "--quiet", "--all", "-m", "Ignore it")
    made = await with_submodule(repository, worktrees)
    (Path(made.path) / "lib" / "lib.txt").write_text("changed")
    assert (await worktrees.losses(made)).unstaged == ("lib",)


async def test_commits_on_no_branch_get_one(repository: Path, worktrees: Worktrees) -> None:
    made = await worktrees.create(repository, "x")
    run_git(Path(made.path), "checkout", "--quiet", "--detach")
    run_git(Path(made.path), "commit", "--quiet", "--allow-empty", "-m", "On no branch")
    commit = run_git(Path(made.path), "rev-parse", "HEAD").strip()
    losses = await worktrees.losses(made)
    assert [each.subject for each in losses.unpushed] == ["On no branch"]
    await worktrees.delete(made, losses)
    assert run_git(repository, "branch", "--contains", commit, "--format=%(refname:short)") == (
        f"burrow/x-{made.id}-{commit[:8]}\n"
    )


async def test_a_worktree_on_a_new_branch_without_a_commit_goes_aside(
    repository: Path, worktrees: Worktrees, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await worktrees.create(repository, "x")
    run_git(Path(made.path), "checkout", "--quiet", "--orphan", "empty")
    (Path(made.path) / "large.txt").write_text("large\n" * 10_000)
    run_git(Path(made.path), "add", "large.txt")
    losses = await worktrees.losses(made)
    assert losses.unknown
    # However much it is that is staged.
    monkeypatch.setattr("app.core.runs.worktrees.git.LARGEST_OUTPUT", 5_000)
    aside = await worktrees.delete(made, losses)
    assert aside is not None
    assert (aside / "x" / "a.txt").exists()
    assert (aside / "staged.patch").stat().st_size > 50_000


async def test_commits_count_beside_a_tag_with_the_name_of_the_branch(repository: Path, worktrees: Worktrees) -> None:
    made = await worktrees.create(repository, "x")
    run_git(Path(made.path), "commit", "--quiet", "--allow-empty", "-m", "Nowhere else")
    run_git(Path(made.path), "checkout", "--quiet", "--detach", made.base)
    run_git(repository, "tag", made.branch, made.base)
    assert [each.subject for each in (await worktrees.losses(made)).unpushed] == ["Nowhere else"]


async def test_what_a_rebase_has_put_away_is_kept(repository: Path, worktrees: Worktrees) -> None:
    made = await worktrees.create(repository, "x")
    folder = Path(made.path)
    (folder / "a.txt").write_text("mine\n")
    run_git(folder, "commit", "--quiet", "--all", "-m", "Mine")
    (repository / "a.txt").write_text("theirs\n")
    run_git(repository, "commit", "--quiet", "--all", "-m", "Theirs")
    (folder / "b.txt").write_text("put away\n")
    with pytest.raises(Exception, match="rebase"):
        run_git(folder, "rebase", "--quiet", "--autostash", "main")
    losses = await worktrees.losses(made)
    assert any("A rebase is not finished" in each for each in losses.unknown)
    await worktrees.delete(made, losses)
    assert "+put away" in run_git(repository, "stash", "show", "--patch")
    assert run_git(repository, "log", "-1", "--format=%s", made.branch) == "Mine\n"


@pytest.mark.parametrize("option", ["--assume-unchanged", "--skip-worktree"])
async def test_files_that_git_does_not_look_at_count(repository: Path, worktrees: Worktrees, option: str) -> None:
    made = await worktrees.create(repository, "x")
    run_git(Path(made.path), "update-index", option, "a.txt")
    (Path(made.path) / "a.txt").write_text("mine")
    assert (await worktrees.losses(made)).unstaged == ("a.txt",)


async def test_a_sparse_checkout_loses_nothing(repository: Path, worktrees: Worktrees) -> None:
    run_git(repository, "sparse-checkout", "set", "--no-cone", "/a.txt")
    made = await worktrees.create(repository, "x")
    assert not (Path(made.path) / "b.txt").exists()
    assert await worktrees.losses(made) == Losses()


async def test_what_is_elsewhere_does_not_hide_what_is_not(
    repository: Path, worktrees: Worktrees, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses_module, "MOST_NAMES", 2)
    made = await worktrees.create(repository, "x")
    for name in ("a.env", "b.env", "c.env"):
        (Path(made.path) / name).symlink_to(repository)
    (Path(made.path) / "own.env").write_text("mine")
    assert (await worktrees.losses(made)).ignored == ("own.env",)


async def test_one_that_is_locked_stays_as_it_is(repository: Path, worktrees: Worktrees) -> None:
    made = await worktrees.create(repository, "x")
    (Path(made.path) / "new.txt").write_text("x")
    run_git(repository, "worktree", "lock", made.path)
    with pytest.raises(Rejected, match="is locked"):
        await worktrees.delete(made, await worktrees.losses(made))
    assert (Path(made.path) / "new.txt").exists()
    assert await worktrees.all() == (made,)


async def test_one_that_git_does_not_let_go_of_comes_back(
    repository: Path, worktrees: Worktrees, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await worktrees.create(repository, "x")
    (Path(made.path) / "new.txt").write_text("x")
    losses = await worktrees.losses(made)
    administrative = repository / ".git" / "worktrees" / "x"
    moved = shutil.move

    def move_and_lock(source: Path, target: Path) -> object:
        administrative.joinpath("locked").touch()
        return moved(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("app.core.runs.worktrees.worktrees.shutil.move", move_and_lock)
        with pytest.raises(GitTrouble, match="cannot remove a locked"):
            await worktrees.delete(made, losses)
    assert (Path(made.path) / "new.txt").exists()
    administrative.joinpath("locked").unlink()
    assert await worktrees.delete(made, losses) is not None


def make_file(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.touch()


async def test_what_git_cannot_delete_of_one_is_named_and_leaves_the_list(
    repository: Path, worktrees: Worktrees, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await worktrees.create(repository, "x")
    called = git

    async def held(folder: Path, *words: str, **options: Any) -> bytes:
        """As where a program holds a file: git forgets the worktree, and fails."""
        output = await called(folder, *words, **options)
        if words[:2] == ("worktree", "remove"):
            make_file(Path(made.path) / "held.txt")
            raise GitTrouble("failed to delete: Device or resource busy")
        return output

    monkeypatch.setattr("app.core.runs.worktrees.worktrees.git", held)
    aside = await worktrees.delete(made, Losses())
    assert aside is not None
    assert (aside / "x" / "held.txt").exists()
    assert await worktrees.all() == ()


async def test_one_whose_folder_is_gone_leaves_the_list_and_its_branch_stays(
    repository: Path, worktrees: Worktrees
) -> None:
    made = await worktrees.create(repository, "x")
    run_git(Path(made.path), "commit", "--quiet", "--allow-empty", "-m", "Nowhere else")
    shutil.rmtree(made.path)
    losses = await worktrees.losses(made)
    assert "is gone" in losses.unknown[0]
    assert await worktrees.delete(made, losses) is None
    assert await worktrees.all() == ()
    assert run_git(repository, "log", "-1", "--format=%s", made.branch) == "Nowhere else\n"


@pytest.mark.parametrize(
    ("taken", "made"), [("burrow/x", "burrow/x-"), ("burrow/x/deeper", "burrow/x-"), ("burrow", "burrow-x-")]
)
async def test_a_branch_finds_a_name_beside_those_of_others(
    repository: Path, worktrees: Worktrees, taken: str, made: str
) -> None:
    run_git(repository, "branch", taken)
    assert (await worktrees.create(repository, "x")).branch.startswith(made)


async def test_several_are_made_and_deleted_at_once(repository: Path, worktrees: Worktrees) -> None:
    made = await asyncio.gather(*(worktrees.create(repository, "Same name") for _ in range(6)))
    assert len({each.branch for each in made}) == 6
    await asyncio.gather(*(worktrees.delete(each, Losses()) for each in made))
    assert await worktrees.all() == ()


async def test_a_checkout_that_fails_leaves_nothing_behind(
    repository: Path, worktrees: Worktrees, tmp_path: Path
) -> None:
    (repository / ".gitattributes").write_text("*.bin filter=large\n")
    (repository / "a.bin").write_text("x")
    run_git(repository, "add", ".")
    run_git(repository, "commit", "--quiet", "-m", "A large file")
    run_git(repository, "config", "filter.large.smudge", "git-large-is-not-installed")
    run_git(repository, "config", "filter.large.required", "true")
    with pytest.raises(GitTrouble, match="git-large-is-not-installed"):
        await worktrees.create(repository, "x")
    assert "burrow/" not in run_git(repository, "branch", "--list")
    assert len(run_git(repository, "worktree", "list").splitlines()) == 1
    assert not list((tmp_path / "data" / "worktrees").iterdir())


async def test_looking_runs_no_program_for_signatures(repository: Path, worktrees: Worktrees, tmp_path: Path) -> None:
    made = await worktrees.create(repository, "x")
    signature = "-----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----"
    program = tmp_path / "program"
    program.write_text(
        f"#!/bin/sh\ncat > /dev/null\necho >> {tmp_path}/ran\necho '[GNUPG:] SIG_CREATED x' >&2\necho '{signature}'\n"
    )
    program.chmod(0o755)
    run_git(repository, "config", "gpg.program", str(program))
    run_git(Path(made.path), "commit", "--quiet", "--gpg-sign", "--allow-empty", "-m", "Signed")
    run_git(repository, "config", "log.showSignature", "true")
    (tmp_path / "ran").unlink()
    assert [each.subject for each in (await worktrees.losses(made)).unpushed] == ["Signed"]
    assert not (tmp_path / "ran").exists()


async def test_looking_fetches_nothing_with_a_program_of_the_repository(
    repository: Path, worktrees: Worktrees, tmp_path: Path
) -> None:
    made = await worktrees.create(repository, "x")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho >> {tmp_path}/ran\nexit 1\n")
    program.chmod(0o755)
    content = run_git(repository, "rev-parse", "HEAD:a.txt").strip()
    (repository / ".git" / "objects" / content[:2] / content[2:]).unlink()
    for name, value in (
        *(("core.repositoryFormatVersion", "1"), ("extensions.partialClone", "origin")),
        *(("remote.origin.promisor", "true"), ("remote.origin.url", "ssh://nowhere.invalid/x")),
        ("core.sshCommand", str(program)),
    ):
        run_git(repository, "config", name, value)
    (Path(made.path) / "a.txt").write_text("changed\n")
    with pytest.raises(GitTrouble):
        await RunChanges(Path(made.path), made.base, tmp_path / "asides").look()
    await worktrees.losses(made)
    assert not (tmp_path / "ran").exists()
