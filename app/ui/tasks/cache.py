"""Task cache: the lists of the server, with edits that it has not confirmed yet laid over them. No Qt.

Three things are merged: what the server last said of each task (`_tasks`), the lists it answered (`_listings`), and the
unconfirmed edits (`_edits`). Answers overtake each other: a list that was asked for before a change may arrive after
it. So every change moves a logical clock, a list carries the mark at which it was asked for (`begin`), and these rules
hold:

- A task written after the mark keeps its newer value (`_written`).
- A task removed after the mark stays removed (`_gone`).
- A pin changed after the mark keeps its newer state (`_pins_written`).
- An edit is shown until it is settled or rolled back, whatever the lists say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from app.ui.tasks.wording import aware, matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.core.posthog.types import Page, Task, TaskQuery, TaskRun

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
RECENT_ACTIVITY = "-last_activity_at"


@dataclass(frozen=True, slots=True)
class PendingEdit:
    """A change that the server has not confirmed yet."""

    number: int
    task: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    pinned: bool | None = None
    hidden: bool = False


@dataclass(slots=True)
class Listing:
    """The loaded part of one query's answer, in the server's order."""

    order: list[str]
    count: int
    next: str | None


def moment_of(task: Task, ordering: str = "") -> datetime:
    """The time by which a list in this ordering is sorted."""
    moment = task.last_activity_at or task.updated_at if ordering == RECENT_ACTIVITY else None
    moment = moment or task.created_at
    return aware(moment) if moment is not None else LONG_AGO


class TaskCache:
    """Tasks of one project of one account."""

    def __init__(self) -> None:
        self._clock = 0
        self._tasks: dict[str, Task] = {}
        self._written: dict[str, int] = {}
        self._gone: dict[str, int] = {}
        self._listings: dict[TaskQuery, Listing] = {}
        self._edits: list[PendingEdit] = []
        self._pins: frozenset[str] = frozenset()
        self._pins_written: dict[str, int] = {}

    def clear(self) -> None:
        """Forget everything, as for another account or project."""
        # The clock goes on, so that a mark taken before stays older than anything written from now on.
        clock = self._clock
        self.__init__()  # type: ignore[misc]
        self._clock = clock + 1

    def begin(self) -> int:
        """The mark of now. Take it before a list is requested: what is written later wins over that list."""
        return self._clock

    def load(self, query: TaskQuery, page: Page[Task], mark: int) -> None:
        """Merge the first page of a query, requested at `mark`. Rows loaded beyond it stay unless one is gone."""
        fresh = self._take(page.items, mark)
        former = self._listings.get(query)
        order = list(fresh)
        cursor = page.next
        if former is not None:
            seen = set(fresh)
            tail = [i for i in self._after(former.order, fresh, query) if i not in seen] if page.next else []
            # With fewer tasks than before, one of the tail may be gone, and which is unknown: it is loaded again.
            if tail and page.count >= former.count:
                order += tail
                # A cursor is an offset. With new tasks in front it repeats some rows, which `append` drops.
                cursor = former.next
            known = set(order)
            # A task created after the mark is not in the answer.
            written_since = [i for i in former.order if i not in known and self._written.get(i, -1) > mark]
            order = written_since + order
            # Before `_forget`, which keeps what any list still has.
            self._listings[query] = Listing(order, page.count, cursor)
            # A task that a search no longer finds may still exist.
            if not query.search:
                self._forget(set(former.order) - set(order))
        # The answer does not count a task that was created after the mark.
        self._listings[query] = Listing(order, max(page.count, len(order)), cursor)

    def append(self, query: TaskQuery, page: Page[Task], mark: int) -> None:
        """Add a following page. Tasks that moved between pages are not listed twice."""
        listing = self._listings.get(query)
        if listing is None:
            self.load(query, page, mark)
            return
        known = set(listing.order)
        listing.order += [i for i in self._take(page.items, mark) if i not in known]
        listing.count = max(page.count, len(listing.order))
        listing.next = page.next

    def listing(self, query: TaskQuery) -> Listing | None:
        return self._listings.get(query)

    def forget_searches(self, keep: TaskQuery) -> None:
        """Drop the lists of other searches."""
        self._listings = {q: listing for q, listing in self._listings.items() if not q.search or q == keep}

    def put(self, task: Task) -> None:
        """Store a task from an answer of the server, and add it to the lists it belongs to."""
        self.know(task)
        for query, listing in self._listings.items():
            # Only the server knows what a search finds.
            if task.id in listing.order or query.archived != task.archived or query.search:
                continue
            listing.order.insert(0, task.id)
            listing.count += 1

    def know(self, task: Task) -> None:
        """Store a task as the server has it now, without adding it to a list."""
        self._clock += 1
        self._tasks[task.id] = task
        self._written[task.id] = self._clock

    def know_run(self, task_id: str, run: TaskRun) -> bool:
        """Store a run as the server has it now. Whether it is the latest one of a task that is known."""
        task = self._tasks.get(task_id)
        if task is None or task.latest_run is None or task.latest_run.id != run.id:
            return False
        self.know(msgspec.structs.replace(task, latest_run=run))
        return True

    def remove(self, task_id: str) -> None:
        """Remove a task that no longer exists on the server."""
        self._clock += 1
        self._gone[task_id] = self._clock
        self._tasks.pop(task_id, None)
        for listing in self._listings.values():
            if task_id in listing.order:
                listing.order.remove(task_id)
                listing.count = max(0, listing.count - 1)

    def edit(self, task_id: str, *, pinned: bool | None = None, hidden: bool = False, **fields: Any) -> PendingEdit:
        """Lay an edit over a task until it is settled or rolled back."""
        self._clock += 1
        made = PendingEdit(self._clock, task_id, fields, pinned, hidden)
        self._edits.append(made)
        return made

    def settle(self, edit: PendingEdit, task: Task | None = None) -> None:
        """End an edit that the server confirmed. `task` is its answer, if it gave one."""
        if edit not in self._edits:
            return
        self._edits.remove(edit)
        if edit.hidden:
            self.remove(edit.task)
            return
        if edit.pinned is not None:
            self._clock += 1
            self._pins = self._pins | {edit.task} if edit.pinned else self._pins - {edit.task}
            self._pins_written[edit.task] = self._clock
        if task is not None:
            self.put(task)

    def roll_back(self, edit: PendingEdit) -> None:
        """End an edit that the server refused or the user undid."""
        if edit in self._edits:
            self._edits.remove(edit)

    def set_pins(self, pins: Iterable[str], mark: int) -> None:
        """Merge the server's set of pinned tasks, requested at `mark`."""
        fresh = set(pins)
        for task_id, written in self._pins_written.items():
            if written > mark:
                fresh = fresh | {task_id} if task_id in self._pins else fresh - {task_id}
        self._pins = frozenset(fresh)

    @property
    def pins(self) -> frozenset[str]:
        return self._pins

    def get(self, task_id: str) -> Task | None:
        """A task with its edits; None when it is unknown or being deleted."""
        task = self._tasks.get(task_id)
        if task is None or self.is_hidden(task_id):
            return None
        fields: dict[str, Any] = {}
        # In the order in which they were made: of two edits of one field, the later is shown.
        for edit in self._edits:
            if edit.task == task_id:
                fields.update(edit.fields)
        return msgspec.structs.replace(task, **fields) if fields else task

    def is_hidden(self, task_id: str) -> bool:
        return any(edit.hidden for edit in self._edits if edit.task == task_id)

    def is_gone(self, task_id: str) -> bool:
        """Whether the server no longer has a task, as far as is known."""
        return task_id in self._gone

    def is_pinned(self, task_id: str) -> bool:
        for edit in reversed(self._edits):
            if edit.task == task_id and edit.pinned is not None:
                return edit.pinned
        return task_id in self._pins

    def missing_pins(self) -> list[str]:
        """The ids of pinned tasks that are not loaded yet."""
        return sorted(i for i in self._pins if i not in self._tasks and i not in self._gone)

    def confirmed(self, ids: Iterable[str]) -> list[Task]:
        """Tasks as the server last sent them, without edits."""
        return [self._tasks[i] for i in ids if i in self._tasks]

    def all(self) -> list[Task]:
        """Every loaded task, newest first."""
        return self._with_edits(self._tasks, "")

    def visible(self, query: TaskQuery) -> list[Task]:
        """The tasks to show for `query`: its list, or until that has arrived the loaded tasks that match."""
        listing = self._listings.get(query)
        if listing is not None:
            shown = self._with_edits(self._with_pinned(listing.order, query), query.ordering)
        else:
            shown = [t for t in self._with_edits(self._tasks, query.ordering) if matches(t, query.search)]
        # An edit may have moved a task into the archive or out of it.
        return [t for t in shown if t.archived == query.archived]

    def total(self, query: TaskQuery) -> int | None:
        """How many tasks the server has for `query`, without those being taken away; None before it answered."""
        listing = self._listings.get(query)
        if listing is None:
            return None
        away = sum(1 for i in listing.order if (t := self.get(i)) is None or t.archived != query.archived)
        return max(0, listing.count - away)

    def _forget(self, ids: set[str]) -> None:
        """Forget tasks that left the list on the server, deleted or archived elsewhere. One with an edit stays."""
        for task_id in ids - {edit.task for edit in self._edits}:
            if not any(task_id in listing.order for listing in self._listings.values()):
                self._tasks.pop(task_id, None)

    def _with_pinned(self, order: list[str], query: TaskQuery) -> list[str]:
        """A list with the pinned tasks that are beyond its loaded pages. A search shows only what it found."""
        if query.search:
            return order
        known = set(order)
        extra = {i for i in self._tasks if i not in known and self.is_pinned(i)}
        return [*order, *sorted(extra)]

    def _with_edits(self, ids: Iterable[str], ordering: str) -> list[Task]:
        edited = {edit.task for edit in self._edits}
        found = [self.get(i) if i in edited else self._tasks.get(i) for i in ids]
        # The server's order does not hold for tasks that were put in front, or are pinned or newer than their list.
        return sorted((t for t in found if t is not None), key=lambda t: moment_of(t, ordering), reverse=True)

    def _take(self, items: Iterable[Task], mark: int) -> list[str]:
        """Store the tasks of a page requested at `mark`. Returns their ids, without those removed since."""
        taken: list[str] = []
        seen: set[str] = set()
        for task in items:
            if task.id in seen or self._gone.get(task.id, -1) > mark:
                continue
            seen.add(task.id)
            # Listed after it was removed: it exists again.
            self._gone.pop(task.id, None)
            if self._written.get(task.id, -1) <= mark:
                self._tasks[task.id] = task
            taken.append(task.id)
        return taken

    def _after(self, order: list[str], fresh: list[str], query: TaskQuery) -> list[str]:
        """The part of a former order that comes after a new first page."""
        if not fresh:
            return []
        last = fresh[-1]
        if last in order:
            return order[order.index(last) + 1 :]
        # The former list does not have the last task of the new page: compare times instead of positions.
        edge = moment_of(self._tasks[last], query.ordering)
        return [i for i in order if i in self._tasks and moment_of(self._tasks[i], query.ordering) < edge]
