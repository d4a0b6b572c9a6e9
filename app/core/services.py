"""Services: what one process shares. No window anywhere; the window and the command line are built on the same objects.

Nothing but the storage is imported and opened before it is asked for: the window paints first, on what was saved.
"""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.core.background import BackgroundTasks
from app.core.busy import Busy
from app.core.diagnostics.activity import Activity
from app.core.errors import BurrowError, Rejected, SignInNeeded
from app.core.events import Event
from app.core.hosts import BUILT_IN, WORKSPACE, Host, parse_host
from app.core.preferences import use_preferences
from app.core.storage import Storage
from app.core.urls import is_loopback, origin_if_any

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from app.core.auth.http.clients import HttpClients
    from app.core.auth.registry import Credentials
    from app.core.auth.status import CredentialStatus
    from app.core.auth.vault.base import StoreKind
    from app.core.backend import Backend
    from app.core.embedded import EmbeddedWorkspace, Ready
    from app.core.known_accounts import KnownAccounts
    from app.core.mcp.proxy.service import ProxyService
    from app.core.mcp.servers.local_policies import LocalPolicies
    from app.core.mcp.servers.own_source import OwnServers
    from app.core.mcp.servers.registry import Servers
    from app.core.mcp.servers.source import ServerSource
    from app.core.runs.desk.local_desk import LocalDesk
    from app.core.sign_ins import SignIns
    from app.core.updates.service import Updates

log = logging.getLogger(__name__)

WORKSPACE_FOLDER = "workspace"
HOST_SETTING = "host"
# Followed by the key of the host.
CLIENT_ID_SETTING = "client_id:"
NO_HOST = ""
"""The value of that setting where the user works without an account."""


