"""The switchboard of a real workspace, driven as the lab page drives it."""

from __future__ import annotations

from time import monotonic

import pytest

from app.core.errors import NotFound, Offline, Rejected, ServerTrouble
from app.core.fetcher import plain_json
from app.core.lab import Lab
from tests.conftest import RunningWorkspace


async def test_a_path_answers_as_told_and_as_often_and_every_request_is_counted(workspace: RunningWorkspace) -> None:
    lab = Lab(workspace.url, workspace.secret)
    await lab.path_fault("/_workspace", status=503, body={"detail": "busy"}, times=2)
    for _ in range(2):
        with pytest.raises(ServerTrouble, match="busy"):
            await plain_json("GET", f"{workspace.url}/_workspace")
    assert await plain_json("GET", f"{workspace.url}/_workspace")
    assert (await lab.state())["counters"]["requests"]["/_workspace"] == 3


async def test_rules_last_until_the_reset_and_tokens_grants_and_time_can_be_ended(workspace: RunningWorkspace) -> None:
    lab = Lab(workspace.url, workspace.secret)
    await lab.token_endpoint(status=503, times=3)
    await lab.slow(0.2, "/_workspace")
    assert [rule["kind"] for rule in (await lab.state())["rules"]] == ["token-endpoint", "slow"]
    started = monotonic()
    await plain_json("GET", f"{workspace.url}/_workspace")
    assert monotonic() - started >= 0.2
    await lab.reset()
    assert (await lab.state())["rules"] == []
    assert await lab.kill_access_token() == 0
    assert await lab.revoke_grant() == 0
    before = (await lab.state())["now"]
    await lab.expire(3600)
    assert (await lab.state())["now"] - before >= 3600


async def test_what_is_no_fault_is_rejected_and_without_the_secret_there_is_no_switchboard(
    workspace: RunningWorkspace,
) -> None:
    with pytest.raises(Rejected):
        await Lab(workspace.url, workspace.secret).path_fault("/x", status=99)
    for secret in ("wrong", None):
        with pytest.raises(NotFound):
            await Lab(workspace.url, secret).state()
    workspace.process.terminate()
    workspace.process.wait(5)
    with pytest.raises(Offline):
        await Lab(workspace.url, workspace.secret).state()


async def test_each_code_for_a_consent_page_is_a_new_one(workspace: RunningWorkspace) -> None:
    lab = Lab(workspace.url, workspace.secret)
    codes = {await lab.person_code() for _ in range(3)}
    assert len(codes) == 3
    assert all(len(code) == 9 and code[4] == "-" for code in codes)
    with pytest.raises(NotFound):
        await Lab(workspace.url, "wrong").person_code()
