"""A sign-in that cannot be kept: one bar, its choices, and nothing lost meanwhile."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from app.core.auth.grant import lifecycle
from app.core.auth.status import CredentialState
from tests.conftest import RunningWorkspace
from tests.secret_service import SecretService
from tests.ui._tasks_fakes import settle, until
from tests.ui._window import button, living, sign_in_before
from tests.ui.recovery.steps import press, shows

pytestmark = [
    pytest.mark.qt_log_ignore("This plugin does not support", extend=True),
    # keyring leaves its bus connection to the garbage collector when a collection is locked.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CHOICES = ("Try again", "Use for this session only", "Keep in a private file")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretService]:
    """An unlocked keyring that this process sees as its own."""
    with SecretService() as running:
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        yield running
        gc.collect()


async def test_without_a_keyring_the_bar_offers_three_ways_and_the_chosen_one_is_taken(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path) as alive:
        bar, session = alive.window.bar, alive.backend.credential
        await session.choose_store("keyring")
        await until(bar.isVisible, 10)
        assert bar.text() == "There is no keyring on this computer. Where should Burrow store your sign-in?"
        assert alive.word == "Keyring needed"
        assert session.status.state is CredentialState.SIGNED_IN
        await until(lambda: all(shows(bar, words) for words in CHOICES))
        button(bar, "Keep in a private file").click()
        await until(lambda: not bar.isVisible() and session.status.persistent, 10)
        assert (session.status.store, session.status.trouble) == ("file", None)
        assert alive.word == "Signed in"


async def test_a_locked_keyring_at_the_start_is_asked_for_and_no_browser_opens(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace, service: SecretService, browser: list[str]
) -> None:
    await sign_in_before(tmp_path / "app", workspace, "keyring")
    async with living(qapp, tmp_path / "app", running=workspace) as alive:
        titles = {title for title in alive.titles() if title != "Pinned"}
    service.lock()
    async with living(qapp, tmp_path / "app", running=workspace, loads=False) as alive:
        bar, session = alive.window.bar, alive.backend.credential
        await until(bar.isVisible, 15)
        assert bar.text() == "Unlock your keyring to continue."
        await until(lambda: all(shows(bar, words) for words in CHOICES))
        assert session.status.state is CredentialState.RESTORING
        await until(lambda: titles <= set(alive.titles()), 10)
        await press(bar, "Try again")
        await until(lambda: session.status.trouble == "vault-locked", 15)
        assert bar.isVisible()
        service.unlock()
        await press(bar, "Try again")
        await until(lambda: session.status.state is CredentialState.SIGNED_IN, 15)
        await until(lambda: not bar.isVisible() and alive.word == "Signed in", 10)
        assert browser == []
        await until(lambda: alive.tasks.controller.load.loaded, 15)


async def test_a_renewal_that_the_locked_keyring_does_not_take_is_used_and_stored_once_it_can_be(
    qapp: QApplication,
    tmp_path: Path,
    workspace: RunningWorkspace,
    service: SecretService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifecycle, "SAVE_AGAIN_SECONDS", 0.5)
    await sign_in_before(tmp_path / "app", workspace, "keyring")
    async with living(qapp, tmp_path / "app", running=workspace, opens=("SignInDetails",)) as alive:
        bar, session = alive.window.bar, alive.backend.credential
        service.lock()
        await alive.lab.kill_access_token()
        alive.tasks.refresh()
        await until(bar.isVisible, 15)
        await until(lambda: "is in memory only" in bar.text(), 15)
        assert bar.text() == ("The keyring is locked, so the renewed sign-in is in memory only. Burrow tries again.")
        assert alive.tasks.controller.load.error is None
        assert not session.status.persistent
        await until(lambda: (bar.text(), False) in alive.said)
        assert alive.loud == []
        service.unlock()
        await until(lambda: session.status.persistent, 15)
        await until(lambda: not bar.isVisible() and alive.word == "Signed in", 5)
        async with asyncio.timeout(5):
            while [step.kind.name for step in await alive.backend.timeline.recent(1)] != ["RENEWED"]:
                await settle()
