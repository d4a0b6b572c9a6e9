"""CallbackServer: receives the redirect of one authorization on the loopback interface (RFC 8252 section 7.3)."""

from __future__ import annotations

import asyncio
import html
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qs, urlsplit

from app.core.redaction import hide

if TYPE_CHECKING:
    from collections.abc import Callable

# Browsers send the cookies of every other program on this machine along: 128 KiB of header, and a request line.
REQUEST_LIMIT = (128 + 16) * 1024
# How long a connection may take to send its request, in seconds.
REQUEST_SECONDS = 10.0
# Of so many connections that have not sent their request yet, the oldest is closed for the next one. Any program on
# this machine can open some, and the process has a limited number of file descriptors.
MOST_UNREAD = 64
BACKLOG = 512
# How long the browser may take to receive the last page, in seconds.
DELIVERY_SECONDS = 1.0
# What is read of an oversized request so that the browser sees the answer, in bytes: closing a connection with unread
# data resets it.
MOST_DISCARDED = 4 * 1024 * 1024
PARAMETERS = ("code", "state", "error", "iss")

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;display:grid;place-content:center;min-height:90vh;margin:0;
text-align:center;color:CanvasText;background:Canvas}}h1{{font-size:20px;font-weight:600;margin:0 0 8px}}
p{{margin:0;opacity:.75}}</style></head>
<body><main><h1>{title}</h1><p>{text}</p></main></body></html>
"""


@dataclass(frozen=True)
class CallbackPage:
    """What the browser shows. `reason` is that of the status line (RFC 9112 section 4)."""

    status: int
    reason: str
    title: str
    text: str = ""


SIGNED_IN = CallbackPage(200, "OK", "You are signed in", "You can close this tab and return to Burrow.")
NOT_GRANTED = CallbackPage(200, "OK", "Nothing was granted", "You can close this tab and return to Burrow.")
NOT_SIGNED_IN = CallbackPage(200, "OK", "You are not signed in", "Burrow says why.")
INVALID = CallbackPage(400, "Bad Request", "This answer cannot be used", "Start again from Burrow.")
# Nobody waits for the redirect yet, so its outcome cannot be shown.
RECEIVED = CallbackPage(200, "OK", "Return to Burrow", "It goes on there. You can close this tab.")
ONCE_MORE = CallbackPage(200, "OK", "Once more, please", "Burrow had to register again and opens the page anew.")
ENDED = CallbackPage(200, "OK", "This sign-in has ended", "Start again from Burrow.")
# Nothing of the request is shown: its text may be anybody's.
UNEXPECTED = CallbackPage(400, "Bad Request", "This answer was not expected", "Start again from Burrow.")
BAD_REQUEST = CallbackPage(400, "Bad Request", "Bad request")
NOTHING_HERE = CallbackPage(404, "Not Found", "Nothing here")
WRONG_METHOD = CallbackPage(405, "Method Not Allowed", "Method not allowed")
ALREADY_DONE = CallbackPage(410, "Gone", "Already done", "You can close this tab.")
TOO_LARGE = CallbackPage(
    431, "Request Header Fields Too Large", "The browser sent too many cookies", "Delete those of 127.0.0.1."
)


@dataclass(frozen=True)
class AuthorizationResponse:
    """The parameters of the redirect. A server sets exactly one of `code` and `error` (RFC 6749 section 4.1.2).

    `repeated`: one of them was there more than once, which makes the response invalid (RFC 6749 section 3.1). Choosing
    one of the values could accept what another reader would refuse.
    """

    code: str | None = field(repr=False)
    state: str | None = field(repr=False)
    error: str | None
    issuer: str | None
    repeated: bool = False


def unused_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def is_unused(port: int) -> bool:
    """Whether nobody listens on a port of this machine."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


