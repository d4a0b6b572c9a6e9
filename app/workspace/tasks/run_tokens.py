"""Tokens for one run: for its agent, and for its stream at another address (docs/wire.md, "Runs" and "Run stream").

They are JSON Web Tokens (RFC 7519) with HS256, and end with this process.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from typing import TYPE_CHECKING

from app.workspace.web.fields import decode_json

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECTION, STREAM = "sandbox", "stream"
# In seconds.
LIFETIMES = {CONNECTION: 24 * 3600.0, STREAM: 3600.0}


class RunTokens:
    """Makes and checks them; one for each running workspace."""

    def __init__(self) -> None:
        self._keys = {audience: secrets.token_bytes(32) for audience in LIFETIMES}

    def issue(self, audience: str, run_id: str, user_id: int, now: float) -> str:
        """A token for `audience`, one of `LIFETIMES`."""
        claims = {"aud": audience, "run_id": run_id, "user_id": user_id, "exp": int(now + LIFETIMES[audience])}
        signed = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(claims)}"
        return f"{signed}.{self._signature(audience, signed)}"

    def accepts(self, audience: str, run_id: str, token: str, now: float) -> bool:
        """Whether the token is good for this run."""
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(audience, signed).encode()):
            return False
        # Whatever is signed was made here.
        claims = decode_json(base64.urlsafe_b64decode(signed.partition(".")[2] + "=="))
        assert isinstance(claims, dict)
        return bool(claims["run_id"] == run_id and claims["exp"] > now)

    def kill(self, audience: str) -> None:
        """Refuse every token that was issued so far."""
        self._keys[audience] = secrets.token_bytes(32)

    def _signature(self, audience: str, signed: str) -> str:
        digest = hmac.new(self._keys[audience], signed.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()
        return _trimmed(digest)


def _encoded(value: Mapping[str, object]) -> str:
    return _trimmed(json.dumps(value, separators=(",", ":")).encode())


def _trimmed(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
