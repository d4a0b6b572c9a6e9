"""CredentialProfile: what is special about the credential of one issuer and resource. Everything else is common code.

PostHog's profiles are made in `core/posthog/profile.py`, that of a custom MCP server by `oauth/discovery.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

from app.core.errors import Facts

if TYPE_CHECKING:
    from app.core.auth.key import CredentialKey
    from app.core.auth.metadata import ServerMetadata


class IssuerTrust(Enum):
    """What an authorization server may be.

    `SAME_ORIGIN`: it is the server that requests go to, and all its endpoints are there. `METADATA`: the one whose
    identifier the protected resource names (RFC 9728), with endpoints wherever its metadata says, https only. A server
    on this machine may also name http addresses on this machine.
    """

    SAME_ORIGIN = "same-origin"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """A client that a person registered with the issuer by hand. `secret` is None for a public client."""

    client_id: str
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CredentialProfile:
    """What a credential needs to know of its issuer.

    `name` is what people call the server, `origin` where it is. `issuer` is the identifier that its metadata must have.
    `resource` is sent with every authorization and token request (RFC 8707). `scopes` are asked for at a sign-in,
    `parameters` are added to the authorization request. `client` replaces every other registration. `documented` is
    what applies to an issuer that publishes no metadata. `check_url` answers with 2xx to a live access token and
    refuses a dead one in the server's own shape; None where nothing does. `without_registration` is what to do where
    nobody can register.

    `client_metadata_url` is a client id metadata document, for issuers that take one in place of a registration. Such a
    client id is the https address of the document itself, so somebody must publish it at an address of theirs, and that
    address vouches for what is signed in with it. This project has none, hence None. Whoever distributes Burrow
    publishes `docs/client-metadata.json`, with the address as its `client_id`, and names the address here.
    """

    key: CredentialKey
    name: str
    origin: str
    issuer: str
    trust: IssuerTrust = IssuerTrust.METADATA
    resource: str | None = None
    scopes: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    client: ClientIdentity | None = None
    client_metadata_url: str | None = None
    documented: ServerMetadata | None = None
    check_url: str | None = None
    without_registration: str = "Ask its administrator for an OAuth client id."

    def facts(self, code: str | None = None, *, attr: str | None = None, retry_after: float | None = None) -> Facts:
        """What an error about a sign-in with this profile says besides its cause."""
        return Facts(code=code, attr=attr, retry_after=retry_after, origin=self.origin, credential=self.key.text)

    def in_slot(self, slot: str) -> CredentialProfile:
        """The profile of another account at the same issuer."""
        return replace(self, key=self.key._replace(slot=slot))
