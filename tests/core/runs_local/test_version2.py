"""Version 2 of the protocol: its updates, its turns, and a message into a turn that is under way."""

from __future__ import annotations

import sys
from pathlib import Path

from app.core.runs.items import (
    Message,
    Permission,
    Plan,
    Prompt,
    TextPart,
    Thought,
    ToolCall,
)
from app.core.runs.local.agents import LocalAgent
from app.core.runs.local.status import RunPhase
from app.core.runs.transcript import Transcript
from tests.core.runs_local.running import running, scripted
from tests.until import until

SECOND = LocalAgent("second", "Second", (sys.executable, "-I", "-S", str(Path(__file__).with_name("_second.py"))))


async def test_a_turn_of_version_2_makes_the_same_transcript(tmp_path: Path) -> None:
    async with running(tmp_path, SECOND, version=2) as it:
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
    assert [each.text for each in items if isinstance(each, Message)] == ["selected go,and be quick"]
    calls = {each.call_id: each for each in items if isinstance(each, ToolCall)}
    assert [part.text for part in calls["c"].parts if isinstance(part, TextPart)] == ["first ", "second"]
    assert [part.text for part in calls["d"].parts if isinstance(part, TextPart)] == ["out"]
    [asked] = [each for each in items if isinstance(each, Permission)]
    assert (asked.title, asked.call_id, asked.answer) == ("May I?", "c", "ok")
    assert [each.entries[0].content for each in items if isinstance(each, Plan)] == ["Step"]


async def test_a_turn_of_version_2_is_stopped(tmp_path: Path) -> None:
    async with running(tmp_path, SECOND, version=2) as it:
        it.run.say("go")
        await it.question()
        await it.run.stop_turn()
        assert (it.answers(), it.ends()) == (["cancelled"], ["cancelled"])
        assert it.run.status.phase is RunPhase.READY


async def test_an_agent_of_version_2_that_ends_within_a_turn_ends_the_turn(tmp_path: Path) -> None:
    async with running(tmp_path, SECOND, version=2) as it:
        it.run.say("crash")
        await it.phase(RunPhase.ENDED)
        assert it.run.status.text.endswith("ended with code 4.")
        assert "The agent ended in the middle of this turn." in str(it.stored())


async def test_an_agent_of_version_1_is_spoken_to_in_version_1(tmp_path: Path) -> None:
    async with running(tmp_path, scripted(), version=2) as it:
        assert await it.turn("say:hello") == "helloheard 9"
        it.run.say("ask")
        [question] = await it.question()
        assert not it.run.can_steer
        waiting = await it.run.steer("say:more")
        assert waiting is not None
        it.run.answer(question, "no")
        await until(lambda: len(it.ends()) == 3)
