"""Opens the conversation with a run of PostHog, or of the workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.core.backend import Backend
    from app.core.posthog.types import Task, TaskRun
    from app.ui.tasks.run_pool import OpenedConversation


def open_conversation(backend: Backend, task: Task, run: TaskRun) -> OpenedConversation:
    """The conversation with a run."""
    raise NotImplementedError
