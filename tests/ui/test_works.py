"""What the places tell of what they have under way."""

from __future__ import annotations

import asyncio
from pathlib import Path

from PySide6.QtWidgets import QApplication

from app.core.busy import WorkKind
from app.core.mcp.servers.definitions import HttpServer
from tests.conftest import RunningWorkspace
from tests.core._mcp_server import Reply, Scripted
from tests.ui._tasks_fakes import until
from tests.ui._window import living, sign_in_before


async def test_a_running_call_and_typed_text_are_told_and_a_draft_interrupts_nothing(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace
) -> None:
    folder = tmp_path / "app"
    await sign_in_before(folder, workspace)
    async with Scripted() as server, living(qapp, folder, running=workspace, opens=("LeaveDialog",)) as alive:
        busy = alive.services.busy
        held = asyncio.Event()
        server.always["tools/call"] = Reply(result={"content": []}, hold=held)
        alive.tasks.selection.new_task()
        alive.tasks.pages.composer.description.setPlainText("Half a thought\nof two lines")
        await until(lambda: any(work.what == "Half a thought" and work.kept for work in busy.works()), 10)
        assert busy.interrupted() == ()
        alive.window.go("servers")
        await until(lambda: alive.servers.controller.loaded, 10)
        server_id = (await alive.services.own_servers.add(HttpServer("", "Ledger", server.url))).id
        await until(lambda: any(each.id == server_id for each in alive.servers.controller.servers), 10)
        tools = await alive.services.servers.tools(server_id)
        found = next(each for each in alive.servers.controller.servers if each.id == server_id)
        session = alive.servers.calls.sessions.open(found, next(each for each in tools if each.name == "count"))
        told: list[None] = []
        busy.changed.subscribe(told.append)
        session.ask({})
        if session.asks:
            session.agree()
        await server.arrived["tools/call"].wait()
        [work] = busy.interrupted()
        assert (work.kind, work.what) == (WorkKind.CALL, "count on Ledger")
        assert told
        alive.window.leave()
        await until(lambda: alive.window.leaving is not None and alive.window.leaving.dialog is not None)
        assert alive.window.leaving is not None
        assert alive.window.leaving.dialog is not None
        alive.window.leaving.dialog.wait_button.click()
        held.set()
        # The call is answered, and nothing keeps the window any more.
        await until(lambda: not alive.window.isVisible(), 10)
