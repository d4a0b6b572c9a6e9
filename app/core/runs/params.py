"""The parameters of the messages in run logs, as structs.

They follow the Agent Client Protocol (https://agentclientprotocol.com/protocol/schema) and its extensions in run logs
(docs/wire.md, "Run logs"). Every field is optional: agents differ, and what is there makes the item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from app.core.posthog.wire import decode_items
from app.core.runs.log_entries import NOTHING, UNREADABLE

if TYPE_CHECKING:
    from typing import TypeAlias

T = TypeVar("T")


class _Wire(msgspec.Struct, rename="camel"):
    """The base of what is decoded from camelCase names."""


class AskedChoice(_Wire):
    label: str = ""
    description: str | None = None


class AskedQuestion(_Wire):
    question: str = ""
    header: str | None = None
    options: list[AskedChoice] | None = None
    multi_select: bool | None = None


class ClaudeMeta(_Wire):
    tool_name: str | None = None
    parent_tool_call_id: str | None = None


class McpMeta(_Wire):
    server: str | None = None
    server_name: str | None = None
    tool: str | None = None
    tool_name: str | None = None


class UiMeta(_Wire):
    hidden: bool | None = None


class TerminalOutput(_Wire):
    data: str | None = None


class Meta(_Wire):
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


class Resource(_Wire):
    uri: str | None = None
    mime_type: str | None = None
    text: str | None = None
    blob: str | None = None


class Block(_Wire):
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


class ToolContent(_Wire):
    """What a tool call shows: `content` with a block, `diff`, `terminal` or a later type."""

    type: str | None = None
    content: Block | None = None
    path: str | None = None
    old_text: str | None = None
    new_text: str | None = None
    text: str | None = None


class ToolPlace(_Wire):
    path: str | None = None
    line: int | None = None


class PlanStep(_Wire):
    content: str = ""
    status: str | None = None
    priority: str | None = None


class ConfigValue(_Wire):
    value: str = ""
    name: str | None = None
    description: str | None = None


class ConfigGroup(_Wire):
    """Values may be in groups."""

    value: str | None = None
    name: str | None = None
    description: str | None = None
    options: list[ConfigValue] | None = None


class Config(_Wire):
    id: str = ""
    name: str | None = None
    category: str | None = None
    current_value: str | bool | None = None
    options: list[ConfigGroup] | None = None


class AgentCommand(_Wire):
    name: str = ""


class _Update(msgspec.Struct, rename="camel", tag_field="sessionUpdate"):
    meta: Meta | None = msgspec.field(default=None, name="_meta")


class _Chunk(_Update):
    content: Block | None = None


class MessageChunk(_Chunk, tag="agent_message_chunk"):
    pass


class ThoughtChunk(_Chunk, tag="agent_thought_chunk"):
    pass


class PromptChunk(_Chunk, tag="user_message_chunk"):
    pass


class WholeMessage(_Chunk, tag="agent_message"):
    pass


class WholeThought(_Chunk, tag="agent_thought"):
    pass


class ToolFields(_Update):
    """The fields of a tool call; those that an update leaves out stay as they were."""

    tool_call_id: str = ""
    title: str | None = None
    kind: str | None = None
    status: str | None = None
    content: list[ToolContent] | None = None
    locations: list[ToolPlace] | None = None
    raw_input: msgspec.Raw = NOTHING
    raw_output: msgspec.Raw = NOTHING


class Announcement(ToolFields, tag="tool_call"):
    pass


class CallUpdate(ToolFields, tag="tool_call_update"):
    pass


class PlanUpdate(_Update, tag="plan"):
    entries: list[PlanStep] | None = None


class CommandsUpdate(_Update, tag="available_commands_update"):
    available_commands: list[AgentCommand] | None = None


class ConfigUpdate(_Update, tag="config_option_update"):
    config_options: list[Config] | None = None


class ModeUpdate(_Update, tag="current_mode_update"):
    current_mode_id: str | None = None


class UsageUpdate(_Update, tag="usage_update"):
    used: int | None = None
    size: int | None = None


class StatusUpdate(_Update, tag="status"):
    status: str | None = None
    message: str | None = None
    is_complete: bool | None = None


class ErrorUpdate(_Update, tag="error"):
    message: str | None = None
    error_type: str | None = None


class InfoUpdate(_Update, tag="session_info_update"):
    title: str | None = None


if TYPE_CHECKING:
    Update: TypeAlias = (
        MessageChunk
        | ThoughtChunk
        | PromptChunk
        | WholeMessage
        | WholeThought
        | Announcement
        | CallUpdate
        | PlanUpdate
        | CommandsUpdate
        | ConfigUpdate
        | ModeUpdate
        | UsageUpdate
        | StatusUpdate
        | ErrorUpdate
        | InfoUpdate
    )

UPDATES: tuple[type[_Update], ...] = (
    *(MessageChunk, ThoughtChunk, PromptChunk, WholeMessage, WholeThought, Announcement, CallUpdate, PlanUpdate),
    *(CommandsUpdate, ConfigUpdate, ModeUpdate, UsageUpdate, StatusUpdate, ErrorUpdate, InfoUpdate),
)


class SessionUpdate(_Wire):
    update: (
        MessageChunk
        | ThoughtChunk
        | PromptChunk
        | WholeMessage
        | WholeThought
        | Announcement
        | CallUpdate
        | PlanUpdate
        | CommandsUpdate
        | ConfigUpdate
        | ModeUpdate
        | UsageUpdate
        | StatusUpdate
        | ErrorUpdate
        | InfoUpdate
    )


class Prompted(_Wire):
    prompt: list[Block] | None = None


class AskedOption(_Wire):
    option_id: str = ""
    name: str | None = None
    kind: str | None = None
    meta: Meta | None = msgspec.field(default=None, name="_meta")


class AskedCall(_Wire):
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


class Asked(_Wire):
    options: list[AskedOption] | None = None
    tool_call: AskedCall | None = None
    request_id: str | int | None = None


class Answered(_Wire):
    """`permission_response` and `permission_resolved`."""

    request_id: str | int | None = None
    tool_call_id: str | None = None
    option_id: str | None = None
    outcome: Any = None


class PermissionOutcome(_Wire):
    outcome: str | None = None
    option_id: str | None = None


class Result(_Wire):
    """A response's result: of a prompt it has a reason, of a permission an outcome."""

    stop_reason: str | None = None
    outcome: PermissionOutcome | None = None


