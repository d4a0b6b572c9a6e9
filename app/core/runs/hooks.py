"""What a conversation asks of whoever opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from app.core.fetcher import Admission
    from app.core.posthog.run_files import RunFile
    from app.core.posthog.types import TaskRun
    from app.core.storage import Scope

GoOn: TypeAlias = "Callable[[TaskRun, str, Sequence[RunFile]], Awaitable[TaskRun]]"
"""Start a run that goes on from one that has ended, with a message and files."""
Admit: TypeAlias = "Callable[[Scope], Awaitable[Admission]]"
"""Raises `SignInNeeded` unless it is sure that this account is signed in (`Backend.admit`)."""
ApproveTool: TypeAlias = "Callable[[str, str], Awaitable[None]]"
"""Allow a tool of an MCP server for good. Both are named as agents name them."""
