"""What the buttons of a notification do: once, for what they were shown for, and nothing dangerous."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QWidget

from app.core.desktop.notification import Acted, DesktopNotification
from app.core.diagnostics.activity import Activity
from app.ui.bridge import Bridge
from app.ui.place import PlaceNotice
from app.ui.settings import UiSettings
from app.ui.shell.notices import APPROVAL_ID, NOTIFY_APPROVALS, NOTIFY_RUNS, NoticeAction, Notices
from tests.ui._tasks_fakes import FakeSettings


class Told:
    """Notices whose desktop is this object."""

    def __init__(self, bridge: Bridge) -> None:
        self.window = QWidget()
        self.shown: list[DesktopNotification] = []
        self.taken: list[str] = []
        self.did: list[str] = []
        self.settings = UiSettings(FakeSettings(), bridge)  # type: ignore[arg-type]
        self.notices = Notices(
            self.window,
            Activity(),
            bridge,
            self.settings,
            forward=lambda token: self.did.append(f"forward {token}".strip()),
            show=self.shown.append,
            take_back=self.taken.append,
        )

    def ask(self, number: int = 1) -> None:
        self.notices.approval_wanted(
            f"Question {number}",
            "Server: Notion.",
            refuse=lambda: self.did.append(f"refuse {number}"),
            review=lambda: self.did.append(f"review {number}"),
        )

    def press(self, words: str, shown: int = -1, token: str = "") -> None:
        notification = self.shown[shown]
        action = next(each.id for each in notification.actions if each.words == words)
        self.notices.acted(Acted(notification.key, action, token))


@pytest.fixture(autouse=True)
def elsewhere(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QGuiApplication, "applicationState", lambda: Qt.ApplicationState.ApplicationInactive)


@asynccontextmanager
async def telling() -> AsyncIterator[Told]:
    bridge = Bridge()
    told = Told(bridge)
    yield told
    await bridge.close()
    told.window.deleteLater()


async def test_no_button_allows_a_call_and_the_notification_itself_reviews_it() -> None:
    async with telling() as told:
        told.ask()
        (notification,) = told.shown
        assert [each.words for each in notification.actions] == ["Refuse", "Review"]
        assert notification.stays
        told.notices.acted(Acted(APPROVAL_ID, "", "a-token"))
        assert told.did == ["forward a-token", "review 1"]


async def test_a_call_is_refused_without_the_window() -> None:
    async with telling() as told:
        told.ask()
        told.press("Refuse")
        assert told.did == ["refuse 1"]
        assert told.taken == [APPROVAL_ID]


async def test_a_button_that_was_replaced_or_is_over_brings_only_the_window_forward() -> None:
    async with telling() as told:
        told.ask(1)
        told.ask(2)
        told.press("Refuse", shown=0)
        assert told.did == ["forward"]
        told.press("Refuse")
        told.press("Refuse")
        assert told.did == ["forward", "refuse 2", "forward"]
        told.ask(3)
        told.notices.withdraw(APPROVAL_ID)
        told.press("Review")
        assert told.did[-1] == "forward"


async def test_a_hidden_window_is_not_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QGuiApplication, "applicationState", lambda: Qt.ApplicationState.ApplicationActive)
    async with telling() as told:
        told.ask()
        assert len(told.shown) == 1
        told.window.show()
        told.notices.application_changed()
        assert told.taken == [APPROVAL_ID]
        told.ask()
        assert len(told.shown) == 1


async def test_a_question_is_told_unless_the_user_wants_none() -> None:
    async with telling() as told:
        told.settings.put(NOTIFY_APPROVALS, False)
        told.ask()
        assert not told.shown


async def test_others_may_tell_with_buttons_of_their_own() -> None:
    async with telling() as told:
        restart = NoticeAction("Restart", lambda: told.did.append("restart"))
        told.notices.tell("update", "Burrow 2 is ready", "Restart to use it.", actions=[restart])
        told.press("Restart")
        assert told.did == ["restart"]


async def test_the_message_in_the_tray_does_what_the_notification_would() -> None:
    async with telling() as told:
        messages: list[str] = []
        told.notices.show_in_tray = lambda title, _text: messages.append(title)
        told.ask()
        told.notices._show_fallback(told.shown[0])
        assert messages == ["Question 1"]
        told.notices.tray_message_clicked()
        assert told.did == ["forward", "review 1"]


async def test_a_sign_in_that_is_no_longer_needed_is_taken_back() -> None:
    async with telling() as told:
        told.settings.put("notify.sign_in", True)
        told.notices.sign_in_needed("Sign in again.", lambda: told.did.append("browser"))
        told.notices.sign_in_need_changed(False)
        assert told.taken == ["sign-in"]
        told.notices.sign_in_needed("Sign in again.", lambda: told.did.append("browser"))
        told.press("Sign in")
        assert told.did == ["browser"]


async def test_a_run_that_needs_the_user_leads_to_it_and_is_not_told_to_who_wants_none() -> None:
    async with telling() as told:
        notice = PlaceNotice("run:t1", "Mend the cart", "The agent needs you.", "t1", waits=True)
        told.notices.place_told(notice, lambda: told.did.append("review t1"))
        assert (told.shown[0].title, told.shown[0].stays) == ("Mend the cart", True)
        told.press("Open", token="a-token")
        assert told.did == ["forward a-token", "review t1"]
        told.settings.put(NOTIFY_RUNS, False)
        told.notices.place_told(notice, lambda: None)
        assert len(told.shown) == 1
