"""ToolPolicies: the policies of a server's tools, wherever they are kept: setting, reading, allowing one call."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core.errors import BurrowError, Facts, PolicyRefused
from app.core.mcp.servers.local_policies import ALLOW, ASK, BLOCK, BLOCKED
from app.core.mcp.servers.policies import KeptPolicies, merge_policy
from app.core.mcp.tools import ToolInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from app.core.events import Event
    from app.core.mcp.servers.known_tools import KnownTools
    from app.core.mcp.servers.list_cache import ServerListCache
    from app.core.mcp.servers.server import Server
    from app.core.mcp.servers.source import ServerSource
    from app.core.posthog.types import StoreTool


@dataclass(frozen=True)
class ListedServer:
    """A server with the source that lists it, and the cache of that source's lists now."""

    server: Server
    source: ServerSource
    cache: ServerListCache


class ToolPolicies:
    """Policies, and the lists of `tools` that show them. Methods raise `BurrowError`.

    `tools_changed` and `policies_changed` are those of `Servers`.
    """

    def __init__(self, tools: KnownTools, tools_changed: Event[str], policies_changed: Event[str]) -> None:
        self._tools = tools
        self._tools_changed = tools_changed
        self._policies_changed = policies_changed

    async def set(self, listed: ListedServer, tool: str, state: str) -> None:
        """Set a tool's approval state where it is kept, and show it in the list."""
        server, source = listed.server, listed.source
        stored: Iterable[StoreTool] = (await source.set_policy(server.definition, tool, state),)
        if source.unset_policy is not None:
            stored = await source.policies(server.definition)
        rows = self._tools.of(server.id)
        if rows is not None:
            rows = merge_policy(rows, stored, source.unset_policy)
            self._tools.put(server.id, rows)
        self._tools_changed.emit(server.id)
        self._policies_changed.emit(server.id)
        if rows is None:
            # Whoever sets a policy need not have listed the tools: those of an earlier start are kept with it.
            cached = await listed.cache.tools(server.id)
            rows = None if cached is None else merge_policy(cached, stored, source.unset_policy)
        if rows is not None:
            await listed.cache.keep_tools(server.id, rows)

    async def show_changes(self, listed: ListedServer) -> None:
        """Somebody else has set policies: show them in the list, where this process has one."""
        server, source = listed.server, listed.source
        if self._tools.of(server.id) is None:
            return
        stored = await source.policies(server.definition)
        if self._tools.of(server.id) is not None:
            await self._note(listed, stored)

    async def kept(self, listed: ListedServer) -> KeptPolicies:
        """The policies of a server's tools, without asking the server.

        Those that were last seen where the store cannot be asked. Raises `BurrowError` when none were.
        """
        server, source = listed.server, listed.source
        local = source.unset_policy is not None
        names = await self._tools.names(server.id, listed.cache)
        try:
            stored = await source.policies(server.definition)
        except BurrowError:
            rows = None if local else await self._tools.seen(server.id, listed.cache)
            if rows is None:
                raise
            states = {tool.name: tool.policy for tool in rows if tool.policy is not None}
            locked = frozenset(tool.name for tool in rows if tool.locked)
        else:
            states = {tool.tool_name: tool.approval_state for tool in stored if tool.removed_at is None}
            locked = frozenset(tool.tool_name for tool in stored if tool.locked)
            if not local:
                await self._note(listed, stored)
        return KeptPolicies(states, source.unset_policy or ASK, names, local, locked)

    async def _note(self, listed: ListedServer, stored: Iterable[StoreTool]) -> None:
        """Show in the list that was last seen what counts now: somebody may have set it elsewhere."""
        server_id, here = listed.server.id, self._tools.of(listed.server.id)
        known = await listed.cache.tools(server_id) if here is None else here
        if known is None:
            return
        rows = merge_policy(known, stored, listed.source.unset_policy)
        if rows == known:
            return
        if here is not None:
            self._tools.put(server_id, rows)
            self._tools_changed.emit(server_id)
        await listed.cache.keep_tools(server_id, rows)

    @asynccontextmanager
    async def allowed_once(self, listed: ListedServer, tool: str) -> AsyncIterator[None]:
        """Within this a tool whose policy is Ask may be called. Entering raises what keeps it from being allowed.

        Its policy is looked at now: one that was set to Block meanwhile raises `PolicyRefused`.
        """
        server = listed.server
        kept = await self.kept(listed)
        state = kept.states.get(tool, kept.unset)
        if state == BLOCK:
            raise PolicyRefused(f"The tool {tool} of {server.title} is blocked.", Facts(code=BLOCKED))
        if state == ALLOW:
            yield
            return
        async with listed.source.allowed_once(server.definition, ToolInfo(tool, policy=state)):
            yield
