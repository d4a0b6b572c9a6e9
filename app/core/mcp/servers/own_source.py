"""The servers that the user added on this machine, with sign-ins of their own; and servers named for one command."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from app import CLIENT_METADATA_URL
from app.core.auth.http.target import CredentialAtStake, Target
from app.core.auth.profile import CredentialProfile
from app.core.auth.status import CredentialState
from app.core.background import BackgroundTasks
from app.core.errors import BurrowError, Facts, NotFound, Rejected, SignInNeeded, VendorSignInNeeded
from app.core.mcp.servers.definitions import (
    HostEndpoint,
    HttpServer,
    InstalledServer,
    ServerAuthorization,
    own_server_of,
    record_of,
)
from app.core.mcp.servers.local_policies import LocalPolicies, LocalPolicySource
from app.core.mcp.servers.server import NOT_SIGNED_IN, ServerState
from app.core.mcp.servers.source import Listed, Route, ServerSource
from app.core.storage.values import Scope
from app.core.urls import normalized, origin_of, same_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from app.core.auth.credential import Credential
    from app.core.auth.http.clients import HttpClients
    from app.core.auth.key import CredentialKey
    from app.core.auth.oauth.sign_in import BrowserSignIn
    from app.core.auth.oauth.step_up import StepUp
    from app.core.auth.profile import ClientIdentity
    from app.core.auth.registry import Credentials
    from app.core.auth.status import AuthEvent, CredentialStatus
    from app.core.auth.vault.base import StoreKind
    from app.core.events import Event
    from app.core.mcp.protocol.exchange import Exchange
    from app.core.mcp.servers.definitions import OwnServer, ServerDefinition

SETTING = "mcp_server:"
# Whose cached tool lists these are: the user's of this machine, whoever is signed in to a host.
THIS_MACHINE = Scope("own", "")


class OwnServerSettings(Protocol):
    """Where the servers are kept (`storage.settings`), each under a key of its own."""

    def under(self, prefix: str) -> dict[str, Any]: ...

    async def set(self, key: str, value: Any) -> None: ...

    async def remove(self, key: str) -> None: ...

    async def refresh_under(self, prefix: str) -> None: ...

    def get(self, key: str, default: Any = None) -> Any: ...

    async def refresh(self, key: str) -> None: ...


class AuthRecorder(Protocol):
    """Keeps what happened to a credential (`core/diagnostics/activity`)."""

    def record_auth(self, key: CredentialKey, origin: str, event: AuthEvent) -> None: ...


class UnmanagedServers(ServerSource):
    """Servers that are reached without a credential, until one is found to be needed."""

    quick = True

    def __init__(self) -> None:
        super().__init__()
        self._challenges: dict[str, str] = {}

    async def route(self, definition: ServerDefinition) -> Route:
        """Without a credential."""
        server = _own(definition)
        transport = server.transport(None, dict)
        return Route(transport, Target(frozenset(), CredentialAtStake.UNMANAGED, jsonrpc=True, name=server.title))

    def heard(self, definition: ServerDefinition, exchange: Exchange) -> None:
        """Keep the challenge of a refusal: a sign-in begins with what it says (RFC 9728 section 5)."""
        challenge = exchange.headers.get("www-authenticate")
        if exchange.status in {401, 403} and challenge:
            self._challenges[definition.id] = challenge

    def explained(self, definition: ServerDefinition, failure: BurrowError) -> BurrowError:
        """A 401 to a request without a credential asks for a sign-in."""
        server = _own(definition)
        if failure.facts.status != 401 or server.authorization is not None or not isinstance(server, HttpServer):
            return failure
        facts = replace(failure.facts, code=NOT_SIGNED_IN)
        return VendorSignInNeeded(f"{server.title} asks you to sign in.", facts, action="Sign in to it.")


class NamedServers(UnmanagedServers):
    """Servers that one command names, which are kept nowhere."""

    name = "named"

    def __init__(self, servers: Iterable[OwnServer]) -> None:
        super().__init__()
        self._named = tuple(servers)

    def whose(self) -> Listed:
        """Nobody's: nothing is cached."""
        return Listed(None)

    async def definitions(self) -> tuple[ServerDefinition, ...]:
        """The servers."""
        return self._named


