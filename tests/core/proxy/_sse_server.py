"""A server that speaks HTTP+SSE (MCP 2024-11-05) and asks for a token, over plain sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from app.core.auth.cause import Cause
from app.core.auth.http.target import Target
from app.core.auth.tokens import TokenSet
from app.core.errors import BurrowError, SignInNeeded
from app.core.mcp.proxy.parts import HttpUpstream
from tests.core._raw_server import RawRequest, RawServer

INFO = {"protocolVersion": "2024-11-05", "serverInfo": {"name": "sse", "version": "1"}, "capabilities": {"tools": {}}}
TOOLS = [{"name": "run", "inputSchema": {"type": "object"}}, {"name": "other", "inputSchema": {"type": "object"}}]


class Tokens:
    """A source of tokens (`TokenSource`). `ended`: the grant is over."""

    def __init__(self) -> None:
        self.generation = 1
        self.refreshes = 0
        self.ended = False

    @property
    def current(self) -> str:
        return f"token-of-generation-{self.generation}"

    def fresh_token(self) -> TokenSet | None:
        return TokenSet(self.current, generation=self.generation)

    async def access_token(self) -> TokenSet | None:
        return self.fresh_token()

    def no_token_error(self) -> BurrowError:
        return SignInNeeded("Nobody is signed in.")

    async def refresh(self, refused: TokenSet, cause: Cause) -> TokenSet:
        if self.ended:
            raise SignInNeeded("The sign-in has ended.")
        if refused.access_token == self.current:
            self.refreshes += 1
            self.generation += 1
        return TokenSet(self.current, generation=self.generation)

    def adopted(self, tokens: TokenSet) -> bool:
        return False

    def accepted(self, tokens: TokenSet, target: str, headers: Mapping[str, str]) -> None:
        pass

    def key_refused(self, cause: Cause) -> None:
        pass

    async def is_dead(self, tokens: TokenSet) -> bool | None:
        return None


class SseServer(RawServer):
    """`takes` is the token that it takes now. `endpoint` is what it names; `{}` is the number of the stream.

    `status` is that of the POST of a call, `words` its body and a header. With a status of 500 the call was run, and is
    not answered.
    """

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self.tokens = tokens
        self.takes = tokens.current
        self.endpoint = "/messages?session={}"
        self.opened = 0
        self.status = 202
        self.words = ""
        self.ran: list[str] = []
        self.initialised = 0
        self.streams: dict[str, asyncio.StreamWriter] = {}
        self.posted: list[dict[str, str]] = []
        self.comment = b": hello\n\n"

    @property
    def upstream(self) -> HttpUpstream:
        target = Target(frozenset({self.origin}), jsonrpc=True, name="Sse")
        return HttpUpstream("old", "Old", f"{self.origin}/sse", target, self.tokens, sse=True)

    def say(self, stream: str, event: bytes) -> None:
        self.streams[stream].write(event)

    def cut(self) -> None:
        """Break all streams."""
        for stream in self.streams.values():
            stream.transport.abort()
        self.streams.clear()

    async def answer(self, request: RawRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if request.headers.get("authorization") != f"Bearer {self.takes}":
            head = 'HTTP/1.1 401 No\r\nwww-authenticate: Bearer error="invalid_token"\r\ncontent-length: 0\r\n\r\n'
            writer.write(head.encode())
            return True
        if request.verb == "GET":
            self.opened += 1
            name = str(self.opened)
            self.streams[name] = writer
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + self.comment)
            writer.write(f"event: endpoint\ndata: {self.endpoint.format(name)}\n\n".encode())
            await reader.read()
            return False
        self.posted.append(request.headers)
        name = parse_qs(urlsplit(request.target).query)["session"][0]
        message = json.loads(request.body)
        status = self.status if message.get("method") == "tools/call" else 202
        status = status if name in self.streams else 404
        if status >= 500:
            self.ran.append(message["params"]["arguments"]["do"])
        said = f"content-length: {len(self.words)}\r\nx-said: {self.words}\r\n\r\n{self.words}"
        writer.write(f"HTTP/1.1 {status} Scripted\r\n{said}".encode())
        await writer.drain()
        if status == 202:
            self._carry_out(name, message)
        return True

    def _carry_out(self, stream: str, message: dict[str, Any]) -> None:
        match message.get("method"):
            case "initialize":
                self.initialised += 1
                self._answer(stream, message, result=INFO)
            case "tools/list":
                self._answer(stream, message, result={"tools": TOOLS})
            case "tools/call":
                arguments = message["params"]["arguments"]
                self.ran.append(arguments.get("do", ""))
                if arguments.get("do") == "cut":
                    self.cut()
                    return
                text = self.takes if arguments.get("do") == "quote" else json.dumps(arguments)
                self._answer(stream, message, result={"content": [{"type": "text", "text": text}]})
            case _ if "id" in message:
                self._answer(stream, message, error={"code": -32601, "message": "Method not found"})

    def _answer(self, stream: str, message: dict[str, Any], **answer: Any) -> None:
        text = json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer})
        self.say(stream, f"event: message\ndata: {text}\n\n".encode())
