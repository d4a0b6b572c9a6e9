"""CredentialProfile: how credentials of one issuer and resource differ from others. All code is common to all of them.

`core/posthog/profile.py` makes PostHog's profiles, `oauth/discovery.py` those of custom MCP servers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from app.core.errors import Facts

if TYPE_CHECKING:
    from app.core.auth.key import CredentialKey
    from app.core.auth.metadata import ServerMetadata


class IssuerTrust(Enum):
    """Which authorization server a credential trusts.

    `SAME_ORIGIN`: only the server that requests go to, with all endpoints at its origin. `METADATA`: the one that the
    protected resource names (RFC 9728), with https endpoints wherever its metadata says. A server on this machine may
    also name http addresses on this machine.
    """

    SAME_ORIGIN = "same-origin"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """A client that somebody registered with the issuer by hand. `secret` is None for a public client."""

    client_id: str
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CredentialProfile:
    """What a credential has to know about its issuer and resource.

    - `name` is the server's name for people, `origin` where requests go.
    - `issuer` is the identifier that the metadata must have.
    - `resource` is sent with every authorization and token request (RFC 8707).
    - `scopes` are requested at each sign-in, `parameters` are added to the authorization request.
    - `client` is used in place of any registration.
    - `documented` is the metadata of an issuer that publishes none.
    - `check_url` answers 2xx to a live access token, and refuses a dead one in the server's own format. None if there
      is no such URL.
    - `registration_advice` tells the user what to do when the issuer lets no client register.
    - `client_metadata_url` is a client id metadata document, for issuers that accept one in place of a registration.
      The client id is then the https URL of the document, so its publisher vouches for the client. This project
      publishes none, hence None. A distributor of Burrow publishes `docs/client-metadata.json`, with its URL as
      `client_id`, and puts the URL here.
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
    registration_advice: str = "Ask its administrator for an OAuth client id."

    def facts(self, code: str | None = None, *, attr: str | None = None, retry_after: float | None = None) -> Facts:
        """The facts of an error about a sign-in with this profile."""
        return Facts(code=code, attr=attr, retry_after=retry_after, origin=self.origin, credential=self.key.text)
