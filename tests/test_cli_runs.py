"""`burrow tasks run`, `logs`, `say` and `stop` against a real workspace."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.cli.common import backend_of
from app.cli.run_items import ItemWriter
from app.core.runs.log_entries import iterate_lines
from app.core.runs.transcript import Transcript
from tests._command import SECONDS, STREAMS, burrow, started
from tests._in_process import CommandLine
from tests.conftest import RunningWorkspace
from tests.workspace.conftest import lab, shared_lab, shared_workspace  # noqa: F401 - fixtures
from tests.workspace.lab import Lab


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    shared_workspace: RunningWorkspace,  # noqa: F811
    shared_lab: Lab,  # noqa: F811
) -> Path:
    data = tmp_path_factory.mktemp("signed-in")
    key = str(shared_lab.state()["personal_api_key"])
    arguments = ("login", "--host", shared_workspace.url, "--token", "-", "--store", "file", "--data", str(data))
    outcome = burrow(*arguments, stdin=key)
    assert outcome.returncode == 0, outcome.stderr
    return data


@pytest.fixture
def commands(
    folder: Path,
    lab: Lab,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> CommandLine:
    return CommandLine(folder, capsys, monkeypatch)


def a_task(commands: CommandLine, title: str) -> str:
    made: dict[str, Any] = commands.read("tasks", "create", "What is to be done", "--title", title)
    return str(made["slug"])


def test_what_cannot_be_run_so_is_refused_with_the_way_out(commands: CommandLine) -> None:
    slug = a_task(commands, "Refused")
    refused = {
        ("--model", "survey-codex", "--mode", "accept-edits"): "It has: plan, auto, bypass, read-only.",
        ("--model", "survey-small", "--effort", "max"): "It knows: low, medium, high.",
        ("--model", "mystery"): "name the agent too",
        ("--mode", "bypass"): "Allow it in the window: Settings, Runs.",
    }
    for options, way_out in refused.items():
        assert commands.run("tasks", "run", slug, *options) == 2
        assert way_out in commands.words
    assert commands.run("tasks", "stop", slug) == 5
    assert f"burrow tasks run {slug}" in commands.words
    assert commands.read("tasks", "show", slug)["status"] is None


def test_a_limit_says_when_it_resets_and_github_where_it_is_connected(commands: CommandLine, lab: Lab) -> None:  # noqa: F811
    slug = a_task(commands, "Limited")
    lab.switch("runs", refuse_start="usage_limit_exceeded", limit_type="burst", reset_seconds=3600)
    assert commands.run("tasks", "run", slug) == 4
    assert "It resets at 20" in commands.words
    assert "A paid plan has a higher limit." in commands.words
    lab.switch("runs", refuse_start="github_authorization_required")
    assert commands.run("tasks", "run", slug) == 2
    # The address is whole: it can be opened.
    address = next(line for line in commands.words.splitlines() if line.startswith(lab.workspace.url))
    ticket = httpx.URL(address).params["ticket"]
    form = {"ticket": ticket, "decision": "deny"}
    assert httpx.post(address, data=form, trust_env=False).status_code == 200


def test_a_task_is_run_stopped_and_run_again_with_what_was_used_last(commands: CommandLine) -> None:
    slug = a_task(commands, "Run me")
    options = ("--model", "codex/survey-codex", "--effort", "low", "--mode", "read-only", "--branch", "dev")
    started = commands.read("tasks", "run", slug, *options)
    assert (started["model"], started["branch"]) == ("survey-codex", "dev")
    assert commands.run("tasks", "run", slug) == 2
    assert f"burrow tasks logs {slug} --follow" in commands.words
    stopped = commands.read("tasks", "stop", slug)
    assert stopped["status"] == "cancelled"
    # What has ended stays so.
    assert commands.read("tasks", "stop", slug)["run"] == started["run"]
    again = commands.read("tasks", "run", slug)
    assert again["run"] != started["run"]
    assert (again["model"], again["branch"]) == ("survey-codex", "dev")
    commands.read("tasks", "stop", slug)


def logged(*messages: dict[str, Any]) -> bytes:
    """A stored log with these messages."""
    return "\n".join(json.dumps({"type": "notification", "notification": each}) for each in messages).encode()


def update(what: str, **fields: Any) -> dict[str, Any]:
    return {"method": "session/update", "params": {"sessionId": "s", "update": {"sessionUpdate": what, **fields}}}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def test_items_are_written_once_when_they_are_whole_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    transcript, writer = Transcript(), ItemWriter()

    def add(*messages: dict[str, Any]) -> str:
        transcript.apply(tuple(iterate_lines(logged(*messages))))
        writer.write(transcript)
        return capsys.readouterr().out

    assert add({"id": 1, "method": "session/prompt", "params": {"prompt": [text("Do it")]}}).strip() == "> Do it"
    assert add(update("agent_message_chunk", content=text("Work"))) == ""
    call = update("tool_call", toolCallId="t", title="Show", kind="execute", status="in_progress")
    assert add(update("agent_message_chunk", content=text("ing")), call).strip() == "Working"
    secret = {"type": "content", "content": text(f"key phx_{'a1B2' * 10}")}
    written = add(update("tool_call_update", toolCallId="t", status="completed", content=[secret]))
    assert "✓ Show" in written
    assert "phx_a1B2" not in written
    assert add() == ""
    writer.write(transcript, over=True)
    assert capsys.readouterr().out == ""


def test_a_long_text_is_cut_unless_it_is_wanted_whole(capsys: pytest.CaptureFixture[str]) -> None:
    lines = "\n".join(f"line {number}" for number in range(100))
    transcript = Transcript()
    transcript.apply(tuple(iterate_lines(logged(update("agent_message", content=text(lines))))))
    ItemWriter().write(transcript, over=True)
    assert "60 more lines; --full" in capsys.readouterr().out
    ItemWriter(full=True).write(transcript, over=True)
    assert "line 99" in capsys.readouterr().out
    ItemWriter(as_json=True).write(transcript, over=True)
    assert json.loads(capsys.readouterr().out)["type"] == "message"


def test_only_a_terminal_gets_colour_and_none_of_it_is_the_agents(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    transcript = Transcript()
    thought = update("agent_thought_chunk", content=text("Hm \x1b[31mred"))
    transcript.apply(tuple(iterate_lines(logged(thought))))
    monkeypatch.setattr("app.cli.terminal._is_terminal", lambda _stream: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    ItemWriter().write(transcript, over=True)
    written = capsys.readouterr().out
    assert written.startswith("\x1b[2m~ Hm ")
    assert "\x1b[31m" not in written
    monkeypatch.setenv("NO_COLOR", "1")
    ItemWriter().write(transcript, over=True)
    assert "\x1b" not in capsys.readouterr().out


class Agent:
    """Carries a run out over the API, as the agent of a sandbox does."""

    def __init__(self, lab: Lab, task_id: str) -> None:  # noqa: F811
        self._http = lab.http
        self._bearer = {"Authorization": f"Bearer {lab.state()['personal_api_key']}"}
        me = self._http.get("/api/users/@me/", headers=self._bearer).json()
        self._task = f"/api/projects/{me['team']['id']}/tasks/{task_id}/"
        self.run = self._post("runs/", environment="local")["id"]
        self.path = f"{self._task}runs/{self.run}/"

    def change(self, **fields: Any) -> None:
        answer = self._http.patch(self.path, json=fields, headers=self._bearer)
        assert answer.status_code == 200, answer.text

    def log(self, *messages: dict[str, Any]) -> None:
        stamp = {"type": "notification", "timestamp": "2026-11-29T20:00:00Z"}
        self._post(f"runs/{self.run}/append_log/", entries=[{**stamp, "notification": each} for each in messages])

    def _post(self, path: str, **body: Any) -> Any:
        answer = self._http.post(f"{self._task}{path}", json=body, headers=self._bearer)
        assert answer.status_code < 300, answer.text
        return answer.json()


PROMPT = {"id": 1, "method": "session/prompt", "params": {"prompt": [text("Do it")]}}
STARTED = {"method": "_posthog/run_started", "params": {"sessionId": "s", "runId": "r"}}
ENDED = {"id": 1, "result": {"stopReason": "end_turn"}}


def test_a_log_is_shown_from_its_end_and_follows_nothing_that_is_over(commands: CommandLine, lab: Lab) -> None:  # noqa: F811
    slug = a_task(commands, "Logged")
    assert commands.run("tasks", "logs", slug) == 5
    agent = Agent(lab, str(commands.read("tasks", "show", slug)["id"]))
    assert commands.run("tasks", "logs", slug) == 0
    assert (commands.out, "has said nothing yet" in commands.words) == ("", True)
    agent.change(status="in_progress")
    answers = [update("agent_message", content=text(f"Answer {number}")) for number in range(9)]
    agent.log(STARTED, PROMPT, *answers, ENDED)
    assert commands.run("tasks", "logs", slug, "--limit", "3") == 0
    assert "Answer 8" in commands.out
    assert "Answer 3" not in commands.out
    assert "earlier entries; more with --limit" in commands.words
    assert f"burrow tasks logs {slug} --follow" in commands.words
    assert "has said nothing yet" not in commands.words
    agent.change(status="failed", error_message="No more disk.")
    assert commands.run("tasks", "logs", slug, "--follow") == 1
    assert commands.out.count("Answer 8") == 1
    assert "The run has ended: failed: No more disk." in commands.words
    records = [json.loads(line) for line in _lines(commands, "tasks", "logs", slug, "--json")]
    assert [each["text"] for each in records if each["type"] == "message"][-1] == "Answer 8"


def test_a_turn_that_was_stopped_in_the_window_says_so_whatever_its_agent_logged(
    commands: CommandLine,
    lab: Lab,  # noqa: F811
) -> None:
    slug = a_task(commands, "Stopped")
    task_id = str(commands.read("tasks", "show", slug)["id"])
    agent = Agent(lab, task_id)
    begun = [STARTED, PROMPT, update("agent_message", content=text("Before"))]
    agent.log(*begun, update("agent_message", content=text("After")), ENDED)
    agent.change(status="completed")
    transcript = Transcript(agent.run)
    transcript.apply(tuple(iterate_lines(logged(*begun))))

    async def stop() -> None:
        async with backend_of(argparse.Namespace(data=commands.data, host=None, account=None)) as backend:
            assert backend.scope is not None
            await backend.storage.stops.keep(backend.scope, task_id, transcript.turn)

    asyncio.run(stop())
    for options in ([], ["--follow"]):
        assert commands.run("tasks", "logs", slug, *options) == 0
        assert "cancelled" in commands.out
        assert "end_turn" not in commands.out
    records = [json.loads(line) for line in _lines(commands, "tasks", "logs", slug, "--json")]
    assert [each["late"] for each in records if each["type"] == "message"] == [False, True]


def test_what_is_said_to_an_ended_run_begins_another_one(commands: CommandLine, lab: Lab) -> None:  # noqa: F811
    slug = a_task(commands, "Said")
    assert commands.run("tasks", "say", slug, " ") == 2
    agent = Agent(lab, str(commands.read("tasks", "show", slug)["id"]))
    agent.change(status="completed", output={"head_branch": "agent/work"})
    said = commands.read("tasks", "say", slug, "And now the tests")
    assert said["run"] != agent.run
    assert commands.read("tasks", "show", slug)["status"] == said["status"]
    stopped = commands.read("tasks", "stop", slug)
    assert (stopped["run"], stopped["branch"]) == (said["run"], "agent/work")


def test_a_run_is_followed_while_it_goes_on_and_every_entry_is_written_once(commands: CommandLine, lab: Lab) -> None:  # noqa: F811
    slug = a_task(commands, "Followed")
    task_id = str(commands.read("tasks", "show", slug)["id"])
    agent = Agent(lab, task_id)
    agent.change(status="in_progress")
    agent.log(STARTED, PROMPT)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            lab.wait_for_request(f"{agent.path}stream/")
            for words in ("One", "Two"):
                agent.log(update("tool_call", toolCallId=words, title=f"Call {words}", kind="read", status="completed"))
            agent.log(ENDED)
            agent.change(status="completed", output={"pr_url": "https://github.example/pr/1"})
        except BaseException as failure:
            failures.append(failure)
            raise

    thread = threading.Thread(target=work)
    thread.start()
    code = commands.run("tasks", "logs", slug, "--follow")
    thread.join()
    assert failures == []
    assert code == 0, commands.words
    assert [commands.out.count(words) for words in ("> Do it", "Call One", "Call Two", "end_turn")] == [1] * 4
    assert "Pull request: https://github.example/pr/1" in commands.words


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_control_c_leaves_the_run_alone_and_says_so(commands: CommandLine, lab: Lab) -> None:  # noqa: F811
    slug = a_task(commands, "Left alone")
    agent = Agent(lab, str(commands.read("tasks", "show", slug)["id"]))
    agent.change(status="in_progress")
    agent.log(STARTED, PROMPT)
    with started("tasks", "logs", slug, "--follow", "--data", str(commands.data), **STREAMS) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while "> Do it" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
        assert f"The run goes on. Follow it again with: burrow tasks logs {slug} --follow" in process.stderr.read()
    assert commands.read("tasks", "show", slug)["status"] == "in_progress"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_whom_nobody_reads_any_more_follows_no_longer(commands: CommandLine, lab: Lab) -> None:  # noqa: F811
    slug = a_task(commands, "Unread")
    agent = Agent(lab, str(commands.read("tasks", "show", slug)["id"]))
    agent.change(status="in_progress")
    agent.log(STARTED, PROMPT)
    with started("tasks", "logs", slug, "--follow", "--data", str(commands.data), **STREAMS) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while "> Do it" not in process.stdout.readline():
            assert process.poll() is None
        process.stdout.close()
        agent.log(update("tool_call", toolCallId="1", title="Unread", kind="read", status="completed"))
        assert process.wait(SECONDS) == 1
        assert f"The run goes on. Follow it again with: burrow tasks logs {slug} --follow" in process.stderr.read()


def test_no_task_is_meant_by_an_empty_name(commands: CommandLine, lab: Lab) -> None:  # noqa: F811
    for arguments in (("stop", ""), ("say", " ", "hello"), ("run", ""), ("logs", "")):
        assert commands.run("tasks", *arguments) == 2
        assert "No task is named" in commands.words


def test_what_kind_of_entry_it_is_stands_beside_the_kind_of_a_call(capsys: pytest.CaptureFixture[str]) -> None:
    transcript = Transcript()
    call = update("tool_call", toolCallId="t", title="Show", kind="execute", status="completed")
    transcript.apply(tuple(iterate_lines(logged(call))))
    ItemWriter(as_json=True).write(transcript)
    record = json.loads(capsys.readouterr().out)
    assert (record["type"], record["kind"]) == ("tool_call", "execute")


def _lines(commands: CommandLine, *arguments: str) -> list[str]:
    assert commands.run(*arguments) == 0, commands.words
    return commands.out.splitlines()
