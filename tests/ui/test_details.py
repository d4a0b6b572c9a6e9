"""The sign-in details: what happened in plain words, live, by keyboard alone, and never a secret."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QWidget

from app.core.auth.grant.grant import Grant
from app.core.auth.grant.journal import ENDED, REFRESH, SIGNED_IN
from app.core.auth.status import AuthEvent, CredentialState, CredentialStatus, Trouble
from app.core.auth.tokens import TokenSet
from app.core.diagnostics.timeline import StepKind, TimelineStep
from app.core.storage.values import GrantEvent
from app.ui.bridge import Bridge
from app.ui.shell import details, timeline_words
from app.ui.shell.details import SignInDetails
from app.ui.shell.timeline_words import STEP_STATES
from app.ui.shell.window import MainWindow
from tests.ui._screens import look, nameless, render
from tests.ui._shell_fakes import FakeBackend, FakeCredential, FakeServices
from tests.ui._tasks_fakes import settle, until
from tests.ui.test_shell import button, opened, press

pytestmark = [
    pytest.mark.qt_log_ignore("This plugin does not support", extend=True),
]

SECRETS = ("pha_an-access-token-of-ana", "phr_a-refresh-token-of-ana")
HOSTILE = "x\x1b[31m\r\n\u202e" + "y" * 400

OVER = CredentialStatus(CredentialState.NEEDS_SIGN_IN, "The server no longer accepts this sign-in.")


def step(number: int, kind: StepKind = StepKind.RENEWED, ago: float = 60.0, **fields: Any) -> TimelineStep:
    made = TimelineStep(
        f"k{number}",
        time.time() - ago,
        kind,
        kind.value,
        "refused",
        "Notion",
        "mcp-challenge",
        "window 4242",
        True,
        4,
        5 if kind is StepKind.RENEWED else None,
        "11112222",
        "33334444" if kind is StepKind.RENEWED else "",
        41.0,
        time.time() + 1900 if kind is StepKind.RENEWED else None,
    )
    return made._replace(**fields)


EVERY_KIND = tuple(step(number, kind, 60.0 * number) for number, kind in enumerate(StepKind, 1))


def signed_in(*steps: TimelineStep, scope: str = "task:read task:write user:read") -> FakeBackend:
    backend = FakeBackend()
    backend.timeline.steps = steps
    now = time.time()
    backend.credential.grant = Grant(TokenSet(*SECRETS, now - 190, now + 2000, scope, 5), "client", "issuer", "sign-in")
    backend.credential.renews_at = now + 1900
    return backend


@dataclass
class Page:
    """An open page and what stands behind it."""

    dialog: SignInDetails
    backend: FakeBackend
    asked: list[str]

    @property
    def words(self) -> str:
        shown = [label.text() for label in self.dialog.findChildren(QLabel) if label.isVisibleTo(self.dialog)]
        return "\n".join(shown)

    def cell(self, row: int, column: str) -> str:
        model = self.dialog.table.values
        titles = [model.headerData(n, Qt.Orientation.Horizontal) for n in range(model.columnCount())]
        return str(model.data(model.index(row, titles.index(column))))

    @property
    def rows(self) -> int:
        return self.dialog.table.values.rowCount()


@asynccontextmanager
async def page(backend: FakeBackend) -> AsyncIterator[Page]:
    bridge, parent = Bridge(), QWidget()
    parent.show()
    dialog = SignInDetails(FakeServices(backend), backend.credential.key.text, bridge, parent)  # type: ignore[arg-type]
    asked: list[str] = []
    dialog.sign_in_wanted.connect(lambda: asked.append("sign in"))
    dialog.sign_out_wanted.connect(lambda: asked.append("sign out"))
    dialog.show()
    dialog.activateWindow()
    await until(dialog.isActiveWindow)
    try:
        yield Page(dialog, backend, asked)
    finally:
        await bridge.close()
        parent.close()
        parent.deleteLater()


def test_every_kind_of_step_has_its_words_glyph_and_tone(qapp: QApplication) -> None:
    assert set(StepKind) - {StepKind.OTHER} == set(STEP_STATES)
    assert timeline_words.what(step(1, StepKind.OTHER, outcome="FutureTrouble")).word == "FutureTrouble"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Notion refused the old token"),
        ({"target": ""}, "The server refused the old token"),
        ({"cause": "expired", "target": ""}, "The old token had expired"),
        ({"cause": "ahead of expiry", "target": ""}, "Before the old token expired"),
        ({"cause": "unfinished renewal", "target": ""}, "Left unfinished earlier"),
        ({"cause": "browser", "target": ""}, "In the browser"),
        ({"cause": "ticket", "target": ""}, "By the workspace"),
        ({"cause": "personal API key", "target": ""}, "With an API key"),
        ({"cause": "another window", "target": ""}, "In another process"),
        ({"cause": "refused by Notion: rule", "target": ""}, "Refused by Notion: rule"),
    ],
)
def test_why_it_happened_is_said_in_plain_words(qapp: QApplication, fields: dict[str, Any], words: str) -> None:
    assert timeline_words.why(step(1, **fields)) == words


@pytest.mark.parametrize(
    ("process", "here", "words"),
    [
        ("window 4242", True, "This window"),
        ("window 17", False, "Window 17"),
        ("command line 18", False, "Command line 18"),
        ("proxy 19", False, "Proxy 19"),
        ("something else", False, "something else"),
    ],
)
def test_a_process_is_called_by_what_it_is(qapp: QApplication, process: str, here: bool, words: str) -> None:
    assert timeline_words.process(step(1, process=process, here=here)) == words


async def test_a_renewal_is_a_line_with_when_what_why_by_whom_generations_and_how_long(qapp: QApplication) -> None:
    async with page(signed_in(step(2), step(1, StepKind.OFFLINE, 3000.0))) as shown:
        await until(lambda: shown.rows == 2)
        columns = ("When", "What", "Why", "By", "Generation", "Took", "Next due")
        line = [shown.cell(0, column) for column in columns]
        assert line == [
            "1 min ago",
            "Renewed",
            "Notion refused the old token",
            "This window",
            "4 → 5",
            "41 ms",
            "in 31 min",
        ]
        assert [shown.cell(1, column) for column in ("When", "What", "Generation")] == ["50 min ago", "Offline", "4"]
        assert ", rule mcp-challenge" in shown.dialog.line.text()
        assert "33334444" in shown.dialog.line.text()
        for fact in ("ana@example.org", "PostHog US  ·  https://us.posthog.com", "Web shop (1)"):
            assert fact in shown.words
        for fact in ("the system's keyring, kept after you quit", "3 min ago", "in 31 min", "Offline, 50 min ago"):
            assert fact in shown.words
        assert "generation 5" in shown.words
        assert "task\u00a0read,\u00a0write" in shown.words
        assert "Clock" not in shown.words
        assert not nameless(shown.dialog)


async def test_no_token_is_on_the_page_or_in_what_is_copied(qapp: QApplication) -> None:
    async with page(signed_in(*EVERY_KIND)) as shown:
        await until(lambda: shown.rows == len(EVERY_KIND))
        shown.dialog.copy()
        copied = QGuiApplication.clipboard().text()
        everything = copied + shown.words + shown.dialog.line.text()
        everything += "".join(shown.cell(row, "What") + shown.cell(row, "Why") for row in range(shown.rows))
        assert [secret for secret in SECRETS if secret in everything] == []
        assert copied.startswith("Burrow ")
        assert "refused by Notion (mcp-challenge)" in copied
        assert shown.dialog.copy_button.text() == "Copied"


async def test_a_line_that_comes_while_it_is_open_is_shown_and_the_chosen_one_stays(qapp: QApplication) -> None:
    async with page(signed_in(step(2), step(1, ago=120.0))) as shown:
        await until(lambda: shown.rows == 2)
        shown.dialog.table.selectRow(1)
        shown.backend.timeline.steps = (step(3, StepKind.UNDER_WAY, 0.0), *shown.backend.timeline.steps)
        shown.backend.credential.happened.emit(object())
        await until(lambda: shown.rows == 3)
        current = shown.dialog.table.current()
        assert current is not None
        assert current.key == "k1"
        changed = shown.backend.timeline.steps[0]._replace(kind=StepKind.RENEWED)
        shown.backend.timeline.steps = (changed, *shown.backend.timeline.steps[1:])
        shown.backend.credential.become(trouble=Trouble.OFFLINE)
        await until(lambda: shown.cell(0, "What") == "Renewed")
        assert shown.dialog.state.state is not None
        assert shown.dialog.state.state.word == "Offline"


async def test_what_another_process_did_is_noticed_without_being_told(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(details, "READ_AGAIN_MS", 20)
    async with page(signed_in()) as shown:
        await until(lambda: shown.backend.timeline.read > 0)
        shown.backend.timeline.steps = (step(1, process="command line 7", here=False),)
        await until(lambda: shown.rows == 1)


async def test_while_it_is_read_a_line_runs_and_words_come_when_it_takes_long(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(details, "LOADING_WORDS_AFTER_MS", 20)
    backend = signed_in(step(1))
    backend.timeline.hold = asyncio.Event()
    async with page(backend) as shown:
        assert shown.dialog.progress.active
        await until(lambda: "Loading the timeline…" in shown.dialog.empty.accessibleName())
        backend.timeline.hold.set()
        await until(lambda: shown.rows == 1)
        assert not shown.dialog.progress.active
        assert shown.dialog.stack.currentWidget() is shown.dialog.table


async def test_where_nothing_has_happened_yet_the_page_says_what_will_be_there(qapp: QApplication) -> None:
    async with page(signed_in()) as shown:
        await until(lambda: "Nothing has happened yet" in shown.dialog.empty.accessibleName())
        assert shown.dialog.close_button.hasFocus()


async def test_a_renewal_that_failed_for_good_is_explained_with_one_way_on(qapp: QApplication) -> None:
    backend = FakeBackend(status=OVER)
    backend.timeline.steps = (step(2, StepKind.ENDED, 5.0), step(1, StepKind.REFUSED, 6.0))
    async with page(backend) as shown:
        await until(lambda: shown.rows == 2)
        assert "The server no longer accepts this sign-in." in shown.dialog.card.text()
        assert "Sign-in ended, now" in shown.words
        ways = [each.text() for each in shown.dialog.findChildren(QPushButton) if each.isVisibleTo(shown.dialog)]
        assert ways.count("Sign in") == 1
        assert "Sign in again" not in ways
        assert not button(shown.dialog, "Sign out here").isEnabled()
        button(shown.dialog, "Sign in").click()
        assert shown.asked == ["sign in"]
        assert not shown.dialog.isVisible()


@pytest.mark.parametrize(
    ("skew", "words"), [(95.0, "1 min 35 s behind the server"), (-12.0, "12 s ahead of the server")]
)
async def test_a_wrong_clock_of_this_computer_is_told(qapp: QApplication, skew: float, words: str) -> None:
    backend = signed_in()
    backend.credential.oauth.time.skew = skew
    async with page(backend) as shown:
        assert words in shown.words


async def test_an_api_key_is_said_to_be_used_as_it_is(qapp: QApplication) -> None:
    backend = signed_in()
    backend.credential.grant = Grant(TokenSet("phx_the-key-of-ana"))
    async with page(backend) as shown:
        assert "none: an API key is never renewed" in shown.words
        assert "phx_" not in shown.words + shown.dialog.text()


@pytest.mark.parametrize(
    ("until", "words"),
    [(1_800_000_000.0, "could not be renewed; works until 2027-01-15"), (inf, "works until the server refuses it")],
)
async def test_a_grant_that_cannot_be_renewed_is_told_with_the_time_until_which_it_works(
    qapp: QApplication, until: float, words: str
) -> None:
    backend = signed_in()
    backend.credential.become(works_until=until)
    async with page(backend) as shown:
        assert words in shown.words


async def test_long_scopes_and_hostile_names_stay_in_their_place(qapp: QApplication) -> None:
    hostile = step(1, process=HOSTILE, target=HOSTILE, rule=HOSTILE, cause="refused", here=False, outcome=HOSTILE)
    odd = step(2, StepKind.OTHER, cause=HOSTILE, target="", outcome=HOSTILE)
    scope = " ".join(f"subject_number_{number}:read" for number in range(200)) + " " + "z" * 5000
    async with page(signed_in(hostile, odd, scope=scope)) as shown:
        await until(lambda: shown.rows == 2)
        shown.dialog.resize(700, 520)
        everything = shown.words + shown.dialog.line.text() + "".join(shown.cell(0, each) for each in ("Why", "By"))
        assert not set(everything) & set("\x1b\r\u202e")
        assert "and\u00a0141\u00a0more" in shown.words
        assert shown.dialog.width() == 700
        assert len(shown.cell(0, "By")) <= timeline_words.LONGEST_NAME


async def test_the_page_is_used_by_keyboard_alone(qapp: QApplication) -> None:
    async with page(signed_in(step(2), step(1, StepKind.OFFLINE, 3000.0))) as shown:
        dialog = shown.dialog
        await until(dialog.table.hasFocus)
        first = dialog.line.text()
        press(dialog.table, Qt.Key.Key_Down)
        assert dialog.line.text() != first
        order = []
        for _ in range(8):
            focused = QApplication.focusWidget()
            assert focused is not None
            order.append(focused)
            press(focused, Qt.Key.Key_Tab)
        wanted = [dialog.table, dialog.sign_out_button, dialog.copy_button, dialog.close_button, dialog.again_button]
        assert order[:5] == wanted
        assert order[5:] == [dialog.range, dialog.picture, dialog.table]
        dialog.copy_button.setFocus()
        press(dialog.copy_button, Qt.Key.Key_Return)
        assert dialog.copy_button.text() == "Copied"
        assert shown.asked == []
        dialog.table.setFocus()
        press(dialog.table, Qt.Key.Key_Return)
        assert dialog.isVisible()
        press(dialog.table, Qt.Key.Key_Escape)
        assert not dialog.isVisible()
        assert shown.asked == []


async def test_asked_for_again_the_one_page_is_raised(qapp: QApplication) -> None:
    services = FakeServices(signed_in(step(1)))
    async with opened(services) as window:
        for _ in range(3):
            window.open_sign_in_details()
        (dialog,) = window.findChildren(SignInDetails)
        assert not dialog.isModal()
        dialog.reject()
        window.open_sign_in_details()
        await until(lambda: len([each for each in window.findChildren(SignInDetails) if each.isVisible()]) == 1)
        services.switch(FakeBackend())
        await until(lambda: not [each for each in window.findChildren(SignInDetails) if each.isVisible()])


async def test_the_bar_leads_to_the_page_and_the_page_to_the_browser(qapp: QApplication) -> None:
    backend = FakeBackend(status=OVER)
    async with opened(FakeServices(backend)) as window:
        button(window.bar, "Details").click()
        (dialog,) = window.findChildren(SignInDetails)
        button(dialog, "Sign in").click()
        await until(lambda: "browser" in window.bar.text())


async def test_signing_out_here_is_done_by_its_own_button_only(qapp: QApplication) -> None:
    backend = signed_in(step(1))
    async with opened(FakeServices(backend)) as window:
        window.open_sign_in_details()
        (dialog,) = window.findChildren(SignInDetails)
        said = button(dialog, "Sign out here").accessibleDescription()
        assert said == "Forgets this sign-in on this computer and ends it at the server. Drafts stay."
        button(dialog, "Sign out here").click()
        await until(lambda: backend.credential.signed_out == 1)


@dataclass
class Several:
    """The window with the page open, the account's sign-in and one to Ledger."""

    window: MainWindow
    dialog: SignInDetails
    services: FakeServices

    @property
    def ledger(self) -> FakeCredential:
        return self.services.own_servers.sessions["own-ledger"]

    @property
    def words(self) -> str:
        shown = [label.text() for label in self.dialog.findChildren(QLabel) if label.isVisibleTo(self.dialog)]
        return "\n".join(shown)


