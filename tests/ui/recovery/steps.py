"""What the tests of this package do over and over: work that meets a grant that is over, calls, a browser's answer."""

from __future__ import annotations

from PySide6.QtWidgets import QApplication, QPushButton, QWidget

from app.ui.servers.tool_session import CallPhase, ToolSession
from tests.ui._tasks_fakes import settle, until
from tests.ui._window import Living, button


async def revoked_with_work_waiting(alive: Living, words: str) -> None:
    """The grant is gone, a task waits, the bar stands."""
    await alive.lab.revoke_grant()
    await alive.write_task(words)
    await until(lambda: alive.waiting == ["waiting-sign-in"], 10)
    await until(alive.window.bar.isVisible)


async def opened_tool(alive: Living, item: str, arguments: str) -> ToolSession:
    """A tool of `server/tool` in view, its arguments typed as JSON."""
    place = alive.servers
    place.open_item(item)
    name = item.partition("/")[2]
    await until(lambda: place.page.tool.session is not None and place.page.tool.session.tool.name == name, 15)
    form = place.page.tool.form
    assert form.set_json(True)
    form.json.edit.setPlainText(arguments)
    form.json.check()
    assert place.page.tool.session is not None
    return place.page.tool.session


async def called(alive: Living, item: str, arguments: str = "{}") -> ToolSession:
    """The same, called, and answered in whatever way."""
    session = await opened_tool(alive, item, arguments)
    alive.servers.page.tool.run()
    await until(lambda: session.phase not in {CallPhase.IDLE, CallPhase.RUNNING}, 15)
    await settle()
    return session


def shows(root: QWidget, words: str) -> bool:
    """Whether a button with these words can be pressed."""
    return any(each.text() == words and each.isVisible() for each in root.findChildren(QPushButton))


async def press(root: QWidget, words: str) -> None:
    """Press a button once it shows."""
    await until(lambda: shows(root, words), 10)
    button(root, words).click()


def focused() -> QWidget | None:
    return QApplication.focusWidget()
