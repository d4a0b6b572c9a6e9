"""The Workspace lab: faults that really happen, what is counted, what is shown, and the secret that opens it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.core.auth.status import CredentialState
from app.core.diagnostics.activity import Activity
from app.core.errors import BurrowError, Facts, Offline, Rejected
from app.core.hosts import workspace_host
from app.ui.bridge import Bridge
from app.ui.context import Context
from app.ui.lab.faults import FAULTS
from app.ui.lab.place import LabPlace
from app.ui.lab.run_faults import RUN_FAULTS
from app.ui.shell import signin_bar
from app.ui.theme import apply_theme
from app.ui.widgets.focus import show_focus_ring
from tests.ui._screens import focusable, nameless, render
from tests.ui._tasks_fakes import FakeNavigator, settle, until
from tests.ui._window import Living, living

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

SECRET = "open sesame"


class FakeLab:
    """A switchboard that notes what was set; `fail` is raised by the next call."""

    def __init__(self, secret: str | None = SECRET) -> None:
        self.secret = secret
        self.calls: list[str] = []
        self.fail: BurrowError | None = None
        self.counters: dict[str, Any] = {"refreshes_accepted": 0, "requests": {"/api/": 3, "/oauth/": 1}}

    @property
    def unlocked(self) -> bool:
        return self.secret is not None

    async def unlock(self, secret: str) -> None:
        if secret != SECRET:
            raise Rejected("This is not the secret of that workspace.", Facts(attr="secret"))
        self.secret = secret

    async def state(self) -> dict[str, Any]:
        return {"counters": self.counters}

    def __getattr__(self, name: str) -> Any:
        async def call(*_: object, **__: object) -> None:
            self.calls.append(name)
            if self.fail is not None:
                failure, self.fail = self.fail, None
                raise failure

        return call


class FakeFetcher:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(self, path: str) -> None:
        self.asked.append(path)


class FakeBackend:
    def __init__(self, lab: FakeLab | None = None) -> None:
        self.host = workspace_host("http://127.0.0.1:4000", client_id="c", secret=SECRET)
        self.lab = lab or FakeLab()
        self.fetcher = FakeFetcher()
        self.scope = self.project = None


class FakeServices:
    without_account = False

    def __init__(self) -> None:
        self.activity = Activity()


@asynccontextmanager
async def shown(qapp: QApplication, backend: FakeBackend | None) -> AsyncIterator[tuple[LabPlace, FakeServices]]:
    apply_theme(qapp, "light", 1.0)
    services, bridge = FakeServices(), Bridge()
    place = LabPlace(Context(services, bridge, FakeNavigator()))  # type: ignore[arg-type]
    place.resize(960, 700)
    place.show()
    place.activateWindow()
    place.set_backend(backend)  # type: ignore[arg-type]
    try:
        await settle()
        yield place, services
    finally:
        await bridge.close()
        place.close()
        place.deleteLater()
        await settle()


def number(place: LabPlace, name: str) -> str:
    return place.counters[name].text()


async def test_without_a_workspace_nothing_can_be_broken(qapp: QApplication) -> None:
    async with shown(qapp, None) as (place, _):
        assert not any(button.isEnabled() for button in place.faults.buttons.values())
        assert not any(command.enabled() for command in place.commands())
        place.open_item("kill")
        place.refresh()
        await settle()
        assert number(place, "requests") == "–"


async def test_a_fault_is_set_and_one_request_is_made_so_that_there_is_something_to_see(qapp: QApplication) -> None:
    backend = FakeBackend()
    async with shown(qapp, backend) as (place, _):
        place.faults.buttons["kill"].click()
        await until(lambda: backend.fetcher.asked)
        assert backend.lab.calls == ["kill_access_token"]
        assert backend.fetcher.asked == ["/api/users/@me/"]


async def test_every_fault_can_be_set_by_its_command(qapp: QApplication) -> None:
    backend = FakeBackend()
    async with shown(qapp, backend) as (place, _):
        for fault in FAULTS:
            next(command for command in place.commands() if command.id == f"lab.{fault.key}").run()
            await until(lambda: backend.fetcher.asked)
            assert backend.lab.calls, fault.key
            backend.fetcher.asked.clear()
            backend.lab.calls.clear()


async def test_a_fault_that_cannot_be_set_says_why_in_the_place(qapp: QApplication) -> None:
    backend = FakeBackend()
    backend.lab.fail = Offline("http://127.0.0.1:4000 cannot be reached.")
    async with shown(qapp, backend) as (place, _):
        place.faults.buttons["slow"].click()
        await until(lambda: place.page.card.isVisible())
        assert "cannot be reached" in place.page.card.text()
        assert not place.page.progress.active
        place.reset_button.click()
        await until(lambda: not place.page.card.isVisible())


async def test_the_counters_are_read_aloud_with_their_names(qapp: QApplication) -> None:
    async with shown(qapp, FakeBackend()) as (place, _):
        place.refresh()
        await until(lambda: number(place, "requests") == "4")
        assert place.counters["requests"].accessibleName() == "Requests: 4"
        assert place.counters["refreshes_accepted"].accessibleName() == "Renewals accepted: 0"


async def test_only_what_happened_to_this_sign_in_is_listed(qapp: QApplication) -> None:
    backend = FakeBackend()
    async with shown(qapp, backend) as (place, services):
        here, there = backend.host.origin, "https://us.posthog.com"
        for kind, target in (("auth", there), ("http", here), ("auth", here)):
            services.activity.record(
                kind=kind, target=target, summary=f"{kind} {target}", status="ok", milliseconds=1.0, detail={}
            )
        await until(lambda: place.events.values.rowCount() == 1)
        assert place.events.values.items()[0].summary == f"auth {here}"


async def test_a_wrong_secret_is_refused_at_its_field_and_the_right_one_opens(qapp: QApplication) -> None:
    backend = FakeBackend(FakeLab(secret=None))
    async with shown(qapp, backend) as (place, _):
        assert not place.faults.buttons["kill"].isEnabled()
        place.secret.setFocus()
        QTest.keyClicks(place.secret, "guess")
        QTest.keyClick(place.secret, Qt.Key.Key_Return)
        await until(lambda: place.secret_error.text())
        assert place.secret_error.text() == "This is not the secret of that workspace."
        assert place.secret.property("wrong") == "true"
        assert not place.faults.buttons["kill"].isEnabled()
        place.secret.clear()
        QApplication.clipboard().setText(SECRET)
        place.secret.paste()
        QTest.keyClick(place.secret, Qt.Key.Key_Return)
        await until(lambda: place.faults.buttons["kill"].isEnabled())
        assert not place.secret.isVisible()
        assert place.secret.text() == ""
        await until(lambda: number(place, "requests") == "4")


async def test_every_control_has_a_name_and_tab_reaches_it(qapp: QApplication) -> None:
    for secret in (SECRET, None):
        async with shown(qapp, FakeBackend(FakeLab(secret))) as (place, _):
            assert nameless(place) == []
            await until(place.isActiveWindow)
            focusable(place)[0].setFocus()
            reached = set()
            for _step in range(len(focusable(place)) + 1):
                reached.add(qapp.focusWidget())
                QTest.keyClick(qapp.focusWidget(), Qt.Key.Key_Tab)
            assert set(focusable(place)) <= reached


async def test_the_expected_outcome_of_a_fault_is_its_description(qapp: QApplication) -> None:
    async with shown(qapp, FakeBackend()) as (place, _):
        for fault in FAULTS:
            assert place.faults.buttons[fault.key].accessibleDescription() == fault.expected


async def test_pictures_of_the_lab_in_every_look(qapp: QApplication, tmp_path: Path) -> None:
    bridge = Bridge()

    def build() -> LabPlace:
        place = LabPlace(Context(FakeServices(), bridge, FakeNavigator()))  # type: ignore[arg-type]
        place.set_backend(FakeBackend())  # type: ignore[arg-type]
        show_focus_ring(place)
        return place

    written = render(build, "lab", tmp_path, size=(900, 600))
    assert len(written) == 4
    await bridge.close()


async def healed(alive: Living, place: LabPlace) -> None:
    """Wait until one renewal is shown as accepted."""
    await until(lambda: number(place, "refreshes_accepted") == "1", 10)
    await until(lambda: not place.page.progress.active, 10)


def lab_of(alive: Living) -> LabPlace:
    place = alive.window.place("lab")
    assert isinstance(place, LabPlace)
    return place


async def test_the_code_for_a_page_that_another_program_opened_is_shown(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path, place="lab") as alive:
        place = lab_of(alive)
        place.code_button.click()
        await until(lambda: place.code_button.text().startswith("Code: "))
        first = place.code_button.text()
        place.code_button.click()
        await until(lambda: place.code_button.text() != first)


async def test_a_token_killed_by_key_shows_one_renewal_in_the_counters_and_nothing_else(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path, place="lab") as alive:
        place = lab_of(alive)
        assert qapp.focusWidget() is place.faults.buttons["kill"]
        QTest.keyClick(place.faults.buttons["kill"], Qt.Key.Key_Space)
        await healed(alive, place)
        assert number(place, "refreshes_rejected") == "0"
        await until(lambda: place.events.values.items()[0].status == "renewed")
        assert not place.page.card.isVisible()
        assert not alive.window.bar.isVisible()
        assert set(alive.seen) <= {"Signed in"}
        assert alive.said == []


@pytest.mark.parametrize("key", ["expire", "busy", "lost"])
@pytest.mark.usefixtures("short_pauses")
async def test_what_can_be_healed_is_healed_with_one_renewal_unseen(
    qapp: QApplication, tmp_path: Path, key: str
) -> None:
    async with living(qapp, tmp_path, place="lab") as alive:
        place = lab_of(alive)
        place.faults.buttons[key].click()
        await until(lambda: place.events.values.items()[0].status == "renewed", 15)
        await until(lambda: not place.page.progress.active, 10)
        assert not place.page.card.isVisible()
        assert not alive.window.bar.isVisible()
        assert alive.backend.credential.status.state is CredentialState.SIGNED_IN
        assert alive.said == []


async def test_a_revoked_grant_shows_the_bar_and_signing_in_again_ends_it(
    qapp: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signin_bar, "BACK_SHOWN_MS", 100)
    async with living(qapp, tmp_path, place="lab") as alive:
        place = lab_of(alive)
        place.faults.buttons["revoke"].click()
        await until(alive.window.bar.isVisible, 10)
        assert alive.window.bar.text() == "Sign in again to keep going. Your drafts are kept."
        await until(lambda: [text for text, assertive in alive.said if assertive] == [alive.window.bar.text()])
        await until(lambda: number(place, "grants_revoked") == "1", 10)
        assert not place.page.card.isVisible()
        assert place.faults.buttons["kill"].isEnabled()
        await alive.sign_in_again()
        await until(lambda: not alive.window.bar.isVisible(), 10)
        assert alive.word == "Signed in"


async def test_the_secret_of_a_workspace_started_elsewhere_opens_its_switchboard(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path, place="lab") as alive:
        place, secret = lab_of(alive), alive.backend.host.secret
        assert secret is not None
        alive.lab._secret = None
        place.set_backend(None)
        place.set_backend(alive.backend)
        assert place.secret.isVisible()
        place.secret.setText("no such secret")
        QTest.keyClick(place.secret, Qt.Key.Key_Return)
        await until(lambda: place.secret_error.text(), 10)
        place.secret.setText(f"  {secret}\n")
        QTest.keyClick(place.secret, Qt.Key.Key_Return)
        await until(lambda: place.faults.buttons["kill"].isEnabled(), 10)
        assert alive.lab.unlocked
        # What the place sets is what the switchboard of a workspace takes.
        for fault in RUN_FAULTS:
            await fault.act(alive.lab)
        set_now = await alive.lab.runs()
        assert [set_now[name] for name in ("refuse_start", "sandbox", "stream")] == [
            "access_unverified",
            "unreachable",
            "Backlog unavailable",
        ]
        assert (set_now["rotation_seconds"], set_now["duplicate_events"], set_now["stream_elsewhere"]) == (
            10,
            True,
            True,
        )
        place.reset_button.click()
        await until(lambda: not place.page.progress.active, 10)
        assert (await alive.lab.runs())["stream"] is None
