"""The end of the desktop's session, as Qt asks on Windows and macOS and as the portal tells on Linux."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QTimer

from app.core.busy import Work, WorkKind
from app.ui.shell.leave_dialog import LeaveDialog
from app.ui.shell.session_end import DesktopSession
from app.ui.shell.window import MainWindow
from tests.core.desktop._portal import inhibit_portal
from tests.ui._shell_fakes import FakeBackend, FakeServices
from tests.ui._tasks_fakes import until
from tests.ui.test_shell import opened
from tests.ui.test_shell_closing import TYPED

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support|propagateSizeHints", extend=True)

CALL = Work(WorkKind.CALL, "search_docs on Linear", "It is broken off.")


class Manager:
    """What Qt gives to a slot of `commitDataRequest`: only the system makes a `QSessionManager`."""

    def __init__(self, *, interaction: bool = True) -> None:
        self.interaction, self.said = interaction, list[str]()

    def allowsInteraction(self) -> bool:
        return self.interaction

    def release(self) -> None:
        self.said.append("released")

    def cancel(self) -> None:
        self.said.append("cancelled")


def unsaved(services: FakeServices) -> int:
    return len(services.storage.drafts.unsaved)


def session_of(window: MainWindow, services: FakeServices, *, portal: bool = False) -> DesktopSession:
    assert window.leaving is not None
    return DesktopSession(window.leaving, services.busy, window.context.bridge, window, portal=portal)


async def commit(session: DesktopSession, manager: Any) -> None:
    """In a callback of the loop, as Qt calls it, and not in a task."""
    done = asyncio.Event()

    def called() -> None:
        session.commit(manager)
        done.set()

    QTimer.singleShot(0, called)
    await asyncio.wait_for(done.wait(), 5)


async def test_what_is_typed_is_stored_before_the_system_gets_its_answer_and_nobody_is_asked() -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:
        session, manager = session_of(window, services), Manager()
        services.storage.drafts.unsaved = (TYPED,)
        await commit(session, manager)
        assert unsaved(services) == 0
        assert manager.said == []
        assert window.isVisible()


@pytest.mark.parametrize("stays", [True, False])
async def test_the_user_decides_where_work_would_be_broken_off(stays: bool) -> None:
    services = FakeServices(FakeBackend())
    services.busy.register(lambda: [CALL])
    async with opened(services) as window:
        session, manager = session_of(window, services), Manager()

        def answer() -> None:
            dialogs = [each for each in window.findChildren(LeaveDialog) if each.isVisible()]
            if not dialogs:
                QTimer.singleShot(10, answer)
                return
            [dialog] = dialogs
            assert not dialog.wait_button.isVisible()
            (dialog.stay_button if stays else dialog.close_button).click()

        QTimer.singleShot(10, answer)
        await commit(session, manager)
        assert manager.said == ["cancelled" if stays else "released"]


async def test_a_system_that_allows_no_question_gets_none() -> None:
    services = FakeServices(FakeBackend())
    services.busy.register(lambda: [CALL])
    async with opened(services) as window:
        session, manager = session_of(window, services), Manager(interaction=False)
        await commit(session, manager)
        assert manager.said == []
        assert not window.findChildren(LeaveDialog)


async def test_the_portal_hears_of_work_while_there_is_some_and_the_end_closes_the_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = FakeServices(FakeBackend())
    works = [CALL]
    services.busy.register(lambda: works)
    async with inhibit_portal(tmp_path, monkeypatch) as portal, opened(services) as window:
        session_of(window, services, portal=True)
        await portal.until(lambda: list(portal.held.values()) == ["search_docs on Linear"])
        works.clear()
        services.busy.changed.emit(None)
        await portal.until(lambda: portal.held == {})
        services.storage.drafts.unsaved = (TYPED,)
        await portal.tell(2)
        await portal.until(lambda: portal.responses)
        assert unsaved(services) == 0
        works.append(CALL)
        await portal.tell(3)
        await until(lambda: not window.isVisible())
