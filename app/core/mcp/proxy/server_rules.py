"""ServerRules: the servers' own policies for their tools, as a snapshot that the proxy's thread reads."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from app.core.background import retrieve
from app.core.errors import BurrowError
from app.core.mcp.proxy.parts import ToolRule
from app.core.mcp.servers.local_policies import kept_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.mcp.servers.local_policies import LocalPolicies
    from app.core.mcp.servers.registry import Servers

log = logging.getLogger(__name__)

# The states of docs/wire.md, "Tools and approval states". One that this version does not know must not allow more.
RULE_OF: Mapping[str, ToolRule] = {
    "approved": ToolRule.ALLOW,
    "needs_approval": ToolRule.ASK,
    "do_not_use": ToolRule.BLOCK,
}
# How old a snapshot may be, in seconds. Policies of this machine can be set in another process, which tells nobody.
# Those of a store are looked at by the store too, which refuses what it does not allow.
LOCAL_SECONDS, STORE_SECONDS = 1.0, 60.0


@dataclass(frozen=True)
class _Rules:
    by_tool: Mapping[str, ToolRule] = field(default_factory=dict)
    unset: ToolRule = ToolRule.ASK
    local: bool = False
    read_at: float = 0.0

    @property
    def fresh(self) -> bool:
        return monotonic() - self.read_at < (LOCAL_SECONDS if self.local else STORE_SECONDS)


class ServerRules:
    """The methods belong to the main loop, but for `of`, `fresh` and `usable`, which may be called on any thread."""

    def __init__(self, servers: Servers, local: LocalPolicies) -> None:
        self._servers = servers
        self._local = local
        self._known: Mapping[str, _Rules] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._changes = 0

    def of(self, server_id: str, tool: str) -> ToolRule:
        """The server's policy for a tool: Ask as long as it is not known."""
        known = self._known.get(server_id)
        if known is None:
            return ToolRule.ASK
        return known.by_tool.get(kept_name(tool) if known.local else tool, known.unset)

    def fresh(self, server_id: str) -> bool:
        """Whether the policies of a server are known, and not too old."""
        known = self._known.get(server_id)
        return known is not None and known.fresh

    def usable(self, server_id: str) -> bool:
        """Whether they may be used while they are read again: the store looks at its own policies too."""
        known = self._known.get(server_id)
        return known is not None and not known.local

    async def learn(self, server_id: str) -> None:
        """Read the policies of a server; several callers share one reading.

        Raises `BurrowError` when they cannot be read and were never known. Else what was known counts.
        """
        reading = self._reading.get(server_id)
        if reading is None:
            reading = self._reading[server_id] = asyncio.create_task(self._read(server_id))
            reading.add_done_callback(lambda _: self._reading.pop(server_id, None))
            reading.add_done_callback(retrieve)
        try:
            await asyncio.shield(reading)
        except BurrowError as failure:
            if server_id not in self._known:
                raise
            log.info("the policies of a server could not be read: %s", type(failure).__name__)

    def forget(self, server_id: str | None = None) -> None:
        """They may have changed: those of one server, or of all."""
        self._changes += 1
        self._known = {} if server_id is None else {key: old for key, old in self._known.items() if key != server_id}

    async def _read(self, server_id: str) -> None:
        while True:
            changes, began = self._changes, monotonic()
            stored, unset = await self._servers.policies(server_id)
            if changes == self._changes:
                break
        by_tool = {
            tool.tool_name: RULE_OF.get(tool.approval_state, ToolRule.ASK) for tool in stored if tool.removed_at is None
        }
        if unset is not None:
            # Entries that cannot be read are no permission.
            unset = self._local.unset_of(server_id)
        rule = ToolRule.ASK if unset is None else RULE_OF.get(unset, ToolRule.ASK)
        self._known = {**self._known, server_id: _Rules(by_tool, rule, unset is not None, began)}
