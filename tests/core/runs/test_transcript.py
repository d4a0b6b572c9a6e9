"""The reducer's rules: what each entry of a run's log makes of the transcript."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.core.runs.items import ConfigChoice, Message, Permission, Plan, Prompt, TextPart, ToolCall, Usage
from app.core.runs.log_entries import entries_of, iterate_lines, read_entry, split_page
from app.core.runs.transcript import Change, Transcript
from app.core.runs.updates import OUTPUT_CHARACTERS
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
    transcript_of,
    update,
    wrapped,
)


def test_chunks_of_one_kind_are_one_text() -> None:
    said = transcript_of(chunk("I "), chunk("see."), chunk("Hm", "agent_thought_chunk"), chunk("Done."))
    assert shown(said) == ["says I see.", "thinks Hm", "says Done."]


def test_what_has_no_text_is_no_message_and_begins_a_turn_all_the_same() -> None:
    said = transcript_of(chunk(""), chunk("", "agent_thought_chunk"), message(""), chunk("", "agent_thought"))
    assert (shown(said), said.state.busy) == ([], True)
    said.apply(entries(chunk("a"), chunk(""), chunk("b")))
    assert shown(said) == ["says ab"]


def test_a_text_is_open_until_something_else_follows() -> None:
    said = transcript_of(chunk("I "))
    assert items(said) == [Message(key="message:0.0", at=items(said)[0].at, text="I ", open=True)]
    said.apply(entries(update("usage_update", used=1)))
    assert items(said)[0].open is False  # type: ignore[attr-defined]


def test_a_stored_message_takes_the_place_of_the_chunks_before_it() -> None:
    said = transcript_of(prompt("go"), chunk("I s"), chunk("ee"), message("I see."), message("I see."))
    assert shown(said) == ["> go", "says I see."]


def test_a_stored_message_replaces_chunks_that_other_things_came_after() -> None:
    said = transcript_of(chunk("I s"), call(), message("I see."))
    assert shown(said) == ["says I see.", "read c1 pending"]


def test_two_stored_messages_are_two() -> None:
    assert shown(transcript_of(message("One."), message("Two."))) == ["says One.", "says Two."]


def test_a_tool_call_is_one_card_through_all_its_updates() -> None:
    said = transcript_of(
        call(kind="execute", rawInput={"command": "ls"}), progress(status="in_progress"), progress(content=output("a"))
    )
    assert shown(said) == ["execute c1 completed"]
    found = items(said)[0]
    assert isinstance(found, ToolCall)
    assert found.input == '{"command": "ls"}'
    assert found.parts == (TextPart("a", terminal=True),)
    assert found.ended_at is not None


def test_an_update_for_a_call_that_was_never_announced_makes_a_card_in_its_place() -> None:
    said = transcript_of(message("One."), progress("c9", title="Read x", content=output("a")), message("Two."))
    assert shown(said) == ["says One.", "other Read x completed", "says Two."]
    assert items(said)[1].announced is False  # type: ignore[attr-defined]


def test_a_late_announcement_fills_the_card_that_an_update_made() -> None:
    said = transcript_of(progress("c1"), call("c1", title="Read x"))
    assert shown(said) == ["read Read x completed"]


def test_a_status_that_goes_backwards_changes_nothing_that_is_known() -> None:
    said = transcript_of(call(), progress(content=output("all")), progress(status="in_progress", content=output("a")))
    found = items(said)[0]
    assert isinstance(found, ToolCall)
    assert (found.status, found.parts) == ("completed", (TextPart("all"),))


def test_an_update_of_an_unknown_kind_makes_a_card_from_what_is_there() -> None:
    said = transcript_of(message("One."), update("hologram", colour="red"), message("Two."))
    assert shown(said) == ["says One.", "unknown session/update", "says Two."]
    assert '"colour": "red"' in items(said)[1].text  # type: ignore[attr-defined]


def test_a_field_of_a_wrong_type_does_not_hide_the_others() -> None:
    said = transcript_of(call(locations="x", content=7, title="Read x"))
    assert shown(said) == ["read Read x pending"]


def test_an_item_of_a_wrong_type_hides_neither_the_others_of_its_list_nor_what_is_beside_it() -> None:
    places, content = [{"path": "p", "line": "x"}, {"path": "q", "line": 4}, 5], [*output("one"), 7, {"content": 5}]
    said = transcript_of(
        call("c1", kind=[1], rawInput={"a": 1}, locations=places, content=content),
        update("plan", entries=[{"content": "x"}, 7, None, {"content": {}, "status": "pending"}, {"content": "y"}]),
        {**ask("p1"), "params": {**ask()["params"], "options": [*ask()["params"]["options"], 7, {"name": {}}]}},
    )
    read, plan, asked = items(said)
    assert isinstance(read, ToolCall)
    assert (read.call_id, read.kind, read.input, read.parts) == ("c1", "other", '{"a":1}', (TextPart("one"),))
    assert [(each.path, each.line) for each in read.locations] == [("p", None), ("q", 4)]
    assert isinstance(plan, Plan)
    assert [each.content for each in plan.entries] == ["x", "y"]
    assert isinstance(asked, Permission)
    assert [each.option_id for each in asked.options][:2] == ["allow", "reject"]


def test_an_id_that_is_used_again_in_a_later_turn_is_another_call() -> None:
    said = transcript_of(
        prompt("a", 1), call("c1"), progress("c1"), ended(1), prompt("b", 2), call("c1", title="Other"), progress("c1")
    )
    assert shown(said) == ["> a", "read c1 completed", "end end_turn", "> b", "read Other completed"]


def test_an_id_of_a_call_that_never_ended_is_another_call_in_a_later_turn_however_often_it_is_read() -> None:
    said = transcript_of(prompt("a", 1), call("c1"), ended(1), prompt("b", 2))
    mark, more = said.mark(), entries(call("c1", title="Other"), progress("c1"))
    said.apply(more)
    once = shown(said)
    assert once == ["> a", "read c1 pending", "end end_turn", "> b", "read Other completed"]
    again = said.rebuild(mark)
    again.apply(more)
    again.finish()
    assert shown(said) == once


def test_children_of_a_sub_agent_name_its_call() -> None:
    inner = {"_meta": {"claudeCode": {"parentToolCallId": "c1", "toolName": "Read"}}}
    said = transcript_of(
        call("c1", _meta={"claudeCode": {"toolName": "Task"}}), call("c2", **inner), chunk("So", **inner), chunk("Hi")
    )
    assert [(item.key, item.parent) for item in items(said)] == [
        ("call:c1", ""),
        ("call:c2", "call:c1"),
        ("message:0.0", "call:c1"),
        ("message:0.1", ""),
    ]
    assert said.head(0).kind is ToolCall
    assert said.head(1).parent == "call:c1"


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "mcp__posthog__query-run"},
        {"_meta": {"claudeCode": {"toolName": "mcp__posthog__query-run"}}},
        {"_meta": {"mcp": {"server": "posthog", "tool": "query-run"}}},
    ],
)
def test_a_tool_of_mcp_is_recognised(fields: dict[str, Any]) -> None:
    found = items(transcript_of(call(**fields)))[0]
    assert isinstance(found, ToolCall)
    assert (found.kind, found.server, found.tool) == ("mcp", "posthog", "query-run")


def test_a_turn_ends_once_whoever_says_so() -> None:
    said = transcript_of(prompt("a"), ended(), note("turn_complete", stopReason="end_turn"), prompt("b", 2))
    assert shown(said) == ["> a", "end end_turn", "> b"]
    assert list(said.turns()) == [0, 2]
    assert (said.state.busy, said.state.turn) == (True, 2)


def test_a_prompt_that_is_read_twice_is_one() -> None:
    said = transcript_of(prompt("a"), chunk("x"), prompt("a"), message("xy"), ended(), ended())
    assert shown(said) == ["> a", "says xy", "end end_turn"]


def test_the_answer_to_an_earlier_prompt_does_not_end_this_turn() -> None:
    said = transcript_of(prompt("a", 1), prompt("b", 2), ended(1))
    assert said.state.busy
    said.apply(entries(ended(2)))
    assert not said.state.busy


def test_a_prompt_that_fails_ends_its_turn_with_the_reason() -> None:
    failed = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "No model."}}
    assert shown(transcript_of(prompt("a"), failed)) == ["> a", "error No model.", "end error"]


def test_hidden_blocks_of_a_prompt_are_left_out() -> None:
    hidden = prompt("secret rules", 1, _meta={"ui": {"hidden": True}})
    hidden["params"]["prompt"] += [
        {"type": "text", "text": "Fix it"},
        {"type": "resource_link", "uri": "file:///a/b.py", "name": "b.py"},
    ]
    found = items(transcript_of(hidden))[0]
    assert found == Prompt(key="prompt:0.1", turn=1, at=found.at, text="Fix it", files=("b.py",))


def test_a_permission_that_is_asked_twice_is_one() -> None:
    said = transcript_of(prompt("a"), ask("p1"), ask("p1"), stream_ask("p1"))
    assert shown(said) == ["> a", "asks Write ?"]
    assert said.state.waiting == ("permission:0.p1",)


def test_the_stream_and_the_log_may_name_a_permission_by_different_ids() -> None:
    said = transcript_of(prompt("a"), ask(7), stream_ask("p1"))
    found = items(said)[1]
    assert isinstance(found, Permission)
    # It is answered by the id that the stream gave.
    assert found.request_id == "p1"
    said.apply(entries(note("permission_response", requestId="p1", optionId="allow")))
    assert shown(said)[1:] == ["asks Write allow"]


@pytest.mark.parametrize("form", [ask, stream_ask])
def test_two_questions_about_one_call_are_two(form: Callable[..., Rpc]) -> None:
    said = transcript_of(prompt("a"), call(), form("p1"), form("p2"))
    assert shown(said)[2:] == ["asks Write ?", "asks Write ?"]
    assert [item.request_id for item in items(said) if isinstance(item, Permission)] == ["p1", "p2"]
    said.apply(entries(progress()))
    assert said.state.waiting == ()


def test_a_question_keeps_the_id_that_the_stream_gave_however_often_the_log_repeats_it() -> None:
    for rpcs in ((ask(7), stream_ask("p1"), ask(7)), (stream_ask("p1"), ask(7), ask(7))):
        [found] = [item for item in items(transcript_of(prompt("a"), *rpcs)) if isinstance(item, Permission)]
        assert found.request_id == "p1"


@pytest.mark.parametrize(
    ("rpc", "answer"),
    [
        (note("permission_response", requestId="p1", optionId="allow"), "allow"),
        (note("permission_resolved", requestId="p1", outcome={"outcome": "selected", "optionId": "reject"}), "reject"),
        (note("permission_resolved", requestId="p1"), "elsewhere"),
        (note("permission_response", requestId="p1", outcome="cancelled"), "cancelled"),
        (response("p1", outcome={"outcome": "selected", "optionId": "allow"}), "allow"),
        (response("p1", outcome={"outcome": "cancelled"}), "cancelled"),
        (progress("c1", "completed"), "elsewhere"),
        (ended(), "elsewhere"),
        (ended(reason="cancelled"), "cancelled"),
        (prompt("next", 2), "elsewhere"),
    ],
)
def test_whoever_answers_a_permission_closes_it(rpc: dict[str, object], answer: str) -> None:
    said = transcript_of(prompt("a"), call(), ask("p1"), rpc)
    found = items(said)[2]
    assert isinstance(found, Permission)
    assert found.answer == answer
    assert said.head(2).status == answer
    assert said.state.waiting == ()


def test_a_cancelled_turn_closes_what_was_asked_and_marks_what_comes_later() -> None:
    said = transcript_of(prompt("a"), call(), ask("p1"), note("cancel"), chunk("Still"), ended(), message("Yes"))
    assert shown(said) == [
        "> a",
        "read c1 cancelled",
        "asks Write cancelled",
        "says Still (late)",
        "end cancelled",
        "says Yes (late)",
    ]
    said.apply(entries(prompt("b", 2), message("Fine")))
    assert shown(said)[-1] == "says Fine"


def test_a_call_that_goes_on_after_its_turn_was_cancelled_is_late() -> None:
    said = transcript_of(prompt("a"), call("c1"), call("c2"), note("cancel"), progress("c2"), ended())
    assert shown(said)[1:3] == ["read c1 cancelled", "read c2 completed"]
    said.apply(entries(progress("c1", content=output("x"))))
    assert shown(said)[1:3] == ["read c1 completed (late)", "read c2 completed"]


def test_output_that_comes_in_pieces_is_one_text_of_which_the_end_is_kept() -> None:
    def piece(text: str) -> Rpc:
        return progress("c1", None, _meta={"terminal_output": {"data": text}})

    said = transcript_of(prompt("a"), call("c1", kind="execute"))
    mark, more = said.mark(), entries(piece("on"), piece("e\n"), piece("two"), progress("c1"))
    said.apply(more)
    read_again = said.rebuild(mark)
    read_again.apply(more)
    read_again.finish()
    shell = items(said)[1]
    assert isinstance(shell, ToolCall)
    assert shell.parts == (TextPart("one\ntwo", terminal=True),)

    for size in (1_000, 77_777):
        long = transcript_of(prompt("a"), call("c1", kind="execute"))
        whole = "".join(f"line {number}\n" for number in range(50_000))
        long.apply(entries(*(piece(whole[at : at + size]) for at in range(0, len(whole), size))))
        shell = items(long)[1]
        assert isinstance(shell, ToolCall)
        assert shell.parts == (TextPart(f"…\n{whole[-OUTPUT_CHARACTERS:]}", terminal=True),)


def test_a_stopped_turn_whose_end_the_log_lacks_says_so_once_its_run_is_over() -> None:
    begun = [prompt("a", 1), call("c1")]
    live = transcript_of(*begun)
    assert live.stop_turn()
    again = Transcript()
    again.know_stops([live.turn])
    again.apply(entries(*begun))
    assert shown(again)[-1] == "read c1 pending"
    again.finish()
    assert shown(again)[-2:] == ["read c1 cancelled", "end cancelled"]
    again.finish()
    assert shown(again).count("end cancelled") == 1
    plain = transcript_of(*begun)
    plain.finish()
    assert shown(plain)[-1] == "read c1 pending"


def test_a_stopped_turn_is_known_again_whatever_was_read_before_its_run() -> None:
    """The runs before it may be gone, or the log of this one may be read as part of a later run's."""
    first = [note("run_started", runId="r1"), prompt("a", 1), message("A"), ended(1)]
    second = [note("run_started", runId="r2"), prompt("b", 1), message("B")]
    rest = [message("Late"), ended(1), prompt("c", 1), message("C"), ended(1)]
    live = Transcript("r2")
    live.apply(entries(*first, *second))
    assert live.stop_turn()
    stop = live.turn
    for run_id, before in (("r2", first), ("r2", []), ("r3", first)):
        again = Transcript(run_id)
        again.know_stops([stop])
        again.apply(entries(*before, *second, *rest))
        expected = ["> b", "says B", "says Late (late)", "end cancelled", "> c", "says C", "end end_turn"]
        assert shown(again)[-7:] == expected
        assert "end cancelled" not in shown(again)[:-7]


