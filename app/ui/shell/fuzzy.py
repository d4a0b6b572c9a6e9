"""Rank palette entries by how well they match a typed text."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

# Points of a letter: at the start of the text, at the start of a word, right after the letter before it. A gap costs.
START, WORD, RUN, GAP = 8, 6, 4, 1
# What is found as it was typed goes before letters that are spread over the text.
EXACT = 40
# So that one far letter does not outweigh several good ones.
LONGEST_GAP = 6
# A shorter text decides between close matches only.
POINT_TO_LENGTH = 8


def score(typed: str, text: str) -> int | None:
    """Score `typed` as a subsequence of `text`; None when it is not one. Starts of words and runs score higher."""
    wanted, where = typed.lower().replace(" ", ""), text.lower()
    if not wanted:
        return 0
    exact = where.find(typed.lower().strip())
    points = 0 if exact < 0 else EXACT + (START if exact == 0 else WORD if not where[exact - 1].isalnum() else 0)
    place, last = 0, -2
    for letter in wanted:
        found = where.find(letter, place)
        if found < 0:
            return None
        if found == 0:
            points += START
        elif not where[found - 1].isalnum():
            points += WORD
        if found == last + 1:
            points += RUN
        else:
            points -= min(found - place, LONGEST_GAP) * GAP
        place, last = found + 1, found
    return points * POINT_TO_LENGTH - len(text)


def ranked(typed: str, items: Iterable[T], text: Callable[[T], str], limit: int = 60) -> list[T]:
    """The items that match, best first; all of them, in order, for an empty text."""
    if not typed.strip():
        return list(items)[:limit]
    scored = ((score(typed, text(item)), number, item) for number, item in enumerate(items))
    fitting = [(points, number, item) for points, number, item in scored if points is not None]
    # Equal ones stay in the given order: those of the place in view come first.
    fitting.sort(key=lambda entry: (-entry[0], entry[1]))
    return [item for _, _, item in fitting[:limit]]
