"""Grant: what the vault keeps of one sign-in, and its tolerant encoding (faults rows 21 and 23)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields

from app.core.auth.tokens import TokenSet

VERSION = 1


@dataclass(frozen=True, slots=True)
class Grant:
    """Tokens and the client they were issued to. A personal API key is a grant without a client or a renewal."""

    tokens: TokenSet
    client_id: str = ""

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

    def encode(self) -> str:
        """One line of JSON."""
        return json.dumps({"v": VERSION, "client_id": self.client_id, **asdict(self.tokens)}, separators=(",", ":"))

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
        client_id = record.get("client_id", "")
        return Grant(TokenSet(**values), client_id if isinstance(client_id, str) else "")
