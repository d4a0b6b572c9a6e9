"""AccountSource: what the two sources of a signed-in account have in common."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from app.core.errors import ProtocolTrouble, Rejected
from app.core.mcp.servers.source import Listed, ServerSource
from app.core.urls import origin_if_any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from app.core.auth.key import CredentialKey
    from app.core.hosts import Host
    from app.core.mcp.protocol.sign_in_gate import CredentialSource
    from app.core.storage.values import Scope

CLIENT_NAME = "burrow"


@dataclass(frozen=True, eq=False)
class McpAccount:
    """Who is signed in to which host, for the sources of that account.

    `scope` answers whose cached lists to use, None for nobody's; `project` the project chosen. `admit` waits until it
    is certain who is signed in, and raises when that is not the account it is given.
    """

    host: Host
    credential: CredentialSource
    scope: Callable[[], Scope | None] = lambda: None
    project: Callable[[], int | None] = lambda: None
    admit: Callable[[Scope | None], Awaitable[object]] | None = None
    key: CredentialKey | None = None


class AccountSource(ServerSource):
    """Servers that are reached with the account's own token."""

    def __init__(self, account: McpAccount) -> None:
        super().__init__()
        self.account = account

    def whose(self) -> Listed:
        """The account and its project."""
        return Listed(self.account.scope(), self.account.project())

    def admission(self) -> Callable[[], Awaitable[object]] | None:
        """Waits until it is certain that the account shown now is the one that is signed in."""
        admit, scope = self.account.admit, self.account.scope()
        return None if admit is None else partial(admit, scope)

    def allowed(self, url: str, title: str) -> str:
        """`url` if the account's token may go there (docs/wire.md, "Hosts and origins"). Raises `Rejected`."""
        origin = origin_if_any(url)
        if origin is None:
            raise ProtocolTrouble(f"{self.account.host.name} names an address for {title} that cannot be used.")
        if origin not in self.account.host.token_origins:
            raise Rejected(f"{title} is reached through {origin}, which is not part of this host.")
        return url

    def headers(self) -> Mapping[str, str]:
        """What PostHog's endpoints are told besides: who asks, and for which project."""
        headers = {"x-posthog-mcp-consumer": CLIENT_NAME}
        project = self.account.project()
        if project is not None:
            headers["x-posthog-project-id"] = str(project)
        return headers
