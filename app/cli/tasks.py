"""`burrow tasks`: list, show, create and archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from app.cli.common import backend_of
from app.cli.terminal import data, line, printable, read_text, say
from app.core.errors import NotFound, Rejected
from app.core.posthog.task_fields import TASK_FIELDS
from app.core.posthog.types import TaskQuery, new_task

if TYPE_CHECKING:
    import argparse
    from datetime import datetime

    from app.core.backend import Backend
    from app.core.posthog.types import Task, TaskRun

# How many pages of 100 tasks are looked through for a short name.
SLUG_PAGES = 20


async def list_tasks(options: argparse.Namespace) -> int:
    query = TaskQuery(search=options.search or "", archived=options.archived, repository=options.repository)
    async with backend_of(options) as backend:
        page = await backend.tasks.list(query, limit=min(options.limit, 100))
        tasks = list(page.items)
        while page.next and len(tasks) < options.limit:
            page = await backend.tasks.more(page.next)
            tasks.extend(page.items)
        tasks = tasks[: options.limit]
        if options.json:
            data([_task_record(task) for task in tasks])
        else:
            for task in tasks:
                state = task.latest_run.status if task.latest_run else "no run"
                line(f"{task.slug or task.id:<14} {state:<12} {printable(task.title)}")
            if not tasks:
                say("No tasks.")
            if page.count > len(tasks):
                say(f"{len(tasks)} of {page.count}; more with --limit.")
    return 0


async def show(options: argparse.Namespace) -> int:
    async with backend_of(options) as backend:
        _show(await find_task(backend, options.task), options)
    return 0


async def create(options: argparse.Namespace) -> int:
    description = read_text() if options.description == "-" else options.description
    if not description.strip():
        raise Rejected("A task needs a description.", action="Give it as text, or - to read it from standard input.")
    async with backend_of(options) as backend:
        given = {each.name: getattr(options, each.name) for each in TASK_FIELDS}
        new = new_task({**given, "description": description})
        _show(await backend.tasks.create(new), options)
    return 0


async def archive(options: argparse.Namespace) -> int:
    async with backend_of(options) as backend:
        task = await find_task(backend, options.task)
        changed = await backend.tasks.archive(task.id, not options.undo)
        _show(changed, options)
    return 0


async def find_task(backend: Backend, named: str) -> Task:
    """The task of this id or short name. Raises `NotFound`, `Rejected`."""
    if not named.strip():
        # A server may give tasks no short name. They are not meant by an empty variable of a script.
        raise Rejected("No task is named.", action="List them with: burrow tasks list")
    try:
        UUID(named)
    except ValueError:
        pass
    else:
        return await backend.tasks.get(named)
    for archived in (False, True):
        page = await backend.tasks.list(TaskQuery(archived=archived), limit=100)
        for _ in range(SLUG_PAGES):
            for task in page.items:
                if task.slug.lower() == named.lower():
                    return task
            if page.next is None:
                break
            page = await backend.tasks.more(page.next)
    raise NotFound(f"There is no task {named}.", action="List them with: burrow tasks list")


def latest_run(task: Task) -> TaskRun:
    """The latest run of a task. Raises `NotFound` if there is none."""
    if task.latest_run is None:
        raise NotFound(
            "This task has not been run yet.", action=f"Run it with: burrow tasks run {task.slug or task.id}"
        )
    return task.latest_run


def _show(task: Task, options: argparse.Namespace) -> None:
    record = _task_record(task)
    if options.json:
        data(record)
        return
    for name, value in record.items():
        if value not in (None, "") and name != "description":
            line(f"{name:<12} {printable(str(value))}")
    line("")
    line(task.description)


def _task_record(task: Task) -> dict[str, Any]:
    run = task.latest_run
    return {
        "id": task.id,
        "slug": task.slug,
        **{each.name: getattr(task, each.name) for each in TASK_FIELDS},
        "archived": task.archived,
        "status": run.status if run else None,
        "created_at": _time(task.created_at),
        "updated_at": _time(task.updated_at),
    }


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
