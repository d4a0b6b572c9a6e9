"""Whether the tools of servers without a store may be called, kept on this machine; and a source with such policies.

For the user's own servers and the host's endpoint. The states are those of the MCP store (docs/wire.md, "Tools and
approval states"), but what has none is allowed: the user chose the server, and nobody else calls it. The settings have
one key for each server.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast, get_args

from app.core.errors import Facts, PolicyRefused, Rejected, StorageTrouble
from app.core.events import Event
from app.core.mcp.json_text import LONE_SURROGATE
from app.core.mcp.servers.source import ServerSource
from app.core.posthog.types import ApprovalState, StoreTool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from app.core.mcp.servers.definitions import ServerDefinition
    from app.core.mcp.tools import ToolInfo

SETTING = "tool_policy:"
ALLOW: ApprovalState = "approved"
ASK: ApprovalState = "needs_approval"
BLOCK: ApprovalState = "do_not_use"
STATES = frozenset(get_args(ApprovalState))
# The codes with which the store's proxy refuses a call (docs/wire.md, "Installation proxy").
NEEDS_APPROVAL, BLOCKED = "-32001", "-32002"


class PolicySettings(Protocol):
    """Where the policies are kept (`storage.settings`)."""

    def get(self, key: str, default: Any = None) -> Any: ...

    def under(self, prefix: str) -> dict[str, Any]: ...

    async def set(self, key: str, value: Any) -> None: ...

    async def remove(self, key: str) -> None: ...

    async def refresh(self, key: str) -> None: ...

    async def refresh_under(self, prefix: str) -> None: ...


class LocalPolicies:
    """The policies of all such servers. `changed` tells the id of a server with other policies than before."""

    def __init__(self, settings: PolicySettings) -> None:
        self.changed: Event[str] = Event()
        self._settings = settings

    def of(self, server_id: str) -> Mapping[str, ApprovalState]:
        """What the user set, by the tool's name as `kept_name` makes it."""
        return _states(self._settings.get(f"{SETTING}{server_id}"))

    def unset_of(self, server_id: str) -> ApprovalState:
        """The state of a tool without an entry: Ask where the entries cannot be read, else Allow."""
        kept = self._settings.get(f"{SETTING}{server_id}")
        return ALLOW if kept is None or isinstance(kept, dict) else ASK

    def state_of(self, server_id: str, tool: str) -> ApprovalState:
        """The policy of a tool."""
        return self.of(server_id).get(kept_name(tool), self.unset_of(server_id))

    def stored(self, server_id: str) -> tuple[StoreTool, ...]:
        """What the user set, as the store would tell it. Raises `StorageTrouble` for entries that cannot be read."""
        if self.unset_of(server_id) != ALLOW:
            raise StorageTrouble(
                "The policies of this server's tools cannot be read.", action="Set the policy of one of its tools."
            )
        return tuple(StoreTool(name, approval_state=state) for name, state in self.of(server_id).items())

    async def set(self, server_id: str, tool: str, state: str) -> StoreTool:
        """Keep the policy of a tool. Raises `Rejected` for what is no state, and `StorageTrouble`."""
        if state not in STATES:
            raise Rejected(f"“{state}” is no policy.")
        key = f"{SETTING}{server_id}"
        # What another process has set meanwhile must not be lost. From here to `set` nothing waits.
        await self._settings.refresh(key)
        kept = self._settings.get(key)
        entries: dict[str, Any] = dict(kept) if isinstance(kept, dict) else {}
        entries[kept_name(tool)] = state
        try:
            await self._settings.set(key, entries)
        finally:
            self.changed.emit(server_id)
        return StoreTool(tool, approval_state=cast("ApprovalState", state))

    async def remove(self, server_id: str) -> None:
        """Forget the policies of a server. Raises `StorageTrouble`."""
        if self._settings.get(f"{SETTING}{server_id}") is not None:
            try:
                await self._settings.remove(f"{SETTING}{server_id}")
            finally:
                self.changed.emit(server_id)

    async def refresh(self) -> None:
        """Read what other processes have set. Raises `StorageTrouble`."""
        before = self._settings.under(SETTING)
        await self._settings.refresh_under(SETTING)
        now = self._settings.under(SETTING)
        for key in before.keys() | now.keys():
            if before.get(key) != now.get(key):
                self.changed.emit(key.removeprefix(SETTING))

    def check(self, server_id: str, title: str, tool: str, *, once: bool) -> None:
        """Raises `PolicyRefused` when a tool is blocked, or asks and was not allowed for this call (`once`).

        The codes are those of the store's proxy.
        """
        match self.state_of(server_id, tool):
            case "do_not_use":
                raise PolicyRefused(f"The tool {tool} of {title} is blocked.", Facts(code=BLOCKED))
            case "needs_approval" if not once:
                raise PolicyRefused(f"The tool {tool} of {title} needs your approval.", Facts(code=NEEDS_APPROVAL))
            case _:
                pass


class LocalPolicySource(ServerSource):
    """A source whose policies are kept on this machine, once `keep_policies_in` has said where."""

    _local: LocalPolicies | None = None

    def keep_policies_in(self, policies: LocalPolicies | None) -> None:
        """Keep them there; None: keep none."""
        self._local = policies
        if policies is not None:
            self.unset_policy = ALLOW
            self.policies_changed = policies.changed

    async def policies(self, definition: ServerDefinition) -> tuple[StoreTool, ...]:
        """What the user set here, with what other processes have set meanwhile."""
        if self._local is None:
            return ()
        await self._local.refresh()
        return self._local.stored(definition.id)

    async def set_policy(self, definition: ServerDefinition, tool: str, state: str) -> StoreTool:
        """Keep the policy of a tool. Raises `Rejected` and `StorageTrouble`."""
        if self._local is None:
            return await super().set_policy(definition, tool, state)
        return await self._local.set(definition.id, tool, state)

    def check_policy(self, definition: ServerDefinition, tool: str, *, once: bool) -> None:
        """Raises `PolicyRefused`: nobody else looks at these policies."""
        if self._local is not None:
            self._local.check(definition.id, definition.title, tool, once=once)

    def allowed_once(self, definition: ServerDefinition, tool: ToolInfo) -> AbstractAsyncContextManager[None]:
        """Within this, `check_policy` has let the call pass; nothing is changed for it."""
        return super().allowed_once(definition, tool) if self._local is None else _nothing_to_raise()


@asynccontextmanager
async def _nothing_to_raise() -> AsyncIterator[None]:
    yield


def kept_name(tool: str) -> str:
    """The name that a tool's policy is kept under. Settings hold no half of a surrogate pair."""
    return tool if tool.isascii() else LONE_SURROGATE.sub("\ufffd", tool)


def _states(kept: object) -> dict[str, ApprovalState]:
    """The entries of a record. A state of another version of Burrow counts as Ask."""
    if not isinstance(kept, dict):
        return {}
    return {name: cast("ApprovalState", state) if state in STATES else ASK for name, state in kept.items()}
