"""Every screen of the window, one after the other, in a real window on the embedded workspace."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from PySide6.QtCore import QEvent
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QDialog, QWidget

from app.core.mcp.proxy.parts import ProxyClient
from app.ui.theme.apply import Mode
from app.ui.widgets.rows import Row
from tests.ui._tasks_fakes import settle, until
from tests.ui._window import Living, living

LAYOUTS = 5
DIALOGS = ("Palette", "KeySheet", "SignInDetails", "SettingsPage", "About", "Help", "QComboBoxPrivateContainer")


@asynccontextmanager
async def shown_window(
    qapp: QApplication, folder: Path, mode: Mode, scale: float, size: tuple[int, int]
) -> AsyncIterator[Living]:
    """The window, signed in, in one look and size."""
    async with living(qapp, folder, mode=mode, scale=scale, size=size, opens=DIALOGS) as alive:
        yield alive


async def every_screen(alive: Living) -> AsyncIterator[tuple[str, QWidget]]:
    """The name of each screen and its window, while it is in view."""
    window = alive.window
    tasks = alive.tasks
    tasks.pane.table.select_first()
    await until(lambda: tasks.pages.currentWidget() is not None)
    await _calm(alive)
    yield "task", window
    async for name in _tasks(alive):
        yield name, window
    window.go("servers")
    await _calm(alive)
    servers = alive.servers
    await until(lambda: servers.controller.loaded and bool(servers.controller.servers), 10)
    await _calm(alive)
    yield "servers", window
    ready = next(each for each in servers.controller.servers if each.title == "Postbox")
    window.go("servers", ready.id)
    await until(lambda: bool(servers.page.tools.table.rows.lines()), 10)
    await _calm(alive)
    yield "tools", window
    window.go("servers", f"{ready.id}/send_message")
    await _calm(alive)
    yield "tool", window
    async for name in _calls(alive, ready.id):
        yield name, window
    servers.page.tabs.setCurrentIndex(1)
    await _calm(alive)
    yield "about", window
    servers.pane.show_available()
    await _calm(alive)
    servers.pane.templates.select_first()
    await _calm(alive)
    yield "available", window
    servers.pane.add_wanted.emit()
    await _calm(alive)
    yield "add", window
    servers.pages.custom.choose_kind("stdio")
    await _calm(alive)
    yield "add a command", window
    async for name in _connect(alive):
        yield name, window
    window.go("lab")
    await _calm(alive)
    yield "lab", window
    window.drawers.toggle()
    await _calm(alive)
    yield "activity", window
    drawer = window.drawers.drawer
    assert drawer is not None
    await until(lambda: drawer.table.values.rowCount() > 0, 5)
    drawer.table.selectRow(0)
    drawer.table.opened.emit(drawer.table.current())
    await until(drawer.page.isVisible, 5)
    await _calm(alive)
    yield "exchange", window
    window.drawers.toggle()
    window.go("tasks")
    window.open_palette("go")
    await _calm(alive)
    palette = window.dialogs.palette
    assert palette is not None
    yield "palette", palette
    palette.close()
    dialogs = {
        "keys": window.open_key_sheet,
        "details": window.open_sign_in_details,
        "settings": window.open_settings,
        "program": window.open_about,
        "help": window.open_help,
    }
    for name, show in dialogs.items():
        show()
        await _calm(alive)
        dialog = next(each for each in window.findChildren(QDialog) if each.isVisible())
        yield name, dialog
        dialog.close()
        await settle()
    window.choose_host()
    await _calm(alive)
    yield "first", window
    window.stay_here()
    await settle()


async def _tasks(alive: Living) -> AsyncIterator[str]:
    """The states of the page of a task and of the list beside it, and the composer."""
    tasks = alive.tasks
    tasks.pages.detail.begin_edit()
    await _calm(alive)
    yield "edit"
    tasks.pages.detail.editor.cancel.emit()
    table = tasks.pane.table
    tasks.selection.show_several([line.key for line in table.rows.lines() if isinstance(line, Row)][:3])
    await _calm(alive)
    yield "several"
    tasks.task_actions.delete()
    await _calm(alive)
    yield "question"
    tasks.pane.question.withdraw()
    tasks.selection.show_key(table.first_key() or "")
    tasks.task_actions.toggle_pinned()
    await _calm(alive)
    yield "undo"
    tasks.pane.undo.undo()
    tasks.pane.set_archived(True)
    await _calm(alive)
    yield "archived"
    tasks.pane.set_archived(False)
    composer = tasks.pages.composer
    for words in ("Say why an import failed", "Count the events of each plan"):
        tasks.selection.new_task()
        composer.description.setPlainText(words)
        picture = QImage(8, 8, QImage.Format.Format_RGB32)
        composer.attached.add_image(picture)
        await until(lambda: bool(composer.attached.files), 5)
        await _calm(alive)
    yield "drafts"
    # With the form of a run, which is on the page of a task too.
    composer.run_box.show_form(True)
    form = composer.run_box.form
    assert form is not None
    await until(lambda: bool(form.model.value), 5)
    await _calm(alive)
    yield "run"
    tasks.selection.new_task()
    await _calm(alive)
    yield "composer"


async def _calls(alive: Living, server_id: str) -> AsyncIterator[str]:
    """The page of a tool while it asks, and with the answer and the history of a call."""
    servers = alive.servers
    tool = servers.page.tool
    alive.window.go("servers", f"{server_id}/list_mailboxes")
    await _calm(alive)
    yield "plain"
    tool.run()
    await until(lambda: not tool.result.isHidden(), 10)
    await _calm(alive)
    for tab in range(tool.result.tabs.count()):
        if tool.result.tabs.isTabVisible(tab):
            tool.result.tabs.setCurrentIndex(tab)
            await _calm(alive)
            yield f"result {tab}"


async def _connect(alive: Living) -> AsyncIterator[str]:
    """The local proxy and its clients, and the question of an agent."""
    window = alive.window
    window.go("connect")
    connect = alive.connect
    await until(lambda: bool(connect.controller.servers), 10)
    await _calm(alive)
    yield "proxy"
    connect.pages.overview.tabs.setCurrentIndex(1)
    await _calm(alive)
    yield "offered"
    connect.pages.overview.tabs.setCurrentIndex(0)
    connect.pages.add_client()
    await until(lambda: connect.pages.new.program.count() > 0, 5)
    await _calm(alive)
    yield "add client"
    # No test looks at the files of a person's programs.
    home, os.environ["HOME"] = os.environ.get("HOME", ""), str(alive.services.folder)
    try:
        async for screen in _client(alive):
            yield screen
    finally:
        os.environ["HOME"] = home


async def _client(alive: Living) -> AsyncIterator[str]:
    window, connect = alive.window, alive.connect
    page = connect.pages.client
    name = f"Client {len(connect.controller.clients) + 1}"
    made = connect.controller.create(name, "cursor", None)
    assert made is not None
    await made.wait()
    await until(lambda: bool(page.setup.text.source), 5)
    await _calm(alive)
    yield "set up"
    page.ask_revoke()
    await _calm(alive)
    yield "revoke"
    page.question.withdraw()
    page.begin_rename()
    await _calm(alive)
    yield "rename"
    page.rename.leave()
    page.setup.show_file()
    await until(lambda: page.setup.file.write_button.isEnabled(), 5)
    await _calm(alive)
    yield "file"
    page.setup.file.left.emit()
    page.tabs.setCurrentIndex(1)
    page.checks.which.set_value("chosen")
    page.checks.show_value(connect.controller.servers, frozenset())
    await _calm(alive)
    yield "client servers"
    page.tabs.setCurrentIndex(2)
    await until(lambda: bool(page.tools.table.rows.lines()), 10)
    page.tools.table.select_first()
    await _calm(alive)
    yield "client tools"
    page.tabs.setCurrentIndex(3)
    await _calm(alive)
    yield "client use"
    approvals = alive.services.proxy.approvals
    if window.approvals is None:
        window.attend(approvals)
    client = ProxyClient("c", "An agent")
    asked = asyncio.ensure_future(approvals.ask(client, "posthog", "delete", {"text": "many words " * 50}, "session"))
    await until(lambda: window.approvals is not None and window.approvals.waiting == 1, 5)
    await _calm(alive)
    yield "asked"
    asked.cancel()
    await until(lambda: not window.asked, 5)


async def _calm(alive: Living) -> None:
    """Let layouts and answers that are already here arrive."""
    await settle(60)
    QApplication.processEvents()
    # What arrived last may have changed layouts, and these the layouts around them.
    for _ in range(LAYOUTS):
        QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)
