"""The text of items, for searching and copying, and how long it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from app.core.runs.long_texts import in_one, mask_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from app.core.runs.items import Part


def text_of_item(item: Item) -> str:
    """Everything that an item shows, as plain text."""
    return "\n".join(text for text in _TEXTS[type(item)](item) if text)


def searched(item: Item) -> str:
    """The text that is searched in, with case folded."""
    return text_of_item(item).casefold()


def measure(item: Item) -> tuple[int, int, str]:
    """The characters, lines and status of an item."""
    return _MEASURES[type(item)](item)


def masked(item: Item) -> Item:
    """An item without credentials: authorization headers and what has the shape of a token."""
    return in_one(masking(item))


def masking(item: Item) -> Generator[None, None, Item]:
    """As `masked`, in steps of a few milliseconds (`long_texts.py`)."""
    changed: dict[str, Any] = {}
    for name in _MASKED.get(type(item), ()):
        value = getattr(item, name)
        if isinstance(value, str):
            shown: Any = yield from mask_steps(value)
        else:
            shown = yield from _masking_parts(value)
        if shown != value:
            changed[name] = shown
    return msgspec.structs.replace(item, **changed) if changed else item


def _masking_parts(parts: Iterable[Part]) -> Generator[None, None, tuple[Part, ...]]:
    masked_parts: tuple[Part, ...] = ()
    for each in parts:
        masked_parts += ((yield from _masking_part(each)),)
    return masked_parts


def _masking_part(part: Part) -> Generator[None, None, Part]:
    if isinstance(part, DiffPart):
        old = None if part.old is None else (yield from mask_steps(part.old))
        return DiffPart(part.path, old, (yield from mask_steps(part.new)))
    if isinstance(part, FilePart):
        return part
    text = yield from mask_steps(part.text)
    return part if text is part.text else msgspec.structs.replace(part, text=text)


def characters_to_mask(item: Item) -> int:
    """How much of it `masked` looks at."""
    count = 0
    for name in _MASKED.get(type(item), ()):
        value = getattr(item, name)
        count += len(value) if isinstance(value, str) else sum(map(_part_length, value))
    return count


def without_texts(item: Item) -> Item:
    """An item with nothing in it that could be a credential: its texts are an ellipsis."""
    blank: dict[str, Any] = {}
    for name in _MASKED.get(type(item), ()):
        value = getattr(item, name)
        if value:
            blank[name] = "…" if isinstance(value, str) else (TextPart("…"),)
    return msgspec.structs.replace(item, **blank)


def _part_length(part: Part) -> int:
    return sum(map(len, _PART_TEXTS[type(part)](part)))


def _text_size(item: Message | Thought | Prompt) -> tuple[int, int, str]:
    return len(item.text), item.text.count("\n") + 1, ""


def _call_size(item: ToolCall) -> tuple[int, int, str]:
    return (*_sizes(item.parts), item.status)


def _permission_size(item: Permission) -> tuple[int, int, str]:
    characters, lines = _sizes(item.parts)
    return characters + len(item.plan), lines + item.plan.count("\n") + len(item.questions), item.answer


def _sizes(parts: Sequence[Part]) -> tuple[int, int]:
    characters = lines = 0
    for part in parts:
        texts = _PART_TEXTS[type(part)](part)
        for text in texts:
            characters += len(text)
            lines += text.count("\n") + 1
    return characters, lines


def _parts(parts: Iterable[Part]) -> list[str]:
    return [text for part in parts for text in _PARTS[type(part)](part)]


def _permission(item: Permission) -> list[str]:
    asked = [text for each in item.questions for text in (each.text, *(choice.label for choice in each.choices))]
    return [item.title, item.plan, *asked, *_parts(item.parts), *(each.name for each in item.options)]


_PARTS: dict[type, Callable[[Any], list[str]]] = {
    TextPart: lambda part: [part.text],
    DiffPart: lambda part: [part.path, part.old or "", part.new],
    FilePart: lambda part: [part.name, part.uri],
    OtherPart: lambda part: [part.text],
}
_TEXTS: dict[type[Item], Callable[[Any], list[str]]] = {
    Prompt: lambda item: [item.text, *item.files],
    Message: lambda item: [item.text],
    Thought: lambda item: [item.text],
    ToolCall: lambda item: [
        *(item.title, item.server, item.tool, *(each.path for each in item.locations)),
        *(*_parts(item.parts), item.input, item.output),
    ],
    Plan: lambda item: [each.content for each in item.entries],
    Setup: lambda item: [text for each in item.steps for text in (each.label, each.detail)],
    Permission: _permission,
    Notice: lambda item: [item.text],
    ShellCommand: lambda item: [item.command, item.output],
    TurnEnd: lambda item: [item.reason],
    Unknown: lambda item: [item.method, item.text],
}
_PART_TEXTS: dict[type, Callable[[Any], Sequence[str]]] = {
    TextPart: lambda part: (part.text,),
    DiffPart: lambda part: (part.old or "", part.new),
    FilePart: lambda part: (part.name,),
    OtherPart: lambda part: (part.text,),
}
_MEASURES: dict[type[Item], Callable[[Any], tuple[int, int, str]]] = {
    Prompt: _text_size,
    Message: _text_size,
    Thought: _text_size,
    ToolCall: _call_size,
    Plan: lambda item: (sum(len(each.content) for each in item.entries), len(item.entries), ""),
    Setup: lambda item: (sum(len(each.label) for each in item.steps), len(item.steps), ""),
    Permission: _permission_size,
    Notice: lambda item: (len(item.text), item.text.count("\n") + 1, item.level),
    ShellCommand: lambda item: (len(item.output), item.output.count("\n") + 1, ""),
    TurnEnd: lambda item: (len(item.reason), 1, item.reason),
    Unknown: lambda item: (len(item.text), item.text.count("\n") + 1, ""),
}
_MASKED: dict[type[Item], tuple[str, ...]] = {
    Prompt: ("text",),
    Message: ("text",),
    Thought: ("text",),
    ToolCall: ("title", "parts", "input", "output"),
    Permission: ("title", "parts", "input", "plan"),
    Notice: ("text",),
    ShellCommand: ("command", "output"),
    Unknown: ("text",),
}
