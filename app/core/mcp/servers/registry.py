"""Servers: the host's own MCP endpoint and the installations of its MCP store (contract sections 2.2, 4.1 to 4.7).

Lists are shown from the cache at once and refreshed behind; one server's failure never touches another's.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from app.core.auth.http.target import CredentialAtStake, Target
from app.core.errors import (
    BurrowError,
    NotFound,
    PermissionMissing,
    PolicyRefused,
    Rejected,
    SignInNeeded,
    VendorSignInNeeded,
)
from app.core.events import Event
from app.core.mcp.protocol.calls import ToolCall
from app.core.mcp.protocol.connection import Connection, Endpoint
from app.core.mcp.protocol.exchange import Exchange, Notice
from app.core.mcp.protocol.listening import REAL, Listening
from app.core.mcp.protocol.record import MessageRecorder, record_message
from app.core.mcp.protocol.sign_in_gate import SignInGate
from app.core.mcp.results.parsing import resource_blocks
from app.core.mcp.servers.catalog import from_store, merge_policy
from app.core.mcp.servers.list_cache import CacheStorage, ServerListCache
from app.core.mcp.types import Server, ServerState, ToolInfo, installation_state
from app.core.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from app.core.hosts import Host
    from app.core.mcp.protocol.calls import ProgressReport
    from app.core.mcp.protocol.reconnect import ReconnectTiming
    from app.core.mcp.protocol.sign_in_gate import CredentialSource
    from app.core.mcp.types import Block
    from app.core.posthog.types import Installation, StoreTool
    from app.core.storage.values import Scope

T = TypeVar("T")

CLOSE_CALLS_SECONDS = 0.3
# A server may announce changes in a burst when a session opens.
SETTLE_SECONDS = 0.5
CLIENT_NAME = "burrow"

log = logging.getLogger(__name__)


class StoreEndpoints(Protocol):
    """The MCP store's endpoints (`app.core.posthog.store`)."""

    async def installations(self) -> tuple[Installation, ...]: ...

    async def tools(self, installation_id: str) -> tuple[StoreTool, ...]: ...

    async def set_policy(self, installation_id: str, tool: str, state: Any) -> StoreTool: ...

    async def refresh_tools(self, installation_id: str) -> tuple[StoreTool, ...]: ...

    def proxy_path(self, installation_id: str) -> str: ...


