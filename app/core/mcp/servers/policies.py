"""The tools of a server with what is kept of their policies (docs/wire.md, "Tools and approval states")."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.core.mcp.tools import ToolInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.core.posthog.types import StoreTool


@dataclass(frozen=True)
class KeptPolicies:
    """The approval states of a server's tools by name, and the state of every other tool.

    `listed` are the names of its tools, as far as its list was read. `local`: they are kept on this machine. `locked`
    are the names of those whose state the team has set.
    """

    states: Mapping[str, str]
    unset: str
    listed: frozenset[str] = frozenset()
    local: bool = False
    locked: frozenset[str] = frozenset()


def merge_policy(
    tools: Iterable[ToolInfo], stored: Iterable[StoreTool], unset: str | None = None
) -> tuple[ToolInfo, ...]:
    """The rows with their effective approval states.

    `unset` is the state of a tool that is not among all that is `stored`, of a server whose policies are kept on this
    machine: a row in that state has none.
    """
    by_name = {tool.tool_name: tool for tool in stored if tool.removed_at is None}
    merged = []
    for tool in tools:
        kept = by_name.get(tool.name)
        if kept is not None and kept.approval_state != unset:
            merged.append(replace(tool, policy=kept.approval_state, locked=kept.locked))
        else:
            merged.append(tool if unset is None else replace(tool, policy=None, locked=False))
    return tuple(merged)


def from_store(stored: Iterable[StoreTool]) -> tuple[ToolInfo, ...]:
    """Rows from the store alone, for a server that cannot be asked now."""
    return tuple(
        ToolInfo(
            name=tool.tool_name,
            title=tool.display_name if tool.display_name != tool.tool_name else "",
            description=tool.description,
            input_schema=tool.input_schema,
            policy=tool.approval_state,
            locked=tool.locked,
            raw={"name": tool.tool_name, "description": tool.description, "inputSchema": tool.input_schema},
            row=number,
        )
        for number, tool in enumerate(tool for tool in stored if tool.removed_at is None)
    )
