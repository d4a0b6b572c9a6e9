"""What the workspace's MCP endpoint keeps in memory: its fault switches and what its clients are doing."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class ToolFailure:
    """The next `times` tool calls fail as if the API had refused the forwarded token.

    `shape` is `error` (a JSON-RPC error) or `result` (a result with `isError`).
    """

    times: int = 0
    shape: str = "error"


@dataclass
class McpState:
    """One per running workspace. `listeners` are the client addresses of open listen streams."""

    tool_failure: ToolFailure = field(default_factory=ToolFailure)
    bind_sessions_to_token: bool = False
    extra_tool: bool = False
    reports_running: int = 0
    reports_cancelled: int = 0
    listeners: set[tuple[str, int]] = field(default_factory=set)

    def reset(self) -> None:
        """Turn the fault switches off. The extra tool is not one of them, because listeners must be notified."""
        self.tool_failure = ToolFailure()
        self.bind_sessions_to_token = False
