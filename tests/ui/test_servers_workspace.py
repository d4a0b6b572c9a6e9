"""The Servers place on the real services and a real workspace process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from app.core.backend import Backend
from app.ui.servers.blocks import LinkCard, Picture
from app.ui.servers.place import ServersPlace
from app.ui.servers.tool_session import CallPhase
from tests.ui._servers_fakes import actions, settle, until
from tests.ui._workspace import on_workspace

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


@asynccontextmanager
async def living(qapp: QApplication, folder: Path) -> AsyncIterator[tuple[ServersPlace, Backend]]:
    """A place in a window, signed in to a freshly seeded workspace, its own server open."""
    async with on_workspace(qapp, folder, ServersPlace, lambda place: place.controller.tools.get("workspace")) as (
        place,
        backend,
        _,
    ):
        yield place, backend


async def call(place: ServersPlace, item: str, text: str) -> CallPhase:
    place.open_item(item)
    name = item.partition("/")[2]
    await until(lambda: place.page.tool.session is not None and place.page.tool.session.tool.name == name)
    session, form = place.page.tool.session, place.page.tool.form
    assert session is not None
    assert form.set_json(True)
    form.json.edit.setPlainText(text)
    form.json.check()
    place.page.tool.run()
    await until(lambda: session.phase not in {CallPhase.IDLE, CallPhase.RUNNING}, 15)
    await settle()
    return session.phase


async def test_tools_are_called_and_every_kind_of_result_is_shown(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as (place, _):
        view = place.page.tool.result
        assert await call(place, "workspace/list_tasks", "{}") is CallPhase.DONE
        assert view.tabs.isTabVisible(1)
        assert view.tree.values.rowCount() > 0

        assert await call(place, "workspace/chart_events", '{"events": ["$pageview"]}') is CallPhase.DONE
        # Decoded in a worker thread.
        await until(lambda: view.findChildren(Picture))

        listed = await call(place, "workspace/list_documents", "{}")
        assert listed is CallPhase.DONE
        session = place.page.tool.session
        assert session is not None
        assert session.result is not None
        structured = session.result.structured
        assert isinstance(structured, dict)
        document = structured["result"][0]["id"]
        assert await call(place, "workspace/read_document", f'{{"document": "{document}"}}') is CallPhase.DONE
        card = view.findChildren(LinkCard)[-1]
        before = len(view.block_widgets())
        card.follow.click()
        await until(lambda: len(view.block_widgets()) > before)

        assert await call(place, "workspace/import_legacy_export", '{"address": "x"}') is CallPhase.DONE
        assert "reports an error" in view.card.text()
        assert view.status.state is not None
        assert view.status.state.word == "Tool error"


async def test_a_slow_tool_tells_its_progress_and_is_cancelled(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as (place, _):
        place.open_item("workspace/slow_report")
        await until(lambda: place.page.tool.session is not None)
        session = place.page.tool.session
        assert session is not None
        form = place.page.tool.form
        form.set_json(True)
        form.json.edit.setPlainText('{"seconds": 20, "steps": 100}')
        place.page.tool.run()
        await until(lambda: session.progress is not None and session.progress.total == 100, 10)
        await settle()
        assert "Part" in place.page.tool.words.text()
        place.page.tool.cancel()
        await until(lambda: session.phase is CallPhase.CANCELLED)
        assert "arguments are kept" in place.page.tool.result.card.text()


async def test_a_tool_that_asks_runs_once_it_is_allowed(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as (place, backend):
        postbox = next(s for s in place.controller.servers if s.title == "Postbox")
        text = '{"mailbox": "hello", "to": ["a@b.example"], "subject": "s", "body": "b"}'
        assert await call(place, f"{postbox.id}/send_message", text) is CallPhase.ASKING
        actions(place.page.tool.question)["Always allow and run"]()
        session = place.page.tool.session
        assert session is not None
        await until(lambda: session.phase in {CallPhase.DONE, CallPhase.FAILED}, 10)
        kept = {tool.tool_name: tool.approval_state for tool in await backend.store.tools(postbox.id)}
        assert kept["send_message"] == "approved"


async def test_a_tool_that_asks_runs_once_and_asks_again(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as (place, backend):
        postbox = next(s for s in place.controller.servers if s.title == "Postbox")
        text = '{"mailbox": "hello", "to": ["a@b.example"], "subject": "s", "body": "b"}'
        assert await call(place, f"{postbox.id}/send_message", text) is CallPhase.ASKING
        session = place.page.tool.session
        assert session is not None
        actions(place.page.tool.question)["Run once"]()
        await until(lambda: session.phase in {CallPhase.DONE, CallPhase.FAILED}, 10)
        assert session.phase is CallPhase.DONE
        scope = backend.scope
        assert scope is not None
        async with asyncio.timeout(10):
            while await place.context.services.storage.raised_policies.all(scope):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
        kept = {tool.tool_name: tool.approval_state for tool in await backend.store.tools(postbox.id)}
        assert kept["send_message"] == "needs_approval"
        place.page.tool.run_again()
        assert session.phase is CallPhase.ASKING
