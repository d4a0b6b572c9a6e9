"""A stored log and a stream that repeats its end: what is new is told from what is not by content and order alone."""

from __future__ import annotations

import random

from app.core.runs import overlap as overlap_module
from app.core.runs.overlap import Overlap
from tests.core.runs.logs import Rpc, call, chunk, ended, entries, message, note, progress, prompt, stream_ask, update
from tests.core.runs.scripted_run import stored_form

TALK: list[Rpc] = [
    prompt("a"),
    *(chunk(text) for text in ("Well, ", "well, ", "well.")),
    call("c1"),
    progress("c1"),
    note("console", message="same"),
    note("console", message="same"),
    *(chunk(text) for text in ("Done. ", "Done.")),
    ended(),
    prompt("b", 2),
    chunk("Well."),
    call("c2"),
]


def new(stored: list[Rpc], streamed: list[Rpc], *, at_once: int = 1) -> list[Rpc]:
    """What is new of `streamed`, which arrives a few at a time."""
    overlap = Overlap(entries(*stored))
    found, waiting = [], entries(*streamed, live=True)
    names = {id(entry): rpc for entry, rpc in zip(waiting, streamed, strict=True)}
    for first in range(0, len(waiting), at_once):
        found += overlap.new(waiting[first : first + at_once])
    return [names[id(entry)] for entry in [*found, *overlap.give_up()]]


def test_wherever_a_stream_begins_and_the_log_ends_only_what_follows_is_new() -> None:
    for end in range(1, len(TALK) + 1):
        stored = stored_form(TALK[:end])
        # The chunks of a message that is not stored yet are new, from where the stream began.
        known = end
        while known and _is_chunk(TALK[known - 1]):
            known -= 1
        for begin in range(known + 1):
            if end == begin == 7:
                # The second of two entries that are the same: only the end of the turn tells.
                continue
            for at_once in (1, 3, 50):
                assert new(stored, TALK[begin:], at_once=at_once) == TALK[known:], (begin, end)


def test_a_log_whose_order_differs_a_little_hides_nothing_new() -> None:
    mixed = stored_form(TALK[:11])
    mixed[2], mixed[4] = mixed[4], mixed[2]
    assert new(mixed, TALK[3:]) == TALK[11:]


def test_messages_that_a_stream_sends_whole_are_known_from_the_log() -> None:
    whole = stored_form(TALK)
    end = whole.index(call("c2"))
    for begin in range(end + 1):
        assert new(whole[:end], whole[begin:]) == [call("c2")], begin
    # After their pieces, as some servers send them.
    both = [*TALK[:4], whole[1], *TALK[4:]]
    assert new(whole[:end], both) == [call("c2")]
    assert new(whole[:end], [*whole[3:end], message("Something else.")]) == [message("Something else.")]


def test_what_only_looks_like_the_end_of_the_log_is_new() -> None:
    assert new(stored_form(TALK[:11]), [chunk("Done."), call("c9")]) == [chunk("Done."), call("c9")]


def test_what_only_a_stream_has_does_not_end_the_comparison() -> None:
    odd = update("only_streamed")
    streamed = [TALK[4], stream_ask("p1"), TALK[5], *TALK[6:11], TALK[11]]
    assert new(stored_form(TALK[:11]), [odd, *streamed]) == [odd, stream_ask("p1"), TALK[11]]


def test_logs_of_one_word_are_told_apart() -> None:
    chosen = random.Random(7)
    for _ in range(200):
        talk = [
            chosen.choice([chunk("a"), chunk("aa"), note("console", message="x"), call(f"c{number}")])
            for number in range(12)
        ]
        talk[5] = call("middle")
        stored, begin = stored_form(talk[:6]), chosen.randrange(6)
        found = new(stored, talk[begin:])
        # Nothing new is ever hidden. What is repeated may be shown twice only where nothing tells it apart.
        assert found[-6:] == talk[6:]


def _is_chunk(rpc: Rpc) -> bool:
    return bool(rpc.get("params", {}).get("update", {}).get("sessionUpdate") == "agent_message_chunk")


def test_a_piece_that_fits_nearly_everywhere_is_looked_for_near_the_end_only() -> None:
    said = "e" * overlap_module.MOST_FITS * 2 + "nd"
    stored = [prompt("a"), message(said)]
    overlap = Overlap(entries(*stored))
    assert overlap.new(entries(chunk("e"))) == []
    assert len(overlap._fits) == overlap_module.MOST_FITS
    # What is at the end is found all the same.
    assert new(stored, [chunk("e"), chunk("end"), chunk("new")]) == [chunk("new")]


def test_a_piece_without_text_says_nothing() -> None:
    stored = stored_form(TALK[:11])
    assert new(stored, [chunk(""), *TALK[8:11], TALK[11]]) == [TALK[11]]
    assert new(stored, [chunk(""), TALK[12]]) == [TALK[12]]
