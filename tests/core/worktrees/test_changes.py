"""The changes of a local run: listed, shown, kept, discarded without loss, committed."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.errors import Rejected
from app.core.runs.worktrees.changes import (
    FileChange,
    changed_files,
    commit,
    difference_of,
    keep,
)
from app.core.runs.worktrees.discarding import discard, take_back
from app.core.runs.worktrees.git import GitTrouble
from tests.core.worktrees.conftest import run_git

LONG = "".join(f"line {each}\n" for each in range(40))


def content_of(path: str) -> bytes:
    return Path(path).read_bytes()


@pytest.fixture
def changed(repository: Path) -> Path:
    """A repository with a change of each kind, some committed since `main~0`."""
    (repository / "moved.txt").write_text(LONG)
    (repository / "gone.txt").write_text("gone\n")
    (repository / "picture.bin").write_bytes(b"\0\1")
    run_git(repository, "add", ".")
    run_git(repository, "commit", "--quiet", "-m", "Second")
    run_git(repository, "tag", "base")
    (repository / "a.txt").write_text("one\n2\nthree")
    run_git(repository, "commit", "--quiet", "--all", "-m", "By the agent")
    run_git(repository, "mv", "moved.txt", "to.txt")
    (repository / "gone.txt").unlink()
    (repository / "picture.bin").write_bytes(b"\0\2")
    (repository / "new\n*.txt").write_text("x\ny")
    (repository / "caf\udce9.txt").write_text("z\n")
    (repository / "own.env").write_text("ignored")
    return repository


async def test_changes_of_each_kind_are_listed(changed: Path) -> None:
    assert await changed_files(changed, "base") == (
        FileChange("a.txt", "modified", "", 2, 2),
        FileChange("caf\udce9.txt", "untracked", "", 1, 0),
        FileChange("gone.txt", "deleted", "", 0, 1),
        FileChange("new\n*.txt", "untracked", "", 2, 0),
        FileChange("picture.bin", "modified", "", None, None),
        FileChange("to.txt", "renamed", "moved.txt", 0, 0),
    )


async def test_a_difference_has_its_lines_with_their_numbers(changed: Path) -> None:
    changes = {each.path: each for each in await changed_files(changed, "base")}
    [hunk] = (await difference_of(changed, "base", changes["a.txt"])).hunks
    assert [(each.mark, each.text, each.old, each.new, each.open) for each in hunk.lines] == [
        (" ", "one", 1, 1, False),
        ("-", "two", 2, None, False),
        ("-", "three", 3, None, False),
        ("+", "2", None, 2, False),
        ("+", "three", None, 3, True),
    ]
    [new] = (await difference_of(changed, "base", changes["new\n*.txt"])).hunks
    assert [each.text for each in new.lines] == ["x", "y"]
    assert (await difference_of(changed, "base", changes["picture.bin"])).binary
    assert (await difference_of(changed, "base", changes["to.txt"])).hunks == ()


async def test_what_is_discarded_is_moved_aside_and_can_be_taken_back(changed: Path, tmp_path: Path) -> None:
    asides = tmp_path / "asides"
    before = {each.path: each for each in await changed_files(changed, "base")}
    done = [await discard(changed, "base", [each], asides) for each in before.values()]
    assert await changed_files(changed, "base") == ()
    assert (changed / "a.txt").read_text() == "one\ntwo\nthree\n"
    assert (changed / "moved.txt").read_text() == LONG
    kept = {path: place for each in done for path, place in each.asides}
    assert content_of(kept["a.txt"]) == b"one\n2\nthree"
    assert content_of(kept["new\n*.txt"]) == b"x\ny"
    assert "gone.txt" not in kept
    await take_back(changed, done[0], asides)
    assert (changed / "a.txt").read_text() == "one\n2\nthree"
    # What stood there meanwhile is not lost either.
    assert b"one\ntwo\nthree\n" in {each.read_bytes() for each in asides.rglob("*") if each.is_file()}


async def test_only_what_was_kept_is_committed(changed: Path) -> None:
    changes = {each.path: each for each in await changed_files(changed, "base")}
    await keep(changed, [changes["a.txt"]])
    made = await commit(changed, "Rename\n\nWhy", [changes["to.txt"], changes["new\n*.txt"]])
    shown = run_git(changed, "show", "--name-status", "--no-renames", "--format=%s", "-z", made)
    assert shown.split("\0") == ["Rename", "\nD", "moved.txt", "A", "new\n*.txt", "A", "to.txt", ""]
    left = {each.path for each in await changed_files(changed, "HEAD")}
    assert left == {"caf\udce9.txt", "gone.txt", "picture.bin"}
    for message, files in (("  ", [changes["gone.txt"]]), ("x", [])):
        with pytest.raises(Rejected):
            await commit(changed, message, files)


async def test_hooks_run_only_where_they_are_asked_for(changed: Path) -> None:
    hook = changed / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho the linter says no >&2\nexit 1\n")
    hook.chmod(0o755)
    changes = await changed_files(changed, "base")
    with pytest.raises(GitTrouble, match="the linter says no"):
        await commit(changed, "x", changes[-1:], hooks=True)
    await commit(changed, "x", changes[-1:])


async def test_a_hook_sees_git_as_in_a_shell(changed: Path) -> None:
    hook = changed / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ngit diff --cached --name-only -- '*.bin' > .git/seen\n")
    hook.chmod(0o755)
    changes = [each for each in await changed_files(changed, "base") if each.path == "picture.bin"]
    await commit(changed, "x", changes, hooks=True)
    assert (changed / ".git" / "seen").read_text() == "picture.bin\n"


async def test_a_path_that_leads_out_is_left_alone(changed: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.txt").write_text("theirs")
    (changed / "dir").symlink_to(tmp_path / "out")
    with pytest.raises(Rejected, match="leads out"):
        await discard(changed, "base", [FileChange("dir/x.txt", "untracked", "", 1, 0)], tmp_path / "asides")
    assert (tmp_path / "out" / "x.txt").exists()


async def test_a_discard_that_git_does_not_finish_leaves_the_file_where_it_was(changed: Path, tmp_path: Path) -> None:
    change = next(each for each in await changed_files(changed, "base") if each.path == "a.txt")
    (changed / ".git" / "index.lock").write_text("")
    with pytest.raises(GitTrouble):
        await discard(changed, "base", [change], tmp_path / "asides")
    assert (changed / "a.txt").read_text() == "one\n2\nthree"
