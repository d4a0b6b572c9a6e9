"""What becomes of runs when the workspace is stopped or killed, and which agent it is told to use."""

from __future__ import annotations

import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.workspace.carried import Person, methods
from tests.workspace.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import RunningWorkspace

    Start = Callable[..., RunningWorkspace]

OTHER_AGENT = """
import app.survey_agent.agent as agent
from app.survey_agent.__main__ import main
agent.META = {}
main(["--adapter", "codex"])
"""
STOPPED = "The workspace was stopped while this run was under way."
linux = pytest.mark.skipif(sys.platform != "linux", reason="finds processes by /proc")


def agents_of(workspace: RunningWorkspace) -> set[int]:
    """The processes that work in the folder of a run."""
    found = set()
    for each in Path("/proc").glob("[0-9]*"):
        try:
            folder = os.readlink(each / "cwd")
        except OSError:
            continue
        if folder.startswith(str(workspace.data / "runs")):
            found.add(int(each.name))
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@linux
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_workspace_that_ends_takes_its_agents_along_and_says_so_in_their_runs(
    start_workspace: Start, number: signal.Signals
) -> None:
    first = start_workspace("--runs", "1")
    with Lab(first) as lab:
        held = lab.sign_in()
        person = Person(lab, held)
        run = person.survey("Survey and ask me")
        waiting = person.survey("Only read", mode="background")
        run.until(run.questions)
        [*_, folder] = [Path(os.readlink(f"/proc/{each}/cwd")) for each in agents_of(first)]
        (folder / "notes.md").write_text("not committed\n", "utf-8")
        began = time.monotonic()
        first.process.send_signal(number)
        first.process.wait(5)
        assert time.monotonic() - began < 3
    wait_for(lambda: not agents_of(first))
    second = start_workspace("--runs", "1", data=first.data)
    with Lab(second) as lab:
        person = Person(lab, held)
        ended = person.follow(run.task, run.id).until_ended()
        assert (ended["status"], ended["state"]["sandbox_alive"]) == ("failed", False)
        assert ended["error_message"].startswith(STOPPED)
        # The work of the first turn outlives the workspace, however that ended.
        assert {each["name"] for each in ended["artifacts"]} == {"notes.md", "changes.patch"}
        # What had not begun yet begins now.
        assert person.follow(waiting.task, waiting.id).until_ended()["status"] == "completed"
        again = person.run(run.task, mode="background", resume_from_run_id=run.id, pending_user_message="Only read")
        assert again.until_ended()["status"] == "completed"
        with sqlite3.connect(second.data / "workspace.sqlite3") as db:
            assert db.execute("SELECT count(*) FROM grants WHERE client_id = 'burrow-runs'").fetchone() == (0,)
        db.close()
        wait_for(lambda: list((second.data / "runs").iterdir()) == [])


def test_the_agent_that_was_named_is_used_and_one_that_is_missing_is_named(start_workspace: Start) -> None:
    workspace = start_workspace("--runs", "1", "--agent", "no-such-agent --flag")
    with Lab(workspace) as lab:
        ended = Person(lab, lab.sign_in()).survey("Survey").until_ended()
        assert ended["status"] == "failed"
        assert "“no-such-agent” cannot be started" in ended["error_message"]
    workspace = start_workspace("--runs", "1", "--agent", shlex.join([sys.executable, "-c", OTHER_AGENT]))
    with Lab(workspace) as lab:
        person = Person(lab, lab.sign_in())
        run = person.survey("Survey and ask me")
        run.until(run.questions)
        # This agent takes nothing up in a turn, so the turn makes room for what steers it.
        assert run.result("user_message", content="Only read", steer=True) == {"queued": True}
        assert run.until_turns(2) == ["cancelled", "end_turn"]
        run.result("close")
        run = person.survey("Only read", mode="background")
        assert run.until_ended()["status"] == "completed"
        [*warned] = [each["params"]["message"] for each in run.stored() if each.get("method") == "_posthog/console"]
        assert warned == [
            "Survey agent does not use the model survey-small: it does not offer that",
            "Survey agent does not use the mode acceptEdits: it does not offer that",
        ]
        assert "_posthog/run_started" in methods(run.stored())


def test_without_git_a_run_says_how_to_get_it(
    start_workspace: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    workspace = start_workspace("--runs", "1")
    with Lab(workspace) as lab:
        person = Person(lab, lab.sign_in())
        ended = person.survey("Survey").until_ended()
        assert (ended["status"], "sudo apt install git" in ended["error_message"]) == ("failed", True)
        answer = person.call("GET", "/api/environments/1/integrations/1/github_repos/")
        assert (answer.status_code, "git was not found" in answer.json()["detail"]) == (503, True)


def test_an_interactive_run_without_messages_is_completed(start_workspace: Start) -> None:
    with Lab(start_workspace("--idle-seconds", "0.2", "--runs", "1")) as lab:
        assert Person(lab, lab.sign_in()).survey("Only read").until_ended()["status"] == "completed"


def test_the_survey_agent_starts_fast() -> None:
    """Measured as processor time, because other programs use the machine too."""
    before = os.times()
    command = [sys.executable, "-m", "app", "survey-agent"]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True)
    after = os.times()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    assert used < 0.4
