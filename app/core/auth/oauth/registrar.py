"""ClientRegistrar: finds, makes and remembers the registration with one issuer.

In this order (MCP authorization, "Client Registration Approaches"): the client id that a person gave, a client id
metadata document where the issuer takes one, dynamic registration (RFC 7591), else the person is asked.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from app.core.auth.metadata import ServerMetadata
from app.core.auth.registration import AuthMethod, ClientRegistration, method_of, secret_method
from app.core.auth.vault.base import VaultFailure
from app.core.errors import Facts, Rejected
from app.core.urls import same_url

if TYPE_CHECKING:
    from app.core.auth.oauth.authorization_server import AuthorizationServer
    from app.core.auth.profile import ClientIdentity, CredentialProfile
    from app.core.auth.settings import CredentialSettings
    from app.core.auth.vault.base import Vault

METADATA, REGISTRATION, METHOD = "metadata", "client", "client-method"
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
        """Sign in as a client that a person registered by hand, from now on.

        Raises `VaultFailure` when its secret cannot be stored; then nothing has changed.
        """
        metadata = self._metadata or self._remembered_metadata()
        method = AuthMethod.NONE if client.secret is None else secret_method(metadata)
        issuer = self._profile.issuer if metadata is None else metadata.issuer
        await self._keep(ClientRegistration(client.client_id, GIVEN_PATH, issuer, client.secret, method, given=True))

    def gave(self, client_id: str) -> bool:
        """Whether a person gave this client id; such a one is never replaced."""
        client = self._profile.client
        if client is not None:
            return client.client_id == client_id
        known = ClientRegistration.of_record(self._settings.get(REGISTRATION))
        return known is not None and known.given and known.client_id == client_id

    async def registration(self, metadata: ServerMetadata) -> ClientRegistration:
        """The registration with the issuer: given, a metadata document's, remembered, or made now.

        Raises what `known` raises, and `Rejected` (attr `client_id`) when there is none and none can be made.
        """
        return await self.known(metadata) or await self.register(metadata)

    async def known(self, metadata: ServerMetadata) -> ClientRegistration | None:
        """The registration that needs no request: given, a metadata document's, or remembered.

        Raises `Rejected` (attr `client_id`) when a given one is of no use, and where a client can authenticate in no
        way that Burrow has; `VaultFailure` when the secret of a given one cannot be read. A given one is never replaced
        without a word.
        """
        self._oauth.check_auth_methods(metadata)
        # Somebody may have entered a client in another process.
        for name in (REGISTRATION, METHOD):
            await self._settings.refresh(name)
        document = self._profile.client_metadata_url
        given = await self._given(metadata)
        if given is not None:
            return self._as_confirmed(given)
        if document is not None and metadata.takes_metadata_documents:
            return ClientRegistration(document, GIVEN_PATH, metadata.issuer)
        remembered = await self._remembered(metadata)
        return None if remembered is None else self._as_confirmed(remembered)

    async def register(self, metadata: ServerMetadata) -> ClientRegistration:
        """Register with the issuer, in place of a registration that it no longer knows (faults row 31)."""
        registration = await self._oauth.register(metadata)
        try:
            await self._keep(registration)
        except VaultFailure as failure:
            # It serves this sign-in, whose grant has the secret too; the next one registers anew.
            log.warning("the client secret could not be stored: %s", failure.state.value)
        return registration

    async def confirm(self, registration: ClientRegistration) -> None:
        """The issuer took the client's secret in this way: begin with it from now on. Raises nothing."""
        if registration.secret is not None:
            method = {"client_id": registration.client_id, "method": registration.method.value}
            if self._settings.get(METHOD) != method:
                await self._settings.set(METHOD, method)

    async def move_secret(self, former: Vault) -> None:
        """The grant is stored in another vault from now on: the client's secret goes there too. Raises nothing."""
        vault, name = self._secrets.vault, self._secrets.client_name
        if not self._has_secret or vault is former:
            return
        try:
            secret = await former.read(name)
            if secret is not None:
                await vault.write(name, secret)
                if vault.kind is not former.kind:
                    await former.delete(name)
        except VaultFailure as failure:
            log.warning("the client secret could not be moved: %s", failure.state.value)

    async def forget_registration(self, client_id: str | None = None) -> None:
        """The issuer no longer knows the client: the next sign-in registers anew (faults row 31).

        With `client_id`, only if it is still the one that is remembered: another process may have registered anew.
        """
        await self._settings.refresh(REGISTRATION)
        remembered = self._settings.get(REGISTRATION)
        if client_id is None or not isinstance(remembered, dict) or remembered.get("client_id") == client_id:
            await self._forget_secret()
            await self._settings.set(REGISTRATION, None)

    @property
    def _has_secret(self) -> bool:
        """Whether the remembered registration has its secret in the vault."""
        known = ClientRegistration.of_record(self._settings.get(REGISTRATION))
        return known is not None and known.method is not AuthMethod.NONE

    async def _keep(self, registration: ClientRegistration) -> None:
        """Remember a registration for the next sign-in; its secret goes to the vault, first. Raises `VaultFailure`."""
        if registration.secret is None:
            await self._forget_secret()
        else:
            await self._secrets.vault.write(self._secrets.client_name, registration.secret)
        await self._settings.set(REGISTRATION, registration.record())

    async def _forget_secret(self) -> None:
        """Delete what is of no use any more. Raises nothing: without its registration nobody reads it."""
        if self._has_secret:
            try:
                await self._secrets.vault.delete(self._secrets.client_name)
            except VaultFailure as failure:
                log.info("the former client secret stays: %s", failure.state.value)

    def _as_confirmed(self, registration: ClientRegistration) -> ClientRegistration:
        """The registration with the way to authenticate that its issuer took last."""
        match self._settings.get(METHOD):
            case {"client_id": registration.client_id, "method": str(method)} if registration.secret is not None:
                return replace(registration, method=method_of(method, registration.method))
            case _:
                return registration

    async def _given(self, metadata: ServerMetadata) -> ClientRegistration | None:
        """The client that a person gave: with the profile, or by `use`."""
        client = self._profile.client
        if client is not None:
            method = AuthMethod.NONE if client.secret is None else secret_method(metadata)
            return ClientRegistration(client.client_id, GIVEN_PATH, metadata.issuer, client.secret, method, given=True)
        known = ClientRegistration.of_record(self._settings.get(REGISTRATION))
        if known is None or not known.given:
            return None
        if not same_url(known.issuer, metadata.issuer):
            raise self._of_no_use(
                f"was given for {known.issuer}, but {self._profile.name} signs in at {metadata.issuer}"
            )
        if known.method is AuthMethod.NONE:
            return replace(known, issuer=metadata.issuer)
        secret = await self._secrets.vault.read(self._secrets.client_name)
        if secret is None:
            raise self._of_no_use("was given with a secret, which is no longer stored")
        return replace(known, issuer=metadata.issuer, secret=secret)

    def _of_no_use(self, why: str) -> Rejected:
        return Rejected(
            f"The client id of {self._profile.name} {why}.",
            Facts(attr="client_id", origin=self._profile.origin),
            action="Enter the client id again, and its secret if it has one.",
        )

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