class Servers:
    """The MCP servers of one signed-in account.

    `scope` names whose cached lists to use, None for nobody's; `project` the project chosen. `admit` waits until it is
    certain who is signed in, and raises when that is not the account it is given; `timing` is where the pauses of
    listeners come from. Methods raise errors of `app.core.errors`; `changed` and `tools_changed` tell what a refresh
    behind the scenes found, the latter with the server's id.
    """

    def __init__(
        self,
        host: Host,
        store: StoreEndpoints,
        session: CredentialSource,
        activity: MessageRecorder,
        cache: CacheStorage,
        *,
        scope: Callable[[], Scope | None] = lambda: None,
        project: Callable[[], int | None] = lambda: None,
        admit: Callable[[Scope | None], Awaitable[None]] | None = None,
        timing: ReconnectTiming = REAL,
    ) -> None:
        self.changed: Event[tuple[Server, ...]] = Event()
        self.tools_changed: Event[str] = Event()
        self._host = host
        self._store = store
        self._session = session
        self._activity = activity
        self._cache = cache
        self._scope = scope
        self._project = project
        self._admit = admit
        self._timing = timing
        self._sign_in = SignInGate(session)
        self._servers: dict[str, Server] = {}
        self._tools: dict[str, tuple[ToolInfo, ...]] = {}
        self._connections: dict[str, Connection] = {}
        self._synced: set[str] = set()
        self._announced: set[str] = set()
        self._whose: tuple[Scope | None, int | None] = (None, None)
        self._kept = ServerListCache(cache, None, None)
        self._calls: set[ToolCall] = set()
        self._chores: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    async def list(self, *, refresh: bool = False) -> tuple[Server, ...]:
        """The servers, the host's own first.

        Without `refresh` a list known from before, even from the last run, comes at once and is refreshed behind.
        """
        self._notice_change()
        if refresh:
            return await self._fetch_list()
        if self._servers:
            return tuple(self._servers.values())
        kept = await self._kept.servers()
        if kept is None:
            return await self._fetch_list()
        self._servers = {server.id: server for server in kept}
        self._behind("list", self._fetch_list)
        return tuple(self._servers.values())

    async def tools(self, server_id: str, *, refresh: bool = False) -> tuple[ToolInfo, ...]:
        """A server's tools with their policies.

        Without `refresh` a list known from before comes at once and, the first time, is refreshed behind. A server
        that cannot be asked now shows what the store knows of it; its state then says why.
        """
        self._notice_change()
        server = await self._server(server_id)
        if not refresh:
            known = self._tools.get(server_id)
            if known is not None:
                return known
            kept = await self._kept.tools(server_id)
            if kept is not None:
                self._tools[server_id] = kept
                self._behind(f"tools {server_id}", lambda: self._fetch_tools(server, strict=False))
                return kept
        return await self._fetch_tools(server, strict=refresh)

    def start_call(self, server_id: str, tool: str | ToolInfo, arguments: dict[str, Any]) -> ToolCall:
        """Call a tool. Everything that goes wrong is raised by the call's `result`."""
        scope = self._scope()

        async def run(report: ProgressReport) -> dict[str, Any]:
            server = await self._server(server_id)
            name = tool.name if isinstance(tool, ToolInfo) else tool
            info = tool if isinstance(tool, ToolInfo) else self._find(server_id, name)
            if not name:
                raise Rejected("This tool has no name, so it cannot be called.")
            repeatable = server.trusted and info is not None and info.annotations.repeatable
            connection = self._connection(server)
            work = connection.call(
                name,
                arguments,
                repeatable=repeatable,
                on_progress=report,
                # Opening the connection takes a while, in which somebody else can sign in.
                admit=lambda: self._admitted(scope),
            )
            return await self._watched(server, connection, work, scope)

        call = ToolCall(run)
        self._calls.add(call)
        call.task.add_done_callback(lambda _task: self._calls.discard(call))
        return call

    async def set_policy(self, server_id: str, tool: str, state: str) -> ToolInfo | None:
        """Set a tool's approval state in the store; answers the row as it now stands."""
        server = await self._server(server_id)
        if server.installation is None:
            raise Rejected("Policies are kept for installed servers only.", action="Install the server to set one.")
        stored = await self._store.set_policy(server.installation.id, tool, state)
        rows = self._tools.get(server_id, ())
        self._tools[server_id] = merge_policy(rows, (stored,))
        self.tools_changed.emit(server_id)
        await self._kept.keep_tools(server_id, self._tools[server_id])
        return self._find(server_id, tool)

    async def read_resource(self, server_id: str, uri: str) -> tuple[Block, ...]:
        """The contents behind a resource link."""
        scope = self._scope()
        server = await self._server(server_id)
        connection = self._connection(server)
        return resource_blocks(await self._watched(server, connection, connection.read_resource(uri), scope))

    async def close(self) -> None:
        """Cancel every call and leave every server, in under a second. Raises nothing."""
        self._closed = True
        for chore in self._chores.values():
            chore.cancel()
        for call in tuple(self._calls):
            call.cancel()
        waiting = {call.task for call in self._calls} | set(self._chores.values())
        if waiting:
            await asyncio.wait(waiting, timeout=CLOSE_CALLS_SECONDS)
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))

    def _notice_change(self) -> None:
        """Forget the servers of a former account or project; what was unknown until now is no change."""
        before, now = self._whose, (self._scope(), self._project())
        self._whose = (now[0] or before[0], before[1] if now[1] is None else now[1])
        self._kept = ServerListCache(self._cache, *self._whose)
        if all(old is None or old == new for old, new in zip(before, self._whose, strict=True)):
            return
        self._servers.clear()
        self._tools.clear()
        self._synced.clear()
        self._announced.clear()
        for server_id in tuple(self._connections):
            self._leave(server_id)

    def _leave(self, server_id: str) -> None:
        connection = self._connections.pop(server_id)
        self._behind(f"close {server_id} {id(connection)}", connection.close)

    async def _fetch_list(self) -> tuple[Server, ...]:
        own = self._own_server()
        asked_for = self._whose
        installations = await self._store.installations()
        self._notice_change()
        if self._whose != asked_for:
            # The person moved on meanwhile: this is an answer about a project or account of before.
            return await self._fetch_list()
        found = [] if own is None else [own]
        address = None if own is None else _address(own.url)
        found += [self._installed(item) for item in installations if _address(item.url) != address]
        before = tuple(self._servers.values())
        self._servers = {server.id: self._as_known(server) for server in found}
        for gone in set(self._connections) - set(self._servers):
            self._leave(gone)
        await self._kept.keep_servers(self._servers.values())
        listed = tuple(self._servers.values())
        if listed != before:
            self.changed.emit(listed)
        return listed

    def _own_server(self) -> Server | None:
        if self._host.mcp_url is None:
            return None
        # PostHog's own endpoint has a host of its own; on the host's own origin it is a workspace's.
        workspace = self._host.embedded or origin_of(self._host.mcp_url) == self._host.origin
        return Server(
            id="workspace" if workspace else "posthog",
            title="Workspace" if workspace else "PostHog",
            url=self._host.mcp_url,
            description="The tools of the account itself.",
            owner=CredentialAtStake.CARRIED,
            state=ServerState.UNKNOWN,
        )

    def _installed(self, installation: Installation) -> Server:
        return Server(
            id=installation.id,
            title=installation.title,
            url=installation.url,
            description=installation.description,
            owner=CredentialAtStake.VENDOR_BEHIND,
            state=installation_state(installation),
            installation=installation,
            tool_count=installation.tool_count,
        )

    def _as_known(self, server: Server) -> Server:
        """What earlier contacts found out, where the store does not say otherwise."""
        before = self._servers.get(server.id)
        if before is None:
            return server
        count = len(self._tools[server.id]) if server.id in self._tools else server.tool_count
        if server.installation is not None and server.installation != before.installation:
            return replace(server, tool_count=count, protocol=before.protocol)
        if server.state in {ServerState.UNKNOWN, ServerState.READY}:
            server = replace(server, state=before.state, trouble=before.trouble)
        return replace(server, tool_count=count or before.tool_count, protocol=before.protocol)

    async def _fetch_tools(self, server: Server, *, strict: bool) -> tuple[ToolInfo, ...]:
        live, stored = await asyncio.gather(
            self._live_tools(server), self._stored_tools(server), return_exceptions=True
        )
        if isinstance(stored, BaseException):
            _raise_unless_typed(stored)
            stored = ()
        if isinstance(live, BaseException):
            _raise_unless_typed(live)
            if strict or not stored:
                raise live
            tools = from_store(stored)
        else:
            tools = merge_policy(live, await self._synced_policies(server, live, stored))
        known = self._tools.get(server.id)
        self._tools[server.id] = tools
        self._update(server.id, tool_count=len(tools))
        await self._kept.keep_tools(server.id, tools)
        if tools != known:
            self.tools_changed.emit(server.id)
        return tools

    async def _live_tools(self, server: Server) -> Sequence[ToolInfo]:
        connection = self._connection(server)
        return await self._watched(server, connection, connection.tools(), self._scope())

    async def _stored_tools(self, server: Server) -> tuple[StoreTool, ...]:
        return () if server.installation is None else await self._store.tools(server.installation.id)

    async def _synced_policies(
        self, server: Server, live: Sequence[ToolInfo], policies: tuple[StoreTool, ...]
    ) -> tuple[StoreTool, ...]:
        """A fresh installation's tools are synced late: ask once for it, silently (contract section 7, L-27)."""
        if server.installation is None or server.id in self._synced:
            return policies
        known = {tool.tool_name for tool in policies}
        if all(tool.name in known for tool in live if tool.problem is None):
            return policies
        self._synced.add(server.id)
        try:
            return await self._store.refresh_tools(server.installation.id)
        except BurrowError:
            return policies

    def _connection(self, server: Server) -> Connection:
        if self._closed:
            raise Rejected("Burrow is closing.")
        _check_usable(server)
        connection = self._connections.get(server.id)
        url = self._reach(server)
        if connection is not None and connection.peer.url != url:
            self._leave(server.id)
            connection = None
        if connection is None:
            peer = Endpoint(server.title, url, server.owner, self._headers)
            target = _target(server, url)
            listening = Listening(target, self._sign_in, partial(self._tools_announced, peer), self._timing)
            connection = Connection(peer, self._session.auth(target), self._heard, listening)
            self._connections[server.id] = connection
        return connection

    def _reach(self, server: Server) -> str:
        """The address to speak to; only origins that may see the person's token (contract section 7, L-23)."""
        url = server.url
        if server.installation is not None:
            installation = server.installation
            url = installation.proxy_url or self._host.origin + self._store.proxy_path(installation.id)
        if origin_of(url) not in self._host.token_origins:
            raise Rejected(f"{server.title} is reached through {origin_of(url)}, which is not part of this host.")
        return url

    def _headers(self) -> Mapping[str, str]:
        headers = {"x-posthog-mcp-consumer": CLIENT_NAME}
        project = self._project()
        if project is not None:
            headers["x-posthog-project-id"] = str(project)
        return headers

    async def _admitted(self, scope: Scope | None) -> None:
        if self._admit is not None:
            await self._admit(scope)

    async def _watched(
        self, server: Server, connection: Connection, work: Coroutine[Any, Any, T], scope: Scope | None
    ) -> T:
        """Run `work` of the account `scope` and let the server's state follow from how it went."""
        try:
            await self._admitted(scope)
        except BaseException:
            work.close()
            raise
        try:
            outcome = await work
        except BurrowError as failure:
            state = _state_after(failure)
            if state is not None:
                self._update(server.id, state=state, trouble=failure.cause)
            raise
        self._update(server.id, state=ServerState.READY, trouble=None, protocol=connection.protocol)
        return outcome

    def _update(self, server_id: str, **changes: Any) -> None:
        before = self._servers.get(server_id)
        if before is None:
            return
        after = replace(before, **changes)
        if after != before:
            self._servers[server_id] = after
            self.changed.emit(tuple(self._servers.values()))

    async def _server(self, server_id: str) -> Server:
        if server_id not in self._servers:
            await self.list()
        if server_id not in self._servers:
            await self._fetch_list()
        try:
            return self._servers[server_id]
        except KeyError:
            raise NotFound(f"There is no server “{server_id}”.") from None

    def _find(self, server_id: str, name: str) -> ToolInfo | None:
        return next((tool for tool in self._tools.get(server_id, ()) if tool.name == name), None)

    def _behind(self, name: str, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Run `work` without anybody waiting, one of a name at a time; its failure shows as the server's state."""
        if self._closed or (name in self._chores and not self._chores[name].done()):
            return

        async def chore() -> None:
            try:
                await work()
            except BurrowError as failure:
                log.info("%s: %s", name, failure)
            except Exception:
                log.exception("%s failed", name)

        def done(task: asyncio.Task[None]) -> None:
            if self._chores.get(name) is task:
                del self._chores[name]

        task = asyncio.create_task(chore(), name=f"mcp {name}")
        self._chores[name] = task
        task.add_done_callback(done)

    def _heard(self, peer: Endpoint, item: Exchange | Notice) -> None:
        record_message(self._activity, peer.title, item)
        if isinstance(item, Notice) and item.inbound and item.method == "notifications/tools/list_changed":
            self._tools_announced(peer)

    def _tools_announced(self, peer: Endpoint) -> None:
        for server_id, connection in self._connections.items():
            if connection.peer is peer and server_id in self._tools:
                self._announced.add(server_id)
                self._behind(f"tools {server_id} as announced", partial(self._reload_announced, server_id))
                return

    async def _reload_announced(self, server_id: str) -> None:
        """Read a list that changed, and again when it changes while it is read."""
        while server_id in self._announced:
            await asyncio.sleep(SETTLE_SECONDS)
            self._announced.discard(server_id)
            if server_id in self._servers:
                await self._fetch_tools(self._servers[server_id], strict=False)


def _target(server: Server, url: str) -> Target:
    """Where the person's token goes on the way to `server`, and nowhere else.

    Only the server that refused a token can show that its successor is a good one, so each has a name of its own.
    """
    own = server.owner is CredentialAtStake.CARRIED
    return Target(frozenset({origin_of(url)}), server.owner, jsonrpc=True, reports_own_auth=own, name=server.title)


def _raise_unless_typed(failure: BaseException) -> None:
    if not isinstance(failure, BurrowError):
        raise failure


def _state_after(failure: BurrowError) -> ServerState | None:
    """What a failure says about the server as a whole; None when it concerns one request or the person's session."""
    match failure:
        case VendorSignInNeeded():
            return ServerState.RECONNECT
        case PolicyRefused() if failure.facts.status == 403:
            return ServerState.DISABLED
        case SignInNeeded() | PolicyRefused() | Rejected():
            return None
        case PermissionMissing() if failure.facts.scopes:
            return None
        case _ if failure.facts.status is None or failure.facts.status >= 400:
            return ServerState.TROUBLE if failure.facts.code is None or not failure.facts.code.startswith("-") else None
        case _:
            return None


def _check_usable(server: Server) -> None:
    match server.state:
        case ServerState.DISABLED:
            raise PolicyRefused(f"{server.title} is switched off.", action="Switch it on to use its tools.")
        case ServerState.SIGN_IN:
            raise VendorSignInNeeded(f"Connecting {server.title} was not finished.", action="Finish connecting it.")
        case _:
            pass


def _address(url: str) -> str:
    parts = urlsplit(url)
    try:
        return origin_of(url) + parts.path.rstrip("/")
    except ValueError:
        return url
