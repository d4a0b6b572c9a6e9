"""Server: one row of the list of servers, with what contacts found out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from app.core.auth.http.target import CredentialAtStake
from app.core.errors import (
    PermissionMissing,
    PolicyRefused,
    Rejected,
    SignInNeeded,
    VendorSignInNeeded,
)
from app.core.mcp.servers.definitions import HostEndpoint, HttpServer, InstalledServer

if TYPE_CHECKING:
    from app.core.errors import BurrowError
    from app.core.mcp.servers.definitions import ServerDefinition
    from app.core.posthog.types import Installation


# The code of the error of a server that asks for a sign-in and never had one.
NOT_SIGNED_IN = "not-signed-in"


class ServerState(Enum):
    """The state of a server. The values are the words that people read, in the window and on the command line."""

    READY = "Ready"
    SIGN_IN = "Sign-in needed"
    RECONNECT = "Reconnect"
    DISABLED = "Off"
    TROUBLE = "Error"
    UNKNOWN = "Not checked"


@dataclass(frozen=True)
class Server:
    """A server of the list.

    `tool_count` is None until known. `trouble` holds the server's own words while `state` is not READY. `protocol` is
    the revision agreed on, None before the first connection. `tools_note` says what is odd about its list of tools.
    """

    definition: ServerDefinition
    state: ServerState = ServerState.UNKNOWN
    tool_count: int | None = None
    trouble: str | None = None
    protocol: str | None = None
    tools_note: str = ""

    @property
    def id(self) -> str:
        """Stable between starts."""
        return self.definition.id

    @property
    def title(self) -> str:
        """What people call it."""
        return self.definition.title

    @property
    def description(self) -> str:
        return self.definition.description

    @property
    def url(self) -> str:
        """Its address as a person reads it; of a process, its command."""
        return self.definition.address

    @property
    def at_stake(self) -> CredentialAtStake:
        """Whose credential its failures can be about."""
        match self.definition:
            case InstalledServer():
                return CredentialAtStake.VENDOR_BEHIND
            case HostEndpoint():
                return CredentialAtStake.CARRIED
            case HttpServer(authorization=known) if known is not None:
                return CredentialAtStake.CARRIED
            case _:
                return CredentialAtStake.UNMANAGED

    @property
    def trusted(self) -> bool:
        """Whether what it claims of its tools may decide that a call is sent again.

        That is the host's own endpoint and the servers of its catalogue. Anybody can make a server and call its tools
        harmless.
        """
        match self.definition:
            case HostEndpoint():
                return True
            case InstalledServer(installation):
                return installation.template_id is not None
            case _:
                return False


def installation_state(installation: Installation) -> ServerState:
    """The state that the store knows of: an unfinished sign-in goes before an ended one (docs/wire.md, "MCP store").

    A server that is switched off is neither.
    """
    if not installation.is_enabled:
        return ServerState.DISABLED
    if installation.pending_oauth:
        return ServerState.SIGN_IN
    if installation.needs_reauth:
        return ServerState.RECONNECT
    return ServerState.READY


def state_after(failure: BurrowError) -> ServerState | None:
    """What a failure says about the server as a whole; None when it concerns one request or the person's session."""
    match failure:
        case VendorSignInNeeded() if failure.facts.code == NOT_SIGNED_IN:
            return ServerState.SIGN_IN
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
