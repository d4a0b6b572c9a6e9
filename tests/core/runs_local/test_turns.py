"""Turns of a local run: prompts, Stop, and agents that get their end wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from app.core.errors import NotFound, Rejected
from app.core.runs.items import Message
from app.core.runs.local import run as run_module
from app.core.runs.local.facts import agent_facts
from app.core.runs.local.status import RunPhase
from app.core.runs.transcript import Transcript
from tests.core.runs_local.running import running, scripted
from tests.until import until


async def test_a_prompt_is_carried_out_and_the_log_has_the_whole_of_it(tmp_path: Path) -> None:
    async with running(tmp_path, scripted()) as it:
        assert it.run.status.phase is RunPhase.READY
        assert await it.turn("say:hello") == "helloheard 9"
        methods = [each.get("method") for each in it.stored()]
        assert methods == [
            *("_posthog/progress", "_posthog/progress", "_posthog/run_started"),
            *("session/prompt", "session/update", None),
        ]
        assert it.ends() == ["end_turn"]
        await it.run.log.flush()
        stored = [each.message.method for each in it.run.log.stored()]
        assert stored == [each or "" for each in methods]
    assert it.run.log.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("count", [1, 2])
async def test_stop_answers_open_questions_with_cancelled_and_the_next_prompt_works(tmp_path: Path, count: int) -> None:
    async with running(tmp_path, scripted()) as it:
        it.run.say("ask2" if count == 2 else "ask")
        await it.question(count)
        await it.run.stop_turn()
        assert it.run.questions == ()
        assert it.answers() == ["cancelled"] * count
        assert it.ends() == ["cancelled"]
        assert await it.turn("say:next") == "nextheard 8"


@pytest.mark.parametrize("how", ["cancelled", "end_turn", "refused", "error", "late"])
async def test_a_turn_that_the_person_stopped_is_cancelled_whatever_the_agent_says(tmp_path: Path, how: str) -> None:
    async with running(tmp_path, scripted(cancel=how)) as it:
        it.run.say("say:working wait")
        await it.phase(RunPhase.WORKING)
        await it.run.stop_turn()
        assert it.ends() == ["cancelled"]
        assert it.run.status.phase is RunPhase.READY
        if how == "late":
            await until(lambda: "late" in str(it.live[-1]))
            it.run.log.end_text()
            await it.run.log.flush()
            transcript = Transcript()
            transcript.apply(tuple(it.run.log.stored()))
            last = transcript.item(len(transcript) - 1)
            transcript.close()
            assert isinstance(last, Message)
            assert (last.text, last.late) == ("late news", True)
            assert await it.turn("say:next") == "nextheard 8"
            return
        assert await it.turn("say:next") == "nextheard 8"


async def test_an_agent_that_never_stops_is_ended_and_the_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "STOP_SECONDS", 0.1)
    async with running(tmp_path, scripted(cancel="never", load="ids")) as it:
        it.run.say("wait")
        await it.phase(RunPhase.WORKING)
        await it.run.stop_turn()
        assert it.run.status.phase is RunPhase.ENDED
        assert it.said_by_burrow() == ["The agent did not stop within 0.1 seconds, so Burrow ended it."]
        assert it.ends() == ["cancelled"]
        it.run.say("say:again")
        await it.run.start()
        await until(lambda: len(it.ends()) == 2)


async def test_what_is_typed_during_a_turn_is_sent_as_one_message_when_it_ends(tmp_path: Path) -> None:
    async with running(tmp_path, scripted()) as it:
        it.run.say("ask")
        [question] = await it.question()
        it.run.say("say:two")
        third = it.run.say("say:three")
        it.run.waiting.change(third.id, "say:3")
        dropped = it.run.say("say:never")
        assert it.run.waiting.take_back(dropped.id).text == "say:never"
        it.run.answer(question, "no")
        await it.run.idle()
        assert it.ends() == ["end_turn"] * 2
        prompts = [each["params"]["prompt"] for each in it.stored() if each.get("method") == "session/prompt"]
        assert prompts[1] == [{"type": "text", "text": "say:two\n\nsay:3"}]
        with pytest.raises(NotFound):
            it.run.waiting.change(third.id, "too late")


async def test_what_waits_is_not_sent_after_a_stop_before_the_person_says_something(tmp_path: Path) -> None:
    async with running(tmp_path, scripted()) as it:
        it.run.say("wait")
        await it.phase(RunPhase.WORKING)
        it.run.say("say:waiting")
        await it.run.stop_turn()
        assert [each.text for each in it.run.waiting.all] == ["say:waiting"]
        assert it.run.status.held
        assert "waiting\n" not in await it.turn("say:go")
        assert len(it.ends()) == 2


async def test_a_question_is_answered_once_and_with_one_of_its_options(tmp_path: Path) -> None:
    async with running(tmp_path, scripted()) as it:
        it.run.say("ask")
        [question] = await it.question()
        with pytest.raises(Rejected):
            it.run.answer(question, "maybe")
        it.run.answer(question, "yes")
        with pytest.raises(NotFound):
            it.run.answer(question, "yes")
        await it.phase(RunPhase.READY)
        assert it.answers() == ["yes"]
        assert "[first: yes]" in str(it.stored())


async def test_a_prompt_that_the_agent_refuses_is_given_back_with_what_helps(tmp_path: Path) -> None:
    async with running(tmp_path, scripted()) as it:
        it.run.say("fail")
        await until(lambda: it.run.status.text)
        assert [each.text for each in it.run.waiting.all] == ["fail"]
        assert it.run.status.text == "Authentication required"
        assert it.run.status.sign_in[0].command == ("agent", "login")


async def test_a_prompt_that_the_agent_has_begun_is_not_sent_again_with_the_next(tmp_path: Path) -> None:
    async with running(tmp_path, scripted()) as it:
        it.run.say("begun")
        await until(lambda: it.run.status.text == "Overloaded")
        assert it.run.waiting.all == ()
        assert await it.turn("say:next") == "nextheard 8"


async def test_a_crash_is_shown_with_its_last_words_and_without_secrets(tmp_path: Path) -> None:
    async with running(tmp_path, scripted()) as it:
        it.run.say("crash")
        await it.phase(RunPhase.ENDED)
        assert it.run.status.text.endswith("ended with code 9.")
        assert it.run.status.stderr == ("out of memory: [redacted]",)
        errors = [each["params"]["message"] for each in it.stored() if each.get("method") == "_posthog/error"]
        assert errors[0].endswith("ended with code 9.\nout of memory: [redacted]")


async def test_what_is_typed_during_a_slow_setup_waits_in_sight_and_is_sent(tmp_path: Path) -> None:
    may_go = asyncio.Event()

    async def prepare(_log: object) -> None:
        await may_go.wait()

    async with running(tmp_path, scripted(), started=False, prepare=prepare) as it:
        starting = asyncio.create_task(it.run.start())
        it.run.say("say:first")
        await it.phase(RunPhase.STARTING)
        assert [each.text for each in it.run.waiting.all] == ["say:first"]
        may_go.set()
        await starting
        await until(lambda: it.ends() == ["end_turn"])


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        ({"stderr": "no such model"}, "ended with code 3."),
        ({"version": "7"}, "The agent speaks version 7 of the Agent Client Protocol, and Burrow versions 1 and 2."),
        ({"new": "sign-in"}, "Authentication required"),
    ],
)
async def test_what_is_typed_stays_when_the_setup_fails(tmp_path: Path, behaviour: dict[str, str], text: str) -> None:
    async with running(tmp_path, scripted(**behaviour), started=False) as it:
        it.run.say("say:first")
        await it.run.start()
        assert it.run.status.phase is RunPhase.FAILED
        assert it.run.status.text.endswith(text)
        assert [each.text for each in it.run.waiting.all] == ["say:first"]
        if "stderr" in behaviour:
            assert it.run.status.stderr == ("no such model",)
        assert bool(it.run.status.sign_in) == ("new" in behaviour)


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), ZeroDivisionError("a bug")])
async def test_a_setup_that_fails_in_any_way_leaves_the_prompt_waiting(tmp_path: Path, failure: Exception) -> None:
    async def prepare(_log: object) -> None:
        raise failure

    async with running(tmp_path, scripted(), started=False, prepare=prepare) as it:
        it.run.say("say:first")
        with contextlib.suppress(ZeroDivisionError):
            await it.run.start()
        assert it.run.status.phase is RunPhase.FAILED
        assert [each.text for each in it.run.waiting.all] == ["say:first"]


async def test_a_mode_is_set_with_the_older_method_where_the_agent_has_no_settings(tmp_path: Path) -> None:
    async with running(tmp_path, scripted(modes="plan")) as it:
        assert "config_option_update" in str(it.stored())
        await it.run.set_option("mode", "plan")
        assert it.stored()[-1]["params"]["update"]["currentModeId"] == "plan"


async def test_a_model_is_set_with_the_older_method_where_the_agent_has_no_settings(tmp_path: Path) -> None:
    async with running(tmp_path, scripted(models="yes")) as it:
        await it.run.set_option("model", "big")
        assert json.loads((await it.turn("options")).partition("heard")[0]) == {
            "session/set_model": {"sessionId": "s-1", "modelId": "big"}
        }
        [setting] = it.run.options
        assert setting["currentValue"] == "big"
        assert [each["name"] for each in setting["options"]] == ["S", "big"]


def test_the_command_of_a_sign_in_is_named_in_either_form() -> None:
    methods = [
        {"id": "old", "name": "Old", "_meta": {"terminal-auth": {"command": "agent", "args": ["login"]}}},
        {"id": "new", "name": "New", "type": "terminal", "args": ["--login"]},
        {"id": "page", "name": "Page", "description": "In the browser"},
        {"name": "without an id"},
        5,
    ]
    hints = agent_facts({"protocolVersion": 1, "authMethods": methods}, ("agent", "acp")).sign_in
    assert [(each.id, each.command) for each in hints] == [
        ("old", ("agent", "login")),
        ("new", ("agent", "--login")),
        ("page", ()),
    ]