class Failure(_Wire):
    code: int | None = None
    message: str | None = None


class Note(_Wire):
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


class ShellResult(_Wire):
    stdout: str | None = None
    stderr: str | None = None
    exit_code: int | None = None


class Shell(_Wire):
    id: str | int | None = None
    command: str = ""
    cwd: str | None = None
    result: ShellResult | None = None


_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {}
_TAGS = {kind.__struct_config__.tag: kind for kind in UPDATES}


class _Tag(msgspec.Struct, rename="camel"):
    session_update: str = ""


class _Tagged(msgspec.Struct):
    update: msgspec.Raw = NOTHING


class _TagOnly(msgspec.Struct):
    update: _Tag | None = None


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


_updates = msgspec.json.Decoder(SessionUpdate)


def update_of(params: msgspec.Raw) -> Update | None:
    """The update in the parameters of `session/update`; None for one of a kind that is not known."""
    try:
        return _updates.decode(params).update
    except UNREADABLE:
        pass
    try:
        named = msgspec.json.decode(params, type=_TagOnly).update
        kind = None if named is None else _TAGS.get(named.session_update)
        if kind is None:
            return None
        return decoded(msgspec.json.decode(params, type=_Tagged).update, kind)  # type: ignore[return-value]
    except UNREADABLE:
        return None


def text_of(raw: msgspec.Raw) -> str:
    """JSON as text."""
    return bytes(raw).decode("utf-8", "replace")
