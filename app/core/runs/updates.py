"""What each kind of `session/update` makes of the transcript: one handler for each, in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.core.runs.contents import block_text, identity_of, locations_of, parent_of, parts_of
from app.core.runs.items import (
    ConfigChoice,
    ConfigOption,
    Message,
    Plan,
    PlanEntry,
    Prompt,
    TextPart,
    Thought,
    ToolCall,
    Unknown,
)
from app.core.runs.params import text_of
from app.core.runs.permissions import answered_elsewhere
from app.core.runs.reducer import CANCELLED, FINAL, RUNNING
from app.core.runs.update_params import (
    Announcement,
    CallUpdate,
    CommandsUpdate,
    ConfigUpdate,
    ErrorUpdate,
    InfoUpdate,
    MessageChunk,
    ModeUpdate,
    PlanUpdate,
    PromptChunk,
    StatusUpdate,
    ThoughtChunk,
    UsageUpdate,
    WholeMessage,
    WholeThought,
    update_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app.core.runs.items import Part
    from app.core.runs.log_entries import LogEntry
    from app.core.runs.reducer import Reducer
    from app.core.runs.update_params import Config, ToolFields

RANKS = {"pending": 0, "in_progress": 1}
LAST = 2
# Of the output that comes piece by piece, so much is kept of its end. The raw log has all.
OUTPUT_CHARACTERS = 200_000
CUT = "…\n"


def session_update(reducer: Reducer, entry: LogEntry) -> None:
    """`session/update`: one of the kinds below, or a card for one that is not known."""
    update = update_of(entry.message.params)
    if update is None:
        reducer.close_text()
        unknown(reducer, entry)
        return
    kind = type(update)
    if kind not in _CHUNKS:
        reducer.close_text()
    UPDATES[kind](reducer, update)


def unknown(reducer: Reducer, entry: LogEntry) -> None:
    """An entry of a kind that this version does not know."""
    message = entry.message
    text = text_of(message.params or message.result or message.error)
    reducer.add(
        Unknown(
            key=reducer.key("unknown"),
            turn=reducer.at.turn,
            at=entry.at,
            late=reducer.late,
            method=message.method,
            text=text,
        )
    )


def set_options(reducer: Reducer, configs: Iterable[Config]) -> None:
    """The settings of the session, as a whole."""
    options = tuple([_option(config) for config in configs if config.id])
    reducer.at.state = msgspec.structs.replace(reducer.at.state, options=options)


def _message_chunk(reducer: Reducer, update: MessageChunk) -> None:
    reducer.say(Message, block_text(update.content), parent_of(update.meta))


def _thought_chunk(reducer: Reducer, update: ThoughtChunk) -> None:
    reducer.say(Thought, block_text(update.content), parent_of(update.meta))


def _prompt_chunk(reducer: Reducer, update: PromptChunk) -> None:
    """A prompt in chunks: of an agent that repeats what it was sent, or of a session that was loaded."""
    block = update.content
    if block is None or (block.meta is not None and block.meta.is_hidden):
        return
    text, at = block_text(block), reducer.at
    known = reducer.found(at.prompt_key, Prompt) if at.prompt_key else None
    if known is not None and not at.ended and text in known[1].text:
        return
    last = len(reducer.items) - 1
    if known is not None and known[0] == last and not at.prompt_id:
        reducer.put(last, msgspec.structs.replace(known[1], text=known[1].text + text))
        return
    reducer.begin_turn(f"prompt:{at.session}.{at.turn + 1}", text)


def _whole_message(reducer: Reducer, update: WholeMessage) -> None:
    """The stored form of a message. It replaces the live chunks that it was made of."""
    text, at = block_text(update.content), reducer.at
    if not text:
        reducer.working()
        return
    index = at.unconfirmed
    if index is not None:
        shown = reducer.items.item(index)
        if isinstance(shown, Message) and (index == len(reducer.items) - 1 or shown.text in text):
            at.unconfirmed = None
            if shown.text != text:
                reducer.put(index, msgspec.structs.replace(shown, text=text, open=False))
            return
    last = len(reducer.items) - 1
    if last >= 0 and reducer.items.kind(last) is Message:
        shown = reducer.items.item(last)
        if isinstance(shown, Message) and shown.text == text and shown.turn == at.turn:
            # Read twice.
            return
    _whole(reducer, Message, "message", text, parent_of(update.meta))


def _whole_thought(reducer: Reducer, update: WholeThought) -> None:
    """The stored form of a thought. It replaces the live chunks right before it."""
    text, last = block_text(update.content), len(reducer.items) - 1
    if not text:
        reducer.working()
        return
    shown = reducer.items.item(last) if last >= 0 and reducer.items.kind(last) is Thought else None
    if isinstance(shown, Thought) and shown.turn == reducer.at.turn and text.startswith(shown.text):
        if shown.text != text:
            reducer.put(last, msgspec.structs.replace(shown, text=text, open=False))
        return
    _whole(reducer, Thought, "thought", text, parent_of(update.meta))


def _whole(reducer: Reducer, kind: type[Message] | type[Thought], name: str, text: str, parent: str) -> None:
    at = reducer.at
    at.unconfirmed = None
    reducer.add(
        kind(
            key=reducer.key(name),
            turn=at.turn,
            at=reducer.moment,
            parent=reducer.parent_key(parent),
            late=reducer.late,
            text=text,
        )
    )
    reducer.working()


def _announcement(reducer: Reducer, update: Announcement) -> None:
    at = reducer.at
    known = reducer.found(reducer.call_key(update.tool_call_id), ToolCall)
    if known is not None and known[1].turn != at.turn and update.status not in FINAL:
        # Another call that got an id which was used before. How that one ended does not count: it may have since.
        at.reused[update.tool_call_id] = f"call:{update.tool_call_id}:{at.turn}"
        known = None
    _merge(reducer, update, known, announced=True)


def _call_update(reducer: Reducer, update: CallUpdate) -> None:
    known = reducer.found(reducer.call_key(update.tool_call_id), ToolCall)
    _merge(reducer, update, known, announced=False)


def _merge(reducer: Reducer, update: ToolFields, known: tuple[int, ToolCall] | None, *, announced: bool) -> None:
    """Add what an update says to a call, or make the call of it.

    A status never goes backwards: an update that is older than what is known fills only what is missing.
    """
    at, call_id = reducer.at, update.tool_call_id
    reducer.working()
    identity = identity_of(update.meta, update.title)
    kind = identity.kind or update.kind
    terminal = kind == "execute" or (kind is None and known is not None and known[1].kind == "execute")
    parts = None if update.content is None else parts_of(update.content, terminal=terminal)
    if update.meta is not None and update.meta.terminal_output is not None:
        former = parts if parts is not None else known[1].parts if known is not None else ()
        parts = _with_output(former, update.meta.terminal_output.data or "")
    if known is None:
        status = update.status or "pending"
        key = reducer.call_key(call_id)
        index = reducer.add(
            ToolCall(
                key=key,
                turn=at.turn,
                at=reducer.moment,
                parent=reducer.parent_key(parent_of(update.meta)),
                late=reducer.late,
                call_id=call_id,
                title=update.title or identity.tool or call_id,
                kind=kind or "other",
                status=status,
                server=identity.server,
                tool=identity.tool,
                locations=() if update.locations is None else locations_of(update.locations),
                parts=parts or (),
                input=text_of(update.raw_input),
                output=text_of(update.raw_output),
                announced=announced,
                ended_at=reducer.moment if status in FINAL else None,
            )
        )
        if status in RUNNING:
            at.running[key] = index
        return
    index, call = known
    status = update.status or call.status
    stale = RANKS.get(status, LAST) < RANKS.get(call.status, LAST)
    over = status in FINAL and call.status not in FINAL
    fields: dict[str, Any] = {"announced": call.announced or announced}
    if not stale:
        fields["status"] = status
    if over:
        fields["ended_at"] = reducer.moment
    if update.title and not (stale and call.title != call_id):
        fields["title"] = update.title
    if kind is not None and (call.kind == "other" or identity.kind):
        fields["kind"] = kind
    if identity.tool:
        fields["server"], fields["tool"] = identity.server, identity.tool
    if parts is not None and not (stale and call.parts):
        fields["parts"] = parts
    if update.locations is not None and not (stale and call.locations):
        fields["locations"] = locations_of(update.locations)
    if update.raw_input and not (stale and call.input):
        fields["input"] = text_of(update.raw_input)
    if update.raw_output and not (stale and call.output):
        fields["output"] = text_of(update.raw_output)
    if not call.parent and (parent := parent_of(update.meta)):
        fields["parent"] = reducer.parent_key(parent)
    merged = msgspec.structs.replace(call, **fields)
    if merged != call:
        # It went on although its turn was cancelled.
        late = call.late or call.status == CANCELLED
        reducer.put(index, msgspec.structs.replace(merged, late=late))
    if over:
        at.running.pop(call.key, None)
        # Whoever it waited for has allowed or refused it.
        answered_elsewhere(reducer, call_id)


def _with_output(parts: tuple[Part, ...], data: str) -> tuple[Part, ...]:
    """The parts of a call with more of what its program put out: the end of it, as far as it fits."""
    last = parts[-1] if parts else None
    if not isinstance(last, TextPart) or not last.terminal:
        last, parts = TextPart("", terminal=True), (*parts, TextPart(""))
    text = last.text + data
    if len(text) > OUTPUT_CHARACTERS:
        text = CUT + text[-OUTPUT_CHARACTERS:]
    return (*parts[:-1], TextPart(text, terminal=True))


def _plan(reducer: Reducer, update: PlanUpdate) -> None:
    entries = tuple(
        [PlanEntry(each.content, each.status or "pending", each.priority or "medium") for each in update.entries or ()]
    )
    key = f"plan:{reducer.at.turn}"
    known = reducer.found(key, Plan)
    if known is None:
        reducer.add(Plan(key=key, turn=reducer.at.turn, at=reducer.moment, late=reducer.late, entries=entries))
    elif known[1].entries != entries:
        reducer.put(known[0], msgspec.structs.replace(known[1], entries=entries))


def _commands(reducer: Reducer, update: CommandsUpdate) -> None:
    names = tuple([each.name for each in update.available_commands or () if each.name])
    reducer.at.state = msgspec.structs.replace(reducer.at.state, commands=names)


def _config(reducer: Reducer, update: ConfigUpdate) -> None:
    set_options(reducer, update.config_options or ())


def _mode(reducer: Reducer, update: ModeUpdate) -> None:
    mode = update.current_mode_id
    options = tuple(
        msgspec.structs.replace(each, value=mode) if mode and "mode" in {each.id, each.category} else each
        for each in reducer.at.state.options
    )
    reducer.at.state = msgspec.structs.replace(reducer.at.state, options=options)


def _usage(reducer: Reducer, update: UsageUpdate) -> None:
    reducer.use(update.used, update.size)


def _status(reducer: Reducer, update: StatusUpdate) -> None:
    if update.status == "compacting":
        reducer.at.state = msgspec.structs.replace(reducer.at.state, compacting=not update.is_complete)
    elif update.message:
        reducer.note(update.message, "info", update.status or "")


def _error(reducer: Reducer, update: ErrorUpdate) -> None:
    reducer.note(update.message or update.error_type or "The agent reported an error.", "error", "agent")


def _nothing(reducer: Reducer, update: InfoUpdate) -> None:
    """Its title is the task's."""


def _option(config: Config) -> ConfigOption:
    choices: list[ConfigChoice] = []
    for each in config.options or ():
        if each.options is not None:
            choices += [ConfigChoice(one.value, one.name or one.value, one.description or "") for one in each.options]
        elif each.value is not None:
            choices.append(ConfigChoice(each.value, each.name or each.value, each.description or ""))
    value = config.current_value
    shown = value if isinstance(value, str) else "" if value is None else str(value).lower()
    return ConfigOption(config.id, config.name or config.id, shown, tuple(choices), config.category or "")


_CHUNKS = frozenset({MessageChunk, ThoughtChunk})
UPDATES: dict[type[Any], Callable[[Reducer, Any], None]] = {
    MessageChunk: _message_chunk,
    ThoughtChunk: _thought_chunk,
    PromptChunk: _prompt_chunk,
    WholeMessage: _whole_message,
    WholeThought: _whole_thought,
    Announcement: _announcement,
    CallUpdate: _call_update,
    PlanUpdate: _plan,
    CommandsUpdate: _commands,
    ConfigUpdate: _config,
    ModeUpdate: _mode,
    UsageUpdate: _usage,
    StatusUpdate: _status,
    ErrorUpdate: _error,
    InfoUpdate: _nothing,
}
