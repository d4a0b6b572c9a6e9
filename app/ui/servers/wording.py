"""Servers, tools and templates in words: claims, areas, categories. No widgets.

What a server says of its tools are hints (MCP, "Tool annotations"), so every word about them is a claim.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from app.ui.theme.state import State, server_state

if TYPE_CHECKING:
    from app.core.mcp.types import Server, ToolInfo
    from app.core.posthog.types import Template

CATEGORIES = {
    "business": "Business",
    "data": "Data",
    "design": "Design",
    "dev": "Development",
    "infra": "Infrastructure",
    "productivity": "Productivity",
}
AUTH = {"oauth": "OAuth", "api_key": "API key"}
POLICY_WORDS = {"approved": "Allow", "needs_approval": "Ask", "do_not_use": "Block"}
OTHER_AREA = "Other"
PARTS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])|[^\W_a-zA-Z0-9]+")


def state_of(server: Server) -> State:
    """Glyph, word and tone of a server's state."""
    return server_state(server.state.name)


def claim_of(tool: ToolInfo) -> str:
    """The gravest thing a tool's server claims of it; empty when it claims nothing."""
    hints = tool.annotations
    if hints.destructive is True and hints.read_only is not True:
        return "says it may destroy"
    if hints.read_only is True:
        return "says it only reads"
    if hints.read_only is False:
        return "says it writes"
    return ""


def claims_of(tool: ToolInfo) -> list[State]:
    """Everything claimed of a tool, each as glyph and words."""
    hints = tool.annotations
    found = []
    if hints.read_only is True:
        found.append(State("eye", "says it only reads", "good"))
    elif hints.read_only is False:
        found.append(State("edit", "says it writes", "attention"))
    else:
        found.append(State("question", "does not say whether it writes", "muted"))
    if hints.destructive is True and hints.read_only is not True:
        found.append(State("warning", "says it may destroy", "bad"))
    if hints.destructive is False and hints.read_only is not True:
        found.append(State("plus", "says it only adds", "muted"))
    if hints.idempotent is True and hints.read_only is not True:
        found.append(State("refresh", "says that repeating it does no more", "muted"))
    if hints.open_world is True:
        found.append(State("external", "says it reaches outside systems", "muted"))
    return found


def first_line(text: str) -> str:
    """The first line that says something, without line breaks."""
    return next((" ".join(line.split()) for line in text.splitlines() if line.strip()), "")


def searched(tool: ToolInfo) -> str:
    """What a search looks through: name, title, description and the names of the arguments."""
    properties = tool.input_schema.get("properties")
    names = [str(name) for name in properties] if isinstance(properties, dict) else []
    return "\n".join((tool.name, tool.title, tool.description, *names)).casefold()


def areas(names: list[str]) -> list[str]:
    """The area of each name: its first word that the names do not all share; single names go to the last area."""
    split = [PARTS.findall(name) for name in names]
    shared = 0
    while split and all(len(parts) > shared + 1 for parts in split) and len({p[shared].lower() for p in split}) == 1:
        shared += 1
    firsts = [parts[shared].lower() if len(parts) > shared + 1 else "" for parts in split]
    return [first if first and firsts.count(first) > 1 else OTHER_AREA for first in firsts]


def auth_words(auth_type: str) -> str:
    """How a server signs in, in two words."""
    return AUTH.get(auth_type, auth_type)


def category_of(template: Template) -> str:
    """The heading a template stands under."""
    return CATEGORIES.get(template.category or "", (template.category or OTHER_AREA).capitalize())


def tools_counted(count: int | None) -> str:
    """`12 tools`; empty when it is not known."""
    if count is None:
        return ""
    return "1 tool" if count == 1 else f"{count} tools"
