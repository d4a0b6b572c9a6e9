"""Tasks, and the lists of their runs (docs/wire.md, "Tasks", "Runs"). `run_start.py` starts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.core.errors import BurrowError, NotFound
from app.core.posthog.task_fields import TITLE_LENGTH, cleaned, one_line, texts_of
from app.core.posthog.types import NewTask, Page, Task, TaskQuery, TaskRun
from app.core.posthog.wire import bounded, decode_one, decode_page, segment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.core.fetcher import Admission, Fetcher

ORIGIN = "user_created"
# In seconds, between looks whether a run has ended that was cancelled.
CANCEL_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)


class _Repositories(msgspec.Struct):
    repositories: list[object] | None = None


class _Pinned(msgspec.Struct):
    task_ids: list[object] | None = None


class ChangedMeanwhile(BurrowError):
    """Somebody else changed the fields `names` of the task since the user began to edit them. Nothing was sent."""

    title = "Changed on the server meanwhile"
    action = "Compare both texts, then save yours or keep the server's."

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__("Somebody else changed the task.")
        self.names = tuple(names)


class Tasks:
    """Every method sends requests and raises `BurrowError`. `project` returns the current project's id."""

    def __init__(self, fetcher: Fetcher, project: Callable[[], int]) -> None:
        self._fetcher = fetcher
        self._project = project

    async def list(self, query: TaskQuery = TaskQuery(), *, limit: int = 50) -> Page[Task]:  # noqa: B008 - frozen
        """The first page; `limit` counts tasks, 100 at most."""
        answer = await self._fetcher.get(
            self._path(),
            params={
                "search": query.search.strip() or None,
                "archived": "true" if query.archived else None,
                "repository": query.repository or None,
                "status": query.status or None,
                "created_by": query.created_by,
                "ordering": query.ordering or None,
                "limit": bounded(limit),
            },
        )
        return decode_page(answer, Task)

    async def more(self, cursor: str) -> Page[Task]:
        """The page after one whose `next` is `cursor`. Raises `Rejected` for a URL of another server."""
        return decode_page(await self._fetcher.get(cursor), Task, cursor)

    async def get(self, id: str) -> Task:  # noqa: A002
        return decode_one(await self._fetcher.get(self._path(id)), Task)

    async def create(self, new: NewTask, *, admission: Admission | None = None) -> Task:
        """Create a task. An empty title becomes the start of the description. `admission`: see `Fetcher.request`."""
        body: dict[str, object] = {name: text for name, text in cleaned(texts_of(new)).items() if text is not None}
        body["title"] = body["title"] or one_line(new.description)[:TITLE_LENGTH]
        body["origin_product"] = ORIGIN
        return decode_one(await self._fetcher.post(self._path(), body, admission=admission), Task)

    async def rename(self, id: str, title: str) -> Task:  # noqa: A002
        """Set the title, and keep the server from choosing another one."""
        return await self.edit(id, title=title)

    async def edit(self, id: str, *, since: Mapping[str, str] | None = None, **texts: str) -> Task:  # noqa: A002
        """Change fields of `task_fields` by their names; an empty text empties a field that can be empty.

        `since` has the texts of these fields when the user began. The API has no conditional change, so the task is
        asked for first, and `ChangedMeanwhile` raised where it has other ones.
        """
        sent = cleaned(texts)
        if since is not None:
            there = cleaned(texts_of(await self.get(id)))
            base = cleaned(since)
            changed = [name for name in texts if there[name] not in {base[name], sent[name]}]
            if changed:
                raise ChangedMeanwhile(changed)
        body: dict[str, object] = {name: sent[name] for name in texts}
        if "title" in texts:
            body["title_manually_set"] = True
        return await self._patch(id, body)

    async def archive(self, id: str, archived: bool) -> Task:  # noqa: A002
        return await self._patch(id, {"archived": archived})

    async def delete(self, id: str, *, admission: Admission | None = None) -> None:  # noqa: A002
        """Delete a task. `admission`: see `Fetcher.request`."""
        await self._fetcher.delete(self._path(id), admission=admission)

    async def pin(self, id: str, pinned: bool) -> None:  # noqa: A002
        """Pin or unpin a task. Raises `NotFound` on servers without pins."""
        await self._fetcher.post(self._path(id, "pin"), {"pinned": pinned})

    async def pinned(self) -> frozenset[str]:
        """The ids of the account's pinned tasks; none on servers without pins."""
        try:
            answer = await self._fetcher.get(self._path("pinned"))
        except NotFound:
            return frozenset()
        return frozenset(task_id for task_id in answer.decode(_Pinned).task_ids or () if isinstance(task_id, str))

    async def repositories(self) -> tuple[str, ...]:
        """The repositories that the project's tasks name, as `organisation/name`."""
        answer = await self._fetcher.get(self._path("repositories"))
        return tuple(name for name in answer.decode(_Repositories).repositories or () if isinstance(name, str) and name)

    async def runs(self, id: str, *, limit: int = 50) -> Page[TaskRun]:  # noqa: A002
        """The first page of a task's runs, the newest first."""
        answer = await self._fetcher.get(self._path(id, "runs"), params={"limit": bounded(limit)})
        return decode_page(answer, TaskRun)

    async def cancel(self, id: str, run_id: str) -> Task:  # noqa: A002
        """Cancel a cloud run that has not ended; one that has stays as it is. Raises `NotFound` on older servers.

        A server may only begin to end it. The answer is the task once the run has ended, or after some seconds.
        """
        # Here, because the window is painted before anything is cancelled, and the import takes 50 ms.
        import asyncio

        await self._fetcher.post(self._path(id, "runs", run_id, "cancel"), {})
        for pause in CANCEL_PAUSES:
            # The contract leaves the answer's body open, and the task says what its latest run is now.
            task = await self.get(id)
            run = task.latest_run
            if run is None or run.id != run_id or run.finished:
                return task
            await asyncio.sleep(pause)
        return await self.get(id)

    async def _patch(self, id: str, body: dict[str, object]) -> Task:  # noqa: A002
        return decode_one(await self._fetcher.patch(self._path(id), body), Task)

    def _path(self, *parts: str) -> str:
        return "/".join([f"/api/projects/{self._project()}/tasks", *(segment(part) for part in parts), ""])
