"""The runs of this machine: started, listed, opened again, ended, and asked about before Burrow ends."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.core.backend import Backend
from app.core.busy import Busy
from app.core.errors import NotFound, Rejected
from app.core.posthog.runs import Runs
from app.core.posthog.types import Task
from app.core.runs.desk import local_desk
from app.core.runs.desk.local_conversation import LocalConversation
from app.core.runs.desk.local_desk import LocalDesk, LocalStart
from app.core.runs.desk.memory import SETTING, LocalMemory
from app.core.runs.items import Notice, Permission, Prompt, ShellCommand, TurnEnd
from app.core.runs.local import run_log
from app.core.runs.local.agents import LocalAgent
from app.core.runs.local.claim import claim
from app.core.runs.local.mode_names import option_of_mode
from app.core.runs.local.record import LocalRecord, load_record, save_record
from app.core.runs.local.status import RunPhase
from app.core.runs.worktrees.environments import file_called
from app.core.storage import Scope
from tests.core.conftest import Remembered, signed_in
from tests.core.runs_local.running import scripted
from tests.core.runs_local.test_write_back import REFUSED, Server
from tests.until import until

SCOPE = Scope("host", "me")
ENVIRONMENT = """
[setup]
script = "echo ready > setup-ran"
[[actions]]
name = "Test"
command = "echo tested; exit 4"
"""


def task(text: str) -> Task:
    return Task(id="t1", slug="HED-1", title="A task", description=text)


@asynccontextmanager
async def local_runs(
    tmp_path: Path, settings: Remembered | None = None, backend: Backend | None = None
) -> AsyncIterator[LocalDesk]:
    busy = Busy()
    runs = LocalDesk(tmp_path / "data", settings or Remembered(), lambda: backend, busy)
    try:
        yield runs
    finally:
        await runs.close()
        assert not busy.works()


def folder_of(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    return folder


async def started(runs: LocalDesk, text: str, folder: Path, **options: Any) -> LocalConversation:
    agent = options.pop("agent", None) or scripted(resume="yes")
    wanted = LocalStart(agent=agent, folder=str(folder), **options)
    conversation = await runs.start(task(text), wanted)
    await conversation.start()
    return conversation


async def phase(conversation: LocalConversation, wanted: RunPhase) -> None:
    await until(lambda: conversation.status.phase is wanted and not conversation.queued)


def kinds(conversation: LocalConversation, kind: type) -> list[Any]:
    transcript = conversation.transcript
    items = [transcript.item(index) for index in range(len(transcript))]
    return [each for each in items if isinstance(each, kind)]


def repository(folder: Path) -> Path:
    folder.mkdir()
    (folder / ".posthog-code/environments").mkdir(parents=True)
    (folder / ".posthog-code/environments/default.toml").write_text(ENVIRONMENT)
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "first")):
        subprocess.run(("git", *words), cwd=folder, check=True)
    return folder


async def test_an_agent_that_is_not_there_is_named_with_how_to_get_it(tmp_path: Path) -> None:
    async with local_runs(tmp_path) as runs:
        with pytest.raises(Rejected, match="goose was not found") as refused:
            await started(runs, "say:hi", folder_of(tmp_path), agent=LocalAgent("goose", "goose", ("no-goose", "acp")))
        assert "block.github.io/goose" in refused.value.advice
        with pytest.raises(Rejected, match="is no folder"):
            await started(runs, "say:hi", tmp_path / "none")
        with pytest.raises(Rejected, match="No worktree can be made"):
            await started(runs, "say:hi", folder_of(tmp_path), worktree=True)
        assert runs.of("t1") == ()


async def test_a_question_counts_as_work_until_it_is_answered(tmp_path: Path) -> None:
    async with local_runs(tmp_path) as runs:
        conversation = await started(runs, "ask", folder_of(tmp_path))
        await until(lambda: conversation.transcript.state.waiting)
        (work,) = runs.works()
        assert "waits for your answer" in work.consequence
        (asked,) = kinds(conversation, Permission)
        with pytest.raises(Rejected):
            await conversation.answer(asked, "never offered")
        await conversation.answer(asked, asked.options[0].option_id)
        await phase(conversation, RunPhase.READY)
        assert runs.works() == ()
        with pytest.raises(NotFound):
            await conversation.answer(asked, asked.options[0].option_id)


async def test_a_run_is_there_after_another_start_and_a_message_takes_it_up(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    async with local_runs(tmp_path) as runs:
        conversation = await started(runs, "say:one", folder)
        await phase(conversation, RunPhase.READY)
        await conversation.send("wait")
        await phase(conversation, RunPhase.WORKING)
        await conversation.send("say:kept")
    async with local_runs(tmp_path) as runs:
        await runs.load()
        (run,) = runs.of("t1")
        assert (run.environment, run.status, run.state) == ("local", "cut_off", {"folder": str(folder)})
        conversation = runs.conversation(run.id)
        await conversation.open()
        assert [each.reason for each in kinds(conversation, TurnEnd)] == ["end_turn", "cut_off"]
        assert not conversation.record.ended
        assert [each.text for each in kinds(conversation, Prompt)] == ["say:one", "wait"]
        assert [each.text for each in conversation.queued] == ["say:kept"]
        assert not conversation.transcript.state.busy
        await conversation.send("say:two")
        await phase(conversation, RunPhase.READY)
        assert [each.text for each in kinds(conversation, Prompt)][-1] == "say:kept\n\nsay:two"
        assert not conversation.record.cut
        await runs.end(run.id)
        assert runs.of("t1")[0].status == "completed"
        assert runs.of("t1")[0].finished


def killed(tmp_path: Path, *messages: dict[str, Any], **fields: Any) -> None:
    """An earlier process was killed while it carried a run out that had said this."""
    record = LocalRecord(id="run-1", agent=scripted(resume="yes"), folder=str(folder_of(tmp_path)), task="t1", **fields)
    save_record(tmp_path / "data", record)
    lines = [{"type": "notification", "timestamp": "2026-11-29T20:00:00Z", "notification": each} for each in messages]
    # The last line was torn.
    torn = '{"type": "notif'
    (tmp_path / "data" / "runs" / "run-1" / "log.jsonl").write_text("\n".join([*map(json.dumps, lines), torn]))


PROMPT = {"id": "p1", "method": "session/prompt", "params": {"prompt": [{"type": "text", "text": "say:one"}]}}
STOPPED = {"method": "session/cancel", "params": {}}


def end(reason: str) -> dict[str, Any]:
    return {"id": "p1", "result": {"stopReason": reason}}


FAILURE = {"id": "p1", "error": {"code": -32603, "message": "No"}}


@pytest.mark.parametrize(
    ("messages", "left", "cut"),
    [
        ((), "cancelled", False),
        ((PROMPT,), "cancelled", True),
        ((PROMPT, STOPPED), "cancelled", False),
        ((PROMPT, end("end_turn")), "completed", False),
        ((PROMPT, STOPPED, end("cancelled")), "cancelled", False),
        ((PROMPT, end("refusal")), "failed", False),
        ((PROMPT, FAILURE), "failed", False),
        ((PROMPT, end("end_turn"), {**PROMPT, "id": "p2"}), "cancelled", True),
    ],
)
async def test_what_became_of_a_run_whose_process_was_killed_is_read_from_its_log(
    tmp_path: Path, messages: tuple[dict[str, Any], ...], left: str, cut: bool
) -> None:
    killed(tmp_path, *messages)
    async with local_runs(tmp_path) as runs:
        await runs.load()
        (run,) = runs.of("t1")
        assert run.status == ("cut_off" if cut else "paused")
        conversation = runs.conversation(run.id)
        await conversation.open()
        record = load_record(tmp_path / "data", run.id)
        assert (record.left, record.cut, record.ended) == (left, cut, "")
        ends = [each.reason for each in kinds(conversation, TurnEnd)]
        assert len(ends) == sum("prompt" in each.get("method", "") for each in messages)
        assert (ends[-1:] == ["cut_off"]) == cut
        assert not conversation.transcript.state.busy
        if cut:
            await conversation.go_on()
            await phase(conversation, RunPhase.READY)
            assert kinds(conversation, Prompt)[-1].text == "Go on where you were interrupted."
            assert (conversation.record.left, conversation.record.cut) == ("", False)


@pytest.mark.parametrize(("text", "left", "reachable"), [("say:one", "completed", True), ("wait", "cancelled", False)])
async def test_the_server_learns_at_the_end_of_burrow_or_after_the_next_start_that_a_run_is_not_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, left: str, reachable: bool
) -> None:
    if reachable:
        # However slow this machine is.
        monkeypatch.setattr(local_desk, "LAST_WORDS_SECONDS", 20.0)
    async with signed_in(tmp_path) as rig:
        server = Server(rig)
        backend = cast(
            "Backend",
            SimpleNamespace(scope=SCOPE, project=SimpleNamespace(id=7), run_calls=Runs(rig.fetcher, lambda: 7)),
        )
        async with local_runs(tmp_path, backend=backend) as runs:
            conversation = await started(runs, text, folder_of(tmp_path))
            await until(lambda: server.runs.get("r1", {}).get("status") == "in_progress")
            wanted = RunPhase.WORKING if text == "wait" else RunPhase.READY
            await phase(conversation, wanted)
            if not reachable:
                server.fates = [REFUSED] * 100
        assert (server.runs["r1"]["status"] == left) == reachable
        server.fates = []
        async with local_runs(tmp_path, backend=backend) as runs:
            await runs.load()
            await until(lambda: server.runs["r1"]["status"] == left)
            (run,) = runs.of("t1")
            # Here it can go on.
            assert not run.finished


async def test_a_message_is_in_the_log_before_it_is_no_more_among_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Burrow may be killed at any moment in between."""
    async with local_runs(tmp_path) as runs:
        conversation = await started(runs, "ask", folder_of(tmp_path))
        await until(lambda: conversation.transcript.state.waiting)
        await conversation.send("say:two")
        folder = tmp_path / "data" / "runs" / conversation.record.id
        held, usual = threading.Event(), run_log._append

        def slow(path: Path, data: bytes) -> None:
            held.wait(20)
            usual(path, data)

        monkeypatch.setattr(run_log, "_append", slow)
        try:
            (asked,) = kinds(conversation, Permission)
            await conversation.answer(asked, asked.options[0].option_id)
            # The agent has it, and has answered; the disk is slow.
            await until(lambda: [each.text for each in kinds(conversation, Prompt)][-1] == "say:two")
            await phase(conversation, RunPhase.READY)
            assert "say:two" in (folder / "unsent.json").read_text()
        finally:
            held.set()
        await until(lambda: not (folder / "unsent.json").exists())
        assert "say:two" in (folder / "log.jsonl").read_text()