def test_a_question_has_its_choices_and_a_plan_its_text() -> None:
    asked = {"codeToolKind": "question", "questions": [{"question": "Which?", "options": [{"label": "A"}]}]}
    said = transcript_of(
        ask("p1", "c1", _meta=asked), ask("p2", "c2", kind="switch_mode", rawInput={"plan": "1. Do it"})
    )
    question, plan = items(said)
    assert isinstance(question, Permission)
    assert isinstance(plan, Permission)
    assert (question.kind, question.questions[0].text, question.questions[0].choices[0].label) == (
        "question",
        "Which?",
        "A",
    )
    assert plan.plan == "1. Do it"
    assert said.state.waiting == ("permission:0.p1", "permission:0.p2")


def test_a_plan_is_replaced_within_its_turn() -> None:
    one, two = {"content": "x", "status": "pending"}, {"content": "x", "status": "completed"}
    said = transcript_of(prompt("a"), update("plan", entries=[one]), message("m"), update("plan", entries=[two]))
    assert shown(said)[1:] == ["plan [('x', 'completed')]", "says m"]


def test_steps_of_setting_up_are_one_card_for_each_group() -> None:
    steps = [("clone", "in_progress"), ("clone", "completed"), ("clone", "in_progress"), ("install", "failed")]
    said = transcript_of(*(note("progress", group="setup", step=step, status=status) for step, status in steps))
    assert shown(said) == ["setup setup [('clone', 'completed'), ('install', 'failed')]"]


