"""CallbackServer: receives the redirect of one authorization on the loopback interface (RFC 8252 section 7.3)."""

from __future__ import annotations

import asyncio
import html
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from app.core.redaction import hide

if TYPE_CHECKING:
    from collections.abc import Callable

REQUEST_LIMIT = 16 * 1024
REQUEST_SECONDS = 10.0
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
class AuthorizationResponse:
    """The parameters of the redirect. A server sets exactly one of `code` and `error` (RFC 6749 section 4.1.2)."""

    code: str | None = field(repr=False)
    state: str | None = field(repr=False)
    error: str | None
    issuer: str | None

    def __post_init__(self) -> None:
        hide(self.code, self.state)


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
    keeps waiting: any page in the browser can send a request here, and none may end the sign-in.
    """

    def __init__(self, path: str, accepts: Callable[[AuthorizationResponse], bool]) -> None:
        self._path = path
        self._accepts = accepts
        self._server: asyncio.Server | None = None
        self._result: asyncio.Future[AuthorizationResponse] = asyncio.get_running_loop().create_future()

    async def open(self, port: int = 0) -> str:
        """Start listening on `port` if it is free, else on one that the system chooses; returns the redirect URI."""
        try:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=REQUEST_LIMIT)
        except OSError:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=REQUEST_LIMIT)
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}{self._path}"

    async def wait(self) -> AuthorizationResponse:
        """The accepted redirect."""
        return await asyncio.shield(self._result)

    def close(self) -> None:
        """Stop listening, and cancel a pending `wait`."""
        self._result.cancel()
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass
        finally:
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        request_line = head.split(b"\r\n", 1)[0].decode("latin-1")
        method, _, rest = request_line.partition(" ")
        try:
            target = urlsplit(rest.partition(" ")[0])
        except ValueError:
            return _page(400, "Bad request", "")
        if target.path != self._path:
            return _page(404, "Nothing here", "")
        if method != "GET":
            return _page(405, "Method not allowed", "")
        # Blank values count: an empty `iss` is a wrong one. A repeated parameter is invalid (RFC 6749 section 3.1), and
        # choosing one of them could accept what another reader would refuse.
        query = parse_qs(target.query, keep_blank_values=True)
        repeated = any(len(query.get(name, [])) > 1 for name in PARAMETERS)
        response = AuthorizationResponse(*(query.get(name, [None])[0] for name in PARAMETERS))
        if self._result.done():
            return _page(410, "Already done", "You can close this tab.")
        if repeated or not self._accepts(response):
            # Nothing of the request is shown: its text may be anybody's.
            return _page(400, "This answer was not expected", "Start again from Burrow.")
        self._result.set_result(response)
        if response.error or not response.code:
            return _page(200, "Nothing was granted", "You can close this tab and return to Burrow.")
        return _page(200, "You are signed in", "You can close this tab and return to Burrow.")


def _page(status: int, title: str, text: str) -> bytes:
    body = PAGE.format(title=html.escape(title), text=html.escape(text)).encode()
    head = (
        f"HTTP/1.1 {status} {title}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\nConnection: close\r\n\r\n"
    )
    return head.encode("latin-1") + body