class Services:
    """What one process shares: storage, activity, the HTTP client, the embedded workspace, and one backend."""

    def __init__(
        self, folder: Path, *, store: StoreKind | None = None, role: str = "window", long_lived: bool = True
    ) -> None:
        """Open the storage in `folder`. Raises `StorageTrouble` when the folder cannot be used.

        `role` is what records call this process. A process that is not `long_lived` has no time to store later what
        cannot be stored now.
        """
        self.folder = folder
        # Whether this process starts the local proxy by itself, as a window does.
        self.serves_clients = False
        # Whether nothing is started by itself (`app/core/safe_mode.py`).
        self.safe_mode = False
        self.role = role
        self._long_lived = long_lived
        self.storage = Storage.open(folder)
        use_preferences(self.storage.settings)
        self.activity = Activity(self.storage.activity, self.storage.exchanges)
        # What quitting, updating and the end of the session ask.
        self.busy = Busy()
        self.backend: Backend | None = None
        self.backend_changed: Event[Backend | None] = Event()
        # The local proxy of a process without a window, while it has one.
        self.headless_proxy: ProxyService | None = None
        self._adding = False
        self._store = store
        self._background = BackgroundTasks()
        self._leaving: asyncio.Task[None] | None = None
        self._closed = False

    @cached_property
    def transport(self) -> HttpClients:
        """The HTTP client of the process."""
        from app.core.auth.http.clients import HttpClients

        return HttpClients()

    @cached_property
    def credentials(self) -> Credentials:
        """The credentials that the process has open."""
        from app.core.auth.registry import Credentials
        from app.core.consent import WorkspaceConsent

        storage = self.storage
        credentials = Credentials(
            self.folder,
            self.transport,
            storage.settings,
            storage.grants,
            role=self.role,
            store=self._store,
            keeps_unstored=self._long_lived,
            page_proof=WorkspaceConsent(self.folder / WORKSPACE_FOLDER),
        )
        self.busy.register(credentials.works)
        return credentials

    @cached_property
    def _connecting(self) -> asyncio.Lock:
        import asyncio

        return asyncio.Lock()

    @cached_property
    def accounts(self) -> KnownAccounts:
        """The accounts that are signed in to on this machine."""
        from app.core.known_accounts import KnownAccounts

        return KnownAccounts(self.storage.settings)

    @cached_property
    def local_policies(self) -> LocalPolicies:
        """The policies of the tools of the user's own servers and of the host's endpoint."""
        from app.core.mcp.servers.local_policies import LocalPolicies

        return LocalPolicies(self.storage.settings)

    @cached_property
    def own_servers(self) -> OwnServers:
        """The MCP servers that the user added on this machine."""
        from app.core.mcp.servers.own_source import OwnServers

        return OwnServers(
            self.storage.settings,
            lambda: self.credentials,
            lambda: self.transport,
            self.activity,
            usual_store=self.usual_store,
            policies=self.local_policies,
        )

    @cached_property
    def servers(self) -> Servers:
        """Every MCP server: those of the current account, and the user's own, which need no account."""
        from app.core.mcp.servers.refused_probes import RefusedProbes
        from app.core.mcp.servers.registry import Servers

        probes = RefusedProbes(self.storage.settings)
        return Servers(self.activity, self.storage.cache, self._server_sources(), probes=probes)

    @cached_property
    def proxy(self) -> ProxyService:
        """The local MCP proxy of the window. One without a window is made by its command (`app/cli/proxy.py`)."""
        from app.core.mcp.proxy.handover import Role
        from app.core.mcp.proxy.service import ProxyService
        from app.core.mcp.proxy.sign_in_notices import WindowNotice

        proxy = ProxyService(self, Role.WINDOW, WindowNotice(lambda: self.sign_ins), begins=self.serves_clients)
        self.busy.register(proxy.works)
        proxy.works_changed.subscribe(self.busy.changed.emit)
        return proxy

    @cached_property
    def local_runs(self) -> LocalDesk:
        """The runs that agents of this machine carry out."""
        from app import __version__
        from app.core.runs.desk.local_desk import LocalDesk
        from app.core.runs.local.offered import OfferedServers

        offered = OfferedServers(lambda: self.headless_proxy or self.__dict__.get("proxy"), lambda: self.servers)
        runs = LocalDesk(
            *(self.folder, self.storage.settings, lambda: self.backend, self.busy),
            servers=offered,
            burrow=__version__,
            role=self.role,
        )

        def follow(backend: Backend | None) -> None:
            # Account and project are known later than the host.
            if backend is not None:
                backend.changed.subscribe(lambda _backend: runs.retry())
            runs.retry()

        self.backend_changed.subscribe(follow)
        follow(self.backend)
        return runs

    @cached_property
    def sign_ins(self) -> SignIns:
        """The sign-ins in use, and those that need the user."""
        from app.core.sign_ins import SignIns

        return SignIns(lambda: self.backend, self.backend_changed, self.own_servers)

    @cached_property
    def updates(self) -> Updates:
        """The updates of this installation."""
        from app.core.updates.service import Updates

        return Updates(self.folder, lambda: self.transport, self.storage.settings, self.busy)

    @cached_property
    def workspace(self) -> EmbeddedWorkspace:
        """The supervisor of the embedded workspace."""
        from app.core.embedded import EmbeddedWorkspace

        workspace = EmbeddedWorkspace(self.folder / WORKSPACE_FOLDER)
        workspace.moved.subscribe(self._workspace_moved)
        return workspace

    @property
    def began_updates(self) -> bool:
        """Whether `updates` was asked for."""
        return "updates" in self.__dict__

    @property
    def adding(self) -> bool:
        """Whether the current account is one that nobody has signed in to yet, beside others of its host.

        The next start opens the account used before.
        """
        return self._adding

    def remembered_host(self) -> str | None:
        """The key of the host of the last start, None on the first and where the user works without an account."""
        key = self.storage.settings.get(HOST_SETTING)
        return key if isinstance(key, str) and key else None

    @property
    def without_account(self) -> bool:
        """Whether the user works without an account, with servers of their own only."""
        return self.backend is None and self.storage.settings.get(HOST_SETTING) == NO_HOST

    async def start_workspace(self) -> Host:
        """Start (or find) the embedded workspace. Raises `ServerTrouble` when it does not come up."""
        return (await self.workspace.start()).host

    def _workspace_moved(self, ready: Ready) -> None:
        self._background.start(self._follow(ready.host))

    async def _follow(self, moved: Host) -> None:
        if self.backend is not None and self.backend.host.embedded:
            await self.connect(moved)

    async def resolve(self, named: str) -> Host:
        """The host a person names: `us`, `eu`, `workspace` or an origin. Raises `Rejected` for anything else."""
        if named.strip().lower() == WORKSPACE:
            return await self.start_workspace()
        host = parse_host(named)
        host = replace(host, client_id=self._client_id(host))
        if host.key not in BUILT_IN and is_loopback(_hostname(host.origin)):
            return await self._recognised(host)
        return host

    async def use_client_id(self, named: str, client_id: str) -> None:
        """Sign in to a host as this OAuth client instead of registering there, however the host is typed from now on.

        Raises `Rejected` (attr `host`) when `named` is no host. The embedded workspace has a client of its own.
        """
        if named.strip().lower() != WORKSPACE:
            await self.storage.settings.set(f"{CLIENT_ID_SETTING}{parse_host(named).key}", client_id)

    async def remember(self, host: Host, slot: str = "") -> None:
        """Start with this account of `host` next time."""
        await self.storage.settings.set(HOST_SETTING, host.key)
        await self.accounts.use(host, slot)

    async def connect(
        self, host: Host, *, slot: str | None = None, restore: bool = True, remember: bool = True
    ) -> Backend:
        """Make an account of `host` the current one, and that of the next start; the former backend is closed first.

        Without a `slot` it is the account of `host` that was used last.
        """
        # The embedded workspace signs in by itself, as the one person that it knows.
        chosen = "" if host.embedded else self.accounts.last_slot(host) if slot is None else slot
        # Of two calls at once the second closes the backend of the first.
        async with self._connecting:
            if self.backend is not None and (self.backend.host.key, self.backend.credential.key.slot) != (
                host.key,
                chosen,
            ):
                await self.put_runs_down()
            await self.disconnect()
            backend = self._new_backend(host, chosen)
            self.backend = backend
            self._adding = remember and chosen not in self._slots(host)
            self._list_servers()
            self.backend_changed.emit(backend)
        if remember:
            await self._remember(backend, chosen)
        if restore:
            await backend.start()
        return backend

    def _slots(self, host: Host) -> set[str]:
        """The slots of the accounts of a host, and the one used last, which nobody may be signed in to."""
        return {self.accounts.last_slot(host), *(known.slot for known in self.accounts.of(host))}

    def _new_backend(self, host: Host, slot: str) -> Backend:
        from app.core.auth.vault.base import StoreKind
        from app.core.backend import Backend
        from app.core.posthog.profile import posthog_profile

        store = StoreKind.MEMORY if host.embedded else None
        return Backend(
            host,
            self.credentials.acquire(posthog_profile(host, slot), store=store),
            self.transport,
            self.storage,
            self.activity,
            role=self.role,
            workspace=self.workspace if host.embedded else None,
            policies=lambda: self.local_policies,
        )

    async def _remember(self, backend: Backend, slot: str) -> None:
        """Start with this account next time; with one more account not before somebody is signed in as that."""
        host = backend.host
        if not self._adding:
            await self.remember(host, slot)
            return

        from app.core.auth.status import CredentialState

        async def remember_once_known() -> None:
            try:
                await backend.ready()
            except SignInNeeded:
                return
            except BurrowError as failure:
                # The sign-in is stored all the same, so the next start is for it.
                log.info("the account could not be read: %s", type(failure).__name__)
            if self.backend is backend:
                unsubscribe()
                self._adding = False
                await self.remember(host, slot)

        def changed(status: CredentialStatus) -> None:
            if self.backend is not backend:
                unsubscribe()
            elif status.state is CredentialState.SIGNED_IN:
                self._background.start(remember_once_known())

        unsubscribe = backend.credential.changed.subscribe(changed)

    async def use_no_account(self) -> None:
        """Work without an account, now and at the next start, until `connect` makes one the current one.

        The accounts stay signed in.
        """
        async with self._connecting:
            await self.storage.settings.set(HOST_SETTING, NO_HOST)
            await self.put_runs_down()
            connected = self.backend is not None
            await self.disconnect()
            if not connected:
                self.backend_changed.emit(None)

    async def put_runs_down(self) -> None:
        """The account is about to be left: end the agents of this machine that work for it."""
        if "local_runs" in self.__dict__:
            await self.local_runs.put_down()

    async def disconnect(self) -> None:
        """Close the current backend, if any."""
        import asyncio

        backend, self.backend = self.backend, None
        self._adding = False
        if backend is not None:
            self._list_servers()
            self.backend_changed.emit(None)
            self._leaving = asyncio.create_task(self._leave(backend))
        if self._leaving is not None:
            # A caller that is cancelled interrupts nothing: whoever connects or closes next waits for the rest.
            await asyncio.shield(self._leaving)

    async def _leave(self, backend: Backend) -> None:
        if "servers" in self.__dict__:
            await self.servers.left()
        await backend.close()
        await self.credentials.release(backend.credential)

    async def close(self) -> None:
        """End everything in order: local runs, proxy, servers, backend, client, workspace, storage. Safe to call again.

        A step that fails raises at the end, after the others.
        """
        if self._closed:
            return
        self._closed = True
        made = self.__dict__
        if "sign_ins" in made:
            self.sign_ins.close()
        if "proxy" in made and self.began_updates and self.updates.armed is not None:
            from app.core.mcp.proxy.keeper import UPDATE_KEEP_SECONDS

            self.proxy.keep_seconds = UPDATE_KEEP_SECONDS
        # Each step, whatever became of the one before: a refresh that was sent must still be stored.
        async with AsyncExitStack() as ending:
            for step in (
                self.storage.close,
                self.activity.close,
                self._background.close,
                self.workspace.stop if "workspace" in made else None,
                self.transport.close if "transport" in made else None,
                self.own_servers.close if "own_servers" in made else None,
                self.disconnect,
                self.servers.close if "servers" in made else None,
                self.proxy.close if "proxy" in made else None,
                # First: a run gives the key back that its agent has for the proxy.
                self.local_runs.close if "local_runs" in made else None,
            ):
                if step is not None:
                    ending.push_async_callback(step)

    def _server_sources(self) -> tuple[ServerSource, ...]:
        of_the_account = () if self.backend is None else self.backend.server_sources
        return (*of_the_account, self.own_servers)

    def _list_servers(self) -> None:
        """Another account has other servers; the user's own stay as they are."""
        if "servers" in self.__dict__:
            self.servers.set_sources(self._server_sources())

    def usual_store(self) -> StoreKind | None:
        """Where the sign-in of the account used last is kept."""
        from app.core.auth.vault.base import StoreKind

        if self.backend is not None and self.backend.credential.grant is not None and not self.backend.host.embedded:
            return StoreKind(self.backend.credential.status.store)
        chosen = {self.storage.settings.get(f"auth:{account.key.text}:store") for account in self.accounts.all()}
        found = [kind for kind in StoreKind if kind.value in chosen]
        return found[0] if len(found) == 1 else None

    async def keep_where_usual(self) -> None:
        """Keep the next sign-in to the current account where the user keeps others, unless it was said where."""
        backend, usual = self.backend, self.usual_store()
        if usual is None or backend is None or backend.credential.grant is not None or backend.host.embedded:
            return
        if self.storage.settings.get(f"auth:{backend.credential.key.text}:store") is None:
            await backend.credential.choose_store(usual)

    def _client_id(self, host: Host) -> str | None:
        value = self.storage.settings.get(f"{CLIENT_ID_SETTING}{host.key}")
        if isinstance(value, str):
            return value
        # Version 0.1.0 remembered it under what the user typed.
        for named, typed in self.storage.settings.under(CLIENT_ID_SETTING).items():
            with suppress(Rejected):
                if isinstance(typed, str) and parse_host(named.removeprefix(CLIENT_ID_SETTING)).key == host.key:
                    return typed
        return None

    async def _recognised(self, host: Host) -> Host:
        """A workspace on this machine tells its MCP endpoint; any other server on this machine has none.

        Asked once per origin: a later start shows saved data without waiting for the answer.
        """
        key = f"mcp_url:{host.origin}"
        known = self.storage.settings.get(key)
        if isinstance(known, str) and origin_if_any(known) == host.origin:
            return replace(host, mcp_url=known)
        from app.core.fetcher import plain_json

        try:
            answer = await plain_json("GET", f"{host.origin}/_workspace")
        except BurrowError:
            return host
        mcp_url = answer.get("mcp_url") if isinstance(answer, dict) else None
        if not isinstance(mcp_url, str) or origin_if_any(mcp_url) != host.origin:
            return host
        await self.storage.settings.set(key, mcp_url)
        return replace(host, mcp_url=mcp_url)


def _hostname(origin: str) -> str:
    return urlsplit(origin).hostname or ""
