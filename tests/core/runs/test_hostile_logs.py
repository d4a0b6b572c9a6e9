"""Logs whose values have other types than they should: whatever is in an entry, it hides nothing of the others."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.posthog.runs import StreamedEvent
from app.core.posthog.types import TaskRun
from app.core.runs.item_text import searched, text_of_item
from app.core.runs.log_entries import read_entry
from app.core.runs.overlap import Overlap
from app.core.runs.run_events import changed_run, read_event
from app.core.runs.transcript import Transcript
from tests.core.runs.logs import (
    Rpc,
    ask,
    call,
    chunk,
    ended,
    entries,
    items,
    message,
    note,
    output,
    progress,
    prompt,
    response,
    shown,
    stream_ask,
    update,
    wrapped,
)

QUESTION = {"question": "Which?", "header": "H", "options": [{"label": "a", "description": "b"}], "multiSelect": True}
PLACE = [{"path": "a.py", "line": 3}]
# One of each kind, with all members that are read.
EVERY_KIND: list[Rpc] = [
    note("run_started", runId="r1", sessionId="s"),
    prompt("Fix it", 1),
    chunk("a", _meta={"claudeCode": {"parentToolCallId": "c1"}}),
    chunk("hm", "agent_thought_chunk"),
    chunk("again", "user_message_chunk", _meta={"ui": {"hidden": False}}),
    message("a"),
    call("c1", content=output("x"), locations=PLACE, rawInput={"a": 1}, _meta={"claudeCode": {"toolName": "Task"}}),
    call("c2", content=[{"type": "diff", "path": "a", "oldText": "b", "newText": "c"}], title="mcp__s__t"),
    call("c3", content=[{"type": "content", "content": {"type": "resource", "resource": {"uri": "u", "text": "t"}}}]),
    call("c4", content=[{"type": "content", "content": {"type": "image", "data": "aa", "mimeType": "image/png"}}]),
    progress("c1", rawOutput={"b": 2}, _meta={"terminal_output": {"data": "x"}, "mcp": {"server": "s", "tool": "t"}}),
    update("plan", entries=[{"content": "x", "status": "pending", "priority": "high"}]),
    update("available_commands_update", availableCommands=[{"name": "test"}]),
    update(
        "config_option_update",
        configOptions=[{"id": "mode", "name": "M", "currentValue": "x", "options": [{"value": "x", "name": "X"}]}],
    ),
    update("current_mode_update", currentModeId="plan"),
    update("usage_update", used=1, size=2),
    update("status", status="compacting", isComplete=False, message="m"),
    update("error", message="m", errorType="t"),
    update("tomorrow", content=[1]),
    ask("p1", "c1", kind="edit", content=output("x"), rawInput={"plan": "p", "questions": [QUESTION]}),
    stream_ask("p2", "c2"),
    ask("p3", "c3", _meta={"codeToolKind": "question", "questions": [QUESTION]}),
    note("permission_response", requestId="p1", toolCallId="c1", optionId="allow", outcome={"outcome": "selected"}),
    response("p3", outcome={"outcome": "selected", "optionId": "allow"}),
    note("progress", group="g", step="s", label="l", status="completed", detail="d"),
    note("console", level="warn", message="m"),
    note("error", message={"message": "m"}, error="e"),
    note("task_notification", summary="s", title="t", status="x"),
    note("status", status="compacting", isComplete=True),
    note("compact_boundary", trigger="auto", preTokens=1, contextSize=2),
    note("conversation_cleared"),
    note("usage_update", used=1, size=2, contextSize=3),
    note("branch_created", branch="b", branchName="c"),
    note("user_message", content=[{"type": "text", "text": "t"}]),
    {
        "method": "_array/user_shell_execute",
        "params": {"id": 1, "command": "ls", "cwd": "/", "result": {"stdout": "a", "stderr": "b", "exitCode": 0}},
    },
    {"id": 9, "result": {"configOptions": [{"id": "m", "currentValue": True}]}},
    {"id": 1, "error": {"code": -1, "message": "m"}},
    {"method": "a/later/method", "params": {}},
    ended(1),
]
STATE = {
    "type": "task_run_state",
    "status": "completed",
    "stage": "build",
    "output": {"pr_url": "u"},
    "branch": "b",
    "error_message": "e",
    "updated_at": "2026-11-29T12:00:00Z",
    "completed_at": None,
    "state": {"a": 1},
}
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**30, -(2**63), 2**64, 1e308])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["\ud800", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z", "c1", "\0", "[[[["]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value within a value of JSON."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in members:
        yield (*path, name)
        yield from places(each, (*path, name))


def changed(value: Rpc, path: tuple[Any, ...], other: Any) -> Rpc:
    value = copy.deepcopy(value)
    at: Any = value
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = other
    return value


@st.composite
def a_log(draw: st.DrawFn) -> list[bytes]:
    """Every kind of entry once, some of them with a value of any type in any place."""
    found = []
    for rpc in EVERY_KIND:
        line = json.loads(wrapped(rpc))
        if draw(st.booleans()):
            line = changed(line, draw(st.sampled_from(list(places(line)))), draw(ANYTHING))
        found.append(json.dumps(line).encode())
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(a_log())
def test_a_value_of_any_type_in_any_place_hides_nothing_of_the_others(lines: list[bytes]) -> None:
    read = [entry for entry in map(read_entry, lines) if entry is not None]
    whole = Transcript("r1")
    whole.apply(entries(prompt("before", 77), message("before")))
    mark = whole.mark()
    for entry in read:
        whole.apply([entry])
    whole.apply(entries(prompt("after", 78), message("after")))
    assert shown(whole)[:2] == ["> before", "says before"]
    assert shown(whole)[-2:] == ["> after", "says after"]
    for index, item in enumerate(items(whole)):
        text_of_item(item)
        searched(item)
        whole.head(index)
        assert all(isinstance(line, str) for line in whole.raw(index))
    # It is the same when it is read again, and what a stream repeats of it is known.
    again = whole.rebuild(mark)
    again.apply(read)
    overlap = Overlap(read)
    overlap.new(read)
    overlap.give_up()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(places(STATE))), ANYTHING)
def test_the_state_of_a_run_keeps_what_a_stream_says_in_a_wrong_type(path: tuple[Any, ...], other: Any) -> None:
    event = read_event(StreamedEvent("", "1", json.dumps(changed(STATE, path, other))))
    if event.change is not None:
        run = changed_run(TaskRun(id="r1", status="in_progress"), event.change)
        assert isinstance(run.status, str)
        assert path == ("branch",) or run.branch == "b"
