"""Journal: what happened to a grant. It is written before a refresh token is sent (faults rows 10, 19 and 20).

The event of a refresh stays open until the new refresh token is stored. An open event that names the stored refresh
token means that a process died in between, and that the token may be spent. Repeating the refresh within the server's
grace period returns the same new tokens (docs/wire.md, "Token lifetimes and rotation").

What a process leaves behind when it dies, and what the next one does:

- before `begin`: no event. Nothing was sent.
- after `begin`, before the new grant is stored: an open event that names the stored refresh token. The next process
  repeats the refresh as soon as it restores the grant.
- after the grant is stored, before `settle`: an open event that names the former refresh token. It matches nothing, and
  the next `begin` closes it. Where the server does not rotate refresh tokens it still matches, and costs one refresh.
"""

from __future__ import annotations

import logging
import os
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from app.core.auth.cause import ASKED
from app.core.auth.oauth.authorization_server import GRANT_ENDED_ERRORS
from app.core.auth.tokens import Fingerprints
from app.core.clock import SystemClock
from app.core.errors import StorageTrouble
from app.core.storage.values import GrantEvent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.auth.cause import Cause
    from app.core.auth.grant.grant import Grant
    from app.core.auth.key import CredentialKey
    from app.core.clock import Clock

T = TypeVar("T")

log = logging.getLogger(__name__)

# What an event is about (`GrantEvent.what`), and how a refresh went (`GrantEvent.outcome`). All are stored.
REFRESH, SIGNED_IN, SIGNED_OUT, ENDED = "renewal", "signed in", "signed out", "ended"
UNDER_WAY, REFRESHED, UNSTORED, INTERRUPTED = "", "renewed", "renewed, not stored", "interrupted"
# Enough for the brake, which looks at ten refreshes.
RECENT_LIMIT = 20


class JournalStorage(Protocol):
    """Where events are stored (`storage.grant_log`). Every method raises `StorageTrouble`."""

    async def add(self, event: GrantEvent, *, settles: str | None = None) -> int: ...

    async def change(self, number: int, **columns: Any) -> None: ...

    async def recent(self, credential: str, limit: int) -> tuple[GrantEvent, ...]: ...

    async def open_events(self, credential: str) -> tuple[GrantEvent, ...]: ...


class MemoryJournalStorage:
    """Events that live as long as the process: for grants in memory, and for when the disk is full."""

    def __init__(self) -> None:
        self._events: list[GrantEvent] = []

    async def add(self, event: GrantEvent, *, settles: str | None = None) -> int:
        for unsettled in await self.open_events(event.credential) if settles is not None else ():
            await self.change(unsettled.number, open=False, outcome=settles)
        # Negative numbers, because those on disk are positive: the number alone says where an event is.
        self._events.append(event._replace(number=-len(self._events) - 1))
        return self._events[-1].number

    async def change(self, number: int, **columns: Any) -> None:
        self._events[-number - 1] = self._events[-number - 1]._replace(**columns)

    async def recent(self, credential: str, limit: int) -> tuple[GrantEvent, ...]:
        return tuple([event for event in reversed(self._events) if event.credential == credential][:limit])

    async def open_events(self, credential: str) -> tuple[GrantEvent, ...]:
        return tuple(event for event in await self.recent(credential, len(self._events)) if event.open)


