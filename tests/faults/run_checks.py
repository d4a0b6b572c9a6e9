"""What a soak of runs compares: the window's transcript with the server's log, and what was typed with both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from app.core.runs.items import Item, Prompt, TurnEnd


def broken_off(log: Sequence[Item]) -> frozenset[int]:
    """The turns of a log without an end: the server was killed in the middle of them, and may have lost more."""
    ended = {item.turn for item in log if isinstance(item, TurnEnd)}
    return frozenset(item.turn for item in log if item.turn and item.turn not in ended)


def difference(window: Sequence[Item], log: Sequence[Item]) -> str | None:
    """The first item that is not the same in both, and its fields that differ; None when there is none.

    Everything counts but times, and whether a stream has asked: those of a stream are not those of a log.
    """
    for place, (ours, theirs) in enumerate(zip_longest(window, log)):
        if ours is None or theirs is None:
            more, item = ("the log", theirs) if ours is None else ("the window", ours)
            return f"item {place}: only {more} has {_short(item)}"
        if type(ours) is not type(theirs):
            return f"item {place}: the window has {_short(ours)}, the log {_short(theirs)}"
        one, other = _fields(ours), _fields(theirs)
        fields = [name for name in one if one[name] != other[name]]
        if fields:
            told = ", ".join(f"{name} {_cut(one[name])} (log: {_cut(other[name])})" for name in fields)
            return f"item {place} {type(ours).__name__} {ours.key}: {told}"
    return None


def misplaced(
    typed: Iterable[str],
    prompts: Iterable[Prompt],
    waiting: Mapping[str, str],
    *,
    excused: frozenset[str] = frozenset(),
) -> str | None:
    """The first message that is not in the log exactly once; None when there is none.

    One that still waits with its reason (`waiting`: reason by text) need not be in the log. Those that are `excused`
    may be there twice: the person sent them again without knowing.
    """
    said = [prompt.text for prompt in prompts]
    for text in typed:
        count = sum(text in each for each in said)
        if count > 1 and text not in excused:
            return f"{text!r} is in the log {count} times"
        if not count and not waiting.get(text):
            return f"{text!r} is neither in the log nor queued with a reason"
    return None


def _fields(item: Item) -> dict[str, Any]:
    found = msgspec.structs.asdict(item)
    return {name: value for name, value in found.items() if name not in {"at", "ended_at", "streamed"}}


def _short(item: Item) -> str:
    return f"{type(item).__name__} {item.key} {_cut(_fields(item))}"


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:150]} … {text[-150:]}"
