"""Journal: what happened to a grant, written before a refresh token is spent (faults rows 10, 19 and 20).

An event is left open until the successor of the refresh token that it names is stored. So whoever finds an open event
that names the stored refresh token knows that it may have been spent by a process that has died since, and that
repeating the refresh inside the server's grace brings the very same pair (docs/wire.md, "Token lifetimes and
rotation").
"""

from __future__ import annotations

import logging
import os
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from app.core.auth.cause import ASKED
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

RENEWAL, SIGNED_IN, SIGNED_OUT, ENDED = "renewal", "signed in", "signed out", "ended"
UNDER_WAY, RENEWED, UNSTORED, INTERRUPTED = "", "renewed", "renewed, not stored", "interrupted"
LOOKED_AT = 20


class JournalStorage(Protocol):
    """Where events are kept (`storage.grants`). Every method raises `StorageTrouble`."""

    async def add(self, event: GrantEvent, *, settles: str | None = None) -> int: ...

    async def change(self, number: int, **columns: Any) -> None: ...

    async def recent(self, credential: str, limit: int) -> tuple[GrantEvent, ...]: ...

    async def open_events(self, credential: str) -> tuple[GrantEvent, ...]: ...


class MemoryJournalStorage:
    """Events that live as long as the process: where nothing else is kept either, and when the disk is full."""

    def __init__(self) -> None:
        self._events: list[GrantEvent] = []

    async def add(self, event: GrantEvent, *, settles: str | None = None) -> int:
        for left in await self.open_events(event.credential) if settles is not None else ():
            await self.change(left.number, open=False, outcome=settles)
        # Negative, so that they are told from those on the disk.
        self._events.append(event._replace(number=-len(self._events) - 1))
        return self._events[-1].number

    async def change(self, number: int, **columns: Any) -> None:
        self._events[-number - 1] = self._events[-number - 1]._replace(**columns)

    async def recent(self, credential: str, limit: int) -> tuple[GrantEvent, ...]:
        return tuple([event for event in reversed(self._events) if event.credential == credential][:limit])

    async def open_events(self, credential: str) -> tuple[GrantEvent, ...]:
        return tuple(event for event in await self.recent(credential, len(self._events)) if event.open)


class Journal:
    """Events of one credential. A disk that fails costs the journal, never the sign-in: events then stay in memory."""

    def __init__(
        self,
        key: CredentialKey,
        kept: JournalStorage | None = None,
        *,
        clock: Clock | None = None,
        fingerprints: Fingerprints | None = None,
        process: str = "",
    ) -> None:
        """`process` says which program writes here, for people: a window, the command line."""
        self._credential = key.text
        self._spare = MemoryJournalStorage()
        self._kept: JournalStorage = kept or self._spare
        self._clock = clock or SystemClock()
        self._process = f"{process} {os.getpid()}".lstrip()
        self.fingerprint = fingerprints or Fingerprints()

    async def begin(self, grant: Grant, cause: Cause) -> int:
        """A renewal of `grant` is about to be sent; the number to settle it by. What was open before is over by this.

        Called inside the lock of the grant: whoever left something open is dead, or repeats it as this one does.
        """
        return await self._add(self._event(RENEWAL, cause, grant, open=True), settles=INTERRUPTED)

    async def settle(self, number: int, outcome: str, *, open: bool = False, **columns: Any) -> None:  # noqa: A002
        """How a renewal went; `open` while its refresh token may be spent without a stored successor."""
        await self._change(number, outcome=outcome, open=open, **columns)

    async def settle_due(self, number: int, renews_at: float | None) -> None:
        """When the token that an event brought is to be renewed, in Unix seconds."""
        await self._change(number, renews_at=renews_at)

    async def stored(self, grant: Grant) -> None:
        """What was renewed and could not be stored is stored now."""
        access = self.fingerprint(grant.tokens.access_token)
        for event in await self.recent(LOOKED_AT):
            if event.outcome == UNSTORED and event.access == access:
                await self._change(event.number, outcome=RENEWED, open=False)

    async def accept(self, number: int) -> None:
        """A server took the token that a renewal brought."""
        await self._change(number, accepted=True)

    async def note(self, what: str, why: str, grant: Grant, outcome: str = "ok") -> int:
        """Somebody signed in or out; `why` says in which way. Its number, for `settle_due`."""
        event = self._event(what, ASKED, grant)._replace(cause=why, outcome=outcome)
        return await self._add(event, settles=INTERRUPTED)

    async def ended(self, grant: Grant, cause: Cause, outcome: str) -> None:
        """The server accepts the grant no longer. Before it is removed: who finds it gone asks how it ended."""
        await self._add(self._event(ENDED, cause, grant)._replace(outcome=outcome), settles=INTERRUPTED)

    async def unfinished(self, grant: Grant) -> GrantEvent | None:
        """The open renewal of `grant`, if there is one: its refresh token may have been spent."""
        refresh = self.fingerprint(grant.tokens.refresh_token or "")
        found = await self._try(lambda kept: kept.open_events(self._credential)) or ()
        return next((event for event in found if event.refresh == refresh), None)

    async def renewals(self) -> tuple[GrantEvent, ...]:
        """The renewals of every process since somebody signed in, the newest first and not all of them."""
        since = takewhile(lambda event: event.what != SIGNED_IN, await self.recent(LOOKED_AT))
        return tuple(event for event in since if event.what == RENEWAL)

    async def last_end(self) -> GrantEvent | None:
        """How the last grant was over, if signing out or a refusal was the last thing of all."""
        found = await self.recent(1)
        return found[0] if found and found[0].what in {SIGNED_OUT, ENDED} else None

    async def recent(self, limit: int) -> tuple[GrantEvent, ...]:
        """The newest events of every process on this machine, the newest first."""
        spare = await self._spare.recent(self._credential, limit)
        kept = await self._try(lambda kept: kept.recent(self._credential, limit)) or ()
        both = kept if self._kept is self._spare else (*spare, *kept)
        return tuple(sorted(both, key=lambda event: event.at, reverse=True)[:limit]) if spare else both

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
        number = await self._try(lambda kept: kept.add(event, settles=settles))
        return await self._spare.add(event, settles=settles) if number is None else number

    async def _change(self, number: int, **columns: Any) -> None:
        if number < 0:
            await self._spare.change(number, **columns)
        else:
            await self._try(lambda kept: kept.change(number, **columns))

    async def _try(self, action: Callable[[JournalStorage], Awaitable[T]]) -> T | None:
        try:
            return await action(self._kept)
        except StorageTrouble as trouble:
            log.warning("the journal of %s could not be used: %s", self._credential, trouble.cause)
            return None
