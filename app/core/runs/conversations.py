"""Opening the conversation with the agent of a run in the cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.errors import NotFound
from app.core.posthog.run_options import going_on
from app.core.posthog.runs import Runs
from app.core.runs.conversation import Conversation
from app.core.runs.follower import RunFollower
from app.core.runs.kept_stops import KeptStops

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app.core.backend import Backend
    from app.core.posthog.run_files import RunFile
    from app.core.posthog.store import McpStore
    from app.core.posthog.types import TaskRun
    from app.core.storage import Scope

# The place of what transcripts do not keep in memory, in the data folder.
SPILL_FOLDER = "run-logs"


def open_conversation(backend: Backend, scope: Scope, task: str, run_id: str, *, folder: Path | None) -> Conversation:
    """The conversation of a task's run, of the current project. `folder` is the data folder.

    Its owner runs `Conversation.run` in a task, and at the end closes its `follower`. Raises `NotFound` without a
    project.
    """
    project = backend.require_project()
    runs = Runs(backend.fetcher, lambda: project)

    async def go_on(run: TaskRun, text: str, files: Sequence[RunFile]) -> TaskRun:
        started = await backend.run_start.start(await backend.tasks.get(task), going_on(run, text), files)
        if started.latest_run is None:
            raise NotFound("The new run is not there.")
        return started.latest_run

    async def approve(server: str, tool: str) -> None:
        await approve_tool(backend.store, server, tool)

    stops = KeptStops(backend.storage.stops, scope, task)
    follower = RunFollower(runs, task, run_id, folder=None if folder is None else folder / SPILL_FOLDER, stops=stops)
    return Conversation(
        follower,
        runs,
        backend.storage.follow_ups,
        scope,
        go_on=go_on,
        attachments=backend.storage.attachments,
        admit=backend.admit,
        approve_tool=approve,
    )


async def approve_tool(store: McpStore, server: str, tool: str) -> None:
    """Allow a tool of an installed MCP server for good. A server that is not installed has no policy to change."""
    wanted = _word(server)
    for installation in await store.installations():
        if wanted in {_word(installation.name), _word(installation.display_name)}:
            await store.set_policy(installation.id, tool, "approved")
            return


def _word(name: str) -> str:
    """A server's name as agents write it in the names of tools."""
    return "".join(letter if letter.isalnum() else "-" for letter in name.casefold()).strip("-")
