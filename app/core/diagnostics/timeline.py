"""Timeline: what happened to the grant of a credential, in a closed set of kinds, for whoever shows it.

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
    from app.core.auth.credential import Credential
    from app.core.auth.grant.journal import Journal
    from app.core.auth.status import AuthEvent
    from app.core.clock import Clock
    from app.core.storage.values import GrantEvent

ADOPTED = "adopted"
KEPT_HERE = 100
# All attempts of a renewal together take less (`auth/renewal.py`): whoever made an older one has died in it.
LONGEST_SECONDS = 60.0


class StepKind(Enum):
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


RENEWALS: dict[str, StepKind] = {
    UNDER_WAY: StepKind.UNDER_WAY,
    RENEWED: StepKind.RENEWED,
    ADOPTED: StepKind.TAKEN_OVER,
    UNSTORED: StepKind.UNSTORED,
    INTERRUPTED: StepKind.INTERRUPTED,
    "invalid_grant": StepKind.REFUSED,
    "invalid_token": StepKind.REFUSED,
    "invalid_client": StepKind.CLIENT_UNKNOWN,
    "Offline": StepKind.OFFLINE,
    "TimedOut": StepKind.NO_ANSWER,
    "ServerTrouble": StepKind.SERVER,
    "ProtocolTrouble": StepKind.SERVER,
    "Throttled": StepKind.THROTTLED,
    "Rejected": StepKind.NOT_ACCEPTED,
    "VaultFailure": StepKind.KEYRING,
    "VaultTrouble": StepKind.KEYRING,
    "signed out meanwhile": StepKind.OVERTAKEN,
}
FAILED = frozenset(
    {
        StepKind.INTERRUPTED,
        StepKind.REFUSED,
        StepKind.CLIENT_UNKNOWN,
        StepKind.OFFLINE,
        StepKind.NO_ANSWER,
        StepKind.SERVER,
        StepKind.THROTTLED,
        StepKind.NOT_ACCEPTED,
        StepKind.KEYRING,
        StepKind.ENDED,
    }
)
"""What counts as a failure of the sign-in."""
OTHERS: dict[tuple[str, str], StepKind] = {
    (SIGNED_IN, "ok"): StepKind.SIGNED_IN,
    (SIGNED_IN, "not stored"): StepKind.SIGNED_IN_UNSTORED,
    (SIGNED_OUT, "ok"): StepKind.SIGNED_OUT,
}


class TimelineStep(NamedTuple):
    """One line of the timeline. Times are in unix seconds; `before` and `after` are generations of the token.

    `outcome` is the journal's own word, for what no kind is known of. `here` tells whether this process did it;
    `refresh` and `access` are fingerprints of the token it was about and of the one it brought.
    """

    key: str
    at: float
    kind: StepKind
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
    """The steps of one grant, the newest first. `role` is what the journal calls this process."""

    def __init__(self, journal: Journal, clock: Clock, role: str) -> None:
        self._journal = journal
        self._clock = clock
        self._process = f"{role} {os.getpid()}".lstrip()
        self._here: deque[TimelineStep] = deque(maxlen=KEPT_HERE)
        self._count = 0

    @classmethod
    def of(cls, credential: Credential, role: str) -> Timeline:
        """The timeline of a credential."""
        return cls(credential.journal, credential.oauth.time.clock, role)

    def heard(self, event: AuthEvent) -> None:
        """Keep what only this process knows."""
        if event.outcome != ADOPTED and event.why != ELSEWHERE:
            return
        self._count += 1
        kind = StepKind.TAKEN_OVER if event.outcome == ADOPTED else StepKind.SIGNED_IN
        self._here.append(
            TimelineStep(
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

    async def recent(self, limit: int) -> tuple[TimelineStep, ...]:
        """The newest steps of every process on this data folder. Raises nothing."""
        now = self._clock.wall()
        told = [self._step(event, now) for event in await self._journal.recent(limit)]
        both = sorted((*told, *reversed(self._here)), key=lambda step: step.at, reverse=True)
        return tuple(both[:limit])

    def _step(self, event: GrantEvent, now: float) -> TimelineStep:
        kind = kind_of(event, now)
        brought = kind in {StepKind.RENEWED, StepKind.UNSTORED}
        began = event.what == SIGNED_IN
        return TimelineStep(
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


def kind_of(event: GrantEvent, now: float) -> StepKind:
    """What an event of the journal came to, at `now` (unix seconds)."""
    if event.what == ENDED:
        return StepKind.ENDED
    if event.what != RENEWAL:
        return OTHERS.get((event.what, event.outcome), StepKind.OTHER)
    kind = RENEWALS.get(event.outcome, StepKind.OTHER)
    dead = kind is StepKind.UNDER_WAY and not -LONGEST_SECONDS < now - event.at < LONGEST_SECONDS
    return StepKind.INTERRUPTED if dead else kind


def last_failure(steps: tuple[TimelineStep, ...]) -> TimelineStep | None:
    """The newest failure among `steps`."""
    return next((step for step in steps if step.kind in FAILED), None)
