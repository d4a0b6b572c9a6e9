"""Discarding loses nothing, and its undo gives back all of it, also where files and folders took each other's place."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from app.core.errors import Rejected
from app.core.runs.worktrees import changes as changes_module
from app.core.runs.worktrees import git as git_module
from app.core.runs.worktrees.changes import FileChange
from app.core.runs.worktrees.run_changes import ChangeList, RepositoryBusy, RunChanges
from tests.core.worktrees.conftest import run_git

LONG = "".join(f"line {each}\n" for each in range(30))
ODD_NAMES = ("-f", "--force", ":(top)x", ":!a", "a b", 'q"q', "-z\n", "caf\udce9")


def begin(repository: Path, tmp_path: Path) -> RunChanges:
    """A run that begins with all that is there."""
    run_git(repository, "add", ".")
    run_git(repository, "commit", "--quiet", "--allow-empty", "-m", "Begin")
    return RunChanges(repository, run_git(repository, "rev-parse", "HEAD").strip(), tmp_path / "asides")


async def change_of(run: RunChanges, path: str) -> FileChange:
    return next(each.change for each in (await run.look()).files if each.path == path)


def contents(folder: Path) -> list[str]:
    return [each.read_text() for each in folder.rglob("*") if each.is_file() and not each.is_symlink()]


def state(run: RunChanges, found: ChangeList) -> tuple[ChangeList, str]:
    return found, run_git(run.folder, "status", "--porcelain")


async def test_a_file_where_a_folder_was_moves_aside_and_comes_back(repository: Path, tmp_path: Path) -> None:
    (repository / "d").mkdir()
    (repository / "d" / "x").write_text("x\n")
    run = begin(repository, tmp_path)
    shutil.rmtree(repository / "d")
    (repository / "d").write_text("precious\n")
    run_git(repository, "add", "--all")
    before = state(run, await run.look())
    done = await run.discard([await change_of(run, "d/x")])
    assert (repository / "d" / "x").read_text() == "x\n"
    assert contents(run.asides) == ["precious\n"]
    await run.take_back(done)
    assert (repository / "d").read_text() == "precious\n"
    assert state(run, await run.look()) == before


async def test_a_link_where_a_folder_was_leads_to_no_other_file(repository: Path, tmp_path: Path) -> None:
    for folder in ("d", "e"):
        (repository / folder).mkdir()
        (repository / folder / "x").write_text(f"{folder}\n")
    run = begin(repository, tmp_path)
    shutil.rmtree(repository / "d")
    (repository / "d").symlink_to("e")
    before = await run.look()
    done = await run.discard([await change_of(run, "d/x")])
    assert [(repository / each / "x").read_text() for each in ("d", "e")] == ["d\n", "e\n"]
    await run.take_back(done)
    assert (repository / "d").readlink() == Path("e")
    assert (repository / "e" / "x").read_text() == "e\n"
    assert await run.look() == before
    (repository / "e" / "new").touch()
    with pytest.raises(Rejected, match="leads out of its folder"):
        await run.discard([FileChange("d/new", "untracked", "", 1, 0)])


async def test_a_folder_where_a_file_was_moves_aside_and_comes_back(repository: Path, tmp_path: Path) -> None:
    run = begin(repository, tmp_path)
    (repository / "a.txt").unlink()
    (repository / "a.txt").mkdir()
    (repository / "a.txt" / "new").write_text("new\n")
    (repository / "b.txt").unlink()
    (repository / "b.txt").symlink_to("a.txt")
    before = await run.look()
    assert [(each.path, each.change.kind) for each in before.files] == [
        ("a.txt", "deleted"),
        ("a.txt/new", "untracked"),
        ("b.txt", "type"),
    ]
    [gone, come] = (await run.difference(before.files[2].change)).hunks
    assert [(each.mark, each.text) for each in (*gone.lines, *come.lines)] == [("-", "b"), ("+", "a.txt")]
    done = [await run.discard([each.change]) for each in before.files]
    assert (await run.look()).files == ()
    for each in reversed(done):
        await run.take_back(each)
    assert await run.look() == before
    # The same at once.
    whole = await run.discard([each.change for each in before.files])
    assert (await run.look()).files == ()
    await run.take_back(whole)
    assert await run.look() == before


async def test_a_new_file_with_the_old_name_of_a_moved_one_is_not_overwritten(repository: Path, tmp_path: Path) -> None:
    (repository / "moved.txt").write_text(LONG)
    run = begin(repository, tmp_path)
    run_git(repository, "mv", "moved.txt", "to.txt")
    (repository / "moved.txt").write_text("precious\n")
    before = state(run, await run.look())
    done = await run.discard([await change_of(run, "to.txt")])
    assert (repository / "moved.txt").read_text() == LONG
    assert "precious\n" in contents(run.asides)
    await run.take_back(done)
    assert (repository / "moved.txt").read_text() == "precious\n"
    assert state(run, await run.look()) == before


async def test_a_conflict_that_was_discarded_is_one_again(repository: Path, tmp_path: Path) -> None:
    run_git(repository, "checkout", "--quiet", "-b", "theirs")
    (repository / "a.txt").write_text("theirs\n")
    run_git(repository, "commit", "--quiet", "--all", "-m", "Theirs")
    run_git(repository, "checkout", "--quiet", "main")
    (repository / "a.txt").write_text("ours\n")
    run = begin(repository, tmp_path)
    with pytest.raises(Exception, match="merge"):
        run_git(repository, "merge", "theirs")
    before = state(run, await run.look())
    assert before[1] == "UU a.txt\n"
    await run.take_back(await run.discard([await change_of(run, "a.txt")]))
    assert state(run, await run.look()) == before


async def test_what_was_committed_is_discarded_with_the_next_commit(repository: Path, tmp_path: Path) -> None:
    run = begin(repository, tmp_path)
    (repository / "a.txt").write_text("agent\n")
    (repository / "new.txt").write_text("new\n")
    run_git(repository, "add", ".")
    run_git(repository, "commit", "--quiet", "-m", "By the agent")
    for each in (await run.look()).files:
        await run.discard([each.change])
    found = await run.look()
    assert [(each.path, each.change.kind, each.stage, each.change.added) for each in found.files] == [
        ("a.txt", "reverted", "kept", 3),
        ("new.txt", "reverted", "kept", 0),
    ]
    [hunk] = (await run.difference(found.files[1].change)).hunks
    assert [(each.mark, each.text) for each in hunk.lines] == [("-", "new")]
    with pytest.raises(Rejected, match="as it was when the run began"):
        await run.discard([found.files[0].change])
    await run.commit("Take it back", [each.change for each in found.files])
    assert (await run.look()).files == ()
    assert run_git(repository, "diff", "--name-only", run.base, "HEAD") == ""


async def test_names_that_look_like_options_or_patterns_are_names(repository: Path, tmp_path: Path) -> None:
    run = begin(repository, tmp_path)
    for name in ODD_NAMES:
        (repository / name).write_text("x\n")
    found = await run.look()
    assert {each.path for each in found.files} == set(ODD_NAMES)
    for each in found.files:
        assert (await run.difference(each.change)).hunks
    await run.keep([each.change for each in found.files])
    assert {each.stage for each in (await run.look()).files} == {"kept"}
    await run.commit("--amend", [each.change for each in found.files])
    for name in ODD_NAMES:
        (repository / name).write_text("y\n")
    done = [await run.discard([each.change]) for each in (await run.look()).files]
    for undone in done:
        await run.take_back(undone)
    assert {(repository / name).read_text() for name in ODD_NAMES} == {"y\n"}


async def test_a_file_that_only_git_has_forgotten_is_compared_with_what_it_was(
    repository: Path, tmp_path: Path
) -> None:
    run = begin(repository, tmp_path)
    run_git(repository, "rm", "--quiet", "--cached", "a.txt")
    (repository / "a.txt").write_text("one\n2\nthree\n")
    [hunk] = (await run.difference(await change_of(run, "a.txt"))).hunks
    assert [(each.mark, each.text) for each in hunk.lines] == [
        (" ", "one"),
        ("-", "two"),
        ("+", "2"),
        (" ", "three"),
    ]


async def test_settings_of_a_repository_change_no_difference(repository: Path, tmp_path: Path) -> None:
    (repository / "blank.txt").write_text("a\n\nb\n")
    run = begin(repository, tmp_path)
    for name, value in (("diff.suppressBlankEmpty", "true"), ("diff.orderFile", "gone"), ("diff.noPrefix", "true")):
        run_git(repository, "config", name, value)
    (repository / "blank.txt").write_text("a\n\nc\n")
    [hunk] = (await run.difference(await change_of(run, "blank.txt"))).hunks
    assert [(each.text, each.new) for each in hunk.lines] == [("a", 1), ("", 2), ("b", None), ("c", 3)]


async def test_a_mode_comes_back(repository: Path, tmp_path: Path) -> None:
    run = begin(repository, tmp_path)
    (repository / "a.txt").chmod(0o755)
    change = await change_of(run, "a.txt")
    assert (change.added, change.removed, change.executable) == (0, 0, True)
    done = await run.discard([change])
    assert not os.access(repository / "a.txt", os.X_OK)
    await run.take_back(done)
    assert os.access(repository / "a.txt", os.X_OK)


async def test_line_ends_of_the_working_folder_stay(repository: Path, tmp_path: Path) -> None:
    run_git(repository, "config", "core.autocrlf", "true")
    (repository / "windows.txt").write_bytes(b"a\r\nb\r\n")
    run = begin(repository, tmp_path)
    assert (await run.look()).files == ()
    (repository / "windows.txt").write_bytes(b"a\r\nc\r\n")
    done = await run.discard([await change_of(run, "windows.txt")])
    assert (repository / "windows.txt").read_bytes() == b"a\r\nb\r\n"
    await run.take_back(done)
    assert (repository / "windows.txt").read_bytes() == b"a\r\nc\r\n"


async def test_a_repository_inside_is_not_kept_in_silence(repository: Path, tmp_path: Path) -> None:
    run = begin(repository, tmp_path)
    (repository / "inside").mkdir()
    run_git(repository / "inside", "init", "--quiet")
    (repository / "new.txt").write_text("new\n")
    changes = [each.change for each in (await run.look()).files]
    with pytest.raises(Rejected, match="inside/ is a repository of its own"):
        await run.keep(changes[:1])
    await run.keep(changes)
    assert [(each.path, each.stage) for each in (await run.look()).files] == [("inside/", "open"), ("new.txt", "kept")]


async def test_what_changed_after_it_was_kept_is_not_committed(repository: Path, tmp_path: Path) -> None:
    run = begin(repository, tmp_path)
    (repository / "a.txt").write_text("seen\n")
    change = await change_of(run, "a.txt")
    await run.keep([change])
    (repository / "a.txt").write_text("not seen\n")
    with pytest.raises(Rejected, match="has changed since it was kept"):
        await run.commit("x", [change])


async def test_a_run_that_began_without_a_commit_has_changes(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    run_git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "a.txt").write_text("a\n")
    run = RunChanges(folder, "", tmp_path / "asides")
    found = await run.look()
    assert (found.branch, found.head, [each.path for each in found.files]) == ("main", "", ["a.txt"])
    change = found.files[0].change
    await run.keep([change])
    await run.release([change])
    assert [each.stage for each in (await run.look()).files] == ["open"]
    await run.take_back(await run.discard([change]))
    await run.keep([change])
    run_git(folder, "config", "user.name", "Ada")
    run_git(folder, "config", "user.email", "ada@example.org")
    made = await run.commit("First", [change])
    found = await run.look()
    assert (found.head, [(each.change.kind, each.stage) for each in found.files]) == (made, [("added", "committed")])


@pytest.fixture
def few_arguments() -> Iterator[int]:
    """How many bytes of arguments a program gets: a quarter of its stack (execve(2))."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (1024 * 1024, before[1]))
    yield 256 * 1024
    resource.setrlimit(resource.RLIMIT_STACK, before)


