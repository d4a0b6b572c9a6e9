"""An own server whose sign-in ends is told by its name beside the account's, and healed by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from app.core.auth.status import CredentialState
from app.core.errors import SignInNeeded
from app.core.mcp.servers.definitions import HttpServer
from app.ui.shell import signin_bar
from app.ui.shell.details import SignInDetails
from tests.conftest import RunningWorkspace
from tests.core.test_own_servers import AN_HOUR, LEDGER, agree, call, credential_of, revoke, sign_in
from tests.ui._tasks_fakes import settle, until
from tests.ui._window import Living, consent, living, sign_in_before
from tests.ui.recovery.steps import press

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


@asynccontextmanager
async def window_with_ledger(
    qapp: QApplication, folder: Path, workspace: RunningWorkspace
) -> AsyncIterator[tuple[Living, str]]:
    """Ana's window, with a server of her own that was signed in to; its id."""
    await sign_in_before(folder, workspace)
    async with living(qapp, folder, running=workspace, opens=("SignInDetails",)) as alive:
        server = await alive.services.own_servers.add(HttpServer("", "Ledger", workspace.url + LEDGER))
        await sign_in(alive.services, server.id)
        yield alive, server.id


async def ended(alive: Living, workspace: RunningWorkspace, server_id: str) -> None:
    """The vendor ends the sign-in to Ledger, and a call finds out."""
    await revoke(workspace, credential_of(alive.services, server_id))
    await alive.lab.expire(AN_HOUR)
    with pytest.raises(SignInNeeded):
        await call(alive.services, server_id)


async def test_an_own_server_that_ended_is_signed_in_to_from_its_row_and_the_account_goes_on(
    qapp: QApplication,
    tmp_path: Path,
    workspace: RunningWorkspace,
    browser: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signin_bar, "BACK_SHOWN_MS", 300)
    async with window_with_ledger(qapp, tmp_path / "app", workspace) as (alive, server_id):
        browser.clear()
        bar = alive.window.bar
        assert not bar.isVisible()
        await ended(alive, workspace, server_id)
        await until(lambda: bar.isVisible() and bar.text() == "Sign in to Ledger again to keep going.", 5)
        assert alive.word == "Signed in"
        await until(lambda: alive.loud == [bar.text()], 5)
        await press(bar, "Sign in")
        await until(lambda: len(browser) == 1, 10)
        await until(lambda: bar.text() == "Waiting for your browser to sign in to Ledger…", 5)
        await agree(browser[0])
        await until(lambda: bar.text() == "Signed in to Ledger.", 10)
        await until(lambda: not bar.isVisible(), 5)
        assert not (await call(alive.services, server_id)).is_error
        assert alive.backend.credential.status.state is CredentialState.SIGNED_IN


async def test_both_that_ended_stand_in_one_bar_and_each_leaves_it_by_itself(
    qapp: QApplication,
    tmp_path: Path,
    workspace: RunningWorkspace,
    browser: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signin_bar, "BACK_SHOWN_MS", 300)
    async with window_with_ledger(qapp, tmp_path / "app", workspace) as (alive, server_id):
        browser.clear()
        bar = alive.window.bar
        await ended(alive, workspace, server_id)
        await alive.lab.revoke_grant()
        await alive.write_task("Half a thought")
        await until(lambda: len(bar.rows) == 2, 10)
        host = alive.backend.host.name
        account = f"Sign in to {host} again to keep going. Your draft and 1 waiting change are kept."
        await until(lambda: [row.text() for row in bar.rows] == [account, "Sign in to Ledger again to keep going."], 5)
        await press(bar.rows[0], "Sign in")
        await until(lambda: len(browser) == 1, 10)
        await consent(browser[0], await alive.ticket())
        await until(lambda: bar.text() == "Sign in to Ledger again to keep going.", 15)
        assert alive.waiting == []
        assert "Half a thought" in alive.titles()
        await press(bar, "Sign in")
        await until(lambda: len(browser) == 2, 10)
        await agree(browser[1])
        await until(lambda: not bar.isVisible(), 10)


async def test_the_details_of_an_own_server_tell_what_happened_to_its_sign_in(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with window_with_ledger(qapp, tmp_path / "app", workspace) as (alive, server_id):
        await ended(alive, workspace, server_id)
        await press(alive.window.bar, "Details")
        (dialog,) = alive.window.findChildren(SignInDetails)
        assert dialog.choice.currentText() == "Ledger"
        await until(lambda: dialog.table.values.rowCount() > 1, 5)
        told = [step.kind.name for step in dialog.table.values.items()]
        assert told[:2] == ["ENDED", "REFUSED"]
        assert told[-1] == "SIGNED_IN"
        assert "Ledger" in dialog.text()
        await sign_in(alive.services, server_id)
        await until(lambda: dialog.table.values.items()[0].kind.name == "SIGNED_IN", 5)
        await until(dialog.card.isHidden, 5)
        await settle()
        dialog.reject()
