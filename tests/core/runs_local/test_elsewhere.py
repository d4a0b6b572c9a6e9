"""Runs that another process carries out: seen at once, read while they go on, and taken up once they are left."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from app.core.busy import Busy
from app.core.errors import Rejected
from app.core.runs.desk.local_desk import LocalDesk
from app.core.runs.items import Message, Permission, Prompt, TurnEnd
from app.core.runs.local.claim import HOLDER, LOCK, RunClaim, RunHolder
from app.core.runs.local.record import folder_of
from app.core.runs.local.status import RunPhase
from app.core.runs.local.written import Written, save_written
from tests.core.conftest import Remembered
from tests.core.runs_local.running import scripted
from tests.core.runs_local.test_desk import folder_of as work_folder
from tests.core.runs_local.test_desk import kinds, local_runs, phase, started
from tests.until import until


def other_process(tmp_path: Path) -> LocalDesk:
    """What another process has on the same folder. Its file locks are its own, as they are between processes."""
    return LocalDesk(tmp_path / "data", Remembered(), lambda: None, Busy(), role="command line")


async def test_a_run_of_another_process_appears_and_is_read_while_it_goes_on(tmp_path: Path) -> None:
    told: list[str] = []
    async with local_runs(tmp_path) as here:
        await here.load()
        here.changed.subscribe(told.append)
        there = other_process(tmp_path)
        theirs = await started(there, "say:one ask say:two", work_folder(tmp_path))
        await until(lambda: theirs.transcript.state.waiting)
        await theirs.local.log.flush()
        await here.look()
        (run,) = here.of("t1")
        assert (told, run.status, run.environment) == (["t1"], "in_progress", "local")
        conversation = here.conversation(run.id)
        await conversation.open()
        assert conversation.elsewhere == RunHolder(os.getpid(), "command line")
        assert [each.text for each in kinds(conversation, Prompt)] == ["say:one ask say:two"]
        assert conversation.transcript.state.busy
        assert len(conversation.transcript.state.waiting) == 1
        # Nobody takes it away from whoever carries it out.
        with pytest.raises(Rejected, match="another process"):
            await conversation.start()
        (asked,) = kinds(theirs, Permission)
        await theirs.answer(asked, "yes")
        await phase(theirs, RunPhase.READY)
        await theirs.local.log.flush()
        await here.look()
        assert kinds(conversation, Permission)[0].answer == "yes"
        assert "two" in "".join(each.text for each in kinds(conversation, Message))
        assert [each.reason for each in kinds(conversation, TurnEnd)] == ["end_turn"]
        assert [each.key for each in all_of(conversation)] == [each.key for each in all_of(theirs)]
        # The list is asked again once the server knows of it.
        written: list[str] = []
        here.written.subscribe(written.append)
        told_server = Written(run="r1", status="in_progress")
        await asyncio.to_thread(save_written, folder_of(tmp_path / "data", run.id), told_server)
        await here.look()
        assert (written, here.written_for("r1")) == (["t1"], run.id)
        # What it works in is not deleted below it.
        folder = work_folder(tmp_path)
        assert here.works_in(folder)
        idle = asyncio.create_task(here.idle_in(folder))
        await there.end(run.id)
        await there.close()
        await idle
        assert not here.works_in(folder)
        assert (conversation.elsewhere, here.of("t1")[0].status) == (None, "completed")


async def test_what_another_process_left_waiting_is_there_when_the_run_is_taken_up(tmp_path: Path) -> None:
    async with local_runs(tmp_path) as here:
        there = other_process(tmp_path)
        theirs = await started(there, "wait", work_folder(tmp_path), agent=scripted(resume="yes"))
        await phase(theirs, RunPhase.WORKING)
        await theirs.send("wait")
        # The process ends, and not the run.
        await there.close()
        await here.look()
        conversation = here.conversation(theirs.record.id)
        await conversation.open()
        assert [each.text for each in conversation.queued] == ["wait"]
        there = other_process(tmp_path)
        await there.load()
        theirs = there.conversation(conversation.record.id)
        await theirs.start()
        await phase(theirs, RunPhase.WORKING)
        await theirs.send("say:kept")
        await here.look()
        # They are the other's to send.
        assert conversation.queued == ()
        await there.close()
        await here.look()
        assert (conversation.elsewhere, here.of("t1")[0].status) == (None, "cut_off")
        assert not conversation.transcript.state.busy
        assert [each.text for each in conversation.queued] == ["say:kept"]
        await conversation.start()
        await phase(conversation, RunPhase.READY)
        assert kinds(conversation, Prompt)[-1].text == "say:kept"


async def test_a_run_of_this_process_is_not_taken_for_anothers(tmp_path: Path) -> None:
    async with local_runs(tmp_path) as here:
        conversation = await started(here, "wait", work_folder(tmp_path))
        await phase(conversation, RunPhase.WORKING)
        await here.look()
        assert conversation.elsewhere is None
        assert here.of("t1")[0].status == "in_progress"


async def test_who_only_looks_keeps_nobody_from_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    mine, other = RunClaim(folder, "window"), RunClaim(folder)
    assert await other.holder() is None
    assert await mine.take()
    assert (await mine.holder(), await other.holder()) == (None, RunHolder(os.getpid(), "window"))
    assert not await other.take()
    (folder / HOLDER).write_text("not json")
    assert await other.holder() == RunHolder()
    await mine.give_up()
    assert await other.holder() is None
    assert (folder / LOCK).exists()
    assert await other.take()
    await other.give_up()


async def test_a_run_that_cannot_be_read_hides_no_other_one(tmp_path: Path) -> None:
    there = other_process(tmp_path)
    theirs = await started(there, "say:one", work_folder(tmp_path))
    broken = folder_of(tmp_path / "data", "broken")
    broken.mkdir()
    (broken / "run.json").write_text("{")
    async with local_runs(tmp_path) as here:
        await here.look()
        assert [each.id for each in here.of("t1")] == [theirs.record.id]
    await there.close()


def all_of(conversation: object) -> list[object]:
    return kinds(conversation, object)  # type: ignore[arg-type]
