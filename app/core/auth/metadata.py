"""ServerMetadata: the metadata of an authorization server (RFC 8414)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """The parts of the metadata that Burrow uses. The names of the fields are stored in the settings.

    `names_issuer`: authorization responses have the parameter `iss` (RFC 9207). `scopes` are those that the server
    offers, `auth_methods` how a client may authenticate at the token endpoint; both are empty when it does not say.
    `takes_metadata_documents`: a client id may be the URL of a client id metadata document.
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str | None = None
    revocation_endpoint: str | None = None
    names_issuer: bool = False
    scopes: tuple[str, ...] = ()
    auth_methods: tuple[str, ...] = ()
    takes_metadata_documents: bool = False

    def record(self) -> dict[str, Any]:
        """The metadata as JSON values, for the settings."""
        return asdict(self)

    @staticmethod
    def of_record(record: object) -> ServerMetadata | None:
        """Read what `record` of this or another version returned; None for anything else."""
        if not isinstance(record, dict):
            return None
        known = {field.name for field in fields(ServerMetadata)}
        # Unknown fields come from a newer version, missing ones from an older one.
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
        stated: dict[str, Any] = {name: value for name, value in values.items() if name in known}
        try:
            found = ServerMetadata(**stated)
        except TypeError:
            return None
        addresses = (found.issuer, found.authorization_endpoint, found.token_endpoint)
        return found if all(isinstance(address, str) for address in addresses) else None
