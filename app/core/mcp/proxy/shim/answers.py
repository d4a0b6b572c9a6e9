"""Reading the HTTP answers that the shim gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.mcp.event_stream import EventReader, EventTooLong
from app.core.mcp.proxy.parts import SendFailure
from app.core.mcp.proxy.shim.messages import read_server_message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.core.mcp.proxy.parts import UpstreamResponse
    from app.core.mcp.proxy.shim.messages import ServerMessage

JSON, EVENTS = b"application/json", b"text/event-stream"
# In bytes.
LONGEST_ANSWER = 64 * 1024 * 1024


def header(answer: UpstreamResponse, name: bytes) -> bytes:
    """The value of the first header of this name, empty if there is none."""
    return next((value for each, value in answer.headers if each == name), b"")


def is_stream(answer: UpstreamResponse) -> bool:
    """Whether the answer comes as a stream of events."""
    return answer.status == 200 and header(answer, b"content-type").partition(b";")[0].strip().lower() == EVENTS


async def read_body(answer: UpstreamResponse) -> bytes:
    """The whole body. Raises `SendFailure`."""
    pieces: list[bytes] = []
    size = 0
    while piece := await answer.read():
        pieces.append(piece)
        size += len(piece)
        if size > LONGEST_ANSWER:
            raise SendFailure("its answer is too long", sent=True)
    return b"".join(pieces)


async def read_messages(reader: EventReader, answer: UpstreamResponse) -> AsyncIterator[ServerMessage]:
    """The messages of a stream as they come; what is none is left out. Raises `SendFailure`."""
    try:
        while piece := await answer.read():
            for event in reader.feed(piece):
                found = read_server_message(event.data) if event.type in {b"", b"message"} and event.data else None
                if found is not None:
                    yield found
    except EventTooLong:
        raise SendFailure("a message is too long", sent=True) from None


async def read_answer(answer: UpstreamResponse) -> ServerMessage | None:
    """The answer to the only request, in either form; None when there is none. Raises `SendFailure`."""
    if not is_stream(answer):
        return read_server_message(await read_body(answer))
    async for found in read_messages(EventReader(), answer):
        if found.answers:
            return found
    return None