async def test_a_message_that_was_logged_when_burrow_was_killed_does_not_begin_another_turn(tmp_path: Path) -> None:
    killed(tmp_path, PROMPT)
    unsent = tmp_path / "data" / "runs" / "run-1" / "unsent.json"
    for prompt, waits in (("p1", []), ("p2", ["say:one"])):
        unsent.write_text(json.dumps([["say:one", [], prompt]]))
        async with local_runs(tmp_path) as runs:
            await runs.load()
            conversation = runs.conversation("run-1")
            await conversation.open()
            assert [each.text for each in conversation.queued] == waits


async def test_a_run_is_put_down_when_its_account_is_left_and_goes_on_after_the_return(tmp_path: Path) -> None:
    async with local_runs(tmp_path) as runs:
        conversation = await started(runs, "wait", folder_of(tmp_path))
        await until(lambda: conversation.transcript.state.busy)
        (work,) = runs.works()
        assert work.without_account == work.consequence
        told: list[str] = []
        runs.changed.subscribe(told.append)
        await runs.put_down()
        assert (conversation.status.phase, runs.works()) == (RunPhase.ENDED, ())
        assert runs.of("t1")[0].status == "cut_off"
        assert runs.cut_off == {"t1"}
        assert told == ["t1"]
        await conversation.go_on()
        await phase(conversation, RunPhase.READY)
        assert runs.cut_off == frozenset()