@asynccontextmanager
async def several(ledger: CredentialStatus = OVER) -> AsyncIterator[Several]:
    backend = signed_in(step(1, StepKind.OFFLINE, 3000.0))
    services = FakeServices(backend)
    session = services.own_servers.add("Ledger", ledger)
    now = time.time()
    session.grant = Grant(TokenSet(*SECRETS, now - 70, now + 3000, "invoices:read", 2), "client", "issuer", "sign-in")
    key = session.key.text
    session.journal.events = (
        GrantEvent(2, key, ENDED, "refused", "Ledger", "rule", "window 1", now - 5, 0, 2, "77778888"),
        GrantEvent(1, key, SIGNED_IN, "browser", "", "", "command line 7", now - 70, 0, 1, "55556666", outcome="ok"),
    )
    async with opened(services) as window:
        window.open_sign_in_details()
        (dialog,) = window.findChildren(SignInDetails)
        await until(lambda: dialog.table.values.rowCount() == 1)
        yield Several(window, dialog, services)
        window.dialogs.close_details()


async def test_with_one_sign_in_in_use_there_is_nothing_to_choose(qapp: QApplication) -> None:
    async with page(signed_in(step(1))) as shown:
        assert not shown.dialog.choice.isVisible()


async def test_where_several_sign_ins_are_in_use_the_page_shows_one_and_offers_the_others_at_its_top(
    qapp: QApplication,
) -> None:
    async with several() as shown:
        choice = shown.dialog.choice
        assert choice.isVisible()
        assert [choice.itemText(row) for row in range(choice.count())] == ["PostHog US", "Ledger"]
        assert choice.currentText() == "PostHog US"
        assert "ana@example.org" in shown.words
        assert not nameless(shown.dialog)


