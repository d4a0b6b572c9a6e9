"""One run: its log, its stream, what its agent is told, its files (docs/wire.md, "Runs" to "Run stream").

What a log or a stream has in it is read by `app.core.runs`; here it is bytes.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.core.errors import BurrowError, NotFound, ProtocolTrouble, Rejected
from app.core.posthog.run_errors import CommandRefused, StreamTokenRefused, command_error
from app.core.posthog.run_files import RunUploads
from app.core.posthog.types import Page, RunArtifact, TaskRun
from app.core.posthog.wire import bounded, decode_one, decode_page, segment
from app.core.redaction import hide

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from app.core.fetcher import Admission, Fetcher
    from app.core.posthog.run_files import RunFile
    from app.core.streams import AnswerStream

LOG_PAGE = 5_000
LAST_EVENT_ID = "Last-Event-ID"
# Longer than the 90 seconds after which a follower gives a stream up by itself.
STREAM_SILENCE = 300.0
# An agent may answer a message when its turn has ended. The host gives up earlier.
COMMAND_SECONDS = 120.0
UNAUTHORIZED, FORBIDDEN = 401, 403


class LogPart(NamedTuple):
    """A part of a stored log: a JSON array of entries. `more` says whether others follow, None where nothing does."""

    content: bytes
    more: bool | None


class StreamedEvent(NamedTuple):
    """One server-sent event. `name` is empty for one without a name, `id` is the id to go on from."""

    name: str
    id: str
    data: str


class RunChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to change of a run that is carried out on this machine. None stays as it is."""

    status: str | None = None
    branch: str | None = None
    stage: str | None = None
    output: dict[str, object] | None = None
    state: dict[str, object] | None = None
    error_message: str | None = None
    environment: str | None = None


class _StreamToken(msgspec.Struct):
    token: str | None = None
    stream_base_url: str | None = None


class _RpcFailure(msgspec.Struct):
    code: int | None = None
    message: str | None = None


