"""Rows 15 to 18 and 20 to 23: what is stored, by whom, and what another process makes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from app.core.auth.cause import ASKED
from app.core.auth.grant.grant import Grant
from app.core.auth.grant.journal import REFRESHED, UNSTORED
from app.core.auth.grant.lifecycle import SAVE_AGAIN_SECONDS
from app.core.auth.status import CredentialState
from app.core.auth.tokens import TokenSet
from app.core.auth.vault.base import VaultFailure, VaultState
from app.core.auth.vault.vaults import FileVault
from app.core.errors import ServerTrouble, SignInNeeded
from tests.clock import StillClock
from tests.core.conftest import Rig, client_of, signed_in
from tests.core.scripted import DEAD, Reply
from tests.faults.measure import Measure
from tests.faults.rig import two_windows
from tests.until import until

PATH = "/api/x/"
INVALID_GRANT = Reply(400, {"error": "invalid_grant"})


class Watched(FileVault):
    """A private file, and who looks in the moment in which it is deleted."""

    deleted: Callable[[], Awaitable[None]] | None = None

    async def delete(self, name: str) -> None:
        await super().delete(name)
        if self.deleted is not None:
            await self.deleted()


async def renew(rig: Rig) -> None:
    """Renew, whatever the token is good for."""
    grant = rig.credential.grant
    assert grant is not None
    await rig.credential.refresh(grant.tokens, ASKED)


async def follows(rig: Rig, clock: StillClock, state: CredentialState, generation: int | None = None) -> None:
    """Wait until the session has noticed what another process did."""

    def noticed() -> bool:
        clock.advance(1)
        return rig.credential.status.state is state and generation == _generation(rig)

    await until(noticed)


def _generation(rig: Rig) -> int | None:
    return None if rig.credential.grant is None else rig.credential.grant.tokens.generation


async def test_row_15_what_another_process_renewed_is_taken_over_before_anything_is_refused(
    tmp_path: Path, measure: Measure
) -> None:
    clock = StillClock()
    async with two_windows(tmp_path, clock=clock) as (first, second):
        await renew(second)
        measure.watch(first, second)
        first.server.views[PATH] = first.issuer.guard()
        await follows(first, clock, CredentialState.SIGNED_IN, 2)
        assert (await measure.one(first.fetcher.get(PATH))).status == 200
        assert first.server.requests[PATH] == 1
        measure.expect(R=0)


async def test_row_15_a_process_that_slept_takes_over_instead_of_renewing(tmp_path: Path, measure: Measure) -> None:
    clock = StillClock()
    async with two_windows(tmp_path, clock=clock) as (first, second):
        clock.suspend(4000)
        await renew(second)
        measure.watch(first, second)
        first.server.views[PATH] = first.issuer.guard()
        outcomes = await measure.all(*(first.fetcher.get(PATH) for _ in range(10)))
        assert {outcome.status for outcome in outcomes} == {200}
        measure.expect(R=0)


async def test_row_15_a_renewal_that_waited_for_the_lock_sees_what_another_task_has_noticed_meanwhile(
    tmp_path: Path, measure: Measure
) -> None:
    async with two_windows(tmp_path, clock=StillClock()) as (first, second):
        first.issuer.grace = False
        await renew(second)
        measure.watch(first, second)
        async with second.credential._store._files.lock.hold():
            waiting = asyncio.create_task(renew(first))
            await asyncio.sleep(0.01)
            await first.credential.reload()
        await measure.one(waiting)
        assert _generation(first) == 2
        measure.expect(R=0)


async def test_row_16_a_refused_refresh_token_that_the_vault_has_replaced_is_no_end(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        assert rig.credential.grant is not None
        # An older Burrow renewed: it knows neither stamp nor journal.
        newer = rig.issuer.renewal("phr_1")
        assert isinstance(newer.body, dict)
        tokens = TokenSet(str(newer.body["access_token"]), str(newer.body["refresh_token"]), generation=2)
        await rig.vault.write(rig.name, Grant(tokens, "client").encode())
        rig.issuer.script = [INVALID_GRANT]
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        measure.expect(R=1)


async def test_row_16_a_replaced_one_that_is_past_its_time_is_renewed_once(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.renewal("phr_1")
        tokens = TokenSet("pha_2", "phr_2", issued_at=1, expires_at=2, generation=2)
        await rig.vault.write(rig.name, Grant(tokens, "client").encode())
        rig.issuer.script = [INVALID_GRANT]
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        assert await rig.stored_refresh_token() == "phr_3"
        measure.expect(R=2)


async def test_row_17_signing_out_while_another_process_renews_brings_no_token_back(
    tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.auth.grant.lock.TRY_SECONDS", 0.1)
    async with two_windows(tmp_path) as (first, second):
        measure.watch(first, second)
        first.server.views[PATH] = first.issuer.guard()
        first.issuer.kill()
        first.issuer.gate = asyncio.Event()
        request = asyncio.create_task(second.fetcher.get(PATH))
        await first.issuer.reached.wait()
        await first.credential.sign_out()
        assert first.credential.status.state is CredentialState.SIGNED_OUT
        first.issuer.gate.set()
        assert isinstance(await measure.one(request), SignInNeeded)
        assert await first.stored() is None
        assert second.credential.status.state is CredentialState.SIGNED_OUT
        measure.expect(R=1)


async def test_row_17_signing_out_after_another_process_renewed_ends_what_it_stored(
    tmp_path: Path, measure: Measure
) -> None:
    clock = StillClock()
    async with two_windows(tmp_path, clock=clock) as (first, second):
        await renew(second)
        measure.watch(first, second)
        await first.credential.sign_out()
        assert await first.stored() is None
        revoked = [request.form["token"] for request in first.server.seen if request.path == "/oauth/revoke/"]
        assert revoked == ["phr_2"]
        await follows(second, clock, CredentialState.SIGNED_OUT)
        measure.expect(R=0)


async def test_row_17_whoever_finds_the_grant_gone_knows_whether_the_server_ended_it(
    tmp_path: Path, measure: Measure
) -> None:
    vault = Watched(tmp_path)
    async with two_windows(tmp_path, vault=vault) as (first, second):
        measure.watch(first, second)
        first.issuer.revoked = True
        first.server.views[PATH] = DEAD
        vault.deleted = second.credential.reload
        assert isinstance(await measure.one(first.fetcher.get(PATH)), SignInNeeded)
        assert second.credential.status.state is CredentialState.NEEDS_SIGN_IN
        measure.expect(R=1, B=2)


async def test_row_17_a_request_in_another_process_is_told_that_the_server_ended_the_grant(
    tmp_path: Path, measure: Measure
) -> None:
    async with two_windows(tmp_path, clock=StillClock()) as (first, second):
        measure.watch(first, second)
        first.issuer.revoked = True
        first.server.views[PATH] = DEAD
        for rig in (first, second):
            failure = await measure.one(rig.fetcher.get(PATH))
            assert isinstance(failure, SignInNeeded)
            assert failure.cause == "The server no longer accepts this sign-in."
        measure.expect(R=1, B=2)


async def test_row_17_a_request_in_another_process_is_told_that_somebody_signed_out(
    tmp_path: Path, measure: Measure
) -> None:
    async with two_windows(tmp_path, clock=StillClock()) as (first, second):
        measure.watch(first, second)
        await first.credential.sign_out()
        first.server.views[PATH] = DEAD
        failure = await measure.one(second.fetcher.get(PATH))
        assert isinstance(failure, SignInNeeded)
        assert failure.cause == "Signed out in another window."
        measure.expect(R=0)


async def test_row_17_signing_in_again_in_one_process_is_seen_by_the_others(tmp_path: Path, measure: Measure) -> None:
    clock = StillClock()
    async with two_windows(tmp_path, clock=clock) as (first, second):
        measure.watch(first, second)
        first.issuer.revoked = True
        first.server.views[PATH] = DEAD
        await measure.one(first.fetcher.get(PATH))
        await follows(second, clock, CredentialState.NEEDS_SIGN_IN)
        told: list[str] = []
        second.credential.happened.subscribe(lambda event: told.append(f"{event.what}: {event.why}"))
        await first.credential.sign_in(Grant(TokenSet("pha_9", "phr_9", generation=1), "client"), "browser")
        await follows(second, clock, CredentialState.SIGNED_IN, 1)
        assert told == ["signed in: another window"]
        measure.expect(R=1, B=2)


async def test_row_17_a_request_of_one_account_is_never_repeated_as_another(tmp_path: Path, measure: Measure) -> None:
    async with two_windows(tmp_path) as (first, second):
        measure.watch(first, second)
        first.server.views[PATH] = DEAD
        await first.credential.sign_in(Grant(TokenSet("pha_ben", "phr_ben", generation=7), "client"), "browser")
        assert isinstance(await measure.one(second.fetcher.post(PATH, {"title": "Ana's"})), SignInNeeded)
        assert [request.bearer for request in first.server.seen if request.path == PATH] == ["pha_1"]
        assert second.credential.status.state is CredentialState.SIGNED_IN
        measure.expect(R=0)


class Late(FileVault):
    """Between the refusal and the tidying up, another process stores what it renewed."""

    reads = 0
    newer: str | None = None

    async def read(self, name: str) -> str | None:
        self.reads += 1
        if self.newer is not None and self.reads > 1:
            await self.write(name, self.newer)
            self.newer = None
        return await super().read(name)


async def test_row_18_whoever_loses_the_race_leaves_the_winners_record_and_goes_on_with_it(
    tmp_path: Path, measure: Measure
) -> None:
    vault = Late(tmp_path)
    async with signed_in(tmp_path, vault=vault) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.renewal("phr_1")
        assert rig.credential.grant is not None
        winner = Grant(TokenSet("pha_2", "phr_2", generation=2), "client", sign_in=rig.credential.grant.sign_in)
        vault.newer = winner.encode()
        rig.issuer.script = [INVALID_GRANT]
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        assert await rig.stored_refresh_token() == "phr_2"
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        measure.expect(R=1)


class Full(FileVault):
    """A disk that is full, or a keyring that is locked, for a while."""

    state: VaultState | None = None

    async def write(self, name: str, secret: str) -> None:
        if self.state is not None:
            raise VaultFailure(self.state, "No space left.")
        await super().write(name, secret)


@pytest.mark.parametrize("state", [VaultState.UNREADABLE, VaultState.LOCKED])
async def test_row_20_a_pair_that_cannot_be_stored_is_used_and_said_and_stored_as_soon_as_it_can(
    tmp_path: Path, measure: Measure, state: VaultState
) -> None:
    clock = StillClock()
    vault = Full(tmp_path)
    async with two_windows(tmp_path, clock=clock, vault=vault) as (rig, _other):
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.kill()
        vault.state = state
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        status = rig.credential.status
        assert (status.state, status.persistent, status.trouble) == (
            CredentialState.SIGNED_IN,
            False,
            f"vault-{state.value}",
        )
        (event,) = [event for event in await rig.credential.journal.recent(5) if event.what == "renewal"]
        assert (event.outcome, event.open) == (UNSTORED, True)
        clock.advance(SAVE_AGAIN_SECONDS)
        await asyncio.sleep(0.05)
        assert not rig.credential.status.persistent
        vault.state = None
        clock.advance(SAVE_AGAIN_SECONDS)

        async def stored() -> bool:
            return (await rig.credential.journal.recent(1))[0].outcome == REFRESHED

        await until(stored)
        assert await rig.stored_refresh_token() == "phr_2"
        assert (rig.credential.status.persistent, rig.credential.status.trouble) == (True, None)
        assert not (await rig.credential.journal.recent(1))[0].open
        measure.expect(R=1)


async def test_row_20_what_one_process_holds_in_memory_alone_no_other_spends_again(
    tmp_path: Path, measure: Measure
) -> None:
    clock = StillClock()
    vault = Full(tmp_path)
    async with two_windows(tmp_path, clock=clock, vault=vault) as (first, second):
        measure.watch(first, second)
        first.server.views[PATH] = first.issuer.guard()
        first.issuer.kill()
        first.issuer.grace = False
        vault.state = VaultState.LOCKED
        assert (await measure.one(first.fetcher.get(PATH))).status == 200
        clock.advance(200)
        assert isinstance(await measure.one(second.fetcher.get(PATH)), ServerTrouble)
        assert not first.issuer.revoked
        vault.state = None

        def stored() -> bool:
            clock.advance(1)
            return first.credential.status.persistent

        await until(stored)
        second.credential.wake()
        assert (await measure.one(second.fetcher.get(PATH))).status == 200
        measure.expect(R=1, V=1)


@pytest.mark.parametrize(
    "record", ["", "{torn", "[]", "null", '"text"', '{"access_token": 5}', '{"access_token": "a", "issued_at": "x"}']
)
async def test_row_21_a_damaged_record_asks_once_at_the_start_and_stays_as_it_is(
    tmp_path: Path, measure: Measure, record: str
) -> None:
    async with signed_in(tmp_path) as rig:
        await rig.vault.write(rig.name, record)
        again = client_of(rig.server, rig.issuer, tmp_path, vault=rig.vault, remembered=rig.remembered)
        measure.watch(again)
        await again.credential.restore()
        assert isinstance(await measure.one(again.fetcher.get(PATH)), SignInNeeded)
        assert await rig.vault.read(rig.name) == record
        await again.credential.sign_in(Grant(TokenSet("pha_1", "phr_1"), "client"), "browser")
        assert again.credential.status.state is CredentialState.SIGNED_IN
        await again.credential.close()
        await again.transport.close()
        measure.expect(R=0, B=1)


async def test_row_21_a_record_that_is_damaged_meanwhile_costs_nothing(tmp_path: Path, measure: Measure) -> None:
    async with two_windows(tmp_path) as (first, second):
        await second.vault.write(second.name, "{torn")
        second.credential._store._files.change_stamp()
        measure.watch(first, second)
        first.server.views[PATH] = first.issuer.guard()
        first.issuer.kill()
        assert (await measure.one(first.fetcher.get(PATH))).status == 200
        assert await first.stored_refresh_token() == "phr_2"
        measure.expect(R=1)


async def test_row_22_two_servers_renew_without_waiting_for_each_other(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as slow, signed_in(tmp_path) as quick:
        measure.watch(slow, quick)
        for rig in (slow, quick):
            rig.server.views[PATH] = rig.issuer.guard()
            rig.issuer.kill()
        slow.issuer.gate = asyncio.Event()
        waiting = asyncio.create_task(measure.one(slow.fetcher.get(PATH)))
        await slow.issuer.reached.wait()
        assert (await measure.one(quick.fetcher.get(PATH))).status == 200
        assert not waiting.done()
        slow.issuer.gate.set()
        assert (await waiting).status == 200
        assert slow.name != quick.name
        assert len(list((tmp_path / "sign-in-unencrypted").glob("*.json"))) == 2
        assert [await rig.stored_refresh_token() for rig in (slow, quick)] == ["phr_2", "phr_2"]
        measure.expect(R=2)


def read_by_the_first_version(text: str) -> dict[str, Any]:
    """How records were read before they named issuer and sign-in: fields it did not know were left out."""
    record = json.loads(text)
    assert isinstance(record["access_token"], str)
    known = set(asdict(TokenSet("")))
    return {name: value for name, value in record.items() if name in known}


async def test_row_23_an_older_and_a_newer_version_read_each_others_records(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        assert rig.credential.grant is not None
        text = await rig.vault.read(rig.name)
        assert TokenSet(**read_by_the_first_version(text or "")).refresh_token == "phr_1"
        older = {"v": 1, "client_id": "client", **asdict(rig.credential.grant.tokens)}
        newer = {"v": 9, "from": "the future", **json.loads(text or "")}
        for record in (older, newer):
            await rig.vault.write(rig.name, json.dumps(record))
            again = client_of(rig.server, rig.issuer, tmp_path, vault=rig.vault, remembered=rig.remembered)
            measure.watch(again)
            await again.credential.restore()
            assert again.credential.grant is not None
            assert again.credential.grant.tokens.access_token == "pha_1"
            await again.credential.close()
        measure.expect(R=0)


async def test_row_23_a_renewal_of_an_older_version_is_taken_over(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        reply = rig.issuer.renewal("phr_1")
        assert isinstance(reply.body, dict)
        pair = {name: reply.body[name] for name in ("access_token", "refresh_token")}
        await rig.vault.write(rig.name, json.dumps({"v": 1, "client_id": "client", "generation": 2, **pair}))
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        measure.expect(R=1)
