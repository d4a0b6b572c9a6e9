"""Timeline: what happened to a host's grant, in a closed set of kinds, for whoever shows it.

The journal has what every process did, and is shared by them. That this process took over what another one had done is
known only here.
"""

from __future__ import annotations

import os
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from app.core.auth.grant.journal import ENDED, INTERRUPTED, RENEWAL, RENEWED, SIGNED_IN, SIGNED_OUT, UNDER_WAY, UNSTORED
from app.core.auth.status import ELSEWHERE

if TYPE_CHECKING:
    from app.core.auth.grant.journal import Journal
    from app.core.auth.status import AuthEvent
    from app.core.clock import Clock
    from app.core.storage.values import GrantEvent

ADOPTED = "adopted"
KEPT_HERE = 100
# All attempts of a renewal together take less (`auth/renewal.py`): whoever made an older one has died in it.
LONGEST_SECONDS = 60.0


class Kind(Enum):
    """What a step came to; the value is what it is called on the command line."""

    UNDER_WAY = "under way"
    RENEWED = "renewed"
    TAKEN_OVER = "taken over"
    UNSTORED = "renewed, not stored"
    INTERRUPTED = "interrupted"
    REFUSED = "refused for good"
    CLIENT_UNKNOWN = "client unknown"
    OFFLINE = "offline"
    NO_ANSWER = "no answer"
    SERVER = "server in trouble"
    THROTTLED = "too many requests"
    NOT_ACCEPTED = "not accepted"
    KEYRING = "keyring not usable"
    OVERTAKEN = "signed out meanwhile"
    SIGNED_IN = "signed in"
    SIGNED_IN_UNSTORED = "signed in, not stored"
    SIGNED_OUT = "signed out"
    ENDED = "sign-in ended"
    OTHER = "other"


RENEWALS: dict[str, Kind] = {
    UNDER_WAY: Kind.UNDER_WAY,
    RENEWED: Kind.RENEWED,
    ADOPTED: Kind.TAKEN_OVER,
    UNSTORED: Kind.UNSTORED,
    INTERRUPTED: Kind.INTERRUPTED,
    "invalid_grant": Kind.REFUSED,
    "invalid_token": Kind.REFUSED,
    "invalid_client": Kind.CLIENT_UNKNOWN,
    "Offline": Kind.OFFLINE,
    "TimedOut": Kind.NO_ANSWER,
    "ServerTrouble": Kind.SERVER,
    "ProtocolTrouble": Kind.SERVER,
    "Throttled": Kind.THROTTLED,
    "Rejected": Kind.NOT_ACCEPTED,
    "VaultFailure": Kind.KEYRING,
    "VaultTrouble": Kind.KEYRING,
    "signed out meanwhile": Kind.OVERTAKEN,
}
FAILED = frozenset(
    {
        Kind.INTERRUPTED,
        Kind.REFUSED,
        Kind.CLIENT_UNKNOWN,
        Kind.OFFLINE,
        Kind.NO_ANSWER,
        Kind.SERVER,
        Kind.THROTTLED,
        Kind.NOT_ACCEPTED,
        Kind.KEYRING,
        Kind.ENDED,
    }
)
"""What counts as a failure of the sign-in."""
OTHERS: dict[tuple[str, str], Kind] = {
    (SIGNED_IN, "ok"): Kind.SIGNED_IN,
    (SIGNED_IN, "not stored"): Kind.SIGNED_IN_UNSTORED,
    (SIGNED_OUT, "ok"): Kind.SIGNED_OUT,
}


class Step(NamedTuple):
    """One line of the timeline. Times are in unix seconds; `before` and `after` are generations of the token.

    `outcome` is the journal's own word, for what no kind is known of. `here` tells whether this process did it;
    `refresh` and `access` are fingerprints of the token it was about and of the one it brought.
    """

    key: str
    at: float
    kind: Kind
    outcome: str
    cause: str
    target: str
    rule: str
    process: str
    here: bool
    before: int | None
    after: int | None
    refresh: str
    access: str
    milliseconds: float | None = None
    renews_at: float | None = None
    accepted: bool = False


class Timeline:
    """The steps of one host's grant, the newest first. `role` is what the journal calls this process."""

    def __init__(self, journal: Journal, clock: Clock, role: str) -> None:
        self._journal = journal
        self._clock = clock
        self._process = f"{role} {os.getpid()}".lstrip()
        self._here: deque[Step] = deque(maxlen=KEPT_HERE)
        self._count = 0

    def heard(self, event: AuthEvent) -> None:
        """Keep what only this process knows."""
        if event.outcome != ADOPTED and event.why != ELSEWHERE:
            return
        self._count += 1
        kind = Kind.TAKEN_OVER if event.outcome == ADOPTED else Kind.SIGNED_IN
        self._here.append(
            Step(
                f"here {self._count}",
                self._clock.wall(),
                kind,
                event.outcome,
                event.why,
                "",
                "",
                self._process,
                True,
                None,
                event.generation,
                "",
                event.token,
                event.milliseconds,
            )
        )

    async def recent(self, limit: int) -> tuple[Step, ...]:
        """The newest steps of every process on this data folder. Raises nothing."""
        now = self._clock.wall()
        told = [self._step(event, now) for event in await self._journal.recent(limit)]
        both = sorted((*told, *reversed(self._here)), key=lambda step: step.at, reverse=True)
        return tuple(both[:limit])

    def _step(self, event: GrantEvent, now: float) -> Step:
        kind = kind_of(event, now)
        brought = kind in {Kind.RENEWED, Kind.UNSTORED}
        began = event.what == SIGNED_IN
        return Step(
            f"kept {event.number}",
            event.at,
            kind,
            event.outcome,
            event.cause,
            event.target,
            event.rule,
            event.process,
            event.process == self._process,
            None if began else event.generation,
            event.generation + 1 if brought else event.generation if began else None,
            event.refresh,
            event.access,
            event.milliseconds,
            event.renews_at,
            event.accepted,
        )


def kind_of(event: GrantEvent, now: float) -> Kind:
    """What an event of the journal came to, at `now` (unix seconds)."""
    if event.what == ENDED:
        return Kind.ENDED
    if event.what != RENEWAL:
        return OTHERS.get((event.what, event.outcome), Kind.OTHER)
    kind = RENEWALS.get(event.outcome, Kind.OTHER)
    dead = kind is Kind.UNDER_WAY and not -LONGEST_SECONDS < now - event.at < LONGEST_SECONDS
    return Kind.INTERRUPTED if dead else kind


def last_failure(steps: tuple[Step, ...]) -> Step | None:
    """The newest failure among `steps`."""
    return next((step for step in steps if step.kind in FAILED), None)
