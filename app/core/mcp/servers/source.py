"""ServerSource: who lists servers, says how each is reached, and keeps the policies of its tools.

Those of the window: the host's own endpoint, the host's MCP store, and the servers that the user added on this machine.
The command line also has a source of servers that are named in its arguments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from app.core.errors import Rejected
from app.core.events import Event
from app.core.mcp.servers.server import ServerState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from app.core.auth.http.target import Target
    from app.core.errors import BurrowError
    from app.core.mcp.protocol.exchange import Exchange
    from app.core.mcp.protocol.sign_in_gate import CredentialSource
    from app.core.mcp.protocol.transport import Transport
    from app.core.mcp.servers.definitions import ServerDefinition
    from app.core.mcp.tools import ToolInfo
    from app.core.posthog.types import StoreTool
    from app.core.storage.values import Scope


@dataclass(frozen=True, eq=False)
class Route:
    """How one server is reached: the transport, where its credential may go, and that credential, None for none."""

    transport: Transport
    target: Target
    credential: CredentialSource | None = None


class Listed(NamedTuple):
    """Whose list it is; None stands for what is not known yet, which is no change when it becomes known."""

    scope: Scope | None
    project: int | None = None

    def changed_to(self, now: Listed) -> bool:
        """Whether `now` is the list of another account or project."""
        return any(old is not None and new is not None and old != new for old, new in zip(self, now, strict=True))


class ServerSource(ABC):
    """A source with its defaults. `changed` tells that the list may have changed, `policies_changed` that the policies
    of the server with this id have, which are kept on this machine."""

    name: str
    """Names its lists in the cache; the same at every start."""
    quick: bool = False
    """Whether listing asks nobody, so that a list need not be cached."""
    unset_policy: str | None = None
    """The policy of a tool without an entry, where policies are kept on this machine. None where a store keeps all."""

    def __init__(self) -> None:
        self.changed: Event[None] = Event()
        self.policies_changed: Event[str] = Event()

    @abstractmethod
    def whose(self) -> Listed:
        """Whose list it is now."""

    @abstractmethod
    async def definitions(self) -> tuple[ServerDefinition, ...]:
        """The servers. Raises `BurrowError` when they cannot be listed."""

    @abstractmethod
    async def route(self, definition: ServerDefinition) -> Route:
        """How to reach a server. Raises `BurrowError` when it must not be used or no token may go there."""

    def record_of(self, definition: ServerDefinition) -> dict[str, Any]:
        """A server as JSON values, for the cache of a source that is not `quick`."""
        return {}

    def definition_of(self, record: object) -> ServerDefinition | None:
        """What `record_of` made; None for anything else."""
        return None

    def address(self, definition: ServerDefinition) -> str:
        """Identifies the route to a server. When it changes, the connection is closed and made anew."""
        return definition.address

    def state_of(self, definition: ServerDefinition) -> ServerState:
        """The state that the source knows of without a contact."""
        return ServerState.UNKNOWN

    def tool_count_of(self, definition: ServerDefinition) -> int | None:
        """How many tools the source knows of without a contact."""
        return None

    def admission(self) -> Callable[[], Awaitable[object]] | None:
        """A check to await right before an operation is sent; None where there is nothing to check.

        It waits until the signed-in account is known, and raises `SignInNeeded` if that is not the account that was
        shown when the operation began.
        """
        return None

    async def policies(self, definition: ServerDefinition) -> tuple[StoreTool, ...]:
        """What is stored of its tools; nothing where no policies are kept."""
        return ()

    async def sync_policies(self, definition: ServerDefinition) -> tuple[StoreTool, ...]:
        """The same after the store has asked the server for its tools."""
        return await self.policies(definition)

    async def set_policy(self, definition: ServerDefinition, tool: str, state: str) -> StoreTool:
        """Set a tool's approval state. Raises `Rejected` where no policies are kept."""
        raise Rejected("No policies are kept for this server.", action="Add the server to set one.")

    def check_policy(self, definition: ServerDefinition, tool: str, *, once: bool) -> None:  # noqa: B027 - a store asks
        """Raises `PolicyRefused` for a call that nobody else would refuse; `once` if it was allowed for itself."""

    def allowed_once(self, definition: ServerDefinition, tool: ToolInfo) -> AbstractAsyncContextManager[None]:
        """Within this, a tool whose policy is Ask may be called. Entering raises what keeps it from being allowed."""
        raise Rejected("No policies are kept for this server.")

    def heard(self, definition: ServerDefinition, exchange: Exchange) -> None:  # noqa: B027 - most need not listen
        """One of its servers answered, or did not."""

    async def close(self) -> None:  # noqa: B027 - most hold nothing open
        """Leave nothing open."""

    def explained(self, definition: ServerDefinition, failure: BurrowError) -> BurrowError:
        """The error to raise for one of its servers in place of `failure`."""
        return failure
