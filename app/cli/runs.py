"""`burrow tasks run` and `stop`: the runs of a task in the cloud. Those of this machine are in `local_runs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.cli.common import backend_of, connect, services_of
from app.cli.run_items import ItemWriter
from app.cli.run_logs import follow
from app.cli.task_files import forget_files, waiting_files
from app.cli.tasks import find_task, latest_run
from app.cli.terminal import data, line, printable, say
from app.core.errors import BurrowError, Facts, QuotaReached, Rejected
from app.core.posthog.run_memory import SETTING, RepositoryKey, RunMemory
from app.core.posthog.run_options import BYPASS_SETTING, MODES, UNASKING, RunOptions, asking, settled

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from app.core.backend import Backend
    from app.core.posthog.run_options import AgentModel
    from app.core.posthog.types import Task

# As a person writes them, to the names of the agents.
MODE_NAMES = {
    "plan": ("plan",),
    "default": ("default",),
    "accept-edits": ("acceptEdits",),
    "auto": ("auto",),
    "bypass": ("bypassPermissions", "full-access"),
    "read-only": ("read-only",),
}
EFFORTS = ("low", "medium", "high", "xhigh", "max", "ultracode")
LOCAL_ONLY = ("agent", "folder", "worktree", "environment", "no_servers")
GITHUB_NEEDED = "github_authorization_required"


def add_arguments(group: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """The commands of runs, and their options."""
    named = "its id or short name, such as HED-1"
    run = add(group, "run", run_task, "Run a task in the cloud, or on this machine.", acts=True)
    run.add_argument("task", help=named)
    run.add_argument(
        "--model",
        metavar="[AGENT/]NAME",
        help="the model, perhaps with its agent (claude, codex); by default that of the last run of the repository",
    )
    run.add_argument("--effort", choices=EFFORTS, help="how hard the model thinks")
    run.add_argument("--branch", metavar="NAME", help="the branch to start from")
    run.add_argument("--follow", action="store_true", help="show what the agent says and does, until its turn is over")
    run.add_argument("--mode", choices=list(MODE_NAMES), help="what the agent may do without asking")
    here = run.add_argument_group("on this machine")
    here.add_argument("--local", action="store_true", help="have an agent of this machine carry it out, and show it")
    here.add_argument("--agent", metavar="CMD", help="the agent: survey, codex, gemini, … or its command")
    here.add_argument("--folder", metavar="DIR", help="where the agent works; by default in this folder")
    here.add_argument("--worktree", action="store_true", help="work in a fresh git worktree of that folder")
    here.add_argument("--environment", metavar="NAME", help="the repository's environment; none for a run without one")
    here.add_argument("--no-servers", action="store_true", help="hand no MCP servers to the agent")
    stop = add(group, "stop", stop_run, "End the latest run of a task.", acts=True)
    stop.add_argument("task", help=named)


async def run_task(options: argparse.Namespace) -> int:
    if options.local:
        # Most runs are in the cloud.
        from app.cli.local_runs import run_here

        return await run_here(options)
    given = [f"--{name.replace('_', '-')}" for name in LOCAL_ONLY if getattr(options, name)]
    if given:
        raise Rejected(f"For runs on this machine only: {', '.join(given)}.", action="Add --local.")
    async with backend_of(options) as backend:
        task = await find_task(backend, options.task)
        if task.latest_run is not None and not task.latest_run.finished and task.latest_run.environment == "cloud":
            raise Rejected(
                f"A run of this task is {task.latest_run.status} already.",
                Facts(code="run_in_progress"),
                action=f"Follow it with: burrow tasks logs {options.task} --follow",
            )
        settings = backend.storage.settings
        models = await backend.models.list()
        bypass = settings.get(BYPASS_SETTING) is True
        chosen = _chosen(options, _last(backend, task, options), models, bypass=bypass)
        try:
            files = await waiting_files(backend, task)
            started = await backend.run_start.start(task, chosen, files)
        except QuotaReached as limit:
            raise _with_reset(limit) from None
        except Rejected as refusal:
            raise (await _about_github(backend, refusal)) from None
        key = _key(backend, task)
        if key is not None:
            await settings.set(SETTING, RunMemory(settings).with_last(key, chosen))
        if files:
            await forget_files(backend, task)
        _show(started, options)
        if options.follow and started.latest_run is not None:
            writer = ItemWriter(as_json=options.json)
            return await follow(backend, started, started.latest_run.id, writer, one_turn=True)
    return 0


async def stop_run(options: argparse.Namespace) -> int:
    async with services_of(options) as services:
        backend = await connect(services, options)
        await backend.ready()
        task = await find_task(backend, options.task)
        run = latest_run(task)
        if run.environment == "local":
            from app.cli.local_ends import end_here

            await end_here(services.local_runs, run)
            task = await backend.tasks.get(task.id)
        elif run.finished:
            say(f"The run has ended already: {run.status}.")
        else:
            task = await backend.tasks.cancel(task.id, run.id)
        _show(task, options)
    return 0


def _chosen(options: argparse.Namespace, last: RunOptions, models: Sequence[AgentModel], *, bypass: bool) -> RunOptions:
    """What is to be used: what was given, else what the last run of the repository was started with."""
    adapter, model = _named(options.model)
    # What was used with another model says nothing about this one.
    kept = last if not model or model == last.model else RunOptions(adapter, model)
    branch = last.branch if options.branch is None else options.branch
    wanted = msgspec.structs.replace(asking(kept, bypass=bypass), branch=branch, effort=options.effort or kept.effort)
    chosen = settled(wanted, models)
    if options.effort and chosen.effort != options.effort:
        known = next(each.efforts for each in models if each.model == chosen.model) or ("none",)
        raise Rejected(
            f"{chosen.model} does not know the effort {options.effort}.",
            Facts(attr="effort"),
            action=f"It knows: {', '.join(known)}.",
        )
    return chosen if options.mode is None else _in_mode(chosen, options.mode, bypass=bypass)


def _named(model: str | None) -> tuple[str, str]:
    """The agent and the model of `AGENT/NAME`; the agent is empty where it is not given."""
    adapter, _, name = (model or "").partition("/")
    return (adapter, name) if adapter in MODES else ("", model or "")


def _in_mode(chosen: RunOptions, named: str, *, bypass: bool) -> RunOptions:
    modes = MODES[chosen.adapter]
    mode = next((mode for mode in MODE_NAMES[named] if mode in modes), None)
    if mode is None:
        offered = ", ".join(name for name, those in MODE_NAMES.items() if set(those) & set(modes))
        raise Rejected(
            f"{chosen.adapter} has no permission mode {named}.", Facts(attr="mode"), action=f"It has: {offered}."
        )
    if mode in UNASKING and not bypass:
        raise Rejected(
            "An agent that asks for nothing was not allowed on this computer.",
            Facts(attr="mode"),
            action="Allow it in the window: Settings, Runs.",
        )
    return msgspec.structs.replace(chosen, mode=mode)


def _last(backend: Backend, task: Task, options: argparse.Namespace) -> RunOptions:
    key = _key(backend, task)
    return RunOptions() if key is None else RunMemory(backend.storage.settings).last(key, _named(options.model)[0])


def _key(backend: Backend, task: Task) -> RepositoryKey | None:
    scope, project = backend.scope, backend.project
    if scope is None or project is None:
        return None
    return RepositoryKey(scope.host, scope.account, project.id, task.repository or "")


def _with_reset(limit: QuotaReached) -> QuotaReached:
    """The error with the time at which the limit resets, in the person's own time zone."""
    reached = limit.facts.limit
    if reached is None or reached.resets_at is None:
        return limit
    when = reached.resets_at.astimezone().strftime("%Y-%m-%d %H:%M %Z")
    plan = " A paid plan has a higher limit." if reached.paid is False else ""
    return QuotaReached(limit.cause, limit.facts, action=f"It resets at {when}.{plan}")


async def _about_github(backend: Backend, refusal: Rejected) -> Rejected:
    """Say where GitHub is connected, if that is what is missing. The address is for once, and in no error."""
    if refusal.facts.code != GITHUB_NEEDED:
        return refusal
    try:
        address = await backend.github.address_to_connect()
    except BurrowError:
        where = "Connect it on the pages of your account, then run the task again."
    else:
        say("Connect GitHub at this address:")
        say(printable(address))
        where = "Connect it in the browser, then run the task again."
    return Rejected("GitHub is not connected to your account.", refusal.facts, action=where)


def _show(task: Task, options: argparse.Namespace) -> None:
    run = task.latest_run
    record = {
        "id": task.id,
        "slug": task.slug,
        "run": run.id if run else None,
        "status": run.status if run else None,
        "model": run.model if run else None,
        "branch": run.branch if run else None,
    }
    if options.json:
        data(record)
        return
    for name, value in record.items():
        if value:
            line(f"{name:<12} {printable(str(value))}")
