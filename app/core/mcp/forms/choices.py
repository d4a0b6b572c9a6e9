"""The choices of an enumeration, which go by their place and never by their words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from app.core.mcp.json_text import DEPTH_LIMIT, NotJson, deeper_than, exact_numbers, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable

# An argument may be a list of values, so two levels of JSON are left for the list and the arguments around it.
VALUE_DEPTH = DEPTH_LIMIT - 2
# In characters. The rest of a longer label is not shown.
LABEL_LIMIT = 200


@dataclass(frozen=True)
class Choice:
    """One value of an enumeration. No two of an enumeration have the same `key` or the same `label`.

    `key` is its JSON text, which identifies it in a draft.
    """

    key: str
    label: str
    value: Any


class Choices(tuple[Choice, ...]):
    """The choices of an enumeration in their order."""

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of each key."""
        return {choice.key: place for place, choice in enumerate(self)}


NO_CHOICES = Choices()


def choices_of(values: Iterable[tuple[Any, object]]) -> Choices:
    """The choices for values with their titles, each value once.

    Values are the same if their JSON text is: 1, 1.0, true and "1" are four. Empty if a value cannot be written as
    JSON.
    """
    found: dict[str, tuple[Any, str]] = {}
    for value, title in values:
        if deeper_than(value, VALUE_DEPTH):
            return NO_CHOICES
        exact = exact_numbers(value)
        try:
            key = write_json(exact, indent=None)
        except NotJson:
            return NO_CHOICES
        found.setdefault(key, (exact, title if isinstance(title, str) else ""))
    labels = _labels({key: _shown(value, title, key) for key, (value, title) in found.items()})
    return Choices(Choice(key, labels[key], value) for key, (value, _title) in found.items())


def _shown(value: Any, title: str, key: str) -> str:
    if title.strip():
        return title
    # A text that is empty or begins or ends with white space can only be seen in quotes.
    return value if isinstance(value, str) and value and value == value.strip() else key


def _labels(shown: dict[str, str]) -> dict[str, str]:
    """A label for each key. Labels that look the same get the value beside them, and at last a number."""
    count: dict[str, int] = {}
    for words in shown.values():
        count[_look(words)] = count.get(_look(words), 0) + 1
    labels: dict[str, str] = {}
    used: dict[str, int] = {}
    for key, words in shown.items():
        label = words
        if count[_look(words)] > 1:
            # The text "1" beside the number 1: the quotes tell them apart. A title needs its value.
            label = key if key in (words, f'"{words}"') else f"{words} ({key})"
        labels[key] = _unused(_cut(label), used)
    return labels


def _unused(label: str, used: dict[str, int]) -> str:
    """The label, with a number if it is used already. `used` counts each, so that many equal ones cost no search."""
    while (look := _look(label)) in used:
        used[look] += 1
        label = f"{label} ({used[look]})"
    used[look] = 1
    return label


def _look(words: str) -> str:
    return " ".join(words.split())


def _cut(words: str) -> str:
    return words if len(words) <= LABEL_LIMIT else f"{words[:LABEL_LIMIT]}…"
