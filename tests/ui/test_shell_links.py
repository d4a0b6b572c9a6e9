"""`burrow://` links and further starts in the window: they show what they name, and ask before anything else."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import pytest
from PySide6.QtCore import QEvent, Qt, QUrl
from PySide6.QtGui import QFileOpenEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.core.auth.status import CredentialState, CredentialStatus
from app.core.hosts import EU
from app.core.instance.request import StartRequest
from app.ui.shell import link_dialog
from app.ui.shell.link_dialog import LinkDialog
from app.ui.shell.opened_urls import OpenedUrls
from app.ui.shell.window import MainWindow
from tests.ui._screens import nameless
from tests.ui._shell_fakes import FakeBackend, FakeServices
from tests.ui._tasks_fakes import settle
from tests.ui._window import living
from tests.ui.test_shell import button, opened, place, press, until
from tests.ui.test_shell_accounts import alone, four, where

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

NEW = "burrow://new?text=Fix+the+build%0Anow&repository=acme/web"
NOTE = "Text from a link. Read it before you send it."


@pytest.fixture(autouse=True)
def _seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_dialog, "UNSEEN_MS", 0)


async def agree(dialog: LinkDialog) -> None:
    """Press Yes, as soon as that is possible."""
    await until(dialog.yes_button.isEnabled)
    dialog.yes_button.click()


def in_the_bar(window: MainWindow) -> str:
    bar = window.links.bar
    return bar._text.text() if bar is not None and bar.isVisible() else ""


def dialog_of(window: MainWindow) -> LinkDialog:
    dialog = window.links.dialog
    assert dialog is not None
    assert dialog.isVisible()
    return dialog


def asked_by(window: MainWindow) -> LinkDialog:
    dialog = window.further_starts.dialog
    assert dialog is not None
    return dialog


async def test_a_task_and_a_server_are_shown_and_said_to_come_from_a_link() -> None:
    async with opened(FakeServices(FakeBackend(EU))) as window:
        window.links.open("burrow://task/7/run/8?host=eu")
        assert window.current == "tasks"
        assert place(window).asked[-1] == "open 7"
        assert window.corner._message == "Opened by a link"
        window.links.open("burrow://server/Linear")
        assert dialog_of(window).windowTitle() == "Show the server Linear?"
        # Its program would be started.
        assert window.current == "tasks"
        dialog_of(window).no_button.click()
        assert window.current == "tasks"
        window.links.open("burrow://server/Linear")
        await agree(dialog_of(window))
        assert place(window, "servers").asked[-1] == "open Linear"
        assert window.links.dialog is None


async def test_nobody_agrees_to_a_link_before_they_have_seen_what_it_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_dialog, "UNSEEN_MS", 300)
    async with opened(FakeServices(FakeBackend())) as window:
        for _ in range(3):
            # Each of a flood of links is unseen again.
            window.links.open(NEW)
            dialog = dialog_of(window)
            QTest.mouseClick(dialog.yes_button, Qt.MouseButton.LeftButton)
            press(dialog, Qt.Key.Key_Tab)
            QTest.keyClick(dialog.yes_button, Qt.Key.Key_Space)
            assert window.links.dialog is dialog
        assert not [each for each in place(window).asked if each.startswith("draft")]
        began = monotonic()
        await agree(dialog)
        assert monotonic() - began > 0.2
        assert place(window).asked[-1].startswith("draft")


async def test_a_draft_is_begun_only_after_the_user_has_read_its_text() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        window.links.open(NEW)
        dialog = dialog_of(window)
        assert dialog.preview.toPlainText() == "Fix the build\nnow"
        assert "acme/web" in dialog.words.text()
        assert nameless(dialog) == []
        # What is being typed when it appears answers nothing but Cancel.
        await until(dialog.no_button.hasFocus)
        press(dialog.no_button, Qt.Key.Key_Return)
        await settle()
        assert window.links.dialog is None
        assert not [each for each in place(window).asked if each.startswith("draft")]
        window.links.open(NEW)
        await agree(dialog_of(window))
        assert place(window).asked[-1] == f"draft Fix the build\nnow in acme/web: {NOTE}"


async def test_a_later_link_takes_the_place_of_one_that_is_asked_about() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        window.links.open(NEW)
        window.links.open("burrow://new?text=Another")
        await settle()
        dialogs = [each for each in window.findChildren(LinkDialog) if each.isVisible()]
        assert [each.preview.toPlainText() for each in dialogs] == ["Another"]
        window.links.open("burrow://task/7")
        assert window.links.dialog is None
        assert place(window).asked[-1] == "open 7"


async def test_what_is_no_link_is_said_with_the_reason() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        window.links.open("burrow://task/7?run=now")
        assert in_the_bar(window) == "A link cannot be opened. “run” is not known here."
        button(window, "Close").click()
        assert in_the_bar(window) == ""
        window.links.open("burrow://‮task")
        assert "\u202e" not in in_the_bar(window)


async def test_a_link_waits_for_the_sign_in_and_is_opened_then_once() -> None:
    backend = FakeBackend(status=CredentialStatus(CredentialState.SIGNED_OUT))
    async with opened(FakeServices(backend)) as window:
        window.links.open("burrow://task/6")
        window.links.open("burrow://task/7")
        assert in_the_bar(window) == "A link waits until you are signed in: task 7."
        backend.credential.become(state=CredentialState.SIGNED_IN)
        await until(lambda: window.links.waiting is None)
        assert in_the_bar(window) == ""
        assert [each for each in place(window).asked if each.startswith("open")] == ["open 7"]


async def test_a_link_that_waits_can_be_forgotten() -> None:
    backend = FakeBackend(status=CredentialStatus(CredentialState.SIGNED_OUT))
    async with opened(FakeServices(backend)) as window:
        window.links.open(NEW)
        button(window, "Forget it").click()
        backend.credential.become(state=CredentialState.SIGNED_IN)
        await until(lambda: window.pages.shows_places)
        await settle()
        assert window.links.dialog is None


async def test_a_link_of_another_host_leaves_this_one_only_if_the_user_says_so() -> None:
    services = four()
    async with opened(services) as window:
        window.links.open("burrow://task/7?host=us")
        dialog = dialog_of(window)
        assert dialog.windowTitle() == "Go to PostHog US?"
        assert "You are ana@example.org there." in dialog.words.text()
        dialog.no_button.click()
        await settle()
        assert where(services)[0] == "eu"
        window.links.open("burrow://task/7?host=us")
        await agree(dialog_of(window))
        await until(lambda: where(services)[0] == "us")
        await until(lambda: place(window).asked[-1] == "open 7")
        assert window.links.dialog is None


async def test_a_link_of_a_host_without_an_account_is_refused() -> None:
    services = alone()
    async with opened(services) as window:
        for host, name in (("us", "PostHog US"), ("https%3A%2F%2Fevil.example", "evil.example")):
            window.links.open(f"burrow://task/7?host={host}")
            assert in_the_bar(window) == (
                f"A link cannot be opened. It belongs to {name}, where you are not signed in."
            )
            assert window.links.waiting is None
        assert where(services)[0] == "eu"


async def test_a_further_start_brings_the_window_forward_with_what_it_named() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        window.showMinimized()
        window.further_starts.take(StartRequest(hidden=True))
        assert window.windowState() & Qt.WindowState.WindowMinimized
        window.further_starts.take(StartRequest(place="servers", link="burrow://server/Linear"))
        assert not window.windowState() & Qt.WindowState.WindowMinimized
        assert window.current == "servers"
        await agree(dialog_of(window))
        assert place(window, "servers").asked[-1] == "open Linear"


async def test_a_further_start_for_another_host_asks_before_it_leaves_this_one() -> None:
    services = four()
    async with opened(services) as window:
        window.further_starts.take(StartRequest(host="eu"))
        assert window.further_starts.dialog is None
        window.further_starts.take(StartRequest(host="not a host"))
        assert window.further_starts.dialog is None
        window.further_starts.take(StartRequest(host="us"))
        asked_by(window).no_button.click()
        await settle()
        assert where(services)[0] == "eu"
        window.further_starts.take(StartRequest(host="https://us.posthog.com"))
        await agree(asked_by(window))
        await until(lambda: where(services)[0] == "us")


async def test_what_macos_gives_to_the_running_application_is_opened_as_it_was_written(qapp: QApplication) -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        window.showMinimized()
        urls = OpenedUrls(window.further_starts.take_link, window)
        qapp.installEventFilter(urls)
        try:
            QApplication.sendEvent(qapp, QFileOpenEvent(QUrl("burrow://new?text=100%2525%20%26%23x")))
            QApplication.sendEvent(qapp, QEvent(QEvent.Type.User))
        finally:
            qapp.removeEventFilter(urls)
        assert dialog_of(window).preview.toPlainText() == "100%25 &#x"
        assert not window.windowState() & Qt.WindowState.WindowMinimized


async def test_in_the_real_window_the_draft_is_new_and_what_was_typed_is_kept(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path, opens=("LinkDialog",)) as alive:
        composer = alive.tasks.pages.composer
        alive.tasks.selection.new_task()
        composer.description.setPlainText("My own words")
        alive.window.links.open(NEW)
        dialog = alive.window.links.dialog
        assert dialog is not None
        assert composer.description.toPlainText() == "My own words"
        await agree(dialog)
        await settle()
        assert composer.description.toPlainText() == "Fix the build\nnow"
        assert composer.repository.text() == "acme/web"
        assert composer.card.isVisible()
        assert NOTE in composer.card._title.text()
        await until(lambda: any("My own words" in title for title in alive.titles()))
        # A server by its title, as another person's link names it.
        alive.window.links.open("burrow://server/Postbox?host=workspace")
        await agree(dialog_of(alive.window))

        def shown() -> str:
            server = alive.servers.page.server
            return "" if server is None else alive.servers.controller.link_to(server)

        await until(lambda: shown() == "burrow://server/Postbox?host=workspace")


async def test_a_browser_that_comes_back_from_github_is_heard_once_and_asks_nothing(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path) as alive:
        window, backend = alive.window, alive.backend
        assert backend.project is not None
        back = f"burrow://integration?provider=github&project_id={backend.project.id}&host=workspace"
        told: list[None] = []
        backend.github.came_back.subscribe(told.append)
        refusals = (
            (back, "Nobody has begun to connect GitHub here within the last five minutes."),
            (back.replace("workspace", "us"), "It is about GitHub on another server than the one in view."),
            (
                back.replace("project_id=", "project_id=9"),
                "It is about GitHub for another project than the one in view.",
            ),
        )
        for link, why in refusals:
            window.links.open(link)
            assert in_the_bar(window) == f"A link cannot be opened. {why}"
        await backend.github.address_to_connect()
        for link, why in refusals[1:]:
            window.links.open(link)
            assert in_the_bar(window).endswith(why)
        assert told == []
        window.links.open(back)
        assert told == [None]
        assert in_the_bar(window) == ""
        assert window.links.dialog is None
        assert window.corner._message == "Back from GitHub"
        window.links.open(back)
        assert told == [None]
        await backend.github.address_to_connect()
        window.links.open(f"{back}&status=error&error_code=access_denied&error_message=Call+0800")
        assert in_the_bar(window) == "GitHub was not connected (access_denied)."
        assert told == [None]
