"""The services of the task place, faked at the core's boundary; a call waits for the test's word where asked to."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from app.core.auth.key import CredentialKey
from app.core.auth.status import CredentialState, CredentialStatus, Trouble
from app.core.busy import Busy
from app.core.errors import BurrowError, NotFound
from app.core.events import Event
from app.core.fetcher import Admission
from app.core.posthog.github import GitHubConnection, NamesPage
from app.core.posthog.run_attempts import UnfinishedStart
from app.core.posthog.run_files import RunFile
from app.core.posthog.run_options import AgentModel, RunOptions
from app.core.posthog.task_fields import cleaned, texts_of
from app.core.posthog.tasks import ChangedMeanwhile
from app.core.posthog.types import NewTask, Page, Project, Task, TaskQuery, TaskRun, User
from app.core.storage import Cached, Draft, OutboxItem, Scope
from app.ui.tasks.wording import matches

NOW = datetime.now(UTC)
PROJECT = Project(1, "web")
ANA = Scope("us", "ana")
BEN = Scope("us", "ben")


def task(number: int, title: str = "", status: str | None = None, **fields: Any) -> Task:
    run = TaskRun(f"run-{number}", status=status, task=f"t{number}", created_at=NOW) if status else None
    made = Task(
        f"t{number}",
        title=title or f"Task {number}",
        slug=f"BUR-{number}",
        latest_run=run,
        created_at=NOW - timedelta(minutes=number),
    )
    return msgspec.structs.replace(made, **fields)


class FakeTasks:
    """A server in memory. `fail[name]` is raised by the next call of that method, `hold[name]` keeps it waiting."""

    def __init__(self, tasks: list[Task] | None = None) -> None:
        self.tasks = {t.id: t for t in tasks or []}
        self.pins: set[str] = set()
        # What the last run of each task was started with.
        self.files: dict[str, dict[str, bytes]] = {}
        self.options: dict[str, RunOptions | None] = {}
        self.names: tuple[str, ...] = ("acme/shop", "acme/web")
        self.calls: list[tuple[Any, ...]] = []
        self.fail: dict[str, BurrowError | None] = {}
        self.hold: dict[str, asyncio.Event] = {}
        self.waiting: set[str] = set()
        self._numbers = itertools.count(1000)

    async def _enter(self, name: str, *arguments: Any) -> None:
        self.calls.append((name, *arguments))
        gate = self.hold.get(name)
        if gate is not None:
            self.waiting.add(name)
            await gate.wait()
        error = self.fail.pop(name, None)
        if error is not None:
            raise error

    def called(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]

    def _answer(self, query: TaskQuery) -> list[Task]:
        found = [t for t in self.tasks.values() if t.archived == query.archived and matches(t, query.search)]
        return sorted(found, key=lambda t: t.created_at or NOW, reverse=True)

    async def list(self, query: TaskQuery = TaskQuery(), *, limit: int = 50) -> Page[Task]:  # noqa: B008
        answer = self._answer(query)
        await self._enter("list", query, limit)
        following = f"{limit}:{limit}" if len(answer) > limit else None
        self._cursor_query = query
        return Page(tuple(answer[:limit]), len(answer), following)

    async def more(self, cursor: str) -> Page[Task]:
        await self._enter("more", cursor)
        start, limit = map(int, cursor.split(":"))
        answer = self._answer(self._cursor_query)
        end = start + limit
        return Page(tuple(answer[start:end]), len(answer), f"{end}:{limit}" if len(answer) > end else None)

    async def get(self, task_id: str) -> Task:
        await self._enter("get", task_id)
        return self._found(task_id)

    def _found(self, task_id: str) -> Task:
        if task_id not in self.tasks:
            raise NotFound("No Task matches the given query.")
        return self.tasks[task_id]

    async def create(self, new: NewTask, *, admission: Admission | None = None) -> Task:
        await self._enter("create", new)
        number = next(self._numbers)
        made = Task(
            f"t{number}",
            title=new.title or new.description[:255],
            description=new.description,
            slug=f"BUR-{number}",
            repository=new.repository,
            created_at=datetime.now(UTC),
        )
        self.tasks[made.id] = made
        return made

    async def rename(self, task_id: str, title: str) -> Task:
        await self._enter("rename", task_id, title)
        self.tasks[task_id] = msgspec.structs.replace(self._found(task_id), title=title, title_manually_set=True)
        return self.tasks[task_id]

    async def edit(self, task_id: str, *, since: Mapping[str, str] | None = None, **texts: str) -> Task:
        await self._enter("edit", task_id, texts)
        there = texts_of(self._found(task_id))
        changed = [name for name in texts if since is not None and there[name] not in {since[name], texts[name]}]
        if changed:
            raise ChangedMeanwhile(changed)
        sent = {name: text for name, text in cleaned(texts).items() if name in texts}
        self.tasks[task_id] = msgspec.structs.replace(self._found(task_id), **sent)
        return self.tasks[task_id]

    async def archive(self, task_id: str, archived: bool) -> Task:
        await self._enter("archive", task_id, archived)
        self.tasks[task_id] = msgspec.structs.replace(self._found(task_id), archived=archived)
        return self.tasks[task_id]

    async def delete(self, task_id: str, *, admission: Admission | None = None) -> None:
        await self._enter("delete", task_id)
        self._found(task_id)
        del self.tasks[task_id]

    async def pin(self, task_id: str, pinned: bool) -> None:
        await self._enter("pin", task_id, pinned)
        (self.pins.add if pinned else self.pins.discard)(task_id)

    async def pinned(self) -> frozenset[str]:
        await self._enter("pinned")
        return frozenset(self.pins)

    async def repositories(self) -> tuple[str, ...]:
        await self._enter("repositories")
        return self.names

    async def runs(self, task_id: str) -> Page[TaskRun]:
        await self._enter("runs", task_id)
        run = self.tasks[task_id].latest_run if task_id in self.tasks else None
        return Page((run,) if run else (), int(run is not None))

    async def cancel(self, task_id: str, run_id: str) -> Task:
        await self._enter("cancel", task_id, run_id)
        task = self._found(task_id)
        if task.latest_run is not None and task.latest_run.id == run_id and not task.latest_run.finished:
            run = msgspec.structs.replace(task.latest_run, status="cancelled")
            self.tasks[task_id] = msgspec.structs.replace(task, latest_run=run)
        return self.tasks[task_id]

    async def run(self, task_id: str, files: Sequence[RunFile] = (), options: RunOptions | None = None) -> Task:
        self.options[task_id] = options
        await self._enter("run", task_id)
        self.files[task_id] = {each.name: each.read() for each in files}
        made = TaskRun(
            f"run-{next(self._numbers)}",
            status="queued",
            task=task_id,
            environment="cloud",
            created_at=datetime.now(UTC),
        )
        self.tasks[task_id] = msgspec.structs.replace(self._found(task_id), latest_run=made)
        return self.tasks[task_id]


class FakeRunStart:
    def __init__(self, tasks: FakeTasks) -> None:
        self._tasks = tasks
        self.left: list[UnfinishedStart] = []
        self.given_up: list[str] = []
        self.fail: BurrowError | None = None

    async def unfinished(self) -> tuple[UnfinishedStart, ...]:
        failure, self.fail = self.fail, None
        if failure is not None:
            raise failure
        return tuple(self.left)

    async def give_up(self, task_id: str) -> None:
        failure, self.fail = self.fail, None
        if failure is not None:
            raise failure
        self.given_up.append(task_id)

    async def start(self, task: Task, options: RunOptions | None = None, files: Sequence[RunFile] = ()) -> Task:
        return await self._tasks.run(task.id, files, options)


class FakeModels:
    """`offered` are those that the server lists, once it was asked."""

    def __init__(self) -> None:
        self.offered: tuple[AgentModel, ...] = (
            AgentModel("claude", "sonnet", "Sonnet", ("low", "high")),
            AgentModel("claude", "haiku", "Haiku", ()),
            AgentModel("codex", "gpt", "GPT", ("medium",)),
        )
        self.fail: BurrowError | None = None
        self._known: tuple[AgentModel, ...] = ()

    def known(self) -> tuple[AgentModel, ...]:
        return self._known

    async def list(self) -> tuple[AgentModel, ...]:
        if self.fail is not None:
            raise self.fail
        self._known = self.offered
        return self._known


class FakeGitHub:
    """A GitHub in memory, in pages of `page`. `fail` is raised by the next question."""

    def __init__(self, tasks: FakeTasks) -> None:
        self._tasks = tasks
        self.page = 100
        self.asked: list[tuple[str, str, int]] = []
        self.all: list[str] | None = None
        self.heads = ["dev", "main", "release"]
        self.fail: BurrowError | None = None
        self.connected: tuple[GitHubConnection, ...] = ()
        self.refreshed = 0
        self.came_back: Event[None] = Event()

    def _part(self, what: str, names: Sequence[str], search: str, offset: int) -> NamesPage:
        self.asked.append((what, search, offset))
        error, self.fail = self.fail, None
        if error is not None:
            raise error
        found = [name for name in names if search.casefold() in name.casefold()]
        end = offset + self.page
        following = end if end < len(found) else None
        return NamesPage(tuple(found[offset:end]), following, "main", connected=bool(self.connected))

    async def repositories(self, search: str = "", offset: int = 0) -> NamesPage:
        return self._part("repositories", self.all or self._tasks.names, search, offset)

    async def branches(self, repository: str, search: str = "", offset: int = 0) -> NamesPage:
        return self._part(repository, self.heads, search, offset)

    async def refresh_repositories(self) -> None:
        self._part("refresh", (), "", 0)
        self.refreshed += 1

    async def address_to_connect(self) -> str:
        return "https://github.example/connect"

    def forget(self) -> None:
        self.asked.append(("forget", "", 0))

    async def connections(self, *, again: bool = False) -> tuple[GitHubConnection, ...]:
        return self.connected


class FakeSettings:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    async def set(self, key: str, value: Any) -> None:
        self.values[key] = value

    async def remove(self, key: str) -> None:
        self.values.pop(key, None)


class FakeDrafts:
    def __init__(self) -> None:
        self.kept: dict[tuple[Scope, str, str], dict[str, str]] = {}
        self.saved = Event[dict[str, str]]()
        # The ids of those that another window has open.
        self.elsewhere: set[str] = set()
        self.unsaved: tuple[Draft, ...] = ()

    async def save(self, scope: Scope, kind: str, name: str, fields: dict[str, str]) -> None:
        self.kept[scope, kind, name] = dict(fields)
        self.saved.emit(fields)

    async def load(self, scope: Scope, kind: str, name: str, copy: str | None = None) -> dict[str, str] | None:
        return self.kept.get((scope, kind, name))

    async def list(self, scope: Scope, kind: str | None = None) -> tuple[Draft, ...]:
        return tuple(
            Draft(its_kind, name, fields, 1.7e9, held_elsewhere=name in self.elsewhere)
            for (owner, its_kind, name), fields in self.kept.items()
            if owner == scope and kind in {None, its_kind}
        )

    async def others(self, scope: Scope, kind: str, name: str) -> tuple[Draft, ...]:
        """No other window leaves anything behind here."""
        return ()

    async def release(self, scope: Scope, kind: str, name: str) -> None:
        """Nobody else loads anything here."""

    def release_soon(self, scope: Scope, kind: str, name: str) -> None:
        """Nobody else loads anything here."""

    def titles(self, scope: Scope) -> list[str]:
        """The titles, or where there is none the descriptions, of the drafts of tasks."""
        kept = [fields for (owner, kind, _), fields in self.kept.items() if (owner, kind) == (scope, "task")]
        return [fields["title"] or fields["description"] for fields in kept]

    async def discard(self, scope: Scope, kind: str, name: str) -> None:
        self.kept.pop((scope, kind, name), None)


class FakeOutbox:
    def __init__(self) -> None:
        self.items: dict[str, tuple[Scope, OutboxItem]] = {}
        self.history: list[tuple[str, str]] = []
        self.fail: dict[str, BurrowError] = {}
        self._numbers = itertools.count(1)

    def _check(self, name: str) -> None:
        error = self.fail.pop(name, None)
        if error is not None:
            raise error

    async def add(
        self, scope: Scope, kind: str, payload: dict[str, Any], *, state: str = "waiting", claim: bool = False
    ) -> OutboxItem:
        item = OutboxItem(f"o{next(self._numbers)}", kind, payload, time.time(), state)
        self.items[item.id] = (scope, item)
        self.history.append(("add", state))
        return item

    async def list(self, scope: Scope) -> tuple[OutboxItem, ...]:
        return tuple(item for owner, item in self.items.values() if owner == scope)

    async def claim(self, item_id: str, state: str | None = None, *, in_order: bool = False) -> OutboxItem | None:
        self._check("claim")
        found = self.items.get(item_id)
        if found is None or found[1].claimed_elsewhere:
            return None
        if state is not None:
            await self.update(item_id, state)
        return found[1]

    async def release(self, item_id: str, state: str | None = None) -> bool:
        return state is None or await self.update(item_id, state)

    def release_soon(self, item_id: str) -> None:
        """Nobody else claims anything here."""

    async def update(self, item_id: str, state: str) -> bool:
        self.history.append(("update", state))
        if item_id in self.items:
            owner, item = self.items[item_id]
            self.items[item_id] = (owner, item._replace(state=state))
        return item_id in self.items

    async def remove(self, item_id: str) -> bool:
        self._check("remove")
        self.history.append(("remove", item_id))
        if item_id in self.items and self.items[item_id][1].claimed_elsewhere:
            return False
        return self.items.pop(item_id, None) is not None

    @property
    def states(self) -> list[str]:
        return [item.state for _, item in self.items.values()]


class FakeCache:
    def __init__(self) -> None:
        self.kept: dict[tuple[Scope, str], Cached] = {}

    async def put(self, scope: Scope, name: str, payload: bytes) -> None:
        self.kept[scope, name] = Cached(payload, time.time())

    async def get(self, scope: Scope, name: str) -> Cached | None:
        return self.kept.get((scope, name))


class FakeFollowUps:
    """`waiting` has the ids of the tasks for which messages wait."""

    def __init__(self) -> None:
        self.waiting: frozenset[str] = frozenset()

    async def tasks(self, scope: Scope) -> frozenset[str]:
        return self.waiting


@dataclass
class FakeStorage:
    settings: FakeSettings = field(default_factory=FakeSettings)
    drafts: FakeDrafts = field(default_factory=FakeDrafts)
    outbox: FakeOutbox = field(default_factory=FakeOutbox)
    cache: FakeCache = field(default_factory=FakeCache)
    follow_ups: FakeFollowUps = field(default_factory=FakeFollowUps)

    async def delete_unnamed_attachments(self) -> None:
        """There are none."""


@dataclass
class FakeHost:
    key: str = "us"
    name: str = "PostHog US"
    embedded: bool = False
    origin: str = "https://us.posthog.com"


class FakeCredential:
    def __init__(self) -> None:
        self.key = CredentialKey("https://host.example")
        self.status = CredentialStatus(CredentialState.SIGNED_IN)
        self.changed: Event[Any] = Event()
        self.happened: Event[Any] = Event()

    async def begin_sign_in(self) -> None:
        """Nobody signs in here."""

    def become(self, state: CredentialState, trouble: Trouble | None = None) -> None:
        self.status = CredentialStatus(state, trouble=trouble)
        self.changed.emit(self.status)


class FakeAccounts:
    def __init__(self, scope: Scope) -> None:
        self.account = scope.account

    async def me(self) -> User:
        return User(uuid=self.account, first_name=self.account)


class FakeBackend:
    def __init__(
        self, tasks: FakeTasks | None = None, *, scope: Scope | None = ANA, project: Project | None = PROJECT
    ) -> None:
        self.host = FakeHost()
        self.credential = FakeCredential()
        self.tasks = tasks or FakeTasks()
        self.run_start = FakeRunStart(self.tasks)
        self.models = FakeModels()
        self.github = FakeGitHub(self.tasks)
        self.accounts = FakeAccounts(scope or ANA)
        self.scope = scope
        self.project = project
        self.account = User(uuid=self.accounts.account, first_name=self.accounts.account)
        self.changed: Event[Any] = Event()
        self.sure = True

    async def admit(self, scope: Scope | None) -> Admission:
        """Who is signed in is always known here."""
        return Admission(scope)


class FakeServices:
    without_account = False

    def __init__(self) -> None:
        self.storage = FakeStorage()
        self.folder = Path("nowhere")
        self.busy = Busy()
        self.backend: FakeBackend | None = None


class FakeNavigator:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.words: list[str] = []
        self.sign_ins = 0
        self.allowing: list[tuple[tuple[str, ...], asyncio.Future[None]]] = []
        """The permissions that a browser was opened for, and what the test answers."""
        self.gone: list[tuple[str, str | None]] = []

    def go(self, place: str, item: str | None = None) -> None:
        self.gone.append((place, item))

    def announce(self, text: str, *, assertive: bool = False) -> None:
        self.said.append(text)

    def status(self, text: str) -> None:
        self.words.append(text)

    def sign_in(self) -> None:
        self.sign_ins += 1

    async def allow(self, scopes: Sequence[str]) -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.allowing.append((tuple(scopes), answer))
        await answer


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    """Give the loop turns until `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def settle(turns: int = 20) -> None:
    """Let everything that is ready run, also what Qt puts off to its next turn."""
    for _ in range(3):
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)
