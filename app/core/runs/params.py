"""The parameters of the messages in run logs, as structs.

They follow the Agent Client Protocol (https://agentclientprotocol.com/protocol/schema) and its extensions in run logs
(docs/wire.md, "Run logs"). Every field is optional: agents differ, and what is there makes the item.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from app.core.posthog.wire import decode_items
from app.core.runs.log_entries import NOTHING, UNREADABLE

T = TypeVar("T")


class CamelCase(msgspec.Struct, rename="camel"):
    """The base of what is decoded from camelCase names."""


class AskedChoice(CamelCase):
    label: str = ""
    description: str | None = None


class AskedQuestion(CamelCase):
    question: str = ""
    header: str | None = None
    options: list[AskedChoice] | None = None
    multi_select: bool | None = None


class ClaudeMeta(CamelCase):
    tool_name: str | None = None
    parent_tool_call_id: str | None = None


class McpMeta(CamelCase):
    server: str | None = None
    server_name: str | None = None
    tool: str | None = None
    tool_name: str | None = None


class UiMeta(CamelCase):
    hidden: bool | None = None


class TerminalOutput(CamelCase):
    data: str | None = None


class Meta(CamelCase):
    """`_meta`, as far as Burrow knows it."""

    claude_code: ClaudeMeta | None = None
    mcp: McpMeta | None = None
    ui: UiMeta | None = None
    hidden: bool | None = None
    code_tool_kind: str | None = None
    questions: list[AskedQuestion] | None = None
    custom_input: bool | None = None
    description: str | None = None
    terminal_output: TerminalOutput | None = msgspec.field(default=None, name="terminal_output")

    @property
    def is_hidden(self) -> bool:
        return bool(self.hidden or (self.ui is not None and self.ui.hidden))


class Resource(CamelCase):
    uri: str | None = None
    mime_type: str | None = None
    text: str | None = None
    blob: str | None = None


class Block(CamelCase):
    """A content block: `text`, `image`, `audio`, `resource_link`, `resource` or a later type."""

    type: str | None = None
    text: str | None = None
    data: str | None = None
    mime_type: str | None = None
    uri: str | None = None
    name: str | None = None
    title: str | None = None
    resource: Resource | None = None
    meta: Meta | None = msgspec.field(default=None, name="_meta")


class ToolContent(CamelCase):
    """What a tool call shows: `content` with a block, `diff`, `terminal` or a later type."""

    type: str | None = None
    content: Block | None = None
    path: str | None = None
    old_text: str | None = None
    new_text: str | None = None
    text: str | None = None


class ToolPlace(CamelCase):
    path: str | None = None
    line: int | None = None


class Prompted(CamelCase):
    prompt: list[Block] | None = None


class AskedOption(CamelCase):
    option_id: str = ""
    name: str | None = None
    kind: str | None = None
    meta: Meta | None = msgspec.field(default=None, name="_meta")


class AskedCall(CamelCase):
    """The tool call that a permission is about."""

    tool_call_id: str | None = None
    title: str | None = None
    kind: str | None = None
    status: str | None = None
    content: list[ToolContent] | None = None
    locations: list[ToolPlace] | None = None
    raw_input: msgspec.Raw = NOTHING
    raw_output: msgspec.Raw = NOTHING
    meta: Meta | None = msgspec.field(default=None, name="_meta")


class Asked(CamelCase):
    options: list[AskedOption] | None = None
    tool_call: AskedCall | None = None
    request_id: str | int | None = None


class Answered(CamelCase):
    """`permission_response` and `permission_resolved`."""

    request_id: str | int | None = None
    tool_call_id: str | None = None
    option_id: str | None = None
    outcome: Any = None


class PermissionOutcome(CamelCase):
    outcome: str | None = None
    option_id: str | None = None


class Result(CamelCase):
    """A response's result: of a prompt it has a reason, of a permission an outcome."""

    stop_reason: str | None = None
    outcome: PermissionOutcome | None = None


class Failure(CamelCase):
    code: int | None = None
    message: str | None = None
    data: Any = None


class Note(CamelCase):
    """The parameters of PostHog's notifications, of which each has a few."""

    run_id: str | None = None
    session_id: str | None = None
    stop_reason: str | None = None
    level: str | None = None
    message: Any = None
    error: Any = None
    group: str | None = None
    step: str | None = None
    label: str | None = None
    status: str | None = None
    detail: str | None = None
    is_complete: bool | None = None
    trigger: str | None = None
    pre_tokens: int | None = None
    context_size: int | None = None
    used: int | None = None
    size: int | None = None
    mode: str | None = None
    branch: str | None = None
    branch_name: str | None = None
    content: Any = None
    summary: str | None = None
    title: str | None = None


class ShellResult(CamelCase):
    stdout: str | None = None
    stderr: str | None = None
    exit_code: int | None = None


class Shell(CamelCase):
    id: str | int | None = None
    command: str = ""
    cwd: str | None = None
    result: ShellResult | None = None


_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def decoded(raw: msgspec.Raw, kind: type[T]) -> T | None:
    """`raw` as `kind`, without what has a wrong type; None for what is no object."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind, strict=False)
    try:
        return decoder.decode(raw)  # type: ignore[no-any-return]
    except UNREADABLE:
        pass
    try:
        found = decode_items((raw,), kind)
    except UNREADABLE:
        return None
    return found[0] if found else None


def text_of(raw: msgspec.Raw) -> str:
    """JSON as text."""
    return bytes(raw).decode("utf-8", "replace")
