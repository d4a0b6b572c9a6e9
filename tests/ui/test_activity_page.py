"""The page of a line of the activity: what was sent, what came back, and sent again where that is safe."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.core.diagnostics.activity import Activity, ActivityRecord
from app.core.diagnostics.exchanges import Phase, PhaseKind, phases, read
from app.core.errors import BurrowError
from app.core.redaction import REDACTED
from app.core.replay import Comparison, NotAgain, again, repeat
from app.ui import activity_words
from app.ui.shell import exchange_words
from app.ui.shell.drawer import ActivityDrawer
from app.ui.shell.exchange_page import RESPONSE, TIMING
from tests.ui._screens import nameless
from tests.ui._tasks_fakes import until
from tests.ui._window import Living, living

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

HEALED: dict[str, Any] = {
    "method": "GET",
    "url": "https://x.example/api/",
    "total": 100.0,
    "attempts": [
        {"at": 10.0, "status": 401, "head": 20.0, "connect": 5.0, "renewal": 30.0, "rule": "expired-token"},
        {"at": 60.0, "status": 200, "head": 25.0, "received": [["X-Hostile", "<img src=file:///etc/passwd>"]]},
    ],
    "sent": {"text": "", "size": 0, "cut": False},
    "received": {"text": '{"a":1}', "size": 7, "cut": False},
}


def record(summary: str, status: str, kind: str = "http", **detail: Any) -> ActivityRecord:
    return Activity().record(kind, "https://x.example", summary, status, 12.0, detail)


@pytest.mark.parametrize(
    ("summary", "status", "words", "outcome"),
    [
        (
            "renewal: refused by Workspace: dead-token",
            "renewed",
            "Access token renewed: Workspace refused the old one",
            "Renewed",
        ),
        ("renewal: expired", "adopted", "New access token taken over: the old one had expired", "Taken over"),
        ("renewal: expired", "Offline", "Access token not renewed: the old one had expired", "Offline"),
        (
            "renewal: refused: rule",
            "invalid_grant",
            "Access token not renewed: a server refused the old one",
            "Refused for good",
        ),
        ("renewal: of another version", "new", "Access token not renewed: of another version", "new"),
        ("signed in: browser", "ok", "Signed in: in the browser", "OK"),
        ("signed out: asked", "ok", "Signed out: as requested", "OK"),
    ],
)
def test_a_line_about_a_sign_in_is_a_sentence_in_which_a_success_is_one(
    qapp: QApplication, summary: str, status: str, words: str, outcome: str
) -> None:
    line = record(summary, status, "auth")
    assert (activity_words.summary(line), activity_words.outcome(line)) == (words, outcome)


def test_the_time_of_a_healed_request_is_told_part_by_part() -> None:
    exchange = read(HEALED)
    assert exchange is not None
    assert phases(exchange) == (
        Phase(PhaseKind.QUEUED, 0, 10, 0),
        Phase(PhaseKind.CONNECTING, 10, 5, 1),
        Phase(PhaseKind.REFUSED, 15, 15, 1, 401),
        Phase(PhaseKind.RENEWING, 30, 30, 1),
        Phase(PhaseKind.WAITING, 60, 25, 2, 200),
        Phase(PhaseKind.READING, 85, 15, 2),
    )


def test_an_attempt_without_an_answer_waits_until_the_end() -> None:
    exchange = read({"method": "GET", "url": "x", "total": 50.0, "attempts": [{"at": 10.0, "error": "ReadTimeout"}]})
    assert exchange is not None
    assert phases(exchange)[-1] == Phase(PhaseKind.WAITING, 10, 40, 1, None)


def test_nothing_that_a_server_wrote_is_a_mark_of_the_page(qapp: QApplication) -> None:
    exchange = read(HEALED)
    page = exchange_words.response_page(record("GET /api/", "200"), exchange)
    assert "<img" not in page
    assert "&lt;img src=file" in page


@pytest.mark.parametrize("body", ["a" * 65_536, "x\n" * 32_000, "[" + ",".join("1" * 32_000) + "]", "[" * 900])
def test_as_much_of_a_body_is_laid_out_as_a_moment_allows_and_the_rest_is_said(qapp: QApplication, body: str) -> None:
    exchange = read(HEALED | {"received": {"text": body, "size": len(body), "cut": False}})
    page = exchange_words.response_page(record("GET /api/", "200"), exchange)
    assert len(page) < 3 * exchange_words.SHOWN_CHARACTERS
    assert page.count("\n") <= exchange_words.SHOWN_LINES + 10
    assert max(map(len, page.split("\n"))) < 3 * exchange_words.LONGEST_LINE
    assert ("More of it" in page) == (len(body) > 1000)


async def opened(alive: Living, *, width: int = 1200) -> ActivityDrawer:
    alive.window.resize(width, 720)
    alive.window.drawers.toggle()
    drawer = alive.window.drawers.drawer
    assert drawer is not None
    return drawer


def choose(drawer: ActivityDrawer, words: str) -> None:
    items = drawer.table.values.items()
    drawer.table.selectRow(next(row for row, item in enumerate(items) if words in item.summary))


async def test_a_killed_token_shows_the_refusal_the_renewal_and_the_repetition(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path) as alive:
        await alive.lab.kill_access_token()
        alive.tasks.refresh()
        drawer = await opened(alive)
        page = drawer.page

        def healed() -> bool:
            return page.exchange is not None and len(page.exchange.attempts) == 2

        async def find() -> None:
            for item in list(drawer.table.values.items()):
                if item.kind == "http":
                    drawer.table.selectRow(drawer.table.values.place(item.id))
                    await until(lambda: page.exchange is not None, 5)
                    if healed():
                        return
            drawer.refresh()

        async with asyncio.timeout(15):
            while not healed():
                await find()
                await asyncio.sleep(0.05)
        text = page.browser.toPlainText()
        assert "Attempt 1 was refused with 403" in text
        assert "The access token was renewed in" in text
        page.tabs.setCurrentIndex(RESPONSE)
        shown = page.browser.toPlainText()
        assert "Attempt 1" in shown
        assert "403" in shown
        page.tabs.setCurrentIndex(TIMING)
        assert "Renewing the access token" in page.bars.accessibleDescription()
        assert not nameless(drawer)
        page.copy_curl()
        copied = QGuiApplication.clipboard().text()
        assert copied.startswith("curl --request GET")
        token = alive.backend.credential.grant.tokens.access_token  # type: ignore[union-attr]
        assert token not in copied
        assert "$TOKEN" in copied


async def test_a_request_that_reads_is_sent_again_and_compared(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as alive:
        drawer = await opened(alive)
        choose(drawer, "GET /api/users/@me/")
        await until(lambda: drawer.page.again_button.isEnabled())
        before = len(alive.services.activity.records())
        drawer.page.send_again()
        await until(lambda: "the same as before" in drawer.page.line.text())
        assert len(alive.services.activity.records()) > before


async def test_what_may_change_something_is_not_offered_and_says_why(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as alive:
        services = alive.services
        assert again(services, record("POST /api/tasks/", "201"), None) is NotAgain.CHANGES
        assert again(services, record("renewal: expired", "renewed", "auth"), None) is NotAgain.NO_REQUEST
        assert again(services, record("tools/call echo", "ok", "mcp"), None) is NotAgain.CHANGES
        assert again(services, record("tools/list", "ok", "mcp"), None) is NotAgain.ANOTHER
        assert again(services, record("GET /api/", "200"), None) is NotAgain.INCOMPLETE
        assert again(services, record("GET /api/", "200"), read(HEALED)) is NotAgain.ANOTHER
        secret = read(HEALED | {"url": f"https://x.example/?code={REDACTED}"})
        assert again(services, record("GET /api/", "200"), secret) is NotAgain.INCOMPLETE
        for reason in NotAgain:
            assert exchange_words.why_not(reason)


async def test_an_answer_that_is_an_error_is_compared_too(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as alive:
        activity = alive.services.activity
        path = "/api/no-such-thing/"
        with pytest.raises(BurrowError):
            await alive.backend.fetcher.get(path)
        line = next(each for each in activity.records() if path in each.summary)
        exchange = await activity.exchange(line)
        send = again(alive.services, line, exchange)
        assert not isinstance(send, NotAgain)
        compared = await repeat(alive.services, line, exchange, send)
        assert isinstance(compared, Comparison)
        assert (compared.same_status, compared.same_body) == (True, True)


async def test_in_a_narrow_window_the_page_takes_the_place_of_the_list_and_escape_goes_back(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path) as alive:
        drawer = await opened(alive, width=720)
        await until(lambda: drawer.width() < 720)
        choose(drawer, "GET")
        drawer.table.setFocus()
        assert not drawer.page.isVisible()
        QTest.keyClick(drawer.table, Qt.Key.Key_Return)
        assert drawer.page.isVisible()
        assert not drawer.table.isVisible()
        assert drawer.page.tabs.hasFocus()
        QTest.keyClick(drawer.page.tabs, Qt.Key.Key_Escape)
        assert drawer.table.hasFocus()
        assert drawer.isVisible()


async def test_a_line_is_copied_by_its_key_and_from_its_menu(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path, opens=("CheckMenu",)) as alive:
        drawer = await opened(alive)
        choose(drawer, "GET /api/users/@me/")
        drawer.table.setFocus()
        QTest.keyClick(drawer.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
        assert "GET /api/users/@me/" in QGuiApplication.clipboard().text()
        assert "\n" not in QGuiApplication.clipboard().text()
        drawer.copy_current()
        copied = json.loads(QGuiApplication.clipboard().text())
        assert copied["summary"] == "GET /api/users/@me/"
        await until(lambda: drawer.page.exchange is not None)
        drawer.copy_current()
        assert json.loads(QGuiApplication.clipboard().text())["exchange"]["attempts"][0]["status"] == 200
        drawer.table.menu_wanted.emit(drawer.table.current(), drawer.mapToGlobal(drawer.rect().center()))
        menu = QApplication.activePopupWidget()
        assert menu is not None
        words = [action.text() for action in menu.actions()]
        assert words == ["Show details", "Copy line", "Copy address", "Copy as JSON", "Copy as curl", "Send again"]
        menu.close()
