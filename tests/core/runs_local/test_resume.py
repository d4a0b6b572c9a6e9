"""Going on with an earlier session: what agents do wrong with `session/load`, and what becomes of the transcript."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.core.runs.local import session as session_module
from app.core.runs.local.replay import Replay
from app.core.runs.local.status import RunPhase
from tests.core.runs.logs import entries, message, prompt, update
from tests.core.runs_local.running import Watched, running, scripted
from tests.until import until


async def an_earlier_run(tmp_path: Path) -> list[bytes]:
    """A run with one turn. Returns its log."""
    async with running(tmp_path, scripted()) as it:
        await it.turn("say:one")
    return it.run.log.path.read_bytes().splitlines()


def prompts(it: Watched) -> list[str]:
    return [
        block["text"]
        for each in it.stored()
        if each.get("method") == "session/prompt"
        for block in each["params"]["prompt"]
    ]


@pytest.mark.parametrize("how", ["none", "ids", "new-ids", "late", "null", "empty"])
async def test_a_session_that_is_loaded_changes_nothing_of_what_is_stored(tmp_path: Path, how: str) -> None:
    before = await an_earlier_run(tmp_path)
    async with running(tmp_path, scripted(load=how), session="s-1") as it:
        assert it.run.status.phase is RunPhase.READY
        assert prompts(it) == []
        silent = [each for each in it.said_by_burrow() if "repeated nothing" in each]
        assert len(silent) == (1 if how in {"null", "empty"} else 0)
        await it.turn("say:two")
        await it.run.log.flush()
        assert it.run.log.path.read_bytes().splitlines()[: len(before)] == before
        assert prompts(it) == ["say:two"]


async def test_what_was_said_elsewhere_meanwhile_is_added(tmp_path: Path) -> None:
    await an_earlier_run(tmp_path)
    async with running(tmp_path, scripted(load="longer"), session="s-1") as it:
        assert prompts(it) == ["elsewhere"]
        assert "said elsewhere" in str(it.stored())


def replayed(*said: str) -> Replay:
    """What an agent repeats: what begins with `>` is a prompt."""
    replay = Replay()
    for each in said:
        kind = "user_message_chunk" if each.startswith(">") else "agent_message_chunk"
        content = {"type": "text", "text": each.removeprefix(">")}
        replay.add({"update": {"sessionUpdate": kind, "content": content}})
    return replay


STORED = [prompt("one"), message("Well. "), update("usage_update", used=1), message("Done."), prompt("two", 2)]


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ([">one", "Well. Done.", ">two"], []),
        ([">one", "Well. ", "Done.", ">two", "Done."], ["Done."]),
        # What is said last may have been said before.
        ([">one", "Well. Done.", ">two", "So. ", ">three", "Well. Done."], ["So. ", "three", "Well. Done."]),
        # In other words.
        ([">one", "Good and done.", ">two"], []),
        ([">one", "Good and done."], []),
        ([">something", "else"], []),
        # As after a compaction.
        (["A summary.", ">two", "More."], ["More."]),
        # The answer was cut off.
        ([">one", "Well. Done. And more."], ["Well. Done. And more."]),
        ([], []),
    ],
)
def test_what_was_said_since_is_found_whatever_was_said_before(said: list[str], missing: list[str]) -> None:
    found = replayed(*said).missing(entries(*STORED))
    assert [each["content"]["text"] for each in contents(found)] == missing


def contents(messages: list[dict[str, object]]) -> list[Any]:
    params: list[Any] = [each["params"] for each in messages]
    return [each["update"] if "update" in each else {"content": each["prompt"][0]} for each in params]


async def test_a_log_that_is_lost_is_not_a_reason_to_load(tmp_path: Path) -> None:
    async with running(tmp_path, scripted(load="error"), session="s-1") as it:
        assert it.run.status.phase is RunPhase.READY


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ({"load": "error"}, "The agent does not know this session any more: Internal error: No such session"),
        ({"load": "hang"}, "The agent does not know this session any more: The agent did not answer in time."),
        ({}, "The agent cannot go on with an earlier session."),
    ],
)
async def test_an_agent_that_forgot_says_so_before_the_first_word_is_sent(
    tmp_path: Path, behaviour: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "hang" in behaviour.values():
        monkeypatch.setattr(session_module, "OPEN_SECONDS", 0.2)
    before = await an_earlier_run(tmp_path)
    async with running(tmp_path, scripted(**behaviour), session="s-1", started=False) as it:
        it.run.say("say:two")
        await it.run.start()
        assert it.run.status.phase is RunPhase.FORGOTTEN
        assert it.run.status.text == words
        assert it.said_by_burrow() == [words]
        assert [each.text for each in it.run.waiting.all] == ["say:two"]
        await it.run.log.flush()
        stored = it.run.log.path.read_bytes().splitlines()
        assert stored[: len(before)] == before

        await it.run.start_anew()
        await until(lambda: it.ends() == ["end_turn"])
        told, asked = prompts(it)
        assert told.endswith("User: say:one\n\nAgent: oneheard 7")
        assert asked == "say:two"
        # Once only.
        await it.turn("say:three")
        assert prompts(it)[2:] == ["say:three"]


async def test_an_agent_that_resumes_is_not_asked_to_repeat(tmp_path: Path) -> None:
    await an_earlier_run(tmp_path)
    async with running(tmp_path, scripted(load="error", resume="yes"), session="s-1") as it:
        assert it.run.status.phase is RunPhase.READY
        assert it.said_by_burrow() == []


async def test_a_turn_that_was_cut_off_by_the_end_of_burrow_has_an_end_after_the_next_start(tmp_path: Path) -> None:
    lines = await an_earlier_run(tmp_path)
    log = tmp_path / "data" / "runs" / "run-1" / "log.jsonl"
    # The last line is torn as well.
    log.write_bytes(b"\n".join(lines)[:-20])
    async with running(tmp_path, scripted(load="none"), session="s-1") as it:
        errors = [each["error"]["message"] for each in it.stored() if "error" in each]
        assert errors == ["Burrow ended the agent during this turn."]
    async with running(tmp_path, scripted(load="none"), session="s-1") as it:
        assert not [each for each in it.stored() if "error" in each]
