"""The parameters of `session/update`: one struct for each kind of update, told apart by its `sessionUpdate`."""

from __future__ import annotations

from typing import TypeAlias, get_args

import msgspec

from app.core.runs.log_entries import NOTHING, UNREADABLE
from app.core.runs.params import Block, CamelCase, Meta, ToolContent, ToolPlace, decoded


class PlanStep(CamelCase):
    content: str = ""
    status: str | None = None
    priority: str | None = None


class ConfigValue(CamelCase):
    value: str = ""
    name: str | None = None
    description: str | None = None


class ConfigGroup(CamelCase):
    """Values may be in groups."""

    value: str | None = None
    name: str | None = None
    description: str | None = None
    options: list[ConfigValue] | None = None


class Config(CamelCase):
    id: str = ""
    name: str | None = None
    category: str | None = None
    current_value: str | bool | None = None
    options: list[ConfigGroup] | None = None


class ConfigOptions(CamelCase):
    """The result of requests that change settings."""

    config_options: list[Config] | None = None


class AgentCommand(CamelCase):
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


# One list for the decoder, the table of handlers and the types.
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

UPDATES: tuple[type[_Update], ...] = get_args(Update)


class SessionUpdate(CamelCase):
    update: Update


_TAGS = {kind.__struct_config__.tag: kind for kind in UPDATES}


class _Tag(msgspec.Struct, rename="camel"):
    session_update: str = ""


class _Tagged(msgspec.Struct):
    update: msgspec.Raw = NOTHING


class _TagOnly(msgspec.Struct):
    update: _Tag | None = None


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
