"""What the soak of runs compares can differ, and it says where."""

from __future__ import annotations

import pytest

from app.core.runs.items import Prompt
from app.core.runs.log_entries import LogEntry
from app.core.runs.transcript import Transcript
from tests.core.runs.logs import Rpc, call, chunk, ended, entries, items, message, progress, prompt, transcript_of
from tests.faults.run_checks import broken_off, difference, misplaced

LOG = [prompt("Survey it"), message("I look."), call(), progress(), message("Done."), ended()]
STREAM = [prompt("Survey it"), chunk("I "), chunk("look."), call(), progress(), chunk("Done."), ended()]


def followed(*rpcs: Rpc) -> Transcript:
    transcript = Transcript()
    later: list[LogEntry] = entries(*rpcs, live=True, first=1)
    transcript.apply(later)
    return transcript


def test_a_stream_and_its_log_are_the_same_whatever_their_times() -> None:
    assert difference(items(followed(*STREAM)), items(transcript_of(*LOG))) is None


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (STREAM[:5], "item 3: only the log has Message"),
        (STREAM[:-1], "open True (log: False)"),
        ([*STREAM, prompt("Again", 2)], "item 5: only the window has Prompt"),
        ([*STREAM[:2], *STREAM[3:]], "text 'I ' (log: 'I look.')"),
        ([*STREAM[:4], progress(status="failed"), *STREAM[5:]], "status 'failed' (log: 'completed')"),
        ([STREAM[0], *STREAM[3:]], "item 1: the window has ToolCall"),
    ],
)
def test_the_first_difference_is_named(stream: list[Rpc], words: str) -> None:
    found = difference(items(followed(*stream)), items(transcript_of(*LOG)))
    assert found is not None
    assert words in found


def test_a_message_is_in_the_log_once_or_waits_with_a_reason() -> None:
    once = [Prompt(key="1", text="Survey it"), Prompt(key="2", text="#0001 Once more\n\n#0002 Look")]
    typed = ["#0001 Once more", "#0002 Look"]
    assert misplaced(typed, once, {}) is None
    assert misplaced([*typed, "#0003 Stop"], once, {"#0003 Stop": "turn"}) is None
    assert "neither" in (misplaced([*typed, "#0003 Stop"], once, {"#0003 Stop": ""}) or "")
    twice = [*once, Prompt(key="3", text="#0002 Look")]
    assert "2 times" in (misplaced(typed, twice, {}) or "")
    assert misplaced(typed, twice, {}, excused=frozenset({"#0002 Look"})) is None


def test_a_turn_without_an_end_is_one_in_which_the_log_breaks_off() -> None:
    assert broken_off(items(transcript_of(*LOG))) == frozenset()
    assert broken_off(items(transcript_of(*LOG, prompt("Again", 2), call("c2")))) == {2}
    assert broken_off(items(transcript_of(*LOG[:-1], prompt("Again", 2), ended(2)))) == {1}
