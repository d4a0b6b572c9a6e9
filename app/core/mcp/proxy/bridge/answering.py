"""The answer to a POST or GET: one JSON message, or an event stream that is kept alive while nothing comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.mcp.proxy.bridge.calls import BridgeSession
    from app.core.mcp.proxy.bridge.outlets import Outlet, OutletItem
    from app.core.mcp.proxy.parts import Request, Responder

EVENT_STREAM = b"text/event-stream"
STREAM_HEADERS = (
    (b"content-type", EVENT_STREAM),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
KEEP_ALIVE = b": still waiting\n\n"
# Some clients give up when they have no head of an answer, or nothing of a stream, for a while.
KEEP_ALIVE_SECONDS = 10.0
SESSION_HEADER = b"mcp-session-id"


def takes_streams(request: Request) -> bool:
    """Whether the client takes an event stream as an answer."""
    accept = request.header(b"accept")
    return accept is None or b"text/event-stream" in accept or b"*/*" in accept or b"text/*" in accept


def event(data: bytes) -> bytes:
    """A message, which is one line, as an event."""
    return b"event: message\ndata: %b\n\n" % data


async def answer_json(responder: Responder, data: bytes, *, status: int = 200, session: str = "") -> None:
    """Answer with one message, as an event if a stream has begun."""
    if responder.started:
        await responder.write(event(data))
    else:
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        if session:
            headers.append((SESSION_HEADER, session.encode()))
        responder.start(status, headers, length=len(data))
        await responder.write(data)
    responder.end()


def answer_empty(responder: Responder, status: int, *headers: tuple[bytes, bytes]) -> None:
    """Answer without a body."""
    responder.start(status, headers, length=0)
    responder.end()


async def answer_requests(
    responder: Responder,
    outlet: Outlet,
    requests: int,
    *,
    streams: bool,
    status_of: Callable[[bytes], int],
    answered: Callable[[bytes], None],
) -> None:
    """Answer a POST with so many requests: JSON if nothing but one answer comes, else an event stream.

    `answered` is given each answer.
    """
    # What does not take a stream gets nothing but the answer, however long that takes.
    wait = KEEP_ALIVE_SECONDS if streams else None
    done = 0
    while done < requests:
        try:
            async with asyncio.timeout(wait):
                item: OutletItem | None = await outlet.get()
        except TimeoutError:
            _begin(responder)
            await responder.write(KEEP_ALIVE)
            continue
        if item is None:
            break
        done += item.last
        if not item.data:
            continue
        if item.last:
            answered(item.data)
        if item.last and requests == 1 and not responder.started:
            await answer_json(responder, item.data, status=status_of(item.data))
            return
        if item.last or streams:
            _begin(responder)
            await responder.write(event(item.data))
    # A request that was cancelled has no answer.
    _begin(responder)
    responder.end()


async def answer_stream(responder: Responder, session: BridgeSession) -> None:
    """Answer a GET with the messages of a session that belong to no request, until another GET takes over."""
    _begin(responder)
    reader = session.backlog.open()
    while True:
        try:
            async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                message = await session.backlog.get(reader)
        except TimeoutError:
            await responder.write(KEEP_ALIVE)
            continue
        if message is None:
            break
        try:
            await responder.write(event(message.data))
        except BaseException:
            session.backlog.put_back(message)
            raise
    responder.end()


def _begin(responder: Responder) -> None:
    if not responder.started:
        responder.start(200, STREAM_HEADERS)
