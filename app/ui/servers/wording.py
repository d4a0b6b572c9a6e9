"""The words for servers, tools and templates: states, claims, areas, categories. No widgets.

The tables hold the words untranslated; the functions translate them (context `Servers`). The annotations of a tool are
hints (MCP, "Tool annotations"), so they are worded as claims of its server.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.core.mcp.servers.definitions import HostEndpoint, InstalledServer
from app.marks import isolated, revealed_name
from app.ui.server_states import SERVER_STATES
from app.ui.servers.policy import policy_state
from app.ui.theme.state import State, translated
from app.ui.translation import marked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.mcp.servers.server import Server
    from app.core.mcp.tools import ToolInfo
    from app.core.posthog.types import ServerTemplate


class CallState(Enum):
    """The state of a call, shown beside its result."""

    RUNNING = "running"
    DONE = "done"
    TOOL_ERROR = "tool error"
    PROTOCOL_ERROR = "protocol error"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    WAITING = "waiting"


CALL_STATES: Mapping[CallState, State] = {
    CallState.RUNNING: State("play", marked("State", "Running"), "accent"),
    CallState.DONE: State("check", marked("State", "Done"), "good"),
    CallState.TOOL_ERROR: State("warning", marked("State", "Tool error"), "attention"),
    CallState.PROTOCOL_ERROR: State("cross", marked("State", "Protocol error"), "bad"),
    CallState.CANCELLED: State("cancelled", marked("State", "Cancelled"), "muted"),
    CallState.UNKNOWN: State("question", marked("State", "Outcome unknown"), "attention"),
    CallState.WAITING: State("clock", marked("State", "Waiting for sign-in"), "attention"),
}
CATEGORIES = {
    "business": "Business",
    "data": "Data",
    "design": "Design",
    "dev": "Development",
    "infra": "Infrastructure",
    "productivity": "Productivity",
}
AUTH = {"oauth": "OAuth", "api_key": "API key"}
OTHER_AREA = "Other"
# In characters. A first line that begins later, or is longer, is not worth the time for each row.
LOOKED_AT = 4_000
# The words of a name in camelCase, snake_case or kebab-case.
PARTS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])|[^\W_a-zA-Z0-9]+")


def state_of(server: Server) -> State:
    """Glyph, word and tone of a server's state."""
    return translated(SERVER_STATES[server.state])


def server_name(server: Server) -> str:
    """What a server is called, with marks for characters that cannot be seen."""
    return shown_name(server.title)


def shown_name(name: str) -> str:
    """A name from outside as it is shown: one name does not look like another, and reorders nothing beside it."""
    return isolated(revealed_name(name))


def is_own(server: Server) -> bool:
    """Whether the user added it on this machine."""
    return not isinstance(server.definition, HostEndpoint | InstalledServer)


def call_state(state: CallState) -> State:
    """Glyph, word and tone of a call's state."""
    return translated(CALL_STATES[state])


def claim_of(tool: ToolInfo) -> str:
    """The most serious claim about a tool; empty when there is none."""
    hints = tool.annotations
    if hints.may_destroy:
        return destroys_words()
    if hints.read_only is True:
        return tr("says it only reads")
    if hints.read_only is False:
        return tr("says it writes")
    return ""


def destroys_words() -> str:
    """The claim of a tool that may destroy."""
    return tr("says it may destroy data")


def claims_of(tool: ToolInfo) -> list[State]:
    """Every claim about a tool, each as glyph and words."""
    hints = tool.annotations
    found = []
    if hints.read_only is True:
        found.append(State("eye", tr("says it only reads"), "good"))
    elif hints.read_only is False:
        found.append(State("edit", tr("says it writes"), "attention"))
    else:
        found.append(State("question", tr("does not say whether it writes"), "muted"))
    if hints.may_destroy:
        found.append(State("warning", destroys_words(), "bad"))
    if hints.destructive is False and hints.read_only is not True:
        found.append(State("plus", tr("says it only adds"), "muted"))
    if hints.idempotent is True and hints.read_only is not True:
        found.append(State("refresh", tr("says it can be repeated safely"), "muted"))
    if hints.open_world is True:
        found.append(State("external", tr("says it reaches external systems"), "muted"))
    return found


def first_line(text: str) -> str:
    """The first line that is not empty."""
    return next((" ".join(line.split()) for line in text[:LOOKED_AT].splitlines() if line.strip()), "")


def searched(tool: ToolInfo) -> str:
    """The text that a search looks through: name, title, description and argument names."""
    properties = tool.input_schema.get("properties")
    names = [str(name) for name in properties] if isinstance(properties, dict) else []
    return "\n".join((tool.name, tool.title, tool.description, *names)).casefold()


def areas(names: list[str]) -> list[str]:
    """The area of each name: its first word after those that all names share. Single names share the last area."""
    split = [PARTS.findall(name) for name in names]
    shared = 0
    while split and all(len(parts) > shared + 1 for parts in split) and len({p[shared].lower() for p in split}) == 1:
        shared += 1
    firsts = [parts[shared].lower() if len(parts) > shared + 1 else "" for parts in split]
    return [first if first and firsts.count(first) > 1 else OTHER_AREA for first in firsts]


def auth_words(auth_type: str) -> str:
    """How a server authenticates."""
    return tr(AUTH[auth_type]) if auth_type in AUTH else auth_type


def category_of(template: ServerTemplate) -> str:
    """The category of a template, as a heading."""
    return category_words(template.category or "")


def tools_counted(count: int | None) -> str:
    """`12 tools`; empty when the number is unknown."""
    if count is None:
        return ""
    return tr("1 tool") if count == 1 else tr("{0} tools").format(count)


def category_words(category: str) -> str:
    """A category of the store as a heading."""
    return tr(CATEGORIES[category]) if category in CATEGORIES else (category or tr(OTHER_AREA)).capitalize()


def policy_words(state: str) -> str:
    """Allow, Ask or Block."""
    return policy_state(state).word


def tr(text: str) -> str:
    """`text` in the person's language."""
    return QCoreApplication.translate("Servers", text)
