"""Text as servers really send it: the parts of a body that a strict decoder refuses although the rest is good."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
REPLACEMENT = "\ufffd"
BACKSLASH = ord("\\")
# A surrogate as an escape, and one that was encoded by itself, which UTF-8 forbids (RFC 3629, section 3).
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_ENCODED_SURROGATE = re.compile(rb"\xed[\xa0-\xbf]")
_ESCAPED_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_PAIR_OR_HALF = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]|\xed[\xa0-\xbf][\x80-\xbf]")


def mended_json(text: bytes) -> bytes:
    """JSON without a byte order mark at its start (RFC 8259, section 8.1), each lone surrogate replaced by U+FFFD.

    Text that needs no mending is returned as it is.
    """
    text = text.removeprefix(BYTE_ORDER_MARK)
    if _ENCODED_SURROGATE.search(text) is not None:
        text = _PAIR_OR_HALF.sub(_whole_character, text)
    return _without_halves(text)


async def without_byte_order_mark(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks of an event stream without one byte order mark at its start (HTML Standard, "Server-sent events")."""
    start: bytes | None = b""
    async for chunk in chunks:
        if start is None:
            yield chunk
            continue
        start += chunk
        if len(start) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(start):
            continue
        whole, start = start.removeprefix(BYTE_ORDER_MARK), None
        if whole:
            yield whole
    if start:
        yield start


def _without_halves(text: bytes) -> bytes:
    """JSON without escapes of lone surrogates. It may have megabytes, so only those are looked at."""
    parts: list[bytes] = []
    kept = looked = 0
    for found in _ESCAPED_SURROGATE.finditer(text):
        start = found.start()
        if start < looked or _is_escaped(text, start):
            continue
        pair = _ESCAPED_PAIR.match(text, start)
        if pair is not None:
            looked = pair.end()
            continue
        parts += (text[kept:start], rb"\ufffd")
        kept = looked = found.end()
    return b"".join((*parts, text[kept:])) if parts else text


def _is_escaped(text: bytes, at: int) -> bool:
    """Whether the backslash there belongs to the one before it."""
    before = at
    while before and text[before - 1] == BACKSLASH:
        before -= 1
    return (at - before) % 2 == 1


def _whole_character(found: re.Match[bytes]) -> bytes:
    """The character of a pair that was encoded half by half (CESU-8); U+FFFD for half a character."""
    text = found[0].decode("utf-8", "surrogatepass")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
