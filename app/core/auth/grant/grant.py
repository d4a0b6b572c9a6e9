"""Grant: what the vault keeps of one sign-in, and its tolerant encoding (faults rows 21 and 23)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields

from app.core.auth.grant.tokens import TokenSet

VERSION = 1
TEXTS = ("client_id", "issuer", "sign_in")


@dataclass(frozen=True, slots=True)
class Grant:
    """Tokens, and the client and issuer that they belong to. A personal API key is a grant without a client.

    `sign_in` names the signing in that all renewals of a grant descend from, so that a renewed grant is told from that
    of somebody who signed in meanwhile. It is no secret.
    """

    tokens: TokenSet
    client_id: str = ""
    issuer: str = ""
    sign_in: str = ""

    @property
    def renewable(self) -> bool:
        return self.tokens.refresh_token is not None

    @property
    def personal_key(self) -> bool:
        return not self.client_id

    @property
    def digest(self) -> str:
        """Tells grants apart without keeping their secrets."""
        secret = self.tokens.refresh_token or self.tokens.access_token
        return hashlib.sha256(secret.encode()).hexdigest()

    def same_sign_in(self, other: Grant) -> bool:
        """Whether both descend from one signing in; a record that does not say, from whichever it is found with."""
        return self.sign_in == other.sign_in or not (self.sign_in and other.sign_in)

    def encode(self) -> str:
        """One line of ASCII JSON."""
        named = {name: getattr(self, name) for name in TEXTS}
        return json.dumps({"v": VERSION, **named, **asdict(self.tokens)}, separators=(",", ":"))

    @staticmethod
    def decode(text: str) -> Grant:
        """Read what any version wrote: fields unknown here are ignored, missing ones take their defaults.

        Raises `ValueError` for anything that is no grant.
        """
        record = json.loads(text)
        if not isinstance(record, dict) or not isinstance(record.get("access_token"), str):
            raise ValueError("no grant")
        known = {field.name for field in fields(TokenSet)}
        values = {name: value for name, value in record.items() if name in known}
        for name in ("scoped_teams", "scoped_organizations"):
            values[name] = tuple(values.get(name) or ())
        for name in ("issued_at", "expires_at", "generation"):
            if not isinstance(values.get(name, 0), int | float | None):
                raise ValueError(f"no grant: {name}")
        texts = {name: record[name] for name in TEXTS if isinstance(record.get(name), str)}
        return Grant(TokenSet(**values), **texts)
