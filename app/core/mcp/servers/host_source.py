"""HostSource: the MCP endpoint of the host that the user is signed in to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.auth.http.target import Target
from app.core.mcp.servers.account import AccountSource
from app.core.mcp.servers.definitions import HostEndpoint
from app.core.mcp.servers.local_policies import LocalPolicySource
from app.core.mcp.servers.source import Route
from app.core.urls import origin_of

if TYPE_CHECKING:
    from app.core.mcp.servers.account import McpAccount
    from app.core.mcp.servers.definitions import ServerDefinition
    from app.core.mcp.servers.local_policies import LocalPolicies


class HostSource(LocalPolicySource, AccountSource):
    """At most one server. The policies of its tools are kept on this machine, for every account."""

    name = "host"
    quick = True

    def __init__(self, account: McpAccount, policies: LocalPolicies | None = None) -> None:
        """Without `policies` none are kept."""
        super().__init__(account)
        self.keep_policies_in(policies)

    async def definitions(self) -> tuple[ServerDefinition, ...]:
        """The endpoint, where the host has one."""
        host = self.account.host
        if host.mcp_url is None:
            return ()
        # PostHog's own endpoint has a host of its own; one on the host's own origin is a workspace's.
        workspace = host.embedded or origin_of(host.mcp_url) == host.origin
        title = "Workspace" if workspace else "PostHog"
        return (HostEndpoint(title.lower(), title, host.mcp_url),)

    async def route(self, definition: ServerDefinition) -> Route:
        """With the account's own token, which it may complain about in results too (docs/wire.md, "Dead tokens")."""
        from app.core.mcp.protocol.http_transport import StreamableHttpTransport

        url = self.allowed(definition.address, definition.title)
        target = Target(
            frozenset({origin_of(url)}),
            jsonrpc=True,
            reports_own_auth=True,
            name=definition.title,
            credential=self.account.key,
        )
        auth = self.account.credential.auth(target)
        return Route(StreamableHttpTransport(url, auth, self.headers), target, self.account.credential)
