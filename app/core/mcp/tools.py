"""ToolInfo: one tool of a server's list, with what the server claims about it (MCP `Tool`, `ToolAnnotations`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Annotations:
    """What a server claims about a tool: hints, never facts. None means that it claims nothing."""

    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None

    @property
    def repeatable(self) -> bool:
        """Whether calling twice is claimed to do no more than calling once."""
        return self.read_only is True or self.idempotent is True

    @property
    def may_destroy(self) -> bool:
        """Whether the tool is claimed to destroy. A claim to read only goes before it (MCP, `ToolAnnotations`)."""
        return self.destructive is True and self.read_only is not True


@dataclass(frozen=True)
class ToolInfo:
    """One row of a server's tool list.

    `row` is its place in that list and its identity: names may repeat. `policy` is the effective approval state of the
    MCP store, None where no policy is kept. `problem` says why the row cannot be relied on. `raw` is the server's JSON
    unchanged.
    """

    name: str
    title: str = ""
    description: str = ""
    input_schema: dict[str, Any] = field(default_factory=dict)
    output_schema: dict[str, Any] | None = None
    annotations: Annotations = field(default_factory=Annotations)
    policy: str | None = None
    locked: bool = False
    problem: str | None = None
    raw: dict[str, Any] = field(default_factory=dict)
    row: int = 0

    @property
    def label(self) -> str:
        return self.title or self.name or "(no name)"
