"""Desktop entries: read and written as far as start at login needs it.

https://specifications.freedesktop.org/desktop-entry-spec/1.5/: the file format, and the quoting of `Exec`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GROUP = "[Desktop Entry]"
BLANKS = " \t\r"
# An argument with one of these must be quoted ("The Exec key").
RESERVED = frozenset(" \t\n\"'\\><~|&;$*?#()`")
# Escaped inside the quotes.
ESCAPED = frozenset('"`$\\')
_VALUES = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_ESCAPES = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


def write_entry(fields: Mapping[str, str]) -> str:
    """The text of an entry with these keys, whose values are plain text."""
    lines = (f"{key}={''.join(_VALUES.get(each, each) for each in value)}" for key, value in fields.items())
    return "\n".join((GROUP, *lines, ""))


def read_entry(text: str) -> dict[str, str]:
    """The keys of the main group, their values unescaped. What is no entry gives an empty one."""
    found: dict[str, str] = {}
    inside = False
    # Not `splitlines`: other characters that end a line elsewhere are a part of a value.
    for line in text.split("\n"):
        stripped = line.strip(BLANKS)
        if stripped.startswith("["):
            if inside:
                break
            inside = stripped == GROUP
        elif inside and not stripped.startswith("#") and "=" in stripped:
            key, _, value = stripped.partition("=")
            found.setdefault(key.strip(BLANKS), _unescaped(value.strip(BLANKS)))
    return found


def write_command(arguments: Sequence[str]) -> str:
    """The value of `Exec` that starts a program with these arguments, each as it is.

    Raises ValueError for a program that no entry can start: one with `=` in its path.
    """
    if "=" in arguments[0]:
        raise ValueError("a desktop entry starts no program with an equals sign in its path")
    return " ".join(map(_quoted, arguments))


def read_command(value: str) -> tuple[str, ...]:
    """The arguments of a value of `Exec`, without field codes such as `%u`. Empty for one that is not well formed."""
    arguments: list[str] = []
    current: list[str] | None = None
    quoted = False
    rest = iter(value)
    for each in rest:
        if quoted:
            if each == '"':
                quoted = False
            else:
                assert current is not None
                current.append(next(rest, "") if each == "\\" else each)
        elif each == '"':
            quoted, current = True, current or []
        elif each in " \t":
            if current is not None:
                arguments.append("".join(current))
            current = None
        else:
            current = current or []
            current.append(each)
    if quoted:
        return ()
    if current is not None:
        arguments.append("".join(current))
    codes = (each for each in arguments if not (len(each) == 2 and each[0] == "%" and each != "%%"))
    return tuple(each.replace("%%", "%") for each in codes)


def _quoted(argument: str) -> str:
    # A percent sign begins a field code, quoted or not.
    text = argument.replace("%", "%%")
    if text and not RESERVED.intersection(text):
        return text
    return '"' + "".join(f"\\{each}" if each in ESCAPED else each for each in text) + '"'


def _unescaped(value: str) -> str:
    result: list[str] = []
    rest = iter(value)
    for each in rest:
        if each == "\\":
            following = next(rest, "")
            result.append(_ESCAPES.get(following, f"\\{following}"))
        else:
            result.append(each)
    return "".join(result)