async def test_a_run_that_another_process_carries_out_is_not_taken_for_one_that_was_cut_off(tmp_path: Path) -> None:
    killed(tmp_path, PROMPT)
    elsewhere = claim(tmp_path / "data" / "runs" / "run-1")
    assert elsewhere is not None
    try:
        async with local_runs(tmp_path) as runs:
            await runs.load()
            assert runs.of("t1")[0].status == "paused"
            assert load_record(tmp_path / "data", "run-1").left == ""
            assert "error" not in (tmp_path / "data" / "runs" / "run-1" / "log.jsonl").read_text()
    finally:
        elsewhere.release()


async def test_a_run_that_the_person_ends_in_the_middle_of_a_turn_is_not_called_cut_off(tmp_path: Path) -> None:
    async with local_runs(tmp_path) as runs:
        conversation = await started(runs, "wait", folder_of(tmp_path))
        await until(lambda: conversation.transcript.state.busy)
        await runs.end(conversation.record.id, "cancelled")
        assert [each.reason for each in kinds(conversation, TurnEnd)] == ["cancelled"]
    record = load_record(tmp_path / "data", conversation.record.id)
    assert (record.ended, record.left, record.cut) == ("cancelled", "", False)


async def test_a_crash_is_told_with_the_last_lines_of_the_agent_and_no_secret(tmp_path: Path) -> None:
    async with local_runs(tmp_path) as runs:
        conversation = await started(runs, "crash", folder_of(tmp_path))
        await until(lambda: conversation.status.phase is RunPhase.ENDED)
        assert "out of memory" in conversation.status.stderr[-1]
        assert "0123456789" not in conversation.status.stderr[-1]
        assert conversation.run.status == "paused"
        assert not conversation.transcript.state.busy
        await conversation.send("say:again")
        await phase(conversation, RunPhase.READY)
        assert [each.text for each in kinds(conversation, Prompt)] == ["crash", "say:again"]


