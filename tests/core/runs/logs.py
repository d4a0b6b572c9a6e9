"""Entries of run logs, in the words of the wire, and a transcript as a few readable lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from app.core.runs.items import (
    Item,
    Message,
    Notice,
    Permission,
    Plan,
    Prompt,
    Setup,
    ShellCommand,
    Thought,
    ToolCall,
    TurnEnd,
    Unknown,
)
from app.core.runs.log_entries import LogEntry, read_entry
from app.core.runs.transcript import Transcript

Rpc = dict[str, Any]


def prompt(text: str, id: object = 1, **block: Any) -> Rpc:  # noqa: A002
    blocks = [{"type": "text", "text": text, **block}]
    return {"jsonrpc": "2.0", "id": id, "method": "session/prompt", "params": {"prompt": blocks}}


def response(id: object, **result: Any) -> Rpc:  # noqa: A002
    return {"jsonrpc": "2.0", "id": id, "result": result}


def ended(id: object = 1, reason: str = "end_turn") -> Rpc:  # noqa: A002
    return response(id, stopReason=reason)


def update(kind: str, /, **fields: Any) -> Rpc:
    changed = {"sessionUpdate": kind, **fields}
    return {"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": changed}}


def chunk(text: str, kind: str = "agent_message_chunk", /, **fields: Any) -> Rpc:
    return update(kind, content={"type": "text", "text": text}, **fields)


def message(text: str) -> Rpc:
    return chunk(text, "agent_message")


def call(id: str = "c1", **fields: Any) -> Rpc:  # noqa: A002
    return update("tool_call", toolCallId=id, **{"title": id, "kind": "read", "status": "pending", **fields})


def progress(id: str = "c1", status: str | None = "completed", **fields: Any) -> Rpc:  # noqa: A002
    more = {"status": status} if status else {}
    return update("tool_call_update", toolCallId=id, **more, **fields)


def output(text: str) -> list[Rpc]:
    return [{"type": "content", "content": {"type": "text", "text": text}}]


def note(name: str, **params: Any) -> Rpc:
    return {"jsonrpc": "2.0", "method": f"_posthog/{name}", "params": params}


def ask(id: object = "p1", call_id: str = "c1", **fields: Any) -> Rpc:  # noqa: A002
    options = [
        {"optionId": "allow", "name": "Allow", "kind": "allow_once"},
        {"optionId": "reject", "name": "No", "kind": "reject_once"},
    ]
    params = {"options": options, "toolCall": {"toolCallId": call_id, "title": "Write", **fields}}
    return {"jsonrpc": "2.0", "id": id, "method": "session/request_permission", "params": params}


def stream_ask(id: str = "p1", call_id: str = "c1") -> Rpc:  # noqa: A002
    """The form that a stream has."""
    return {"type": "permission_request", "requestId": id, **ask(id, call_id)["params"]}


def wrapped(rpc: Rpc, at: str = "2026-11-29T12:00:00.000Z") -> bytes:
    """An entry as it is stored. What has a type is a message of a stream and has no wrapper."""
    if "type" in rpc:
        return json.dumps(rpc).encode()
    return json.dumps({"type": "notification", "timestamp": at, "notification": rpc}).encode()


def entries(*rpcs: Rpc, live: bool = False, first: int | None = None) -> list[LogEntry]:
    """Entries; with `first` they have event ids from that number on."""
    found = []
    for number, rpc in enumerate(rpcs):
        event_id = "" if first is None else f"log-{first + number}"
        one = read_entry(wrapped(rpc), event_id=event_id, live=live)
        assert one is not None
        found.append(one)
    return found


def transcript_of(*rpcs: Rpc) -> Transcript:
    transcript = Transcript()
    transcript.apply(entries(*rpcs))
    return transcript


def items(transcript: Transcript) -> list[Item]:
    return [transcript.item(index) for index in range(len(transcript))]


def shown(transcript: Transcript) -> list[str]:
    """The transcript as text, one line for each item."""
    return [line(item) for item in items(transcript)]


def line(item: Item) -> str:
    late = " (late)" if item.late else ""
    return f"{_LINES[type(item)](item)}{late}"


def same(one: Transcript, other: Transcript) -> bool:
    """Whether they show the same, times aside: those of the stream are not those of the log."""
    return timeless(items(one)) == timeless(items(other))


def timeless(found: Iterable[Item]) -> list[str]:
    return [f"{item.key} {line(item)}" for item in found]


_LINES: dict[type[Item], Any] = {
    Prompt: lambda item: f"> {item.text}",
    Message: lambda item: f"says {item.text}",
    Thought: lambda item: f"thinks {item.text}",
    ToolCall: lambda item: f"{item.kind} {item.title} {item.status}",
    Plan: lambda item: f"plan {[(each.content, each.status) for each in item.entries]}",
    Setup: lambda item: f"setup {item.group} {[(each.step, each.status) for each in item.steps]}",
    Permission: lambda item: f"asks {item.title} {item.answer or '?'}",
    Notice: lambda item: f"{item.level} {item.text}",
    ShellCommand: lambda item: f"$ {item.command} {item.exit_code}",
    TurnEnd: lambda item: f"end {item.reason}",
    Unknown: lambda item: f"unknown {item.method}",
}
