"""Carries out the workspace's queued cloud runs with an agent that speaks the Agent Client Protocol.

`queue.Runner` picks runs, `run.CarriedRun` is the life of one, `agent_session` speaks to the agent, `journal` makes the
live events and the stored log of what happens, `work_folder` has the clone. Loaded after the workspace is ready, so
that it starts as fast as before.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from app.workspace.runtime.import_thread import in_thread

if TYPE_CHECKING:
    from app.workspace.runtime.context import Workspace


async def after_ready(workspace: Workspace) -> None:
    """Carry out runs until the workspace stops. The first requests do not wait for the import."""
    if workspace.settings.most_runs:
        queue = await in_thread(lambda: importlib.import_module("app.workspace.runner.queue"))
        await queue.Runner(workspace).carry_out()
