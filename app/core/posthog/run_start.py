"""Starting cloud runs (docs/wire.md, "Starting a run").

There are two ways. `run/` starts a run in one call, with files that are staged at the task before. `runs/` makes a run,
which gets its files and is then started by `runs/{r}/start/`. The first goes first: until its last request there is no
run, so an upload that fails leaves nothing behind that would hold the task up. A server that lacks the first, or a
place to stage files, is asked for the second.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app.core.errors import (
    BurrowError,
    NotFound,
    Offline,
    OutcomeUnknown,
    PermissionMissing,
    ProtocolTrouble,
    Rejected,
    SignInNeeded,
    TimedOut,
)
from app.core.posthog.run_attempts import NoAttempts, RunAttempt, UnfinishedStart, may_be
from app.core.posthog.run_errors import StartedOtherwise
from app.core.posthog.run_files import NO_PLACE, RunUploads, with_files
from app.core.posthog.run_options import RunOptions, body_of, going_on, settled
from app.core.posthog.types import Task, TaskRun
from app.core.posthog.wire import decode_one, decode_page, segment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.core.fetcher import Answer, Fetcher
    from app.core.posthog.github import GitHub
    from app.core.posthog.models import AgentModels
    from app.core.posthog.run_attempts import KeptAttempts
    from app.core.posthog.run_files import RunFile
    from app.core.posthog.run_options import AgentModel

# The clocks of this computer and of the server may differ.
CLOCK_DIFFERENCE = timedelta(minutes=2)
# As many of the newest runs are looked through for one whose outcome is not known.
LOOKED_THROUGH = 20
STARTABLE = frozenset({"not_started", "queued"})
SIGNAL_REPORT = "signal_report"
NOT_ALLOWED = 405


class _NoSuchWay(Exception):
    """The server lacks this way to start a run; nothing was started by it."""


class RunStart:
    """Starts runs. `start` may be called again after any error, and goes on from where it came.

    A run whose start has an unknown outcome is looked for before another one is started; files that have arrived are
    not sent again. How far a start has come is in `kept` before each request that matters, so another process can go
    on with it. `project` returns the current project's id.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        project: Callable[[], int],
        models: AgentModels,
        github: GitHub,
        kept: KeptAttempts | None = None,
    ) -> None:
        self._fetcher, self._project, self._models, self._github = fetcher, project, models, github
        self._kept = kept or NoAttempts()
        self._attempts: dict[tuple[int, str], RunAttempt] = {}

    async def start(self, task: Task, options: RunOptions | None = None, files: Sequence[RunFile] = ()) -> Task:
        """Start an interactive cloud run of `task`; the `latest_run` of the answer is the new one.

        Raises `Rejected` for what the server does not accept, with `facts.attr` or `facts.missing_files`, and with the
        code `github_authorization_required` where GitHub has to be connected first; `QuotaReached` with `facts.limit`;
        `PermissionMissing`, `NotFound`; `ServerTrouble` where plan or access could not be checked (503);
        `OutcomeUnknown` where a run may have been started; `StartedOtherwise` where one was, with an earlier message.
        But for the last two, no run was started.
        """
        key = self._project(), task.id
        if key not in self._attempts:
            earlier = (await self._kept.all()).get(task.id)
            self._attempts.setdefault(key, earlier or RunAttempt(_runs_of(task)))
        attempt, wanted = self._attempts[key], options or RunOptions()
        async with attempt.turn:
            former = attempt.options.message
            started = await self._started_before(task.id, attempt)
            before = started is not None
            if started is None:
                kept = attempt.files if wanted.message == former else ()
                started = await self._start(task, attempt, wanted, files or kept)
        self._attempts.pop(key, None)
        await self._kept.drop(task.id)
        if before and started.latest_run is not None and wanted.message != former:
            raise StartedOtherwise(started.latest_run)
        return started

    async def unfinished(self) -> tuple[UnfinishedStart, ...]:
        """The starts that an earlier process did not finish, as the server has them now.

        `start` goes on with one, `give_up` ends it. Raises what requests raise, and `StorageTrouble`.
        """
        found = []
        for task_id, attempt in (await self._kept.all()).items():
            key = self._project(), task_id
            if key in self._attempts:
                continue
            if await self._is_over(task_id, attempt):
                await self._kept.drop(task_id)
            else:
                self._attempts[key] = attempt
                found.append(UnfinishedStart(task_id, attempt.made, attempt.options))
        return tuple(found)

    async def give_up(self, task_id: str) -> None:
        """Do not start what was not started: a run that was made is cancelled. Raises what requests raise."""
        attempt = self._attempts.get((self._project(), task_id))
        if attempt is not None and attempt.made:
            with suppress(NotFound):
                path = f"{self._path(task_id, 'runs', attempt.made)}cancel/"
                await self._fetcher.request("POST", path, body={"reason": "Not started."}, idempotent=True)
        self._attempts.pop((self._project(), task_id), None)
        await self._kept.drop(task_id)

    async def go_on(self, task: Task, run: TaskRun, message: str, files: Sequence[RunFile] = ()) -> TaskRun:
        """Start a run that goes on from `run`, which has ended, with a message. Raises what `start` raises."""
        started = (await self.start(task, going_on(run, message), files)).latest_run
        if started is None:
            raise ProtocolTrouble("The server names no run of the task.")
        return started

    async def upload(self, task_id: str, run_id: str, files: Sequence[RunFile]) -> list[str]:
        """Upload files to a run that is under way; returns the ids that a message names them by.

        Raises `Rejected` on a server that takes none, and what requests raise.
        """
        run = self._path(task_id, "runs", run_id)
        try:
            return await RunUploads(self._fetcher, f"{run}artifacts").put(files)
        except NotFound:
            await self._run(run)
            action = "Remove the files, then send the message."
            raise Rejected("This server takes no files with a message.", action=action) from None

    async def _start(self, task: Task, attempt: RunAttempt, options: RunOptions, files: Sequence[RunFile]) -> Task:
        attempt.options = options
        await self._kept.keep(task.id, attempt, files)
        try:
            return await self._begin(task, attempt, settled(options, await self._known_models()), files)
        except BurrowError:
            if attempt.sent_at is None and not attempt.made:
                # Nothing was made by it, and the user is told.
                await self._kept.drop(task.id)
            raise

    async def _is_over(self, task_id: str, attempt: RunAttempt) -> bool:
        """Whether nothing is left to go on with: the run was started, or cancelled, or the task is gone."""
        try:
            if attempt.sent_at is not None:
                sent = await self._newest(task_id, attempt)
                attempt.sent_at = None
                if sent is not None and (not attempt.in_steps or sent.status not in STARTABLE):
                    return True
                attempt.made = sent.id if sent is not None else ""
            if attempt.made:
                return (await self._run(self._path(task_id, "runs", attempt.made))).status not in STARTABLE
            await self._fetcher.get(self._path(task_id))
        except NotFound:
            return True
        return False

    async def _newest(self, task_id: str, attempt: RunAttempt) -> TaskRun | None:
        """The run that a request of unknown outcome has made, if any."""
        assert attempt.sent_at is not None
        path, params = self._path(task_id, "runs"), {"limit": LOOKED_THROUGH}
        page = decode_page(await self._fetcher.get(path, params=params), TaskRun)
        earliest = attempt.sent_at - CLOCK_DIFFERENCE
        return next((run for run in page.items if may_be(run, attempt, earliest)), None)

    async def _begin(self, task: Task, attempt: RunAttempt, options: RunOptions, files: Sequence[RunFile]) -> Task:
        body = body_of(options, source=_source(task), authorship=await self._authorship(task))
        if attempt.made and (await self._run(self._path(task.id, "runs", attempt.made))).finished:
            # Cancelled meanwhile.
            attempt.made, attempt.uploads = "", {}
        if attempt.made and attempt.body != body:
            # It was made for something else, and would hold the task up.
            await self._leave(task.id, attempt)
        attempt.body = body
        ways = (self._in_one_call, self._in_two_steps)
        for way in reversed(ways) if attempt.made else ways:
            with suppress(_NoSuchWay):
                return await way(task.id, attempt, options.message, files)
        if files:
            raise Rejected("This server takes no files with a run.", action="Remove the files, then run the task.")
        raise Rejected("This server starts no runs.", action="Start the task on the server's own pages.")

    async def _in_one_call(self, task_id: str, attempt: RunAttempt, message: str, files: Sequence[RunFile]) -> Task:
        staged = attempt.at(self._fetcher, self._path(task_id, "staged_artifacts"))

        async def send(ids: list[str]) -> Answer:
            body = attempt.body | _first_words(message, ids)
            return await self._sent(task_id, attempt, self._path(task_id, "run"), body)

        try:
            answer = await with_files([staged], files, send)
        except (NotFound, Rejected) as refusal:
            await self._unless_lacking(refusal, self._path(task_id))
            raise
        return await self._task_of(task_id, answer)

    async def _in_two_steps(self, task_id: str, attempt: RunAttempt, message: str, files: Sequence[RunFile]) -> Task:
        if not attempt.made:
            try:
                answer = await self._sent(task_id, attempt, self._path(task_id, "runs"), attempt.body)
            except (NotFound, Rejected) as refusal:
                await self._unless_lacking(refusal, self._path(task_id))
                raise
            # Should the answer be unreadable, the run is there all the same.
            attempt.made = decode_one(answer, TaskRun).id
            attempt.sent_at = None
            await self._kept.keep(task_id, attempt)
        run = self._path(task_id, "runs", attempt.made)
        places = [
            attempt.at(self._fetcher, f"{run}artifacts/"),
            attempt.at(self._fetcher, self._path(task_id, "staged_artifacts")),
        ]

        async def send(ids: list[str]) -> Answer:
            return await self._start_made(task_id, run, _first_words(message, ids))

        try:
            return await self._task_of(task_id, await with_files(places, files, send))
        except NotFound as refusal:
            if refusal.facts.code == NO_PLACE:
                raise _NoSuchWay from None
            try:
                await self._unless_lacking(refusal, run)
            except _NoSuchWay:
                await self._leave(task_id, attempt)
                raise
            raise

    async def _start_made(self, task_id: str, run: str, body: dict[str, object]) -> Answer:
        """Start a run that was made. Sent twice, it still starts this one run."""
        try:
            return await self._fetcher.post(f"{run}start/", body)
        except (OutcomeUnknown, TimedOut, Rejected) as failure:
            if failure.facts.missing_files:
                raise
            # An earlier request may have started it, or this one.
            if (await self._run(run)).status in STARTABLE:
                raise
        return await self._fetcher.get(self._path(task_id))

    async def _sent(self, task_id: str, attempt: RunAttempt, path: str, body: dict[str, object]) -> Answer:
        """Send what makes a run. Until its outcome is known, `sent_at` says so; before it is sent, this is stored."""
        attempt.sent_at, attempt.in_steps = datetime.now(UTC), path.endswith("/runs/")
        await self._kept.keep(task_id, attempt)
        try:
            return await self._fetcher.post(path, body)
        except (OutcomeUnknown, TimedOut, asyncio.CancelledError):
            # Of what was cancelled it is not known either.
            raise
        except BaseException:
            attempt.sent_at = None
            raise

    async def _started_before(self, task_id: str, attempt: RunAttempt) -> Task | None:
        """The task, if an earlier request of unknown outcome has started a run of it. Raises if that is not clear."""
        if attempt.sent_at is None:
            return None
        found = await self._newest(task_id, attempt)
        if found is not None and found.finished and attempt.restored:
            # It was started, and a while ago: whoever starts one now wants another.
            found = None
        attempt.sent_at = None
        if found is None:
            return None
        if attempt.in_steps and found.status in STARTABLE:
            attempt.made = found.id
            return None
        return decode_one(await self._fetcher.get(self._path(task_id)), Task)

    async def _unless_lacking(self, refusal: BurrowError, there: str) -> None:
        """Raise `_NoSuchWay` if a path was refused although what it is about, at `there`, exists."""
        if refusal.facts.status == NOT_ALLOWED:
            raise _NoSuchWay
        if isinstance(refusal, NotFound):
            # Raises `NotFound` about the thing itself.
            await self._fetcher.get(there)
            raise _NoSuchWay

    async def _leave(self, task_id: str, attempt: RunAttempt) -> None:
        """Cancel the run that was made and will not be started. If that fails, it stays with the task."""
        run, attempt.made, attempt.uploads = self._path(task_id, "runs", attempt.made), "", {}
        with suppress(NotFound, Rejected, PermissionMissing):
            await self._fetcher.post(f"{run}cancel/", {"reason": "Started anew with other options."})

    async def _authorship(self, task: Task) -> str:
        """`user` where the person has connected GitHub, else `bot`. The task is told which connection that is."""
        try:
            connected = await self._github.connections()
        except (Offline, SignInNeeded):
            raise
        except BurrowError:
            return "bot"
        own = next((each for each in connected if each.personal), None)
        if own is None:
            return "bot"
        if task.repository and task.github_integration is None and task.github_user_integration is None:
            # A server that refuses it says by the start what is missing.
            with suppress(NotFound, Rejected, PermissionMissing):
                await self._fetcher.patch(self._path(task.id), {"github_user_integration": own.id})
        return "user"

    async def _known_models(self) -> tuple[AgentModel, ...]:
        try:
            return await self._models.list()
        except (Offline, SignInNeeded):
            raise
        except BurrowError:
            # What is wrong with the list need not be wrong with the run.
            return self._models.known()

    async def _task_of(self, task_id: str, answer: Answer) -> Task:
        """The task of an answer that says that a run is started."""
        try:
            return decode_one(answer, Task)
        except ProtocolTrouble:
            return decode_one(await self._fetcher.get(self._path(task_id)), Task)

    async def _run(self, path: str) -> TaskRun:
        return decode_one(await self._fetcher.get(path), TaskRun)

    def _path(self, *parts: str) -> str:
        return "/".join([f"/api/projects/{self._project()}/tasks", *(segment(part) for part in parts), ""])


def _first_words(message: str, ids: list[str]) -> dict[str, object]:
    found: dict[str, object] = {"pending_user_artifact_ids": ids} if ids else {}
    return found | {"pending_user_message": message} if message else found


def _source(task: Task) -> dict[str, str]:
    if task.origin_product == SIGNAL_REPORT and task.signal_report:
        return {"run_source": SIGNAL_REPORT, "signal_report_id": task.signal_report}
    return {"run_source": "manual"}


def _runs_of(task: Task) -> frozenset[str]:
    return frozenset({task.latest_run.id} if task.latest_run is not None else ())
