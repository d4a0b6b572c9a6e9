"""What a person sees while Burrow heals its sign-in, and when it cannot: the real window on a real workspace."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import pytest
from PySide6.QtWidgets import QApplication, QLabel

from app.core.auth.status import SessionState
from app.core.fetcher import plain_json
from app.core.posthog.types import TaskQuery
from app.core.services import Services
from app.core.storage import Scope
from app.ui.shell import signin_bar
from app.ui.shell.details import SignInDetails
from tests.ui._screens import nameless
from tests.ui._tasks_fakes import settle, until
from tests.ui._window import Living, button, living, never

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer without a Secret Service."""
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nonexistent")


async def test_a_killed_token_is_renewed_and_nothing_at_all_is_shown(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as alive:
        await alive.lab.kill_access_token()
        alive.tasks.refresh()
        await until(lambda: not alive.tasks.desk.load.busy, 10)
        assert await alive.renewals() == (1, 0)
        assert alive.tasks.desk.load.error is None
        assert set(alive.seen) <= {"Signed in"}
        assert not alive.window.bar.isVisible()
        assert alive.said == []


async def test_a_renewal_of_more_than_two_seconds_is_a_word_in_the_corner_and_nothing_else(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path) as alive:
        await alive.lab.token_endpoint(delay=3.0, times=1)
        await alive.lab.kill_access_token()
        titles = alive.titles()
        alive.tasks.refresh()
        await until(lambda: alive.backend.session.status.renewing_since is not None, 5)
        started = monotonic()
        await until(lambda: alive.word == "Renewing sign-in…", 5)
        assert monotonic() - started > 1.9
        assert not alive.window.bar.isVisible()
        assert alive.titles() == titles
        await until(lambda: alive.word == "Signed in", 10)
        assert alive.seen[-2:] == ["Renewing sign-in…", "Signed in"]
        assert alive.said == []
        assert await alive.renewals() == (1, 0)


async def test_offline_is_a_word_and_the_list_stays_usable(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as alive:
        titles = alive.titles()
        await alive.services.workspace.stop()
        alive.tasks.refresh()
        await until(lambda: alive.word == "Offline", 15)
        assert alive.window.corner.word.toolTip() == "Offline — showing saved data"
        assert alive.titles() == titles
        assert not alive.window.bar.isVisible()
        assert alive.backend.session.status.state is SessionState.SIGNED_IN
        keys = [line.key for line in alive.tasks.pane.table.rows.lines() if line.key.startswith("task:")]
        alive.tasks.pane.table.select_key(keys[2])
        assert alive.tasks.right.currentWidget() is alive.tasks.detail
        await alive.write_task("Written on the train")
        await until(lambda: [p.state.value for p in alive.tasks.outgoing.pending] == ["waiting-connection"], 15)
        assert [text for text, assertive in alive.said if assertive] == []


async def test_a_server_in_trouble_is_a_word_that_goes_by_itself(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as alive:
        titles = alive.titles()
        await alive.lab.token_endpoint(status=503, body={"error": "temporarily_unavailable"}, times=1000)
        await alive.lab.kill_access_token()
        alive.tasks.refresh()
        await until(lambda: alive.word == "Server in trouble", 15)
        assert alive.backend.session.status.state is SessionState.SIGNED_IN
        assert alive.titles() == titles
        assert not alive.window.bar.isVisible()
        await alive.lab.reset()
        await until(lambda: alive.word == "Signed in", 15)
        assert [text for text, assertive in alive.said if assertive] == []


async def revoked_with_work_waiting(alive: Living, words: str) -> None:
    """The grant is gone, a task waits, the bar stands."""
    await alive.lab.revoke_grant()
    await alive.write_task(words)
    await until(lambda: [p.state.value for p in alive.tasks.outgoing.pending] == ["waiting-sign-in"], 10)
    await until(alive.window.bar.isVisible)


async def test_a_revoked_grant_shows_the_one_bar_and_back_again_it_says_what_was_sent(
    qapp: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signin_bar, "BACK_SHOWN_MS", 1200)
    async with living(qapp, tmp_path) as alive:
        bar = alive.window.bar
        await revoked_with_work_waiting(alive, "Half a thought")
        await until(lambda: bar.text() == "Sign in again to keep going. Your draft and 1 waiting change are kept.")
        assert alive.word == "Sign in"
        assert [text for text, assertive in alive.said if assertive][-1] == bar.text()
        await alive.sign_in_again()
        await until(lambda: bar.text() == "Signed in. Sent 1 message.", 10)
        assert bar.isVisible()
        assert ("Signed in. Sent 1 message.", False) in alive.said
        assert "Half a thought" in alive.titles()
        await until(lambda: not bar.isVisible(), 5)
        assert alive.word == "Signed in"


async def sign_in_as_ben(alive: Living) -> Scope:
    """From now on the server says that the token is another person's; answers the former scope."""
    me = await plain_json(
        "GET",
        f"{alive.backend.host.origin}/api/users/@me/",
        headers={"Authorization": f"Bearer {await token_of(alive)}"},
    )
    assert isinstance(me, dict)
    former = alive.backend.scope
    assert former is not None
    ben = {**me, "uuid": "0000-ben", "distinct_id": "ben", "email": "ben@example.org", "first_name": "Ben"}
    await alive.lab.path_fault("/api/users/@me/", status=200, body=ben, content_type="application/json", times=1000)
    await alive.lab.revoke_grant()
    alive.tasks.refresh()
    await until(lambda: alive.backend.session.status.state is SessionState.NEEDS_SIGN_IN, 10)
    return former


async def token_of(alive: Living) -> str:
    tokens = await alive.backend.session.access_token()
    assert tokens is not None
    return tokens.access_token


@pytest.mark.parametrize("choice", ["Keep separate", "Discard"])
async def test_another_account_sees_and_sends_nothing_of_the_former_ones_and_the_person_decides(
    qapp: QApplication, tmp_path: Path, choice: str
) -> None:
    async with living(qapp, tmp_path) as alive:
        former = await sign_in_as_ben(alive)
        await alive.write_task("Ana waits")
        await until(lambda: [p.state.value for p in alive.tasks.outgoing.pending] == ["waiting-sign-in"], 10)
        alive.tasks.new_task()
        alive.tasks.composer.title.setText("Ana thinks")
        alive.tasks.composer.save_now()
        drafts, outbox = alive.services.storage.drafts, alive.services.storage.outbox
        await alive.sign_in_again()
        card = alive.window.former
        await until(card.isVisible, 10)
        assert card.text() == "Drafts and unsent changes (2) belong to Ana."
        assert (card.text(), False) in alive.said
        assert alive.backend.scope != former
        assert alive.tasks.composer.empty
        assert not alive.tasks.outgoing.pending
        assert "Ana waits" not in alive.titles()
        button(card, choice).click()
        assert not card.isVisible()
        await settle()
        kept = choice == "Keep separate"
        if not kept:
            await left_nothing(alive.services, former)
        assert len(await drafts.list(former)) == int(kept)
        assert [item.payload["description"] for item in await outbox.list(former)] == ["Ana waits"] * kept
        found = await alive.backend.tasks.list(TaskQuery(search="Ana waits"))
        assert found.items == ()


async def left_nothing(services: Services, scope: Scope) -> None:
    """Wait until the account has neither drafts nor unsent changes."""
    while await services.storage.drafts.list(scope) or await services.storage.outbox.list(scope):
        await settle()


async def test_another_account_is_not_asked_about_where_nothing_was_left(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as alive:
        former = await sign_in_as_ben(alive)
        await alive.sign_in_again()
        await until(lambda: alive.backend.scope not in {None, former}, 10)
        await never(alive.window.former.isVisible, 0.3)


async def test_without_a_keyring_the_bar_offers_three_ways_and_the_chosen_one_is_taken(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path) as alive:
        bar, session = alive.window.bar, alive.backend.session
        await session.choose_store("keyring")
        await until(bar.isVisible, 10)
        assert bar.text() == "There is no keyring on this computer. Where shall the sign-in be kept?"
        assert alive.word == "Keyring needed"
        assert session.status.state is SessionState.SIGNED_IN
        for words in ("Try again", "Use for this session only", "Keep in a private file"):
            assert button(bar, words).isEnabled()
        button(bar, "Keep in a private file").click()
        await until(lambda: not bar.isVisible() and session.status.persistent, 10)
        assert (session.status.store, session.status.trouble) == ("file", None)
        assert alive.word == "Signed in"


async def test_the_sign_in_details_say_what_was_granted_and_when_it_is_renewed_without_a_token(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path) as alive:
        alive.window.open_sign_in_details()
        await until(lambda: alive.window.findChildren(SignInDetails))
        (dialog,) = alive.window.findChildren(SignInDetails)
        words = " ".join(label.text() for label in dialog.findChildren(QLabel))
        grant = alive.backend.session.grant
        assert grant is not None
        assert grant.tokens.access_token not in words
        assert "task:write" in words
        assert "Next renewal" in words
        assert not nameless(dialog)
        dialog.reject()
