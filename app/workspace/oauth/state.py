"""What the authorization server keeps in memory: requests that wait for consent, tickets, codes, throttles."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.workspace.runtime.one_time import OneTimeValues
from app.workspace.web.throttle import HOUR, MINUTE, Throttle

if TYPE_CHECKING:
    from app.workspace.oauth.clients import OAuthClient

TICKET_SECONDS = 60.0
CONSENT_SECONDS = 600.0
PERSON_CODE_SECONDS = 300.0
# Crockford's base 32 without 0 and 1: nothing in it looks like something else. Eight of them have 39 random bits.
LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
PERSON_CODE_LENGTH = 8


def person_code() -> str:
    """A code that a person can type."""
    return "".join(secrets.choice(LETTERS) for _ in range(PERSON_CODE_LENGTH))


@dataclass(frozen=True)
class PendingAuthorization:
    """An authorization request that was checked and waits for the person's decision.

    `proven`: its page was opened with a ticket, so whoever sits there may decide. Else a code is asked for, which is
    taken `tries` times more.
    """

    client: OAuthClient
    redirect_uri: str
    state: str | None
    scopes: tuple[str, ...]
    challenge: str
    level: str
    proven: bool = False
    tries: int = 5


@dataclass
class OAuthState:
    """One per running workspace.

    A login ticket carries the access level of the grant it leads to, a page ticket the code challenge of the request
    whose page it opens.
    """

    tickets: OneTimeValues[str] = field(default_factory=lambda: OneTimeValues(TICKET_SECONDS))
    page_tickets: OneTimeValues[str] = field(default_factory=lambda: OneTimeValues(TICKET_SECONDS))
    person_codes: OneTimeValues[bool] = field(
        default_factory=lambda: OneTimeValues(PERSON_CODE_SECONDS, 20, make=person_code)
    )
    consents: OneTimeValues[PendingAuthorization] = field(default_factory=lambda: OneTimeValues(CONSENT_SECONDS))
    registrations: Throttle = field(default_factory=lambda: Throttle((60, MINUTE), (1000, HOUR)))
