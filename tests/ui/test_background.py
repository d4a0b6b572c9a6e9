"""Closing the window hides it, quits or asks, as the user wants and as far as a tray would bring it back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from PySide6.QtWidgets import QApplication

from app.ui.shell.background import ASK, CLOSE_SETTING, HIDE, QUIT
from app.ui.shell.window import MainWindow
from app.ui.widgets.feedback import ProgressLine
from app.ui.widgets.times import ticker
from tests.ui._shell_fakes import FakeBackend, FakeServices
from tests.ui.test_shell import opened, until

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


class FakeTray:
    """A desktop's tray: it may go."""

    def __init__(self) -> None:
        self.available = True
        self.closed = False

    def refresh(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def in_tray(window: MainWindow, services: FakeServices) -> FakeTray:
    tray = FakeTray()
    window.background.tray = tray  # type: ignore[assignment]
    services.proxy = SimpleNamespace(enabled=True)  # type: ignore[attr-defined]
    return tray


async def test_the_first_close_asks_and_what_is_remembered_counts_from_then_on() -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:
        in_tray(window, services)
        window.close()
        dialog = window.background.dialog
        assert window.isVisible()
        assert dialog is not None
        window.close()
        assert window.background.dialog is dialog
        dialog.keep_button.click()
        assert not window.isVisible()
        assert window.background.choice == HIDE
        window.bring_forward()
        assert window.isVisible()
        window.close()
        assert not window.isVisible()
        assert window.background.dialog is None


async def test_a_choice_that_is_not_remembered_is_asked_again() -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:
        in_tray(window, services)
        window.close()
        dialog = window.background.dialog
        assert dialog is not None
        dialog.remember.setChecked(False)
        dialog.keep_button.click()
        assert not window.isVisible()
        assert window.background.choice == ASK
        window.bring_forward()
        window.close()
        dialog = window.background.dialog
        assert dialog is not None
        dialog.reject()
        assert window.isVisible()


async def test_quit_in_the_question_quits() -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:
        left: list[bool] = []
        window.left.connect(lambda: left.append(True))
        tray = in_tray(window, services)
        window.close()
        dialog = window.background.dialog
        assert dialog is not None
        dialog.quit_button.click()
        assert left
        assert tray.closed
        assert window.background.choice == QUIT


@pytest.mark.parametrize("there", [None, False])
async def test_without_a_tray_closing_quits_whatever_is_remembered(there: bool | None) -> None:
    services = FakeServices(FakeBackend())
    services.storage.settings.values[CLOSE_SETTING] = HIDE
    async with opened(services) as window:
        left: list[bool] = []
        window.left.connect(lambda: left.append(True))
        if there is not None:
            in_tray(window, services).available = there
        window.close()
        assert left


async def test_leaving_quits_a_hidden_window_too() -> None:
    services = FakeServices(FakeBackend())
    services.storage.settings.values[CLOSE_SETTING] = HIDE
    async with opened(services) as window:
        left: list[bool] = []
        window.left.connect(lambda: left.append(True))
        in_tray(window, services)
        window.close()
        assert not left
        window.leave()
        assert left


async def test_a_window_whose_tray_goes_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    services = FakeServices(FakeBackend())
    services.storage.settings.values[CLOSE_SETTING] = HIDE
    async with opened(services) as window:
        tray = in_tray(window, services)
        window.background._look.setInterval(1)
        window.close()
        assert not window.isVisible()
        tray.available = False
        await until(window.isVisible)
        assert not window.background._look.isActive()


async def test_what_only_paints_stands_still_in_the_tray() -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:
        in_tray(window, services)
        line = ProgressLine(parent=window)
        line.show()
        line._begin()
        assert line._timer.isActive()
        assert ticker()._timer.isActive()
        window.background.put_away()
        assert not line._timer.isActive()
        assert not ticker()._timer.isActive()
        window.bring_forward()
        assert line._timer.isActive()
        assert ticker()._timer.isActive()
        line.stop()


async def test_dialogs_go_with_the_window() -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:
        in_tray(window, services)
        window.open_settings()
        window.background.put_away()
        assert not [each for each in QApplication.topLevelWidgets() if each.isVisible()]


async def test_started_hidden_without_a_tray_the_window_is_minimised(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nowhere(_seconds: float) -> bool:
        return False

    monkeypatch.setattr("app.ui.shell.tray.tray_appears", nowhere)
    async with opened(FakeServices(FakeBackend())) as window:
        window.hide()
        await window.background.begin(hidden=True)
        assert window.isMinimized()
        assert window.background.looked
