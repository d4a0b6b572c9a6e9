"""What the window offers for each kind of server. Everything else asks here, by the server's definition."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.core.mcp.servers.definitions import HostEndpoint, HttpServer, InstalledServer
from app.core.mcp.servers.server import ServerState
from app.ui.servers.policy import Policy
from app.ui.servers.wording import auth_words, shown_name, tr
from app.ui.translation import marked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.mcp.servers.definitions import OwnServer
    from app.core.mcp.servers.server import Server
    from app.core.posthog.types import Installation

# The words of the button that connects a server, by its state.
INSTALLED: Mapping[ServerState, str] = {
    ServerState.SIGN_IN: marked("Servers", "Finish connecting"),
    ServerState.RECONNECT: marked("Servers", "Reconnect"),
}
OWN: Mapping[ServerState, str] = {
    ServerState.SIGN_IN: marked("Servers", "Sign in"),
    ServerState.RECONNECT: marked("Servers", "Sign in again"),
}


class ServerKind(NamedTuple):
    """`enabled` is None for a server that cannot be switched off. `connect` is empty when there is nothing to connect.

    `removal` says what removing does, empty for a server that cannot be removed. `unset_policy` is that of a tool
    without one; `raised_for_calls` says whether others may call a tool too while it is allowed for one call. `signs_in`
    says whether it can be signed in to again at any time. `facts` are labels and values.
    """

    connect: str = ""
    connect_title: str = ""
    connect_text: str = ""
    enabled: bool | None = None
    removal: str = ""
    unset_policy: Policy = Policy.ASK
    raised_for_calls: bool = False
    signs_in: bool = False
    facts: tuple[tuple[str, str], ...] = ()


def kind_of(server: Server) -> ServerKind:
    """What can be done with a server as it is now."""
    match server.definition:
        case InstalledServer(installation):
            return _installed(installation, server.state)
        case HostEndpoint():
            return ServerKind(unset_policy=Policy.ALLOW, facts=((tr("Authentication"), tr("Your account")),))
        case own:
            return _own(own, server.state)


def installation_of(server: Server) -> Installation | None:
    """What the MCP store keeps of it."""
    return server.definition.installation if isinstance(server.definition, InstalledServer) else None


def _installed(kept: Installation, state: ServerState) -> ServerKind:
    unfinished = state is ServerState.SIGN_IN
    shared = tr("The team") if kept.scope == "shared" else tr("Only you")
    return ServerKind(
        connect=tr(INSTALLED[state]) if state in INSTALLED else "",
        connect_title=tr("Not connected yet") if unfinished else tr("The sign-in has ended"),
        connect_text=tr("Its tools are listed after you allow the connection in your browser."),
        enabled=kept.is_enabled,
        removal=tr("Agents can no longer use it. The policies of its tools are deleted."),
        raised_for_calls=True,
        signs_in=kept.auth_type == "oauth",
        facts=((tr("Authentication"), auth_words(kept.auth_type)), (tr("Installed for"), shared)),
    )


def _own(own: OwnServer, state: ServerState) -> ServerKind:
    known, can_sign_in = own.authorization, isinstance(own, HttpServer)
    how = tr("None yet") if can_sign_in else tr("None")
    if known is not None:
        how = tr("Its own sign-in, at {0}").format(known.key.issuer)
    return ServerKind(
        connect=tr(OWN[state]) if can_sign_in and state in OWN else "",
        connect_title=tr("{0} asks you to sign in").format(shown_name(own.title)),
        connect_text=tr("Your browser opens. The sign-in is for this server only."),
        removal=tr("Burrow removes it with the policies of its tools, and signs out of it.")
        if known is not None
        else tr("Burrow removes it with the policies of its tools."),
        unset_policy=Policy.ALLOW,
        signs_in=known is not None,
        facts=(
            (tr("Authentication"), how),
            (tr("Transport"), own.transport_name),
            (tr("Added on"), tr("This computer, for every account")),
        ),
    )
