"""GrantState: the current grant and the status of the credential, with events for both. It does no I/O.

Everything that changes the current grant does so through this object. Everything that depends on the grant (the
refresh schedule, the window) subscribes to it. So control flows one way.
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
class CurrentGrant:
    """A grant that became the current one. `event_number` is that of the journal event that brought it, 0 for none."""

    grant: Grant
    event_number: int


class GrantState:
    """At most one grant, and a status.

    - `changed` emits each new status, `happened` each thing that happened to a grant.
    - `grant_changed` emits each grant that becomes the current one, None when there is none any more. It is emitted
      before `changed`.
    - `superseded` emits the new epoch at each sign-in and sign-out. Work that was begun in an earlier `epoch` must drop
      its result: it belongs to a former grant.
    """

    def __init__(self, time: ServerTime, fingerprint: Fingerprints) -> None:
        self.changed: Event[CredentialStatus] = Event()
        self.happened: Event[AuthEvent] = Event()
        self.grant_changed: Event[CurrentGrant | None] = Event()
        self.superseded: Event[int] = Event()
        self.status = CredentialStatus()
        self.grant: Grant | None = None
        self.epoch = 0
        self._time = time
        self._fingerprint = fingerprint
        # In seconds of the boot clock, which neither the user nor a time server sets. So a request costs one clock
        # reading, and a wall clock that jumps changes nothing.
        self._fresh_until = -inf

    def fresh_token(self) -> TokenSet | None:
        """The current token while it is fresh: before the margin that precedes its expiry. Else None."""
        grant = self.grant
        return grant.tokens if grant is not None and self._time.clock.boot() < self._fresh_until else None

    def set_grant(self, grant: Grant, *, persistent: bool | None = None, event_number: int = 0) -> None:
        """Make `grant` the current one. `persistent` says whether it is stored, None when that has not changed."""
        former, self.grant = self.grant, grant
        self.update_freshness()
        if former is None or former.digest != grant.digest:
            self.update_status(works_until=None)
        self.grant_changed.emit(CurrentGrant(grant, event_number))
        if persistent is not None:
            self.update_status(persistent=persistent)
        # A trouble that outlives the change, such as a locked keyring, keeps its reason.
        reason = None if self.status.persistent and self.status.trouble is None else self.status.reason
        self.update_status(state=CredentialState.SIGNED_IN, reason=reason)

    def clear_grant(self, state: CredentialState, reason: str | None = None) -> None:
        """There is no current grant any more."""
        self.supersede()
        self.grant, self._fresh_until = None, -inf
        self.grant_changed.emit(None)
        self.update_status(state=state, reason=reason, trouble=None, refreshing_since=None, works_until=None)

    def supersede(self) -> None:
        """A sign-in or a sign-out begins: what was begun for the former grant no longer counts."""
        self.epoch += 1
        self.superseded.emit(self.epoch)
        self.clear_trouble(Trouble.REFUSED)

    def update_freshness(self) -> None:
        """Compute until when the token is fresh: for a new grant, and whenever the server's time was corrected."""
        if self.grant is not None:
            tokens = self.grant.tokens
            left = inf if tokens.expires_at is None else tokens.expires_at - tokens.margin - self._time.now()
            self._fresh_until = self._time.clock.boot() + left

    def update_status(self, **changes: object) -> None:
        """Change fields of the status, and emit it if that made a difference."""
        status = replace(self.status, **changes)  # type: ignore[arg-type]
        if status != self.status:
            self.status = status
            self.changed.emit(status)

    def clear_trouble(self, trouble: Trouble) -> None:
        """End `trouble`, if it is the present one."""
        if self.status.trouble is trouble:
            self.update_status(trouble=None, reason=None)

    def emit_event(self, what: str, why: str, outcome: str, grant: Grant, milliseconds: float | None = None) -> None:
        """Emit that something happened to `grant`, which need not be the current one."""
        tokens = grant.tokens
        token = self._fingerprint(tokens.access_token)
        self.happened.emit(AuthEvent(what, why, outcome, tokens.generation, token, milliseconds))
