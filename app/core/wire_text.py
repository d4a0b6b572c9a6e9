"""Text as servers really send it: the parts of a body that a strict decoder refuses although the rest is good."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
REPLACEMENT = "\ufffd"
# A surrogate as an escape, and one that was encoded by itself, which UTF-8 forbids (RFC 3629, section 3).
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ENCODED_SURROGATE = re.compile(rb"\xed[\xa0-\xbf]")
# One escape after the other: what looks like an escape after an escaped backslash is none. A pair is one escape.
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F]([0-9a-fA-F]{2})|.)"
)
_PAIR_OR_HALF = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]|\xed[\xa0-\xbf][\x80-\xbf]")


def mended_json(text: bytes) -> bytes:
    """JSON without a byte order mark at its start (RFC 8259, section 8.1), each lone surrogate replaced by U+FFFD.

    Text that needs no mending is returned as it is.
    """
    text = text.removeprefix(BYTE_ORDER_MARK)
    if _ENCODED_SURROGATE.search(text) is not None:
        text = _PAIR_OR_HALF.sub(_whole_character, text)
    if _ESCAPED_SURROGATE.search(text) is not None:
        text = _ESCAPES.sub(lambda found: found[0] if found[1] is None else rb"\ufffd", text)
    return text


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


def _whole_character(found: re.Match[bytes]) -> bytes:
    """The character of a pair that was encoded half by half (CESU-8); U+FFFD for half a character."""
    text = found[0].decode("utf-8", "surrogatepass")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
