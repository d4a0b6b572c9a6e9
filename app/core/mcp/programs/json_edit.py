"""Members of JSON texts set and deleted in place: everything else stays as it is, byte for byte.

A member is put where a person would put it: on a line of its own behind the last one, indented like it, or on the same
line in an object that is on one line. A comma behind the last member stays there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from app.core.mcp.programs.jsonc import JsonDocument, JsonMember, JsonNode, NotReadable, read

if TYPE_CHECKING:
    from collections.abc import Sequence

JsonValue: TypeAlias = "str | Sequence[str] | Mapping[str, JsonValue]"
DEFAULT_UNIT = "  "
LINE_END = re.compile(r"\r\n|\n|\r")
LINE_BREAKS = "\r\n"
BLANK = " \t"


@dataclass(frozen=True)
class _Style:
    """How a text is written: the end of its lines, and what one level is indented by."""

    newline: str
    unit: str


def set_members(text: str, path: tuple[str, ...], values: Mapping[str, JsonValue], *, comments: bool) -> str:
    """`text` where the object at `path` has these members; objects that are missing on the way are made.

    Raises `NotReadable` for a text that cannot be read, and for a value on the way that is no object.
    """
    for name, value in values.items():
        text = _set(text, path, name, value, comments)
    return text


def delete_member(text: str, path: tuple[str, ...], name: str, *, comments: bool) -> str:
    """`text` without the member `name` of the object at `path`. Raises `NotReadable`."""
    document = read(text, comments=comments)
    found = _object_at(document, path)
    if found is None or found.members is None or (member := found.member(name)) is None:
        return text
    index = found.members.index(member)
    begin, end = member.start, member.node.end if member.comma is None else member.comma + 1
    before = found.members[index - 1].comma if index and member.comma is None else None
    left, right = _before_blanks(text, begin), _behind_blanks(text, end)
    if left and text[left - 1] in LINE_BREAKS and text[right : right + 1] in (*LINE_BREAKS, "}"):
        # Nothing else stands on its lines.
        begin, end = left - (2 if text[left - 2 : left] == "\r\n" else 1), end if text[right] == "}" else right
    elif index and index == len(found.members) - 1:
        begin = left
    else:
        end = right
    if before is None:
        return text[:begin] + text[end:]
    # The comma of the member before it goes too, because the last member had none.
    return text[:before] + text[before + 1 : begin] + text[end:]


def _before_blanks(text: str, at: int) -> int:
    while at > 0 and text[at - 1] in BLANK:
        at -= 1
    return at


def _behind_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in BLANK:
        at += 1
    return at


def _set(text: str, path: tuple[str, ...], name: str, value: JsonValue, comments: bool) -> str:
    document = read(text, comments=comments)
    style = _style(document)
    if document.root is None:
        made = {name: value}
        for step in reversed(path):
            made = {step: made}
        before = text[: document.end]
        gap = style.newline if before else ""
        return before + gap + _written(made, style, "") + (text[document.end :] or style.newline)
    parent = document.root
    for depth, step in enumerate(path):
        _refuse_other(parent, path[:depth])
        found = parent.member(step)
        if found is None:
            made = {name: value}
            for missing in reversed(path[depth + 1 :]):
                made = {missing: made}
            return _insert(text, parent, step, made, style)
        parent = found.node
    _refuse_other(parent, path)
    there = parent.member(name)
    if there is None:
        return _insert(text, parent, name, value, style)
    if there.node.value() == _plain(value):
        return text
    written = _flat(value) if _on_one_line(text, parent) else _written(value, style, _indent(text, there.start))
    return text[: there.node.start] + written + text[there.node.end :]


def _refuse_other(node: JsonNode, path: tuple[str, ...]) -> None:
    if node.members is None:
        what = f"“{'.'.join(path)}”" if path else "The file"
        raise NotReadable(f"{what} should be an object", node.start)


def _object_at(document: JsonDocument, path: tuple[str, ...]) -> JsonNode | None:
    node = document.root
    for step in path:
        found = None if node is None else node.member(step)
        node = None if found is None else found.node
    return node


def _insert(text: str, parent: JsonNode, name: str, value: JsonValue, style: _Style) -> str:
    """`text` with one more member behind the last one of `parent`."""
    members = parent.members or ()
    if members and _on_one_line(text, parent):
        member = f"{json.dumps(name, ensure_ascii=False)}: {_flat(value)}"
        return _behind_last(text, parent, members[-1], f" {member}")
    if members:
        indent = _indent(text, members[-1].start)
        member = f"{json.dumps(name, ensure_ascii=False)}: {_written(value, style, indent)}"
        return _behind_last(text, parent, members[-1], f"{style.newline}{indent}{member}")
    outer = _indent(text, parent.start)
    indent = outer + style.unit
    member = f"{json.dumps(name, ensure_ascii=False)}: {_written(value, style, indent)}"
    behind = text[parent.tail : parent.end - 1]
    close = "" if LINE_END.search(behind) else style.newline + outer
    return text[: parent.tail] + style.newline + indent + member + close + text[parent.tail :]


def _behind_last(text: str, parent: JsonNode, last: JsonMember, addition: str) -> str:
    if last.comma is not None:
        return text[: parent.tail] + addition + "," + text[parent.tail :]
    end = last.node.end
    return text[:end] + "," + text[end : parent.tail] + addition + text[parent.tail :]


def _on_one_line(text: str, node: JsonNode) -> bool:
    return bool(node.members) and LINE_END.search(text, node.start, node.end) is None


def _indent(text: str, at: int) -> str:
    """What the line of an index begins with: spaces and tabs."""
    start = max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1
    end = start
    while end < at and text[end] in BLANK:
        end += 1
    return text[start:end]


def _style(document: JsonDocument) -> _Style:
    found = LINE_END.search(document.text)
    newline = "\n" if found is None else found[0]
    root = document.root
    if root is not None and root.members and not _on_one_line(document.text, root):
        inner, outer = _indent(document.text, root.members[0].start), _indent(document.text, root.start)
        if len(inner) > len(outer) and inner.startswith(outer):
            return _Style(newline, inner[len(outer) :])
    return _Style(newline, DEFAULT_UNIT)


def _written(value: JsonValue, style: _Style, indent: str) -> str:
    lines = json.dumps(value, indent=style.unit, ensure_ascii=False).split("\n")
    return (style.newline + indent).join(lines)


def _flat(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(value: JsonValue) -> object:
    """The value as `JsonNode.value` has it."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value]
