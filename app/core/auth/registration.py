"""ClientRegistration: Burrow as a client of one issuer, and how it authenticates there (RFC 7591, RFC 6749 2.3.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from app.core.redaction import hide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.auth.metadata import ServerMetadata

CLIENT_NAME = "Burrow"
# A secret that expires within a minute would expire while the user reads the consent page.
SECRET_MARGIN = 60.0


class AuthMethod(Enum):
    """How a client authenticates at the token endpoint (RFC 7591 section 2)."""

    NONE = "none"
    BASIC = "client_secret_basic"
    POST = "client_secret_post"

    @property
    def other(self) -> AuthMethod:
        """The other way to send a secret."""
        return AuthMethod.POST if self is AuthMethod.BASIC else AuthMethod.BASIC


@dataclass(frozen=True, slots=True)
class ClientRegistration:
    """Burrow as a client of one issuer.

    `redirect_path` is registered with it. The port may differ (RFC 8252 section 7.3), but many servers compare the
    whole URI: for those `port` is registered too, 0 for none. `secret_expires_at` is in Unix seconds, 0 for never
    (RFC 7591 section 3.2.1). A `preregistered` client was entered by the user and is never replaced.
    """

    client_id: str
    redirect_path: str
    issuer: str
    secret: str | None = field(default=None, repr=False)
    method: AuthMethod = AuthMethod.NONE
    secret_expires_at: float = 0.0
    preregistered: bool = False
    port: int = 0

    def __post_init__(self) -> None:
        hide(self.secret)

    @property
    def redirect_uri(self) -> str:
        """The redirect URI as it is registered."""
        port = f":{self.port}" if self.port else ""
        return f"http://127.0.0.1{port}{self.redirect_path}"

    def expired(self, now: float) -> bool:
        """Whether its secret has expired at `now` (Unix seconds), or will within a minute."""
        return bool(self.secret and self.secret_expires_at and now >= self.secret_expires_at - SECRET_MARGIN)

    def record(self) -> dict[str, Any]:
        """The registration as JSON values, without the secret: that is stored in the vault."""
        record: dict[str, Any] = {
            "client_id": self.client_id,
            "redirect_path": self.redirect_path,
            "issuer": self.issuer,
        }
        if self.port:
            record["port"] = self.port
        if self.secret is not None:
            record |= {"method": self.method.value, "secret_expires_at": self.secret_expires_at}
        return record | {"given": True} if self.preregistered else record

    @staticmethod
    def of_record(record: object) -> ClientRegistration | None:
        """Read what `record` returned; None for anything else."""
        match record:
            case {"client_id": str(client_id), "redirect_path": str(path), "issuer": str(issuer), **rest}:
                expires, port = rest.get("secret_expires_at", 0.0), rest.get("port", 0)
                return ClientRegistration(
                    client_id,
                    path,
                    issuer,
                    method=method_of(rest.get("method"), AuthMethod.NONE),
                    secret_expires_at=expires if isinstance(expires, int | float) else 0.0,
                    preregistered=rest.get("given") is True,
                    port=port if isinstance(port, int) and 0 < port < 65536 else 0,
                )
            case _:
                return None


def client_metadata(redirect_uris: Sequence[str], method: AuthMethod) -> dict[str, Any]:
    """The client metadata of Burrow (RFC 7591 section 2): for registrations, and in `docs/client-metadata.json`."""
    # Without `scope`: it would be the ceiling of all later requests, and the scopes of a step-up are not known yet.
    return {
        "client_name": CLIENT_NAME,
        "redirect_uris": list(redirect_uris),
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method.value,
        "application_type": "native",
    }


def method_of(value: object, default: AuthMethod) -> AuthMethod:
    """The method called `value`, else `default`."""
    try:
        return AuthMethod(value)
    except ValueError:
        return default


def secret_method(metadata: ServerMetadata | None, named: object = None) -> AuthMethod:
    """How to send a secret: as the registration names it, else as the issuer offers, else in the header.

    RFC 7591 section 2: a registration that names no method means `client_secret_basic`.
    """
    method = method_of(named, AuthMethod.NONE)
    if method is not AuthMethod.NONE:
        return method
    offered = [method_of(one, AuthMethod.NONE) for one in metadata.auth_methods] if metadata is not None else []
    if AuthMethod.POST in offered and AuthMethod.BASIC not in offered:
        return AuthMethod.POST
    return AuthMethod.BASIC
