"""Rows 74 to 81: what a renewal must neither lose, nor spend in vain, nor repeat for ever."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.core.auth.cause import AHEAD, ASKED
from app.core.auth.grant import refresh
from app.core.auth.grant.files import GrantFiles
from app.core.auth.grant.grant import Grant
from app.core.auth.grant.journal import JournalStorage
from app.core.auth.http.target import CredentialAtStake, Target
from app.core.auth.status import CredentialState, Trouble
from app.core.auth.tokens import TokenSet
from app.core.auth.vault.vaults import UNENCRYPTED_FOLDER, FileVault, MemoryVault
from app.core.errors import BurrowError, ServerTrouble, SignInNeeded, VaultTrouble
from app.core.mcp.protocol.connection import Connection, Endpoint
from app.core.mcp.protocol.http_transport import StreamableHttpTransport
from app.core.mcp.servers.refused_probes import REMEMBERED_SECONDS, RefusedProbes
from app.core.storage import Storage
from tests.clock import StillClock
from tests.core.conftest import Remembered, Rig, client_of, signed_in
from tests.core.scripted import DEAD, Reply, Request
from tests.faults.measure import Measure
from tests.until import until

PATH = "/api/x/"
INVALID_GRANT = Reply(400, {"error": "invalid_grant"})


def tokens_of(rig: Rig) -> TokenSet:
    assert rig.credential.grant is not None
    return rig.credential.grant.tokens


async def another_process(rig: Rig, folder: Path) -> Rig:
    other = client_of(rig.server, rig.issuer, folder, vault=FileVault(folder), remembered=rig.remembered)
    await other.credential.restore()
    return other


@asynccontextmanager
async def journal_in(folder: Path) -> AsyncIterator[JournalStorage]:
    """The journal on the disk, which processes share."""
    storage = Storage.open(folder)
    try:
        yield storage.grants
    finally:
        await storage.close()


# Row 74: the program ends while a renewal is on its way.


async def test_row_74_quitting_waits_for_an_answer_that_takes_its_time_and_stores_it(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.issuer.gate = asyncio.Event()
        renewal = asyncio.create_task(rig.credential.refresh(tokens_of(rig), ASKED))
        await rig.issuer.reached.wait()
        closing = asyncio.create_task(rig.credential.close())
        done, _ = await asyncio.wait({closing}, timeout=2.6)
        assert not done
        rig.issuer.gate.set()
        await closing
        await asyncio.gather(renewal, return_exceptions=True)
        assert await rig.stored_refresh_token() == "phr_2"
        measure.expect(R=1)


async def test_row_74_no_further_attempt_is_made_while_the_program_ends(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.issuer.gate = asyncio.Event()
        rig.issuer.script = [Reply(503, {"error": "temporarily_unavailable"})] * 3
        renewal = asyncio.create_task(rig.credential.refresh(tokens_of(rig), ASKED))
        await rig.issuer.reached.wait()
        closing = asyncio.create_task(rig.credential.close())
        await asyncio.sleep(0)
        rig.issuer.gate.set()
        await closing
        await asyncio.gather(renewal, return_exceptions=True)
        measure.expect(R=1)


# Row 81: the successor of the refresh token cannot be stored.


def in_the_way(rig: Rig, folder: Path) -> Path:
    """Something stands where the vault would write."""
    [path] = (folder / UNENCRYPTED_FOLDER).glob("*.json")
    blocked = path.with_name(f".new-{path.stem}-reserved")
    blocked.mkdir()
    return blocked


async def test_row_81_while_the_token_works_nothing_is_spent_that_could_not_be_stored(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path, vault=FileVault(tmp_path)) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        blocked = in_the_way(rig, tmp_path)
        with pytest.raises(VaultTrouble):
            await rig.credential.refresh(tokens_of(rig), AHEAD)
        assert rig.credential.status.trouble == Trouble.VAULT_UNREADABLE
        assert (await rig.fetcher.get(PATH)).status == 200
        assert rig.server.requests["/oauth/token/"] == 0
        blocked.rmdir()
        rig.credential.wake()
        await rig.credential.refresh(tokens_of(rig), AHEAD)
        assert await rig.stored_refresh_token() == "phr_2"
        measure.expect(R=1)


async def test_row_81_a_window_heals_a_dead_token_all_the_same_and_stores_the_new_one_later(
    tmp_path: Path, measure: Measure
) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, vault=FileVault(tmp_path), clock=clock) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        blocked = in_the_way(rig, tmp_path)
        rig.issuer.kill()
        assert (await rig.fetcher.get(PATH)).status == 200
        assert not rig.credential.status.persistent
        blocked.rmdir()
        clock.advance(31)
        await until(lambda: rig.credential.status.persistent)
        assert await rig.stored_refresh_token() == "phr_2"
        measure.expect(R=1)


async def test_row_81_a_process_that_ends_soon_spends_nothing_that_it_could_not_store(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path, vault=FileVault(tmp_path), keeps_unstored=False) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.kill()
        in_the_way(rig, tmp_path)
        with measure.meets(VaultTrouble):
            await rig.fetcher.get(PATH)
        assert await rig.stored_refresh_token() == "phr_1"
        measure.expect(R=0, V=1)


async def test_row_81_what_was_reserved_is_what_is_written_and_holds_no_secret_before(tmp_path: Path) -> None:
    vault = FileVault(tmp_path)
    await vault.write("name", "first")
    await vault.reserve("name", "first")
    [reserved] = (tmp_path / UNENCRYPTED_FOLDER).glob(".new-*")
    assert reserved.read_bytes().strip() == b""
    before = reserved.stat()
    assert before.st_blocks * 512 >= before.st_size >= 4096
    assert before.st_mode & 0o777 == 0o600
    await vault.write("name", "second, and longer")
    [path] = (tmp_path / UNENCRYPTED_FOLDER).iterdir()
    assert path.stat().st_ino == before.st_ino
    assert await vault.read("name") == "second, and longer"


# Row 75: an answer to a renewal that lacks something.


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, {"refresh_token": "phr_9"}),
        (200, {"access_token": "pha_9", "refresh_token": "phr_9", "token_type": "mac"}),
        (200, {"access_token": "not sendable \n", "refresh_token": "phr_9"}),
        (200, {"access_token": "", "refresh_token": "phr_9", "error": "server_error"}),
        (400, {"error": "invalid_grant", "refresh_token": "phr_9"}),
        (503, {"refresh_token": "phr_9"}),
    ],
    ids=["no access token", "unknown type", "unsendable", "an error beside it", "refused beside it", "503"],
)
async def test_row_75_a_new_refresh_token_is_kept_whatever_else_is_wrong_with_the_answer(
    tmp_path: Path, measure: Measure, status: int, answer: dict[str, Any]
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.issuer.script = [Reply(status, answer)]
        with measure.meets(BurrowError):
            await rig.credential.refresh(tokens_of(rig), ASKED)
        assert await rig.stored_refresh_token() == "phr_9"
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        rig.issuer.pair["refresh_token"] = "phr_9"
        rig.credential.wake()
        await rig.credential.refresh(tokens_of(rig), ASKED)
        assert tokens_of(rig).access_token == rig.issuer.access_token
        measure.expect(R=2, V=1)


async def test_row_75_tokens_beside_an_error_are_used(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.issuer.extra = {"error": "invalid_grant", "error_description": "odd"}
        await rig.credential.refresh(tokens_of(rig), ASKED)
        assert tokens_of(rig).access_token == "pha_2"
        assert await rig.stored_refresh_token() == "phr_2"
        measure.expect(R=1)


@pytest.mark.parametrize("refresh_token", ["\ud800", "line\nbreak", 7, ""])
async def test_row_75_a_refresh_token_that_cannot_be_sent_does_not_replace_the_old_one(
    tmp_path: Path, measure: Measure, refresh_token: object
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.issuer.extra = {"refresh_token": refresh_token}
        await rig.credential.refresh(tokens_of(rig), ASKED)
        assert await rig.stored_refresh_token() == "phr_1"
        measure.expect(R=1)


async def test_row_75_an_answer_that_never_came_is_asked_for_again_by_the_next_process(
    tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "PAUSES", (0.01,))
    async with journal_in(tmp_path) as journal, signed_in(tmp_path, log=journal) as rig:
        measure.watch(rig)
        rig.issuer.script = [Reply(drop=True)] * 3
        await measure.one(rig.credential.refresh(tokens_of(rig), ASKED))
        later = client_of(
            rig.server, rig.issuer, tmp_path, vault=FileVault(tmp_path), remembered=rig.remembered, log=journal
        )
        try:
            await later.credential.restore()
            await until(lambda: tokens_of(later).refresh_token == "phr_2")
            measure.expect(R=4, V=1)
        finally:
            await later.credential.close()
            await later.transport.close()


async def test_row_75_a_failed_renewal_is_not_repeated_at_once(
    tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "PAUSES", (0.01,))
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.issuer.script = [Reply(503, {"error": "temporarily_unavailable"})] * 30
        for _ in range(5):
            await measure.one(rig.credential.refresh(tokens_of(rig), ASKED))
        measure.expect(R=3, V=1)


# Row 76: a token that was adopted from another process is dead too.


async def test_row_76_an_adopted_token_that_is_dead_too_costs_one_renewal_and_no_error(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        other = await another_process(rig, tmp_path)
        try:
            await other.credential.refresh(tokens_of(other), ASKED)
            rig.issuer.kill()
            assert (await rig.fetcher.get(PATH)).status == 200
            measure.expect(R=2)
        finally:
            await other.credential.close()
            await other.transport.close()


async def test_row_76_two_renewals_are_never_made_for_one_request(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = DEAD
        other = await another_process(rig, tmp_path)
        try:
            await other.credential.refresh(tokens_of(other), ASKED)
            with measure.meets(ServerTrouble):
                await rig.fetcher.get(PATH)
            assert rig.server.requests[PATH] == 3
            measure.expect(R=2, V=1)
        finally:
            await other.credential.close()
            await other.transport.close()


# Row 77: tokens that expire at once.


@pytest.mark.parametrize("lifetime", [0.001, 0.5, 1, 3])
async def test_row_77_an_idle_process_renews_at_most_ten_times_a_minute(
    tmp_path: Path, measure: Measure, lifetime: float
) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, lifetime=lifetime, clock=clock) as rig:
        measure.watch(rig)
        for _ in range(120):
            clock.advance(0.5)
            for _ in range(5):
                await asyncio.sleep(0)
            await until(lambda: rig.credential.status.refreshing_since is None)
        assert 1 <= rig.issuer.accepted <= 10
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        measure.expect(R=rig.issuer.accepted)


async def test_row_77_a_token_that_is_past_its_time_is_sent_once_no_renewal_is_allowed(
    tmp_path: Path, measure: Measure
) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, lifetime=0.001, clock=clock) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        for _ in range(30):
            clock.advance(0.1)
            assert (await rig.fetcher.get(PATH)).status == 200
        assert rig.issuer.accepted <= 10
        assert rig.credential.status.trouble is None
        measure.expect(R=rig.issuer.accepted)


# Row 78: the gap between a refusal and the end of the grant.


class Gap(MemoryVault):
    """One vault of two processes. It stops whoever deletes, until `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = FileVault.kind
        self.deleting, self.go = asyncio.Event(), asyncio.Event()

    async def delete(self, name: str) -> None:
        self.deleting.set()
        await self.go.wait()
        await super().delete(name)


async def test_row_78_nobody_sends_a_refused_token_again_before_it_is_deleted(tmp_path: Path, measure: Measure) -> None:
    vault = Gap()
    async with signed_in(tmp_path, vault=vault) as rig:
        measure.watch(rig)
        other = client_of(rig.server, rig.issuer, tmp_path, vault=vault, remembered=rig.remembered)
        await other.credential.restore()
        try:
            rig.issuer.script = [INVALID_GRANT] * 5
            first = asyncio.create_task(rig.credential.refresh(tokens_of(rig), ASKED))
            await vault.deleting.wait()
            second = asyncio.create_task(other.credential.refresh(tokens_of(other), ASKED))
            done, _ = await asyncio.wait({second}, timeout=0.3)
            assert not done
            vault.go.set()
            failures = await asyncio.gather(first, second, return_exceptions=True)
            assert {type(failure) for failure in failures} == {SignInNeeded}
            measure.expect(R=1, B=1)
        finally:
            await other.credential.close()
            await other.transport.close()


async def test_row_78_a_refused_grant_that_could_not_be_deleted_is_not_sent_again_by_the_next_process(
    tmp_path: Path, measure: Measure
) -> None:
    async with journal_in(tmp_path) as journal, signed_in(tmp_path, log=journal) as rig:
        measure.watch(rig)
        stored = await rig.stored()
        assert stored is not None
        rig.issuer.script = [INVALID_GRANT] * 5
        await measure.one(rig.credential.refresh(tokens_of(rig), ASKED))
        await rig.vault.write(rig.name, stored.encode())
        await rig.remembered.set(f"auth:{rig.credential.key.text}:stored", True)
        later = client_of(
            rig.server, rig.issuer, tmp_path, vault=FileVault(tmp_path), remembered=rig.remembered, log=journal
        )
        measure.watch_credential(later.credential)
        try:
            await later.credential.restore()
            assert later.credential.status.state is CredentialState.SIGNED_IN
            await measure.one(later.credential.refresh(tokens_of(later), ASKED))
            assert later.credential.status.state is CredentialState.NEEDS_SIGN_IN
            measure.expect(R=1, B=2)
        finally:
            await later.credential.close()
            await later.transport.close()


async def test_row_78_who_waits_for_the_lock_is_told_that_the_server_ended_the_grant(
    tmp_path: Path, measure: Measure
) -> None:
    async with journal_in(tmp_path) as journal, signed_in(tmp_path, log=journal) as rig:
        measure.watch(rig)
        other = client_of(
            rig.server, rig.issuer, tmp_path, vault=FileVault(tmp_path), remembered=rig.remembered, log=journal
        )
        await other.credential.restore()
        try:
            async with GrantFiles(tmp_path, rig.name_of_files).lock.hold():
                waiting = asyncio.create_task(rig.credential.refresh(tokens_of(rig), ASKED))
                await asyncio.sleep(0)
                assert other.credential.grant is not None
                # What the other process does in the lock once the server has refused its refresh token.
                await other.credential._lifecycle.delete_ended(other.credential.grant, ASKED, "invalid_grant")
                # The watcher of this process notices before it gets the lock.
                await rig.credential.reload()
            with pytest.raises(SignInNeeded, match="no longer accepts"):
                await waiting
            assert rig.credential.status.state is CredentialState.NEEDS_SIGN_IN
            measure.expect(R=0, B=1)
        finally:
            await other.credential.close()
            await other.transport.close()


# Row 79: a renewal ahead of time is refused.


async def test_row_79_a_token_that_still_works_is_served_to_its_end_and_only_then_asked_for(
    tmp_path: Path, measure: Measure
) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, lifetime=1000, clock=clock) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.script = [INVALID_GRANT] * 9
        clock.advance(900)
        await until(lambda: rig.credential.status.works_until is not None)
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        assert rig.credential.status.works_until == pytest.approx(clock.wall() + 100, abs=1)
        assert await rig.stored_refresh_token() == "phr_1"
        clock.advance(99)
        assert (await rig.fetcher.get(PATH)).status == 200
        clock.advance(2)
        await until(lambda: rig.credential.status.state is CredentialState.NEEDS_SIGN_IN)
        assert rig.credential.status.works_until is None
        assert await rig.stored() is None
        measure.expect(R=1, B=1)


async def test_row_79_the_end_comes_at_once_when_a_server_refuses_the_token(tmp_path: Path, measure: Measure) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, lifetime=1000, clock=clock) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.script = [INVALID_GRANT] * 9
        clock.advance(900)
        await until(lambda: rig.credential.status.works_until is not None)
        rig.issuer.kill()
        with measure.meets(SignInNeeded):
            await rig.fetcher.get(PATH)
        assert rig.credential.status.state is CredentialState.NEEDS_SIGN_IN
        measure.expect(R=1, B=1)


async def test_row_79_another_process_learns_of_it_and_sends_nothing(tmp_path: Path, measure: Measure) -> None:
    clock = StillClock()
    async with (
        journal_in(tmp_path) as journal,
        signed_in(tmp_path, lifetime=1000, clock=clock, log=journal) as rig,
    ):
        measure.watch(rig)
        rig.issuer.script = [INVALID_GRANT] * 9
        other = client_of(
            rig.server,
            rig.issuer,
            tmp_path,
            vault=FileVault(tmp_path),
            remembered=rig.remembered,
            log=journal,
            clock=clock,
        )
        await other.credential.restore()
        try:
            clock.advance(900)
            for each in (rig, other):
                await until(lambda each=each: each.credential.status.works_until is not None)
            measure.expect(R=1)
        finally:
            await other.credential.close()
            await other.transport.close()


async def test_row_79_signing_in_again_meanwhile_forgets_it(tmp_path: Path, measure: Measure) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, lifetime=1000, clock=clock) as rig:
        measure.watch(rig)
        rig.issuer.script = [INVALID_GRANT]
        clock.advance(900)
        await until(lambda: rig.credential.status.works_until is not None)
        now = rig.credential.oauth.time.now()
        await rig.credential.sign_in(Grant(TokenSet("pha_5", "phr_5", now, now + 1000, generation=1), "client"), "test")
        assert rig.credential.status.works_until is None
        assert rig.credential.renews_at is not None
        measure.expect(R=1)


# Row 80: one target refuses every token.


async def test_row_80_a_target_that_refuses_every_token_does_not_stop_the_healing_of_the_others(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path, clock=StillClock()) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.server.views["/mcp"] = DEAD
        client = await rig.transport.client()
        auth = rig.credential.auth(Target(rig.host.token_origins, jsonrpc=True, name="the other"))
        for _ in range(6):
            assert (await client.post(f"{rig.server.origin}/mcp", json={}, auth=auth)).status_code == 401
        assert rig.issuer.accepted == 3
        rig.issuer.kill()
        assert (await rig.fetcher.get(PATH)).status == 200
        measure.expect(R=4)


async def test_row_80_a_request_that_joins_a_braked_renewal_gets_its_own(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path, clock=StillClock()) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.server.views["/mcp"] = DEAD
        client = await rig.transport.client()
        auth = rig.credential.auth(Target(rig.host.token_origins, jsonrpc=True, name="the other"))
        for _ in range(3):
            await client.post(f"{rig.server.origin}/mcp", json={}, auth=auth)
        rig.issuer.kill()
        refused, answered = await asyncio.gather(
            client.post(f"{rig.server.origin}/mcp", json={}, auth=auth), rig.fetcher.get(PATH)
        )
        assert (refused.status_code, answered.status) == (401, 200)
        measure.expect(R=4)


def refuses_the_probe(rig: Rig) -> None:
    """An MCP server of an older revision, which answers the newer probe with 401 whatever the token."""

    def view(request: Request) -> Reply:
        message = json.loads(request.body)
        if message["method"] == "server/discover" or request.bearer != rig.issuer.access_token:
            return DEAD
        if "id" not in message:
            return Reply(202)
        results = {
            "initialize": {
                "protocolVersion": "2025-06-18",
                "serverInfo": {"name": "older", "version": "1"},
                "capabilities": {"tools": {}},
            },
            "tools/list": {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]},
        }
        return Reply(200, {"jsonrpc": "2.0", "id": message["id"], "result": results[message["method"]]})

    rig.server.views["/mcp"] = view


async def test_row_80_a_server_that_refuses_only_the_newer_probe_costs_one_renewal_ever(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        refuses_the_probe(rig)
        url, settings = f"{rig.server.origin}/mcp", Remembered()
        for _ in range(4):
            # Each time a process of its own.
            probes = RefusedProbes(settings)
            target = Target(rig.host.token_origins, jsonrpc=True, reports_own_auth=True, name="older")
            connection = Connection(
                Endpoint("older", StreamableHttpTransport(url, rig.credential.auth(target)), CredentialAtStake.CARRIED),
                lambda _endpoint, _item: None,
                legacy=probes.has(url),
                probe_refused=partial(probes.add, url),
            )
            try:
                assert [tool.name for tool in await connection.tools()] == ["echo"]
            finally:
                await connection.close()
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.kill()
        assert (await rig.fetcher.get(PATH)).status == 200
        measure.expect(R=2)


def test_row_80_a_refused_probe_is_tried_again_after_a_week(monkeypatch: pytest.MonkeyPatch) -> None:
    probes = RefusedProbes()
    asyncio.run(probes.add("https://mcp.example/mcp"))
    assert probes.has("https://mcp.example/mcp")
    assert not probes.has("https://mcp.example/other")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + REMEMBERED_SECONDS + 1)
    assert not probes.has("https://mcp.example/mcp")
