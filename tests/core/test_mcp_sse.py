"""A server over HTTP+SSE: answers come on another stream, and no call is ever sent twice because of that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from app.core.auth.http.target import CredentialAtStake
from app.core.errors import (
    BurrowError,
    NotFound,
    Offline,
    OutcomeUnknown,
    ProtocolTrouble,
    ServerTrouble,
)
from app.core.mcp.protocol import http_client
from app.core.mcp.protocol.connection import Connection, Endpoint
from app.core.mcp.protocol.sse_transport import SseTransport
from tests.core._mcp_server import LEGACY, real_server, with_id
from tests.core._raw_server import RawRequest, RawServer

TOOL = {"name": "run", "inputSchema": {"type": "object"}}
INFO = {"protocolVersion": LEGACY, "serverInfo": {"name": "sse", "version": "1"}, "capabilities": {"tools": {}}}


class SseServer(RawServer):
    """Its stream and what it does with a call are set by the test.

    `refuse`: the status of the POST of a call, which is then not carried out. `cut`: the stream is closed instead of
    an answer. `event`: sent instead of an answer. `opens`: the status of the stream.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ran = 0
        self.opened = 0
        self.opens = 200
        self.refuse = 0
        self.cut = False
        self.error: dict[str, Any] | None = None
        self.event = b""
        self.size = 0
        self.seen: list[dict[str, str]] = []
        self._stream: asyncio.StreamWriter | None = None

    @property
    def url(self) -> str:
        return f"{self.origin}/sse"

    async def answer(self, request: RawRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self.seen.append(request.headers)
        if request.verb == "GET":
            return await self._open(reader, writer)
        message = json.loads(request.body)
        call = message.get("method") == "tools/call"
        status = self.refuse if call and self.refuse else 202
        writer.write(f"HTTP/1.1 {status} Scripted\r\ncontent-length: 4\r\n\r\nwell".encode())
        await writer.drain()
        if status == 202:
            await self._carry_out(message)
        return True

    async def _open(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self.opened += 1
        if self.opens != 200:
            head = f"HTTP/1.1 {self.opens} Scripted\r\nwww-authenticate: Bearer\r\ncontent-length: 2\r\n\r\nno"
            writer.write(head.encode())
            return True
        self._stream = writer
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        writer.write(b"event: endpoint\ndata: /messages?session=1\n\n")
        await reader.read()
        return False

    async def _carry_out(self, message: dict[str, Any]) -> None:
        match message.get("method"):
            case "initialize":
                self._say(message, result=INFO)
            case "tools/list":
                self._say(message, result={"tools": [TOOL]})
            case "tools/call":
                self.ran += 1
                assert self._stream is not None
                if self.cut:
                    self._stream.transport.abort()
                elif self.event:
                    self._stream.write(with_id(self.event, message))
                elif self.error is not None:
                    self._say(message, error=self.error)
                else:
                    text = "x" * self.size or json.dumps(message["params"]["arguments"])
                    self._say(message, result={"content": [{"type": "text", "text": text}]})
            case _ if "id" in message:
                self._say(message, error={"code": -32601, "message": "Method not found"})

    def _say(self, message: dict[str, Any], **answer: Any) -> None:
        assert self._stream is not None
        text = json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer})
        self._stream.write(f"event: message\ndata: {text}\n\n".encode())


class Bearer(httpx2.Auth):
    async def async_auth_flow(self, request: httpx2.Request) -> Any:
        request.headers["Authorization"] = "Bearer one"
        yield request


@asynccontextmanager
async def connected(url: str, auth: Any = None) -> AsyncIterator[Connection]:
    endpoint = Endpoint("sse", SseTransport(url, auth), CredentialAtStake.UNMANAGED)
    connection = Connection(endpoint, lambda _endpoint, _item: None)
    try:
        yield connection
    finally:
        await connection.close()


