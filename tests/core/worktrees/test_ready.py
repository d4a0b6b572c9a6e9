"""A worktree that is ready to work in: what it gets of ignored files, and its setup script."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from app.core.runs.desk.local_conversation import LocalConversation
from app.core.runs.local.claim import RunClaim
from app.core.runs.local.folder import WorkingFolder
from app.core.runs.local.record import LocalRecord
from app.core.runs.local.run_log import RunLog
from app.core.runs.local.status import RunPhase
from app.core.runs.worktrees.carried import carry
from app.core.runs.worktrees.environments import find_environments
from app.core.runs.worktrees.setup import SetupConsent, SetupFailed, SetupNotAgreed, set_up
from app.core.runs.worktrees.worktrees import Worktrees
from tests.core.runs_local.running import scripted
from tests.core.worktrees.conftest import run_git


async def test_ignored_files_are_copied_or_linked_as_the_repository_says(
    repository: Path, worktrees: Worktrees, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.env").write_text("not yours")
    (repository / ".worktreeinclude").write_text("*.env\n!skipped.env\na.txt\nplain.txt\ndeep/\n")
    (repository / ".worktreelink").write_text("node_modules\n")
    (repository / "here.env").write_text("KEY=1")
    (repository / "skipped.env").write_text("no")
    (repository / "plain.txt").write_text("not ignored")
    (repository / "link.env").symlink_to(outside / "secret.env")
    (repository / "deep").mkdir()
    (repository / "deep" / "caf\udce9.env").write_text("KEY=2")
    (repository / "node_modules" / "left-pad").mkdir(parents=True)
    (repository / "node_modules" / "left-pad" / "x.env").write_text("z")
    made = await worktrees.create(repository, "x")
    folder = Path(made.path)
    carried = await carry(repository, folder)
    assert carried.copied == ("deep/caf\udce9.env", "here.env")
    assert carried.linked == ("node_modules/",)
    assert carried.left == (("link.env", "it leads out of the repository"),)
    assert (folder / "here.env").read_text() == "KEY=1"
    assert (folder / "node_modules").readlink() == repository / "node_modules"
    assert not (folder / "plain.txt").exists()
    # What came along is no loss; what became of it would be.
    assert not (await worktrees.losses(made)).any
    (folder / "here.env").write_text("KEY=3")
    assert (await worktrees.losses(made)).ignored == ("here.env",)


async def test_what_is_there_already_stays_and_a_link_leads_nothing_out(
    repository: Path, worktrees: Worktrees, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (repository / "dir").symlink_to(tmp_path / "out")
    run_git(repository, "add", "dir")
    run_git(repository, "commit", "--quiet", "-m", "A link that leads out")
    made = await worktrees.create(repository, "x")
    (repository / "dir").unlink()
    (repository / "dir").mkdir()
    (repository / "dir" / "a.env").write_text("x")
    (repository / "b.env").write_text("new")
    (Path(made.path) / "b.env").write_text("old")
    (repository / ".worktreeinclude").write_text("*.env\n")
    carried = await carry(repository, Path(made.path))
    assert carried.copied == ()
    assert dict(carried.left) == {"dir/a.env": "its folder leads out of the worktree", "b.env": "it is there already"}
    assert (Path(made.path) / "b.env").read_text() == "old"
    assert list((tmp_path / "out").iterdir()) == []


def names_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


async def test_what_cannot_be_copied_is_left_with_the_reason(
    repository: Path, worktrees: Worktrees, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = repository / "build" / "inside"
    inside.mkdir(parents=True)
    run_git(inside, "init", "--quiet")
    for name in ("build/result", "closed.env", "open.env"):
        (repository / name).write_text("x")
    (repository / ".worktreeinclude").write_text("build/\n*.env\n")
    made = await worktrees.create(repository, "x")
    copy = shutil.copy2

    def copy_some(source: Path, target: Path) -> None:
        copy(source, target)
        if source.name == "closed.env":
            raise PermissionError(errno.EACCES, "Permission denied")
        if source.name == "full.env":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("app.core.runs.worktrees.carried.shutil.copy2", copy_some)
    carried = await carry(repository, Path(made.path))
    assert carried.copied == ("build/result", "open.env")
    assert carried.left == (("build/inside/", "it is a repository of its own"), ("closed.env", "Permission denied"))
    # A part of a file would look like the whole at the next start.
    (repository / "full.env").write_text("x")
    with pytest.raises(OSError, match="No space left"):
        await carry(repository, Path(made.path))
    assert names_in(Path(made.path)) >= {"build", "open.env"}
    assert not {each for each in names_in(Path(made.path)) if "closed" in each or "full" in each or "burrow" in each}


def write_environment(folder: Path, text: str, name: str = "default.toml") -> None:
    place = folder / ".posthog-code" / "environments"
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(text)


SCRIPT = '''
id = "web"
version = 1
name = "Web"
[setup]
script = """
echo preparing
echo run >> ran.env
"""
[[actions]]
name = "Test"
icon = "test"
command = "npm test"
'''


def test_environments_are_read_and_wrong_ones_named(tmp_path: Path) -> None:
    write_environment(tmp_path, SCRIPT)
    write_environment(tmp_path, "name = ", "broken.toml")
    write_environment(tmp_path, "[setup]\nscript = 5", "types.toml")
    write_environment(tmp_path, "x = '" + "x" * 300_000 + "'", "large.toml")
    write_environment(tmp_path, "", "bare.toml")
    write_environment(tmp_path, "x = " + "[" * 20_000, "nested.toml")
    found = find_environments(tmp_path)
    bare, web = sorted(found.environments, key=lambda each: each.id)
    assert (bare.id, bare.name, bare.script) == ("bare", "bare", "")
    assert (web.name, web.version, [each.command for each in web.actions]) == ("Web", "1", ["npm test"])
    assert [name.rpartition("/")[2] for name, _ in found.wrong] == [
        "broken.toml",
        "large.toml",
        "nested.toml",
        "types.toml",
    ]
    assert "$.setup.script" in found.wrong[3][1]
    assert find_environments(tmp_path / "gone").environments == ()


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_an_environment_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    write_environment(tmp_path, "")
    os.mkfifo(tmp_path / ".posthog-code" / "environments" / "pipe.toml")
    found = find_environments(tmp_path)
    assert [each.id for each in found.environments] == ["default"]
    assert found.wrong == ((".posthog-code/environments/pipe.toml", "It cannot be used: it is no file."),)


class Settings:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    async def set(self, key: str, value: Any) -> None:
        self.values[key] = value


async def test_a_setup_script_runs_once_and_only_with_consent_to_its_text(
    repository: Path, worktrees: Worktrees, tmp_path: Path
) -> None:
    made = await worktrees.create(repository, "x")
    folder = Path(made.path)
    log = RunLog(tmp_path / "log.jsonl")
    consent = SetupConsent(Settings())
    write_environment(folder, SCRIPT)
    [web] = find_environments(folder).environments
    with pytest.raises(SetupNotAgreed):
        await set_up(folder, made.repository, web, consent, log)
    assert not (folder / "ran.env").exists()
    await consent.agree(made.repository, web)
    assert not consent.agreed("/another/repository", web)
    for _ in range(2):
        await set_up(folder, made.repository, web, consent, log)
    assert (folder / "ran.env").read_text() == "run\n"
    write_environment(folder, SCRIPT.replace("echo preparing", "echo changed"))
    [changed] = find_environments(folder).environments
    with pytest.raises(SetupNotAgreed):
        await set_up(folder, made.repository, changed, consent, log)
    await log.flush()
    whole = log.path.read_text()
    assert '"stdout":"preparing\\n"' in whole
    assert '"status":"completed"' in whole


async def test_a_setup_that_fails_says_how_and_runs_again(
    repository: Path, worktrees: Worktrees, tmp_path: Path
) -> None:
    made = await worktrees.create(repository, "x")
    folder = Path(made.path)
    log = RunLog(tmp_path / "log.jsonl")
    consent = SetupConsent(Settings())
    write_environment(folder, "[setup]\nscript = 'echo no space; test -e ready'")
    [environment] = find_environments(folder).environments
    await consent.agree(made.repository, environment)
    with pytest.raises(SetupFailed, match="ended with code 1"):
        await set_up(folder, made.repository, environment, consent, log)
    await log.flush()
    assert '"stdout":"no space\\n","stderr":"","exitCode":1' in log.path.read_text()
    (folder / "ready").write_text("")
    await set_up(folder, made.repository, environment, consent, log)


async def test_a_run_in_a_worktree_waits_until_it_is_ready(
    repository: Path, worktrees: Worktrees, tmp_path: Path
) -> None:
    (repository / ".worktreeinclude").write_text("*.env\n")
    (repository / "key.env").write_text("KEY=1")
    made = await worktrees.create(repository, "x")
    write_environment(Path(made.path), "[setup]\nscript = 'test -e ready'")
    [environment] = find_environments(Path(made.path)).environments
    consent = SetupConsent(Settings())
    record = LocalRecord(
        id="r", agent=scripted(), folder=made.path, worktree=made.id, repository=made.repository, branch=made.branch
    )
    it = LocalConversation(
        *(tmp_path / "data", record, WorkingFolder(Path(made.path))),
        consent=consent,
        claim=RunClaim(tmp_path / "claim"),
    )
    await it.open()
    it.local.say("say:hello")
    await it.start()
    assert (it.status.phase, it.status.advice) == (RunPhase.FAILED, SetupNotAgreed.action)
    assert (Path(made.path) / "key.env").read_text() == "KEY=1"
    await consent.agree(made.repository, environment)
    await it.start()
    assert (it.status.phase, it.status.advice) == (RunPhase.FAILED, SetupFailed.action)
    assert [each.text for each in it.queued] == ["say:hello"]
    (Path(made.path) / "ready").write_text("")
    await it.start()
    await it.local.idle()
    await it.close()
    told = it.local.log.path.read_text()
    assert told.count("1 copied, 0 linked") == 1
    assert "there already" not in told
    assert '"stopReason":"end_turn"' in told
