"""Event streams (WHATWG HTML section 9.2) as bytes: cut into events, read, written, and never changed by the way."""

from __future__ import annotations

import re

from app.core.auth.http.openings import BYTE_ORDER_MARK, first_data

# Atomic: the two characters of one line break are no blank line.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?:\r\n|\n|\r)")
_LINES = re.compile(rb"\r\n|\n|\r")
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
# The largest event that is looked into, and the largest list of tools.
LONGEST_EVENT = 32 * 1024 * 1024


class OversizedEvent(Exception):
    """An event is longer than `LONGEST_EVENT`."""


class EventSplitter:
    """Cuts a stream into whole events, each with the blank line that ends it."""

    def __init__(self) -> None:
        self._rest = bytearray()
        # How much of the rest was searched already: an event that comes in many pieces is not searched each time.
        self._searched = 0

    @property
    def rest(self) -> bytes:
        """The beginning of an event that is not complete."""
        return bytes(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """The events that these bytes complete. Raises `OversizedEvent`."""
        self._rest += data
        events: list[bytes] = []
        start = 0
        for found in _BLANK_LINE.finditer(self._rest, self._searched):
            events.append(bytes(self._rest[start : found.end()]))
            start = found.end()
        del self._rest[:start]
        # A line break at the end may be the first half of a blank line.
        self._searched = max(len(self._rest) - 3, 0)
        if len(self._rest) > LONGEST_EVENT:
            raise OversizedEvent
        return events


def data_of(event: bytes) -> bytes:
    """The data of one whole event, empty where it has none."""
    return first_data(event) or b""


def name_of(event: bytes) -> bytes:
    """The type of one whole event, empty where it gives none: the last one that it gives counts."""
    names = [line[6:].removeprefix(b" ") for line in _lines(event) if line.startswith(b"event:") or line == b"event"]
    return names[-1] if names else b""


def with_data(event: bytes, data: bytes) -> bytes:
    """An event with other data, and its other fields as they were."""
    kept = [line for line in _lines(event) if line and not line.startswith(b"data:") and line != b"data"]
    return b"\n".join([*kept, *data_lines(data), b"", b""])


def _lines(event: bytes) -> list[bytes]:
    # The mark is no part of the first line of a stream.
    return _LINES.split(event.removeprefix(BYTE_ORDER_MARK))


def data_lines(data: bytes) -> list[bytes]:
    """The lines that carry `data`."""
    return [b"data: " + line for line in _LINES.split(data)]


def message_event(message: bytes) -> bytes:
    """A JSON-RPC message as an event, on one line."""
    return b"event: message\ndata: " + on_one_line(message) + b"\n\n"


def on_one_line(message: bytes) -> bytes:
    """JSON without line breaks, which in JSON stand between values only."""
    return message.translate(_ONE_LINE)


def last_id(event: bytes) -> bytes | None:
    """The event's id, None where it has none (an empty one takes the last id back)."""
    found = None
    for line in _lines(event):
        if line.startswith(b"id:"):
            found = line[3:].removeprefix(b" ")
        elif line == b"id":
            found = b""
    return found if found is None or b"\0" not in found else None