async def run(connection: Connection, *, repeatable: bool = False, **arguments: Any) -> Any:
    return await connection.call("run", arguments, repeatable=repeatable, on_progress=silent)


async def silent(progress: float, total: float | None, message: str | None) -> None:
    pass


async def test_tools_are_listed_and_called_and_the_token_is_carried_by_every_request() -> None:
    async with SseServer() as server, connected(server.url, Bearer()) as connection:
        assert [tool.name for tool in await connection.tools()] == ["run"]
        assert json.loads((await run(connection, count=2))["content"][0]["text"]) == {"count": 2}
        assert {headers.get("authorization") for headers in server.seen} == {"Bearer one"}


@pytest.mark.parametrize("repeatable", [False, True])
async def test_an_error_on_the_stream_never_makes_a_call_run_again(repeatable: bool) -> None:
    async with SseServer() as server, connected(server.url) as connection:
        server.error = {"code": -32603, "message": "It broke."}
        with pytest.raises(ProtocolTrouble, match="It broke"):
            await run(connection, repeatable=repeatable)
        assert server.ran == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFound), (500, OutcomeUnknown), (503, ServerTrouble), (401, ServerTrouble)]
)
async def test_a_refused_post_fails_alone_and_is_not_waited_for(status: int, kind: type[BurrowError]) -> None:
    async with SseServer() as server, connected(server.url) as connection:
        await connection.tools()
        server.refuse = status
        with pytest.raises(kind) as raised:
            await asyncio.wait_for(run(connection), 10)
        assert raised.value.facts.status == status
        server.refuse = 0
        await run(connection)
        assert (server.ran, server.opened) == (1, 1)


async def test_a_stream_that_breaks_before_the_answer_leaves_the_outcome_unknown() -> None:
    async with SseServer() as server, connected(server.url) as connection:
        server.cut = True
        with pytest.raises(OutcomeUnknown):
            await run(connection)
        assert server.ran == 1
        server.cut = False
        await run(connection)
        assert (server.ran, server.opened) == (2, 2)


async def test_a_repeatable_call_whose_stream_broke_is_made_once_more_on_another() -> None:
    async with SseServer() as server, connected(server.url) as connection:
        server.cut = True
        with pytest.raises(ServerTrouble):
            await run(connection, repeatable=True)
        assert (server.ran, server.opened) == (2, 2)


async def test_an_answer_without_end_is_left_and_its_call_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "ANSWER_LIMIT", 1024 * 1024)
    async with SseServer() as server, connected(server.url) as connection:
        server.size = 2 * 1024 * 1024
        with pytest.raises(ProtocolTrouble, match="larger than 1 MB"):
            await run(connection)
        assert server.ran == 1


@pytest.mark.parametrize(("status", "kind"), [(401, ServerTrouble), (404, NotFound), (500, ServerTrouble)])
async def test_a_stream_that_is_refused_is_told_as_that(status: int, kind: type[BurrowError]) -> None:
    async with SseServer() as server, connected(server.url) as connection:
        server.opens = status
        with pytest.raises(kind) as raised:
            await connection.tools()
        assert raised.value.facts.status == status


async def test_a_server_that_is_not_there_is_offline() -> None:
    async with SseServer() as server:
        await server.go_away()
        async with connected(server.url) as connection:
            with pytest.raises(Offline):
                await connection.tools()
        await server.come_back()


async def test_the_sdks_own_server_is_understood() -> None:
    from mcp.server import MCPServer

    sdk = MCPServer("real")

    @sdk.tool()
    def add(first: int, second: int) -> int:
        return first + second

    async with real_server(sdk, app="sse") as url, connected(url.replace("/mcp", "/sse")) as connection:
        assert [tool.name for tool in await connection.tools()] == ["add"]
        result = await connection.call("add", {"first": 2, "second": 3}, repeatable=False, on_progress=silent)
        assert result["structuredContent"] == {"result": 5}
