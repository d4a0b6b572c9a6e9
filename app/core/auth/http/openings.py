"""The beginning of an answer's body: how much of it decides, and the first message of an event stream.

Nothing here reads from a connection: `bodies` does so for httpx and httpx2, the proxy's relay for its own connections.
"""

from __future__ import annotations

# A longer body explains no error.
PEEK_BYTES = 256 * 1024
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def media_type_of(content_type: str) -> str:
    """The media type of a `Content-Type` header, in lower case without parameters."""
    return content_type.partition(";")[0].strip().lower()


def first_data(body: bytes) -> bytes | None:
    """The data of the first event that has any (WHATWG HTML section 9.2); None while it is incomplete."""
    normal = body.removeprefix(BYTE_ORDER_MARK).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events = normal.split(b"\n\n")
    for event in events[:-1]:
        lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
        if any(lines):
            return b"\n".join(lines)
    return None


def decoded(raw: bytes, encoding: str) -> bytes | None:
    """The beginning of a body, decoded and bounded; None for garbage and for encodings that were not asked for."""
    if encoding in {"", "identity"}:
        return raw
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        return None
    import zlib

    # 47: gzip or zlib, by its header. -15: deflate without a header, which some servers send.
    for window in (47, -15):
        try:
            return zlib.decompressobj(window).decompress(raw, PEEK_BYTES)
        except zlib.error:
            continue
    return None


def first_message_of(raw: bytes, encoding: str) -> bytes | None:
    """The first message of an event stream that began with `raw`; None while more has to be read."""
    body = decoded(raw, encoding)
    # An unknown encoding ends the reading at once: waiting for an event that can never be recognised would hold up a
    # reader that can decode it.
    if body is None:
        return b""
    data = first_data(body)
    return b"" if data is None and max(len(raw), len(body)) >= PEEK_BYTES else data
