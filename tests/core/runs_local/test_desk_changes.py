"""What runs of this machine changed, and when nothing works in their folders any more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.core.errors import NotFound
from app.core.runs.items import Message, Permission
from app.core.runs.local.status import RunPhase
from tests.core.runs_local.test_desk import kinds, local_runs, phase, started
from tests.core.worktrees.conftest import run_git
from tests.until import until


def plain_repository(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.txt").write_text("one\n")
    run_git(folder, "init", "--quiet", "--initial-branch=main")
    run_git(folder, "add", ".")
    run_git(folder, "commit", "--quiet", "-m", "First")
    return folder


async def test_a_worktree_is_idle_once_its_turn_and_its_agent_are_over_and_its_run_can_go_on(tmp_path: Path) -> None:
    repository = plain_repository(tmp_path / "shop")
    async with local_runs(tmp_path) as runs:
        conversation = await started(runs, "ask", repository, worktree=True)
        folder = Path(conversation.record.folder)
        await until(lambda: conversation.transcript.state.waiting)
        assert runs.works_in(folder)
        assert not runs.works_in(repository)
        idle = asyncio.ensure_future(runs.idle_in(folder))
        (asked,) = kinds(conversation, Permission)
        assert not idle.done()
        await conversation.answer(asked, asked.options[0].option_id)
        await idle
        assert conversation.status.phase is RunPhase.ENDED
        # What the agent changes counts from the commit that the run began at, committed or not.
        (folder / "a.txt").write_text("two\n")
        run_git(folder, "commit", "--quiet", "--all", "-m", "By the agent")
        found = await runs.changes(conversation.record.id).look()
        assert [(each.path, each.stage) for each in found.files] == [("a.txt", "committed")]
        await conversation.send("say:later")
        await phase(conversation, RunPhase.READY)
        assert "later" in kinds(conversation, Message)[-1].text
        with pytest.raises(NotFound):
            runs.changes("none")
