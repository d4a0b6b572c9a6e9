"""A local run as a page shows it: what was stored, what comes live, what waits, and answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.errors import Rejected
from app.core.runs.items import Message, Permission
from app.core.runs.local.conversation import LocalConversation
from app.core.runs.local.folder import WorkingFolder
from app.core.runs.local.record import LocalRecord
from app.core.runs.local.run import LocalRun
from app.core.runs.local.status import RunPhase
from tests.core.runs_local.running import scripted
from tests.until import until


def conversation(tmp_path: Path, session: str = "") -> LocalConversation:
    record = LocalRecord(id="r", agent=scripted(load="none"), folder=str(tmp_path), session=session, task="t")
    run = LocalRun(tmp_path / "data", record, WorkingFolder(tmp_path))
    return LocalConversation(run, folder=tmp_path / "spill")


def messages(it: LocalConversation) -> list[str]:
    items = [it.transcript.item(index) for index in range(len(it.transcript))]
    return [each.text for each in items if isinstance(each, Message)]


async def test_a_message_starts_the_agent_and_the_transcript_goes_on_after_a_restart(tmp_path: Path) -> None:
    first = conversation(tmp_path)
    await first.open()
    assert (first.run.status, first.run.environment, first.run.task) == ("not_started", "local", "t")
    await first.send("say:hello")
    assert ([each.text for each in first.queued], first.hold) == (["say:hello"], "starting")
    await until(lambda: messages(first) == ["helloheard 9"] and not first.transcript.state.busy)
    assert (first.run.status, first.hold) == ("in_progress", "")
    await first.end()
    assert first.run.status == "completed"
    session = first.local.record.session
    await first.close()

    second = conversation(tmp_path, session)
    await second.open()
    assert messages(second) == ["helloheard 9"]
    await second.send("say:again")
    await until(lambda: messages(second)[1:] == ["againheard 9"])
    await second.end()
    await second.close()


async def test_questions_are_answered_and_what_waits_is_changed_and_taken_back(tmp_path: Path) -> None:
    it = conversation(tmp_path)
    await it.open()
    await it.send("ask")
    await until(lambda: it.transcript.state.waiting)
    index = it.transcript.index_of(it.transcript.state.waiting[0])
    assert index is not None
    asked = it.transcript.item(index)
    assert isinstance(asked, Permission)
    with pytest.raises(Rejected):
        await it.answer(asked, "maybe")
    await it.send("say:one")
    await it.send("say:two")
    assert it.hold == "turn"
    one, two = it.queued
    assert await it.edit(one.id, "say:1")
    assert await it.remove(two.id) == "say:two"
    assert await it.remove(two.id) is None
    # What is written beside an answer that cannot carry it is a message.
    await it.answer(asked, "yes", "say:besides")
    await until(lambda: it.local.status.phase is RunPhase.READY and not it.queued)
    await until(lambda: messages(it) and "[first: yes]" in messages(it)[0])
    await it.send("ask")
    await until(lambda: it.transcript.state.waiting)
    last = it.transcript.index_of(it.transcript.state.waiting[0])
    assert last is not None
    again = it.transcript.item(last)
    assert isinstance(again, Permission)
    await it.dismiss(again)
    await until(lambda: not it.transcript.state.waiting and not it.transcript.state.busy)
    await it.end()
    await it.close()
