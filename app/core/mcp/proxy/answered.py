"""AnswerWatch: whether the answer to a request has come in a stream, so that one that breaks off can be ended well."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from app.core.mcp.proxy.streams import EventSplitter, data_of

if TYPE_CHECKING:
    from collections.abc import Callable

# Of one event. The only ones that are longer are answers: progress, questions and log lines are short.
KEPT_BYTES = 64 * 1024
# The two line breaks that end an event (WHATWG HTML section 9.2.5).
_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n")
_ID = re.compile(rb"(?:^|[\r\n])id(?:[:\r\n]|$)")


class AnswerWatch:
    """Is shown what a client gets of a stream, and keeps little of it.

    `answered` is given the message that is the answer, unless it is long.
    """

    def __init__(self, answered: Callable[[bytes], None] | None = None) -> None:
        self._told = answered
        self._rest = b""
        # Whether the beginning of the event that is not complete was not kept.
        self._long = False
        self._over = False

    @property
    def waits(self) -> bool:
        """Whether the client has no answer, and nothing to resume the stream from."""
        return not self._over and _ID.search(self._rest) is None

    @property
    def ending(self) -> bytes:
        """What makes of the beginning of an event one that clients pass over, as it is no message of MCP."""
        if not self._rest:
            return b""
        return (b"" if self._rest.endswith((b"\n", b"\r")) else b"\n") + b"event: incomplete\n\n"

    def saw(self, data: bytes) -> None:
        """The client gets these bytes."""
        if self._over:
            return
        whole = self._rest + data
        end = _end_of_events(whole)
        if end:
            if self._long:
                self._over = True
                return
            self._over = self._ends(whole[:end])
            if self._over:
                return
        self._rest = whole[end:]
        if len(self._rest) > KEPT_BYTES:
            self._over = not self._long and _ID.search(self._rest) is not None
            self._long, self._rest = True, self._rest[-3:]
        elif end:
            self._long = False

    def _ends(self, events: bytes) -> bool:
        """Whether the answer is among whole events, or something to resume from."""
        marked = b"\nid" in events or b"\rid" in events or events.startswith(b"id")
        over = marked and _ID.search(events) is not None
        if b'"result"' not in events and b'"error"' not in events:
            return over
        for event in EventSplitter().feed(events):
            data = data_of(event)
            if (b'"result"' in data or b'"error"' in data) and _is_answer(data):
                over = True
                if self._told is not None and len(data) <= KEPT_BYTES:
                    self._told(data)
        return over


def _end_of_events(data: bytes) -> int:
    if data.endswith(b"\n\n"):
        return len(data)
    # The middle of a long event: looking for one byte is much quicker than for several.
    if b"\n" not in data and b"\r" not in data:
        return 0
    return max((at + len(end) for end in _ENDS if (at := data.rfind(end)) >= 0), default=0)


def _is_answer(data: bytes) -> bool:
    if len(data) > KEPT_BYTES:
        return True
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return False
    each = message if isinstance(message, list) else [message]
    return any(isinstance(one, dict) and "method" not in one and ("result" in one or "error" in one) for one in each)
