"""`burrow tasks say`: a message to the agent of a task's latest run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from app.cli.common import connect, services_of
from app.cli.tasks import find_task, latest_run
from app.cli.terminal import data, line, read_text, say
from app.core.errors import Rejected
from app.core.posthog.run_errors import RunOver
from app.core.posthog.runs import Runs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from app.core.backend import Backend
    from app.core.posthog.types import Task, TaskRun
    from app.core.runs.follower import RunFollower

USER_MESSAGE = "user_message"
# How long before it is said that the message waits.
QUIET_SECONDS = 1.0


def add_arguments(group: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """The command and its options."""
    command = add(
        group, "say", say_to, "Tell the agent of a task's run something, or go on with an ended run.", acts=True
    )
    command.add_argument("task", help="its id or short name, such as HED-1")
    command.add_argument("text", help="what to say; - reads it from standard input")


async def say_to(options: argparse.Namespace) -> int:
    text = read_text() if options.text == "-" else options.text
    if not text.strip():
        raise Rejected("There is nothing to say.", action="Give it as text, or - to read it from standard input.")
    async with services_of(options) as services:
        backend = await connect(services, options)
        await backend.ready()
        task = await find_task(backend, options.task)
        run = latest_run(task)
        if run.environment == "local":
            from app.cli.local_ends import refuse_to_say

            await refuse_to_say(services.local_runs, run)
        runs = Runs(backend.fetcher, backend.require_project)
        if not run.finished:
            run = await _when_it_listens(backend, runs, task, run)
        told = False
        if not run.finished:
            try:
                await runs.command(task.id, run.id, USER_MESSAGE, {"content": text})
                told = True
            except RunOver:
                run = await runs.get(task.id, run.id)
        if not told:
            say("The run had ended, so a new one goes on from it.")
            run = await backend.run_start.go_on(task, run, text)
        if options.json:
            data({"task": task.id, "run": run.id, "status": run.status})
        else:
            line(f"Said. See what it answers with: burrow tasks logs {task.slug or task.id} --follow")
    return 0


async def _when_it_listens(backend: Backend, runs: Runs, task: Task, run: TaskRun) -> TaskRun:
    """Wait until the agent has started and no turn of it is under way; the run as it is then.

    What is said before that would race with what the agent was asked first (docs/wire.md, "Commands to a run").
    """
    from app.core.runs.follower import RunFollower

    follower = RunFollower(runs, task.id, run.id)
    moved = asyncio.Event()
    asked = False
    subscriptions = [
        follower.transcript.changed.subscribe(lambda _change: moved.set()),
        follower.status.subscribe(lambda _status: moved.set()),
    ]
    following = asyncio.create_task(follower.follow(), name="run that is to listen")
    following.add_done_callback(lambda _task: moved.set())
    announcing = asyncio.create_task(_announce(), name="word about the wait")
    try:
        while not following.done() and not _listens(follower):
            await moved.wait()
            moved.clear()
            if follower.transcript.state.waiting and not asked:
                asked = True
                say("The agent waits for an answer to a question. Give it in the window.")
        if following.done():
            following.result()
            if follower.now.error is not None:
                raise follower.now.error
        return follower.run or run
    except asyncio.CancelledError:
        say("Nothing was said. The run goes on.")
        raise
    finally:
        for unsubscribe in subscriptions:
            unsubscribe()
        for each in (following, announcing):
            each.cancel()
        await asyncio.gather(following, announcing, return_exceptions=True)
        follower.close()


def _listens(follower: RunFollower) -> bool:
    state = follower.transcript.state
    return follower.now.kind == "live" and state.accepts and not state.busy


async def _announce() -> None:
    await asyncio.sleep(QUIET_SECONDS)
    say("The agent is busy. The message is sent when its turn ends; Ctrl+C takes it back.")