async def test_a_chosen_server_is_shown_with_its_own_state_facts_and_history_and_no_account(
    qapp: QApplication,
) -> None:
    async with several() as shown:
        choice, table = shown.dialog.choice, shown.dialog.table
        choice.setFocus()
        press(choice, Qt.Key.Key_Down)
        await until(lambda: [each.kind for each in table.values.items()] == [StepKind.ENDED, StepKind.SIGNED_IN])
        assert shown.dialog.state.state is not None
        assert shown.dialog.state.state.word == "Sign in"
        assert "The server no longer accepts this sign-in." in shown.dialog.card.text()
        for fact in ("Ledger  ·  https://us.posthog.com", "generation 2", "invoices\u00a0read"):
            assert fact in shown.words
        for missing in ("ana@example.org", "nobody", "Web shop", "Drafts stay"):
            assert missing not in shown.words
        assert "The server stays in the list." in shown.words
        assert [secret for secret in SECRETS if secret in shown.words + shown.dialog.text()] == []
        assert "invoices:read" in shown.dialog.text()
        press(choice, Qt.Key.Key_Up)
        await until(lambda: [each.kind for each in table.values.items()] == [StepKind.OFFLINE])
        assert "ana@example.org" in shown.words
        assert shown.dialog.card.isHidden()


