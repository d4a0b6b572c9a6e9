"""How a call of a tool is shown: what it was given, what it changed and what came back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from app.core.runs.items import DiffPart, FilePart, OtherPart, TextPart, ToolCall
from app.ui.theme.state import State, by_name
from app.ui.transcript.card import (
    LONGEST_JSON,
    LONGEST_OUTPUT,
    OUTPUT_LINES,
    CardPart,
    ItemCard,
    bounded,
    json_part,
    terminal_part,
)
from app.ui.transcript.card_words import TOOL_KINDS, TOOL_STATES, tr
from app.ui.transcript.diffs import diff_lines
from app.ui.transcript.documents import has_code
from app.ui.transcript.shown_text import beginning_of, one_line, plain
from app.ui.widgets.times import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.core.runs.items import Part

LOCATIONS_SHOWN = 8
# Longer diffs are compared when a person asks for them.
LONGEST_DIFF = 400_000
# Their results are the lines of files and programs, unless they say that they are Markdown by a fence.
VERBATIM_KINDS = frozenset({"read", "search"})
# What is worth reading without asking for it.
OPEN_KINDS = frozenset({"edit", "question"})


class _Ended(msgspec.Struct):
    """What programs' results are known to say of their end."""

    exit_code: int | None = None
    exitCode: int | None = None


class _Given(msgspec.Struct):
    """What a command is known to be given as."""

    command: str | list[str] = ""


def tool_card(item: ToolCall) -> ItemCard:
    """The card of a call of a tool."""
    glyph, kind_words = TOOL_KINDS.get(item.kind, ("tool", one_line(item.kind.replace("_", " "), 60).capitalize()))
    title = one_line(item.title) or tr(kind_words)
    if item.kind == "mcp" and item.tool:
        title = f"{one_line(item.server, 80)} · {one_line(item.tool, 80)}" if item.server else one_line(item.tool)
    detail = _place(item) if item.kind != "mcp" else one_line(item.title) if item.title != item.tool else ""
    if item.locations and any(len(word) > 1 and item.locations[0].path.endswith(word) for word in item.title.split()):
        # The title names the file already.
        detail = ""
    state = by_name(TOOL_STATES, item.status)
    code = exit_code(item) if item.kind == "execute" else None
    if code:
        state = State("cross", tr("Exit code {0}").format(code), "bad")
    took = ""
    if item.at is not None and item.ended_at is not None and (item.ended_at - item.at).total_seconds() >= 0:
        took = duration((item.ended_at - item.at).total_seconds())
    spoken = ", ".join(part for part in (title, detail, state.word, took) if part)
    return ItemCard(
        "card",
        spoken,
        lambda: _parts(item),
        glyph,
        title=title,
        detail=detail,
        state=state,
        took=took,
        folds=True,
        # What an agent asks has nothing below it until it is answered.
        open_first=(item.kind in OPEN_KINDS and bool(item.parts or item.output)) or item.status == "failed",
        late=item.late,
    )


def exit_code(item: ToolCall) -> int | None:
    """The exit code of a program, where its result has one."""
    if not item.output or len(item.output) > LONGEST_JSON * 10:
        return None
    with contextlib.suppress(msgspec.MsgspecError, ValueError):
        ended = msgspec.json.decode(item.output.encode("utf-8", "replace"), type=_Ended)
        return ended.exit_code if ended.exit_code is not None else ended.exitCode
    return None


