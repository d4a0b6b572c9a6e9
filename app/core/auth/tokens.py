"""TokenSet: what a token endpoint answered, as one immutable value (RFC 6749 section 5.1, contract section 1.5)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

# A new key at each start: fingerprints relate records of one run and are worthless outside it.
_FINGERPRINT_KEY = os.urandom(32)
FINGERPRINT_LENGTH = 8


def fingerprint(token: str) -> str:
    """Eight hexadecimal digits that stand for `token` in logs and activity records of this process."""
    import hmac

    return hmac.new(_FINGERPRINT_KEY, token.encode(), "sha256").hexdigest()[:FINGERPRINT_LENGTH]


@dataclass(frozen=True, slots=True)
class TokenSet:
    """An access token and what came with it.

    `issued_at` and `expires_at` are Unix times in seconds by the local clock, `expires_at` None when the server did
    not say or said nonsense (faults row 34: then only a refusal tells that the token died). `refresh_token` is None
    for sessions that cannot be renewed. `generation` counts the renewals of one grant on this machine, so that a late
    refusal of an older access token is told from a refusal of the current one. `repr()` shows no secret.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    issued_at: float = 0.0
    expires_at: float | None = None
    scope: str = ""
    generation: int = 0
    scoped_teams: tuple[int, ...] = ()
    scoped_organizations: tuple[str, ...] = ()

    @property
    def lifetime(self) -> float | None:
        """Seconds from issue to expiry, None when unknown."""
        return None if self.expires_at is None else self.expires_at - self.issued_at

    @property
    def margin(self) -> float:
        """Seconds before expiry at which the token counts as expired: min(60 s, 10 % of its life), faults row 35."""
        lifetime = self.lifetime
        return 0.0 if lifetime is None else min(60.0, lifetime * 0.1)

    def expired(self, now: float) -> bool:
        """Whether the token must not be sent any more at `now` (Unix seconds)."""
        return self.expires_at is not None and now >= self.expires_at - self.margin
