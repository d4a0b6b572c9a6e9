"""SessionChannel: the way from the shim to its server through the proxy, with the session that the proxy keeps."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from app.core.mcp.event_stream import EventReader
from app.core.mcp.proxy.parts import SendFailure
from app.core.mcp.proxy.shim.answers import EVENTS, JSON, header, is_stream, read_answer, read_messages
from app.core.mcp.proxy.shim.failures import ServedServer
from app.core.mcp.proxy.shim.messages import words_of
from app.core.mcp.proxy.shim.reach import NoProxy

if TYPE_CHECKING:
    from app.core.mcp.proxy.parts import Headers, Sender, UpstreamResponse
    from app.core.mcp.proxy.shim.messages import ProgramMessage, ServerMessage
    from app.core.mcp.proxy.shim.pipes import LineWriter
    from app.core.mcp.proxy.shim.reach import Reach

FIRST_REOPENING, LONGEST_REOPENING = 0.1, 5.0
# These say nothing about whether the server has such a stream.
PASSING = frozenset({429, 502, 503, 504})


class NotReopened(Exception):
    """The session is not known any more, and none could be opened. `error` is what to tell the program, or empty."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("message", "")))
        self.error = error


class SessionChannel:
    """Everything is sent with the key, and with the session once there is one."""

    def __init__(self, reach: Reach, sender: Sender, server: str, key: str) -> None:
        """`server` is the id of the server."""
        self.reach = reach
        self.server = ServedServer(server, server)
        self._sender = sender
        self._path = f"/mcp/{quote(server, safe=':@-._~')}"
        self._authorization = b"Bearer " + key.encode()
        # The proxy's id of the session, the revision that the server chose, and the messages that opened it.
        self.session = self._protocol = b""
        self._opening: ProgramMessage | None = None
        self._opened: ProgramMessage | None = None
        self._reopening = asyncio.Lock()

    async def send(self, method: str, more: Headers = (), body: bytes = b"") -> UpstreamResponse:
        """Send a request, after starting the proxy if nobody serves. Raises `SendFailure`, `NoProxy`."""
        port = await self.reach.port()
        headers = [(b"authorization", self._authorization), *more]
        headers.append((b"accept", EVENTS if method == "GET" else JSON + b", " + EVENTS))
        if method == "POST":
            headers.append((b"content-type", JSON))
        if self.session:
            headers.append((b"mcp-session-id", self.session))
        if self._protocol and all(name != b"mcp-protocol-version" for name, _ in more):
            headers.append((b"mcp-protocol-version", self._protocol))
        try:
            return await self._sender.send(method, f"http://127.0.0.1:{port}{self._path}", tuple(headers), body)
        except SendFailure:
            self.reach.lost()
            raise

    def opening(self, message: ProgramMessage) -> None:
        """The program opens a session with this message."""
        self._opening, self._opened = message, None
        self.session = self._protocol = b""

    def answered(self, answer: UpstreamResponse, found: ServerMessage) -> None:
        """The server accepted what opens a session."""
        self.server = self.server.named(found.result)
        self.session = header(answer, b"mcp-session-id")
        self._protocol = str(found.result.get("protocolVersion", ""))[:100].encode("ascii", "ignore")

    def opened(self, message: ProgramMessage) -> None:
        """The program said with this message that its session is open."""
        self._opened = message

    async def open_again(self, lost: bytes) -> None:
        """Open a session in the place of one that is not known any more. Raises `NotReopened`."""
        async with self._reopening:
            if self.session != lost:
                return
            opening, opened = self._opening, self._opened
            if opening is None:
                raise NotReopened({})
            self.session = self._protocol = b""
            try:
                answer = await self.send("POST", (), opening.body)
                try:
                    found = await read_answer(answer)
                finally:
                    answer.close()
                if found is None or not found.result:
                    raise NotReopened({} if found is None else found.error)
                self.answered(answer, found)
                if opened is not None:
                    (await self.send("POST", (), opened.body)).close()
            except (SendFailure, NoProxy) as failure:
                raise NotReopened({}) from failure
            finally:
                # Not lost for good: the next request tries again.
                self.session = self.session or lost

    async def close_session(self) -> None:
        """Delete the session, if somebody serves; nothing is started for that."""
        if self.session:
            with contextlib.suppress(SendFailure, NoProxy):
                if await self.reach.known_port() is not None:
                    (await self.send("DELETE")).close()

    async def listen(self, output: LineWriter) -> None:
        """Pass on what the server sends by itself. That stream is opened again when it ends, until it is refused."""
        pause, reader = FIRST_REOPENING, EventReader()
        while True:
            session = self.session
            with contextlib.suppress(SendFailure, NoProxy):
                # A proxy that the user ended is not started for this alone.
                if await self.reach.known_port() is not None:
                    last = () if reader.last_id is None else ((b"last-event-id", reader.last_id),)
                    answer = await self.send("GET", last)
                    try:
                        if is_stream(answer):
                            reader = reader.after_break()
                            async for found in read_messages(reader, answer):
                                pause = FIRST_REOPENING
                                await output.write(found.line)
                        elif answer.status == 404 and session:
                            reader = EventReader()
                            await self.open_again(session)
                        elif answer.status not in PASSING:
                            return
                    except NotReopened:
                        return
                    except SendFailure:
                        self.reach.lost()
                    finally:
                        answer.close()
            await asyncio.sleep(max(pause, reader.retry or 0.0))
            pause = min(2 * pause, LONGEST_REOPENING)


def refused_words(answer: UpstreamResponse, body: bytes) -> str:
    """What a refusal says."""
    return words_of(body) or f"It answered {answer.status}."
