"""GrantState: the grant in force, and what is told about it. Nothing here waits or asks anybody.

Everything that changes the grant in force goes through this object, and everything that depends on it (the planned
refresh, the window) listens to it. So control passes one way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from app.core.auth.status import AuthEvent, CredentialState, CredentialStatus, Trouble
from app.core.events import Event

if TYPE_CHECKING:
    from app.core.auth.grant.grant import Grant
    from app.core.auth.tokens import Fingerprints, TokenSet
    from app.core.clock import ServerTime


@dataclass(frozen=True, slots=True)
class HeldGrant:
    """A grant that was put in force; `number` is that of the journal's event that brought it, 0 for none."""

    grant: Grant
    number: int


class GrantState:
    """At most one grant, with a status.

    `changed` tells each new status, `happened` what became of a grant. `held` tells each grant that is put in force,
    None when there is none any more, before `changed` does. `superseded` tells each sign-in and sign-out: nothing that
    was begun before it counts any more. `epoch` counts those.
    """

    def __init__(self, time: ServerTime, fingerprint: Fingerprints) -> None:
        self.changed: Event[CredentialStatus] = Event()
        self.happened: Event[AuthEvent] = Event()
        self.held: Event[HeldGrant | None] = Event()
        self.superseded: Event[int] = Event()
        self.status = CredentialStatus()
        self.grant: Grant | None = None
        self.epoch = 0
        self._time = time
        self._fingerprint = fingerprint
        self._fit_until = -inf

    def fit(self) -> TokenSet | None:
        """The token, if it may be sent without a further look: outside its margin before the expiry."""
        grant = self.grant
        return grant.tokens if grant is not None and self._time.clock.boot() < self._fit_until else None

    def hold(self, grant: Grant, *, persistent: bool | None = None, number: int = 0) -> None:
        """From now on `grant` is the one in force; `persistent`: what is known of its being stored."""
        self.grant = grant
        self.measure()
        self.held.emit(HeldGrant(grant, number))
        if persistent is not None:
            self.note(persistent=persistent)
        reason = None if self.status.persistent and self.status.trouble is None else self.status.reason
        self.note(state=CredentialState.SIGNED_IN, reason=reason)

    def drop(self, state: CredentialState, reason: str | None = None) -> None:
        """There is no grant any more."""
        self.supersede()
        self.grant, self._fit_until = None, -inf
        self.held.emit(None)
        self.note(state=state, reason=reason, trouble=None, renewing_since=None)

    def supersede(self) -> None:
        """Somebody signs in or out: what was begun for the former grant is void, and so is what went wrong with it."""
        self.epoch += 1
        self.superseded.emit(self.epoch)
        self.lift(Trouble.REFUSED)

    def measure(self) -> None:
        """Note until when the token is fit, in the time since boot; again when the server's time was learnt."""
        if self.grant is not None:
            tokens = self.grant.tokens
            left = inf if tokens.expires_at is None else tokens.expires_at - tokens.margin - self._time.now()
            self._fit_until = self._time.clock.boot() + left

    def note(self, **changes: object) -> None:
        """Change the status and tell it, if that changes anything."""
        status = replace(self.status, **changes)  # type: ignore[arg-type]
        if status != self.status:
            self.status = status
            self.changed.emit(status)

    def lift(self, trouble: Trouble) -> None:
        """End `trouble`, if it is the present one."""
        if self.status.trouble is trouble:
            self.note(trouble=None, reason=None)

    def tell(self, what: str, why: str, outcome: str, grant: Grant, milliseconds: float | None = None) -> None:
        """Something happened to `grant`, which need not be the one in force."""
        tokens = grant.tokens
        token = self._fingerprint(tokens.access_token)
        self.happened.emit(AuthEvent(what, why, outcome, tokens.generation, token, milliseconds))
