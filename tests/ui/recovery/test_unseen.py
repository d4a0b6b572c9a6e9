"""What can be healed is healed without a sign; what takes long or is not Burrow's to heal is one word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest
from PySide6.QtWidgets import QApplication

from app.core.auth.status import CredentialState
from app.ui.servers.tool_session import CallPhase
from app.ui.shell import credential_words
from tests.conftest import RunningWorkspace
from tests.ui._tasks_fakes import until
from tests.ui._window import Living, living, never, sign_in_before
from tests.ui.recovery.steps import focused, opened_tool
from tests.until import until as until_answered

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

REFUSED = {
    "type": "authentication_error",
    "code": "authentication_failed",
    "detail": "Invalid access token.",
    "attr": None,
}


def nothing_shown(alive: Living) -> bool:
    """No word, no bar, nothing said."""
    return set(alive.seen) <= {"Signed in"} and not alive.window.bar.isVisible() and alive.said == []


async def test_a_killed_token_is_renewed_and_nothing_at_all_is_shown(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as alive:
        before = focused()
        assert before is not None
        await alive.lab.kill_access_token()
        alive.tasks.refresh()
        await until(lambda: not alive.tasks.controller.load.busy, 10)
        assert await alive.renewals() == (1, 0)
        assert alive.tasks.controller.load.error is None
        assert nothing_shown(alive)
        assert focused() is before


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> float:
    """A renewal is shown once it takes two seconds, which are fewer here."""
    assert credential_words.RENEWING_SHOWN_AFTER == 2.0
    monkeypatch.setattr(credential_words, "RENEWING_SHOWN_AFTER", 0.9)
    return 0.9


async def test_a_renewal_of_nearly_two_seconds_shows_nothing_at_any_moment(
    qapp: QApplication, tmp_path: Path, slow: float
) -> None:
    async with living(qapp, tmp_path) as alive:
        before, titles = focused(), alive.titles()
        await alive.lab.token_endpoint(delay=slow * 0.6, times=1)
        await alive.lab.kill_access_token()
        alive.tasks.refresh()
        await until(lambda: alive.backend.credential.status.refreshing_since is not None, 5)
        while alive.backend.credential.status.refreshing_since is not None:
            await never(lambda: not nothing_shown(alive) or alive.titles() != titles or focused() is not before, 0.05)
        await until(lambda: not alive.tasks.controller.load.busy, 10)
        assert nothing_shown(alive)
        assert alive.tasks.controller.load.error is None


async def test_a_token_that_runs_out_is_renewed_ahead_of_it_unseen(
    qapp: QApplication, tmp_path: Path, start_workspace: Callable[..., RunningWorkspace]
) -> None:
    running = start_workspace("--dynamic-access-token-seconds", "1.5")
    await sign_in_before(tmp_path / "app", running)
    async with living(qapp, tmp_path / "app", running=running) as alive:
        before = (await alive.renewals())[0]
        await until(lambda: alive.backend.credential.grant is not None, 5)
        first = alive.backend.credential.grant
        assert first is not None

        async def renewed_twice() -> bool:
            return (await alive.renewals())[0] >= before + 2

        # As the server counts: it may have answered a renewal before the window has adopted it.
        await until_answered(renewed_twice, 15, pause=0.1)
        assert alive.backend.credential.grant.tokens.generation > first.tokens.generation
        assert nothing_shown(alive)
        assert alive.window.corner.account.text() == "Ana"
        assert alive.window.corner.project.text() == "Hedgerow shop"


async def test_a_renewal_of_more_than_two_seconds_is_a_word_in_the_corner_and_nothing_else(
    qapp: QApplication, tmp_path: Path, slow: float
) -> None:
    async with living(qapp, tmp_path) as alive:
        await alive.lab.token_endpoint(delay=slow * 1.5, times=1)
        await alive.lab.kill_access_token()
        titles, before = alive.titles(), focused()
        alive.tasks.refresh()
        await until(lambda: alive.backend.credential.status.refreshing_since is not None, 5)
        started = alive.backend.credential.status.refreshing_since
        assert started is not None
        await until(lambda: alive.word == "Renewing sign-in…", 5)
        assert monotonic() - started > slow
        assert alive.window.corner.word.toolTip() == "Renewing sign-in…"
        assert not alive.window.bar.isVisible()
        assert alive.titles() == titles
        await until(lambda: alive.word == "Signed in", 10)
        assert alive.seen[-2:] == ["Renewing sign-in…", "Signed in"]
        assert alive.said == []
        assert focused() is before
        assert await alive.renewals() == (1, 0)


async def test_what_waits_for_a_renewal_can_be_cancelled_and_the_rest_is_answered_by_it(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path, place="servers") as alive:
        session = await opened_tool(alive, "workspace/list_tasks", "{}")
        await alive.lab.token_endpoint(delay=1.0, times=1)
        await alive.lab.kill_access_token()
        alive.servers.page.tool.run()
        await until(lambda: alive.backend.credential.status.refreshing_since is not None, 10)
        alive.tasks.controller.refresh()
        assert session.phase is CallPhase.RUNNING
        alive.servers.page.tool.cancel()
        await until(lambda: session.phase is CallPhase.CANCELLED, 1)
        assert alive.backend.credential.status.refreshing_since is not None
        await until(lambda: not alive.tasks.controller.load.busy, 10)
        assert alive.tasks.controller.load.error is None
        assert await alive.renewals() == (1, 0)


async def test_offline_is_a_word_and_the_list_stays_usable(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path, starts=True) as alive:
        titles = alive.titles()
        await alive.services.workspace.stop()
        alive.tasks.refresh()
        await until(lambda: alive.word == "Offline", 15)
        assert alive.window.corner.word.toolTip() == "Offline — showing saved data"
        assert alive.titles() == titles
        assert not alive.window.bar.isVisible()
        assert alive.backend.credential.status.state is CredentialState.SIGNED_IN
        assert alive.backend.credential.grant is not None
        keys = [line.key for line in alive.tasks.pane.table.rows.lines() if line.key.startswith("task:")]
        alive.tasks.pane.table.select_key(keys[2])
        assert alive.tasks.pages.shows_detail
        await alive.write_task("Written on the train")
        await until(lambda: alive.waiting == ["waiting-connection"], 15)
        assert alive.loud == []


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503, "body": {"error": "temporarily_unavailable"}},
        {"status": 502, "body": "<html>Bad gateway</html>"},
        {"status": 429, "body": {"error": "slow_down"}},
        {"drop": "before_commit"},
    ],
    ids=["503", "502 page", "429", "dropped"],
)
async def test_a_token_endpoint_in_trouble_is_a_word_that_goes_by_itself_and_never_a_sign_out(
    qapp: QApplication, tmp_path: Path, fault: dict[str, object]
) -> None:
    async with living(qapp, tmp_path) as alive:
        titles, grant = alive.titles(), alive.backend.credential.grant
        await alive.lab.token_endpoint(**fault, times=1000)  # type: ignore[arg-type]
        await alive.lab.kill_access_token()
        alive.tasks.refresh()
        await until(lambda: alive.word in {"Server error", "Offline"}, 15)
        assert "showing saved data" in alive.window.corner.word.toolTip()
        assert alive.backend.credential.status.state is CredentialState.SIGNED_IN
        assert alive.backend.credential.grant is grant
        assert alive.titles() == titles
        assert not alive.window.bar.isVisible()
        await alive.lab.reset()
        await until(lambda: alive.word == "Signed in", 20)
        assert alive.loud == []
        assert (await alive.renewals())[1] == 0


async def test_a_server_that_refuses_every_new_token_is_a_word_with_advice_and_no_storm(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path) as alive:
        titles = alive.titles()
        await alive.lab.path_fault("/api/", status=401, body=REFUSED, times=1000)
        for _ in range(6):
            alive.tasks.refresh()
            await until(lambda: not alive.tasks.controller.load.busy, 10)
        await until(lambda: alive.word == "Refused by server", 10)
        assert "signing in again may help" in alive.window.corner.word.toolTip()
        assert await alive.renewals() == (3, 0)
        assert not alive.window.bar.isVisible()
        assert alive.backend.credential.status.state is CredentialState.SIGNED_IN
        assert alive.titles() == titles
        assert alive.loud == []
        asked = await requests_made(alive)
        await never(lambda: alive.tasks.controller.load.busy, 0.4)
        assert await requests_made(alive) == asked
        await alive.lab.reset()
        await alive.sign_in_again()
        alive.tasks.refresh()
        await until(lambda: alive.word == "Signed in", 10)


async def requests_made(alive: Living) -> int:
    counted = (await alive.lab.state())["counters"]["requests"]
    return sum(count for path, count in counted.items() if path.startswith("/api/"))
