"""SetupLog: where it is told how a worktree is made ready; the log of a run is one."""

from __future__ import annotations

from typing import Protocol


class SetupLog(Protocol):
    """Takes notifications of JSON-RPC."""

    def notify(self, method: str, **params: object) -> None:
        """Add a notification with these parameters."""
