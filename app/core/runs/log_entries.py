"""Entries of run logs, read from their bytes (docs/wire.md, "Run logs", "Run stream").

An entry is a JSON-RPC message in a wrapper with the time, or the bare message. Lines that are neither are left out. The
parameters of a message stay bytes until whoever knows the method decodes them (`params.py`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from app.core.posthog.types import Value
from app.core.wire_text import mended_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REQUEST_PERMISSION = "session/request_permission"
# The types of what a stream sends beside entries of the log.
PERMISSION_REQUEST, RUN_STATE = "permission_request", "task_run_state"
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
NOTHING = msgspec.Raw()


class RpcMessage(Value, frozen=True):
    """A JSON-RPC message: a request or notification has a `method`, a response has not.

    `id` is empty for a notification; a number is written in digits. The others are JSON, empty where there is none.
    """

    method: str = ""
    id: str = ""
    params: msgspec.Raw = NOTHING
    result: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING


class LogEntry(Value, frozen=True):
    """One entry. `event_id` is that of the stream, empty in a stored log. `raw` is the entry's JSON as it came."""

    message: RpcMessage
    at: datetime | None = None
    event_id: str = ""
    live: bool = False
    raw: bytes = b""


class _Rpc(msgspec.Struct):
    method: str | None = None
    id: Any = None
    params: msgspec.Raw = NOTHING
    result: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING


class _Line(_Rpc):
    type: Any = None
    timestamp: Any = None
    notification: _Rpc | None = None
    request_id: Any = msgspec.field(default=None, name="requestId")


_line = msgspec.json.Decoder(_Line)
_page = msgspec.json.Decoder(list[msgspec.Raw])


def read_entry(raw: bytes, *, event_id: str = "", live: bool = False) -> LogEntry | None:
    """One entry, or None for what is none. `raw` is kept."""
    readable = raw
    line = _decoded(readable)
    if line is None:
        readable = mended_json(raw)
        line = _decoded(readable)
    if line is None:
        return None
    if line.type == PERMISSION_REQUEST:
        # Its parameters are beside its type.
        message = RpcMessage(REQUEST_PERMISSION, _identifier(line.request_id), msgspec.Raw(readable))
    else:
        rpc: _Rpc = line if line.notification is None else line.notification
        if rpc.method is None and rpc.id is None:
            return None
        message = RpcMessage(_named(rpc.method or ""), _identifier(rpc.id), rpc.params, rpc.result, rpc.error)
    return LogEntry(message, _moment(line.timestamp), event_id, live, raw)


def entry(method: str, params: object, *, id: str = "", live: bool = True) -> LogEntry:  # noqa: A002
    """An entry of Burrow's own, now."""
    at = datetime.now(UTC)
    rpc: dict[str, object] = {"jsonrpc": "2.0", "method": method, "params": params}
    if id:
        rpc["id"] = id
    raw = msgspec.json.encode({"type": "notification", "timestamp": at.isoformat(), "notification": rpc})
    return LogEntry(RpcMessage(method, id, msgspec.Raw(msgspec.json.encode(params))), at, "", live, raw)


def split_page(content: bytes) -> list[msgspec.Raw]:
    """The entries of a page of `session_logs/`, a JSON array, each as its JSON. Raises `msgspec.DecodeError`."""
    try:
        return _page.decode(content)
    except UNREADABLE:
        return _page.decode(mended_json(content))


def entries_of(lines: Iterable[bytes | msgspec.Raw]) -> Iterator[LogEntry]:
    """Those that can be read, one at a time."""
    for line in lines:
        # The bytes of one line, not a view of them that keeps the whole page in memory.
        found = read_entry(bytes(line))
        if found is not None:
            yield found


def iterate_lines(content: bytes) -> Iterator[LogEntry]:
    """The entries of a log in JSON lines, the oldest first, one at a time, without those that cannot be read."""
    start = 0
    while start < len(content):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        found = read_entry(content[start:end]) if end > start else None
        start = end + 1
        if found is not None:
            yield found


def _decoded(raw: bytes) -> _Line | None:
    try:
        return _line.decode(raw)
    except UNREADABLE:
        return None


def _named(method: str) -> str:
    """The method's name. Agents may double the underscore that extensions begin with."""
    return method[1:] if method.startswith("__") else method


def _identifier(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    # At the ends of the calendar are placeholders, which not every time zone can show.
    if not 1 < found.year < 9999:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
