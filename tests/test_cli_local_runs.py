"""`burrow tasks run --local` against a real workspace, with the survey agent and with one that misbehaves."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

from app.cli.local_asks import choose
from app.core.errors import Rejected
from app.core.mcp.proxy.clients import KnownClient
from app.core.mcp.proxy.service import PORT_SETTING
from app.core.mcp.servers.local_policies import ASK
from app.core.services import Services
from tests._command import SECONDS, DataFolder, Process, started
from tests._in_process import CommandLine
from tests.core.proxy._service import free_port
from tests.core.runs_local.running import SCRIPT
from tests.core.runs_local.tree import agent_in, at_work
from tests.test_cli_proxy import clients_of, with_services
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
        ("--folder", str(tmp_path), "--no-servers"): "Add --local.",
        ("--local", "--branch", "main"): "Add --worktree.",
        ("--local", "--mode", "bypass"): "Allow it in the window: Settings, Runs.",
        ("--local", "--agent", "codex"): "npm install -g @zed-industries/codex-acp",
        ("--local", "--agent", "survey", "--folder", str(tmp_path / "none")): "Choose a folder that exists.",
        ("--local", "--environment", "node", "--folder", str(tmp_path)): "keeps its environments in .posthog-code",
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
    options = ("--folder", str(repository), "--worktree", "--no-servers")
    code = commands.run("tasks", "run", slug, "--local", "--agent", "survey", *options)
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
    options = ("--folder", str(tmp_path), "--no-servers")
    assert commands.run("tasks", "run", made["slug"], "--local", "--agent", MISBEHAVING, *options) == 1
    assert "out of memory" in commands.words
    assert "ended with code 9" in commands.words


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal of POSIX")
def test_a_person_answers_by_number_stops_the_turn_and_then_ends_the_run(
    commands: CommandLine,  # noqa: F811
    folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    made = commands.read("tasks", "create", "ask ask wait", "--title", "Ask twice")
    options = ("--agent", MISBEHAVING, "--folder", str(tmp_path), "--no-servers")
    with on_terminal("tasks", "run", made["slug"], "--local", *options, "--data", str(folder)) as terminal:
        terminal.wait_for("The agent asks: first")
        terminal.wait_for("  2  No")
        terminal.press("x2")
        terminal.wait_for("The agent asks: first", 2)
        terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for("Press Ctrl+C again to end the run.")
        assert terminal.process.wait(SECONDS) == 1
    assert commands.read("tasks", "show", made["slug"])["status"] == "cancelled"


def test_a_run_of_this_machine_is_stopped_and_told_only_by_whoever_has_it(
    commands: CommandLine,  # noqa: F811
    folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    made = commands.read("tasks", "create", "say:ready wait", "--title", "Who has it")
    options = ("--agent", MISBEHAVING, "--folder", str(tmp_path), "--no-servers")
    with DataFolder(folder).start("tasks", "run", made["slug"], "--local", *options) as (process, out, _words):
        while "say:ready" not in out.readline():
            assert process.poll() is None
        deadline = monotonic() + SECONDS
        while commands.read("tasks", "show", made["slug"])["status"] != "in_progress":
            assert monotonic() < deadline
        for words in (("stop",), ("say", "more")):
            assert commands.run("tasks", words[0], made["slug"], *words[1:]) == 2
            assert f"another command (process {process.pid}) carries it out" in commands.words
        process.kill()
    assert commands.run("tasks", "say", made["slug"], "more") == 2
    assert "is not running" in commands.words
    assert commands.run("tasks", "stop", made["slug"]) == 0
    assert commands.read("tasks", "show", made["slug"])["status"] == "cancelled"


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal of POSIX")
async def test_a_key_from_before_the_question_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    import pty

    leader, follower = pty.openpty()
    with os.fdopen(follower) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        os.write(leader, b"1")
        choosing = asyncio.ensure_future(choose(["Yes", "No"]))
        # It waits for a key from here on.
        await asyncio.sleep(0)
        os.write(leader, b"2")
        assert await choosing == 1
        os.close(leader)
        with pytest.raises(Rejected, match="terminal is gone"):
            await choose(["Yes", "No"])


def test_the_agent_gets_the_servers_with_a_key_of_its_own_and_a_call_that_asks_is_asked_on_the_terminal(
    commands: CommandLine,  # noqa: F811
    folder: Path,  # noqa: F811
    repository: Path,
) -> None:
    made = commands.read("tasks", "create", "only read", "--title", "Use the tools")
    with_services(DataFolder(folder), lambda services: services.local_policies.set("workspace", "who_am_i", ASK))
    with_services(DataFolder(folder), lambda services: services.storage.settings.set(PORT_SETTING, free_port()))
    options = ("--agent", "survey", "--folder", str(repository))
    with on_terminal("tasks", "run", made["slug"], "--local", *options, "--data", str(folder)) as terminal:
        terminal.wait_for("Run: Use the tools")
        terminal.wait_for("  3  Refuse it")
        assert [each.revoked_at for each in run_keys(folder)] == [None]
        terminal.press("1")
        assert terminal.process.wait(SECONDS) == 0
        terminal.wait_for("list_event_names)")
    assert "✓ List tasks" in terminal.text
    assert "✓ Who am I" in terminal.text
    assert run_keys(folder) == []


def test_without_a_proxy_the_run_goes_on_and_it_is_said(
    commands: CommandLine,  # noqa: F811
    folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    made = commands.read("tasks", "create", "env", "--title", "No proxy")
    place, kept = folder / "proxy", folder / "proxy-aside"
    if place.exists():
        place.rename(kept)
    place.write_text("no folder")
    try:
        options = ("--agent", MISBEHAVING, "--folder", str(tmp_path))
        assert commands.run("tasks", "run", made["slug"], "--local", *options) == 0
    finally:
        place.unlink()
    assert "The agent gets no MCP servers: " in commands.words
    assert '"servers": []' in commands.out


def run_keys(folder: Path) -> list[KnownClient]:  # noqa: F811
    """The clients of the proxy that runs made."""

    async def found(services: Services) -> list[KnownClient]:
        async with clients_of(services) as clients:
            return [each for each in clients.clients if each.client.name.startswith("Run: ")]

    return with_services(DataFolder(folder), found)


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
        # The log is written in a thread: the agent may be at work before there is one.
        wait_for(lambda: bool(set((folder / "runs").glob("*/log.jsonl")) - {each / "log.jsonl" for each in before}))
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
    """A command on a terminal, and what was written there."""

    def __init__(self, process: Process, leader: int) -> None:
        self.process, self._leader, self.text = process, leader, ""

    def press(self, keys: str) -> None:
        os.write(self._leader, keys.encode())

    def wait_for(self, words: str, times: int = 1) -> None:
        deadline = monotonic() + SECONDS
        while self.text.count(words) < times:
            assert monotonic() < deadline, self.text
            if select.select([self._leader], [], [], 0.5)[0]:
                self.text += os.read(self._leader, 65536).decode("utf-8", "replace")


@contextmanager
def on_terminal(*arguments: str) -> Iterator[Seen]:
    import pty

    leader, follower = pty.openpty()
    process = started(*arguments, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    try:
        yield Seen(process, leader)
    finally:
        os.close(leader)
        if process.poll() is None:
            process.kill()
