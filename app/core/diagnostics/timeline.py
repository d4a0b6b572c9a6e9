"""Timeline: the history of a credential's grant as steps of a closed set of kinds, for the window and the command line.

The journal has what every process did. What it lacks is that this process adopted a grant from another one: that sends
nothing, so it is recorded here only.
"""

from __future__ import annotations

import os
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from app.core.auth.grant.journal import (
    ENDED,
    INTERRUPTED,
    REFRESH,
    REFRESHED,
    SIGNED_IN,
    SIGNED_OUT,
    UNDER_WAY,
    UNSTORED,
)
from app.core.auth.status import ELSEWHERE

if TYPE_CHECKING:
    from app.core.auth.credential import Credential
    from app.core.auth.grant.journal import Journal
    from app.core.auth.status import AuthEvent
    from app.core.clock import Clock
    from app.core.storage.values import GrantEvent

ADOPTED = "adopted"
MAX_LOCAL_STEPS = 100
# A refresh that is under way for longer counts as interrupted: its process has died, or it is about to give up
# (`auth/grant/refresh.py`).
LONGEST_SECONDS = 60.0


class StepKind(Enum):
    """The kinds of steps. The command line shows their values."""

    UNDER_WAY = "under way"
    RENEWED = "renewed"
    TAKEN_OVER = "taken over"
    UNSTORED = "renewed, not stored"
    INTERRUPTED = "interrupted"
    REFUSED = "refused for good"
    CLIENT_UNKNOWN = "client unknown"
    OFFLINE = "offline"
    NO_ANSWER = "no answer"
    SERVER = "server error"
    THROTTLED = "too many requests"
    NOT_ACCEPTED = "not accepted"
    KEYRING = "keyring not usable"
    OVERTAKEN = "signed out meanwhile"
    SIGNED_IN = "signed in"
    SIGNED_IN_UNSTORED = "signed in, not stored"
    SIGNED_OUT = "signed out"
    ENDED = "sign-in ended"
    OTHER = "other"


# The outcome of a refresh in the journal. For a failure it is the name of the error's class.
REFRESH_OUTCOMES: dict[str, StepKind] = {
    UNDER_WAY: StepKind.UNDER_WAY,
    REFRESHED: StepKind.RENEWED,
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
"""The kinds that count as failures of the sign-in."""
# What else the journal records, by its `what` and `outcome`.
OTHER_EVENTS: dict[tuple[str, str], StepKind] = {
    (SIGNED_IN, "ok"): StepKind.SIGNED_IN,
    (SIGNED_IN, "not stored"): StepKind.SIGNED_IN_UNSTORED,
    (SIGNED_OUT, "ok"): StepKind.SIGNED_OUT,
}


class TimelineStep(NamedTuple):
    """One step of the timeline. Times are in Unix seconds.

    `key` identifies the step. `outcome` is the journal's own word, for steps of the kind `OTHER`. `here` says whether
    this process did it. `before` and `after` are generations of the tokens. `refresh` is the fingerprint of the refresh
    token that was sent, `access` that of the new access token.
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
    """The steps of one credential's grant. `role` is the journal's name for this process."""

    def __init__(self, journal: Journal, clock: Clock, role: str) -> None:
        self._journal = journal
        self._clock = clock
        self._process = f"{role} {os.getpid()}".lstrip()
        self._local: deque[TimelineStep] = deque(maxlen=MAX_LOCAL_STEPS)
        self._count = 0

    @classmethod
    def of(cls, credential: Credential, role: str) -> Timeline:
        """The timeline of a credential."""
        return cls(credential.journal, credential.oauth.time.clock, role)

    def record_event(self, event: AuthEvent) -> None:
        """Add an event of the credential that the journal does not have."""
        # Whatever this process did itself is in the journal, and would appear twice.
        if event.outcome != ADOPTED and event.why != ELSEWHERE:
            return
        self._count += 1
        kind = StepKind.TAKEN_OVER if event.outcome == ADOPTED else StepKind.SIGNED_IN
        self._local.append(
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
        """The newest steps of every process on this data folder, the newest first. Raises nothing."""
        now = self._clock.wall()
        recorded = [self._step(event, now) for event in await self._journal.recent(limit)]
        # Both parts are newest first already, and the sort is stable: steps of the same moment keep their order.
        both = sorted((*recorded, *reversed(self._local)), key=lambda step: step.at, reverse=True)
        return tuple(both[:limit])

    def _step(self, event: GrantEvent, now: float) -> TimelineStep:
        kind = kind_of(event, now)
        # An event has the generation of the tokens that it was about: for a refresh those before it, for a sign-in
        # those that it brought.
        refreshed = kind in {StepKind.RENEWED, StepKind.UNSTORED}
        signed_in = event.what == SIGNED_IN
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
            None if signed_in else event.generation,
            event.generation + 1 if refreshed else event.generation if signed_in else None,
            event.refresh,
            event.access,
            event.milliseconds,
            event.renews_at,
            event.accepted,
        )


def kind_of(event: GrantEvent, now: float) -> StepKind:
    """The kind of an event of the journal at `now`, in Unix seconds."""
    if event.what == ENDED:
        return StepKind.ENDED
    if event.what != REFRESH:
        return OTHER_EVENTS.get((event.what, event.outcome), StepKind.OTHER)
    kind = REFRESH_OUTCOMES.get(event.outcome, StepKind.OTHER)
    # Both directions: a wall clock that was set back makes the event lie in the future.
    interrupted = kind is StepKind.UNDER_WAY and not -LONGEST_SECONDS < now - event.at < LONGEST_SECONDS
    return StepKind.INTERRUPTED if interrupted else kind


def last_failure(steps: tuple[TimelineStep, ...]) -> TimelineStep | None:
    """The newest failure among `steps`, which are newest first; None without one."""
    return next((step for step in steps if step.kind in FAILED), None)
