"""A result carries the message that held it, byte for byte, over every transport."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from app.core.auth.http.target import CredentialAtStake
from app.core.mcp.protocol.calls import RunningCall
from app.core.mcp.protocol.connection import Connection
from app.core.mcp.protocol.http_transport import StreamableHttpTransport
from app.core.mcp.protocol.stdio_transport import StdioTransport
from app.core.mcp.protocol.transport import Transport
from app.core.mcp.results.blocks import CallResult
from app.core.mcp.results.exact import exact_data
from tests.core._mcp_server import Reply, Scripted
from tests.core.test_mcp_connection import Endpoint

BODY = (
    b'{ "jsonrpc" : "2.0",\t"id":%ID%, "result":{"structuredContent":{"z":1e400,"a":3.14159265358979323846,'
    b'"u":"\\u00e9"},"resultType":"complete", "content":[{"type":"text","text":"a\\u2028b"}],"extra":[1.0,1.10]}}'
)


async def called(transport: Transport) -> CallResult:
    connection = Connection(Endpoint("scripted", transport, CredentialAtStake.CARRIED), lambda _endpoint, _item: None)
    try:
        running = RunningCall(
            lambda report: connection.call("echo", {}, repeatable=False, on_progress=report, on_message=report.received)
        )
        return await running.result()
    finally:
        await connection.close()


def as_sent(body: bytes) -> bytes:
    """The body with the id that the client chose, which is the only part that the test does not know."""
    before, after = BODY.split(b"%ID%")
    assert body.startswith(before)
    assert body.endswith(after)
    return body[len(before) : len(body) - len(after)]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_over_http_the_bytes_of_the_answer_are_kept(legacy: bool, stream: bool) -> None:
    async with Scripted(legacy=legacy) as server:
        lines = Reply(stream=[b"event: message\ndata: " + BODY + b"\n\n"])
        server.always["tools/call"] = lines if stream else Reply(body=BODY)
        result = await called(StreamableHttpTransport(server.url, None))
        assert as_sent(result.message).strip(b'"').isdigit()
        assert str(exact_data(result).value["a"]) == "3.14159265358979323846"


SERVER = """
import json, sys
body = {body!r}
for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "tools/call":
        sys.stdout.write(body.replace("%ID%", json.dumps(message["id"])) + "\\n")
    elif message.get("method") == "initialize":
        info = {{"name": "x", "version": "1"}}
        result = {{"protocolVersion": "2025-11-25", "serverInfo": info, "capabilities": {{}}}}
        sys.stdout.write(json.dumps({{"jsonrpc": "2.0", "id": message["id"], "result": result}}) + "\\n")
    elif "id" in message:
        error = {{"code": -32601, "message": "Method not found"}}
        sys.stdout.write(json.dumps({{"jsonrpc": "2.0", "id": message["id"], "error": error}}) + "\\n")
    sys.stdout.flush()
"""


async def test_on_pipes_the_bytes_of_the_line_are_kept(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(SERVER.format(body=BODY.decode()))
    result = await called(StdioTransport((sys.executable, str(script))))
    assert as_sent(result.message).isdigit()


async def test_a_result_without_its_message_is_a_result_still() -> None:
    async def run(_report: object) -> dict[str, object]:
        await asyncio.sleep(0)
        return {"content": [], "structuredContent": {"a": 1.5}}

    result = await RunningCall(run).result()
    assert result.message == b""
    assert json.dumps(exact_data(result).value) == '{"a": 1.5}'
