"""`burrow tasks run --local` against a real workspace, with the survey agent and with one that misbehaves."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests._command import SECONDS, started
from tests._in_process import CommandLine
from tests.core.runs_local.running import SCRIPT
from tests.core.runs_local.tree import agent_in, at_work
from tests.test_cli_runs import a_task, commands, folder  # noqa: F401 - fixtures
from tests.workspace.conftest import lab, shared_lab, shared_workspace  # noqa: F401 - fixtures

MISBEHAVING = f"{sys.executable} -I -S {SCRIPT}"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = tmp_path / "shop"
    made.mkdir()
    (made / "README.md").write_text("# Shop\n")
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "first")):
        subprocess.run(("git", *words), cwd=made, check=True)
    return made


def test_what_cannot_run_here_is_refused_with_the_way_out(commands: CommandLine, tmp_path: Path) -> None:  # noqa: F811
    slug = a_task(commands, "Refused here")
    refused = {
        ("--local", "--model", "survey-small"): "without --local",
        ("--folder", str(tmp_path)): "Add --local.",
        ("--local", "--branch", "main"): "Add --worktree.",
        ("--local", "--mode", "bypass"): "Allow it in the window: Settings, Runs.",
        ("--local", "--agent", "codex"): "npm install -g @zed-industries/codex-acp",
        ("--local", "--agent", "survey", "--folder", str(tmp_path / "none")): "Choose a folder that exists.",
        ("--local", "--agent", "survey", "--folder", str(tmp_path), "--worktree"): "a git repository that has a commit",
    }
    for arguments, words in refused.items():
        assert commands.run("tasks", "run", slug, *arguments) != 0
        assert words in commands.words, arguments


def test_without_a_terminal_what_the_agent_asks_is_refused_and_the_server_has_the_log(
    commands: CommandLine,  # noqa: F811
    repository: Path,
) -> None:
    slug = a_task(commands, "Survey the shop")
    code = commands.run("tasks", "run", slug, "--local", "--agent", "survey", "--folder", str(repository), "--worktree")
    assert "There is no terminal to ask on, so this is refused: Write SURVEY.md" in commands.words
    assert "on the branch burrow/" in commands.words
    assert code in {0, 1}
    assert not (repository / "SURVEY.md").exists()
    shown = commands.out
    assert commands.run("tasks", "logs", slug) == 0
    assert done(commands.out) == done(shown)
    assert len(done(shown)) > 3
    assert commands.read("tasks", "show", slug)["status"] in {"completed", "failed", "cancelled"}


def test_a_crash_ends_with_the_last_words_of_the_agent(commands: CommandLine, tmp_path: Path) -> None:  # noqa: F811
    made = commands.read("tasks", "create", "crash", "--title", "Crash")
    assert commands.run("tasks", "run", made["slug"], "--local", "--agent", MISBEHAVING, "--folder", str(tmp_path)) == 1
    assert "out of memory" in commands.words
    assert "ended with code 9" in commands.words


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal of POSIX")
def test_a_person_answers_by_number_stops_the_turn_and_then_ends_the_run(
    commands: CommandLine,  # noqa: F811
    folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    import pty

    made = commands.read("tasks", "create", "ask ask wait", "--title", "Ask twice")
    leader, follower = pty.openpty()
    arguments = ("tasks", "run", made["slug"], "--local", "--agent", MISBEHAVING, "--folder", str(tmp_path))
    process = started(*arguments, "--data", str(folder), stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    terminal = Seen(leader)
    try:
        terminal.wait_for("The agent asks: first")
        terminal.wait_for("  2  No")
        os.write(leader, b"x")
        os.write(leader, b"2")
        terminal.wait_for("The agent asks: first", 2)
        process.send_signal(signal.SIGINT)
        terminal.wait_for("Press Ctrl+C again to end the run.")
        assert process.wait(SECONDS) == 1
    finally:
        os.close(leader)
        if process.poll() is None:
            process.kill()
    assert commands.read("tasks", "show", made["slug"])["status"] == "cancelled"


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")
def test_a_kill_in_the_middle_of_a_run_leaves_no_process_and_the_next_command_knows_how_it_stands(
    commands: CommandLine,  # noqa: F811
    folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    made, agent = commands.read("tasks", "create", "say:begun wait", "--title", "Killed"), tmp_path / "agent"
    [command] = agent_in(agent).command
    before = set((folder / "runs").glob("*"))
    arguments = ("tasks", "run", made["slug"], "--local", "--agent", command, "--folder", str(tmp_path))
    process = started(*arguments, "--data", str(folder))
    try:
        wait_for(lambda: at_work(agent) == {"agent.py", "grandchild"})
        [run] = set((folder / "runs").glob("*/log.jsonl")) - {each / "log.jsonl" for each in before}
        wait_for(lambda: '"session/prompt"' in run.read_text())
    finally:
        process.kill()
        process.wait(SECONDS)
    wait_for(lambda: at_work(agent) == set())
    assert all(json.loads(line) for line in run.read_text().splitlines())
    record = run.with_name("run.json")
    assert json.loads(record.read_text()).get("left", "") == ""
    other = commands.read("tasks", "create", "say:fine", "--title", "Another")
    assert commands.run("tasks", "run", other["slug"], "--local", "--agent", command, "--folder", str(tmp_path)) == 0
    assert json.loads(record.read_text())["left"] == "cancelled"
    assert "cut_off" in run.read_text()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + SECONDS
    while not condition():
        assert monotonic() < deadline
        sleep(0.05)


def done(text: str) -> list[str]:
    """What was asked and done. A plan is written once it is complete, and stands where it began in the log."""
    return [line for line in text.splitlines() if line.startswith(("✓ ", "✗ ", "> ", "–"))]


class Seen:
    """What was written on a terminal."""

    def __init__(self, leader: int) -> None:
        self._leader, self.text = leader, ""

    def wait_for(self, words: str, times: int = 1) -> None:
        deadline = monotonic() + SECONDS
        while self.text.count(words) < times:
            assert monotonic() < deadline, self.text
            if select.select([self._leader], [], [], 0.5)[0]:
                self.text += os.read(self._leader, 65536).decode("utf-8", "replace")
