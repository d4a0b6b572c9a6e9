"""What waited for the sign-in goes out in order, once, and only what cannot do harm goes out unasked."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from app.core.posthog.types import TaskQuery
from app.ui.servers.tool_session import CallPhase
from app.ui.servers.wording import CallState, call_state
from app.ui.shell import signin_bar
from tests.ui._servers_fakes import actions
from tests.ui._tasks_fakes import settle, until
from tests.ui._window import Living, living, never
from tests.ui.recovery.steps import called, revoked_with_work_waiting

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

WRITTEN = ("First of three", "Second of three", "Third of three")


async def made(alive: Living, search: str) -> list[str]:
    """The titles of the tasks on the server, in the order in which it made them."""
    found = (await alive.backend.tasks.list(TaskQuery(search=search))).items
    return [task.title for task in sorted(found, key=lambda task: int(task.slug.rpartition("-")[2]))]


async def test_three_waiting_tasks_are_made_in_the_order_they_were_written(
    qapp: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signin_bar, "BACK_SHOWN_MS", 500)
    async with living(qapp, tmp_path) as alive:
        await revoked_with_work_waiting(alive, WRITTEN[0])
        for count, words in enumerate(WRITTEN[1:], 2):
            await alive.write_task(words)
            await until(lambda count=count: alive.waiting == ["waiting-sign-in"] * count, 10)
        await until(lambda: "3 waiting changes" in alive.window.bar.text())
        # The first takes longest: sent together, it would be made last.
        await alive.lab.path_fault("/api/projects/1/tasks/", method="POST", delay=0.3, times=1)
        await alive.sign_in_again()
        await until(lambda: alive.waiting == [], 15)
        await until(lambda: alive.window.bar.text() == "Signed in. Sent 3 messages.", 5)
        assert await made(alive, "of three") == list(WRITTEN)
        await until(lambda: not alive.window.bar.isVisible(), 5)
        said = [text for text, _ in alive.said if "Sent" in text]
        assert said == ["Signed in. Sent 3 messages."]


async def test_those_behind_one_that_has_to_wait_again_keep_their_order(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as alive:
        await revoked_with_work_waiting(alive, WRITTEN[0])
        for count, words in enumerate(WRITTEN[1:], 2):
            await alive.write_task(words)
            await until(lambda count=count: alive.waiting == ["waiting-sign-in"] * count, 10)
        await alive.lab.path_fault("/api/projects/1/tasks/", method="POST", delay=0.3, times=1)
        await alive.sign_in_again()
        await until(lambda: "sending" in alive.waiting, 10)
        await alive.lab.revoke_grant()
        await until(lambda: "sending" not in alive.waiting, 15)
        waiting = [pending.new.description for pending in alive.tasks.outbox.pending]
        assert waiting
        assert waiting == list(WRITTEN[-len(waiting) :])
        await alive.sign_in_again()
        await until(lambda: alive.waiting == [], 15)
        assert await made(alive, "of three") == list(WRITTEN)


async def test_a_task_of_unknown_outcome_is_not_sent_again_without_a_yes(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as alive:
        await alive.lab.path_fault("/api/projects/1/tasks/", method="POST", drop="after_commit", times=1)
        await alive.write_task("Made once")
        await until(lambda: alive.waiting == ["unknown"], 10)
        await revoke_and_come_back(alive)
        await never(lambda: alive.waiting != ["unknown"], 0.25)
        assert await made(alive, "Made once") == ["Made once"]


async def revoke_and_come_back(alive: Living) -> None:
    await alive.lab.revoke_grant()
    alive.tasks.refresh()
    await until(alive.window.bar.isVisible, 10)
    await alive.sign_in_again()
    await until(lambda: alive.word == "Signed in" and alive.tasks.controller.load.error is None, 10)


async def test_a_reading_call_that_met_a_dead_grant_waits_in_sight_and_runs_again_by_itself(
    qapp: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signin_bar, "BACK_SHOWN_MS", 1500)
    async with living(qapp, tmp_path, place="servers") as alive:
        assert (await called(alive, "workspace/list_tasks")).phase is CallPhase.DONE
        await alive.lab.revoke_grant()
        session = await called(alive, "workspace/who_am_i")
        page, waits = alive.servers.page, call_state(CallState.WAITING)
        assert session.waiting
        assert page.tool.result.status.state == waits
        assert (waits.glyph, waits.word) == ("clock", "Waiting for sign-in")
        marked = [line.title for line in page.tools.table.rows.lines() if line.state == waits]  # type: ignore[union-attr]
        assert marked == ["Who am I"]
        row = alive.servers.pane.servers.rows.row("workspace")
        assert row is not None
        assert row.state == waits
        await until(lambda: "1 waiting call" in alive.window.bar.text())
        await alive.sign_in_again()
        await until(lambda: session.phase is CallPhase.DONE, 15)
        await settle()
        assert page.tool.result.status.state == call_state(CallState.DONE)
        assert alive.servers.waiting == 0
        assert alive.window.bar.text() == "Signed in. Repeated 1 call."


async def test_a_writing_call_that_met_a_dead_grant_asks_and_keeps_its_arguments(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path, place="servers") as alive:
        assert (await called(alive, "workspace/list_tasks")).phase is CallPhase.DONE
        await alive.lab.revoke_grant()
        session = await called(alive, "workspace/create_task", '{"title": "Only with a yes", "description": "x"}')
        assert session.waiting
        await alive.sign_in_again()
        await until(lambda: session.signed_in_again, 10)
        await settle()
        card = alive.servers.page.tool.result.card
        assert "Run it with the same arguments?" in card.text()
        await never(lambda: session.running, 0.2)
        assert await made(alive, "Only with a yes") == []
        actions(card)["Run"]()
        await until(lambda: session.phase is CallPhase.DONE, 15)
        assert await made(alive, "Only with a yes") == ["Only with a yes"]