async def test_more_paths_than_arguments_may_have_are_committed(
    repository: Path, tmp_path: Path, few_arguments: int
) -> None:
    run = begin(repository, tmp_path)
    folder = repository.joinpath(*(name * 250 for name in "uvwxyz"))
    folder.mkdir(parents=True)
    for number in range(200):
        (folder / f"{number}-{'n' * 200}").touch()
    changes = [each.change for each in (await run.look()).files]
    assert sum(len(each.path) for each in changes) > few_arguments
    await run.keep(changes)
    await run.commit("Many", changes)
    assert run_git(repository, "status", "--porcelain") == ""


async def test_a_difference_of_any_length_is_cut_and_not_refused(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(repository, tmp_path)
    (repository / "a.txt").write_text("new\n" * 100_000)
    monkeypatch.setattr(changes_module, "LONGEST_DIFF", 10_000)
    monkeypatch.setattr("app.core.runs.worktrees.git.LARGEST_OUTPUT", 300_000)
    difference = await run.difference(await change_of(run, "a.txt"))
    assert difference.cut
    assert difference.hunks[0].lines[-1].text == "new"


async def test_a_folder_whose_name_has_a_line_break_is_that_folder(template: Path, tmp_path: Path) -> None:
    shutil.copytree(template, tmp_path / "shop")
    folder = Path(shutil.copytree(template, tmp_path / "shop\nold"))
    (folder / "a.txt").write_text("x\n")
    assert (await RunChanges(folder, "HEAD", tmp_path / "asides").look()).top == str(folder)


async def test_a_discard_that_cannot_be_finished_changes_nothing(repository: Path, tmp_path: Path) -> None:
    (repository / "d").mkdir()
    (repository / "d" / "x").write_text("x\n")
    run = begin(repository, tmp_path)
    shutil.rmtree(repository / "d")
    (repository / "d").write_text("precious\n")
    change = await change_of(run, "d/x")
    (repository / ".git" / "index.lock").touch()
    with pytest.raises(RepositoryBusy):
        await run.discard([change])
    assert (repository / "d").read_text() == "precious\n"


async def test_many_files_are_discarded_in_as_many_calls_as_one(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(repository, tmp_path)
    for number in range(40):
        (repository / f"{number}.txt").write_text("x\n")
    (repository / "a.txt").write_text("x\n")
    changes = [each.change for each in (await run.look()).files]
    calls = 0
    start = git_module._GitProcess._start

    def counted(call: git_module._GitProcess, *files: IO[bytes]) -> subprocess.Popen[bytes] | None:
        nonlocal calls
        calls += 1
        return start(call, *files)

    monkeypatch.setattr(git_module._GitProcess, "_start", counted)
    await run.take_back(await run.discard(changes[-1:]))
    once, calls = calls, 0
    await run.take_back(await run.discard(changes))
    # One of them has something to bring back.
    assert calls <= once + 1
