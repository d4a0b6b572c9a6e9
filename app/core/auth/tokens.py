"""TokenSet: what a token endpoint answered, as one immutable value (RFC 6749 section 5.1, contract section 1.5)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from app.core.redaction import hide

FINGERPRINT_LENGTH = 8


class Fingerprints:
    """Eight hexadecimal digits that stand for a token in records; who lacks the key learns nothing from them.

    The key of an installation relates the records of all its processes; without one they relate those of this run.
    Fingerprints of one `scope`, that of a credential's key, relate no tokens of another one.
    """

    def __init__(self, key: bytes | None = None, scope: str = "") -> None:
        self._key = key or os.urandom(32)
        self._scope = scope

    def __call__(self, token: str) -> str:
        """The fingerprint of `token`, empty for none."""
        import hmac

        if not token:
            return ""
        return hmac.new(self._key, f"{self._scope}{token}".encode(), "sha256").hexdigest()[:FINGERPRINT_LENGTH]


fingerprint = Fingerprints()
"""Fingerprints of this run, for what is not kept."""


@dataclass(frozen=True, slots=True)
class TokenSet:
    """An access token and what came with it.

    `issued_at` and `expires_at` are Unix times in seconds by the server's clock, `expires_at` None when the server did
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

    def __post_init__(self) -> None:
        hide(self.access_token, self.refresh_token)

    @property
    def bearer(self) -> str:
        """The value of an `Authorization` header (RFC 6750 section 2.1)."""
        return f"Bearer {self.access_token}"

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
