"""What the authorization server keeps in memory: requests that wait for consent, login tickets, throttles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.workspace.runtime.one_time import OneTimeValues
from app.workspace.web.throttle import HOUR, MINUTE, Throttle

if TYPE_CHECKING:
    from app.workspace.oauth.clients import OAuthClient

TICKET_SECONDS = 60.0
CONSENT_SECONDS = 600.0


@dataclass(frozen=True)
class PendingAuthorization:
    """An authorization request that was checked and waits for the person's decision."""

    client: OAuthClient
    redirect_uri: str
    state: str | None
    scopes: tuple[str, ...]
    challenge: str
    level: str


@dataclass
class OAuthState:
    """One per running workspace. A login ticket carries the access level of the grant it leads to."""

    tickets: OneTimeValues[str] = field(default_factory=lambda: OneTimeValues(TICKET_SECONDS))
    consents: OneTimeValues[PendingAuthorization] = field(default_factory=lambda: OneTimeValues(CONSENT_SECONDS))
    registrations: Throttle = field(default_factory=lambda: Throttle((60, MINUTE), (1000, HOUR)))
