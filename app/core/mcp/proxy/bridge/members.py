"""The members of a JSON object, whose values keep their bytes.

msgspec reads them, in C. What it does not take is read by counting brackets: half of a surrogate pair, which JavaScript
writes, and nesting beyond its bound. Such a value is passed on, and it is for the other side to judge it.
"""

from __future__ import annotations

import json
import re
from typing import TypeAlias

import msgspec

Members: TypeAlias = dict[str, msgspec.Raw]

_members = msgspec.json.Decoder(Members)
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],:]', re.DOTALL)


class NotAnObject(ValueError):
    """What was read is no JSON object."""


def members(data: bytes) -> Members:
    """The members of an object; of equal names the last one. Raises `NotAnObject`."""
    try:
        return _members.decode(data)
    except msgspec.ValidationError:
        raise NotAnObject("It is no object.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _counted(data.strip())


def joined(found: Members) -> bytes:
    """An object with these members."""
    return b"{%b}" % b",".join(b"%b:%b" % (json.dumps(name).encode(), bytes(raw)) for name, raw in found.items())


def encoded(value: object) -> bytes:
    """A value as JSON."""
    return msgspec.json.encode(value)


def scalar(raw: bytes | msgspec.Raw) -> str | float | bool | None:
    """A text, number or constant; None for anything else."""
    try:
        value = json.loads(bytes(raw).decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, str | int | float) else None


def _counted(data: bytes) -> Members:
    """The members of an object as its brackets, commas and colons say."""
    if data[:1] != b"{":
        raise NotAnObject("It is no object.")
    found: Members = {}
    depth, name, start, end = 0, None, -1, -1
    for token in _TOKEN.finditer(data):
        mark = token[0]
        if mark in b"{[":
            depth += 1
        elif mark in b"}]":
            depth -= 1
        if depth == 1 and name is None and mark[:1] == b'"':
            name = scalar(mark)
        elif depth == 1 and start < 0 and mark == b":":
            start = token.end()
        elif start >= 0 and ((depth == 1 and mark == b",") or depth == 0):
            value = data[start : token.start()].strip()
            if not isinstance(name, str) or not value:
                break
            found[name] = msgspec.Raw(value)
            name, start = None, -1
        if depth == 0:
            end = token.end()
            break
    if end != len(data):
        raise NotAnObject("It is not JSON.")
    return found
