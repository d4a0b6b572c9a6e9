"""Version 2 of the protocol: its updates, its turns, and a message into a turn that is under way."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app.core.errors import NotFound
from app.core.runs.items import (
    Message,
    Permission,
    Plan,
    Prompt,
    TextPart,
    Thought,
    ToolCall,
    TurnEnd,
)
from app.core.runs.local.agents import LocalAgent, survey_agent
from app.core.runs.local.session import AcpSession
from app.core.runs.local.status import RunPhase
from app.core.runs.local.versions import DRAFT_SETTING, REFUSED_SECONDS, REFUSED_SETTING, AgentVersions
from app.core.runs.transcript import Transcript
from tests.core.conftest import Remembered
from tests.core.runs_local.running import running, scripted
from tests.core.runs_local.test_desk import kinds, local_runs, phase, started
from tests.until import until

SECOND = LocalAgent("second", "Second", (sys.executable, "-I", "-S", str(Path(__file__).with_name("_second.py"))))


def drafts() -> AgentVersions:
    settings = Remembered()
    settings.values[DRAFT_SETTING] = True
    return AgentVersions(settings)


async def test_without_the_switch_version_1_is_offered(tmp_path: Path) -> None:
    # This agent ends when it is offered anything else.
    async with running(tmp_path, scripted(draft="exit"), versions=AgentVersions(Remembered())) as it:
        assert it.run.status.phase is RunPhase.READY


@pytest.mark.parametrize("how", ["error", "exit", "nonsense"])
async def test_an_agent_that_does_not_take_version_2_is_started_again_with_version_1_unseen(
    tmp_path: Path, how: str
) -> None:
    versions, agent = drafts(), scripted(draft=how)
    async with running(tmp_path, agent, versions=versions) as it:
        assert it.phases == [RunPhase.STARTING, RunPhase.READY]
        assert it.said_by_burrow() == []
        assert await it.turn("say:hello") == "helloheard 9"
    # The next time it is asked right.
    assert versions.offered(agent.command) == 1
    assert versions.offered(scripted().command) == 2


async def test_an_agent_that_takes_neither_version_says_so_and_is_asked_again_later(tmp_path: Path) -> None:
    versions, agent = drafts(), scripted(draft="error", version="9")
    async with running(tmp_path, agent, versions=versions) as it:
        assert it.run.status.phase is RunPhase.FAILED
        assert "speaks version 9" in it.run.status.text
        assert versions.offered(agent.command) == 2


async def test_what_was_refused_is_offered_again_after_a_month() -> None:
    settings, at = Remembered(), [1e9]
    settings.values[DRAFT_SETTING] = True
    versions = AgentVersions(settings, lambda: at[0])
    await versions.refused(("agent", "--acp"))
    assert versions.offered(("agent", "--acp")) == 1
    at[0] += REFUSED_SECONDS + 1
    assert versions.offered(("agent", "--acp")) == 2
    settings.values[REFUSED_SETTING] = ["nonsense"]
    assert versions.offered(("agent", "--acp")) == 2


@pytest.mark.parametrize("draft", [False, True])
async def test_the_survey_agent_works_in_either_version(tmp_path: Path, draft: bool) -> None:
    settings = Remembered()
    settings.values[DRAFT_SETTING] = draft
    (tmp_path / "work").mkdir()
    (tmp_path / "work/README.md").write_text("# Shop\n")
    async with local_runs(tmp_path, settings) as runs:
        conversation = await started(runs, "only read", tmp_path / "work", agent=survey_agent(), mode="plan")
        await phase(conversation, RunPhase.READY)
        session = conversation.local._agent.session
        assert session is not None
        assert session.facts.version == (2 if draft else 1)
        state = conversation.transcript.state
        assert [each.value for each in state.options if each.id == "mode"] == ["plan"]
        assert "I looked at **1 files**" in "".join(each.text for each in kinds(conversation, Message))
        assert next(each.status for each in kinds(conversation, ToolCall)) == "completed"
        assert [each.reason for each in kinds(conversation, TurnEnd)] == ["end_turn"]
        await conversation.set_option("mode", "default")
        await until(lambda: conversation.transcript.state.options[0].value == "default")


async def test_a_setting_of_version_2_is_changed_by_its_id(tmp_path: Path) -> None:
    async with running(tmp_path, SECOND, versions=drafts()) as it:
        await it.run.set_option("m", "plan")
        assert [(each["id"], each["currentValue"]) for each in it.run.options] == [("m", "plan")]  # type: ignore[index]


async def test_a_turn_of_version_2_makes_the_same_transcript(tmp_path: Path) -> None:
    async with running(tmp_path, SECOND, versions=drafts()) as it:
        it.run.say("go")
        [question] = await it.question()
        assert it.run.can_steer
        assert await it.run.steer("and be quick") is None
        it.run.answer(question, "ok")
        await until(lambda: it.ends() == ["end_turn"])
        await it.run.log.flush()
        transcript = Transcript()
        transcript.apply(tuple(it.run.log.stored()))
        items = [transcript.item(index) for index in range(len(transcript))]
        transcript.close()
    assert [each.text for each in items if isinstance(each, Prompt)] == ["go", "and be quick"]
    assert [each.text for each in items if isinstance(each, Thought)] == ["Thinking."]
    assert [each.text for each in items if isinstance(each, Message)] == [
        "In parts, then whole.",
        "selected go,and be quick",
    ]
    calls = {each.call_id: each for each in items if isinstance(each, ToolCall)}
    assert [part.text for part in calls["c"].parts if isinstance(part, TextPart)] == ["first ", "second"]
    assert [part.text for part in calls["d"].parts if isinstance(part, TextPart)] == ["out"]
    [asked] = [each for each in items if isinstance(each, Permission)]
    assert (asked.title, asked.call_id, asked.answer) == ("May I?", "c", "ok")
    assert [each.entries[0].content for each in items if isinstance(each, Plan)] == ["Step"]


async def test_a_message_that_waits_is_stored_until_it_was_sent_into_the_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, SECOND, versions=drafts()) as it:
        it.run.say("go")
        [question] = await it.question()
        for text in ("one", "two", "three"):
            it.run.say(text)
        two = it.run.waiting.all[1].id
        stored: list[str] = []

        async def refused(_self: AcpSession, _blocks: object) -> None:
            stored.extend(each.text for each, _ in it.run.waiting.sending)
            raise TimeoutError

        with monkeypatch.context() as patch:
            patch.setattr(AcpSession, "steer", refused)
            await it.run.send_now(two)
        assert stored == ["two"]
        assert [each.text for each in it.run.waiting.all] == ["one", "two", "three"]
        await it.run.send_now(two)
        assert [each.text for each in it.run.waiting.all] == ["one", "three"]
        assert it.run.waiting.sending == ()
        with pytest.raises(NotFound):
            await it.run.send_now(two)
        it.run.answer(question, "ok")
        await until(lambda: bool(it.ends()))
        assert "selected go,two" in str(it.stored())


async def test_a_turn_of_version_2_is_stopped(tmp_path: Path) -> None:
    async with running(tmp_path, SECOND, versions=drafts()) as it:
        it.run.say("go")
        await it.question()
        await it.run.stop_turn()
        assert (it.answers(), it.ends()) == (["cancelled"], ["cancelled"])
        assert it.run.status.phase is RunPhase.READY


async def test_an_agent_of_version_2_that_ends_within_a_turn_ends_the_turn(tmp_path: Path) -> None:
    async with running(tmp_path, SECOND, versions=drafts()) as it:
        it.run.say("crash")
        await it.phase(RunPhase.ENDED)
        assert it.run.status.text.endswith("ended with code 4.")
        assert "The agent ended in the middle of this turn." in str(it.stored())


async def test_an_agent_of_version_1_is_spoken_to_in_version_1(tmp_path: Path) -> None:
    async with running(tmp_path, scripted(), versions=drafts()) as it:
        assert await it.turn("say:hello") == "helloheard 9"
        it.run.say("ask")
        [question] = await it.question()
        assert not it.run.can_steer
        waiting = await it.run.steer("say:more")
        assert waiting is not None
        await it.run.send_now(waiting.id)
        assert it.run.waiting.all == (waiting,)
        it.run.answer(question, "no")
        await until(lambda: len(it.ends()) == 3)
