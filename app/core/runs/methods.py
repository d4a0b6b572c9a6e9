"""What each method of a run's log makes of the transcript: one handler for each, in a table (docs/wire.md, "Run logs").

An entry without a method is a response: the end of a prompt's turn, or the answer to a permission.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.core.runs.contents import prompt_text
from app.core.runs.items import Prompt, Setup, SetupStep, ShellCommand
from app.core.runs.params import Block, Failure, Note, Prompted, Result, Shell, decoded
from app.core.runs.permissions import answered, requested, responded
from app.core.runs.update_params import ConfigOptions
from app.core.runs.updates import session_update, set_options, unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.runs.log_entries import LogEntry
    from app.core.runs.reducer import Reducer

# In the error that ends the turn of a local run which was under way when Burrow ended.
CUT_OFF = {"reason": "cut_off"}
FINISHED_STEPS = frozenset({"completed", "failed"})


def apply(reducer: Reducer, entry: LogEntry) -> None:
    """Make what an entry says a part of the transcript."""
    reducer.moment = entry.at
    method = entry.message.method
    if method == "session/update":
        session_update(reducer, entry)
        return
    reducer.close_text()
    if not method:
        _response(reducer, entry)
        return
    handler = METHODS.get(method)
    if handler is not None:
        handler(reducer, entry)
    elif method not in SILENT and not method.startswith(SILENT_FAMILIES):
        unknown(reducer, entry)


def _response(reducer: Reducer, entry: LogEntry) -> None:
    message = entry.message
    if message.error:
        if message.id and message.id == reducer.at.prompt_id and not reducer.at.ended:
            failure = decoded(message.error, Failure)
            if failure is not None and failure.data == CUT_OFF:
                # Burrow's own word, not the agent's.
                reducer.end_turn(CUT_OFF["reason"])
                return
            said = failure.message if failure is not None else None
            reducer.note(said or "The agent could not carry out the prompt.", "error", "agent")
            reducer.end_turn("error")
        return
    result = decoded(message.result, Result) if message.result else None
    if result is None:
        return
    if result.stop_reason is not None:
        # An answer to an earlier prompt says nothing of this one.
        if not reducer.at.prompt_id or message.id == reducer.at.prompt_id:
            reducer.end_turn(result.stop_reason)
    elif result.outcome is not None:
        responded(reducer, message.id, result.outcome)
    elif (options := decoded(message.result, ConfigOptions)) is not None and options.config_options:
        set_options(reducer, options.config_options)


def _prompt(reducer: Reducer, entry: LogEntry) -> None:
    prompt = decoded(entry.message.params, Prompted)
    text, files = prompt_text((prompt.prompt if prompt is not None else None) or ())
    at, id = reducer.at, entry.message.id  # noqa: A001
    key = f"prompt:{at.session}.{id or at.turn + 1}"
    known = reducer.found(key, Prompt)
    if known is not None:
        if (known[1].text, known[1].files) == (text, files):
            return
        # Ids begin anew when an agent is started again.
        key = f"{key}:{at.turn + 1}"
        if reducer.items.index_of(key) is not None:
            return
    reducer.begin_turn(key, text, files, id)


def _user_message(reducer: Reducer, entry: LogEntry) -> None:
    """A message to the agent: before its prompt, or into a turn that is under way."""
    note = _note(entry)
    text = _content_text(entry, note)
    at = reducer.at
    current = reducer.found(at.prompt_key, Prompt) if at.prompt_key else None
    if not text or (current is not None and current[1].text == text and not at.ended):
        return
    at.announced = reducer.add(Prompt(key=reducer.key("said"), turn=at.turn, at=reducer.moment, text=text))


def _content_text(entry: LogEntry, note: Note) -> str:
    if isinstance(note.content, str):
        return note.content
    if isinstance(note.content, list):
        blocks = decoded(msgspec.Raw(msgspec.json.encode(note.content)), list[Block])
        return prompt_text(blocks or ())[0]
    return note.message if isinstance(note.message, str) else ""


def _run_started(reducer: Reducer, entry: LogEntry) -> None:
    note, at = _note(entry), reducer.at
    run = note.run_id or ""
    if not run or run != at.run:
        at.session += 1
        at.run = run
        at.prompts = 0 if run else at.prompts
    ours = not reducer.run_id or not run or run == reducer.run_id
    at.state = msgspec.structs.replace(at.state, accepts=ours)


def _turn_complete(reducer: Reducer, entry: LogEntry) -> None:
    reducer.end_turn(_note(entry).stop_reason or "end_turn")


def _cancel(reducer: Reducer, entry: LogEntry) -> None:
    reducer.cancel_turn()


def _console(reducer: Reducer, entry: LogEntry) -> None:
    note = _note(entry)
    reducer.note(_said(note.message), note.level or "info", "console")


def _error(reducer: Reducer, entry: LogEntry) -> None:
    note = _note(entry)
    reducer.note(_said(note.message) or _said(note.error) or "The agent reported an error.", "error", "agent")


def _task_notification(reducer: Reducer, entry: LogEntry) -> None:
    note = _note(entry)
    text = _said(note.message) or note.summary or note.title or note.status
    if text:
        reducer.note(text, note.level or "info", "task")


def _progress(reducer: Reducer, entry: LogEntry) -> None:
    note, at = _note(entry), reducer.at
    group, name = note.group or "", note.step or note.label or ""
    step = SetupStep(name, note.label or name, note.status or "in_progress", note.detail or "")
    index = at.setups.get(group)
    if index is not None:
        setup = reducer.items.item(index)
        assert isinstance(setup, Setup)
        former = next((each for each in setup.steps if each.step == name), None)
        if setup.turn == at.turn or (former is not None and former.status not in FINISHED_STEPS):
            if former is None:
                steps = (*setup.steps, step)
            elif former.status in FINISHED_STEPS and step.status not in FINISHED_STEPS:
                return
            else:
                steps = tuple(step if each.step == name else each for each in setup.steps)
            if steps != setup.steps:
                reducer.put(index, msgspec.structs.replace(setup, steps=steps))
            return
    key = f"setup:{at.turn}.{group}"
    at.setups[group] = reducer.add(Setup(key=key, turn=at.turn, at=reducer.moment, group=group, steps=(step,)))


def _status(reducer: Reducer, entry: LogEntry) -> None:
    note = _note(entry)
    if note.status == "compacting":
        reducer.at.state = msgspec.structs.replace(reducer.at.state, compacting=not note.is_complete)


def _compacted(reducer: Reducer, entry: LogEntry) -> None:
    note, at = _note(entry), reducer.at
    at.state = msgspec.structs.replace(at.state, compacting=False)
    before = f" It had {note.pre_tokens:,} tokens." if note.pre_tokens else ""
    reducer.note(f"The conversation was compacted: the agent goes on with a summary.{before}", source="compaction")


def _cleared(reducer: Reducer, entry: LogEntry) -> None:
    at = reducer.at
    at.state = msgspec.structs.replace(at.state, usage=None, compacting=False)
    reducer.note("The conversation was cleared: the agent does not know what is above.", source="conversation")


def _usage(reducer: Reducer, entry: LogEntry) -> None:
    note = _note(entry)
    reducer.use(note.used, note.context_size or note.size)


def _branch_created(reducer: Reducer, entry: LogEntry) -> None:
    note = _note(entry)
    branch = note.branch or note.branch_name
    if branch and branch != reducer.at.state.branch:
        reducer.at.state = msgspec.structs.replace(reducer.at.state, branch=branch)
        reducer.note(f"Branch {branch}", source="branch")


def _shell(reducer: Reducer, entry: LogEntry) -> None:
    shell = decoded(entry.message.params, Shell)
    if shell is None:
        return
    result = shell.result
    output = "" if result is None else "\n".join(text for text in (result.stdout, result.stderr) if text)
    key = f"shell:{shell.id}" if shell.id is not None else reducer.key("shell")
    item = ShellCommand(
        key=key,
        turn=reducer.at.turn,
        at=reducer.moment,
        command=shell.command,
        folder=shell.cwd or "",
        output=output,
        exit_code=None if result is None else result.exit_code,
    )
    known = reducer.found(key, ShellCommand)
    if known is None:
        reducer.add(item)
    elif result is not None and known[1].exit_code is None:
        reducer.put(known[0], msgspec.structs.replace(item, turn=known[1].turn, at=known[1].at))


def _note(entry: LogEntry) -> Note:
    return (decoded(entry.message.params, Note) if entry.message.params else None) or Note()


def _said(value: object) -> str:
    """A message that is text, or an object that has one."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and (text := value.get("message")) and isinstance(text, str):
        return text
    return "" if value is None else msgspec.json.encode(value).decode()


