"""What `burrow tasks stop` and `say` do with a run that an agent of this machine carries out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.cli.terminal import say
from app.core.errors import BurrowError, Rejected

if TYPE_CHECKING:
    from app.core.posthog.types import TaskRun
    from app.core.runs.desk.local_desk import LocalDesk

WHO = {"window": "a window of Burrow", "command line": "another command"}
LOCAL = "local"


async def end_here(desk: LocalDesk, run: TaskRun) -> None:
    """End a run of this machine. Raises `Rejected` for one that another process or machine carries out."""
    await desk.look()
    own = _own(desk, run, "Stop it there.")
    if desk.run(own).finished:
        say("The run has ended already.")
        return
    await desk.end(own, "cancelled")
    try:
        await desk.write_back(own)
    except BurrowError:
        say("The server does not know it yet. It is told when Burrow is used again.")


async def refuse_to_say(desk: LocalDesk, run: TaskRun) -> None:
    """Raises `Rejected`: an agent of this machine lives as long as the process that has it.

    One of another machine that has ended can be gone on with in the cloud.
    """
    await desk.look()
    if run.finished and not desk.written_for(run.id):
        return
    _own(desk, run, "Write to its agent there.")
    raise Rejected("The agent of this run is not running.", action="Write to it in the window: that starts it again.")


def _own(desk: LocalDesk, run: TaskRun, action: str) -> str:
    own = desk.written_for(run.id)
    if not own:
        raise Rejected("This run is on another machine, or in another data folder.", action=action)
    holder = desk.holder(own)
    if holder is not None:
        who = f"{WHO.get(holder.role, 'another process')} (process {holder.pid})"
        raise Rejected(f"This run is on this machine, and {who} carries it out.", action=action)
    return own
