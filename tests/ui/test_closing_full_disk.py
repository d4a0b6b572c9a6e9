"""A disk that is really full: what was typed anywhere is shown before the window closes, and nothing fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from app.core.mcp.forms.model import FormModel
from app.ui.servers.tool_session import ToolSession
from app.ui.shell.leave_dialog import LeaveDialog
from tests.conftest import RunningWorkspace
from tests.ui._servers_fakes import tool
from tests.ui._tasks_fakes import until
from tests.ui._window import Living, living, sign_in_before

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support|propagateSizeHints", extend=True)

# More than the free pages of the file.
LONG = "Half a thought that must not be lost. " * 3_000


async def fill(alive: Living) -> None:
    """SQLite may take no further page, as on a full disk."""

    def limit() -> None:
        connection = alive.services.storage._database._connection
        assert connection is not None
        [(pages,)] = connection.execute("PRAGMA page_count")
        connection.execute(f"PRAGMA max_page_count={pages}")

    await asyncio.wrap_future(alive.services.storage._writer.submit(limit))


def dialog_of(alive: Living) -> LeaveDialog | None:
    return alive.window.leaving.dialog if alive.window.leaving is not None else None


@pytest.mark.parametrize("where", ["composer", "edit"])
async def test_what_is_typed_is_shown_and_copied_and_closing_anyway_ends_quietly(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace, where: str
) -> None:
    folder = tmp_path / "app"
    await sign_in_before(folder, workspace)
    async with living(qapp, folder, running=workspace, opens=("LeaveDialog",)) as alive:
        crashes: list[BaseException] = []
        alive.window._bridge.crashed.connect(crashes.append)
        await until(lambda: alive.tasks.controller.load.loaded, 10)
        await fill(alive)
        if where == "composer":
            alive.tasks.selection.new_task()
            alive.tasks.pages.composer.description.setPlainText(LONG)
        else:
            task = alive.tasks.controller.cache.all()[0]
            alive.tasks.selection.show_task(task.id)
            alive.tasks.pages.detail.begin_edit()
            alive.tasks.pages.detail.editor.rows["description"].input.setPlainText(LONG)  # type: ignore[union-attr]
        alive.window.close()
        await until(lambda: dialog_of(alive) is not None, 10)
        dialog = dialog_of(alive)
        assert dialog is not None
        assert alive.window.isVisible()
        assert LONG.strip() in dialog.preview.toPlainText()
        dialog.copy_button.click()
        assert LONG.strip() in QGuiApplication.clipboard().text()
        dialog.stay_button.click()
        await until(lambda: dialog_of(alive) is None)
        alive.window.close()
        await until(lambda: dialog_of(alive) is not None, 10)
        again = dialog_of(alive)
        assert again is not None
        again.close_button.click()
        await until(lambda: not alive.window.isVisible(), 10)
        assert crashes == []


async def test_arguments_of_a_tool_are_shown_as_they_were_typed(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace
) -> None:
    folder = tmp_path / "app"
    await sign_in_before(folder, workspace)
    async with living(qapp, folder, running=workspace, opens=("LeaveDialog",)) as alive:
        alive.window.go("servers")
        place = alive.servers
        await until(lambda: place.controller.loaded, 10)
        session = ToolSession(alive.window._bridge, alive.services, place.controller.servers[0], tool("Note"))
        session.draft = FormModel(session.tool.input_schema).seed()
        session.json_text = LONG
        await fill(alive)
        place.drafts.typed(session)
        alive.window.close()
        await until(lambda: dialog_of(alive) is not None, 10)
        dialog = dialog_of(alive)
        assert dialog is not None
        assert LONG.strip() in dialog.text
        assert session.tool.label in dialog.text
        assert '"value"' not in dialog.text
        assert "[]" not in dialog.text
        dialog.close_button.click()
        await until(lambda: not alive.window.isVisible(), 10)
