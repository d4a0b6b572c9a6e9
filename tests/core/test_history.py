"""The steps of a sign-in as spans over time: tokens live from one renewal to the next, and clocks may jump."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.diagnostics.history import MOST_LANES, OTHERS, RANGES, SpanKind, first_range, history
from app.core.diagnostics.timeline import StepKind, TimelineStep

NOW = 1_000_000.0


def step(key: str, at: float, kind: StepKind = StepKind.RENEWED, **fields: Any) -> TimelineStep:
    made = TimelineStep(
        key, at, kind, kind.value, "refused", "Notion", "", "window 1", True, 1, 2, "r", "a", milliseconds=500.0
    )
    return made._replace(**fields)


def test_without_steps_there_is_one_empty_lane_and_a_span_of_time() -> None:
    drawn = history((), NOW, inf)
    assert drawn.lanes == ("",)
    assert drawn.spans == ()
    assert drawn.start < NOW < drawn.end


def test_a_token_lives_from_the_renewal_that_brought_it_to_the_one_that_replaced_it() -> None:
    signed_in = step("1", NOW - 1000, StepKind.SIGNED_IN, after=1, milliseconds=None)
    renewed = step("2", NOW - 400, after=2)
    drawn = history([renewed, signed_in], NOW, inf)
    first, second = (span for span in drawn.spans if span.kind is SpanKind.TOKEN)
    assert (first.start, first.end, first.step, first.ended_by) == (NOW - 1000, NOW - 400, signed_in, renewed)
    assert first.refused
    assert (second.start, second.end, second.open) == (NOW - 399.5, NOW, True)
    assert not second.refused


def test_a_renewal_before_the_expiry_refuses_nothing() -> None:
    drawn = history([step("1", NOW - 900), step("2", NOW - 100, cause="ahead of expiry", after=3)], NOW, inf)
    assert not any(span.refused for span in drawn.spans)


def test_a_failure_ends_no_token_and_the_end_of_the_sign_in_does() -> None:
    steps = [
        step("1", NOW - 900),
        step("2", NOW - 500, StepKind.OFFLINE, after=None),
        step("3", NOW - 100, StepKind.ENDED, after=None),
    ]
    (token,) = (span for span in history(steps, NOW, inf).spans if span.kind is SpanKind.TOKEN)
    assert (token.end, token.open) == (NOW - 100, False)


def test_a_token_that_another_process_took_over_goes_on_living() -> None:
    steps = [step("1", NOW - 900, process="window 2"), step("2", NOW - 890, StepKind.TAKEN_OVER)]
    drawn = history(steps, NOW, inf)
    assert len([span for span in drawn.spans if span.kind is SpanKind.TOKEN]) == 1
    assert drawn.lanes == ("", "window 1", "window 2")


def test_a_renewal_that_is_under_way_reaches_to_now() -> None:
    drawn = history([step("1", NOW - 30, StepKind.UNDER_WAY, milliseconds=None, after=None)], NOW, inf)
    (span,) = drawn.spans
    assert (span.start, span.end, span.open) == (NOW - 30, NOW, True)


def test_a_clock_that_was_set_back_makes_nothing_end_before_it_began() -> None:
    steps = [step("1", NOW + 5000, StepKind.SIGNED_IN, after=1), step("2", NOW - 10), step("3", NOW + 7000, after=3)]
    drawn = history(steps, NOW, inf)
    assert all(span.start <= span.end <= NOW for span in drawn.spans)
    assert drawn.start < drawn.end


def test_many_processes_share_the_last_lane() -> None:
    steps = [step(str(n), NOW - n, process=f"proxy {n}") for n in range(1, 12)]
    drawn = history(steps, NOW, inf)
    assert len(drawn.lanes) == MOST_LANES + 1
    assert drawn.lanes[-1] == OTHERS
    assert max(span.lane for span in drawn.spans) == MOST_LANES


def test_a_range_leaves_out_what_is_older_and_keeps_the_token_that_reaches_into_it() -> None:
    steps = [step("1", NOW - 5000), step("2", NOW - 100, after=3)]
    drawn = history(steps, NOW, 600)
    assert [span.kind for span in drawn.spans] == [SpanKind.TOKEN, SpanKind.STEP, SpanKind.TOKEN]
    assert drawn.place(NOW - 5000) == 0


@pytest.mark.parametrize(
    ("ages", "length"), [([10], 600), ([10, 20, 5000], 86_400), ([10] * 4 + [9e9], 600), ([9e9], inf), ([], 600)]
)
def test_the_first_range_is_the_shortest_with_several_steps(ages: list[float], length: float) -> None:
    assert first_range([step(str(n), NOW - age) for n, age in enumerate(ages)], NOW) == length


@given(
    st.lists(
        st.tuples(
            st.floats(0, 2 * NOW), st.sampled_from(list(StepKind)), st.none() | st.floats(0, 1e9), st.integers(0, 8)
        ),
        max_size=60,
    ),
    st.sampled_from(RANGES),
)
def test_whatever_happened_every_span_lies_within_the_picture(rows: list[Any], length: float) -> None:
    steps = [
        step(str(number), at, kind, milliseconds=took, process=f"window {process}", after=process)
        for number, (at, kind, took, process) in enumerate(rows)
    ]
    drawn = history(steps, NOW, length)
    for span in drawn.spans:
        assert span.start <= span.end
        assert 0 <= drawn.place(span.start) <= drawn.place(span.end) <= 1
        assert 0 <= span.lane < len(drawn.lanes)
