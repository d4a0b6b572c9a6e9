"""ClientRegistrar: finds, makes and remembers the registration with one issuer.

In this order (MCP authorization, "Client Registration Approaches"): the client id that a person gave, a client id
metadata document where the issuer takes one, dynamic registration (RFC 7591), else the person is asked.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from app.core.auth.oauth.metadata import ServerMetadata
from app.core.auth.oauth.registration import AuthMethod, ClientRegistration, secret_method
from app.core.auth.vault.base import VaultFailure

if TYPE_CHECKING:
    from app.core.auth.oauth.authorization_server import AuthorizationServer
    from app.core.auth.profile import ClientIdentity, CredentialProfile
    from app.core.auth.settings import CredentialSettings
    from app.core.auth.vault.base import Vault

METADATA, REGISTRATION = "metadata", "client"
# The path of the redirect URI of a client that a person registered by hand, and of the metadata document.
GIVEN_PATH = "/callback"

log = logging.getLogger(__name__)


class SecretPlace(Protocol):
    """Where client secrets are stored: the vault of the grant (`app.core.auth.grant.store`)."""

    @property
    def vault(self) -> Vault: ...

    @property
    def client_name(self) -> str:
        """The name of the secret in the vault."""


class ClientRegistrar:
    """Metadata (RFC 8414) and registration (RFC 7591) of one credential; both are asked for once and remembered."""

    def __init__(
        self, profile: CredentialProfile, oauth: AuthorizationServer, settings: CredentialSettings, secrets: SecretPlace
    ) -> None:
        self._profile = profile
        self._oauth = oauth
        self._settings = settings
        self._secrets = secrets
        self._metadata: ServerMetadata | None = None

    async def metadata(self) -> ServerMetadata:
        """The issuer's metadata, remembered so that a refresh needs no discovery (faults row 39)."""
        if self._metadata is None:
            self._metadata = self._remembered_metadata() or await self.rediscover()
        return self._metadata

    async def rediscover(self) -> ServerMetadata:
        """Ask the issuer for its metadata again, as every sign-in does."""
        self._metadata = await self._oauth.discover()
        await self._settings.set(METADATA, self._metadata.record())
        return self._metadata

    async def use(self, client: ClientIdentity) -> None:
        """Sign in as a client that a person registered by hand, from now on. Raises nothing."""
        metadata = self._metadata or self._remembered_metadata()
        method = AuthMethod.NONE if client.secret is None else secret_method(metadata)
        issuer = self._profile.issuer if metadata is None else metadata.issuer
        await self.remember(ClientRegistration(client.client_id, GIVEN_PATH, issuer, client.secret, method, given=True))

    def gave(self, client_id: str) -> bool:
        """Whether a person gave this client id; such a one is never replaced."""
        client = self._profile.client
        if client is not None:
            return client.client_id == client_id
        known = ClientRegistration.of_record(self._settings.get(REGISTRATION))
        return known is not None and known.given and known.client_id == client_id

    async def registration(self, metadata: ServerMetadata) -> ClientRegistration:
        """The registration with the issuer: given, a metadata document's, remembered, or made now.

        Raises `Rejected` (attr `client_id`) when there is none and none can be made.
        """
        return await self.known(metadata) or await self.register(metadata)

    async def known(self, metadata: ServerMetadata) -> ClientRegistration | None:
        """The registration that needs no request: given, a metadata document's, or remembered."""
        client, document = self._profile.client, self._profile.client_metadata_url
        if client is not None:
            method = AuthMethod.NONE if client.secret is None else secret_method(metadata)
            return ClientRegistration(client.client_id, GIVEN_PATH, metadata.issuer, client.secret, method, given=True)
        remembered = await self._remembered(metadata)
        if remembered is not None and remembered.given:
            return remembered
        if document is not None and metadata.takes_metadata_documents:
            return ClientRegistration(document, GIVEN_PATH, metadata.issuer)
        return remembered

    async def register(self, metadata: ServerMetadata) -> ClientRegistration:
        """Register with the issuer, in place of a registration that it no longer knows (faults row 31)."""
        registration = await self._oauth.register(metadata)
        await self.remember(registration)
        return registration

    async def remember(self, registration: ClientRegistration) -> None:
        """Keep a registration for the next sign-in; its secret goes to the vault. Raises nothing."""
        if registration.secret is not None:
            try:
                await self._secrets.vault.write(self._secrets.client_name, registration.secret)
            except VaultFailure as failure:
                log.warning("the client secret could not be stored: %s", failure.state.value)
                return
        await self._settings.set(REGISTRATION, registration.record())

    async def forget_registration(self, client_id: str | None = None) -> None:
        """The issuer no longer knows the client: the next sign-in registers anew (faults row 31).

        With `client_id`, only if it is still the one that is remembered: another process may have registered anew.
        """
        await self._settings.refresh(REGISTRATION)
        remembered = self._settings.get(REGISTRATION)
        if client_id is None or not isinstance(remembered, dict) or remembered.get("client_id") == client_id:
            await self._settings.set(REGISTRATION, None)

    async def _remembered(self, metadata: ServerMetadata) -> ClientRegistration | None:
        """The registration that was made with this issuer; that of another one is none (faults row 40).

        Its secret comes from the vault. Without it, and once it has expired, the registration is of no use.
        """
        known = ClientRegistration.of_record(self._settings.get(REGISTRATION))
        if known is None or known.issuer != metadata.issuer:
            return None
        if known.method is AuthMethod.NONE:
            return known
        try:
            secret = await self._secrets.vault.read(self._secrets.client_name)
        except VaultFailure:
            secret = None
        found = replace(known, secret=secret)
        return None if secret is None or found.expired(self._oauth.time.now()) else found

    def _remembered_metadata(self) -> ServerMetadata | None:
        known = ServerMetadata.of_record(self._settings.get(METADATA))
        return known if known is not None and self._oauth.trusts(known) else None