class Journal:
    """Events of one credential. When the disk fails, new events stay in memory; the sign-in goes on."""

    def __init__(
        self,
        key: CredentialKey,
        storage: JournalStorage | None = None,
        *,
        clock: Clock | None = None,
        fingerprints: Fingerprints | None = None,
        process: str = "",
    ) -> None:
        """`process` names the program that writes, for people: a window, the command line."""
        self._credential = key.text
        self._memory = MemoryJournalStorage()
        self._storage: JournalStorage = storage or self._memory
        self._clock = clock or SystemClock()
        self._process = f"{process} {os.getpid()}".lstrip()
        self.fingerprint = fingerprints or Fingerprints()

    async def begin(self, grant: Grant, cause: Cause) -> int:
        """Record that a refresh of `grant` is about to be sent; returns the number to settle it by.

        Events that were open before are closed as interrupted.
        """
        # Called with the lock of the grant held. So whoever left an event open is dead, or gave up and repeats the
        # refresh with this very call.
        return await self._add(self._event(REFRESH, cause, grant, open=True), settles=INTERRUPTED)

    async def settle(self, number: int, outcome: str, *, open: bool = False, **columns: Any) -> None:  # noqa: A002
        """Record how a refresh went. `open`: the refresh token may be spent, and no new one is stored."""
        await self._change(number, outcome=outcome, open=open, **columns)

    async def set_due(self, number: int, renews_at: float | None) -> None:
        """Record when the access token that an event brought is due for a refresh, in Unix seconds."""
        await self._change(number, renews_at=renews_at)

    async def mark_stored(self, grant: Grant) -> None:
        """Record that `grant`, which could not be stored when it was refreshed, is stored now."""
        access = self.fingerprint(grant.tokens.access_token)
        for event in await self.recent(RECENT_LIMIT):
            if event.outcome == UNSTORED and event.access == access:
                await self._change(event.number, outcome=REFRESHED, open=False)

    async def mark_accepted(self, number: int) -> None:
        """Record that a server accepted the access token that a refresh brought."""
        await self._change(number, accepted=True)

    async def record(self, what: str, why: str, grant: Grant, outcome: str = "ok") -> int:
        """Record a sign-in or a sign-out; `why` says how it was done. Returns the number for `set_due`."""
        event = self._event(what, ASKED, grant)._replace(cause=why, outcome=outcome)
        return await self._add(event, settles=INTERRUPTED)

    async def record_end(self, grant: Grant, cause: Cause, outcome: str) -> None:
        """Record that the server no longer accepts the grant."""
        # Before the grant is deleted: a process that finds it gone asks the journal why (`last_end`).
        await self._add(self._event(ENDED, cause, grant)._replace(outcome=outcome), settles=INTERRUPTED)

    async def unfinished(self, grant: Grant) -> GrantEvent | None:
        """The open refresh of `grant`, if there is one: its refresh token may be spent."""
        refresh = self.fingerprint(grant.tokens.refresh_token or "")
        found = await self._try(lambda storage: storage.open_events(self._credential)) or ()
        return next((event for event in found if event.refresh == refresh), None)

    async def refusal(self, grant: Grant) -> str | None:
        """The code with which the server refused the refresh token of `grant` in any process; None if it did not."""
        refresh = self.fingerprint(grant.tokens.refresh_token or "")
        found = await self.recent(RECENT_LIMIT)
        return next(
            (event.outcome for event in found if event.refresh == refresh and event.outcome in GRANT_ENDED_ERRORS), None
        )

    async def refreshes(self) -> tuple[GrantEvent, ...]:
        """The refreshes of every process since the last sign-in, the newest first, as far as they are recent."""
        since = takewhile(lambda event: event.what != SIGNED_IN, await self.recent(RECENT_LIMIT))
        return tuple(event for event in since if event.what == REFRESH)

    async def last_end(self) -> GrantEvent | None:
        """How the last grant ended; None unless a sign-out or an end is the newest event of all."""
        found = await self.recent(1)
        return found[0] if found and found[0].what in {SIGNED_OUT, ENDED} else None

    async def ended_by_server(self) -> bool:
        """Whether a grant that is gone was ended by the server. Otherwise the user signed out."""
        last = await self.last_end()
        return last is not None and last.what == ENDED

    async def recent(self, limit: int) -> tuple[GrantEvent, ...]:
        """The newest events of every process on this machine, the newest first."""
        in_memory = await self._memory.recent(self._credential, limit)
        stored = await self._try(lambda storage: storage.recent(self._credential, limit)) or ()
        both = stored if self._storage is self._memory else (*in_memory, *stored)
        return tuple(sorted(both, key=lambda event: event.at, reverse=True)[:limit]) if in_memory else both

    def _event(self, what: str, cause: Cause, grant: Grant, *, open: bool = False) -> GrantEvent:  # noqa: A002
        tokens = grant.tokens
        return GrantEvent(
            0,
            self._credential,
            what,
            cause.kind.value,
            cause.target,
            cause.rule,
            self._process,
            self._clock.wall(),
            self._clock.boot(),
            tokens.generation,
            self.fingerprint(tokens.refresh_token or tokens.access_token),
            open=open,
        )

    async def _add(self, event: GrantEvent, *, settles: str) -> int:
        number = await self._try(lambda storage: storage.add(event, settles=settles))
        return await self._memory.add(event, settles=settles) if number is None else number

    async def _change(self, number: int, **columns: Any) -> None:
        if number < 0:
            await self._memory.change(number, **columns)
        else:
            await self._try(lambda storage: storage.change(number, **columns))

    async def _try(self, action: Callable[[JournalStorage], Awaitable[T]]) -> T | None:
        try:
            return await action(self._storage)
        except StorageTrouble as trouble:
            log.warning("the journal of %s could not be used: %s", self._credential, trouble.cause)
            return None
