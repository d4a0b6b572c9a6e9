"""What happened to a grant is written before it matters, shared by all processes, and stops a loop of renewals."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.core.auth.cause import AHEAD, ASKED, Cause, CauseKind
from app.core.auth.grant import brake
from app.core.auth.grant.grant import Grant
from app.core.auth.grant.journal import ENDED, INTERRUPTED, REFRESHED, SIGNED_IN, SIGNED_OUT, UNSTORED, Journal
from app.core.auth.key import CredentialKey
from app.core.auth.tokens import Fingerprints, TokenSet
from app.core.errors import StorageTrouble
from app.core.storage import Storage
from app.core.storage.grant_log import MAX_EVENTS
from app.core.storage.values import GrantEvent
from tests.clock import StillClock

GRANT = Grant(TokenSet("pha_secret", "phr_secret", generation=4), "client", sign_in="1f")
NEXT = Grant(TokenSet("pha_next", "phr_next", generation=5), "client", sign_in="1f")
REFUSED = Cause(CauseKind.REFUSED, "PostHog US", "unauthorized")
KEYS = Fingerprints(b"key")
US_KEY = CredentialKey("https://us.posthog.com")


@asynccontextmanager
async def journals(folder: Path, clock: StillClock | None = None) -> AsyncIterator[tuple[Journal, Journal]]:
    """The journals of two processes on one folder."""
    storages = Storage.open(folder), Storage.open(folder)
    clock = clock or StillClock()
    first, second = (
        Journal(US_KEY, storage.grants, clock=clock, fingerprints=KEYS, process=name)
        for storage, name in zip(storages, ("window", "command line"), strict=True)
    )
    try:
        yield first, second
    finally:
        for storage in storages:
            await storage.close()


async def test_a_renewal_that_was_begun_and_never_settled_is_found_by_every_process(tmp_path: Path) -> None:
    async with journals(tmp_path) as (first, second):
        assert await second.unfinished(GRANT) is None
        await first.begin(GRANT, REFUSED)
        found = await second.unfinished(GRANT)
        assert found is not None
        assert (found.cause, found.target, found.rule) == ("refused", "PostHog US", "unauthorized")
        assert (found.generation, found.process) == (4, f"window {os.getpid()}")
        assert await second.unfinished(NEXT) is None


async def test_a_settled_renewal_is_finished_and_one_that_could_not_be_stored_is_not(tmp_path: Path) -> None:
    async with journals(tmp_path) as (first, second):
        number = await first.begin(GRANT, AHEAD)
        await first.settle(number, UNSTORED, open=True, access=KEYS("pha_next"))
        assert await second.unfinished(GRANT) is not None
        await first.mark_stored(NEXT)
        assert await second.unfinished(GRANT) is None
        (event,) = await second.recent(5)
        assert event.outcome == REFRESHED


async def test_what_was_left_open_is_settled_by_whoever_begins_next(tmp_path: Path) -> None:
    async with journals(tmp_path) as (first, second):
        await first.begin(GRANT, REFUSED)
        number = await second.begin(GRANT, ASKED)
        await second.settle(number, REFRESHED)
        assert await first.unfinished(GRANT) is None
        assert [event.outcome for event in await first.recent(5)] == [REFRESHED, INTERRUPTED]


async def test_signing_in_settles_what_was_left_open(tmp_path: Path) -> None:
    async with journals(tmp_path) as (first, second):
        await first.begin(GRANT, REFUSED)
        await second.record(SIGNED_IN, "browser", NEXT)
        assert await first.unfinished(GRANT) is None


@pytest.mark.parametrize("what", [SIGNED_OUT, ENDED])
async def test_how_a_grant_was_over_is_told_until_somebody_signs_in(tmp_path: Path, what: str) -> None:
    async with journals(tmp_path) as (first, second):
        if what == ENDED:
            await first.record_end(GRANT, REFUSED, "invalid_grant")
        else:
            await first.record(what, "asked", GRANT)
        last = await second.last_end()
        assert last is not None
        assert last.what == what
        await first.record(SIGNED_IN, "browser", NEXT)
        assert await second.last_end() is None


async def test_no_event_holds_a_token_and_both_processes_call_it_alike(tmp_path: Path) -> None:
    async with journals(tmp_path) as (first, second):
        await first.settle(await first.begin(GRANT, REFUSED), REFRESHED, access=KEYS("pha_next"))
        await second.record(SIGNED_OUT, "asked", GRANT)
        text = repr(await first.recent(5))
        assert "secret" not in text
        assert {event.refresh for event in await first.recent(5)} == {KEYS("phr_secret")}
        assert first.fingerprint("x") == second.fingerprint("x") != Fingerprints(b"other")("x")


async def test_an_installation_keeps_one_key_for_its_fingerprints(tmp_path: Path) -> None:
    keys = []
    for _ in range(2):
        storage = Storage.open(tmp_path)
        keys.append(storage.settings.get("install_key"))
        await storage.close()
    other = Storage.open(tmp_path / "other")
    assert len(keys[0]) == 64
    assert keys[0] == keys[1] != other.settings.get("install_key")
    await other.close()


async def test_old_events_go_and_open_ones_stay(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    journal = Journal(US_KEY, storage.grants, fingerprints=KEYS)
    await journal.begin(GRANT, REFUSED)
    blank = GrantEvent(0, "us", "signed in", "asked for", "", "", "", 0, 0, 1, "")
    for _ in range(MAX_EVENTS + 5):
        await storage.grants.add(blank)
    assert len(await storage.grants.recent("us", 10_000)) == MAX_EVENTS + 1
    assert await journal.unfinished(GRANT) is not None
    await storage.close()


class FullDisk:
    """A log that nothing can be written to or read from."""

    def __getattr__(self, name: str) -> object:
        async def fail(*_: object, **__: object) -> None:
            raise StorageTrouble("No space left.")

        return fail


async def test_a_full_disk_costs_the_journal_and_not_the_sign_in() -> None:
    journal = Journal(US_KEY, FullDisk(), fingerprints=KEYS)  # type: ignore[arg-type]
    number = await journal.begin(GRANT, REFUSED)
    assert await journal.unfinished(GRANT) is None
    await journal.settle(number, REFRESHED)
    await journal.mark_accepted(number)
    (event,) = await journal.recent(5)
    assert (event.outcome, event.accepted) == (REFRESHED, True)
    assert await journal.refreshes() == (event,)


def renewal(
    boot: float, *, accepted: bool = False, cause: str = "refused", outcome: str = REFRESHED, target: str = "T"
) -> GrantEvent:
    return GrantEvent(0, "us", "renewal", cause, target, "", "", 0, boot, 1, "", outcome=outcome, accepted=accepted)


LOOP = [renewal(1003), renewal(1002), renewal(1001)]


@pytest.mark.parametrize(
    ("events", "boot", "waits"),
    [
        ([], 1000, 0),
        (LOOP[1:], 1003, 0),
        (LOOP, 1003, 60),
        (LOOP, 1033, 30),
        (LOOP, 1063, 0),
        # Half-open: one probe, and the whole window again.
        ([renewal(1063), *LOOP], 1064, 59),
        # A server took a token since: what failed before is over.
        ([renewal(1004, accepted=True), *LOOP], 1005, 0),
        ([renewal(1004, accepted=True, cause="ahead of expiry"), *LOOP], 1005, 0),
        # Renewals that nobody's refusal asked for do not count, nor do those that failed.
        ([renewal(1000 + n, cause="ahead of expiry") for n in (3, 2, 1)], 1004, 0),
        ([renewal(1000 + n, outcome="Offline") for n in (3, 2, 1)], 1004, 0),
        # The machine was started again since.
        (LOOP, 20, 0),
        # Accepted each time and refused again a moment later: one bad server behind a balancer.
        ([renewal(1010 - n, accepted=True) for n in range(9)], 1011, 0),
        ([renewal(1010 - n, accepted=True) for n in range(10)], 1011, 50),
        ([renewal(1010 - n, accepted=True) for n in range(10)], 1061, 0),
        # Another target refuses every token.
        ([renewal(1003 + n, target="U") for n in (3, 2, 1)], 1007, 0),
        ([renewal(1004, target="U", accepted=True), *LOOP], 1005, 58),
        # Ten in a minute are enough, whatever asked for them.
        ([renewal(1010 - n, cause="ahead of expiry") for n in range(10)], 1011, 50),
    ],
)
def test_the_brake_table(events: list[GrantEvent], boot: float, waits: float) -> None:
    cause = Cause(CauseKind.REFUSED, "T", "unauthorized")
    assert brake.wait_seconds(events, boot, cause) == waits


async def test_a_loop_of_short_lived_commands_is_stopped_like_a_loop_in_a_window(tmp_path: Path) -> None:
    clock = StillClock()
    for _ in range(3):
        async with journals(tmp_path, clock) as (journal, _other):
            assert brake.wait_seconds(await journal.refreshes(), clock.boot(), REFUSED) == 0
            await journal.settle(await journal.begin(GRANT, REFUSED), REFRESHED)
    async with journals(tmp_path, clock) as (journal, _other):
        assert brake.wait_seconds(await journal.refreshes(), clock.boot(), REFUSED) == 60
        await journal.record(SIGNED_IN, "browser", NEXT)
        assert brake.wait_seconds(await journal.refreshes(), clock.boot(), REFUSED) == 0