def test_a_resumed_run_follows_the_runs_before_it() -> None:
    first = (note("run_started", runId="r1"), prompt("a", 0), message("A"), ended(0))
    setup = note("progress", group="setup", step="clone", status="completed")
    said, accepts = Transcript("r2"), list[bool]()
    for part in ((setup, *first, setup), (note("run_started", runId="r2"), prompt("a", 0), message("A"), ended(0))):
        said.apply(entries(*part))
        accepts.append(said.state.accepts)
    assert accepts == [False, True]
    assert shown(said).count("> a") == 2
    assert shown(said).count("setup setup [('clone', 'completed')]") == 2
    assert len({item.key for item in items(said)}) == len(said)


def test_a_cleared_conversation_is_said_and_keeps_what_is_above() -> None:
    said = transcript_of(prompt("a"), ended(), update("usage_update", used=5, size=9), note("conversation_cleared"))
    assert shown(said)[0] == "> a"
    assert "does not know what is above" in shown(said)[-1]
    assert said.state.usage is None


def test_the_state_of_the_session_is_what_was_said_last() -> None:
    option = {
        "id": "mode",
        "name": "Mode",
        "category": "mode",
        "currentValue": "plan",
        "options": [{"value": "plan", "name": "Plan"}],
    }
    said = transcript_of(
        note("run_started", runId="r1"),
        update("usage_update", used=5, size=9),
        update("available_commands_update", availableCommands=[{"name": "init"}]),
        update("config_option_update", configOptions=[option]),
        update("current_mode_update", currentModeId="auto"),
        note("status", status="compacting"),
        note("branch_created", branch="posthog/fix"),
    )
    state = said.state
    assert (state.accepts, state.usage, state.commands) == (True, Usage(5, 9), ("init",))
    assert (state.options[0].value, state.options[0].choices) == ("auto", (ConfigChoice("plan", "Plan"),))
    assert (state.compacting, state.branch) == (True, "posthog/fix")
    said.apply(entries(note("compact_boundary", trigger="auto", preTokens=1000)))
    assert not said.state.compacting


