"""ClientRegistrar: chooses, creates and remembers Burrow's client at one issuer.

In this order (MCP authorization, "Client Registration Approaches"): a preregistered client that the user entered, a
client id metadata document if the issuer supports them, dynamic registration (RFC 7591), else the user is asked.
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

# Names of settings.
METADATA, REGISTRATION, METHOD = "metadata", "client", "client-method"
# The path of the redirect URI of preregistered clients and of the metadata document: somebody has typed it there.
FIXED_PATH = "/callback"

log = logging.getLogger(__name__)


class SecretStore(Protocol):
    """Where the client's secret is stored: in the vault of the grant (`app.core.auth.grant.store`)."""

    @property
    def vault(self) -> Vault: ...

    @property
    def client_name(self) -> str:
        """The name of the secret in the vault."""


class ClientRegistrar:
    """Metadata (RFC 8414) and client (RFC 7591) of one credential. Both are fetched once and remembered."""

    def __init__(
        self, profile: CredentialProfile, oauth: AuthorizationServer, settings: CredentialSettings, secrets: SecretStore
    ) -> None:
        self._profile = profile
        self._oauth = oauth
        self._settings = settings
        self._secrets = secrets
        self._metadata: ServerMetadata | None = None

    async def metadata(self) -> ServerMetadata:
        """The issuer's metadata, as remembered if possible."""
        # A refresh must not depend on discovery, which may fail while the token endpoint works (faults row 39).
        if self._metadata is None:
            self._metadata = self._remembered_metadata() or await self.rediscover()
        return self._metadata

    async def rediscover(self) -> ServerMetadata:
        """Fetch the issuer's metadata again, as every sign-in does."""
        self._metadata = await self._oauth.discover()
        await self._settings.set(METADATA, self._metadata.record())
        return self._metadata

    async def use_client(self, client: ClientIdentity) -> None:
        """Sign in with a preregistered client from now on.

        Raises `VaultFailure` when its secret cannot be stored. Then nothing has changed.
        """
        metadata = self._metadata or self._remembered_metadata()
        method = AuthMethod.NONE if client.secret is None else secret_method(metadata)
        issuer = self._profile.issuer if metadata is None else metadata.issuer
        registration = ClientRegistration(
            client.client_id, FIXED_PATH, issuer, client.secret, method, preregistered=True
        )
        await self._remember(registration)

    def is_preregistered(self, client_id: str) -> bool:
        """Whether the user entered this client id. Such a client is never replaced."""
        client = self._profile.client
        if client is not None:
            return client.client_id == client_id
        known = ClientRegistration.of_record(self._settings.get(REGISTRATION))
        return known is not None and known.preregistered and known.client_id == client_id

    async def registration(self, metadata: ServerMetadata) -> ClientRegistration:
        """The client to use: a known one, else one that is registered now.

        Raises what `known` raises, and `Rejected` (attr `client_id`) when the issuer registers none.
        """
        return await self.known(metadata) or await self.register(metadata)

    async def known(self, metadata: ServerMetadata) -> ClientRegistration | None:
        """The client that needs no registration now: preregistered, a metadata document, or remembered; else None.

        Raises `Rejected` (attr `client_id`) when a preregistered client cannot be used, or when Burrow supports none of
        the issuer's authentication methods. Raises `VaultFailure` when the secret of a preregistered client cannot be
        read.
        """
        self._oauth.check_auth_methods(metadata)
        # The user may have entered a client in another process.
        for name in (REGISTRATION, METHOD):
            await self._settings.refresh(name)
        document = self._profile.client_metadata_url
        # A preregistered client that cannot be used raises instead of falling through: signing in with another client
        # than the one that the user entered would be a surprise.
        preregistered = await self._preregistered(metadata)
        if preregistered is not None:
            return self._with_confirmed_method(preregistered)
        if document is not None and metadata.takes_metadata_documents:
            return ClientRegistration(document, FIXED_PATH, metadata.issuer)
        remembered = await self._dynamic(metadata)
        return None if remembered is None else self._with_confirmed_method(remembered)

    async def register(self, metadata: ServerMetadata) -> ClientRegistration:
        """Register a new client, and remember it in place of any other (faults row 31)."""
        registration = await self._oauth.register(metadata)
        try:
            await self._remember(registration)
        except VaultFailure as failure:
            # It serves this sign-in, and its refreshes: the grant has the secret too. The next sign-in registers again.
            log.warning("the client secret could not be stored: %s", failure.state.value)
        return registration

    async def confirm(self, registration: ClientRegistration) -> None:
        """The issuer accepted the client's secret by this method: use it first from now on. Raises nothing."""
        if registration.secret is not None:
            method = {"client_id": registration.client_id, "method": registration.method.value}
            if self._settings.get(METHOD) != method:
                await self._settings.set(METHOD, method)

    async def move_secret(self, former: Vault) -> None:
        """Move the client's secret out of the `former` vault, after the grant has moved. Raises nothing."""
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
        """The issuer no longer knows the client: the next sign-in registers a new one (faults row 31).

        With `client_id`, only that client is forgotten.
        """
        # Another process may have registered a new client already.
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

    async def _remember(self, registration: ClientRegistration) -> None:
        """Store a client for the next sign-in. Raises `VaultFailure`."""
        # The secret first: a registration that says it has one, without it, would be useless.
        if registration.secret is None:
            await self._forget_secret()
        else:
            await self._secrets.vault.write(self._secrets.client_name, registration.secret)
        await self._settings.set(REGISTRATION, registration.record())

    async def _forget_secret(self) -> None:
        """Delete the secret of the remembered client. Raises nothing: without its registration nobody reads it."""
        if self._has_secret:
            try:
                await self._secrets.vault.delete(self._secrets.client_name)
            except VaultFailure as failure:
                log.info("the former client secret stays: %s", failure.state.value)

    def _with_confirmed_method(self, registration: ClientRegistration) -> ClientRegistration:
        """The registration with the authentication method that its issuer accepted last."""
        match self._settings.get(METHOD):
            case {"client_id": registration.client_id, "method": str(method)} if registration.secret is not None:
                return replace(registration, method=method_of(method, registration.method))
            case _:
                return registration

    async def _preregistered(self, metadata: ServerMetadata) -> ClientRegistration | None:
        """The client that the user entered: with the profile, or by `use_client`."""
        client = self._profile.client
        if client is not None:
            method = AuthMethod.NONE if client.secret is None else secret_method(metadata)
            return ClientRegistration(
                client.client_id, FIXED_PATH, metadata.issuer, client.secret, method, preregistered=True
            )
        known = ClientRegistration.of_record(self._settings.get(REGISTRATION))
        if known is None or not known.preregistered:
            return None
        if not same_url(known.issuer, metadata.issuer):
            # Its secret must not be sent to another issuer.
            raise self._unusable(
                f"was given for {known.issuer}, but {self._profile.name} signs in at {metadata.issuer}"
            )
        if known.method is AuthMethod.NONE:
            return replace(known, issuer=metadata.issuer)
        secret = await self._secrets.vault.read(self._secrets.client_name)
        if secret is None:
            raise self._unusable("was given with a secret, which is no longer stored")
        return replace(known, issuer=metadata.issuer, secret=secret)

    def _unusable(self, why: str) -> Rejected:
        return Rejected(
            f"The client id of {self._profile.name} {why}.",
            Facts(attr="client_id", origin=self._profile.origin),
            action="Enter the client id again, and its secret if it has one.",
        )

    async def _dynamic(self, metadata: ServerMetadata) -> ClientRegistration | None:
        """The remembered client that Burrow registered, unless its secret is missing or has expired."""
        known = ClientRegistration.of_record(self._settings.get(REGISTRATION))
        # A client of another issuer is never used (faults row 40).
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