class _RpcAnswer(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw()
    error: _RpcFailure | None = None


class _Stored(msgspec.Struct):
    log_url: str | None = None


class _Files(msgspec.Struct):
    artifacts: tuple[RunArtifact, ...] = ()


class _Presigned(msgspec.Struct):
    url: str


class Runs:
    """Every method sends requests and raises `BurrowError`. `project` returns the current project's id.

    `task` and `run` are ids.
    """

    def __init__(self, fetcher: Fetcher, project: Callable[[], int]) -> None:
        self._fetcher = fetcher
        self._project = project
        self._tokens: dict[str, _StreamToken] = {}
        self._commands = 0
        self._uploads: dict[str, RunUploads] = {}

    async def get(self, task: str, run: str) -> TaskRun:
        return decode_one(await self._fetcher.get(self._path(task, run)), TaskRun)

    async def list(self, task: str, *, limit: int = 50) -> Page[TaskRun]:
        """The first page of a task's runs, the newest first."""
        return decode_page(await self._fetcher.get(self._path(task), params={"limit": bounded(limit)}), TaskRun)

    async def more(self, cursor: str) -> Page[TaskRun]:
        """The page after one whose `next` is `cursor`. Raises `Rejected` for a URL of another server."""
        return decode_page(await self._fetcher.get(cursor), TaskRun, cursor)

    # What the run says

    async def log_page(self, task: str, run: str, *, offset: int = 0, limit: int = LOG_PAGE) -> LogPart:
        """The entries of the stored log from `offset` on, 5,000 at most. Raises `NotFound` on older servers."""
        answer = await self._fetcher.get(
            self._path(task, run, "session_logs"), params={"limit": limit, "offset": offset}
        )
        said = answer.headers.get("X-Has-More")
        return LogPart(answer.content, None if said is None else said.lower() == "true")

    async def whole_log(self, task: str, run: str) -> bytes:
        """The stored log as JSON lines, from where the run says it is stored; empty while nothing is.

        For servers without `session_logs/`. The address is signed and needs no token; one that has expired is asked for
        again, once.
        """
        for last_try in (False, True):
            # Not a part of `TaskRun`, which is cached on disk: the address is a secret.
            url = decode_one(await self._fetcher.get(self._path(task, run)), _Stored).log_url
            if not url:
                return b""
            try:
                return (await self._fetcher.get_openly(url)).content
            except NotFound:
                return b""
            except BurrowError as refused:
                if last_try or refused.facts.status != FORBIDDEN:
                    raise
        raise AssertionError("the last try returns or raises")

    @asynccontextmanager
    async def stream(
        self, task: str, run: str, *, last_event_id: str = "", latest: bool = False
    ) -> AsyncIterator[AsyncIterator[StreamedEvent]]:
        """The run's events as they come; with `latest`, only those from now on.

        The host may have another server stream them, with a token of its own. The user's token is sent to the host
        only. Raises what `Fetcher.stream` raises, and `StreamTokenRefused` when a new token is refused too. A 503 has
        `facts.retry_after`.
        """
        headers = {"Accept": "text/event-stream"}
        if last_event_id:
            headers[LAST_EVENT_ID] = last_event_id
        params = {"start": "latest" if latest else None}
        place = await self._stream_place(task, run)
        if place.stream_base_url and place.token:
            async with self._elsewhere(task, run, place, params, headers) as events:
                yield events
            return
        async with self._fetcher.stream(
            self._path(task, run, "stream"), params=params, headers=headers, silence=STREAM_SILENCE
        ) as answer:
            yield _events(answer)

    @asynccontextmanager
    async def _elsewhere(
        self,
        task: str,
        run: str,
        place: _StreamToken,
        params: Mapping[str, str | int | bool | None],
        headers: Mapping[str, str],
    ) -> AsyncIterator[AsyncIterator[StreamedEvent]]:
        for last_try in (False, True):
            begun = False
            try:
                url = f"{(place.stream_base_url or '').rstrip('/')}/v1/runs/{segment(run)}/stream"
                async with self._fetcher.stream_openly(
                    url, bearer=place.token or "", params=params, headers=headers, silence=STREAM_SILENCE
                ) as answer:
                    begun = True
                    yield _events(answer)
                return
            except BurrowError as refused:
                if begun or refused.facts.status != UNAUTHORIZED:
                    raise
                self._tokens.pop(run, None)
                if last_try:
                    raise StreamTokenRefused(refused.cause, refused.facts) from None
            place = await self._stream_place(task, run)

    async def _stream_place(self, task: str, run: str) -> _StreamToken:
        known = self._tokens.get(run)
        if known is not None:
            return known
        try:
            place = (await self._fetcher.get(self._path(task, run, "stream_token"))).decode(_StreamToken)
        except (NotFound, ProtocolTrouble):
            return _StreamToken()
        hide(place.token)
        if place.stream_base_url:
            self._tokens[run] = place
        return place

    # What it is told

    async def command(
        self, task: str, run: str, method: str, params: object, *, admission: Admission | None = None
    ) -> msgspec.Raw:
        """Tell the agent something; returns its result as JSON. `admission`: see `Fetcher.request`.

        Raises `CommandRefused` for the agent's own errors, `RunOver`, `AgentNotReady`, and `AgentUnreachable` or
        `OutcomeUnknown` when the agent may have got it.
        """
        self._commands += 1
        body = {"jsonrpc": "2.0", "method": method, "params": params, "id": f"burrow-{self._commands}"}
        try:
            answer = await self._fetcher.request(
                "POST",
                self._path(task, run, "command"),
                body=body,
                timeout=COMMAND_SECONDS,
                admission=admission,
            )
        except BurrowError as error:
            raise command_error(error) from None
        found = answer.decode(_RpcAnswer)
        if found.error is not None:
            raise CommandRefused(found.error.message or "The agent gave no reason.", number=found.error.code or 0)
        return found.result

    async def cancel(self, task: str, run: str, *, reason: str = "", unless_spoken_to: bool = False) -> bool:
        """Cancel a cloud run; False if it had ended. Raises `NotFound` on older servers.

        With `unless_spoken_to` only if it still waits for its first message.
        """
        body: dict[str, object] = {}
        if reason:
            body["reason"] = reason[:500]
        if unless_spoken_to:
            body["only_if_awaiting_first_message"] = True
        answer = await self._fetcher.request("POST", self._path(task, run, "cancel"), body=body, idempotent=True)
        return answer.status == 202

    async def make_local(self, task: str) -> TaskRun:
        """Make a run that this machine carries out. Raises `OutcomeUnknown` when it may have been made."""
        body = {"environment": "local", "mode": "interactive"}
        return decode_one(await self._fetcher.post(self._path(task), body), TaskRun)

    async def append_log(self, task: str, run: str, entries: Sequence[msgspec.Raw]) -> None:
        """Add entries to the log of a run that is carried out on this machine."""
        await self._fetcher.post(self._path(task, run, "append_log"), {"entries": list(entries)})

    async def change(self, task: str, run: str, change: RunChange) -> TaskRun:
        """Change a run that is carried out on this machine. One that has ended stays as it is."""
        return decode_one(await self._fetcher.patch(self._path(task, run), change), TaskRun)

    # Its files

    async def artifacts(self, task: str, run: str) -> tuple[RunArtifact, ...]:
        """The files of a run: what it was given, and what it made."""
        return decode_one(await self._fetcher.get(self._path(task, run)), _Files).artifacts

    async def download(self, task: str, run: str, storage_path: str) -> bytes:
        """The content of a file, 64 MB at most."""
        body = {"storage_path": storage_path}
        answer = await self._fetcher.request(
            "POST", self._path(task, run, "artifacts", "download"), body=body, idempotent=True
        )
        return answer.content

    @asynccontextmanager
    async def reading(self, task: str, run: str, storage_path: str) -> AsyncIterator[AnswerStream]:
        """The content of a file while it comes, of any size, from where it is stored."""
        url = await self.address(task, run, storage_path)
        async with self._fetcher.stream_openly(url) as answer:
            yield answer

    async def address(self, task: str, run: str, storage_path: str) -> str:
        """An address that a browser can open for about an hour. It is a secret."""
        body = {"storage_path": storage_path}
        answer = await self._fetcher.request(
            "POST", self._path(task, run, "artifacts", "presign"), body=body, idempotent=True
        )
        return answer.decode(_Presigned).url

    async def upload(self, task: str, run: str, files: Sequence[RunFile]) -> tuple[str, ...]:
        """Upload files for a message; returns the ids that it names them by. What has arrived is not sent again."""
        place = self._path(task, run, "artifacts").rstrip("/")
        return tuple(await self._uploads.setdefault(place, RunUploads(self._fetcher, place)).put(files))

    def _path(self, task: str, *parts: str) -> str:
        if not task:
            raise Rejected("The run names no task.")
        below = (segment(part) for part in (task, "runs", *parts))
        return "/".join([f"/api/projects/{self._project()}/tasks", *below, ""])


async def _events(answer: AnswerStream) -> AsyncIterator[StreamedEvent]:
    async for event in answer.events():
        name = "" if event.event == "message" else event.event
        yield StreamedEvent(name, event.id, event.data)