async def test_what_is_seen_live_is_what_the_log_has(tmp_path: Path) -> None:
    async with local_runs(tmp_path) as runs:
        conversation = await started(runs, "think:two-words say:hi", folder_of(tmp_path))
        await phase(conversation, RunPhase.READY)
        live = [conversation.transcript.item(index) for index in range(len(conversation.transcript))]
        run = conversation.record.id
    async with local_runs(tmp_path) as runs:
        await runs.load()
        conversation = runs.conversation(run)
        await conversation.open()
        again = [conversation.transcript.item(index) for index in range(len(conversation.transcript))]
        assert [each.key for each in again] == [each.key for each in live]
        assert [getattr(each, "text", "") for each in again] == [getattr(each, "text", "") for each in live]
        assert [type(each).__name__ for each in live] == ["Setup", "Prompt", "Thought", "Message", "TurnEnd"]


async def test_a_message_waits_where_the_agent_cannot_be_started(tmp_path: Path) -> None:
    async with local_runs(tmp_path) as runs:
        conversation = await started(runs, "say:hi", folder_of(tmp_path), agent=scripted(stderr="no licence"))
        assert (conversation.status.phase, conversation.status.stderr) == (RunPhase.FAILED, ("no licence",))
        assert [each.text for each in conversation.queued] == ["say:hi"]


async def test_a_setup_script_waits_for_consent_to_exactly_its_text_and_the_prompt_waits_in_sight(
    tmp_path: Path,
) -> None:
    made = repository(tmp_path / "repository")
    settings = Remembered()
    async with local_runs(tmp_path, settings) as runs:
        conversation = await started(runs, "say:done", made, worktree=True)
        worktree = Path(conversation.record.folder)
        assert conversation.setup is not None
        assert "echo ready" in conversation.setup.environment.script
        assert [each.text for each in conversation.queued] == ["say:done"]
        assert not (worktree / "setup-ran").exists()
        await conversation.agree_to_setup()
        await phase(conversation, RunPhase.READY)
        assert (worktree / "setup-ran").read_text() == "ready\n"
        assert conversation.run.branch == "burrow/hed-1"
        assert await conversation.act(conversation.actions[0]) == 4
        assert kinds(conversation, ShellCommand)[-1].output == "tested\n"
        second = await started(runs, "say:done", made, worktree=True)
        await phase(second, RunPhase.READY)
        assert second.setup is None
        assert (Path(second.record.folder) / "setup-ran").exists()
        assert not (made / "setup-ran").exists()


