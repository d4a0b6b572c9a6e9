"""Rows 59 to 66: what the machine under Burrow does: it sleeps, its clock jumps, its keyring is locked or missing."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from app.core.auth.cause import ASKED
from app.core.auth.grant.grant import Grant
from app.core.auth.status import CredentialState
from app.core.auth.tokens import TokenSet
from app.core.auth.vault.chunks import ChunkedItems
from app.core.auth.vault.vaults import WINDOWS_ITEM_UNITS, KeyringVault, SingleItems
from app.core.clock import watch_sleep
from app.core.errors import Offline, VaultTrouble
from tests.clock import StillClock
from tests.core.conftest import client_of, signed_in
from tests.core.scripted import Reply, Request
from tests.core.test_chunks import CredentialManager
from tests.faults.measure import Measure
from tests.secret_service import SecretService, environment_without_bus

PATH = "/api/x/"


async def go_by(clock: StillClock, seconds: float) -> None:
    """Let time pass in steps, with a moment for the sockets after each."""
    for _ in range(round(seconds * 10)):
        clock.advance(0.1)
        await asyncio.sleep(0.002)


async def test_row_59_twenty_timers_after_a_long_sleep_cost_one_renewal_once_the_network_is_back(
    tmp_path: Path, measure: Measure
) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, clock=clock) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        await rig.credential.registrar.metadata()
        watching = asyncio.create_task(watch_sleep(clock, lambda: rig.credential.wake(slept=True)))

        async def timer() -> object:
            await clock.sleep(12)
            return await rig.fetcher.get(PATH)

        timers = [asyncio.create_task(measure.one(timer())) for _ in range(20)]
        await asyncio.sleep(0)
        await rig.server.go_away()
        clock.suspend(8 * 3600)
        await go_by(clock, 15)
        assert not any(timer.done() for timer in timers)
        await rig.server.come_back()
        await go_by(clock, 2)
        assert {getattr(outcome, "status", outcome) for outcome in await asyncio.gather(*timers)} == {200}
        assert "pha_1" not in {request.bearer for request in rig.server.seen}
        watching.cancel()
        measure.expect(R=1)


async def test_row_59_a_network_that_does_not_come_back_is_told_and_costs_no_sign_in(
    tmp_path: Path, measure: Measure
) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, clock=clock) as rig:
        measure.watch(rig)
        await rig.server.go_away()
        clock.suspend(8 * 3600)
        rig.credential.wake(slept=True)
        request = asyncio.create_task(measure.one(rig.fetcher.get(PATH)))
        async with asyncio.timeout(10):
            while not request.done():
                if clock.sleeping():
                    clock.advance(0.5)
                await asyncio.sleep(0.002)
        assert isinstance(await request, Offline)
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        measure.expect(R=0, V=1)


@pytest.mark.parametrize("jump", [600.0, -600.0])
async def test_row_60_a_clock_that_is_set_while_running_neither_renews_nor_serves_too_long(
    tmp_path: Path, measure: Measure, jump: float
) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, clock=clock) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        clock.set_wall(jump)
        for _ in range(5):
            assert (await measure.one(rig.fetcher.get(PATH))).status == 200
            clock.advance(60)
        assert rig.issuer.accepted == 0
        # Past its hour by any clock but the wall's.
        clock.advance(3301)
        sent = len(rig.server.seen)
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        assert "pha_1" not in {request.bearer for request in rig.server.seen[sent:]}
        measure.expect(R=1)


@pytest.mark.parametrize("off", [600.0, -600.0])
async def test_row_60_a_clock_that_was_wrong_from_the_start_is_corrected_by_the_servers(
    tmp_path: Path, measure: Measure, off: float
) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, clock=clock, lifetime=1200) as rig:
        # Issued by a server whose clock is right, a moment ago.
        server_now = clock.wall() + off
        tokens = TokenSet("pha_1", "phr_1", server_now, server_now + 1200, generation=1)
        await rig.credential.sign_in(Grant(tokens, "client"), "test")
        measure.watch(rig)
        honest = rig.issuer.guard()

        def dated(request: Request) -> Reply:
            assert callable(honest)
            reply = honest(request)
            assert isinstance(reply, Reply)
            return Reply(reply.status, reply.body, {"Date": formatdate(clock.wall() + off, usegmt=True)})

        rig.server.views[PATH] = dated
        for _ in range(10):
            assert (await measure.one(rig.fetcher.get(PATH))).status == 200
            clock.advance(30)
        assert rig.credential.oauth.time.skew == pytest.approx(off, abs=2)
        measure.expect(R=0)


async def test_row_61_a_network_that_flaps_during_a_renewal_is_not_shown(tmp_path: Path, measure: Measure) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, clock=clock) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        await rig.credential.registrar.metadata()
        await rig.server.go_away()
        clock.advance(4000)
        requests = [asyncio.create_task(measure.one(rig.fetcher.get(PATH))) for _ in range(10)]
        await clock.until_sleeping(0.3)
        await rig.server.come_back()
        clock.advance(0.3)
        assert {answer.status for answer in await asyncio.gather(*requests)} == {200}
        measure.expect(R=1)


# keyring leaves its bus connection to the garbage collector when a collection is locked.
leaves_bus_open = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def locked_keyring(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretService]:
    """A real keyring whose prompts nobody answers."""
    with SecretService(silent_prompter=True) as service:
        for name, value in service.variables.items():
            monkeypatch.setenv(name, value)
        yield service
    # Only now is nothing of the test alive that holds the connection.
    gc.collect()


@leaves_bus_open
async def test_row_62_a_keyring_that_waits_for_a_person_holds_nothing_up_and_is_used_again_when_unlocked(
    tmp_path: Path, measure: Measure, locked_keyring: SecretService
) -> None:
    async with signed_in(tmp_path, vault=KeyringVault(deadline=0.3)) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        locked_keyring.lock()
        rig.issuer.kill()
        gaps: list[float] = []
        beating = asyncio.create_task(beat(gaps))
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        beating.cancel()
        assert max(gaps) < 0.25
        status = rig.credential.status
        assert (status.state, status.trouble, status.persistent) == (CredentialState.SIGNED_IN, "vault-locked", False)
        locked_keyring.unlock()
        await rig.credential.choose_store("memory")
        status = rig.credential.status
        assert (status.trouble, status.store, status.persistent) == (None, "memory", False)
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        measure.expect(R=1)


async def beat(gaps: list[float]) -> None:
    last = time.monotonic()
    while True:
        await asyncio.sleep(0.005)
        now = time.monotonic()
        gaps.append(now - last)
        last = now


@leaves_bus_open
async def test_row_62_a_keyring_locked_at_the_start_is_waited_for_and_nobody_is_asked_to_sign_in(
    tmp_path: Path, measure: Measure, locked_keyring: SecretService
) -> None:
    async with signed_in(tmp_path, vault=KeyringVault(deadline=0.3)) as rig:
        locked_keyring.lock()
        again = client_of(rig.server, rig.issuer, tmp_path, vault=KeyringVault(deadline=0.3), remembered=rig.remembered)
        measure.watch(again)
        await again.credential.restore()
        assert again.credential.status.state is CredentialState.RESTORING
        assert isinstance(await measure.one(again.fetcher.get(PATH)), VaultTrouble)
        await again.credential.close()
        await again.transport.close()
        measure.expect(R=0, V=1)


@pytest.mark.parametrize("choice", ["memory", "file"])
async def test_row_63_without_a_keyring_the_person_chooses_and_nothing_is_chosen_for_them(
    tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch, choice: str
) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", environment_without_bus(tmp_path).get("XDG_RUNTIME_DIR", str(tmp_path)))
    async with signed_in(tmp_path, vault=KeyringVault()) as rig:
        measure.watch(rig)
        status = rig.credential.status
        assert (status.trouble, status.persistent) == ("vault-absent", False)
        assert not (tmp_path / "sign-in-unencrypted").exists()
        await rig.credential.choose_store(choice)
        status = rig.credential.status
        assert (status.trouble, status.store, status.persistent) == (None, choice, choice == "file")
        assert (tmp_path / "sign-in-unencrypted").exists() is (choice == "file")
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.kill()
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        measure.expect(R=1)


async def test_row_63_a_place_chosen_while_a_renewal_is_under_way_holds_what_that_brings(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.kill()
        rig.issuer.gate = asyncio.Event()
        waiting = asyncio.create_task(measure.one(rig.fetcher.get(PATH)))
        await rig.issuer.reached.wait()
        choosing = asyncio.create_task(rig.credential.choose_store("file"))
        await asyncio.sleep(0)
        rig.issuer.gate.set()
        assert (await waiting).status == 200
        await choosing
        assert await rig.stored_refresh_token() == "phr_2"
        measure.expect(R=1)


async def test_row_64_a_grant_longer_than_a_windows_credential_is_kept_and_renewed(
    tmp_path: Path, measure: Measure
) -> None:
    measure.note = "tried on a keyring that takes 1,280 UTF-16 units an item"
    manager = CredentialManager()
    vault = KeyringVault(opened=lambda: ChunkedItems(manager, "Burrow", WINDOWS_ITEM_UNITS))
    async with signed_in(tmp_path, vault=vault) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.extra = {"access_token": "pha_" + "x" * 3000, "refresh_token": "phr_" + "y" * 3000}
        rig.issuer.kill()
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        assert rig.credential.status.trouble is None
        assert len(manager.items) > 4
        again = client_of(rig.server, rig.issuer, tmp_path, vault=vault, remembered=rig.remembered)
        await again.credential.restore()
        assert again.credential.grant == rig.credential.grant
        await rig.credential.sign_out()
        assert manager.items == {}
        await again.credential.close()
        measure.expect(R=1)


async def test_row_65_a_keychain_is_read_once_a_run_and_holds_one_item_a_server(
    tmp_path: Path, measure: Measure
) -> None:
    measure.note = "items and reads are counted; the prompts themselves are macOS's"
    keychain = CredentialManager()
    vault = KeyringVault(opened=lambda: SingleItems(keychain))
    async with signed_in(tmp_path, vault=vault) as rig:
        assert keychain.reads == 0
        again = client_of(rig.server, rig.issuer, tmp_path, vault=vault, remembered=rig.remembered)
        measure.watch(again)
        await again.credential.restore()
        assert keychain.reads == 1
        for _ in range(5):
            assert again.credential.grant is not None
            await again.credential.refresh(again.credential.grant.tokens, ASKED)
        assert keychain.reads == 1
        assert len(keychain.items) == 1
        await again.credential.close()
        await again.transport.close()
        measure.expect(R=5)


class Denied(KeyringBackend):
    """A keychain whose owner has clicked Deny; keyring tells that as `KeyringLocked`."""

    priority = 1

    def __init__(self) -> None:
        self.asked = 0

    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("Can't get password from keychain: (-128, 'Keychain Access Denied')")

    def set_password(self, service: str, username: str, password: str) -> None:
        self.asked += 1
        raise KeyringLocked("Can't store password on keychain: (-128, 'Keychain Access Denied')")


async def test_row_66_a_denied_keychain_leaves_the_session_in_memory(tmp_path: Path, measure: Measure) -> None:
    measure.note = "what keyring answers when a person denies; the dialog itself is macOS's"
    keychain = Denied()
    async with signed_in(tmp_path, vault=KeyringVault(opened=lambda: SingleItems(keychain))) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        for _ in range(3):
            rig.issuer.kill()
            assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        status = rig.credential.status
        assert (status.state, status.trouble, status.persistent) == (CredentialState.SIGNED_IN, "vault-locked", False)
        measure.expect(R=3)