class OwnServers(LocalPolicySource, UnmanagedServers):
    """Servers that are kept in the settings. Each has a credential of its own once it was signed in to.

    The policies of their tools are kept there too.
    """

    name = "own"

    def __init__(
        self,
        settings: OwnServerSettings,
        credentials: Callable[[], Credentials],
        clients: Callable[[], HttpClients],
        recorder: AuthRecorder,
        usual_store: Callable[[], StoreKind | None] = lambda: None,
        policies: LocalPolicies | None = None,
    ) -> None:
        """`credentials` and `clients` are asked for when a server has a sign-in or gets one.

        `usual_store` is where the user keeps sign-ins; None where nothing was chosen.
        """
        super().__init__()
        self._policies = policies or LocalPolicies(settings)
        self.keep_policies_in(self._policies)
        self._settings = settings
        self._credentials = credentials
        self._clients = clients
        self._recorder = recorder
        self._usual_store = usual_store
        self._held: dict[CredentialKey, Credential] = {}
        self._step_ups: dict[CredentialKey, StepUp] = {}
        self._subscriptions: dict[CredentialKey, list[Callable[[], None]]] = {}
        self._background = BackgroundTasks()

    @property
    def servers(self) -> tuple[OwnServer, ...]:
        """The servers by title."""
        found = (own_server_of(record) for record in self._settings.under(SETTING).values())
        return tuple(sorted((one for one in found if one is not None), key=lambda one: (one.title.casefold(), one.id)))

    def whose(self) -> Listed:
        """The user's of this machine."""
        return Listed(THIS_MACHINE)

    async def definitions(self) -> tuple[ServerDefinition, ...]:
        """The servers, with those that another process added. Raises `StorageTrouble`."""
        await self._settings.refresh_under(SETTING)
        for server in self.servers:
            if server.authorization is not None:
                self._credential(server, server.authorization)
        return self.servers

    def state_of(self, definition: ServerDefinition) -> ServerState:
        """Whether its own sign-in is over."""
        credential = self.credential_of(_own(definition))
        ended = {CredentialState.SIGNED_OUT, CredentialState.NEEDS_SIGN_IN}
        over = credential is not None and credential.status.state in ended
        return ServerState.SIGN_IN if over else ServerState.UNKNOWN

    def address(self, definition: ServerDefinition) -> str:
        """With the key of the credential: another sign-in needs another connection."""
        authorization = _own(definition).authorization
        return f"{definition.address} {authorization.key.text if authorization is not None else ''}"

    async def route(self, definition: ServerDefinition) -> Route:
        """With its own credential, where it has one; the token goes to the server's origin only."""
        server = _own(definition)
        if not isinstance(server, HttpServer) or server.authorization is None:
            return await super().route(definition)
        credential = self._credential(server, server.authorization)
        target = Target(
            frozenset({origin_of(server.url)}), jsonrpc=True, name=server.title, credential=server.authorization.key
        )
        return Route(server.transport(credential.auth(target), dict), target, credential)

    def explained(self, definition: ServerDefinition, failure: BurrowError) -> BurrowError:
        """The end of its own sign-in is told by the server's name."""
        if not isinstance(failure, SignInNeeded):
            return super().explained(definition, failure)
        return SignInNeeded(f"Nobody is signed in to {definition.title}.", failure.facts, action="Sign in to it again.")

    def credential_of(self, server: OwnServer) -> Credential | None:
        """The credential of a server, None before it was signed in to or listed."""
        return None if server.authorization is None else self._held.get(server.authorization.key)

    async def add(self, server: OwnServer) -> OwnServer:
        """Keep a server, in place of one with the same id; an empty id is given one.

        Raises `Rejected` (attr `url`) for an address that no credential may be sent to, and `StorageTrouble`.
        """
        if isinstance(server, HttpServer):
            from app.core.auth.oauth.discovery import check_server_address

            server = replace(server, url=check_server_address(server.url))
        kept = replace(server, id=server.id or f"own-{secrets.token_hex(6)}")
        await self._settings.set(f"{SETTING}{kept.id}", record_of(kept))
        self.changed.emit(None)
        return kept

    def find(self, url: str, slot: str = "") -> HttpServer | None:
        """The server at an address, signed in to in a slot where it is signed in to at all."""
        for server in self.servers:
            if isinstance(server, HttpServer) and same_url(server.url, url):
                authorization = server.authorization
                if authorization is None or authorization.key.slot == slot:
                    return server
        return None

    async def remove(self, server_id: str) -> None:
        """Forget a server and its policies; its sign-in is ended here and there unless another server uses it too."""
        server = self._named(server_id)
        await self._settings.remove(f"{SETTING}{server_id}")
        await self._policies.remove(server_id)
        credential = self.credential_of(server)
        if credential is not None and not any(self.credential_of(other) is credential for other in self.servers):
            await credential.sign_out()
            await self._release(credential)
        self.changed.emit(None)

    async def begin_sign_in(
        self,
        server_id: str,
        *,
        client: ClientIdentity | None = None,
        slot: str = "",
        store: StoreKind | None = None,
        scopes: Iterable[str] = (),
        open_browser: bool = True,
    ) -> OwnServerSignIn:
        """Start signing in to a server through the browser, as `client` where the user gave one.

        `scopes` are asked for besides those that the server names and those granted so far. A first sign-in is kept in
        `store`, by default where the user keeps the others. Discovery starts at the challenge that the server last
        refused a request with. Raises what discovery and `Credential.begin_sign_in` raise, `Rejected` for a server that
        is a process.
        """
        from app.core.auth.oauth.discovery import find_challenge, find_protected_resource, profile_of

        server = self._named(server_id)
        if not isinstance(server, HttpServer):
            raise Rejected(f"{server.title} has no sign-in.")
        challenge = self._challenges.get(server.id)
        if challenge is None:
            challenge = await find_challenge(self._clients(), server.url)
        found = await find_protected_resource(self._clients(), server.url, challenge)
        profile = replace(profile_of(found, server.url, server.title, slot), client_metadata_url=CLIENT_METADATA_URL)
        credential = self._hold(profile)
        await credential.wait_restored()
        await self._choose_store(credential, store)
        if client is not None:
            await credential.registrar.use_client(client)
        wanted = (*found.scopes, *scopes)
        browser = await credential.begin_sign_in(scopes=wanted, open_browser=open_browser)
        return OwnServerSignIn(browser, credential, lambda: self._signed_in(server, profile))

    def step_up_of(self, server: OwnServer) -> StepUp | None:
        """What the user was asked to permit besides; None for a server that was never signed in to."""
        from app.core.auth.oauth.step_up import StepUp

        credential = self.credential_of(server)
        if credential is None:
            return None
        if credential.key not in self._step_ups:
            self._step_ups[credential.key] = StepUp(
                lambda: credential.grant, lambda: credential.key, credential.wait_restored
            )
        return self._step_ups[credential.key]

    async def use_key(self, server_id: str, key: str, *, slot: str = "", store: StoreKind | None = None) -> None:
        """Send `key` to a server as a bearer token, in place of a sign-in. Raises `Rejected` (attr `key`).

        It is kept like a sign-in, see `begin_sign_in`.
        """
        from app.core.auth.grant.grant import Grant
        from app.core.auth.key import CredentialKey
        from app.core.auth.tokens import TokenSet

        server = self._named(server_id)
        typed = key.strip()
        if not isinstance(server, HttpServer):
            raise Rejected(f"{server.title} takes no API key.")
        if not typed or not typed.isascii() or not typed.isprintable() or " " in typed:
            raise Rejected("This cannot be an API key.", Facts(attr="key"), action="Paste the whole key.")
        origin = origin_of(server.url)
        profile = CredentialProfile(CredentialKey(origin, normalized(server.url), slot), server.title, origin, origin)
        credential = self._hold(profile)
        await credential.wait_restored()
        await self._choose_store(credential, store)
        await credential.sign_in(Grant(TokenSet(typed, issued_at=credential.oauth.time.now())), "API key")
        await self._signed_in(server, profile)

    async def sign_out(self, server_id: str) -> str | None:
        """End the sign-in of a server here and there; the server stays.

        Returns what is left to do by hand if it could not be ended there.
        """
        credential = self.credential_of(self._named(server_id))
        if credential is None:
            return None
        await credential.wait_restored()
        return None if await credential.sign_out() else credential.by_hand

    async def close(self) -> None:
        """Close the credentials of all servers."""
        await self._background.close()
        for credential in tuple(self._held.values()):
            await self._release(credential)

    async def _choose_store(self, credential: Credential, store: StoreKind | None) -> None:
        kept_in = store or (self._usual_store() if credential.grant is None else None)
        if kept_in is not None:
            await credential.choose_store(kept_in)

    async def _signed_in(self, server: HttpServer, profile: CredentialProfile) -> None:
        authorization = ServerAuthorization(profile.key, profile.resource, profile.scopes)
        await self.add(replace(server, authorization=authorization))

    def _named(self, server_id: str) -> OwnServer:
        for server in self.servers:
            if server.id == server_id:
                return server
        raise NotFound(f"There is no server “{server_id}” of your own.")

    def _credential(self, server: OwnServer, authorization: ServerAuthorization) -> Credential:
        assert isinstance(server, HttpServer)
        return self._hold(
            CredentialProfile(
                authorization.key,
                server.title,
                origin_of(server.url),
                authorization.key.issuer,
                resource=authorization.resource,
                scopes=authorization.scopes,
                client_metadata_url=CLIENT_METADATA_URL,
            )
        )

    def _hold(self, profile: CredentialProfile) -> Credential:
        """The credential of a profile, opened and restored once; servers of the same resource share it."""
        held = self._held.get(profile.key)
        if held is not None:
            return held
        credential = self._held[profile.key] = self._credentials().acquire(profile)

        def changed(_status: CredentialStatus) -> None:
            self.changed.emit(None)

        def happened(event: AuthEvent) -> None:
            self._recorder.record_auth(profile.key, profile.origin, event)

        self._subscriptions[profile.key] = [
            credential.changed.subscribe(changed),
            credential.happened.subscribe(happened),
        ]
        self._background.start(credential.restore())
        return credential

    async def _release(self, credential: Credential) -> None:
        for unsubscribe in self._subscriptions.pop(credential.key, ()):
            unsubscribe()
        self._held.pop(credential.key, None)
        await self._credentials().release(credential)


class OwnServerSignIn:
    """A sign-in to an own server that waits for the browser; the server is kept as signed in to once it is over."""

    def __init__(
        self, browser: BrowserSignIn, credential: Credential, signed_in: Callable[[], Awaitable[None]]
    ) -> None:
        self.browser = browser
        self.credential = credential
        self._signed_in = signed_in

    @property
    def url(self) -> str:
        """The address of the consent page."""
        return self.browser.url

    @property
    def url_changed(self) -> Event[str]:
        """Tells that the consent page has another address now."""
        return self.browser.url_changed

    def open_again(self) -> None:
        """Open the consent page in the browser again."""
        self.browser.open_again()

    def cancel(self) -> None:
        """End the sign-in; `finish` raises `SignInNeeded`."""
        self.browser.cancel()

    async def finish(self) -> None:
        """Wait for the browser; raises what `BrowserSignIn.finish` raises."""
        await self.browser.finish()
        await self._signed_in()


def _own(definition: ServerDefinition) -> OwnServer:
    assert not isinstance(definition, HostEndpoint | InstalledServer)
    return definition
