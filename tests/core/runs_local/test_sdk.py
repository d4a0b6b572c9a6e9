"""The client with an agent that is written on the protocol's own SDK, and the transcript of what they said."""

from __future__ import annotations

import sys
from pathlib import Path

from app.core.runs.items import Message, Permission, Prompt, ToolCall, TurnEnd
from app.core.runs.local.agents import LocalAgent
from app.core.runs.local.status import RunPhase
from app.core.runs.transcript import Transcript
from tests.core.runs_local.running import running
from tests.until import until

AGENT = LocalAgent("sdk", "SDK", (sys.executable, str(Path(__file__).with_name("_sdk_agent.py"))))


async def test_files_commands_questions_and_settings_of_an_agent_of_the_sdk(tmp_path: Path) -> None:
    async with running(tmp_path, AGENT) as it:
        notes = it.run.folder.path / "notes.txt"
        notes.write_text("hello")
        assert it.run.status.phase is RunPhase.READY, it.run.status
        await it.run.set_option("model", "large")
        it.run.say("go")
        it.run.answer((await it.question())[0], "ok")
        # The command was not part of what was allowed.
        await until(lambda: it.run.questions)
        it.run.answer(it.run.questions[0], "allow")
        await until(lambda: it.ends() == ["end_turn"])
        assert notes.read_text() == "HELLO"
        assert len(await it.turn("large")) == 300_000
        assert it.ends()[-1] == "max_tokens"
        await it.run.log.flush()
        entries = tuple(it.run.log.stored())
        transcript = Transcript()
        transcript.apply(entries)
        items = [transcript.item(index) for index in range(len(transcript))]
        options = transcript.state.options
        transcript.close()
    kinds = [type(each) for each in items]
    assert kinds.count(Prompt) == 2
    assert kinds.count(TurnEnd) == 2
    assert [each.answer for each in items if isinstance(each, Permission)] == ["ok", "allow"]
    assert [each.text[:20] for each in items if isinstance(each, Message)] == ["5 bytes, code 0", "x" * 20]
    [call] = [each for each in items if isinstance(each, ToolCall)]
    assert (call.title, call.status) == ("Write notes.txt", "completed")
    assert [each.value for each in options] == ["large"]
