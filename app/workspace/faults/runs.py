"""The switch of runs: starts that are refused, streams that break, agents that cannot be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.workspace.tasks.run_control import RunControl
from app.workspace.tasks.run_faults import (
    LIMIT_TYPES,
    SANDBOX_REFUSALS,
    START_REFUSALS,
    STREAM_REFUSALS,
    CountedFault,
    RunFaults,
    StartRefusal,
)
from app.workspace.tasks.run_tokens import STREAM, RunTokens
from app.workspace.web.fields import boolean, choice, integer, number
from app.workspace.web.guard import abort_connection

if TYPE_CHECKING:
    from app.workspace.runtime.context import Workspace


async def switch(workspace: Workspace, body: dict[str, object]) -> object:
    """`POST /_faults/runs`: changes what the body names; answers with all of it.

    - `refuse_start`, one of `START_REFUSALS`: the next `times` starts; `limit_type`, `reset_seconds`, `is_pro`.
    - `sandbox`, one of `SANDBOX_REFUSALS`: the next `times` commands.
    - `stream`, one of `STREAM_REFUSALS`: the next `times` streams; `admission` is a 503, the others an event.
    - `rotation_seconds`, `keepalive_seconds`: the timers of streams that are opened from now on.
    - `duplicate_events`: streams that are opened from now on send each event twice.
    - `stream_elsewhere`: streams are read at another address, with a token of their own; `kill_stream_tokens`: true
      makes those that were issued so far invalid.
    - `cut_streams`: true breaks every open stream.
    - `kill_agents`: true kills the agents of all runs.
    """
    faults, control = workspace.state(RunFaults), workspace.state(RunControl)
    times = integer(body, "times", minimum=1, maximum=1_000_000) or 1
    start = choice(body, "refuse_start", START_REFUSALS)
    if start is not None:
        faults.start = StartRefusal(
            start,
            times,
            choice(body, "limit_type", LIMIT_TYPES),
            number(body, "reset_seconds", minimum=0, maximum=10**8),
            boolean(body, "is_pro") or False,
        )
    sandbox = choice(body, "sandbox", SANDBOX_REFUSALS)
    if sandbox is not None:
        faults.sandbox = CountedFault(sandbox, times)
    stream = choice(body, "stream", STREAM_REFUSALS)
    if stream is not None:
        faults.stream = CountedFault(stream, times)
    rotation = number(body, "rotation_seconds", minimum=0.05, maximum=900)
    if rotation is not None:
        faults.rotation_seconds = rotation
    keepalive = number(body, "keepalive_seconds", minimum=0.05, maximum=20)
    if keepalive is not None:
        faults.keepalive_seconds = keepalive
    for name in ("stream_elsewhere", "duplicate_events"):
        if (wanted := boolean(body, name)) is not None:
            setattr(faults, name, wanted)
    if boolean(body, "kill_stream_tokens"):
        workspace.state(RunTokens).kill(STREAM)
    if boolean(body, "cut_streams"):
        for client in tuple(faults.clients):
            abort_connection(client)
    killed = await control.kill_agents() if boolean(body, "kill_agents") else 0
    return {
        "refuse_start": None if faults.start is None else faults.start.kind,
        "sandbox": None if faults.sandbox is None else faults.sandbox.kind,
        "stream": None if faults.stream is None else faults.stream.kind,
        "rotation_seconds": faults.rotation_seconds,
        "keepalive_seconds": faults.keepalive_seconds,
        "stream_elsewhere": faults.stream_elsewhere,
        "duplicate_events": faults.duplicate_events,
        "streams": len(faults.clients),
        "runs": control.active(),
        "agents_killed": killed,
    }


def reset(workspace: Workspace) -> None:
    """Lift what the switch has set. Runs that are under way go on."""
    workspace.state(RunFaults).reset()
