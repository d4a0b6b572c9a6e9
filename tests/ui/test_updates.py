"""The bar and the settings say how an update stands, and nothing happens before the person says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtWidgets import QApplication, QPushButton, QVBoxLayout, QWidget

from app.core.busy import Work, WorkKind
from app.core.errors import UpdateRefused
from app.core.installation import InstalledApp, InstallKind
from app.core.updates.record import UpdateOutcome, change_record, read_record
from app.core.updates.service import Updates
from app.core.updates.source import WhyOff
from app.core.updates.status import UpdateState
from app.ui.bridge import Bridge
from app.ui.settings import UiSettings
from app.ui.shell.appearance import Appearance
from app.ui.shell.settings.page import SettingsPage
from app.ui.shell.settings.section import SettingsContext
from app.ui.shell.settings.updates_section import UpdatesSection
from app.ui.shell.update_bar import UpdateBar
from app.ui.shell.update_care import UpdateCare
from app.ui.shell.update_notes import UpdateNotes
from tests.core.updates._repository import Rig
from tests.ui._screens import nameless
from tests.ui._shell_fakes import FakeBackend, FakeServices
from tests.ui._tasks_fakes import settle
from tests.ui.test_shell import until

HOSTILE = (
    "New: <img src=file:///etc/passwd> <script>x()</script> \u202egnp.exe [open](file:///bin/sh) ![x](http://h/p.png)"
)


@dataclass
class Shown:
    window: QWidget
    updates: Updates
    care: UpdateCare
    bridge: Bridge
    restarts: list[int]
    told: list[str]
    opened: list[QUrl]

    @property
    def bar(self) -> UpdateBar:
        return self.care.bar

    @property
    def text(self) -> str:
        return "" if self.bar.isHidden() else self.bar.text()

    def buttons(self) -> list[str]:
        return [button.text() for button in self.bar._shown_buttons()]

    def press(self, words: str) -> None:
        next(button for button in self.bar._shown_buttons() if button.text() == words).click()


@asynccontextmanager
async def shown(rig: Rig, **options: Any) -> AsyncIterator[Shown]:
    window, bridge, restarts, told = QWidget(), Bridge(), list[int](), list[str]()
    box = QVBoxLayout(window)
    updates = rig.updates(**options)
    restart, tell = (lambda: restarts.append(1)), told.append
    addresses: list[QUrl] = []

    def opens(address: QUrl) -> bool:
        addresses.append(address)
        return True

    care = UpdateCare(window, updates, bridge, place=box.addWidget, restart=restart, tell=tell, open_address=opens)
    window.resize(900, 300)
    window.show()
    try:
        yield Shown(window, updates, care, bridge, restarts, told, addresses)
    finally:
        await bridge.close()
        await rig.clients.close()
        window.close()
        await settle()


@pytest.fixture
def rig(tmp_path: Path) -> Any:
    made = Rig.make(tmp_path)
    yield made
    made.server.close()


async def test_an_update_is_offered_downloaded_and_installed_when_the_person_says_so(
    qapp: QApplication, rig: Rig
) -> None:
    rig.add("0.2.0")
    async with shown(rig) as each:
        await until(lambda: each.updates.status.state is UpdateState.IDLE)
        assert each.text == ""
        await each.updates.check()
        await until(lambda: each.text)
        assert each.text == "Burrow 0.2.0 is available (1 MB)."
        assert each.buttons() == ["Download", "What is new", "Later", "Skip this version"]
        assert not nameless(each.window)
        assert not any("/targets/" in path for path, _ in rig.server.asked)

        each.press("Download")
        await until(lambda: "ready" in each.text)

        assert each.buttons() == ["Restart now", "What is new", "Later"]
        assert each.updates.armed is None
        await until(lambda: each.told)
        assert each.told == ["Burrow 0.2.0 is downloaded. It is installed when you restart Burrow."]
        each.press("Restart now")
        await until(lambda: each.restarts)
        assert each.updates.armed == each.updates.status.release
        # The file itself changes only once this process has ended.
        assert rig.image.read_bytes() == b"former"


async def test_what_would_be_interrupted_is_named_and_keeps_the_restart_away(qapp: QApplication, rig: Rig) -> None:
    rig.add("0.2.0")
    works = [Work(WorkKind.CALL, f"search_{number}", "It is broken off.") for number in range(3)]
    async with shown(rig) as each:
        await each.updates.check()
        await each.updates.download()
        await until(lambda: "ready" in each.text)
        ended = rig.busy.register(lambda: works)
        rig.busy.changed.emit(None)
        await until(lambda: "search_0, search_1, and 1 more" in each.text)
        assert "Restart now" not in each.buttons()
        each.care.install()
        await settle()
        assert each.restarts == []
        ended()
        rig.busy.changed.emit(None)
        await until(lambda: "Restart now" in each.buttons())


async def test_later_is_until_the_next_start_and_skip_is_for_good(qapp: QApplication, rig: Rig) -> None:
    rig.add("0.2.0")
    async with shown(rig) as each:
        await each.updates.check()
        await until(lambda: each.text)
        each.press("Later")
        await until(lambda: not each.text)
        await each.updates.check()
        await settle()
        assert each.text == ""
        rig.add("0.3.0")
        await each.updates.check()
        await until(lambda: "0.3.0" in each.text)
        each.press("Skip this version")
        await until(lambda: not each.text)
        assert read_record(rig.data).skipped == "0.3.0"


async def test_a_look_that_fails_by_itself_is_quiet_and_a_download_that_fails_is_said(
    qapp: QApplication, rig: Rig
) -> None:
    rig.add("0.2.0")
    async with shown(rig) as each:
        rig.server.faults["timestamp"] = lambda handler, _: handler.reply(500, b"") or True
        job = each.bridge.spawn(each.window, each.updates.check(), failed=lambda _trouble: None)
        await job.wait()
        await settle()
        assert each.text == ""
        rig.server.faults.clear()
        await each.updates.check()
        rig.server.faults["/targets/"] = lambda handler, body: handler.reply(200, bytes(len(body))) or True
        await until(lambda: each.text)
        each.press("Download")
        await until(lambda: UpdateRefused.title in each.text)
        assert each.buttons() == ["Try again", "Close"]
        rig.server.faults.clear()
        each.press("Try again")
        await until(lambda: "ready" in each.text)


async def test_an_installation_that_cannot_be_replaced_is_said_before_anything_is_downloaded(
    qapp: QApplication, rig: Rig, tmp_path: Path
) -> None:
    rig.add("0.2.0")
    gone = InstalledApp(InstallKind.APPIMAGE, (str(tmp_path / "gone" / "Burrow.AppImage"),), tmp_path)
    async with shown(rig, installed=gone) as each:
        await each.updates.check()
        await until(lambda: each.text)
        each.press("Download")
        await until(lambda: "cannot be found" in each.text)
        assert str(tmp_path / "gone") in each.text
        assert each.buttons() == ["Open the folder", "Close"]
        each.press("Open the folder")
        assert each.opened == [QUrl.fromLocalFile(str(tmp_path / "gone"))]
        assert not any("/targets/" in path for path, _ in rig.server.asked)


async def test_a_download_can_be_cancelled_and_goes_on(qapp: QApplication, rig: Rig) -> None:
    import threading

    gone = threading.Event()

    def half(handler: Any, body: bytes) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:100_000])
        gone.wait(20)
        handler.close_connection = True
        return True

    rig.add("0.2.0")
    rig.server.faults["/targets/"] = half
    async with shown(rig) as each:
        await each.updates.check()
        await until(lambda: each.text)
        each.press("Download")
        await until(lambda: each.text.endswith("32 %"))
        assert each.buttons() == ["Cancel"]
        each.press("Cancel")
        await until(lambda: "Resume" in each.buttons())
        gone.set()
        rig.server.faults.clear()
        each.press("Resume")
        await until(lambda: "ready" in each.text)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (UpdateOutcome("updated", "0.0.9", "0.1.0", notes="Much."), "Burrow was updated from 0.0.9 to 0.1.0."),
        (
            UpdateOutcome("put back", "0.1.0", "0.2.0", "It did not start."),
            "Burrow 0.1.0 was put back in the place of 0.2.0.",
        ),
        (
            UpdateOutcome("failed", "0.1.0", "0.2.0", "The disk is full."),
            "Burrow 0.2.0 was not installed; this is still 0.1.0.",
        ),
    ],
)
async def test_what_became_of_an_update_is_said_once(
    qapp: QApplication, rig: Rig, outcome: UpdateOutcome, words: str
) -> None:
    change_record(rig.data, outcome=outcome)
    async with shown(rig) as each:
        await until(lambda: each.text)
        assert each.text.startswith(words)
        assert outcome.reason in each.text
        await until(lambda: (read_record(rig.data).outcome or outcome).said)
        each.press("Close")
        assert each.text == ""
    rig.clients = type(rig.clients)()
    async with shown(rig) as each:
        await settle()
        assert each.text == ""


async def test_release_notes_do_nothing(qapp: QApplication, rig: Rig) -> None:
    rig.add("0.2.0", notes=HOSTILE)
    async with shown(rig) as each:
        await each.updates.check()
        await until(lambda: each.text)
        each.press("What is new")
        (dialog,) = each.window.findChildren(UpdateNotes)
        plain = dialog.prose.toPlainText()
        assert "‹U+202E›" in plain
        assert "<img" in plain or "img" not in plain
        assert not nameless(dialog)
        dialog.reject()


@asynccontextmanager
async def settings(updates: Updates) -> AsyncIterator[UpdatesSection]:
    services = FakeServices(FakeBackend())
    services.updates = updates
    bridge, parent = Bridge(), QWidget()
    stored = UiSettings(services.storage.settings, bridge, parent)  # type: ignore[arg-type]
    context = SettingsContext(services, bridge, stored, Appearance(stored), [])  # type: ignore[arg-type]
    page = SettingsPage(context, parent)
    page.show()
    try:
        yield page.section(UpdatesSection)
    finally:
        await settle()
        await bridge.close()
        page.close()


async def test_the_settings_look_now_and_say_what_is_there(qapp: QApplication, rig: Rig) -> None:
    rig.add("0.2.0")
    async with settings(rig.updates()) as section:
        assert section.state.text() == "This is Burrow 0.1.0."
        section.check_button.click()
        await until(lambda: section.state.text().startswith("Burrow 0.2.0 is available. Last look:"))
        rig.server.faults["timestamp"] = lambda handler, _: handler.reply(200, b"[]") or True
        section.check_button.click()
        await until(lambda: section.state.text().startswith(UpdateRefused.title))
    await rig.clients.close()


@pytest.mark.parametrize(
    ("kind", "words"),
    [(InstallKind.DEB, "package manager"), (InstallKind.SOURCE, "checkout"), (InstallKind.FOLDER, "kind")],
)
async def test_the_settings_say_how_another_installation_is_updated(
    qapp: QApplication, rig: Rig, kind: InstallKind, words: str
) -> None:
    updates = Updates(rig.data, lambda: rig.clients, {}, rig.busy, installed=InstalledApp(kind, ("b",), rig.folder))
    assert isinstance(updates.why_off, WhyOff)
    async with settings(updates) as section:
        row = section.rows["updates.mode"]
        assert words in row.note.text()
        assert not [each for each in row.control.findChildren(QPushButton) if each.isVisible()]