async def test_until_the_history_of_the_chosen_one_is_read_none_is_shown(qapp: QApplication) -> None:
    async with several() as shown:
        shown.ledger.journal.hold = asyncio.Event()
        shown.dialog.choose(shown.ledger.key.text)
        await settle()
        assert shown.dialog.stack.currentWidget() is shown.dialog.empty
        assert shown.dialog.progress.active
        assert "Nothing has happened yet." in shown.dialog.text()
        assert "Offline, 50 min ago" not in shown.words
        shown.ledger.journal.hold.set()
        await until(lambda: shown.dialog.stack.currentWidget() is shown.dialog.table)
        assert not shown.dialog.progress.active


async def test_what_happens_to_the_chosen_server_is_followed_while_it_is_shown(qapp: QApplication) -> None:
    async with several(CredentialStatus(CredentialState.SIGNED_IN)) as shown:
        shown.dialog.choose(shown.ledger.key.text)
        await until(lambda: shown.dialog.table.values.rowCount() == 2)
        shown.ledger.happened.emit(AuthEvent(REFRESH, "noticed", "adopted", 3, "0123abcd"))
        await until(lambda: shown.dialog.table.values.items()[0].kind is StepKind.TAKEN_OVER)
        shown.ledger.become(trouble=Trouble.OFFLINE)
        await until(lambda: shown.dialog.state.state is not None and shown.dialog.state.state.word == "Offline")


