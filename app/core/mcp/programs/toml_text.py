"""The statements of a TOML text and where each stands (TOML 1.0.0, https://toml.io/en/v1.0.0).

Only for editing in place: the text is read with `tomllib` first, so what is here may trust that it is valid.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass

SPACE = " \t"
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# The whole of a string; three quotes before one. A string of several lines may end with two quotes more.
STRING = re.compile(
    r"""
    \"{3} (?: [^\\] | \\. )*? \"{3,5} (?!\")
    | '{3} .*? '{3,5} (?!')
    | \" (?: [^"\\\n] | \\. )* \"
    | ' [^'\n]* '
    """,
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True)
class TomlStatement:
    """A header of a table or a key with its value: `text[start:end]` with its indentation, without its line's end.

    `path` has all names from the root on. `table` is the index of the header that it belongs to, -1 for none. A comment
    behind it on its line is a part of it.
    """

    path: tuple[str, ...]
    start: int
    end: int
    table: int
    header: bool = False
    array: bool = False


def statements(text: str) -> tuple[TomlStatement, ...]:
    """The statements of a valid text, in order."""
    found: list[TomlStatement] = []
    table: tuple[str, ...] = ()
    owner = -1
    at = 0
    while at < len(text):
        start = at
        at = _blanks(text, at)
        if at >= len(text) or text[at] in "\r\n":
            at = _next_line(text, at)
            continue
        if text[at] == "#":
            at = _next_line(text, _line_end(text, at))
            continue
        if text[at] == "[":
            array = text[at : at + 2] == "[["
            table, at = _key(text, at + (2 if array else 1))
            owner = len(found)
            end = _line_end(text, at)
            found.append(TomlStatement(table, start, end, owner, header=True, array=array))
        else:
            path, at = _key(text, at)
            end = _line_end(text, _behind_value(text, at + 1))
            found.append(TomlStatement((*table, *path), start, end, owner))
        at = _next_line(text, end)
    return tuple(found)


def _blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    return end - 1 if end > at and text[end - 1] == "\r" else end


def _next_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _key(text: str, at: int) -> tuple[tuple[str, ...], int]:
    """The names of a dotted key, and the index behind it."""
    names: list[str] = []
    while True:
        at = _blanks(text, at)
        found = STRING.match(text, at) if text[at] in "\"'" else BARE_KEY.match(text, at)
        if found is None:
            raise ValueError("not a key")
        names.append(_name(found[0]))
        at = _blanks(text, found.end())
        if text[at : at + 1] != ".":
            return tuple(names), at
        at += 1


def _name(spelled: str) -> str:
    if spelled[0] not in "\"'":
        return spelled
    return str(tomllib.loads(f"k={spelled}")["k"])


def _behind_value(text: str, at: int) -> int:
    """The index behind a value: a string, or everything up to the line's end outside of brackets and strings."""
    depth = 0
    while at < len(text):
        character = text[at]
        if character in "\"'":
            found = STRING.match(text, at)
            if found is None:
                raise ValueError("not a string")
            at = found.end()
            continue
        if character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "#":
            if depth <= 0:
                return at
            at = _line_end(text, at)
            continue
        elif character in "\r\n" and depth <= 0:
            return at
        at += 1
    return at


def spelled_key(name: str) -> str:
    """A name as a key."""
    return name if BARE_KEY.fullmatch(name) else spelled_text(name)


def spelled_text(text: str) -> str:
    """A text as a basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\u{ord(found[0]):04x}", escaped) + '"'