class CallbackServer:
    """Listens on 127.0.0.1 for one redirect to `path`.

    `accepts` decides whether a redirect belongs to this sign-in. One that does not is answered with 400, and the server
    keeps waiting: any page in the browser can send a request here, and none may end the sign-in. The browser that
    brought the accepted one waits for `answer`, so that it shows what became of the sign-in.
    """

    def __init__(self, path: str, accepts: Callable[[AuthorizationResponse], bool]) -> None:
        self._path = path
        self._accepts = accepts
        self._server: asyncio.Server | None = None
        self._redirect_uri = ""
        loop = asyncio.get_running_loop()
        self._result: asyncio.Future[AuthorizationResponse] = loop.create_future()
        self._outcome: asyncio.Future[CallbackPage] = loop.create_future()
        # In the order in which they were opened.
        self._unread: dict[asyncio.StreamWriter, None] = {}
        self._held: set[asyncio.Task[None]] = set()
        self._awaited = False

    async def open(self, port: int = 0) -> str:
        """Start listening on `port` if it is free, else on one that the system chooses; returns the redirect URI."""
        try:
            self._server = await self._listen(port)
        except OSError:
            self._server = await self._listen(0)
        port = self._server.sockets[0].getsockname()[1]
        self._redirect_uri = f"http://127.0.0.1:{port}{self._path}"
        return self._redirect_uri

    async def wait(self) -> AuthorizationResponse:
        """The accepted redirect. From now on its browser waits for `answer`."""
        self._awaited = True
        return await asyncio.shield(self._result)

    def take(self, address: str) -> bool:
        """Take the address that a browser was redirected to as if it had come here; returns whether it was accepted.

        It is accepted by the same rules as a request of the browser.
        """
        try:
            target, expected = urlsplit(address.strip()), urlsplit(self._redirect_uri)
        except ValueError:
            return False
        if target[:3] != expected[:3] or self._result.done():
            return False
        return self._judge(target) is None

    async def answer(self, page: CallbackPage) -> None:
        """Show `page` to the browser that brought the accepted redirect, and stop listening."""
        if not self._outcome.done():
            self._outcome.set_result(page)
        self.close()
        if self._held:
            await asyncio.wait(self._held, timeout=DELIVERY_SECONDS)

    def close(self) -> None:
        """Stop listening, and cancel a pending `wait`."""
        self.stop_accepting()
        if not self._outcome.done():
            self._outcome.set_result(ENDED)

    def stop_accepting(self) -> None:
        """Stop listening, and cancel a pending `wait`. The browser that brought the redirect still waits."""
        self._result.cancel()
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._unread):
            writer.transport.abort()

    async def _listen(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", port, limit=REQUEST_LIMIT, backlog=BACKLOG)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                page = await self._read(reader, writer)
            if page is None:
                page = await self._hold()
            async with asyncio.timeout(REQUEST_SECONDS):
                writer.write(_response(page))
                await writer.drain()
                if page is TOO_LARGE:
                    await _discard(reader, writer)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass
        finally:
            writer.close()
            task = asyncio.current_task()
            assert task is not None
            self._held.discard(task)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> CallbackPage | None:
        """Read a request; the page to answer with, None for the redirect whose page depends on what becomes of it."""
        self._unread[writer] = None
        if len(self._unread) > MOST_UNREAD:
            next(iter(self._unread)).transport.abort()
        try:
            return self._page_for(await reader.readuntil(b"\r\n\r\n"))
        except asyncio.LimitOverrunError:
            return TOO_LARGE
        finally:
            del self._unread[writer]

    async def _hold(self) -> CallbackPage:
        if not self._awaited:
            return RECEIVED
        task = asyncio.current_task()
        assert task is not None
        self._held.add(task)
        return await asyncio.shield(self._outcome)

    def _page_for(self, head: bytes) -> CallbackPage | None:
        """The page to answer a request with; None for the redirect of this sign-in."""
        request_line = head.split(b"\r\n", 1)[0].decode("latin-1")
        method, _, rest = request_line.partition(" ")
        try:
            target = urlsplit(rest.partition(" ")[0])
        except ValueError:
            return BAD_REQUEST
        if target.path != self._path:
            return NOTHING_HERE
        if method != "GET":
            return WRONG_METHOD
        return self._judge(target)

    def _judge(self, target: SplitResult) -> CallbackPage | None:
        """Accept a redirect that belongs to this sign-in; the page for any other one."""
        # Blank values count: an empty `iss` is a wrong one.
        query = parse_qs(target.query, keep_blank_values=True)
        repeated = any(len(query.get(name, [])) > 1 for name in PARAMETERS)
        code, state, error, issuer = (query.get(name, [None])[0] for name in PARAMETERS)
        response = AuthorizationResponse(code, state, error, issuer, repeated)
        if self._result.done():
            # A browser may ask twice for the same address.
            again = not self._result.cancelled() and self._result.result() == response
            return None if again else ALREADY_DONE
        if len(query.get("state", [])) > 1 or not self._accepts(response):
            return UNEXPECTED
        # Not before it was accepted: any page could have secrets forgotten by sending many others here.
        hide(code, state)
        self._result.set_result(response)
        return None


async def _discard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read what remains of a request that was answered already."""
    writer.write_eof()
    left = MOST_DISCARDED
    while left > 0 and (chunk := await reader.read(65536)):
        left -= len(chunk)


def _response(page: CallbackPage) -> bytes:
    body = PAGE.format(title=html.escape(page.title), text=html.escape(page.text)).encode()
    head = (
        f"HTTP/1.1 {page.status} {page.reason}\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\nConnection: close\r\n\r\n"
    )
    return head.encode("latin-1") + body