def test_a_message_into_a_turn_is_shown_and_its_own_prompt_is_the_same() -> None:
    said = transcript_of(
        prompt("a"), note("user_message", content="faster"), ended(), note("user_message", content="b")
    )
    said.apply(entries(prompt("b", 2), ended(2)))
    assert shown(said) == ["> a", "> faster", "end end_turn", "> b", "end end_turn"]
    assert list(said.turns()) == [0, 3]


def test_a_command_of_the_person_is_a_card() -> None:
    ran = {"id": "x", "command": "ls", "cwd": "/w", "result": {"stdout": "a", "stderr": "b", "exitCode": 1}}
    said = transcript_of({"jsonrpc": "2.0", "method": "_array/user_shell_execute", "params": ran})
    assert shown(said) == ["$ ls 1"]
    assert items(said)[0].output == "a\nb"  # type: ignore[attr-defined]


def test_the_prefix_of_extensions_may_be_doubled() -> None:
    said = transcript_of({"jsonrpc": "2.0", "method": "__posthog/console", "params": {"level": "warn", "message": "x"}})
    assert shown(said) == ["warn x"]


def test_what_is_said_in_another_form_is_shown_as_it_is() -> None:
    said = transcript_of(note("console", message={"a": [1]}), note("console", message={"message": "x"}))
    assert shown(said) == ['info {"a":[1]}', "info x"]


