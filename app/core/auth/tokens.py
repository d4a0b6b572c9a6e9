"""TokenSet: the answer of a token endpoint as one immutable value (RFC 6749 section 5.1).

See docs/wire.md, "Token request".
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from app.core.redaction import hide

FINGERPRINT_LENGTH = 8


class Fingerprints:
    """Eight hexadecimal digits that identify a token in records and reveal nothing about it.

    They are a keyed hash. With the key of the installation, fingerprints match across processes and runs; without a
    key, only within this run. Fingerprints of different `scope`s, which come from credential keys, never match.
    """

    def __init__(self, key: bytes | None = None, scope: str = "") -> None:
        # Keyed, because an unkeyed hash lets anybody who has a token look it up in a bug report.
        self._key = key or os.urandom(32)
        self._scope = scope

    def __call__(self, token: str) -> str:
        """The fingerprint of `token`; empty for an empty one."""
        import hmac

        if not token:
            return ""
        return hmac.new(self._key, f"{self._scope}{token}".encode(), "sha256").hexdigest()[:FINGERPRINT_LENGTH]


fingerprint = Fingerprints()
"""Fingerprints of this run, for what is not stored."""


@dataclass(frozen=True, slots=True)
class TokenSet:
    """An access token and what came with it.

    `issued_at` and `expires_at` are Unix times in seconds by the server's clock. `expires_at` is None when the server
    states no lifetime or an invalid one; then only a refusal shows that the token is dead (faults row 34).
    `refresh_token` is None when the grant cannot be refreshed. `generation` counts the tokens of one grant on this
    machine, 1 for those of the sign-in. Of two records of one sign-in the higher generation is the newer one. `repr()`
    shows no secret.
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
        """Seconds from issue to expiry; None when unknown."""
        return None if self.expires_at is None else self.expires_at - self.issued_at

    @property
    def margin(self) -> float:
        """Seconds before its expiry from which on the token counts as expired: a tenth of its lifetime, at most 60."""
        # A fixed margin would make a token that lives for 30 seconds useless from the start (faults row 35).
        lifetime = self.lifetime
        return 0.0 if lifetime is None else min(60.0, lifetime * 0.1)

    def expired(self, now: float) -> bool:
        """Whether the token counts as expired at `now` (Unix seconds by the server's clock)."""
        return self.expires_at is not None and now >= self.expires_at - self.margin
