"""The states of MCP servers as people see them, in every place that shows servers. No widgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.mcp.servers.server import ServerState
from app.ui.theme.state import State
from app.ui.translation import marked

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVER_STATES: Mapping[ServerState, State] = {
    ServerState.READY: State("dot", ServerState.READY.value, "good"),
    ServerState.SIGN_IN: State("dashed", ServerState.SIGN_IN.value, "attention"),
    ServerState.RECONNECT: State("warning", ServerState.RECONNECT.value, "attention"),
    ServerState.DISABLED: State("ring", ServerState.DISABLED.value, "muted"),
    ServerState.TROUBLE: State("cross", ServerState.TROUBLE.value, "bad"),
    ServerState.UNKNOWN: State("question", ServerState.UNKNOWN.value, "muted"),
}
"""The words untranslated."""
# lupdate does not read the core, so it finds the words of `ServerState` here.
_WORDS = (
    marked("State", "Ready"),
    marked("State", "Sign-in needed"),
    marked("State", "Reconnect"),
    marked("State", "Off"),
    marked("State", "Error"),
    marked("State", "Not checked"),
)