def test_lines_that_are_no_entries_hide_nothing() -> None:
    good = wrapped(message("Hi"))
    bare = b'{"jsonrpc":"2.0","method":"_posthog/console","params":{"message":"\\ud800 x"}}'
    lines = [b"{", good, b"", b" ", b"[]", bare, b'{"type":"notification"}', b"\xff\xfe"]
    said = Transcript()
    said.apply(tuple(iterate_lines(b"\n".join(lines))))
    assert shown(said) == ["says Hi", "info \ufffd x"]
    assert len(list(entries_of(split_page(b"[" + good + b",7]")))) == 1


def test_a_question_with_half_a_character_is_asked() -> None:
    """JSON can say half of a surrogate pair; strict decoders refuse it."""
    asked = read_entry(wrapped(stream_ask()).replace(b"Write", rb"\ud83d Write"), live=True)
    assert asked is not None
    said = Transcript()
    said.apply([asked])
    assert shown(said) == ["asks \ufffd Write ?"]


def test_an_event_that_comes_twice_counts_once() -> None:
    said = Transcript()
    said.apply(entries(chunk("ha"), chunk("ha"), live=True, first=1))
    assert said.apply(entries(chunk("ha"), chunk("ha"), live=True, first=1)) is None
    assert shown(said) == ["says haha"]


