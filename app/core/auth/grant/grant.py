"""Grant: what the vault stores of one sign-in, and its tolerant encoding (faults rows 21 and 23)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields

from app.core.auth.registration import AuthMethod, ClientRegistration, method_of
from app.core.auth.tokens import TokenSet

VERSION = 1
TEXTS = ("client_id", "issuer", "sign_in", "resource", "client_secret", "auth_method")
# Written only where they say something: versions before them read everything else.
OPTIONAL = frozenset({"resource", "client_secret", "auth_method"})


@dataclass(frozen=True, slots=True)
class Grant:
    """Tokens, and the client, issuer and resource that they belong to. An API key is a grant without a client.

    `sign_in` identifies the sign-in; refreshes keep it. It tells a refreshed grant from that of somebody who signed in
    meanwhile, and is no secret. `resource` was sent when the grant was made and is sent unchanged with every refresh
    (RFC 8707); empty for none. `client_secret` and `auth_method` are how the client authenticates; empty for a public
    client.
    """

    tokens: TokenSet
    client_id: str = ""
    issuer: str = ""
    sign_in: str = ""
    resource: str = ""
    client_secret: str = field(default="", repr=False)
    auth_method: str = ""

    @property
    def renewable(self) -> bool:
        """Whether there is a refresh token."""
        return self.tokens.refresh_token is not None

    @property
    def api_key(self) -> bool:
        """Whether the access token is a key that no sign-in has issued."""
        return not self.client_id

    @property
    def registration(self) -> ClientRegistration:
        """The client that the grant belongs to, as token requests authenticate it."""
        method = method_of(self.auth_method, AuthMethod.NONE)
        return ClientRegistration(self.client_id, "", self.issuer, self.client_secret or None, method)

    @staticmethod
    def issued(tokens: TokenSet, registration: ClientRegistration, resource: str | None) -> Grant:
        """The grant of a new sign-in as this client, for this resource."""
        secret = registration.secret or ""
        method = registration.method.value if secret else ""
        return Grant(
            tokens,
            registration.client_id,
            registration.issuer,
            resource=resource or "",
            client_secret=secret,
            auth_method=method,
        )

    @property
    def digest(self) -> str:
        """Tells grants apart without keeping their secrets."""
        secret = self.tokens.refresh_token or self.tokens.access_token
        return hashlib.sha256(secret.encode()).hexdigest()

    def same_sign_in(self, other: Grant) -> bool:
        """Whether both are of one sign-in; a record that does not say counts as of whichever it is found with."""
        return self.sign_in == other.sign_in or not (self.sign_in and other.sign_in)

    def encode(self) -> str:
        """One line of ASCII JSON."""
        texts = {name: getattr(self, name) for name in TEXTS}
        named = {name: text for name, text in texts.items() if text or name not in OPTIONAL}
        return json.dumps({"v": VERSION, **named, **asdict(self.tokens)}, separators=(",", ":"))

    @staticmethod
    def decode(text: str) -> Grant:
        """Read what any version wrote: fields unknown here are ignored, missing ones take their defaults.

        Raises `ValueError` for anything that is no grant.
        """
        record = json.loads(text)
        if not isinstance(record, dict) or not isinstance(record.get("access_token"), str):
            raise ValueError("no grant")
        known = {each.name for each in fields(TokenSet)}
        values = {name: value for name, value in record.items() if name in known}
        for name in ("scoped_teams", "scoped_organizations"):
            values[name] = tuple(values.get(name) or ())
        for name in ("issued_at", "expires_at", "generation"):
            if not isinstance(values.get(name, 0), int | float | None):
                raise ValueError(f"no grant: {name}")
        texts = {name: record[name] for name in TEXTS if isinstance(record.get(name), str)}
        return Grant(TokenSet(**values), **texts)