async def test_signing_in_and_out_on_the_page_is_for_the_sign_in_that_it_shows(qapp: QApplication) -> None:
    async with several() as shown:
        shown.dialog.choose(shown.ledger.key.text)
        button(shown.dialog, "Sign in").click()
        await until(lambda: shown.window.bar.text() == "Waiting for your browser to sign in to Ledger…")
        shown.window.open_sign_in_details(shown.ledger.key.text)
        await until(lambda: bool([each for each in shown.window.findChildren(SignInDetails) if each.isVisible()]))
        dialog = next(each for each in shown.window.findChildren(SignInDetails) if each.isVisible())
        button(dialog, "Sign out here").click()
        await until(lambda: shown.ledger.signed_out == 1)
        assert shown.services.backend is not None
        assert shown.services.backend.credential.signed_out == 0


async def test_a_server_that_is_removed_leaves_the_choice_and_closes_the_page_about_it(qapp: QApplication) -> None:
    async with several() as shown:
        shown.services.own_servers.add("Atlas")
        await until(lambda: shown.dialog.choice.count() == 3)
        assert shown.dialog.choice.currentText() == "PostHog US"
        shown.services.own_servers.remove("Atlas")
        await until(lambda: shown.dialog.choice.count() == 2)
        shown.dialog.choose(shown.ledger.key.text)
        shown.services.own_servers.remove("Ledger")
        await until(lambda: not [each for each in shown.window.findChildren(SignInDetails) if each.isVisible()])


