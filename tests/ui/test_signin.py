"""The first page: one click to try, one field to get wrong, a browser that can be waited for and left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QWidget

from app.core.errors import Facts, Offline, Rejected, SignInNeeded
from app.ui.signin.first_run import FirstRun
from app.ui.theme import apply_theme
from app.ui.widgets.focus import show_focus_ring
from tests.ui._screens import nameless, render

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


class Attempt:
    """The shape of a sign-in that waits for the browser."""

    url = "https://us.posthog.com/oauth/authorize?x=1"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def open_again(self) -> None:
        self.asked.append("open")

    def cancel(self) -> None:
        self.asked.append("cancel")


class Asked:
    """What the page asked of the composition root."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []

    def page(self) -> FirstRun:
        return FirstRun(
            lambda: self.calls.append(("workspace",)),
            lambda host: self.calls.append(("host", host)),
            lambda host, key: self.calls.append(("key", host, key)),
            lambda: self.calls.append(("leave",)),
        )


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def page(qtbot: Any, asked: Asked, qapp: QApplication) -> Iterator[FirstRun]:
    apply_theme(qapp, "light")
    made = asked.page()
    qtbot.addWidget(made)
    made.resize(900, 700)
    made.show()
    made.activateWindow()
    qtbot.waitUntil(made.isActiveWindow)
    yield made
    apply_theme(qapp, "light")


def named(page: QWidget, kind: type[Any], words: str) -> Any:
    for each in page.findChildren(kind):
        if each.isVisibleTo(page) and words in (each.accessibleName(), getattr(each, "text", str)()):
            return each
    raise AssertionError(f"nothing is called {words}")


def test_trying_it_is_one_key(page: FirstRun, asked: Asked) -> None:
    assert page.try_button.hasFocus()
    QTest.keyClick(page.try_button, Qt.Key.Key_Space)
    assert asked.calls == [("workspace",)]


def test_the_us_cloud_is_one_click_and_the_eu_cloud_two(page: FirstRun, asked: Asked) -> None:
    page.sign_in_button.click()
    named(page, QWidget, "Server: EU cloud").click()
    page.sign_in_button.click()
    assert asked.calls == [("host", "us"), ("host", "eu")]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "Type the server's address"),
        ("http://posthog.example.com", "Plain http"),
        ("https://me:secret@example.com", "user name or password"),
        ("https://example.com/path", "without a path"),
        ("ftp://example.com", "not a web address"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused_at_its_field(
    page: FirstRun, asked: Asked, typed: str, words: str
) -> None:
    named(page, QWidget, "Server: Your server").click()
    field = named(page, QLineEdit, "Address of your server")
    assert field.hasFocus()
    QTest.keyClicks(field, typed)
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert asked.calls == []
    assert words in page.shown_error()
    assert words in field.accessibleDescription()
    assert field.text() == typed
    QTest.keyClicks(field, "x")
    assert page.shown_error() == ""


def test_an_own_server_is_asked_by_its_origin(page: FirstRun, asked: Asked) -> None:
    named(page, QWidget, "Server: Your server").click()
    QTest.keyClicks(named(page, QLineEdit, "Address of your server"), "PostHog.Example.com")
    page.sign_in_button.click()
    assert asked.calls == [("host", "https://posthog.example.com")]


def test_a_key_is_a_second_way_in_and_does_not_stay_in_its_field(page: FirstRun, asked: Asked) -> None:
    page.key_toggle.click()
    field = named(page, QLineEdit, "Personal API key")
    assert field.echoMode() == QLineEdit.EchoMode.Password
    page.key_button.click()
    assert page.shown_error() == "Paste the key first."
    QTest.keyClicks(field, "phx_abc")
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert asked.calls == [("key", "us", "phx_abc")]
    assert field.text() == ""


def test_while_the_browser_is_open_it_can_be_opened_again_copied_or_cancelled(page: FirstRun) -> None:
    attempt = Attempt()
    page.waiting(attempt)  # type: ignore[arg-type]
    assert not page.try_button.isVisible()
    page.again_button.click()
    page.link_button.click()
    assert QGuiApplication.clipboard().text() == attempt.url
    page.cancel_button.click()
    assert attempt.asked == ["open", "cancel"]
    assert page.try_button.isVisible()


def test_escape_cancels_the_browser(page: FirstRun) -> None:
    attempt = Attempt()
    page.waiting(attempt)  # type: ignore[arg-type]
    QTest.keyClick(page, Qt.Key.Key_Escape)
    assert attempt.asked == ["cancel"]


def test_a_cancelled_sign_in_is_no_error(page: FirstRun) -> None:
    page.waiting(Attempt())  # type: ignore[arg-type]
    page.failed(SignInNeeded("Signing in was cancelled.", Facts(code="cancelled")))
    assert page.shown_error() == ""
    assert page.try_button.isVisible()


def test_a_failure_is_a_card_on_the_page_and_goes_with_the_next_try(page: FirstRun) -> None:
    page.failed(Offline("us.posthog.com cannot be reached."))
    assert "cannot be reached" in page.shown_error()
    page.busy("Contacting the server…")
    assert page.shown_error() == ""
    page.idle()
    assert page.shown_error() == ""


def test_a_refused_host_or_key_is_said_at_its_field(page: FirstRun) -> None:
    named(page, QWidget, "Server: Your server").click()
    page.failed(Rejected("That is not a PostHog server.", Facts(attr="host")))
    assert named(page, QLineEdit, "Address of your server").accessibleDescription() == "That is not a PostHog server."
    page.idle()
    page.failed(Rejected("A personal API key starts with phx_.", Facts(attr="key")))
    assert named(page, QLineEdit, "Personal API key").accessibleDescription().endswith("phx_.")


def test_back_is_offered_only_where_there_is_somewhere_to_go(page: FirstRun, asked: Asked) -> None:
    assert not page.back_button.isVisible()
    page.set_can_leave(True)
    page.back_button.click()
    assert asked.calls == [("leave",)]


def test_the_whole_page_works_by_keyboard_and_every_control_has_a_name(page: FirstRun) -> None:
    named(page, QWidget, "Server: Your server").click()
    page.key_toggle.click()
    assert nameless(page) == []
    page.try_button.setFocus()
    seen: list[QWidget] = []
    while (focused := QApplication.focusWidget()) not in seen:
        seen.append(focused)
        QTest.keyClick(focused, Qt.Key.Key_Tab)
    wanted = {page.try_button, page.sign_in_button, page.key_toggle, page.key_button}
    assert wanted <= set(seen)
    assert seen[0] is QApplication.focusWidget()


@pytest.mark.parametrize("state", ["choices", "wrong", "waiting", "failed"])
def test_pictures_of_the_page_in_every_look(qapp: QApplication, asked: Asked, tmp_path: Path, state: str) -> None:
    def build() -> FirstRun:
        page = asked.page()
        show_focus_ring(page)
        return page

    def prepare(widget: QWidget) -> None:
        assert isinstance(widget, FirstRun)
        if state == "wrong":
            named(widget, QWidget, "Server: Your server").click()
            widget.sign_in_button.click()
            widget.key_toggle.click()
        elif state == "waiting":
            widget.waiting(Attempt())  # type: ignore[arg-type]
        elif state == "failed":
            widget.failed(Offline("us.posthog.com cannot be reached."))

    assert len(render(build, f"signin-{state}", tmp_path, prepare=prepare)) == 4
