"""The one bar lists every sign-in that needs the user, each once, and what happens to one is told in its own row."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible, QGuiApplication
from PySide6.QtWidgets import QApplication, QPushButton

from app.core.auth.status import CredentialState, CredentialStatus, Trouble
from app.core.errors import Offline, SignInNeeded
from app.core.hosts import EU
from app.ui.place import Place
from app.ui.shell import signin_bar
from app.ui.shell.details import SignInDetails
from app.ui.shell.signin_bar import SignInBar
from app.ui.shell.window import MainWindow
from tests.ui._screens import nameless
from tests.ui._shell_fakes import FakeBackend, FakeCredential, FakePlace, FakeServices, sign_in_of
from tests.ui.test_shell import button, opened, press, shows, until

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

WELL = CredentialStatus(CredentialState.SIGNED_IN)
ENDED = CredentialStatus(CredentialState.NEEDS_SIGN_IN, "The server no longer accepts this sign-in.")
LOCKED = CredentialStatus(CredentialState.SIGNED_IN, "Locked.", trouble=Trouble.VAULT_LOCKED, persistent=False)


@pytest.fixture(autouse=True)
def quick_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signin_bar, "BACK_SHOWN_MS", 200)


def services_with(account: CredentialStatus = WELL, **servers: CredentialStatus) -> FakeServices:
    """Services with a sign-in to PostHog EU, and to own servers of these names."""
    services = FakeServices(FakeBackend(EU, account))
    for name, status in servers.items():
        services.own_servers.add(name, status)
    return services


def session_of(services: FakeServices, title: str) -> FakeCredential:
    return services.own_servers.sessions[f"own-{title.lower()}"]


def rows(window: MainWindow) -> list[str]:
    return [row.text() for row in window.bar.rows]


async def test_an_own_server_that_ended_is_named_and_the_account_is_not_blamed() -> None:
    services = services_with(Ledger=WELL)
    async with opened(services) as window:
        session_of(services, "Ledger").become(state=CredentialState.NEEDS_SIGN_IN)
        await until(window.bar.isVisible)
        assert rows(window) == ["Sign in to Ledger again to keep going."]
        assert window.corner.word.state is not None
        assert window.corner.word.state.word == "Signed in"


async def test_several_are_listed_each_once_with_ways_of_their_own_and_the_account_first() -> None:
    services = services_with(ENDED, Ledger=ENDED, Atlas=ENDED)
    async with opened(services) as window:
        assert rows(window) == [
            "Sign in to PostHog EU again to keep going. Your drafts are kept.",
            "Sign in to Atlas again to keep going.",
            "Sign in to Ledger again to keep going.",
        ]
        assert [[each.text() for each in row.buttons()] for row in window.bar.rows] == [["Sign in", "Details"]] * 3
        bars = [bar for bar in window.findChildren(SignInBar) if bar.isVisible()]
        assert bars == [window.bar]


async def test_the_account_is_named_only_while_another_one_is_in_the_bar() -> None:
    services = services_with(ENDED, Ledger=WELL)
    async with opened(services) as window:
        assert rows(window) == ["Sign in again to keep going. Your drafts are kept."]
        session_of(services, "Ledger").become(state=CredentialState.NEEDS_SIGN_IN)
        await until(lambda: len(rows(window)) == 2)
        assert rows(window)[0] == "Sign in to PostHog EU again to keep going. Your drafts are kept."
        session_of(services, "Ledger").become(state=CredentialState.SIGNED_IN)
        await until(lambda: rows(window) == ["Sign in again to keep going. Your drafts are kept."])


async def test_the_browser_of_one_is_waited_for_in_its_row_and_the_others_stay() -> None:
    services = services_with(ENDED, Ledger=ENDED)
    async with opened(services) as window:
        account, ledger = window.bar.rows
        button(ledger, "Sign in").click()
        await until(lambda: ledger.text() == "Waiting for your browser to sign in to Ledger…")
        attempt = session_of(services, "Ledger").sign_in
        assert attempt is not None
        assert services.backend is not None
        assert services.backend.credential.sign_in is None
        assert button(account, "Sign in").isEnabled()
        button(ledger, "Open again").click()
        button(ledger, "Copy link").click()
        assert attempt.opened == 1
        assert QGuiApplication.clipboard().text() == attempt.url
        await until(lambda: shows(ledger, "Cancel"))
        button(ledger, "Cancel").click()
        await until(lambda: ledger.text() == "Sign in to Ledger again to keep going.")
        assert "failed" not in window.bar.text()


async def test_two_browsers_can_be_waited_for_at_once() -> None:
    services = services_with(ENDED, Ledger=ENDED)
    async with opened(services) as window:
        for row in window.bar.rows:
            button(row, "Sign in").click()
        await until(
            lambda: (
                rows(window)
                == [
                    "Waiting for your browser to sign in to PostHog EU…",
                    "Waiting for your browser to sign in to Ledger…",
                ]
            )
        )


async def test_a_failure_is_told_in_the_row_whose_sign_in_it_is() -> None:
    services = services_with(ENDED, Ledger=ENDED)
    async with opened(services) as window:
        account, ledger = window.bar.rows
        before = account.text()
        button(ledger, "Sign in").click()
        await until(lambda: "browser" in ledger.text())
        attempt = session_of(services, "Ledger").sign_in
        assert attempt is not None
        attempt.end(SignInNeeded("Access was denied in the browser."))
        await until(lambda: ledger.text() == "Sign-in to Ledger failed. Access was denied in the browser.")
        assert account.text() == before


async def test_a_server_that_cannot_be_reached_says_so_although_the_browser_never_opened() -> None:
    services = services_with(Ledger=ENDED)
    services.own_servers.fail = Offline("ledger.example cannot be reached.")
    async with opened(services) as window:
        button(window.bar, "Sign in").click()
        await until(lambda: "ledger.example cannot be reached." in window.bar.text())


async def test_signed_in_again_one_says_so_with_what_was_repeated_and_the_others_stay() -> None:
    services = services_with(ENDED, Ledger=ENDED)
    async with opened(services) as window:
        ledger = session_of(services, "Ledger")
        window.bar.set_waiting_work(ledger.key.text, 0, 1)
        assert rows(window)[1] == "Sign in to Ledger again to keep going. 1 waiting call is kept."
        ledger.become(state=CredentialState.SIGNED_IN)
        await until(lambda: rows(window)[1] == "Signed in to Ledger.")
        place = window.place("tasks")
        assert place is not None
        place.call_resumed.emit()
        place.waiting_sent.emit()
        assert rows(window)[1] == "Signed in to Ledger. Repeated 1 call."
        assert rows(window)[0].startswith("Sign in to PostHog EU again")
        await until(lambda: rows(window) == ["Sign in again to keep going. Your drafts are kept."])


async def test_of_two_that_are_back_the_call_is_counted_for_the_one_whose_calls_waited() -> None:
    services = services_with(ENDED, Ledger=ENDED)
    async with opened(services) as window:
        assert services.backend is not None
        ledger = session_of(services, "Ledger")
        window.bar.set_waiting_work(services.backend.credential.key.text, 2, 0)
        window.bar.set_waiting_work(ledger.key.text, 0, 1)
        ledger.become(state=CredentialState.SIGNED_IN)
        services.backend.credential.become(state=CredentialState.SIGNED_IN)
        await until(lambda: rows(window) == ["Signed in to PostHog EU.", "Signed in to Ledger."])
        window.bar.add_sent()
        window.bar.add_repeated()
        assert rows(window) == [
            "Signed in to PostHog EU. Sent 1 message.",
            "Signed in to Ledger. Repeated 1 call.",
        ]
        await until(lambda: not window.bar.isVisible())


class PlaceWithCalls(FakePlace):
    """A place whose calls wait for several sign-ins."""

    calls: dict[str, int] = {}  # noqa: RUF012 - set by the test

    def waiting_for(self, key: str) -> int:
        return self.calls.get(key, 0)


async def test_waiting_calls_are_counted_for_the_sign_in_that_they_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    services = services_with(ENDED, Atlas=ENDED, Ledger=ENDED)
    monkeypatch.setattr("tests.ui.test_shell.FakePlace", PlaceWithCalls)
    atlas, ledger = session_of(services, "Atlas"), session_of(services, "Ledger")
    monkeypatch.setattr(PlaceWithCalls, "calls", {atlas.key.text: 1})
    async with opened(services) as window:
        assert rows(window)[1:] == [
            "Sign in to Atlas again to keep going. 1 waiting call is kept.",
            "Sign in to Ledger again to keep going.",
        ]
        monkeypatch.setattr(PlaceWithCalls, "calls", {atlas.key.text: 1, ledger.key.text: 2})
        place = window.place("tasks")
        assert place is not None
        place.waiting_changed.emit()
        assert rows(window)[2] == "Sign in to Ledger again to keep going. 2 waiting calls are kept."


def test_a_place_that_counts_for_no_sign_in_counts_for_the_accounts(qapp: QApplication) -> None:
    class Counting(Place):
        waiting = 2

    backend = FakeBackend(EU)
    place = Counting(cast(Any, None))
    assert place.waiting_for(backend.credential.key.text) == 0
    place.set_backend(cast(Any, backend))
    assert place.waiting_for(backend.credential.key.text) == 2
    assert place.waiting_for("https://ledger.example") == 0


async def test_the_store_of_one_is_chosen_in_its_row_and_for_it_alone() -> None:
    services = services_with(LOCKED, Ledger=LOCKED)
    async with opened(services) as window:
        assert [text.partition(":")[0] for text in rows(window)] == ["PostHog EU", "Ledger"]
        button(window.bar.rows[1], "Keep in a private file").click()
        await until(lambda: len(rows(window)) == 1)
        assert services.backend is not None
        assert session_of(services, "Ledger").stores == ["file"]
        assert services.backend.credential.stores == []
        assert rows(window)[0].startswith("Signed in, but the keyring is locked")


async def test_an_own_server_whose_store_fails_is_named_even_alone() -> None:
    async with opened(services_with(Ledger=LOCKED)) as window:
        assert rows(window)[0].startswith("Ledger: Signed in, but the keyring is locked")


async def test_those_that_end_together_are_announced_together_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, bool]] = []
    services = services_with(WELL, Ledger=WELL)
    async with opened(services) as window:
        monkeypatch.setattr(window, "announce", lambda text, *, assertive=False: said.append((text, assertive)))
        assert services.backend is not None
        services.backend.credential.become(state=CredentialState.NEEDS_SIGN_IN)
        session_of(services, "Ledger").become(state=CredentialState.NEEDS_SIGN_IN)
        await until(lambda: said)
        session_of(services, "Ledger").become(reason="Another reason.")
        await asyncio.sleep(2 * signin_bar.SAY_AFTER_MS / 1000)
        words = (
            "Sign in to PostHog EU again to keep going. Your drafts are kept. Sign in to Ledger again to keep going."
        )
        assert said == [(words, True)]


async def test_a_server_that_is_removed_leaves_the_bar() -> None:
    services = services_with(Atlas=ENDED, Ledger=ENDED)
    async with opened(services) as window:
        button(window.bar.rows[1], "Sign in").click()
        await until(lambda: "browser" in window.bar.text())
        services.own_servers.remove("Ledger")
        await until(lambda: rows(window) == ["Sign in to Atlas again to keep going."])
        attempt = session_of(services, "Ledger").sign_in
        assert attempt is not None
        attempt.end(SignInNeeded("The server is gone."))
        await asyncio.sleep(0.02)
        assert rows(window) == ["Sign in to Atlas again to keep going."]


async def test_another_account_takes_the_former_ones_row_away_and_leaves_the_servers() -> None:
    services = services_with(ENDED, Ledger=ENDED)
    async with opened(services) as window:
        assert services.backend is not None
        former = services.backend.credential
        button(window.bar.rows[0], "Sign in").click()
        await until(lambda: "browser" in window.bar.text())
        services.switch(FakeBackend(EU, slot="2"))
        await until(lambda: rows(window) == ["Sign in to Ledger again to keep going."])
        assert former.sign_in is not None
        former.sign_in.end(SignInNeeded("Too late."))
        await asyncio.sleep(0.02)
        assert rows(window) == ["Sign in to Ledger again to keep going."]


async def test_the_browser_of_an_account_that_was_left_says_nothing_about_the_one_opened_since() -> None:
    services = services_with(ENDED)
    async with opened(services) as window:
        assert services.backend is not None
        former = services.backend.credential
        button(window.bar, "Sign in").click()
        await until(lambda: "browser" in window.bar.text())
        services.switch(FakeBackend(EU, ENDED))
        await until(lambda: shows(window.bar, "Sign in"))
        assert former.sign_in is not None
        former.sign_in.end(SignInNeeded("Too late."))
        await asyncio.sleep(0.02)
        assert rows(window) == ["Sign in again to keep going. Your drafts are kept."]


async def test_a_row_leads_to_the_details_of_its_own_sign_in() -> None:
    services = services_with(ENDED, Ledger=ENDED)
    async with opened(services) as window:
        for row, title in zip(window.bar.rows, ("PostHog EU", "Ledger"), strict=True):
            button(row, "Details").click()
            (dialog,) = window.findChildren(SignInDetails)
            assert dialog.choice.currentText() == title
        dialog.reject()


async def test_each_button_is_read_with_what_it_is_for_and_tab_goes_from_row_to_row() -> None:
    services = services_with(ENDED, Ledger=ENDED)
    async with opened(services) as window:
        assert nameless(window) == []
        names = [accessible_name(each) for row in window.bar.rows for each in row.buttons()]
        assert names == ["PostHog EU: Sign in", "PostHog EU: Details", "Ledger: Sign in", "Ledger: Details"]
        # A button that is made anew comes last in the window, unless it is put in its place.
        assert services.backend is not None
        window.bar.set_waiting_work(services.backend.credential.key.text, 2)
        wanted = [each for row in window.bar.rows for each in row.buttons()]
        await until(lambda: all(each.isVisible() for each in wanted))
        wanted[0].setFocus()
        reached = []
        for _ in wanted:
            focused = QApplication.focusWidget()
            assert focused is not None
            reached.append(focused)
            press(focused, Qt.Key.Key_Tab)
        assert reached == wanted


async def test_f6_reaches_the_bar() -> None:
    async with opened(services_with(Ledger=ENDED)) as window:
        window.rail.list.setFocus()
        press(window, Qt.Key.Key_F6)
        assert window.bar.isAncestorOf(cast(QPushButton, QApplication.focusWidget()))


async def test_many_rows_scroll_and_leave_room_for_the_place() -> None:
    names = ("Atlas", "Beacon", "Comet", "Drift", "Ember", "Fjord", "Grove", "Harbor", "Iris")
    services = services_with(ENDED, **dict.fromkeys(names, ENDED))
    async with opened(services) as window:
        window.resize(1100, 720)
        await until(lambda: 0 < window.bar.height() < window.height() / 2)
        assert len(rows(window)) == 10
        before, last = window.bar.rows[-2].buttons()[-1], window.bar.rows[-1].buttons()[0]
        assert last.visibleRegion().isEmpty()
        before.setFocus()
        press(before, Qt.Key.Key_Tab)
        assert last.hasFocus()
        assert not last.visibleRegion().isEmpty()


def test_a_sign_in_that_succeeds_after_a_failure_leaves_nothing_of_it(qapp: QApplication) -> None:
    bar, sign_in = SignInBar(), sign_in_of(ENDED, title="Ledger", server_id="own-1")
    session = cast(FakeCredential, sign_in.credential)
    bar.show_sign_ins([sign_in])
    bar.sign_in_ended(sign_in, SignInNeeded("Access was denied in the browser."))
    assert "denied" in bar.text()
    session.status = WELL
    bar.show_sign_ins([sign_in])
    assert bar.text() == "Signed in to Ledger."
    session.status = ENDED
    bar.show_sign_ins([sign_in])
    assert bar.text() == "Sign in to Ledger again to keep going."


def test_a_server_keeps_its_row_when_its_new_sign_in_has_another_key(qapp: QApplication) -> None:
    bar, former = SignInBar(), sign_in_of(ENDED, title="Ledger", server_id="own-1")
    bar.show_sign_ins([former])
    (row,) = bar.rows
    renewed = sign_in_of(WELL, title="Ledger at another issuer", server_id="own-1")._replace(title="Ledger")
    bar.show_sign_ins([renewed])
    bar.sign_in_ended(former)
    assert bar.rows == [row]
    assert bar.text() == "Signed in to Ledger."


def accessible_name(widget: QPushButton) -> str:
    return QAccessible.queryAccessibleInterface(widget).text(QAccessible.Text.Name)


def test_a_server_that_a_client_met_without_a_sign_in_is_told_until_somebody_signs_in(qapp: QApplication) -> None:
    bar, signed_out = SignInBar(), CredentialStatus(CredentialState.SIGNED_OUT)
    met = sign_in_of(signed_out, title="Ledger", server_id="own-1")
    bar.show_sign_ins([met])
    assert bar.text() == ""
    # It was signed in to before, and never: the latter has nothing to show the details of.
    for sign_in, buttons in ((met, ["Sign in", "Details"]), (met._replace(credential=None), ["Sign in"])):
        wanted: list[str] = []
        bar.show_sign_ins([sign_in._replace(asked=True)])
        assert bar.text() == "A program on this computer uses Ledger. Sign in to let it go on."
        (row,) = bar.rows
        assert [each.text() for each in row.buttons()] == buttons
        connection = bar.sign_in_wanted.connect(wanted.append)
        row.buttons()[0].click()
        bar.sign_in_wanted.disconnect(connection)
        assert wanted == [sign_in.key]
    bar.show_sign_ins([sign_in_of(WELL, title="Ledger", server_id="own-1")])
    assert bar.text() == "Signed in to Ledger."


async def test_a_need_that_a_client_met_is_shown_while_there_is_no_account() -> None:
    services = FakeServices(None)
    await services.storage.settings.set("host", "")
    services.own_servers.add("Ledger", WELL)
    async with opened(services) as window:
        session_of(services, "Ledger").become(state=CredentialState.NEEDS_SIGN_IN)
        await until(window.bar.isVisible)
        assert rows(window) == ["Sign in to Ledger again to keep going."]