@pytest.mark.parametrize("width", [520, 760, 940])
async def test_nothing_is_cut_off_in_either_scheme_or_at_a_larger_text(qapp: QApplication, width: int) -> None:
    for mode, scale in (("light", 1.0), ("dark", 1.5)):
        with look(mode, scale):
            async with page(signed_in(*EVERY_KIND)) as shown:
                await until(lambda: shown.rows == len(EVERY_KIND))
                shown.dialog.resize(round(width * scale), round(660 * scale))
                await settle()
                area, content = shown.dialog._area, shown.dialog._area.widget()
                assert content is not None
                assert content.height() <= area.height()
                for each in shown.dialog.findChildren(QPushButton):
                    if each.isVisibleTo(shown.dialog):
                        assert each.width() >= each.sizeHint().width(), each.text()


def test_pictures_of_the_page(qapp: QApplication, tmp_path: Path) -> None:
    parents: list[QWidget] = []

    def build() -> QWidget:
        parents.append(QWidget())
        backend = signed_in()
        dialog = SignInDetails(FakeServices(backend), backend.credential.key.text, FakeBridge(), parents[-1])  # type: ignore[arg-type]
        dialog._show_steps(EVERY_KIND)
        return dialog

    assert len(render(build, "sign-in-details", tmp_path, size=(940, 660))) == 4


class FakeBridge:
    """Starts nothing: pictures need no loop."""

    def spawn(self, _owner: object, coroutine: Any, **_handlers: object) -> None:
        coroutine.close()

    def listen(self, _owner: object, _event: object, _slot: object) -> None:
        return None

    def release(self, _owner: object) -> None:
        return None
