"""ItemList: the items of a transcript with what is known of each without reading it, in compact columns."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from app.core.runs.items import (
    DiffPart,
    FilePart,
    Item,
    Message,
    Notice,
    OtherPart,
    Permission,
    Plan,
    Prompt,
    Setup,
    ShellCommand,
    TextPart,
    Thought,
    ToolCall,
    TurnEnd,
    Unknown,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from app.core.runs.items import Part

T = TypeVar("T", bound=Item)

# A kind is one byte: its place here.
KINDS: tuple[type[Item], ...] = (
    *(Prompt, Message, Thought, ToolCall, Plan, Setup, Permission, Notice, ShellCommand, TurnEnd, Unknown),
)
_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}


class ItemHead(NamedTuple):
    """What is known of an item without reading it.

    `revision` grows with each change of it. `characters` and `lines` are those of its text, or of its parts. `status`
    is that of a tool call, the answer of a permission, the level of a notice, the reason of a turn's end, else empty.
    """

    kind: type[Item]
    key: str
    turn: int
    parent: str
    revision: int
    characters: int
    lines: int
    status: str


class ItemList:
    """Items by their index. The last one may be a text that still grows, which is joined when it is read."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._items: list[Item | None] = []
        self._keys: list[str] = []
        self._by_key: dict[str, int] = {}
        self._kinds = bytearray()
        self._statuses = bytearray()
        self._turns = array("I")
        self._revisions = array("I")
        self._characters = array("Q")
        self._lines = array("I")
        self._parents: dict[int, str] = {}
        self._words: list[str] = [""]
        self._numbers = {"": 0}
        self._growing: list[str] | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def append(self, item: Item) -> int:
        """Add an item; returns its index. Its key must be new."""
        index = len(self._keys)
        self._settle_text()
        characters, lines, status = measure(item)
        self._items.append(item)
        self._keys.append(item.key)
        self._by_key[item.key] = index
        self._kinds.append(_NUMBERS[type(item)])
        self._statuses.append(self._word(status))
        self._turns.append(item.turn)
        self._revisions.append(0)
        self._characters.append(characters)
        self._lines.append(lines)
        if item.parent:
            self._parents[index] = item.parent
        return index

    def replace(self, index: int, item: Item) -> None:
        """Put `item` in the place of another one with the same key."""
        if index == len(self._keys) - 1:
            self._growing = None
        self._characters[index], self._lines[index], status = measure(item)
        self._items[index] = item
        self._statuses[index] = self._word(status)
        self._turns[index] = item.turn
        self._revisions[index] += 1

    def grow(self, text: str) -> None:
        """Add to the text of the last item, a message or thought."""
        last = len(self._keys) - 1
        if self._growing is None:
            self._growing = [self.item(last).text]  # type: ignore[attr-defined]
        self._growing.append(text)
        self._characters[last] += len(text)
        self._lines[last] += text.count("\n")
        self._revisions[last] += 1

    def head(self, index: int) -> ItemHead:
        return ItemHead(
            KINDS[self._kinds[index]],
            self._keys[index],
            self._turns[index],
            self._parents.get(index, ""),
            self._revisions[index],
            self._characters[index],
            self._lines[index],
            self._words[self._statuses[index]],
        )

    def item(self, index: int) -> Item:
        if index == len(self._keys) - 1:
            self._settle_text()
        item = self._items[index]
        assert item is not None
        return item

    def index_of(self, key: str) -> int | None:
        return self._by_key.get(key)

    def kind(self, index: int) -> type[Item]:
        return KINDS[self._kinds[index]]

    def truncate(self, length: int) -> None:
        """Remove the items from `length` on."""
        for key in self._keys[length:]:
            del self._by_key[key]
        self._growing = None
        for column in (self._items, self._keys, self._kinds, self._statuses, self._turns, self._revisions):
            del column[length:]
        del self._characters[length:]
        del self._lines[length:]
        for index in [index for index in self._parents if index >= length]:
            del self._parents[index]

    def _settle_text(self) -> None:
        """Join what the last item has grown by."""
        grown, self._growing = self._growing, None
        if grown is not None and len(grown) > 1:
            self._items[-1] = msgspec.structs.replace(self._items[-1], text="".join(grown))  # type: ignore[type-var]

    def _word(self, status: str) -> int:
        number = self._numbers.get(status)
        if number is None:
            if len(self._words) > 255:
                # An agent that invents words has them told apart in its items only.
                return 0
            number = self._numbers[status] = len(self._words)
            self._words.append(status)
        return number


def measure(item: Item) -> tuple[int, int, str]:
    """The characters, lines and status of an item."""
    return _MEASURES[type(item)](item)


def _text(item: Message | Thought | Prompt) -> tuple[int, int, str]:
    return len(item.text), item.text.count("\n") + 1, ""


def _call(item: ToolCall) -> tuple[int, int, str]:
    return (*_parts(item.parts), item.status)


def _permission(item: Permission) -> tuple[int, int, str]:
    characters, lines = _parts(item.parts)
    return characters + len(item.plan), lines + item.plan.count("\n") + len(item.questions), item.answer


def _parts(parts: Sequence[Part]) -> tuple[int, int]:
    characters = lines = 0
    for part in parts:
        texts = _PARTS[type(part)](part)
        for text in texts:
            characters += len(text)
            lines += text.count("\n") + 1
    return characters, lines


_PARTS: dict[type, Callable[[Any], Sequence[str]]] = {
    TextPart: lambda part: (part.text,),
    DiffPart: lambda part: (part.old or "", part.new),
    FilePart: lambda part: (part.name,),
    OtherPart: lambda part: (part.text,),
}
_MEASURES: dict[type[Item], Callable[[Any], tuple[int, int, str]]] = {
    Prompt: _text,
    Message: _text,
    Thought: _text,
    ToolCall: _call,
    Plan: lambda item: (sum(len(each.content) for each in item.entries), len(item.entries), ""),
    Setup: lambda item: (sum(len(each.label) for each in item.steps), len(item.steps), ""),
    Permission: _permission,
    Notice: lambda item: (len(item.text), item.text.count("\n") + 1, item.level),
    ShellCommand: lambda item: (len(item.output), item.output.count("\n") + 1, ""),
    TurnEnd: lambda item: (len(item.reason), 1, item.reason),
    Unknown: lambda item: (len(item.text), item.text.count("\n") + 1, ""),
}
