"""Builds the groups and rows of the task list."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.core.posthog.types import new_task
from app.ui.tasks.cache import LONG_AGO, moment_of
from app.ui.tasks.wording import (
    SendState,
    TaskGroup,
    asks_state,
    draft_state,
    group_of,
    heading,
    no_repository,
    open_elsewhere,
    send_group,
    send_state,
    state_of,
    title_of,
    ungrouped,
)
from app.ui.widgets.rows import Group, Row
from app.ui.widgets.times import absolute, relative

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from app.core.errors import BurrowError
    from app.core.posthog.run_options import RunOptions
    from app.core.posthog.types import NewTask, Task
    from app.core.storage import Draft

TASK = "task:"
PENDING = "pending:"
DRAFT = "draft:"
REPOSITORY = "repository:"
UNGROUPED = "all"


class Grouping(Enum):
    """How the list is divided; the value is how it is stored."""

    STATE = "state"
    REPOSITORY = "repository"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class PendingTask:
    """A task on its way to the server; with `run`, one that is to run once it is there.

    `files` names its attachments (`core/storage/attachments.py`). `options` are those to run it with, if they were
    chosen.
    """

    id: str
    new: NewTask
    state: SendState
    created_at: datetime
    error: BurrowError | None = field(default=None, compare=False)
    run: bool = False
    files: str = ""
    options: RunOptions | None = None


def place_of(slug: str, repository: str | None) -> str:
    """Slug and repository on one line."""
    return "  ·  ".join(part for part in (slug, repository or "") if part)


@dataclass(frozen=True, slots=True)
class _Made:
    """A row, what it was made of, and until when (unix seconds) its relative time is right."""

    task: Task
    ordering: str
    pinned: bool
    asks: bool
    heading: str
    until: float
    row: Row


class RowCache:
    """The rows of the last build. To make a row takes ten times as long as to find it unchanged."""

    def __init__(self) -> None:
        self._made: dict[str, _Made] = {}
        self._former: dict[str, _Made] = {}
        self._now = LONG_AGO
        self._seconds = 0.0

    def begin(self, now: datetime) -> None:
        """Begin a new build. Rows that it does not ask for are forgotten."""
        self._former, self._made = self._made, {}
        self._now, self._seconds = now, now.timestamp()

    def row(self, task: Task, ordering: str, heading: str, *, pinned: bool, asks: bool = False) -> Row:
        """The row of a task under `heading`; `asks`: its run waits for an answer."""
        made = self._former.get(task.id)
        # By identity: the cache gives the same object until the server has sent another one, or there is an edit.
        known = (
            made is not None
            and made.task is task
            and (made.ordering, made.pinned, made.asks, made.heading) == (ordering, pinned, asks, heading)
        )
        if made is None or not known or self._seconds >= made.until:
            row = _task_row(task, ordering, heading, self._now, pinned=pinned, asks=asks)
            made = _Made(task, ordering, pinned, asks, heading, _right_until(moment_of(task, ordering), self._now), row)
        self._made[task.id] = made
        return made.row


def _right_until(moment: datetime, now: datetime) -> float:
    """When the relative time of `moment` changes, in unix seconds."""
    at, age = moment.timestamp(), (now - moment).total_seconds()
    # The steps of `relative`: minutes within the hour, hours within the day, then days.
    step = 60.0 if age < 3600 else 3600.0 if age < 86400 else 86400.0
    return at + (age // step + 1) * step


def build_groups(
    tasks: Sequence[Task],
    pending: Iterable[PendingTask],
    *,
    grouping: Grouping,
    pinned: Callable[[str], bool],
    ordering: str = "",
    now: datetime | None = None,
    cache: RowCache | None = None,
    drafts: Iterable[Draft] = (),
    asking: Container[str] = frozenset(),
) -> list[Group]:
    """Groups in display order, drafts and pinned tasks first; within a group the order of `tasks`.

    `asking` has the ids of the tasks whose runs wait for an answer.
    """
    now = now or datetime.now(UTC)
    cache = cache or RowCache()
    cache.begin(now)
    rows: dict[str, list[Row]] = {}
    titles: dict[str, str] = {}

    def put(group: tuple[str, str], row: Row) -> None:
        rows.setdefault(group[0], []).append(row)
        titles[group[0]] = group[1]

    for draft in drafts:
        put(_state_group(TaskGroup.DRAFTS), _draft_row(draft, now))
    for item in sorted(pending, key=lambda p: p.created_at, reverse=True):
        put(_group(grouping, send_group(item.state), item.new.repository), _pending_row(item, now))
    for task in tasks:
        first = pinned(task.id)
        group = _state_group(TaskGroup.PINNED) if first else _group(grouping, group_of(task, asking), task.repository)
        put(group, cache.row(task, ordering, group[1], pinned=first, asks=task.id in asking))
    if len(rows) > 1 and UNGROUPED in titles:
        # Without a heading of their own they would stand under that of the group before.
        titles[UNGROUPED] = ungrouped()
    return [Group(key, titles[key], tuple(rows[key])) for key in sorted(rows, key=lambda k: _rank(k, titles[k]))]


def _task_row(task: Task, ordering: str, heading: str, now: datetime, *, pinned: bool, asks: bool) -> Row:
    moment = moment_of(task, ordering)
    known = None if moment == LONG_AGO else moment
    title, state, when = title_of(task), asks_state() if asks else state_of(task), relative(known, now)
    # What the heading says is not said again in each of its rows.
    repository = "" if task.repository == heading else task.repository
    place = place_of(task.slug, repository)
    parts = (
        title,
        state.word,
        QCoreApplication.translate("Tasks", "pinned") if pinned else "",
        task.slug,
        task.repository or "",
        when,
    )
    return Row(
        TASK + task.id,
        title,
        place,
        state,
        trailing=when,
        worded=state.word != heading,
        accessible=", ".join(part for part in parts if part),
        # Made when needed: to format the date takes longer than the rest of the row.
        tooltip=lambda: "\n".join(
            part for part in (title, state.word, place_of(task.slug, task.repository), absolute(known)) if part
        ),
    )


def _pending_row(item: PendingTask, now: datetime) -> Row:
    title, state = title_of(item.new), send_state(item.state)
    return Row(
        PENDING + item.id,
        title,
        item.new.repository or "",
        state,
        trailing=relative(item.created_at, now),
        muted=item.state is SendState.SENDING,
        tooltip=f"{title}\n{state.word}",
    )


def draft_key(draft_id: str, copy: str) -> str:
    """The key of the row of a draft."""
    return f"{DRAFT}{draft_id}/{copy}"


def draft_of_key(key: str) -> tuple[str, str] | None:
    """The id and copy of the draft of a row; None for another row."""
    if not key.startswith(DRAFT):
        return None
    draft_id, _, copy = key[len(DRAFT) :].rpartition("/")
    return draft_id, copy


def _draft_row(draft: Draft, now: datetime) -> Row:
    new = new_task(draft.fields)
    title = title_of(new)
    saved = datetime.fromtimestamp(draft.saved_at, UTC)
    return Row(
        draft_key(draft.id, draft.copy),
        title,
        new.repository or _rest_of(new),
        open_elsewhere() if draft.held_elsewhere else draft_state(),
        trailing=relative(saved, now),
        # The heading says it already.
        worded=draft.held_elsewhere,
        tooltip=lambda: "\n".join(part for part in (title, new.repository or "", absolute(saved)) if part),
    )


def _rest_of(new: NewTask) -> str:
    """What a description says beside the title of its row."""
    lines = [line for line in map(str.strip, new.description.splitlines()) if line]
    return next(iter(lines if new.title else lines[1:]), "")


_STATE_KEYS = {group: f"state:{group.name.lower()}" for group in TaskGroup}


def _state_group(group: TaskGroup) -> tuple[str, str]:
    return _STATE_KEYS[group], heading(group)


def _group(grouping: Grouping, state: TaskGroup, repository: str | None) -> tuple[str, str]:
    if grouping is Grouping.STATE:
        return _state_group(state)
    if grouping is Grouping.REPOSITORY:
        return REPOSITORY + (repository or ""), repository or no_repository()
    return UNGROUPED, ""


_STATE_RANK = {key: rank for rank, key in enumerate(_STATE_KEYS.values())}


def _rank(key: str, title: str) -> tuple[int, int, str]:
    if key in _STATE_RANK:
        return (0, _STATE_RANK[key], "")
    # By name, the tasks without a repository last.
    return (1, int(key == REPOSITORY), title)