def test_a_change_says_what_differs_and_is_told_once_for_each_batch() -> None:
    said, told = Transcript(), list[Change]()
    said.changed.subscribe(told.append)
    said.apply(entries(prompt("a"), call("c1"), chunk("x")))
    said.apply(entries(chunk("y"), progress("c1"), call("c2")))
    assert said.apply(entries(progress("c1"))) is None
    said.apply(entries(ended()))
    assert told == [Change(0, 3, ()), Change(1, 1, (1, 2)), Change(4, 1, ())]


def test_a_head_tells_the_size_and_state_of_an_item_and_grows_with_it() -> None:
    said = transcript_of(prompt("a"), chunk("ab"))
    before = said.head(1)
    said.apply(entries(chunk("c\nd")))
    after = said.head(1)
    assert (before.characters, before.lines, after.characters, after.lines) == (2, 1, 5, 2)
    assert after.revision > before.revision
    assert said.index_of("message:1.0") == 1


def test_keys_are_the_same_after_the_history_was_read_again() -> None:
    live = [prompt("a"), chunk("I s"), chunk("ee."), call(), progress(), chunk("Do"), chunk("ne."), ended()]
    stored = [prompt("a"), message("I see."), call(), progress(), message("Done."), ended()]
    said, told = transcript_of(*live), list[Change]()
    before = [(item.key, shown(said)[index]) for index, item in enumerate(items(said))]
    said.restart()
    assert len(said) == 0
    said.changed.subscribe(told.append)
    said.apply(entries(*stored))
    assert [(item.key, shown(said)[index]) for index, item in enumerate(items(said))] == before
    assert told == [Change(0, 0, tuple(range(5)))]


def test_what_is_sought_is_found_forwards_and_backwards() -> None:
    said = transcript_of(message("Straße"), call(content=output("x")), message("strasse"), message("y"))
    assert said.find("STRASSE") == 0
    assert said.find("STRASSE", after=0) == 2
    assert said.find("STRASSE", after=2) is None
    assert said.find("strasse", backwards=True) == 2
    assert said.find("strasse", after=2, backwards=True) == 0
    assert said.find("nothing") is None


def test_the_raw_log_of_an_item_is_what_made_it_without_secrets() -> None:
    said = transcript_of(call(rawInput={"h": "Authorization: Bearer pha_secret1234567"}), message("m"), progress())
    raw = list(said.raw(0))
    assert len(raw) == 2
    assert '"tool_call_update"' in raw[1]
    assert "pha_secret" not in raw[0]
    whole = list(said.raw_log())
    assert [whole[0], whole[2]] == raw
    assert ("agent_message" in whole[1], len(whole)) == (True, 3)


def test_credentials_are_masked_in_sight_and_source_code_is_not() -> None:
    code = "password = read()\ncurl -H 'Authorization: Bearer pha_secret1234567'"
    said = transcript_of(call(content=output(code), rawInput={"token": "phx_secret1234567"}), message(code))
    shown_call, shown_message = items(said)
    assert isinstance(shown_call, ToolCall)
    seen = f"{shown_call.parts[0].text} {shown_call.input} {shown_message.text}"  # type: ignore[attr-defined,union-attr]
    assert "secret1234567" not in seen
    assert seen.count("password = read()") == 2


def test_what_is_no_json_is_no_entry() -> None:
    assert read_entry(b"null") is None


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59+00:00", "yesterday", "", "2026-13-01"])
def test_a_time_that_no_clock_shows_is_none(at: str) -> None:
    read = read_entry(wrapped(message("Hi"), at))
    assert read is not None
    assert read.at is None


@pytest.mark.parametrize("kind", [note("usage_update", used=10**30), update("usage_update", used=5, size=-(2**63))])
def test_numbers_that_count_no_tokens_are_not_shown(kind: Rpc) -> None:
    assert transcript_of(update("usage_update", used=1, size=2), kind).state.usage == Usage(1, 2)


def test_a_question_that_a_repeated_stream_seemed_to_settle_waits_again_once_the_log_was_read() -> None:
    said = transcript_of(prompt("a"), call(), ask("p1"))
    mark = said.mark()
    said.apply(entries(prompt("a", 7), live=True, first=1))
    assert said.state.waiting == ()
    said.rebuild(mark).finish()
    [key] = said.state.waiting
    assert shown(said)[-1] == "asks Write ?"
    # What this person answered stays, though the log does not say so yet.
    said.answer(key, "allow")
    said.rebuild(mark).finish()
    assert shown(said)[-1] == "asks Write allow"
