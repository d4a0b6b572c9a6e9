"""Calls that met a grant that is over: they wait in sight, and are made again for nobody else."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QApplication

from app.core.auth.status import AuthEvent, CredentialState
from app.core.errors import Facts, SignInNeeded
from app.ui.servers.tool_session import CallPhase
from app.ui.servers.wording import CallState, call_state
from tests.ui._servers_fakes import READS, FakeBackend, own, settle, tool, until
from tests.ui._tasks_fakes import BEN
from tests.ui.test_servers_place import VENDOR, desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


async def test_a_call_that_waits_for_the_sign_in_is_a_clock_beside_its_result_its_tool_and_its_server(
    qapp: QApplication,
) -> None:
    async with desk(qapp) as on:
        tools = [tool("find", annotations=READS), tool("other", 1)]
        await on.show(FakeBackend([own(), VENDOR], {"posthog": tools}))
        session = await on.open("posthog/find")
        counted: list[int] = []
        on.place.waiting_changed.connect(lambda: counted.append(on.place.waiting))
        (await on.run(query="x")).refuse(SignInNeeded("Over."))
        await until(lambda: session.waiting)
        await settle()
        page, waits = on.place.page, call_state(CallState.WAITING)
        assert page.tool.result.status.state == waits
        assert [line.state for line in page.tools.table.rows.lines()] == [waits, None]
        assert on.place.pane.servers.rows.row("posthog").state == waits
        assert on.place.pane.servers.rows.row("i1").state != waits
        await on.open("posthog/other")
        await on.open("posthog/find")
        assert page.tool.result.status.state == waits
        on.backend.credential.become(CredentialState.SIGNED_IN)
        await until(lambda: len(on.backend.servers.calls) == 2)
        on.backend.servers.calls[1].give()
        await until(lambda: session.phase is CallPhase.DONE)
        await settle()
        assert [line.state for line in page.tools.table.rows.lines()] == [None, None]
        assert on.place.pane.servers.rows.row("posthog").state != waits
        assert page.tool.result.status.state == call_state(CallState.DONE)
        assert counted == [1, 0]


async def test_signing_in_again_reads_the_lists_again_for_scopes_may_differ(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        await on.open("posthog/find")
        backend.servers.kept["posthog"] = [tool("find"), tool("granted now", 1)]
        backend.credential.happened.emit(AuthEvent("signed in", "browser", "ok"))
        await until(lambda: len(on.place.controller.tools["posthog"]) == 2)
        assert ("list", True) in backend.servers.asked


async def test_a_call_of_one_account_is_not_run_again_for_another(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find", annotations=READS)]}))
        session = await on.open("posthog/find")
        (await on.run(query="x")).refuse(SignInNeeded("Over."))
        await until(lambda: session.waiting)
        backend.scope = BEN
        backend.credential.become(CredentialState.SIGNED_IN)
        await settle()
        assert len(backend.servers.calls) == 1


async def test_a_call_that_met_a_grant_replaced_in_another_window_runs_again_at_once(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find", annotations=READS)]}))
        await on.open("posthog/find")
        (await on.run(query="x")).refuse(SignInNeeded("Somebody signed in again.", Facts(code="replaced")))
        await until(lambda: len(backend.servers.calls) == 2)


async def test_the_answer_of_a_call_that_was_silent_for_long_is_shown_when_it_comes(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find", annotations=READS)]}))
        backend.servers.silence = 0.05
        session = await on.open("posthog/find")
        running = await on.run(query="x")
        await until(lambda: session.phase is CallPhase.QUIET)
        running.give()
        await until(lambda: session.phase is CallPhase.DONE)
        assert session.result is not None
        running = await on.run(query="x")
        await until(lambda: session.phase is CallPhase.QUIET)
        running.refuse(SignInNeeded("Over."))
        await until(lambda: session.phase is CallPhase.FAILED)
        ends = list[CallPhase]()
        running = await on.run(query="x")
        await until(lambda: session.phase is CallPhase.QUIET)
        session.changed.connect(lambda: ends.append(session.phase))
        session.cancel()
        await until(lambda: session.phase is CallPhase.CANCELLED)
        await settle()
        assert ends == [CallPhase.CANCELLED]
        assert running.cancelled