async def test_of_several_environments_the_chosen_one_sets_the_worktree_up_and_gives_the_commands(
    tmp_path: Path,
) -> None:
    made = repository(tmp_path / "repository")
    other = made / ".posthog-code/environments/other.toml"
    other.write_text(ENVIRONMENT.replace("echo ready", "echo other").replace('"Test"', '"Deploy"'))
    for words in (("add", "."), ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "second")):
        await asyncio.to_thread(subprocess.run, ("git", *words), cwd=made, check=True)
    async with local_runs(tmp_path) as runs:
        found = await runs.environments(str(made))
        for wrong, words in (("third", "There are: default, other, and none."), ("", "There are")):
            with pytest.raises(Rejected) as refused:
                file_called(found, wrong)
            assert words in refused.value.advice
        file = file_called(found, "Other")
        conversation = await started(runs, "say:done", made, worktree=True, environment=file)
        assert conversation.setup is not None
        assert "echo other" in conversation.setup.environment.script
        assert [each.name for each in conversation.actions] == ["Deploy"]
        without = await started(runs, "say:done", made, worktree=True, environment=file_called(found, "none"))
        await phase(without, RunPhase.READY)
        assert (without.setup, without.actions) == (None, ())
        gone = await started(runs, "say:done", made, worktree=True, environment="gone.toml")
        await phase(gone, RunPhase.READY)
        assert "no setup script was run" in kinds(gone, Notice)[0].text


async def test_an_agent_without_the_mode_that_was_chosen_says_so_in_the_log(tmp_path: Path) -> None:
    async with local_runs(tmp_path) as runs:
        conversation = await started(
            runs, "say:hi", folder_of(tmp_path), mode="acceptEdits", agent=scripted(modes="strict")
        )
        await phase(conversation, RunPhase.READY)
        (said,) = [each.text for each in kinds(conversation, Notice)]
        assert said == "The agent has no permission mode acceptEdits. It works in its own mode: strict."


@pytest.mark.parametrize(
    ("mode", "values", "found"),
    [
        ("plan", ["build", "plan"], "plan"),
        ("default", ["build", "plan"], "build"),
        ("acceptEdits", ["default", "auto_edit"], "auto_edit"),
        ("bypassPermissions", ["yolo"], "yolo"),
        ("auto", ["build", "plan"], None),
        (
            "plan",
            ["https://agents.example/modes#agent", "https://agents.example/modes#plan"],
            "https://agents.example/modes#plan",
        ),
    ],
)
def test_a_mode_is_found_under_the_name_that_the_agent_has_for_it(
    mode: str, values: list[str], found: str | None
) -> None:
    option = {"id": "m", "category": "mode", "options": [{"options": [{"value": each} for each in values]}]}
    assert option_of_mode([{"id": "model"}, option], mode) == (found and ("m", found))


async def test_what_a_run_was_started_with_is_remembered_by_repository_and_agent() -> None:
    settings = Remembered()
    one = LocalStart(agent=scripted(), folder="/one", worktree=True, base="main", mode="plan")
    settings.values[SETTING] = LocalMemory(settings).with_last("o/one", one)
    memory = LocalMemory(settings)
    assert (memory.last("o/one").folder, memory.last("o/one").worktree) == ("/one", True)
    other = memory.last("o/two")
    assert (other.agent, other.folder, other.modes) == (scripted(), "", {"scripted": "plan"})
    settings.values[SETTING] = {"o/one": 7}
    assert LocalMemory(settings).last("o/one").agent is None
