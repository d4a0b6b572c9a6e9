"""Items as Markdown for the clipboard: whole, with their own characters."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from app.core.runs.items import (
    DiffPart,
    FilePart,
    Item,
    Message,
    Notice,
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
from app.ui.transcript.cards import card_of
from app.ui.transcript.diffs import diff_lines
from app.ui.transcript.documents import has_code
from app.ui.transcript.tool_cards import LONGEST_DIFF, VERBATIM_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable


def fenced(text: str, language: str = "") -> str:
    """A block of code whose fence is longer than any in the text (CommonMark 4.5)."""
    longest = 2
    for line in text.splitlines():
        mark = line.lstrip(" ")
        longest = max(longest, len(mark) - len(mark.lstrip("`")))
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip(chr(10))}\n{fence}"


def quoted(text: str) -> str:
    """A block quotation."""
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


@singledispatch
def markdown_of(item: Item) -> str:
    """An item as Markdown; empty for one without words."""
    return f"**{card_of(item).spoken}**"


@markdown_of.register
def _(item: Prompt) -> str:
    files = f"\n\n_{', '.join(item.files)}_" if item.files else ""
    return f"## {card_of(item).title}\n\n{item.text}{files}"


@markdown_of.register
def _(item: Message) -> str:
    return item.text


@markdown_of.register
def _(item: Thought) -> str:
    return quoted(item.text)


@markdown_of.register
def _(item: ToolCall) -> str:
    card = card_of(item)
    found = [f"**{card.title}**" + "".join(f" · {part}" for part in (card.detail, _state(item)) if part)]
    if item.input:
        found.append(fenced(item.input, "json"))
    found.extend(_content(item.parts, item.kind))
    if item.output and not item.parts:
        found.append(fenced(item.output, "json"))
    return "\n\n".join(found)


@markdown_of.register
def _(item: Plan) -> str:
    rows = (f"- [{'x' if entry.status == 'completed' else ' '}] {entry.content}" for entry in item.entries)
    return f"**{card_of(item).title}**\n\n" + "\n".join(rows)


@markdown_of.register
def _(item: Setup) -> str:
    rows = (f"- [{'x' if step.status == 'completed' else ' '}] {step.label or step.step}" for step in item.steps)
    return f"**{card_of(item).title}**\n\n" + "\n".join(rows)


@markdown_of.register
def _(item: Permission) -> str:
    found = [f"**{card_of(item).spoken}**", *(question.text for question in item.questions)]
    return "\n\n".join([*found, *([item.plan] if item.plan else []), *_content(item.parts)])


@markdown_of.register
def _(item: Notice) -> str:
    return quoted(item.text)


@markdown_of.register
def _(item: ShellCommand) -> str:
    return fenced(f"$ {item.command}\n{item.output}", "console")


@markdown_of.register
def _(_item: TurnEnd) -> str:
    return "---"


@markdown_of.register
def _(item: Unknown) -> str:
    return f"**{item.method}**\n\n{fenced(item.text, 'json')}"


def joined(items: Iterable[Item]) -> str:
    """Several items, one below the other."""
    return "\n\n".join(text for item in items if (text := markdown_of(item))) + "\n"


def _state(item: ToolCall) -> str:
    state = card_of(item).state
    return state.word if state is not None else ""


def _content(parts: Iterable[object], kind: str = "") -> list[str]:
    found = []
    for part in parts:
        match part:
            case TextPart(text=text, terminal=terminal):
                verbatim = terminal or ((kind == "execute" or kind in VERBATIM_KINDS) and not has_code(text))
                found.append(fenced(text, "console" if terminal else "") if verbatim else text)
            case DiffPart(path=path, old=old, new=new):
                quick = len(old or "") + len(new) <= LONGEST_DIFF
                changes = "\n".join(diff_lines(old, new)) if quick else new
                found.append(f"`{path}`\n\n{fenced(changes, 'diff' if quick else '')}")
            case FilePart(name=name, uri=uri):
                found.append(f"`{name or uri}`")
            case _:
                found.append(fenced(getattr(part, "text", ""), "json"))
    return found
