"""Where items of different heights lie."""

from __future__ import annotations

import random

from app.ui.transcript.heights import Heights


def changed(heights: Heights, plain: list[int], chance: random.Random) -> None:
    """Change both in the same way."""
    kind = chance.choice(("extend", "set", "set", "cut", "fill"))
    some = [chance.choice((0, chance.randrange(500))) for _ in range(chance.randrange(20))]
    if kind == "extend":
        heights.extend(some)
        plain.extend(some)
    elif kind == "cut":
        length = chance.randrange(len(plain) + 1)
        heights.cut(length)
        del plain[length:]
    elif kind == "fill":
        heights.fill(len(some), 30)
        plain[:] = [30] * len(some)
    elif plain:
        place, height = chance.randrange(len(plain)), chance.randrange(500)
        heights.set(place, height)
        plain[place] = height


def test_places_are_those_of_a_plain_list_after_any_changes() -> None:
    for seed in range(60):
        chance = random.Random(seed)
        heights, plain = Heights(), list[int]()
        for _ in range(12):
            changed(heights, plain, chance)
        tops = [heights.top(place) for place in range(len(plain) + 1)]
        assert tops == [sum(plain[:n]) for n in range(len(plain) + 1)], seed
        for y in (-5, 0, *(chance.randrange(6_000) for _ in range(5))):
            # An item without height is never the one at a place, unless nothing follows it.
            expected = next((n for n in range(len(plain)) if sum(plain[: n + 1]) > max(0, y)), len(plain) - 1)
            assert heights.at(y) == expected, (seed, y)


def test_there_is_no_item_where_there_are_none() -> None:
    assert Heights().at(0) == -1
