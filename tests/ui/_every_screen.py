"""Every screen of the window, one after the other, in a real window on the embedded workspace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from PySide6.QtWidgets import QApplication, QDialog, QWidget

from app.ui.theme.apply import Mode
from tests.ui._tasks_fakes import settle, until
from tests.ui._window import Living, living

DIALOGS = ("Palette", "KeySheet", "SignInDetails", "QComboBoxPrivateContainer")


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
    tasks.selection.new_task()
    await _calm(alive)
    yield "composer", window
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
    window.go("lab")
    await _calm(alive)
    yield "lab", window
    window.drawers.toggle()
    await _calm(alive)
    yield "activity", window
    window.drawers.toggle()
    window.go("tasks")
    window.open_palette("go")
    await _calm(alive)
    palette = window.dialogs.palette
    assert palette is not None
    yield "palette", palette
    palette.close()
    for name, show in (("keys", window.open_key_sheet), ("details", window.open_sign_in_details)):
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


async def _calm(alive: Living) -> None:
    """Let layouts and answers that are already here arrive."""
    await settle(60)
    QApplication.processEvents()
