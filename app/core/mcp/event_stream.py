"""EventReader: the server-sent events in a body that comes in pieces (HTML Standard, "Server-sent events")."""

from __future__ import annotations

import re
from typing import NamedTuple

# Of one event, in bytes.
LONGEST_EVENT = 64 * 1024 * 1024
_END_OF_LINE = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLong(Exception):
    """An event is longer than can be kept."""


class StreamEvent(NamedTuple):
    """An event: its type, empty for that of messages, and its data. Both may be empty."""

    type: bytes
    data: bytes


class EventReader:
    """Reads one stream. `last_id` and `retry` (in seconds) are what the stream said last; None before that.

    `longest` is how much of one event is kept, in bytes.
    """

    def __init__(self, longest: int = LONGEST_EVENT) -> None:
        self._longest = longest
        self.last_id: bytes | None = None
        self.retry: float | None = None
        self._rest = bytearray()
        # No line ends before this place of `_rest`.
        self._searched = 0
        self._begun = self._after_return = False
        self._type = b""
        self._data: list[bytes] = []
        self._size = 0

    def after_break(self) -> EventReader:
        """A reader of the stream that goes on where this one was."""
        reader = EventReader(self._longest)
        reader.last_id, reader.retry = self.last_id, self.retry
        return reader

    def feed(self, piece: bytes) -> list[StreamEvent]:
        """The events that are complete with this piece. Raises `EventTooLong`."""
        if self._after_return and piece:
            # The line end was a carriage return with its line feed in the next piece.
            self._after_return = False
            piece = piece.removeprefix(b"\n")
        self._rest += piece
        if not self._begun:
            if len(self._rest) < 3 and _BYTE_ORDER_MARK.startswith(self._rest):
                return []
            self._begun = True
            if self._rest.startswith(_BYTE_ORDER_MARK):
                del self._rest[:3]
        events: list[StreamEvent] = []
        start = 0
        for found in _END_OF_LINE.finditer(self._rest, self._searched):
            event = self._take(bytes(self._rest[start : found.start()]))
            if event is not None:
                events.append(event)
            start = found.end()
        self._after_return = start == len(self._rest) > 0 and self._rest.endswith(b"\r")
        del self._rest[:start]
        self._searched = len(self._rest)
        if self._size + len(self._rest) > self._longest:
            raise EventTooLong
        return events

    def _take(self, line: bytes) -> StreamEvent | None:
        if not line:
            event = StreamEvent(self._type, b"\n".join(self._data)) if self._data else None
            self._type, self._data, self._size = b"", [], 0
            return event
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
            if self._size > self._longest:
                raise EventTooLong
        elif name == b"event":
            self._type = value
        elif name == b"id" and b"\0" not in value:
            self.last_id = value
        elif name == b"retry" and value.isdigit():
            self.retry = int(value[:6]) / 1000
        return None
