"""StoreSource: the servers that the account installed in the host's MCP store, and the policies of their tools.

The only part that knows installations. Their servers are reached through the host's proxy, which opens with the
account's token and puts a vendor's credential in its place (docs/wire.md, "MCP store", "Installation proxy").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from app.core.auth.http.target import CredentialAtStake, Target
from app.core.errors import Facts, PolicyRefused, VendorSignInNeeded
from app.core.mcp.servers.account import AccountSource
from app.core.mcp.servers.definitions import InstalledServer
from app.core.mcp.servers.server import NOT_SIGNED_IN, ServerState, installation_state
from app.core.mcp.servers.source import Route
from app.core.posthog.types import Installation
from app.core.urls import normalized, origin_of

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from app.core.mcp.servers.account import McpAccount
    from app.core.mcp.servers.definitions import ServerDefinition
    from app.core.mcp.servers.single_calls import SingleCalls
    from app.core.mcp.tools import ToolInfo
    from app.core.posthog.types import ApprovalState, StoreTool

NEEDS_APPROVAL = "needs_approval"
PROXY = "proxy_url"


class StoreEndpoints(Protocol):
    """The MCP store's endpoints (`app.core.posthog.store`)."""

    async def installations(self) -> tuple[Installation, ...]: ...

    async def tools(self, installation_id: str) -> tuple[StoreTool, ...]: ...

    async def set_policy(self, installation_id: str, tool: str, state: Any) -> StoreTool: ...

    async def refresh_tools(self, installation_id: str) -> tuple[StoreTool, ...]: ...

    def proxy_path(self, installation_id: str) -> str: ...


class StoreSource(AccountSource):
    """The installations of one account and project."""

    name = "store"

    def __init__(self, account: McpAccount, store: StoreEndpoints, single_calls: SingleCalls | None = None) -> None:
        """Without `single_calls`, no tool can be allowed for one call only."""
        super().__init__(account)
        self._store = store
        self._single_calls = single_calls

    async def definitions(self) -> tuple[ServerDefinition, ...]:
        """Every installation but one of the host's own endpoint, which is listed already."""
        own = self.account.host.mcp_url
        installations = await self._store.installations()
        return tuple(InstalledServer(one) for one in installations if own is None or not _same_place(one.url, own))

    def record_of(self, definition: ServerDefinition) -> dict[str, Any]:
        """All but times, which JSON does not have, and the way to it, which is the host's to tell at each start."""
        kept = msgspec.structs.asdict(_installation(definition))
        return {name: value for name, value in kept.items() if not name.endswith("_at") and name != PROXY}

    def definition_of(self, record: object) -> ServerDefinition | None:
        """What `record_of` made. Without the address of the proxy: a workspace has another one at each start."""
        try:
            found = msgspec.convert(record, Installation)
        except msgspec.ValidationError:
            return None
        return InstalledServer(msgspec.structs.replace(found, proxy_url=""))

    def state_of(self, definition: ServerDefinition) -> ServerState:
        """What the store knows of its sign-in."""
        return installation_state(_installation(definition))

    def tool_count_of(self, definition: ServerDefinition) -> int | None:
        """How many the store knows of."""
        return _installation(definition).tool_count

    def address(self, definition: ServerDefinition) -> str:
        """The address of the host's proxy."""
        installation = _installation(definition)
        return installation.proxy_url or self.account.host.origin + self._store.proxy_path(installation.id)

    async def route(self, definition: ServerDefinition) -> Route:
        """Through the proxy. Raises `PolicyRefused` while it is off, `VendorSignInNeeded` before its sign-in."""
        from app.core.mcp.protocol.http_transport import StreamableHttpTransport

        match self.state_of(definition):
            case ServerState.DISABLED:
                raise PolicyRefused(f"{definition.title} is switched off.", action="Switch it on to use its tools.")
            case ServerState.SIGN_IN:
                words = f"Connecting {definition.title} was not finished."
                raise VendorSignInNeeded(words, Facts(code=NOT_SIGNED_IN), action="Finish connecting it.")
            case _:
                pass
        url = self.allowed(self.address(definition), definition.title)
        target = Target(
            frozenset({origin_of(url)}),
            CredentialAtStake.VENDOR_BEHIND,
            jsonrpc=True,
            name=definition.title,
            credential=self.account.key,
        )
        auth = self.account.credential.auth(target)
        return Route(StreamableHttpTransport(url, auth, self.headers), target, self.account.credential)

    async def policies(self, definition: ServerDefinition) -> tuple[StoreTool, ...]:
        """The tools as the store knows them, with the policies that the user decided on."""
        return await self._as_decided(definition, await self._store.tools(_installation(definition).id))

    async def sync_policies(self, definition: ServerDefinition) -> tuple[StoreTool, ...]:
        """The same after the store has asked the server."""
        return await self._as_decided(definition, await self._store.refresh_tools(_installation(definition).id))

    async def set_policy(self, definition: ServerDefinition, tool: str, state: str) -> StoreTool:
        """Set a tool's approval state in the store."""
        installation = _installation(definition)
        if self._single_calls is None:
            return await self._store.set_policy(installation.id, tool, state)
        return await self._single_calls.decide(installation.id, tool, cast("ApprovalState", state))

    def allowed_once(self, definition: ServerDefinition, tool: ToolInfo) -> AbstractAsyncContextManager[None]:
        """Within this, the tool is allowed in the store."""
        if self._single_calls is None:
            return super().allowed_once(definition, tool)
        return self._single_calls.allowed(_installation(definition).id, tool.name, tool.policy or NEEDS_APPROVAL)

    async def _as_decided(self, definition: ServerDefinition, tools: tuple[StoreTool, ...]) -> tuple[StoreTool, ...]:
        if self._single_calls is None:
            return tools
        return await self._single_calls.as_decided(_installation(definition).id, tools)


def _installation(definition: ServerDefinition) -> Installation:
    assert isinstance(definition, InstalledServer)
    return definition.installation


def _same_place(one: str, other: str) -> bool:
    """Whether two addresses differ in nothing but a slash at their end."""
    try:
        return normalized(one).rstrip("/") == normalized(other).rstrip("/")
    except ValueError:
        return one == other
