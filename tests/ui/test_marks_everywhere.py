"""What a server wrote stays in its place wherever it is shown: in errors, activity, notifications, titles, progress."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QWidget

from app.core.desktop.notification import DesktopNotification
from app.core.diagnostics.activity import Activity, ActivityRecord
from app.core.errors import LONGEST_TEXT, Facts, ProtocolTrouble
from app.ui import activity_words
from app.ui.bridge import Bridge
from app.ui.servers.tool_session import CallPhase
from app.ui.servers.wording import shown_name
from app.ui.settings import UiSettings
from app.ui.shell import exchange_words
from app.ui.shell.notices import NOTIFY_CALLS, Notices
from app.ui.shell.titles import window_title
from tests.ui._servers_fakes import READS, FakeBackend, own, settle, tool, until
from tests.ui._tasks_fakes import FakeSettings
from tests.ui.test_servers_place import desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

HIDDEN = {"\u202e", "\u200b", "\u2066", "\U000e0041", "\x1b"}
NAME = "delete_" + "".join(sorted(HIDDEN)) + "lla"
HEBREW = "מחק"


def shows_all(text: str) -> bool:
    """Whether the name is in a text with its marks, and without what cannot be seen."""
    return "‹U+202E›" in text and not HIDDEN & set(text)


def call(name: str = NAME) -> ActivityRecord:
    detail = {"request": {"name": name}, "response": {"content": name}}
    return Activity().record("mcp", name, f"tools/call {name}", "ok", 1.0, detail)


def test_an_error_shows_what_a_server_wrote_with_marks() -> None:
    error = ProtocolTrouble(NAME, Facts(detail=NAME), action=NAME)
    assert all(map(shows_all, (error.cause, str(error), error.advice, error.facts.detail or "")))
    assert len(ProtocolTrouble("\u202e" * 100_000).cause) <= LONGEST_TEXT
    assert ProtocolTrouble(f"{HEBREW}\nsecond line").cause == f"{HEBREW}\nsecond line"


def test_a_line_of_the_activity_and_its_page_show_marks() -> None:
    record = call()
    assert shows_all(activity_words.summary(record))
    assert shows_all(activity_words.server(record))
    assert shows_all(exchange_words.as_line(record))
    assert shows_all(exchange_words.overview(record, None))
    assert shows_all(exchange_words.request_page(record, None))
    assert shows_all(exchange_words.response_page(record, None))
    assert "‹U+2068›" not in exchange_words.overview(call(HEBREW), None)


async def test_a_notification_shows_marks(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QGuiApplication, "applicationState", lambda: Qt.ApplicationState.ApplicationInactive)
    window, bridge, activity, told = QWidget(), Bridge(), Activity(), list[DesktopNotification]()
    settings = UiSettings(FakeSettings(), bridge)  # type: ignore[arg-type]
    settings.put(NOTIFY_CALLS, True)
    Notices(window, activity, bridge, settings, show=told.append)
    activity.record("mcp", NAME, f"tools/call {NAME}", "ok")
    await until(lambda: bool(told))
    [notification] = told
    assert shows_all(notification.title)
    assert shows_all(notification.body)
    await bridge.close()
    window.deleteLater()


async def test_a_call_that_is_not_answered_for_long_is_told_to_the_desktop(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QGuiApplication, "applicationState", lambda: Qt.ApplicationState.ApplicationInactive)
    async with desk(qapp) as on:
        told = list[DesktopNotification]()
        settings = UiSettings(FakeSettings(), on.place.context.bridge)  # type: ignore[arg-type]
        notices = Notices(on.place, Activity(), on.place.context.bridge, settings, show=told.append)
        on.place.call_silent.connect(notices.call_silent)
        backend = await on.show(FakeBackend([own()], {"posthog": [tool(NAME, annotations=READS)]}))
        backend.servers.silence = 0.05
        session = await on.open(f"posthog/{NAME}")
        for wanted in (False, True):
            settings.put(NOTIFY_CALLS, wanted)
            running = await on.run(query="x")
            await until(lambda: session.phase is CallPhase.QUIET)
            assert len(told) == int(wanted)
            running.give()
            await until(lambda: session.phase is CallPhase.DONE)
        [notification] = told
        assert notification.title.startswith("Still no answer from delete_")
        assert shows_all(notification.title)
        assert notification.body.startswith("PostHog")


def test_the_title_of_the_window_shows_marks_and_isolates_what_is_written_from_the_right() -> None:
    assert shows_all(window_title(NAME))
    assert window_title(HEBREW) == window_title(shown_name(HEBREW)) == f"\u2068{HEBREW}\u2069 — Burrow"


async def test_the_message_of_progress_shows_marks_in_one_line(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find", annotations=READS)]}))
        await on.open("posthog/find")
        running = await on.run(query="x")
        await running.report(1, None, f"{NAME}\nsecond" + "x" * 10_000)
        await settle()
        words = on.place.page.tool.words.text()
        assert shows_all(words)
        assert "\n" not in words
        assert len(words) < 1000
        running.give()
        await settle()
