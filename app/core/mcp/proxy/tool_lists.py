"""without_tools(message, hidden) -> message: a server's answer to a `tools/list` without the tools that are hidden.

Nothing else changes: the elements of the removed tools are cut out of the bytes with one comma each. What cannot be
read for certain is not passed on. Names of members are compared without case, as some clients do (Go's
`encoding/json`), and every member of a name counts, since clients differ in which of two they take.
"""

from __future__ import annotations

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined] # in C; the stubs do not know it
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

WHITE_SPACE = re.compile(r"[ \t\n\r]*")
BOM = "\ufeff"
RESULT, TOOLS, NAME = "result", "tools", "name"
# Without any of these bytes no parser finds a member named `tools`: in any case, with escapes, or in UTF-16 or UTF-32.
MAY_HAVE_TOOLS = re.compile(rb"tool|\\u|\0", re.IGNORECASE)


def may_have_tools(message: bytes) -> bool:
    """Whether a message may have a list of tools. Quick, and true for many that have none."""
    return MAY_HAVE_TOOLS.search(message) is not None


class ListUnreadable(ValueError):
    """A message that is not JSON as every parser reads it."""


def without_tools(message: bytes, hidden: Callable[[str], bool]) -> bytes:
    """The message without the tools of its results whose name is `hidden`; the same object when there are none.

    `message` is one message of JSON-RPC or a batch. Raises `ListUnreadable`.
    """
    try:
        text = message.decode()
        cuts = _Cuts(text, hidden).all()
    except (ValueError, RecursionError) as problem:
        raise ListUnreadable(str(problem)[:200]) from None
    if not cuts:
        return message
    kept, at = [], 0
    for start, end in cuts:
        kept.append(text[at:start])
        at = end
    return "".join((*kept, text[at:])).encode()


class _Pairs(tuple[tuple[str, Any], ...]):
    """The members of an object, those of equal names too."""

    __slots__ = ()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# `float` reads a number of any length quickly, where `int` raises for a long one.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_int=float, parse_float=float, parse_constant=_no_constant, strict=True
)


class _Cuts:
    """Finds what to cut, as spans of the text, in their order."""

    def __init__(self, text: str, hidden: Callable[[str], bool]) -> None:
        self._text = text
        self._hidden = hidden
        self._found: list[tuple[int, int]] = []

    def all(self) -> list[tuple[int, int]]:
        start = self._skip(len(BOM) if self._text.startswith(BOM) else 0)
        end = self._array(start, self._message) if self._at(start) == "[" else self._message(start)
        if self._skip(end) != len(self._text):
            raise ValueError("Something follows the message")
        return self._found

    def _message(self, start: int) -> int:
        return self._object(start, RESULT, self._result)

    def _result(self, start: int) -> int:
        return self._object(start, TOOLS, self._tools)

    def _object(self, start: int, name: str, read: Callable[[int], int]) -> int:
        """The end of a value. The members with this name are read by `read` if it is an object."""
        if self._at(start) != "{":
            return self._value(start)[1]
        at = self._skip(start + 1)
        if self._at(at) == "}":
            return at + 1
        while True:
            if self._at(at) != '"':
                raise ValueError("A name is missing")
            member, at = scanstring(self._text, at + 1, True)
            at = self._skip(at)
            if self._at(at) != ":":
                raise ValueError("A colon is missing")
            at = self._skip(at + 1)
            at = self._skip(read(at) if member.casefold() == name else self._value(at)[1])
            if self._at(at) == "}":
                return at + 1
            if self._at(at) != ",":
                raise ValueError("A comma is missing")
            at = self._skip(at + 1)

    def _tools(self, start: int) -> int:
        """The end of a list of tools, whose hidden ones are cut."""
        if self._at(start) != "[":
            return self._value(start)[1]
        spans: list[tuple[int, int]] = []
        hidden: list[int] = []

        def read(at: int) -> int:
            tool, end = self._value(at)
            if self._is_hidden(tool):
                hidden.append(len(spans))
            spans.append((at, end))
            return end

        end = self._array(start, read)
        self._found += _with_commas(spans, hidden)
        return end

    def _array(self, start: int, read: Callable[[int], int]) -> int:
        """The end of a list, whose elements are read by `read`."""
        at = self._skip(start + 1)
        if self._at(at) == "]":
            return at + 1
        while True:
            at = self._skip(read(at))
            if self._at(at) == "]":
                return at + 1
            if self._at(at) != ",":
                raise ValueError("A comma is missing")
            at = self._skip(at + 1)

    def _is_hidden(self, tool: Any) -> bool:
        return isinstance(tool, _Pairs) and any(
            isinstance(value, str) and self._hidden(value) for member, value in tool if member.casefold() == NAME
        )

    def _value(self, start: int) -> tuple[Any, int]:
        return _DECODER.raw_decode(self._text, start)

    def _skip(self, at: int) -> int:
        found = WHITE_SPACE.match(self._text, at)
        return at if found is None else found.end()

    def _at(self, at: int) -> str:
        return self._text[at : at + 1]


def _with_commas(spans: Sequence[tuple[int, int]], hidden: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The spans of elements of a list, each with the comma before it or, where nothing before it is kept, after it."""
    for number, place in enumerate(hidden):
        start, end = spans[place]
        if place > number:
            yield spans[place - 1][1], end
        else:
            yield start, spans[place + 1][0] if place + 1 < len(spans) else end
