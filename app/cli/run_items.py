"""Writes the items of a run's transcript as lines of text or of JSON, each item once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.cli.terminal import line, printable, say, styled
from app.core.redaction import redact_text
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
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from app.core.runs.transcript import Transcript

    Line = tuple[str, str]

# Of each text; --full writes everything.
LONGEST_LINES, LINES_OF_TOOLS, LONGEST_LINE, LONGEST_CHARACTERS = 40, 12, 240, 4_000
ENDED = frozenset({"completed", "failed", "cancelled"})
MARKS = {"completed": ("✓", "good"), "failed": ("✗", "bad"), "cancelled": ("–", "faint"), "in_progress": ("…", "")}
LEVELS = {"error": "bad", "warn": "note"}


class ItemWriter:
    """Writes what is new in a transcript. What may still grow waits until it is whole.

    With `last`, only so many of the items are written that are there at the first time.
    """

    def __init__(self, *, as_json: bool = False, full: bool = False, last: int | None = None) -> None:
        self._as_json, self._full, self._last = as_json, full, last
        self._written: set[str] = set()
        # Everything before this index is written.
        self._from = 0

    def write(self, transcript: Transcript, *, first: int | None = None, over: bool = False) -> None:
        """Write the items that are whole; with `over`, those too that are not. `first` is the first that changed."""
        if self._last is not None:
            self._skip(transcript, len(transcript) - self._last)
        if first is not None:
            self._from = min(self._from, first)
        waiting = len(transcript)
        for index in range(self._from, len(transcript)):
            head = transcript.head(index)
            if head.key in self._written:
                continue
            item = transcript.item(index)
            if over or _whole(item, followed=index + 1 < len(transcript)):
                self._written.add(head.key)
                self._put(item)
            else:
                waiting = min(waiting, index)
        self._from = waiting

    def _skip(self, transcript: Transcript, count: int) -> None:
        self._last = None
        if count > 0:
            self._written |= {transcript.head(index).key for index in range(count)}
            say(f"{count} earlier entries; more with --limit.")

    def _put(self, item: Item) -> None:
        if self._as_json:
            kind = "".join(f"_{c.lower()}" if c.isupper() else c for c in type(item).__name__).lstrip("_")
            # Some items have a kind of their own.
            record: dict[str, Any] = {"type": kind, **_redacted(msgspec.to_builtins(item))}
            line(msgspec.json.encode(record).decode())
            return
        for text, style in _LINES[type(item)](item):
            for shown in self._cut(text, LINES_OF_TOOLS if style == "faint" else LONGEST_LINES):
                # What tools return are not always lines for people.
                long = style == "faint" and len(shown) > LONGEST_LINE and not self._full
                styled([(f"{shown[:LONGEST_LINE]}…" if long else shown, style)])

    def _cut(self, text: str, most: int) -> Iterator[str]:
        text = redact_text(text)
        if self._full:
            yield from text.splitlines()
            return
        lines = text[:LONGEST_CHARACTERS].splitlines()
        yield from lines[:most]
        hidden = len(text.splitlines()) - min(len(lines), most)
        if hidden > 0 or len(text) > LONGEST_CHARACTERS:
            yield f"    … {hidden} more lines; --full writes them" if hidden > 0 else "    … cut; --full writes it all"


def _whole(item: Item, *, followed: bool) -> bool:
    """Whether an item will not change any more, as far as that can be told."""
    match item:
        case Message() | Thought():
            return not item.open or followed
        case ToolCall():
            return item.status in ENDED
        case Plan():
            return all(entry.status == "completed" for entry in item.entries)
        case Setup():
            statuses = {step.status for step in item.steps}
            return "failed" in statuses or (followed and "in_progress" not in statuses)
        case ShellCommand():
            return item.exit_code is not None
        case _:
            return True


def _redacted(value: Any) -> Any:
    match value:
        case str():
            return redact_text(value)
        case dict():
            return {key: _redacted(each) for key, each in value.items()}
        case list() | tuple():
            return [_redacted(each) for each in value]
        case _:
            return value


def _prompt(item: Prompt) -> Iterator[Line]:
    yield "", ""
    for number, text in enumerate(item.text.splitlines() or [""]):
        yield f"{'> ' if number == 0 else '  '}{text}", "strong"
    for name in item.files:
        yield f"  [{printable(name)}]", "faint"


def _tool(item: ToolCall) -> Iterator[Line]:
    mark, style = MARKS.get(item.status, ("·", ""))
    name = f"{item.server} · {item.tool}" if item.server else item.kind
    yield f"{mark} {printable(item.title or item.tool)}  ({printable(name)})", style
    yield from _indented(_of_parts(item.parts))


def _of_parts(parts: Iterable[object]) -> Iterator[Line]:
    for part in parts:
        match part:
            case TextPart() | OtherPart():
                yield part.text, "faint"
            case DiffPart():
                yield from _diff(part)
            case FilePart():
                yield f"[{printable(part.name or part.uri)}]", "faint"


def _diff(part: DiffPart) -> Iterator[Line]:
    # Few commands write one.
    from difflib import unified_diff

    yield printable(part.path), "strong"
    old, new = (part.old or "").splitlines(), part.new.splitlines()
    if len(old) + len(new) > 4 * LONGEST_CHARACTERS:
        yield f"{len(old)} lines became {len(new)}", "faint"
        return
    changed = [each for each in unified_diff(old, new, lineterm="", n=2) if not each.startswith(("---", "+++"))]
    for each in changed:
        yield each, {"+": "good", "-": "bad"}.get(each[:1], "faint")


def _indented(lines: Iterable[Line]) -> Iterator[Line]:
    for text, style in lines:
        yield "\n".join(f"    {each}" for each in text.splitlines()), style


def _plan(item: Plan) -> Iterator[Line]:
    yield "Plan", "strong"
    for entry in item.entries:
        mark, style = MARKS.get(entry.status, ("·", ""))
        yield f"  {mark} {printable(entry.content)}", style


def _setup(item: Setup) -> Iterator[Line]:
    for step in item.steps:
        mark, style = MARKS.get(step.status, ("·", ""))
        yield f"{mark} {printable(step.label)}{f': {printable(step.detail)}' if step.detail else ''}", style or "faint"


def _permission(item: Permission) -> Iterator[Line]:
    answered = f"  ({printable(item.answer_name or item.answer)})" if item.answer else "  (waits for an answer)"
    yield f"? {printable(item.title)}{answered}", "note"
    for question in item.questions:
        yield f"    {printable(question.text)}", ""
    if item.plan:
        yield from _indented([(item.plan, "")])
    yield from _indented(_of_parts(item.parts))
    if not item.answer:
        for option in item.options:
            yield f"    - {printable(option.name)}", ""


def _shell(item: ShellCommand) -> Iterator[Line]:
    yield f"$ {printable(item.command)}", "strong"
    yield from _indented([(item.output, "faint")])


_LINES: Mapping[type[Item], Callable[[Any], Iterable[Line]]] = {
    Prompt: _prompt,
    Message: lambda item: [("", ""), (item.text, "")],
    Thought: lambda item: [(f"~ {item.text}", "faint")],
    ToolCall: _tool,
    Plan: _plan,
    Setup: _setup,
    Permission: _permission,
    Notice: lambda item: [(f"! {item.text}", LEVELS.get(item.level, "faint"))],
    ShellCommand: _shell,
    TurnEnd: lambda item: [(f"— {printable(item.reason)}", "faint")],
    Unknown: lambda item: [(f"· {printable(item.method)}", "faint")],
}
