"""Where items of different heights lie."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.ui.transcript.heights import Heights

steps = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), st.lists(st.integers(0, 500), max_size=20)),
        st.tuples(st.just("set"), st.tuples(st.integers(0, 10_000), st.integers(0, 500))),
        st.tuples(st.just("cut"), st.integers(0, 40)),
        st.tuples(st.just("fill"), st.tuples(st.integers(0, 40), st.integers(0, 50))),
    ),
    max_size=12,
)


@given(steps, st.lists(st.integers(-5, 6_000), max_size=5))
def test_places_are_those_of_a_plain_list_after_any_changes(changes: list, asked: list[int]) -> None:
    heights, plain = Heights(), []
    for kind, value in changes:
        if kind == "fill":
            heights.fill(*value)
            plain[:] = [value[1]] * value[0]
        elif kind == "extend":
            heights.extend(value)
            plain.extend(value)
        elif kind == "cut":
            heights.cut(min(value, len(plain)))
            del plain[value:]
        elif plain:
            heights.set(value[0] % len(plain), value[1])
            plain[value[0] % len(plain)] = value[1]
    assert [heights.top(place) for place in range(len(plain) + 1)] == [sum(plain[:n]) for n in range(len(plain) + 1)]
    for y in asked:
        # An item without height is never the one at a place, unless nothing follows it.
        expected = next((n for n in range(len(plain)) if sum(plain[: n + 1]) > max(0, y)), len(plain) - 1)
        assert heights.at(y) == expected


def test_there_is_no_item_where_there_are_none() -> None:
    assert Heights().at(0) == -1
