"""Tables of TOML texts set and deleted in place: everything else stays as it is, byte for byte.

An entry is a table `[KEY.NAME]`, as every program writes it that has such a file. Of an entry that is there already,
only the members that say how the server is reached are written anew. Forms in which nothing can be replaced by itself
are refused in words.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.core.mcp.programs.refused import ConfigRefused
from app.core.mcp.programs.toml_text import TomlStatement, spelled_key, spelled_text, statements

if TYPE_CHECKING:
    from collections.abc import Collection

    from app.core.mcp.programs.entries import EntryValue


def set_table(text: str, key: str, name: str, members: Mapping[str, EntryValue], replaced: Collection[str]) -> str:
    """`text` where the table `[key.name]` has these members, and of `replaced` no others.

    Raises `ConfigRefused` for an entry that is written in another form.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = [f"{spelled_key(member)} = {_spelled(value)}" for member, value in members.items()]
    header = f"[{spelled_key(key)}.{spelled_key(name)}]"
    found = statements(text)
    own = [each for each in found if each.path[:2] == (key, name)]
    _refuse_inline(found, key)
    if not own:
        table = newline.join([header, *lines])
        return f"{text}{_gap(text, newline)}{table}{newline if text.endswith(newline) or not text else ''}"
    _refuse_other_forms(found, key, name)
    head = next((each for each in own if each.header and each.path == (key, name)), None)
    if head is not None and _members(text, key, name, replaced) == _plain(members):
        return text
    gone = [each for each in own if len(each.path) > 2 and each.path[2] in replaced]
    edits = [(*_whole_lines(text, each), "") for each in gone]
    if head is None:
        first = own[0].start
        edits.append((first, first, newline.join([header, *lines, "", ""])))
    else:
        edits.append((head.end, head.end, "".join(newline + line for line in lines)))
    return _edited(text, edits)


def delete_table(text: str, key: str, name: str) -> str:
    """`text` without the table `[key.name]` and those below it. Raises `ConfigRefused`."""
    found = statements(text)
    own = [each for each in found if each.path[:2] == (key, name)]
    if not own:
        return text
    _refuse_inline(found, key)
    _refuse_other_forms(found, key, name)
    edits = []
    for each in own:
        begin, end = _whole_lines(text, each)
        if each.header:
            begin = _blank_lines_before(text, begin)
        edits.append((begin, end, ""))
    edited = _edited(text, edits)
    # A text that had no end of its last line has none again.
    return edited if text.endswith("\n") or own[-1].end != len(text) else edited.rstrip("\r\n")


def _members(text: str, key: str, name: str, replaced: Collection[str]) -> dict[str, object]:
    table = tomllib.loads(text)[key][name]
    return {member: value for member, value in table.items() if member in replaced}


def _plain(members: Mapping[str, EntryValue]) -> dict[str, object]:
    return {
        member: value if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else list(value)
        for member, value in members.items()
    }


def _refuse_inline(found: tuple[TomlStatement, ...], key: str) -> None:
    for each in found:
        if each.path == (key,) and (each.array or not each.header):
            raise ConfigRefused(f"“{key}” is written in one line, and no table can be added to it.")


def _refuse_other_forms(found: tuple[TomlStatement, ...], key: str, name: str) -> None:
    for each in found:
        below_its_header = each.table >= 0 and found[each.table].path[:2] == (key, name)
        if each.path[:2] == (key, name) and not (below_its_header and not each.array):
            raise ConfigRefused(
                f"“{key}.{name}” is not written as a table [{key}.{name}], and cannot be changed alone."
            )


def _whole_lines(text: str, each: TomlStatement) -> tuple[int, int]:
    """The lines of a statement with the line's end behind them, or with the one before them at the text's end."""
    for ending in ("\r\n", "\n"):
        if text.startswith(ending, each.end):
            return each.start, each.end + len(ending)
    start = each.start
    if start:
        start -= 2 if text[start - 2 : start] == "\r\n" else 1
    return start, each.end


def _blank_lines_before(text: str, at: int) -> int:
    """The index behind which only blank lines stand before `at`."""
    before = text[:at]
    kept = before.rstrip(" \t\r\n")
    if not kept:
        return 0
    end = before.find("\n", len(kept))
    return at if end < 0 else min(at, end + 1)


def _gap(text: str, newline: str) -> str:
    """What stands between a text and a table behind it: the end of its last line, and an empty line."""
    if not text.strip():
        return ""
    if text.endswith(newline * 2):
        return ""
    return newline if text.endswith("\n") else newline * 2


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    """`text` with parts replaced. They may touch and overlap where they delete."""
    parts: list[str] = []
    at = 0
    for begin, end, new in sorted(edits):
        parts.append(text[at : max(at, begin)])
        parts.append(new)
        at = max(at, end)
    parts.append(text[at:])
    return "".join(parts)


def _spelled(value: EntryValue) -> str:
    if isinstance(value, str):
        return spelled_text(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{spelled_text(name)} = {spelled_text(item)}" for name, item in value.items()) + " }"
    return "[" + ", ".join(spelled_text(item) for item in value) + "]"
