"""Current: the grant in force at one host, and what is told of it. Nothing here waits or asks anybody."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from app.core.auth.status import AuthEvent, CredentialState, CredentialStatus
from app.core.events import Event

if TYPE_CHECKING:
    from app.core.auth.grant.grant import Grant
    from app.core.auth.grant.tokens import Fingerprints, TokenSet
    from app.core.auth.status import Trouble
    from app.core.clock import ServerTime


class GrantState:
    """At most one grant, with a status. `changed` tells each new status, `happened` what became of a grant."""

    def __init__(self, time: ServerTime, fingerprint: Fingerprints) -> None:
        self.changed: Event[CredentialStatus] = Event()
        self.happened: Event[AuthEvent] = Event()
        self.status = CredentialStatus()
        self.grant: Grant | None = None
        self._time = time
        self._fingerprint = fingerprint
        self._fit_until = -inf

    def fit(self) -> TokenSet | None:
        """The token, if it may be sent without a further look: outside its margin before the expiry."""
        grant = self.grant
        return grant.tokens if grant is not None and self._time.clock.boot() < self._fit_until else None

    def hold(self, grant: Grant, *, persistent: bool | None = None) -> None:
        """From now on `grant` is the one in force; `persistent`: what is known of its being stored."""
        self.grant = grant
        self.measure()
        if persistent is not None:
            self.note(persistent=persistent)
        reason = None if self.status.persistent and self.status.trouble is None else self.status.reason
        self.note(state=CredentialState.SIGNED_IN, reason=reason)

    def drop(self, state: CredentialState, reason: str | None = None) -> None:
        """There is no grant any more."""
        self.grant, self._fit_until = None, -inf
        self.note(state=state, reason=reason, trouble=None, renewing_since=None)

    def measure(self) -> None:
        """Put down until when the token is fit, in the time since boot; again when the server's time was learnt."""
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
        """`trouble` troubles no longer, if it did."""
        if self.status.trouble is trouble:
            self.note(trouble=None, reason=None)

    def tell(self, what: str, why: str, outcome: str, grant: Grant, milliseconds: float | None = None) -> None:
        """Something happened to `grant`, which need not be the one in force."""
        tokens = grant.tokens
        token = self._fingerprint(tokens.access_token)
        self.happened.emit(AuthEvent(what, why, outcome, tokens.generation, token, milliseconds))
