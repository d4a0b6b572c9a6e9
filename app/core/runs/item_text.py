"""The text of items, for searching and copying."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    from collections.abc import Callable, Iterable

    from app.core.runs.items import Part


def text_of_item(item: Item) -> str:
    """Everything that an item shows, as plain text."""
    return "\n".join(text for text in _TEXTS[type(item)](item) if text)


def searched(item: Item) -> str:
    """The text that is searched in, with case folded."""
    return text_of_item(item).casefold()


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
