"""Starts that are cancelled, for the tests of asyncio's loop and of the one shared with Qt."""

from __future__ import annotations

import asyncio
import sys

from app.processes.child import ChildProcess
from tests.processes.system import children, open_files
from tests.until import until

# Its child has the same pipes, and would keep them open.
SLEEPER = ("/bin/sh", "-c", "sleep 60 & sleep 60")


async def cancel_after(turns: int) -> bool:
    """Start a process, and cancel all tasks of the loop but this one after so many turns; whether that was in time."""
    began, files = children(), open_files()
    me = asyncio.current_task()
    starting = asyncio.create_task(ChildProcess.start(SLEEPER, None, {}))
    for _ in range(turns):
        await asyncio.sleep(0)
    in_time = not starting.done()
    for task in asyncio.all_tasks() - {me}:
        task.cancel()
    await asyncio.wait((starting,))
    if not starting.cancelled():
        child = starting.result()
        child.kill()
        child.close()
    await until(lambda: children() <= began and open_files() <= files)
    assert asyncio.all_tasks() == {me}
    return in_time


async def assert_cancelled_starts_leave_nothing() -> None:
    """Cancel a start at each of its turns."""
    turns = 0
    while await cancel_after(turns):
        turns += 1
    # It awaits three pipes.
    assert turns > 3, f"cancelled {turns} times only, {sys.version}"
