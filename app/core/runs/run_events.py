"""What a run's stream says, beside the entries of its log (docs/wire.md, "Run stream")."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec resolves it at run time
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import msgspec

from app.core.posthog.types import TaskRun, Value
from app.core.runs.log_entries import RUN_STATE, UNREADABLE, read_entry
from app.core.runs.params import decoded

if TYPE_CHECKING:
    from app.core.posthog.runs import StreamedEvent
    from app.core.runs.log_entries import LogEntry

KEEPALIVE, ROTATED, STREAM_END, ERROR = "keepalive", "end", "stream-end", "error"


class RunStateChange(Value, frozen=True):
    """`task_run_state`: what changed of a run. What is absent stays."""

    status: str | None = None
    stage: str | None = None
    branch: str | None = None
    error_message: str | None = None
    output: dict[str, Any] | None = None
    state: dict[str, Any] | None = None
    updated_at: datetime | None = None
    completed_at: datetime | None = None


class RunEvent(NamedTuple):
    """One event: a log `entry`, a `change` of the run, a `signal` of the stream itself, or nothing of these.

    `signal` is one of the names above; `detail` is what an `error` says.
    """

    id: str
    entry: LogEntry | None = None
    change: RunStateChange | None = None
    signal: str = ""
    detail: str = ""


class _Kind(msgspec.Struct):
    type: Any = None
    error: Any = None


def read_event(event: StreamedEvent) -> RunEvent:
    """An event as it came, read. What is unknown is an event with nothing in it."""
    raw = event.data.encode("utf-8", "replace")
    if event.name:
        if event.name not in {KEEPALIVE, ROTATED, STREAM_END, ERROR}:
            return RunEvent(event.id)
        said = _kind(raw).error if event.name == ERROR else None
        return RunEvent(event.id, signal=event.name, detail=said if isinstance(said, str) else "")
    # An event without an id has that of the one before it (HTML Standard, "Server-sent events"), but other data.
    own_id = f"{event.id}/{crc32(raw):x}" if event.id else ""
    entry = read_entry(raw, event_id=own_id, live=True)
    if entry is not None:
        return RunEvent(event.id, entry)
    kind = _kind(raw).type
    if kind == RUN_STATE:
        return RunEvent(event.id, change=decoded(msgspec.Raw(raw), RunStateChange))
    # Some servers send it without the event's name.
    return RunEvent(event.id, signal=KEEPALIVE if kind == KEEPALIVE else "")


def changed_run(run: TaskRun, change: RunStateChange) -> TaskRun:
    """`run` with what changed."""
    fields = {name: getattr(change, name) for name in change.__struct_fields__}
    return msgspec.structs.replace(run, **{name: value for name, value in fields.items() if value is not None})


def _kind(raw: bytes) -> _Kind:
    try:
        return msgspec.json.decode(raw, type=_Kind)
    except UNREADABLE:
        return _Kind()
