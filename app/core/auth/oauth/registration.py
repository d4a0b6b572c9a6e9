"""Client: Burrow as one host knows it, with what that host says of itself; both are asked for once and remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.auth.oauth.server import ClientRegistration, ServerMetadata
from app.core.hosts import origin_of

if TYPE_CHECKING:
    from app.core.auth.oauth.server import OAuthClient
    from app.core.auth.settings import CredentialSettings
    from app.core.hosts import Host

METADATA, REGISTRATION = "metadata", "client"


class ClientRegistrar:
    """Metadata (RFC 8414) and registration (RFC 7591) of one host."""

    def __init__(self, host: Host, oauth: OAuthClient, settings: CredentialSettings) -> None:
        self._host = host
        self._oauth = oauth
        self._settings = settings
        self._metadata: ServerMetadata | None = None

    async def metadata(self) -> ServerMetadata:
        """The host's metadata, remembered so that a renewal needs no discovery (faults row 39)."""
        if self._metadata is None:
            self._metadata = self._remembered_metadata() or await self.rediscover()
        return self._metadata

    async def rediscover(self) -> ServerMetadata:
        """Ask the host for its metadata afresh, as every sign-in does."""
        self._metadata = await self._oauth.discover()
        await self._settings.set(METADATA, _plain(self._metadata))
        return self._metadata

    @property
    def configured(self) -> bool:
        """Whether a person named the client id; such a one is never replaced."""
        return self._host.client_id is not None

    async def registration(self, metadata: ServerMetadata) -> ClientRegistration:
        """The registration with the issuer: configured, remembered, or made now."""
        if self._host.client_id is not None:
            return ClientRegistration(self._host.client_id, "/callback", metadata.issuer)
        return self.remembered(metadata) or await self.register(metadata)

    def remembered(self, metadata: ServerMetadata) -> ClientRegistration | None:
        """The registration that was made with this issuer; that of another one is none (faults row 40)."""
        remembered = self._settings.get(REGISTRATION)
        if self.configured or not isinstance(remembered, dict) or remembered.get("issuer") != metadata.issuer:
            return None
        try:
            return ClientRegistration(**remembered)
        except TypeError:
            return None

    async def register(self, metadata: ServerMetadata) -> ClientRegistration:
        """Register with the issuer, in place of a registration that it no longer knows (faults row 31)."""
        registration = await self._oauth.register(metadata)
        await self._settings.set(REGISTRATION, _plain(registration))
        return registration

    async def forget_registration(self, client_id: str | None = None) -> None:
        """The issuer no longer knows the client: the next sign-in registers anew (faults row 31).

        With `client_id`, only if it is still the one that is remembered: another process may have registered anew.
        """
        await self._settings.refresh(REGISTRATION)
        remembered = self._settings.get(REGISTRATION)
        if client_id is None or not isinstance(remembered, dict) or remembered.get("client_id") == client_id:
            await self._settings.set(REGISTRATION, None)

    def _remembered_metadata(self) -> ServerMetadata | None:
        remembered = self._settings.get(METADATA)
        if not isinstance(remembered, dict):
            return None
        try:
            known = ServerMetadata(**remembered)
        except TypeError:
            return None
        # The embedded workspace changes its port; and no token ever goes to another origin.
        return known if origin_of(known.token_endpoint) == self._host.origin else None


def _plain(value: ServerMetadata | ClientRegistration) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
