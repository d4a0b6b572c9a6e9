"""Servers: every MCP server that this process knows of, whoever lists it and however it is reached.

It belongs to the process: a signed-out window lists and calls the user's own servers, and another host changes only the
sources of the account. Cached lists are returned at once and refreshed in the background. A server that fails does not
affect the others.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from app.core.errors import (
    BurrowError,
    NotFound,
    Rejected,
)
from app.core.events import Event
from app.core.mcp.protocol.calls import RunningCall
from app.core.mcp.protocol.exchange import Exchange, Notification
from app.core.mcp.protocol.listening import REAL
from app.core.mcp.protocol.record import MessageRecorder, record_message
from app.core.mcp.results.parsing import resource_blocks
from app.core.mcp.secret_arguments import secret_texts, without_secrets
from app.core.mcp.servers.connections import ServerConnections
from app.core.mcp.servers.definitions import InstalledServer
from app.core.mcp.servers.known_tools import KnownTools
from app.core.mcp.servers.list_cache import CacheStorage, ServerListCache
from app.core.mcp.servers.policies import from_store, merge_policy
from app.core.mcp.servers.refused_probes import RefusedProbes
from app.core.mcp.servers.server import Server, ServerState, state_after
from app.core.mcp.servers.source import Listed
from app.core.mcp.servers.tool_policies import ListedServer, ToolPolicies
from app.core.mcp.tools import ToolInfo
from app.core.redaction import hide_arguments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence

    from app.core.mcp.protocol.calls import CallReport
    from app.core.mcp.protocol.connection import Connection, Endpoint
    from app.core.mcp.protocol.reconnect import ReconnectTiming
    from app.core.mcp.results.blocks import Block
    from app.core.mcp.servers.definitions import ServerDefinition
    from app.core.mcp.servers.policies import KeptPolicies
    from app.core.mcp.servers.source import Route, ServerSource
    from app.core.posthog.types import StoreTool

T = TypeVar("T")

CLOSE_CALLS_SECONDS = 0.3
# A server may announce changes in a burst when a session opens.
SETTLE_SECONDS = 0.5
NOBODY = Listed(None, None)

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Reached:
    """A server and how it is reached. `address` identifies the route: another one needs another connection.

    `whose` list it is on; `admit` is to be awaited before anything is sent, see `ServerSource.admission`.
    """

    server: Server
    route: Route
    address: str
    whose: Listed
    admit: Callable[[], Awaitable[object]] | None


class Servers:
    """The servers of several sources, in the order of the sources.

    Methods raise errors of `app.core.errors`. `changed` and `tools_changed` tell what a refresh behind the scenes
    found, the latter with the server's id, as `policies_changed`, which tells of each policy that is set, too. `timing`
    is where the pauses of listeners come from.
    """

    def __init__(
        self,
        activity: MessageRecorder,
        cache: CacheStorage,
        sources: Iterable[ServerSource] = (),
        *,
        timing: ReconnectTiming = REAL,
        probes: RefusedProbes | None = None,
    ) -> None:
        self.changed: Event[tuple[Server, ...]] = Event()
        self.tools_changed: Event[str] = Event()
        self.policies_changed: Event[str] = Event()
        self._activity = activity
        self._cache = cache
        self._sources: dict[str, ServerSource] = {}
        self._subscriptions: dict[str, tuple[Callable[[], None], ...]] = {}
        self._listed: dict[str, tuple[ServerDefinition, ...]] = {}
        self._whose: dict[str, Listed] = {}
        self._servers: dict[str, Server] = {}
        self._source_of: dict[str, ServerSource] = {}
        self._said: dict[str, ServerState] = {}
        self._tools = KnownTools()
        self._policies = ToolPolicies(self._tools, self.tools_changed, self.policies_changed)
        self._connections = ServerConnections(self._heard, self._tools_announced, timing, probes or RefusedProbes())
        self._synced: set[str] = set()
        self._announced: set[str] = set()
        self._calls: dict[RunningCall, str] = {}
        self._background: dict[str, asyncio.Task[None]] = {}
        self._closed = False
        self.set_sources(sources)

    def set_sources(self, sources: Iterable[ServerSource]) -> None:
        """List these sources from now on. Servers of sources that are gone are forgotten, their calls cancelled.

        `left` waits until their connections are closed.
        """
        wanted = {source.name: source for source in sources}
        for name, source in tuple(self._sources.items()):
            if wanted.get(name) is not source:
                self._unsubscribe(name)
                self._cancel_calls(name)
                self._forget(name)
        for name, source in wanted.items():
            if name not in self._subscriptions:
                self._subscriptions[name] = (
                    source.changed.subscribe(partial(self._source_changed, source)),
                    source.policies_changed.subscribe(self._policies_changed),
                )
        self._sources = wanted
        before = tuple(self._servers.values())
        self._rebuild()
        if tuple(self._servers.values()) != before:
            self.changed.emit(tuple(self._servers.values()))

    @property
    def listed(self) -> tuple[Server, ...]:
        """The servers that are known now, without asking anybody."""
        return tuple(self._servers.values())

    async def left(self) -> None:
        """Wait until every connection that was left is closed. Raises nothing."""
        await self._connections.left()

    async def list(self, *, refresh: bool = False) -> tuple[Server, ...]:
        """The servers of all sources.

        Without `refresh` a list from before, even from the last run, is returned at once and refreshed in the
        background. A source that cannot be listed hides no other one; its error is raised when the others are listed.
        """
        self._notice_changes()
        if refresh:
            return await self._fetch_lists(self._sources.values())
        unlisted = [source for source in self._sources.values() if source.name not in self._listed]
        missing = [source for source in unlisted if not await self._recall(source)]
        if missing:
            await self._fetch_lists(missing)
        for source in unlisted:
            if source not in missing and not source.quick:
                self._in_background(f"list {source.name}", partial(self._fetch_lists, (source,)))
        return tuple(self._servers.values())

    async def tools(self, server_id: str, *, refresh: bool = False) -> tuple[ToolInfo, ...]:
        """A server's tools with their policies.

        Without `refresh` a list from before is returned at once and, the first time, refreshed in the background. A
        server that cannot be asked now shows what the store knows of it; its state then says why.
        """
        self._notice_changes()
        server = await self._server(server_id)
        if not refresh:
            known = self._tools.of(server_id)
            if known is not None:
                return known
            kept = await self._cache_of(self._source_of[server_id]).tools(server_id)
            if kept is not None:
                self._tools.put(server_id, kept)
                self._in_background(f"tools {server_id}", lambda: self._fetch_tools(server, strict=False))
                return kept
        return await self._fetch_tools(server, strict=refresh)

    def address_of(self, server: Server) -> str:
        """Where a server is called: its own address, or that of the host's proxy."""
        source = self._source_of.get(server.id)
        if isinstance(server.definition, InstalledServer) and source is not None:
            return source.address(server.definition)
        return server.definition.address

    async def route(self, server_id: str) -> Reached:
        """How to reach a server, for who keeps connections of their own. Raises what keeps it from being used."""
        self._notice_changes()
        server = await self._server(server_id)
        source = self._source_of[server_id]
        admit, whose, address = source.admission(), source.whose(), source.address(server.definition)
        return Reached(server, await source.route(server.definition), address, whose, admit)

    async def look(self) -> None:
        """List again what costs nothing, such as servers that another process has added or signed in to."""
        await self._fetch_lists([source for source in self._sources.values() if source.quick])

    def note_failure(self, server_id: str, failure: BurrowError) -> None:
        """Let a server's state follow from a failure that somebody else met."""
        server, state = self._servers.get(server_id), state_after(failure)
        if server is not None and state is not None and server.state is not ServerState.DISABLED:
            self._update(server_id, state=state, trouble=failure.cause)

    def start_call(
        self, server_id: str, tool: str | ToolInfo, arguments: dict[str, Any], *, once: bool = False
    ) -> RunningCall:
        """Call a tool, as the account that is shown now. What goes wrong is raised by the call's `result`.

        With `once`, a tool whose policy is Ask is allowed for this call, and its policy set back after it.
        """
        admissions = {name: source.admission() for name, source in self._sources.items()}

        async def run(report: CallReport) -> dict[str, Any]:
            server = await self._server(server_id)
            name = tool.name if isinstance(tool, ToolInfo) else tool
            info = tool if isinstance(tool, ToolInfo) else self._tools.find(server_id, name)
            if not name:
                raise Rejected("This tool has no name, so it cannot be called.")
            # Servers quote what they were sent, also in errors.
            hide_arguments(*secret_texts(arguments, {} if info is None else info.input_schema))
            repeatable = server.trusted and info is not None and info.annotations.repeatable
            source = self._source_of[server_id]
            admit = admissions.get(source.name)
            source.check_policy(server.definition, name, once=once)
            allowed = source.allowed_once(server.definition, info) if once and info is not None else nullcontext()
            async with allowed:
                return await self._watched(
                    server,
                    lambda connection: connection.call(
                        name,
                        arguments,
                        repeatable=repeatable,
                        on_progress=report,
                        on_message=report.received,
                        admit=admit,
                    ),
                )

        call = RunningCall(run)
        self._calls[call] = server_id
        call.task.add_done_callback(lambda _task: self._calls.pop(call, None))
        return call

    async def set_policy(self, server_id: str, tool: str, state: str) -> ToolInfo | None:
        """Set a tool's approval state where it is kept; answers the row as it now stands."""
        await self._policies.set(await self._listed_server(server_id), tool, state)
        return self._tools.find(server_id, tool)

    async def kept_policies(self, server_id: str) -> KeptPolicies:
        """The policies of a server's tools, without asking the server: see `ToolPolicies.kept`."""
        self._notice_changes()
        return await self._policies.kept(await self._listed_server(server_id))

    async def kept_tool(self, server_id: str, name: str) -> ToolInfo | None:
        """What was last seen of a tool, without asking the server; None for one that was not seen."""
        source = self._source_of.get(server_id)
        if source is None:
            return None
        return await self._tools.find_seen(server_id, name, self._cache_of(source))

    @asynccontextmanager
    async def allowed_once(self, server_id: str, tool: str) -> AsyncIterator[None]:
        """Within this a tool whose policy is Ask may be called: see `ToolPolicies.allowed_once`."""
        self._notice_changes()
        async with self._policies.allowed_once(await self._listed_server(server_id), tool):
            yield

    async def read_resource(self, server_id: str, uri: str) -> tuple[Block, ...]:
        """The contents behind a resource link."""
        admissions = {name: source.admission() for name, source in self._sources.items()}
        server = await self._server(server_id)
        admit = admissions.get(self._source_of[server_id].name)
        return resource_blocks(
            await self._watched(server, lambda connection: connection.read_resource(uri, admit=admit))
        )

    async def close(self) -> None:
        """Cancel every call and leave every server, in under a second. Raises nothing."""
        self._closed = True
        for name in tuple(self._subscriptions):
            self._unsubscribe(name)
        for task in self._background.values():
            task.cancel()
        for call in tuple(self._calls):
            call.cancel()
        waiting = {call.task for call in self._calls} | set(self._background.values())
        if waiting:
            await asyncio.wait(waiting, timeout=CLOSE_CALLS_SECONDS)
        await self._connections.close()

    def _notice_changes(self) -> None:
        """Forget the servers of a former account or project. To learn an unknown one is no change."""
        for name, source in self._sources.items():
            before, now = self._whose.get(name, NOBODY), source.whose()
            project = before.project if now.project is None else now.project
            self._whose[name] = Listed(now.scope or before.scope, project)
            if before.changed_to(now):
                self._forget(name)
                self._rebuild()

    def _forget(self, name: str) -> None:
        """What is known of the servers of one source."""
        for definition in self._listed.pop(name, ()):
            self._tools.forget(definition.id)
            self._servers.pop(definition.id, None)
            self._synced.discard(definition.id)
            self._announced.discard(definition.id)
            self._connections.leave(definition.id)

    def _cancel_calls(self, name: str) -> None:
        gone = {definition.id for definition in self._listed.get(name, ())}
        for call, server_id in tuple(self._calls.items()):
            if server_id in gone:
                call.cancel()

    def _source_changed(self, source: ServerSource, _nothing: None) -> None:
        self._in_background(f"list {source.name}", partial(self._fetch_lists, (source,)))

    def _policies_changed(self, server_id: str) -> None:
        self.policies_changed.emit(server_id)
        self._in_background(f"policies {server_id}", partial(self._show_policies, server_id))

    async def _show_policies(self, server_id: str) -> None:
        if server_id in self._servers:
            await self._policies.show_changes(self._with_source(self._servers[server_id]))

    def _unsubscribe(self, name: str) -> None:
        for unsubscribe in self._subscriptions.pop(name, ()):
            unsubscribe()

    def _cache_of(self, source: ServerSource) -> ServerListCache:
        return ServerListCache(self._cache, self._whose.get(source.name, NOBODY))

    async def _recall(self, source: ServerSource) -> bool:
        """List a source from what was kept at the last start; whether there was anything."""
        if source.quick:
            return False
        records = await self._cache_of(source).servers(source.name)
        found = [source.definition_of(record.get("definition")) for record in records or () if isinstance(record, dict)]
        definitions = tuple(definition for definition in found if definition is not None)
        if not definitions:
            return False
        self._listed[source.name] = definitions
        self._rebuild({record["definition"]["id"]: record.get("tool_count") for record in records or ()})
        return True

    async def _fetch_lists(self, sources: Iterable[ServerSource]) -> tuple[Server, ...]:
        asked = tuple(sources)
        before = tuple(self._servers.values())
        failures: list[BaseException] = []
        missing = asked
        while missing:
            outcomes = await asyncio.gather(*map(self._fetch_list, missing), return_exceptions=True)
            failed = {source: found for source, found in zip(missing, outcomes, strict=True) if found is not None}
            failures += failed.values()
            # A change that one source notices forgets what another has just listed.
            missing = tuple(source for source in missing if source not in failed and self._lacks(source))
        self._rebuild()
        listed = tuple(self._servers.values())
        for source in asked:
            if not source.quick:
                await self._keep_list(source)
        if listed != before:
            self.changed.emit(listed)
        if failures:
            raise failures[0]
        return listed

    def _lacks(self, source: ServerSource) -> bool:
        return self._sources.get(source.name) is source and source.name not in self._listed

    async def _fetch_list(self, source: ServerSource) -> None:
        while True:
            asked_for = self._whose.get(source.name)
            definitions = await source.definitions()
            self._notice_changes()
            if self._sources.get(source.name) is not source:
                return
            if self._whose.get(source.name) == asked_for:
                break
            # The user moved on meanwhile: this is an answer about a former project or account.
        self._listed[source.name] = definitions

    async def _keep_list(self, source: ServerSource) -> None:
        if source.name not in self._listed:
            return
        records = [
            {"definition": {"id": definition.id, **source.record_of(definition)}, "tool_count": server.tool_count}
            for definition in self._listed[source.name]
            if (server := self._servers.get(definition.id)) is not None
        ]
        await self._cache_of(source).keep_servers(source.name, records)

    def _rebuild(self, counts: dict[str, Any] | None = None) -> None:
        """Make the list from what the sources have listed, with what earlier contacts found out."""
        before = self._servers
        said_before = self._said
        self._servers, self._source_of, self._said = {}, {}, {}
        for source in self._sources.values():
            for definition in self._listed.get(source.name, ()):
                server = Server(definition, source.state_of(definition))
                earlier = before.get(server.id)
                if earlier is not None and self._adds_nothing(earlier, server, said_before):
                    server = replace(server, state=earlier.state, trouble=earlier.trouble)
                self._said[server.id] = source.state_of(definition)
                kept = (counts or {}).get(server.id)
                if kept is None:
                    kept = source.tool_count_of(definition)
                self._servers[server.id] = self._as_known(server, earlier, kept)
                self._source_of[server.id] = source
        self._connections.leave_all_but(self._servers)

    def _adds_nothing(self, earlier: Server, now: Server, said_before: dict[str, ServerState]) -> bool:
        """Whether the source says what it said before, so that what a contact found out since still holds."""
        same = earlier.definition == now.definition and said_before.get(now.id) is now.state
        return same and now.state in {ServerState.UNKNOWN, ServerState.READY}

    def _as_known(self, server: Server, before: Server | None, kept: int | None) -> Server:
        """With the number of tools and the protocol that earlier contacts found out."""
        rows = self._tools.of(server.id)
        known = kept if rows is None else len(rows)
        if before is None:
            return replace(server, tool_count=known)
        return replace(
            server,
            tool_count=known or before.tool_count,
            protocol=before.protocol,
            tools_note=before.tools_note,
        )

    async def _fetch_tools(self, server: Server, *, strict: bool) -> tuple[ToolInfo, ...]:
        source = self._source_of[server.id]
        live, stored = await asyncio.gather(
            self._live_tools(server, source), source.policies(server.definition), return_exceptions=True
        )
        if isinstance(stored, BaseException):
            _raise_unless_typed(stored)
            stored = ()
        if isinstance(live, BaseException):
            _raise_unless_typed(live)
            # Policies that are kept on this machine are no list of tools.
            if strict or not stored or source.unset_policy is not None:
                raise live
            tools = from_store(stored)
        else:
            policies = await self._synced_policies(server, source, live, stored)
            tools = merge_policy(live, policies, source.unset_policy)
        changed = self._tools.put(server.id, tools)
        self._update(server.id, tool_count=len(tools))
        await self._cache_of(source).keep_tools(server.id, tools)
        if changed:
            self.tools_changed.emit(server.id)
            self.policies_changed.emit(server.id)
        return tools

    async def _live_tools(self, server: Server, source: ServerSource) -> Sequence[ToolInfo]:
        admit = source.admission()

        async def read(connection: Connection) -> tuple[Sequence[ToolInfo], str]:
            return await connection.tools(admit=admit), connection.tools_note

        tools, note = await self._watched(server, read)
        self._update(server.id, tools_note=note)
        return tools

    async def _synced_policies(
        self, server: Server, source: ServerSource, live: Sequence[ToolInfo], policies: tuple[StoreTool, ...]
    ) -> tuple[StoreTool, ...]:
        """The store lists the tools of a new installation late: it is asked for once (docs/wire.md, "Installing and
        connecting"), and silently.
        """
        known = {tool.tool_name for tool in policies}
        if server.id in self._synced or all(tool.name in known for tool in live if tool.problem is None):
            return policies
        self._synced.add(server.id)
        try:
            return await source.sync_policies(server.definition)
        except BurrowError:
            return policies

    async def _watched(self, server: Server, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `work` on the server's connection and let the server's state follow from how it went."""
        try:
            if self._closed:
                raise Rejected("Burrow is closing.")
            connection = await self._connections.to(server, self._source_of[server.id])
            outcome = await work(connection)
        except BurrowError as failure:
            source = self._source_of.get(server.id)
            explained = failure if source is None else source.explained(server.definition, failure)
            state = state_after(explained)
            if state is not None and server.state is not ServerState.DISABLED:
                self._update(server.id, state=state, trouble=explained.cause)
            raise explained from failure.__cause__
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
        """A server by its id. What only a slow or failing source lists must not keep a call to another one waiting."""
        quick = [source for source in self._sources.values() if source.quick]
        trouble: BurrowError | None = None
        for look in (partial(self._fetch_lists, quick), self.list, partial(self._fetch_lists, self._sources.values())):
            if server_id in self._servers:
                break
            try:
                await look()
            except BurrowError as failure:
                trouble = failure
        found = self._servers.get(server_id)
        if found is None:
            raise trouble or NotFound(f"There is no server “{server_id}”.")
        return found

    async def _listed_server(self, server_id: str) -> ListedServer:
        return self._with_source(await self._server(server_id))

    def _with_source(self, server: Server) -> ListedServer:
        source = self._source_of[server.id]
        return ListedServer(server, source, self._cache_of(source))

    def _in_background(self, name: str, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Run `work` without anybody waiting, one of a name at a time; its failure shows as the server's state."""
        if self._closed or (name in self._background and not self._background[name].done()):
            return

        async def quietly() -> None:
            try:
                await work()
            except BurrowError as failure:
                log.info("%s: %s", name, failure)
            except Exception:
                log.exception("%s failed", name)

        def done(task: asyncio.Task[None]) -> None:
            if self._background.get(name) is task:
                del self._background[name]

        task = asyncio.create_task(quietly(), name=f"mcp {name}")
        self._background[name] = task
        task.add_done_callback(done)

    def _heard(self, endpoint: Endpoint, item: Exchange | Notification) -> None:
        record_message(self._activity, endpoint, item, partial(self._without_secrets, endpoint))
        if isinstance(item, Notification):
            if item.inbound and item.method == "notifications/tools/list_changed":
                self._tools_announced(endpoint)
            return
        server_id = self._id_of(endpoint)
        if server_id is not None:
            self._source_of[server_id].heard(self._servers[server_id].definition, item)

    def _without_secrets(self, endpoint: Endpoint, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call without those that the tool's schema or their own names call secret."""
        server_id = self._id_of(endpoint)
        tool = None if server_id is None else self._tools.find(server_id, name)
        return without_secrets(arguments, {} if tool is None else tool.input_schema)[0]

    def _tools_announced(self, endpoint: Endpoint) -> None:
        server_id = self._id_of(endpoint)
        if server_id is not None and self._tools.of(server_id) is not None:
            self._announced.add(server_id)
            self._in_background(f"tools {server_id} as announced", partial(self._reload_announced, server_id))

    def _id_of(self, endpoint: Endpoint) -> str | None:
        server_id = self._connections.id_of(endpoint)
        return server_id if server_id in self._servers else None

    async def _reload_announced(self, server_id: str) -> None:
        """Read a list that changed, and again when it changes while it is read."""
        while server_id in self._announced:
            await asyncio.sleep(SETTLE_SECONDS)
            self._announced.discard(server_id)
            if server_id in self._servers:
                await self._fetch_tools(self._servers[server_id], strict=False)


def _raise_unless_typed(failure: BaseException) -> None:
    if not isinstance(failure, BurrowError):
        raise failure
