"""ItemList: the items of a transcript with what is known of each without reading it, in compact columns."""

from __future__ import annotations

import re
from array import array
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.core.runs.item_store import ItemStore
from app.core.runs.item_text import measure
from app.core.runs.items import (
    Item,
    Message,
    Notice,
    Permission,
    Plan,
    Prompt,
    Setup,
    ShellCommand,
    Thought,
    ToolCall,
    TurnEnd,
    Unknown,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.runs.spill import SpillFile

# A kind is one byte: its place here.
KINDS: tuple[type[Item], ...] = (
    *(Prompt, Message, Thought, ToolCall, Plan, Setup, Permission, Notice, ShellCommand, TurnEnd, Unknown),
)
# The characters in which folding the case finds letters of ASCII, as `ß`, in UTF-8.
_FOLDS_TO_ASCII = re.compile("|".join("ßİŉſǰẖẗẘẙẚẞ\u212aﬀﬁﬂﬃﬄﬅﬆ").encode())
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

    def __init__(self, spill: SpillFile | None = None) -> None:
        """`spill` takes those that are not recent; without it all stay in memory."""
        self._store = ItemStore(spill)
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
        self._store.append(item)
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
        self._store.replace(index, item)
        self._statuses[index] = self._word(status)
        self._turns[index] = item.turn
        self._revisions[index] += 1

    def grow(self, text: str) -> None:
        """Add to the text of the last item, a message or thought."""
        last = len(self._keys) - 1
        if self._growing is None:
            self._growing = [self._store.item(last, KINDS[self._kinds[last]]).text]  # type: ignore[attr-defined]
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
        return self._store.item(index, KINDS[self._kinds[index]])

    def weigh(self, indexes: Iterable[int], characters: int) -> None:
        """An entry of so many characters is a part of these items."""
        for index in indexes:
            self._store.weigh(index, characters)

    @property
    def trouble(self) -> str:
        """What keeps older items from being written to the file, and what became of them; empty while nothing does."""
        return self._store.trouble

    def index_of(self, key: str) -> int | None:
        return self._by_key.get(key)

    def touch(self, index: int) -> None:
        """What is known of an item is not what was shown of it."""
        self._revisions[index] += 1

    def revision(self, index: int) -> int:
        return self._revisions[index]

    def may_have(self, index: int, sought: str) -> bool:
        """False if an item certainly has no text like `sought`, whose case is folded."""
        if not sought.isascii():
            return True
        try:
            encoded = self._store.encoded(index)
        except OSError:
            return False
        return not encoded or sought.encode() in encoded.lower() or _FOLDS_TO_ASCII.search(encoded) is not None

    def same(self, index: int, other: ItemList) -> bool:
        """Whether `other` has the same item there. What is not in memory is not read: what is known of it is enough."""
        if self.head(index)._replace(revision=0) != other.head(index)._replace(revision=0):
            return False
        if not (self._store.in_memory(index) and other._store.in_memory(index)):
            return True
        return self.item(index) == other.item(index)

    def kind(self, index: int) -> type[Item]:
        return KINDS[self._kinds[index]]

    def copy(self, length: int) -> ItemList:
        """The first `length` items."""
        self._settle_text()
        other = ItemList()
        other._store = self._store.copy(length)
        other._keys = self._keys[:length]
        # Nearly all of a copy is kept, and to make a dict anew takes ten times as long.
        other._by_key = self._by_key.copy()
        for key in self._keys[length:]:
            del other._by_key[key]
        other._kinds, other._statuses = self._kinds[:length], self._statuses[:length]
        other._turns, other._revisions = self._turns[:length], self._revisions[:length]
        other._characters, other._lines = self._characters[:length], self._lines[:length]
        other._parents = {index: parent for index, parent in self._parents.items() if index < length}
        other._words, other._numbers = self._words[:], self._numbers.copy()
        return other

    def _settle_text(self) -> None:
        """Join what the last item has grown by."""
        grown, self._growing = self._growing, None
        if grown is not None and len(grown) > 1:
            last = len(self._keys) - 1
            item = self._store.item(last, KINDS[self._kinds[last]])
            self._store.replace(last, msgspec.structs.replace(item, text="".join(grown)))

    def _word(self, status: str) -> int:
        number = self._numbers.get(status)
        if number is None:
            if len(self._words) > 255:
                # An agent that invents words has them told apart in its items only.
                return 0
            number = self._numbers[status] = len(self._words)
            self._words.append(status)
        return number