def content_parts(parts: Iterable[Part], kind: str = "") -> Iterator[CardPart]:
    """What a tool of a kind returned, by what it is."""
    parts = tuple(parts)
    for part in parts:
        match part:
            case TextPart(text=text, terminal=True):
                yield from terminal_part(text)
            case TextPart(text=text) if kind == "execute" and not has_code(text):
                yield from terminal_part(text)
            case TextPart(text=text) if kind in VERBATIM_KINDS and not has_code(text):
                shown = beginning_of(text, LONGEST_OUTPUT, OUTPUT_LINES)
                if shown.text.strip():
                    whole = text if shown.left_out else ""
                    yield CardPart("mono", plain(shown.text.rstrip()), whole=whole, left_out=shown.left_out)
            case TextPart(text=text) if is_json(text):
                yield from json_part(text)
            case TextPart(text=text):
                shown = beginning_of(text, LONGEST_OUTPUT, OUTPUT_LINES)
                if shown.text.strip():
                    whole = text if shown.left_out else ""
                    yield CardPart("markdown", plain(shown.text), whole=whole, left_out=shown.left_out)
            case DiffPart():
                yield from diff_part(part)
            case FilePart(name=name, uri=uri, media_type=media_type):
                words = [one_line(name or uri), one_line(media_type, 60)]
                yield CardPart("caption", tr("File: {0}").format(", ".join(word for word in words if word)))
            case OtherPart(text=text):
                yield from json_part(text)


def is_json(text: str) -> bool:
    """Whether a text is an object or an array of JSON, as results of MCP tools are."""
    if not text.lstrip().startswith(("{", "[")) or len(text) > LONGEST_JSON * 10:
        return False
    try:
        msgspec.json.decode(text.encode("utf-8", "replace"))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True


def diff_part(part: DiffPart) -> Iterator[CardPart]:
    """A changed file: its path, and the lines that differ."""
    words = tr("New file: {0}") if part.old is None else "{0}"
    yield CardPart("caption", words.format(one_line(part.path)), "document")
    if len(part.old or "") + len(part.new) > LONGEST_DIFF:
        yield CardPart("caption", tr("This change is too long to be compared here."), whole=part.new, left_out=1)
        return
    text = "\n".join(diff_lines(part.old, part.new))
    shown = beginning_of(text, LONGEST_OUTPUT, OUTPUT_LINES)
    if shown.text:
        yield CardPart("diff", plain(shown.text), whole=text if shown.left_out else "", left_out=shown.left_out)
    else:
        yield CardPart("caption", tr("No line of it changed."))


def _parts(item: ToolCall) -> Iterator[CardPart]:
    if not item.announced:
        yield CardPart("caption", tr("The beginning of this call is missing from the log."))
    if item.locations and item.kind not in {"edit", "mcp"} and len(item.locations) > 1:
        for location in item.locations[:LOCATIONS_SHOWN]:
            yield CardPart("caption", _location(location.path, location.line), "document")
        if len(item.locations) > LOCATIONS_SHOWN:
            yield CardPart("caption", tr("and {0} more").format(len(item.locations) - LOCATIONS_SHOWN))
    command = _command(item)
    if command:
        yield from bounded("mono", f"$ {command}")
    elif item.input and item.kind not in {"edit", "read"} and item.input not in {"{}", "null"}:
        yield CardPart("caption", tr("Given"))
        yield from json_part(item.input)
    shown = list(content_parts(item.parts, item.kind))
    if len(item.parts) == 1 and isinstance(item.parts[0], DiffPart) and item.parts[0].old is not None and _names(item):
        # The head names the file already.
        shown = shown[1:]
    yield from shown
    if item.output and not shown:
        if not command:
            yield CardPart("caption", tr("Returned"))
        yield from json_part(item.output)


def _command(item: ToolCall) -> str:
    """The command of a program, where the input is known to have it."""
    if item.kind != "execute" or not item.input or len(item.input) > LONGEST_JSON * 10:
        return ""
    with contextlib.suppress(msgspec.MsgspecError, ValueError):
        given = msgspec.json.decode(item.input.encode("utf-8", "replace"), type=_Given).command
        return given if isinstance(given, str) else " ".join(given)
    return ""


def _names(item: ToolCall) -> bool:
    """Whether the head of a changed file has its path."""
    path = item.parts[0].path if isinstance(item.parts[0], DiffPart) else ""
    named = any(len(word) > 1 and path.endswith(word) for word in item.title.split())
    return named or bool(item.locations and item.locations[0].path == path)


def _place(item: ToolCall) -> str:
    if not item.locations:
        return ""
    first = item.locations[0]
    return _location(first.path, first.line)


def _location(path: str, line: int | None) -> str:
    return one_line(path) if line is None else f"{one_line(path)}:{line}"
