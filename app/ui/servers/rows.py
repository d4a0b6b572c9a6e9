"""The rows of the lists of servers, of available servers and of tools."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.marks import revealed_name
from app.ui.servers.policy import policy_state
from app.ui.servers.wording import (
    OTHER_AREA,
    CallState,
    areas,
    auth_words,
    call_state,
    category_of,
    claim_of,
    first_line,
    searched,
    server_name,
    shown_name,
    state_of,
    tools_counted,
    tr,
)
from app.ui.widgets.rows import Group, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.core.mcp.servers.server import Server
    from app.core.mcp.tools import ToolInfo
    from app.core.posthog.types import ServerTemplate

# So many tools are grouped by area; fewer are seen at a glance.
GROUPED_FROM = 21
# Nobody reads more of it in a row, and eliding a long text for each row takes time.
SHOWN_DESCRIPTION = 160


def server_row(server: Server, *, waiting: bool = False) -> Row:
    """Title, state and number of tools. `waiting`: a call of one of its tools waits for the sign-in."""
    state = call_state(CallState.WAITING) if waiting else state_of(server)
    # The store counts 0 tools for a server that it has not asked yet.
    count = tools_counted(server.tool_count or None)
    name = server_name(server)
    parts = (name, state.word, count)
    return Row(
        server.id,
        name,
        count,
        state,
        accessible=", ".join(part for part in parts if part),
        tooltip="\n".join(revealed_name(part) for part in (server.url, server.trouble or "") if part),
    )


def template_row(template: ServerTemplate) -> Row:
    """Title, authentication and description."""
    auth = auth_words(template.auth_type)
    detail = f"{auth}  ·  {shown_name(first_line(template.description))}" if template.description else auth
    return Row(template.id, shown_name(template.name or template.url), detail, tooltip=revealed_name(template.url))


def template_groups(templates: Iterable[ServerTemplate], needle: str, category: str) -> list[Group]:
    """The templates that contain every word of `needle` in name, description or address, by category."""
    words = needle.casefold().split()
    found: dict[str, list[Row]] = {}
    for template in templates:
        if category and template.category != category:
            continue
        text = f"{template.name}\n{template.description}\n{template.url}".casefold()
        if all(word in text for word in words):
            found.setdefault(category_of(template), []).append(template_row(template))
    return [Group(name, name, tuple(found[name])) for name in sorted(found)]


@dataclass(frozen=True)
class _IndexedTool:
    tool: ToolInfo
    row: Row
    searched: str
    area: str


class ToolIndex:
    """A server's tools, prepared for searching: what does not depend on the search is computed once."""

    def __init__(self, tools: Sequence[ToolInfo] = ()) -> None:
        self.tools = tuple(tools)
        named = areas([tool.name for tool in tools]) if len(tools) >= GROUPED_FROM else [""] * len(tools)
        alike = Counter(_looks(tool.label) for tool in tools)
        self._tools = [
            _IndexedTool(tool, tool_row(tool, named=alike[_looks(tool.label)] > 1), searched(tool), area)
            for tool, area in zip(tools, named, strict=True)
        ]
        self._by_key = {known.row.key: known.tool for known in self._tools}

    def get(self, key: str) -> ToolInfo | None:
        """The tool of a row."""
        return self._by_key.get(key)

    def groups(self, needle: str = "", waiting: frozenset[str] = frozenset()) -> list[Group]:
        """The tools that contain every word of `needle`, by area where there are many tools.

        `waiting` are the keys of those whose call waits for the sign-in.
        """
        words = needle.casefold().split()
        found: dict[str, list[Row]] = {}
        for known in self._tools:
            if all(word in known.searched for word in words):
                row = _waiting_row(known.row) if known.row.key in waiting else known.row
                found.setdefault(known.area, []).append(row)
        order = sorted(found, key=lambda area: (area == OTHER_AREA, area))
        return [Group(f"area:{area}" if area else "", area, tuple(found[area])) for area in order]


def key_of(tool: ToolInfo) -> str:
    """The key of a tool's row. Names are not unique."""
    return f"{tool.row}:{tool.name}"


def _looks(label: str) -> str:
    """Equal for labels that a person would take for one another (Unicode NFKC, without case)."""
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())


def tool_row(tool: ToolInfo, *, named: bool = False) -> Row:
    """Title, claims, description and policy. `named`: with its name, because another tool has the same title."""
    claim = claim_of(tool)
    name = revealed_name(tool.name)
    label = f"{tool.label}  ({name})" if named and name not in {"", tool.label} else tool.label
    words = tool.problem or shown_name(first_line(tool.description)[:SHOWN_DESCRIPTION])
    detail = "  ·  ".join(part for part in (claim, words) if part)
    policy = policy_state(tool.policy) if tool.policy is not None and tool.problem is None else None
    locked = tr("locked by the team") if tool.locked else ""
    spoken = (label, policy.word if policy else "", locked, claim, tool.problem or "")
    return Row(
        key_of(tool),
        label,
        detail,
        side=policy,
        struck=tool.problem is not None,
        trailing=tr("locked") if tool.locked else "",
        accessible=", ".join(part for part in spoken if part),
        tooltip=tool.problem or (name if tool.title else ""),
    )


def _waiting_row(row: Row) -> Row:
    state = call_state(CallState.WAITING)
    return replace(row, state=state, accessible=f"{row.spoken()}, {state.word}")
