"""Loads servers, tools and templates, and changes them through the services."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from PySide6.QtCore import QObject, QTimer, Signal

from app.core.auth.grant.journal import SIGNED_IN
from app.core.errors import BurrowError, Rejected
from app.core.links import ServerLink, parse_link, write_link
from app.core.mcp.servers.server import ServerState
from app.ui.bridge import Generation
from app.ui.place import RecoveryDetector
from app.ui.servers.kinds import installation_of, kind_of
from app.ui.servers.policy import Policy
from app.ui.servers.wording import is_own, server_name

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from app.core.auth.status import AuthEvent, CredentialStatus
    from app.core.backend import Backend
    from app.core.mcp.servers.server import Server
    from app.core.mcp.tools import ToolInfo
    from app.core.posthog.types import Installation, ServerTemplate
    from app.core.services import Services
    from app.ui.bridge import Bridge, Job

# There is no request for several tools (docs/wire.md, "Tools and approval states"): each has one of its own.
POLICY_AT_ONCE = 4
# An older list is loaded again when the place comes into view.
STALE_SECONDS = 30.0
# Setting several policies announces the same server once for each tool.
SETTLE_MS = 30

# Nothing is asked of a server in these states: the person has to act first.
UNUSABLE = frozenset({ServerState.SIGN_IN, ServerState.RECONNECT, ServerState.DISABLED})


class LoadingCancelled(BurrowError):
    """The person did not want to wait for a server any longer."""

    title = "Cancelled"
    action = "Try again when the server answers."


class _Reached(NamedTuple):
    """What decides whether a server answers: its address, and what it needs."""

    address: str
    state: ServerState | None


@dataclass(frozen=True)
class PolicyOutcome:
    """The result of a change of policies. `before` holds the former policies of the tools that changed."""

    server_id: str
    state: str
    before: tuple[tuple[str, str], ...]
    failed: tuple[str, ...]
    error: BurrowError | None


class ServerController(QObject):
    """The servers of one account and project, and the user's own, which are there without an account too.

    `changed` when the list or its loading changed, `tools_changed(server_id)`, `templates_changed`, `failed(words,
    error)` when something the person asked for failed, `policies_set(PolicyOutcome)`.
    """

    changed = Signal()
    tools_changed = Signal(str)
    templates_changed = Signal()
    failed = Signal(str, object)
    policies_set = Signal(object)

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self._bridge = bridge
        self._generation = Generation(bridge, self)
        self.backend: Backend | None = None
        self.servers: tuple[Server, ...]
        self.loaded: bool
        self.loading: bool
        self.error: BurrowError | None
        self.tools: dict[str, tuple[ToolInfo, ...]]
        self.tool_errors: dict[str, BurrowError]
        self.loading_tools: set[str]
        self.asked_at: dict[str, float]
        self.list_asked_at: float
        self.offers_asked_at: float
        self._failed_as: dict[str, _Reached]
        self.templates: tuple[ServerTemplate, ...] | None
        self.template_error: BurrowError | None
        self.loading_templates: bool
        self.busy: set[str]
        self._fresh = False
        self._recovery: RecoveryDetector | None = None
        self._forget()
        self._announced: set[str] = set()
        self._load_timer = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._load_timer.timeout.connect(self._load_announced)

    def start(self, backend: Backend | None, *, fresh: bool = False) -> None:
        """Drop everything and load this backend's servers and the user's own; None: the latter only.

        `fresh`: ignore what the services have cached.
        """
        self._generation.renew()
        self.backend = backend
        self._forget()
        self._fresh = fresh
        self._announced.clear()
        self._recovery = RecoveryDetector(backend.credential.status) if backend is not None else None
        servers = self._services.servers
        # Before anything is loaded, so that no change in between is missed.
        self._generation.listen(servers.changed, self._listed)
        self._generation.listen(servers.tools_changed, self._tools_announced)
        if backend is not None:
            self._generation.listen(backend.credential.changed, self._status_changed)
            self._generation.listen(backend.credential.happened, self._auth_happened)
        self.load(refresh=fresh)
        self.changed.emit()
        self.templates_changed.emit()

    def server(self, server_id: str | None) -> Server | None:
        return next((server for server in self.servers if server.id == server_id), None)

    def titled(self, title: str) -> Server | None:
        """The only server of that title, as links name it."""
        found = [server for server in self.servers if server.title == title]
        return found[0] if len(found) == 1 else None

    def link_to(self, server: Server) -> str:
        """The `burrow://` link of a server: by its title, which others know, unless that cannot be a name in a link."""
        host = self.backend.host.key if self.backend is not None and not is_own(server) else ""
        link = write_link(ServerLink(server.title, host))
        try:
            parse_link(link)
        except Rejected:
            return write_link(ServerLink(server.id, host))
        return link if self.titled(server.title) is server else write_link(ServerLink(server.id, host))

    def installations(self) -> list[Installation]:
        """The installations in the list."""
        return [found for server in self.servers if (found := installation_of(server)) is not None]

    def load(self, *, refresh: bool = False) -> None:
        """Load the list. Without `refresh` a saved one is shown first."""
        backend, servers = self.backend, self._services.servers

        async def read() -> tuple[Server, ...]:
            # The store's requests name the project, which the host tells only after the sign-in.
            if backend is not None and backend.project is None:
                try:
                    await backend.ready()
                except BurrowError:
                    # The user's own servers need no account, so they are listed before the failure is shown.
                    await servers.list(refresh=refresh)
                    raise
            return await servers.list(refresh=refresh)

        self.loading, self.error = True, None
        self.list_asked_at = monotonic()
        self._spawn(read(), self._loaded, self._not_loaded, key="list")
        self.changed.emit()

    def cancel_list(self) -> None:
        """Stop loading the list of servers, or of those on offer. What is known stays."""
        stopped = LoadingCancelled("The list was not loaded.")
        if self.loading:
            self._generation.cancel("list")
            self._not_loaded(stopped)
        if self.loading_templates:
            self._generation.cancel("templates")
            self.loading_templates, self.template_error = False, stopped
            self.templates_changed.emit()

    def load_with_tools(self, server_id: str) -> None:
        """Load the list again, then a server's tools if they were asked for before.

        For a server that was just connected: the tools can be loaded only once the list says how it is reached now.
        """
        if server_id in self.tools or server_id in self.tool_errors or server_id in self.loading_tools:
            self._tools_next.add(server_id)
        self.load(refresh=True)

    def load_if_stale(self) -> None:
        """Load the list again if it is older than `STALE_SECONDS`."""
        if not self.loading and monotonic() - self._read_at > STALE_SECONDS:
            self.load(refresh=True)

    def load_tools(self, server_id: str, *, refresh: bool = False) -> None:
        """Load a server's tools. `tools_changed` follows."""
        if server_id in self.loading_tools and not refresh:
            return
        # After a change of project the services still have the former project's tools.
        refresh = refresh or (self._fresh and server_id not in self.tools)
        self.loading_tools.add(server_id)
        self.tool_errors.pop(server_id, None)

        def done(tools: tuple[ToolInfo, ...]) -> None:
            self.loading_tools.discard(server_id)
            self.tools[server_id] = tools
            self.tools_changed.emit(server_id)
            if not tools:
                self._sync_once(server_id)

        def failed(error: BurrowError) -> None:
            self._tools_failed(server_id, error)

        work = self._services.servers.tools(server_id, refresh=refresh)
        self.asked_at[server_id] = monotonic()
        self._spawn(work, done, failed, key=_tools_key(server_id))
        self.tools_changed.emit(server_id)

    def cancel_tools(self, server_id: str) -> None:
        """Stop loading a server's tools. What was known of them stays."""
        if server_id in self.loading_tools:
            self._generation.cancel(_tools_key(server_id))
            self._tools_failed(server_id, LoadingCancelled("Its tools were not loaded."))

    def load_templates(self, *, refresh: bool = False) -> None:
        """Load the templates of the store, once unless `refresh`."""
        backend = self.backend
        if backend is None or self.loading_templates or (self.templates is not None and not refresh):
            return
        self.loading_templates, self.template_error = True, None
        self.offers_asked_at = monotonic()

        async def read() -> tuple[ServerTemplate, ...]:
            if backend.project is None:
                await backend.ready()
            return await backend.store.templates()

        def done(templates: tuple[ServerTemplate, ...]) -> None:
            self.loading_templates, self.templates = False, templates
            self.templates_changed.emit()

        def failed(error: BurrowError) -> None:
            self.loading_templates, self.template_error = False, error
            self.templates_changed.emit()

        self._spawn(read(), done, failed, key="templates")
        self.templates_changed.emit()

    def set_enabled(self, server_id: str, enabled: bool) -> None:
        """Switch an installed server on or off."""
        server = self.server(server_id)
        kept = None if server is None else installation_of(server)
        if self.backend is None or server is None or kept is None or server_id in self.busy:
            return
        words = self.tr("{0} could not be switched on") if enabled else self.tr("{0} could not be switched off")
        self._change(
            server_id, self.backend.store.update(kept.id, is_enabled=enabled), words.format(server_name(server))
        )

    def remove(self, server_id: str) -> None:
        """Uninstall a server, or forget one of the user's own."""
        server = self.server(server_id)
        if server is None or server_id in self.busy:
            return
        kept, work = installation_of(server), None
        if kept is not None and self.backend is not None:
            work = self.backend.store.remove(kept.id)
        elif is_own(server):
            work = self._services.own_servers.remove(server_id)
        if work is not None:
            self._change(server_id, work, self.tr("{0} could not be removed").format(server_name(server)))

    def sign_out(self, server_id: str) -> None:
        """End the sign-in of one of the user's own servers; the server stays."""
        server = self.server(server_id)
        if server is not None and is_own(server) and server_id not in self.busy:
            words = self.tr("{0} could not be disconnected").format(server_name(server))
            self._change(server_id, self._services.own_servers.sign_out(server_id), words)

    def set_policies(self, server_id: str, names: Sequence[str], state: str) -> Job:
        """Set the `Policy` of tools, a few at a time. `policies_set` follows."""
        servers = self._services.servers
        server = self.server(server_id)
        unset = Policy.ASK if server is None else kind_of(server).unset_policy
        former = {tool.name: tool.policy or unset for tool in self.tools.get(server_id, ())}
        gate = asyncio.Semaphore(POLICY_AT_ONCE)

        # An error is a value here: a tool that was refused must not hide which others were set.
        async def one(name: str) -> BurrowError | None:
            async with gate:
                try:
                    await servers.set_policy(server_id, name, state)
                except BurrowError as error:
                    return error
                return None

        async def every() -> PolicyOutcome:
            errors = await asyncio.gather(*(one(name) for name in names))
            paired = list(zip(names, errors, strict=True))
            return PolicyOutcome(
                server_id,
                state,
                tuple((name, former.get(name, unset)) for name, error in paired if error is None),
                tuple(name for name, error in paired if error is not None),
                next((error for error in errors if error is not None), None),
            )

        return self._spawn(every(), self.policies_set.emit, None)

    async def allow(self, server_id: str, name: str) -> ToolInfo | None:
        """Set the policy of one tool to Allow; the row as it now stands. Raises what the store raises."""
        return await self._services.servers.set_policy(server_id, name, Policy.ALLOW)

    def _forget(self) -> None:
        self.servers = ()
        self.loaded = False
        self.loading = False
        self.error = None
        self.tools = {}
        self.tool_errors = {}
        self.loading_tools = set()
        self.asked_at = {}
        self.list_asked_at = self.offers_asked_at = 0.0
        self._failed_as = {}
        self.templates = None
        self.template_error = None
        self.loading_templates = False
        self.busy = set()
        self._tools_next: set[str] = set()
        self._synced: set[str] = set()
        self._read_at = float("-inf")

    def _change(self, server_id: str, work: Coroutine[Any, Any, object], words: str) -> None:
        # Busy until the list shows the change: switching again meanwhile would act on what was shown before.
        async def change() -> None:
            await work
            await self._services.servers.list(refresh=True)

        def done(_nothing: None) -> None:
            self.busy.discard(server_id)
            if server_id in self.tools:
                self.load_tools(server_id, refresh=True)
            self.changed.emit()

        def failed(error: BurrowError) -> None:
            self.busy.discard(server_id)
            self.changed.emit()
            self.failed.emit(words, error)

        self.busy.add(server_id)
        self._spawn(change(), done, failed)
        self.changed.emit()

    def _loaded(self, _servers: tuple[Server, ...]) -> None:
        self.loading, self._read_at = False, monotonic()
        # Not the list as it was when the job ended: a change that happened since has been announced already.
        self._listed(self._services.servers.listed)
        self._load_next_tools()

    def _not_loaded(self, error: BurrowError) -> None:
        """One source could not be listed; the servers of the others are there."""
        self.loading, self.error, self.servers = False, error, self._services.servers.listed
        self.changed.emit()
        self._load_next_tools()

    def _load_next_tools(self) -> None:
        server_ids, self._tools_next = self._tools_next, set()
        for server_id in server_ids:
            self.load_tools(server_id, refresh=True)

    def _listed(self, servers: tuple[Server, ...]) -> None:
        self.servers, self.loaded, self.error = servers, True, None
        known = {server.id for server in servers}
        for gone in set(self.tools) - known:
            self.tools.pop(gone)
        for gone in set(self.tool_errors) - known:
            self.tool_errors.pop(gone)
        self._ask_again_what_changed()
        self.changed.emit()

    def _tools_failed(self, server_id: str, error: BurrowError) -> None:
        self.loading_tools.discard(server_id)
        self.tool_errors[server_id] = error
        # As it is now: what the failure did to the state of the server may not have been delivered yet.
        server = next((each for each in self._services.servers.listed if each.id == server_id), None)
        self._failed_as[server_id] = _reached(server)
        self.tools_changed.emit(server_id)

    def _ask_again_what_changed(self) -> None:
        """A failure says nothing about a server that is reached in another way since, or works again."""
        for server in self.servers:
            if server.id in self.tool_errors and self._failed_as.get(server.id) != _reached(server):
                self._failed_as[server.id] = _reached(server)
                if server.state in UNUSABLE:
                    self.tool_errors.pop(server.id)
                else:
                    self.load_tools(server.id, refresh=True)

    def _tools_announced(self, server_id: str) -> None:
        """The services refreshed a server's tools or set a policy: load what they know, once for many such events."""
        self._announced.add(server_id)
        self._load_timer.start()

    def _load_announced(self) -> None:
        waiting, self._announced = self._announced, set()
        # Tools that nobody has looked at are loaded when their server is shown.
        for server_id in waiting & set(self.tools):
            self.load_tools(server_id)

    def _sync_once(self, server_id: str) -> None:
        """Have the store fetch the tools of an installation that has none, once.

        It fetches them in the background after connecting (docs/wire.md, "Installing and connecting"). A server that
        really has no tools is not asked again and again.
        """
        server, backend = self.server(server_id), self.backend
        installation = None if server is None else installation_of(server)
        if backend is None or installation is None or server_id in self._synced:
            return
        self._synced.add(server_id)

        async def sync() -> tuple[ToolInfo, ...]:
            await backend.store.refresh_tools(installation.id)
            return await self._services.servers.tools(server_id, refresh=True)

        def done(tools: tuple[ToolInfo, ...]) -> None:
            self.tools[server_id] = tools
            self.tools_changed.emit(server_id)

        self._spawn(sync(), done, _ignore)

    def _status_changed(self, status: CredentialStatus) -> None:
        """The credential works again: load what had failed."""
        if self._recovery is None or not self._recovery.recovered(status):
            return
        if not self.loading and (not self.loaded or self.error is not None):
            self.load(refresh=True)
        for server_id in tuple(self.tool_errors):
            self.load_tools(server_id, refresh=True)

    def _auth_happened(self, event: AuthEvent) -> None:
        """After a sign-in, load everything again: other permissions may show other tools."""
        if event.what == SIGNED_IN and self.loaded:
            self.load(refresh=True)
            for server_id in {*self.tools, *self.tool_errors}:
                self.load_tools(server_id, refresh=True)

    def _spawn(
        self,
        work: Coroutine[Any, Any, Any],
        done: Callable[[Any], object] | None,
        failed: Callable[[BurrowError], object] | None,
        key: str | None = None,
    ) -> Job:
        return self._generation.spawn(work, done=done, failed=failed, key=key)


def installed_for(template: ServerTemplate, installations: Sequence[Installation]) -> Installation | None:
    """The installation made from a template."""
    return next(
        (each for each in installations if each.template_id == template.id or (each.url and each.url == template.url)),
        None,
    )


def _tools_key(server_id: str) -> str:
    return f"tools {server_id}"


def _reached(server: Server | None) -> _Reached:
    if server is None:
        return _Reached("", None)
    kept = installation_of(server)
    # Trouble is what a failure makes of a server, and no change of it.
    usable = None if server.state not in UNUSABLE else server.state
    return _Reached(f"{server.url} {kept.proxy_url if kept is not None else ''}", usable)


def _ignore(_error: BurrowError) -> None:
    """For an error that nothing depends on."""
