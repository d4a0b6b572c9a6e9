"""TokenMask: takes access tokens out of what a server answers, also across the borders of chunks.

A server that quotes the token it was sent must not hand it to a client, also where its JSON or its addresses escape a
character of it. The mask is as long as what it covers, so lengths that were announced still hold. Only bytes that may
be the beginning of a token wait for those after them. No mask helps against a server that means to hand its token out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

# A shorter one would be found in ordinary text.
LEAST_LENGTH = 8
# What is escaped of the characters that a token may have (RFC 6750 section 2.1). PHP's JSON escapes the slash, .NET's
# the plus, addresses all of them.
ESCAPED = re.compile("[/+=]")
IN_JSON = tuple(str.maketrans(escapes) for escapes in ({"/": r"\/"}, {"+": r"\u002B"}, {"/": r"\/", "+": r"\u002B"}))


class TokenMask:
    """For one answer."""

    __slots__ = ("_bytes", "_held", "_tokens")

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        self._tokens: tuple[bytes, ...] = ()
        self._bytes: frozenset[int] = frozenset()
        self._held = b""
        for token in tokens:
            self.add(token)

    def __bool__(self) -> bool:
        """Whether any token is masked."""
        return bool(self._tokens)

    def add(self, token: str) -> None:
        """From now on this one is masked too."""
        for written in _spellings(token):
            secret = written.encode("latin-1", "replace")
            if len(secret) >= LEAST_LENGTH and secret not in self._tokens:
                self._tokens += (secret,)
                self._bytes |= frozenset(secret)

    def is_in(self, data: bytes) -> bool:
        """Whether there is anything to mask."""
        return any(token in data for token in self._tokens)

    def whole(self, data: bytes) -> bytes:
        """Data that is complete, masked."""
        for token in self._tokens:
            if token in data:
                data = data.replace(token, b"*" * len(token))
        return data

    def feed(self, data: bytes) -> bytes:
        """What may be passed on after these bytes."""
        if self._held:
            data, self._held = self._held + data, b""
        data = self.whole(data)
        # Nearly every chunk ends in a byte that no token has.
        if not data or data[-1] not in self._bytes:
            return data
        keep = max((_beginning_at_end(data, token) for token in self._tokens), default=0)
        if keep:
            data, self._held = data[:-keep], data[-keep:]
        return data

    def end(self) -> bytes:
        """What is left at the end: the beginning of a token that did not go on."""
        held, self._held = self._held, b""
        return held


def _spellings(token: str) -> tuple[str, ...]:
    """How a token may be written."""
    if ESCAPED.search(token) is None:
        return (token,)
    in_json = [token.translate(escapes) for escapes in IN_JSON]
    return (token, *in_json, quote(token, safe=""))


def _beginning_at_end(data: bytes, token: bytes) -> int:
    """How many bytes at the end of `data` are the beginning of `token`."""
    tail = data[-(len(token) - 1) :]
    at = tail.find(token[:1])
    while at >= 0:
        if token.startswith(tail[at:]):
            return len(tail) - at
        at = tail.find(token[:1], at + 1)
    return 0