METHODS: dict[str, Callable[[Reducer, LogEntry], None]] = {
    "session/prompt": _prompt,
    "session/request_permission": requested,
    "session/cancel": _cancel,
    "_posthog/permission_request": requested,
    "_posthog/permission_response": answered,
    "_posthog/permission_resolved": answered,
    "_posthog/user_message": _user_message,
    "_posthog/cancel": _cancel,
    "_posthog/run_started": _run_started,
    "_posthog/turn_complete": _turn_complete,
    "_posthog/background_turn_complete": _turn_complete,
    "_posthog/console": _console,
    "_posthog/error": _error,
    "_posthog/task_notification": _task_notification,
    "_posthog/progress": _progress,
    "_posthog/status": _status,
    "_posthog/compact_boundary": _compacted,
    "_posthog/conversation_cleared": _cleared,
    "_posthog/clear_conversation": _cleared,
    "_posthog/usage_update": _usage,
    "_posthog/branch_created": _branch_created,
    "_array/user_shell_execute": _shell,
}
# What says nothing to a person, or says it elsewhere.
SILENT = frozenset(
    {
        *("initialize", "authenticate", "session/new", "session/load", "session/resume", "session/list"),
        *("session/set_mode", "session/set_model", "session/set_config_option", "session/close"),
        *("_posthog/task_complete", "_posthog/mode_change", "_posthog/git_checkpoint", "_posthog/sdk_session"),
        *("_posthog/close", "_posthog/session/resume", "_posthog/refresh_session", "_posthog/mcp_response"),
        *("_posthog/rtk_savings", "_posthog/resources_used", "_posthog/codex_goal"),
    }
)
# What agents ask of their client while a tool works.
SILENT_FAMILIES = ("fs/", "terminal/", "$/")
