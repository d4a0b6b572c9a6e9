"""The choices of an enumeration, which go by their place and never by their words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

from app.core.mcp.json_text import DEPTH_LIMIT, NotJson, deeper_than, exact_numbers, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class Choices(Sequence[Choice]):
    """The choices of an enumeration in their order, each value once. Keys and labels are made when one is asked for."""

    def __init__(self, values: Sequence[tuple[Any, object]] = ()) -> None:
        """`values` with their titles. Each of them can be written as JSON."""
        self._values = values

    @overload
    def __getitem__(self, place: int) -> Choice: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Choice, ...]: ...
    def __getitem__(self, place: int | slice) -> Choice | tuple[Choice, ...]:
        return self._made[place]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Choice]:
        return iter(self._made)

    def __eq__(self, other: object) -> bool:
        return self._made == other._made if isinstance(other, Choices) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._count)

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of each key."""
        return {choice.key: place for place, choice in enumerate(self._made)}

    @cached_property
    def _count(self) -> int:
        # Among texts, and among whole numbers, values are the same whenever Python says that they are.
        kinds = {type(value) for value, _title in self._values}
        if kinds <= {str} or kinds <= {int}:
            return len({value for value, _title in self._values})
        return len(self._made)

    @cached_property
    def _made(self) -> tuple[Choice, ...]:
        found: dict[str, tuple[Any, str]] = {}
        for value, title in self._values:
            exact = exact_numbers(value)
            found.setdefault(write_json(exact, indent=None), (exact, title if isinstance(title, str) else ""))
        labels = _labels({key: _cut(_shown(value, title, key)) for key, (value, title) in found.items()})
        return tuple(Choice(key, labels[key], value) for key, (value, _title) in found.items())


NO_CHOICES = Choices()


def choices_of(values: Sequence[tuple[Any, object]]) -> Choices:
    """The choices for values with their titles.

    Values are the same if their JSON text is: 1, 1.0, true and "1" are four. Empty if a value cannot be written as
    JSON.
    """
    return Choices(values) if all(_can_be_written(value) for value, _title in values) else NO_CHOICES


def _can_be_written(value: Any) -> bool:
    # Most values are texts or whole numbers, which always can be.
    if isinstance(value, str | int):
        return True
    if deeper_than(value, VALUE_DEPTH):
        return False
    try:
        write_json(exact_numbers(value), indent=None)
    except NotJson:
        return False
    return True


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
            label = _cut(key) if key in (words, f'"{words}"') else f"{words} ({_cut(key)})"
        labels[key] = _unused(label, used)
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
