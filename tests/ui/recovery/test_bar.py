"""When signing in is needed there is one bar, whatever failed and how often; nothing else asks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QLabel

from app.core.auth.status import CredentialState
from app.core.lab import Lab
from app.core.storage import Draft
from app.ui.shell import signin_bar
from app.ui.shell.details import SignInDetails
from app.ui.shell.signin_bar import SignInBar
from tests.conftest import RunningWorkspace
from tests.ui._screens import nameless
from tests.ui._tasks_fakes import settle, until
from tests.ui._window import Living, consent, living, never, sign_in_before
from tests.ui.recovery.steps import called, focused, press, revoked_with_work_waiting, shows

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

NEEDED = "Sign in again to keep going. Your draft and 1 waiting change are kept."


async def test_tasks_and_servers_that_fail_at_once_give_one_bar_and_one_announcement(
    qapp: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough for everything below to have failed on a busy machine.
    monkeypatch.setattr(signin_bar, "SAY_AFTER_MS", 1500)
    async with living(qapp, tmp_path, place="servers") as alive:
        await called(alive, "workspace/list_tasks")
        titles, before = alive.titles(), focused()
        await alive.lab.revoke_grant()
        alive.tasks.controller.refresh()
        for server in alive.servers.controller.servers:
            alive.servers.controller.load_tools(server.id, refresh=True)
        alive.servers.controller.load(refresh=True)
        alive.servers.page.tool.run()
        await alive.write_task("Half a thought")
        await until(alive.window.bar.isVisible, 10)
        await until(lambda: alive.waiting == ["waiting-sign-in"], 10)
        await until(lambda: alive.loud, 5)
        await never(lambda: len(alive.loud) > 1, 1.5 * signin_bar.SAY_AFTER_MS / 1000)
        bars = [bar for bar in alive.window.findChildren(SignInBar) if bar.isVisible()]
        assert bars == [alive.window.bar]
        words = "Sign in again to keep going. Your draft, 1 waiting change and 1 waiting call are kept."
        assert alive.window.bar.text() == words
        assert alive.loud == [words]
        assert alive.word == "Sign in"
        assert set(titles) - {"Half a thought"} <= set(alive.titles())
        assert alive.servers.controller.servers[0].title == "Workspace"
        assert await alive.renewals() == (0, 1)
        assert before is not None


async def test_a_draft_is_typed_and_kept_while_the_bar_stands(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as alive:
        await alive.lab.revoke_grant()
        alive.tasks.selection.new_task()
        composer = alive.tasks.pages.composer
        composer.description.setFocus()
        alive.tasks.refresh()
        await until(alive.window.bar.isVisible, 10)
        assert focused() is composer.description
        assert composer.description.isEnabled()
        assert not composer.description.isReadOnly()
        typed_at = monotonic()
        composer.description.setPlainText("Kept while nobody is signed in")
        scope, drafts = alive.backend.scope, alive.services.storage.drafts
        assert scope is not None
        kept: tuple[Draft, ...] = ()
        while not kept:
            kept = await drafts.list(scope, "task")
            assert monotonic() - typed_at < 2.0
        assert [draft.fields["description"] for draft in kept] == ["Kept while nobody is signed in"]
        await alive.sign_in_again()
        await until(lambda: alive.word == "Signed in", 10)
        await settle()
        assert composer.description.toPlainText() == "Kept while nobody is signed in"


async def test_a_message_waits_with_a_clock_and_can_be_taken_back(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as alive:
        await revoked_with_work_waiting(alive, "Half a thought")
        rows, key = alive.tasks.pane.table.rows, f"pending:{alive.tasks.outbox.pending[0].id}"
        await until(lambda: "Waiting for sign-in" in rows.row(key).spoken())
        assert rows.row(key).state.glyph == "clock"
        alive.tasks.pane.table.select_key(key)
        await press(alive.tasks.pages.unsent, "Undo")
        await until(lambda: alive.waiting == [])
        assert alive.tasks.pages.composer.description.toPlainText() == "Half a thought"
        await until(lambda: alive.window.bar.text() == "Sign in again to keep going. Your drafts are kept.")


async def test_back_again_the_bar_says_what_was_sent_for_three_seconds(
    qapp: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert signin_bar.BACK_SHOWN_MS == 3000
    monkeypatch.setattr(signin_bar, "BACK_SHOWN_MS", 500)
    async with living(qapp, tmp_path) as alive:
        bar = alive.window.bar
        await revoked_with_work_waiting(alive, "Half a thought")
        await until(lambda: bar.text() == NEEDED)
        await until(lambda: alive.loud == [NEEDED])
        await alive.sign_in_again()
        await until(lambda: bar.text() == "Signed in. Sent 1 message.", 10)
        assert bar.isVisible()
        await until(lambda: ("Signed in. Sent 1 message.", False) in alive.said)
        assert "Half a thought" in alive.titles()
        await until(lambda: not bar.isVisible(), 5)
        assert alive.word == "Signed in"
        assert alive.loud == [NEEDED]


async def test_back_again_the_tool_lists_are_read_anew(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path, place="servers") as alive:
        await until(lambda: alive.servers.controller.tools.get("workspace"), 15)
        await alive.lab.revoke_grant()
        alive.tasks.controller.refresh()
        await until(alive.window.bar.isVisible, 10)
        before = await requests(alive, "/mcp")
        await alive.sign_in_again()
        await until(lambda: not alive.servers.controller.loading_tools and alive.word == "Signed in", 10)
        async with asyncio.timeout(10):
            while await requests(alive, "/mcp") <= before:
                await settle()
        assert alive.servers.controller.tools["workspace"]


async def requests(alive: Living, path: str) -> int:
    """How many requests the workspace had below a path."""
    counted = (await alive.lab.state())["counters"]["requests"]
    return sum(count for asked, count in counted.items() if asked.startswith(path))


async def test_the_browser_is_waited_for_in_the_same_bar_while_everything_else_goes_on(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace, browser: list[str]
) -> None:
    await sign_in_before(tmp_path / "app", workspace)
    async with living(qapp, tmp_path / "app", running=workspace) as alive:
        bar = alive.window.bar
        await revoked_with_work_waiting(alive, "Half a thought")
        await press(bar, "Sign in")
        await until(lambda: bar.text() == "Waiting for your browser…", 10)
        await until(lambda: len(browser) == 1)
        assert not shows(bar, "Sign in")
        await press(bar, "Open again")
        await until(lambda: len(browser) == 2)
        await press(bar, "Copy link")
        assert QGuiApplication.clipboard().text() == browser[0] == browser[1]
        alive.window.go("servers")
        assert alive.window.current == "servers"
        alive.window.go("tasks")
        await until(lambda: ("Waiting for your browser…", False) in alive.said)
        await press(bar, "Cancel")
        await until(lambda: bar.text() == NEEDED)
        await press(bar, "Sign in")
        await until(lambda: len(browser) == 3, 10)
        await consent(browser[2], await alive.ticket())
        await until(lambda: bar.text() == "Signed in. Sent 1 message.", 15)
        assert "Half a thought" in alive.titles()
        assert [text for text in alive.loud if "Waiting" in text] == []


async def test_a_start_with_a_grant_that_is_over_waits_for_no_browser(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace, browser: list[str]
) -> None:
    await sign_in_before(tmp_path / "app", workspace)
    async with living(qapp, tmp_path / "app", running=workspace) as alive:
        titles = {title for title in alive.titles() if title != "Pinned"}
    await Lab(workspace.url, workspace.secret).revoke_grant()
    started = monotonic()
    async with living(qapp, tmp_path / "app", running=workspace, loads=False) as alive:
        await until(alive.window.bar.isVisible, 10)
        await until(lambda: titles <= set(alive.titles()), 10)
        assert monotonic() - started < 10
        assert browser == []
        alive.tasks.selection.new_task()
        alive.tasks.pages.composer.description.setPlainText("Written before signing in")
        await press(alive.window.bar, "Sign in")
        await until(lambda: len(browser) == 1, 10)
        await consent(browser[0], await alive.ticket())
        await until(lambda: alive.word == "Signed in", 15)
        assert alive.tasks.pages.composer.description.toPlainText() == "Written before signing in"


async def test_the_start_after_that_shows_the_saved_list_and_the_bar_too(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace, browser: list[str]
) -> None:
    await sign_in_before(tmp_path / "app", workspace)
    async with living(qapp, tmp_path / "app", running=workspace) as alive:
        titles = {title for title in alive.titles() if title != "Pinned"}
        await alive.lab.revoke_grant()
        alive.tasks.controller.refresh()
        await until(alive.window.bar.isVisible, 10)
    async with living(qapp, tmp_path / "app", running=workspace, loads=False) as alive:
        await until(alive.window.bar.isVisible, 10)
        await until(lambda: titles <= set(alive.titles()), 10)
        await press(alive.window.bar, "Sign in")
        await until(lambda: len(browser) == 1, 10)
        await consent(browser[0], await alive.ticket())
        await until(lambda: alive.word == "Signed in", 15)


async def test_a_refusal_for_good_is_explained_on_one_page_that_the_bar_leads_to(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path, opens=("SignInDetails",)) as alive:
        await revoked_with_work_waiting(alive, "Half a thought")
        assert alive.window.findChildren(SignInDetails) == []
        for _ in range(2):
            await press(alive.window.bar, "Details")
        (dialog,) = alive.window.findChildren(SignInDetails)
        await until(lambda: dialog.table.values.rowCount() > 1)
        assert "The server no longer accepts this sign-in." in dialog.card.text()
        told = [step.kind.name for step in dialog.table.values.items()]
        assert told[:2] == ["ENDED", "REFUSED"]
        assert not nameless(dialog)
        assert shows(dialog, "Sign in")
        await alive.sign_in_again()
        await until(lambda: dialog.table.values.items()[0].kind.name == "SIGNED_IN", 10)
        await until(lambda: dialog.card.isHidden() and shows(dialog, "Sign in again"))
        dialog.reject()


async def test_the_details_follow_a_renewal_while_they_are_open_and_show_no_token(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path, opens=("SignInDetails",)) as alive:
        alive.window.open_sign_in_details()
        (dialog,) = alive.window.findChildren(SignInDetails)
        await until(lambda: dialog.table.values.rowCount() == 1)
        secrets = []
        for _ in range(2):
            grant = alive.backend.credential.grant
            assert grant is not None
            secrets += [grant.tokens.access_token, grant.tokens.refresh_token or ""]
            await alive.lab.kill_access_token()
            alive.tasks.refresh()
            rows = dialog.table.values.rowCount()
            await until(lambda rows=rows: dialog.table.values.rowCount() > rows, 10)
            await until(lambda: dialog.table.values.items()[0].kind.name == "RENEWED", 10)
        newest = dialog.table.values.items()[0]
        assert (newest.before, newest.after, newest.here) == (2, 3, True)
        assert newest.cause == "refused"
        words = " ".join(label.text() for label in dialog.findChildren(QLabel)) + dialog.text()
        assert [secret for secret in secrets if secret in words] == []
        assert "generation 3" in words
        assert "task\u00a0read,\u00a0write" in words
        assert "Next renewal" in words
        assert alive.backend.credential.status.state is CredentialState.SIGNED_IN
        dialog.reject()
