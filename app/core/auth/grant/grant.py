"""Grant: what the vault stores of one sign-in, and its tolerant encoding (faults rows 21 and 23)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields

from app.core.auth.registration import AuthMethod, ClientRegistration, method_of
from app.core.auth.tokens import TokenSet

VERSION = 1
TEXTS = ("client_id", "issuer", "sign_in", "resource", "client_secret", "auth_method")
# Later additions. They are written only when set, so that most records have no field that older versions do not know.
OPTIONAL = frozenset({"resource", "client_secret", "auth_method"})


def digest(secret: str) -> str:
    """Identifies a token without revealing it. Tokens that servers issue are long enough for a plain hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Grant:
    """Tokens, and the client, issuer and resource that they belong to. An API key is a grant without a client.

    `sign_in` identifies the sign-in; refreshes keep it. It tells a refreshed grant from the grant of a later sign-in,
    perhaps of another user. It is no secret. `resource` was sent when the grant was made and is sent unchanged with
    every refresh (RFC 8707); empty for none. `client_secret` and `auth_method` say how the client authenticates; both
    are empty for a public client.
    """

    tokens: TokenSet
    client_id: str = ""
    issuer: str = ""
    sign_in: str = ""
    resource: str = ""
    client_secret: str = field(default="", repr=False)
    auth_method: str = ""

    @property
    def refreshable(self) -> bool:
        """Whether there is a refresh token."""
        return self.tokens.refresh_token is not None

    @property
    def api_key(self) -> bool:
        """Whether the access token is a key that no sign-in issued."""
        return not self.client_id

    @property
    def registration(self) -> ClientRegistration:
        """The client that the grant belongs to, as token requests authenticate it."""
        method = method_of(self.auth_method, AuthMethod.NONE)
        return ClientRegistration(self.client_id, "", self.issuer, self.client_secret or None, method)

    @staticmethod
    def issued(tokens: TokenSet, registration: ClientRegistration, resource: str | None) -> Grant:
        """The grant of a new sign-in with this client, for this resource."""
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
        """Identifies the grant's refresh token (or only token) without revealing it."""
        return digest(self.tokens.refresh_token or self.tokens.access_token)

    def same_sign_in(self, other: Grant) -> bool:
        """Whether both belong to one sign-in."""
        # Records without an id come from versions that wrote none. They count as the sign-in they are compared with:
        # otherwise an upgrade would look like another user's sign-in.
        return self.sign_in == other.sign_in or not (self.sign_in and other.sign_in)

    def encode(self) -> str:
        """One line of ASCII JSON."""
        # The access token too: a process that is late adopts it, and has nothing to ask the server for (faults row 15).
        texts = {name: getattr(self, name) for name in TEXTS}
        written = {name: text for name, text in texts.items() if text or name not in OPTIONAL}
        return json.dumps({"v": VERSION, **written, **asdict(self.tokens)}, separators=(",", ":"))

    @staticmethod
    def decode(text: str) -> Grant:
        """Read what any version wrote. Unknown fields are ignored, missing ones take their defaults.

        Raises `ValueError` for anything that is not a grant.
        """
        record = json.loads(text)
        if not isinstance(record, dict) or not isinstance(record.get("access_token"), str):
            raise ValueError("not a grant")
        token_fields = {each.name for each in fields(TokenSet)}
        values = {name: value for name, value in record.items() if name in token_fields}
        for name in ("scoped_teams", "scoped_organizations"):
            values[name] = tuple(values.get(name) or ())
        for name in ("issued_at", "expires_at", "generation"):
            if not isinstance(values.get(name, 0), int | float | None):
                raise ValueError(f"not a grant: {name}")
        texts = {name: record[name] for name in TEXTS if isinstance(record.get(name), str)}
        return Grant(TokenSet(**values), **texts)
