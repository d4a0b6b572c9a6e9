"""Answers as servers really send them: what can be mended is, and what is no answer fails at once, in words."""

from __future__ import annotations

import asyncio
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.auth.http.target import CredentialAtStake
from app.core.errors import BurrowError, ProtocolTrouble
from app.core.mcp.protocol.connection import Connection, Endpoint
from app.core.mcp.protocol.http_transport import StreamableHttpTransport
from app.core.mcp.protocol.messages import NotAMessage, checked_answer, read_json, read_message
from app.core.wire_text import mended_json, without_byte_order_mark
from tests.core._mcp_server import ENVELOPE, LEGACY, Reply, Scripted, tool
from tests.core.test_mcp_connection import connected, silent
from tests.core.test_mcp_sse import SseServer
from tests.core.test_mcp_sse import connected as connected_by_sse
from tests.core.test_mcp_stdio import open_pipes

BOM = b"\xef\xbb\xbf"
AT_ONCE = 5.0
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def named(value: bytes | str) -> str:
    """The name of a case. Some are long."""
    return ascii(value)[:60]


def answer(result: object, identity: object = "%ID%") -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": identity, "result": result}).encode()


async def call(server: Scripted, connection: Connection, reply: Reply) -> dict[str, Any]:
    server.always["tools/call"] = reply
    async with asyncio.timeout(AT_ONCE):
        return await connection.call("echo", {}, repeatable=False, on_progress=silent)


ALWAYS = [
    (b'{"jsonrpc":"2.0","id":1,"result":{"content":"\xff"}}', "not valid UTF-8"),
    (b"<html>Sign in</html>", "is not JSON (line 1, column 1). It begins with “<html>Sign in</html>”"),
    (b'{"jsonrpc":"2.0",\n"id":}', "is not JSON (line 2, column 6)"),
    (b"[" * 5_000 + b"]" * 5_000, "nested too deeply"),
    (b'{"jsonrpc":"2.0","id":1,"result":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, "nested too deeply"),
    (BOM + BOM + b'{"jsonrpc":"2.0","id":%ID%,"result":{}}', "is not JSON (line 1, column 1)"),
    ('{"jsonrpc":"2.0","id":1,"result":{}}'.encode("utf-16"), "not valid UTF-8"),
    ('{"jsonrpc":"2.0","id":1,"result":{}}'.encode("utf-16-le"), "is not JSON (line 1, column 2)"),
    (b"null", "is null instead of a JSON-RPC message"),
    (b"true", "is true instead"),
    (b'"ok"', "is a text instead"),
    (b"7", "is a number instead"),
    (b'[{"jsonrpc":"2.0","id":1,"result":{}}]', "a batch of messages"),
    (b'{"ok":true}', "no JSON-RPC 2.0 message"),
    (b'{"jsonrpc":"1.0","id":1,"result":{}}', "no JSON-RPC 2.0 message"),
    (answer(None), "has null for a result instead of an object"),
    (answer([1]), "has a list for a result"),
    (answer("done"), "has a text for a result"),
    (answer({"content": []}, 4_711), "answered the request “4711”, but the request was"),
    (answer({"content": []}, None), "answered the request “null”"),
    (b'{"jsonrpc":"2.0","id":%ID%,"result":{"n":' + b"9" * 5_000 + b"}}", "too many digits"),
    (b'{"jsonrpc":"2.0","id":%ID%,"result":{"n":1e' + b"9" * 30 + b"}}", "too large an exponent"),
]
# On a stream an event without data is no answer, and a notification comes before it.
AS_A_BODY = [
    (b"", "is empty"),
    (b" \n", "is empty"),
    (BOM, "is empty"),
    (b'{"jsonrpc":"2.0","method":"notifications/progress"}', "a message of its own instead of an answer"),
]


@pytest.mark.parametrize(("body", "words"), [*AS_A_BODY, *ALWAYS], ids=named)
async def test_a_body_that_is_no_answer_fails_its_request_at_once_and_in_words(body: bytes, words: str) -> None:
    await fails(Reply(body=body), words)


@pytest.mark.parametrize(("body", "words"), ALWAYS, ids=named)
async def test_an_event_that_is_no_answer_fails_its_request_at_once_and_in_words(body: bytes, words: str) -> None:
    await fails(Reply(stream=[b"data: " + body.replace(b"\n", b"\ndata: ") + b"\n\n"]), words)


async def fails(reply: Reply, words: str) -> None:
    async with Scripted() as server, connected(server.url) as connection:
        with pytest.raises(ProtocolTrouble) as raised:
            await call(server, connection, reply)
        assert words in raised.value.cause
        assert not re.search(r"0x[0-9a-f]{6}|pydantic|validation error|Traceback", raised.value.cause)


@pytest.mark.parametrize("identity", [{}, {"id": None}, {"id": ""}, {"id": []}, {"id": {}}, {"id": True}], ids=str)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_that_names_no_request_answers_the_one_that_waits(
    stream: bool, identity: dict[str, Any]
) -> None:
    message = {"jsonrpc": "2.0", **identity, "error": {"code": -32600, "message": "Unreadable."}}
    async with Scripted() as server, connected(server.url) as connection:
        reply = Reply(stream=[message]) if stream else Reply(body=json.dumps(message).encode())
        with pytest.raises(ProtocolTrouble) as raised:
            await call(server, connection, reply)
        assert "Unreadable. (-32600)" in raised.value.cause


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("No such tool", "No such tool"),
        ({"message": "No code"}, "No code"),
        ({"code": "E7", "message": "Odd code"}, "Odd code"),
        ({"code": -32000}, "-32000"),
        ([1], "[1]"),
    ],
)
async def test_an_error_of_any_shape_is_told_in_the_servers_words(error: object, words: str) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).replace('"id": 1', '"id": %ID%')
    async with Scripted() as server, connected(server.url) as connection:
        with pytest.raises(ProtocolTrouble) as raised:
            await call(server, connection, Reply(body=body.encode()))
        assert words in raised.value.cause


@pytest.mark.parametrize("identity", [b'"%ID%"', b"%ID%.0"])
async def test_an_id_that_came_back_as_text_or_as_a_fraction_counts(identity: bytes) -> None:
    body = b'{"jsonrpc":"2.0","id":' + identity + b',"result":{"content":[]}}'
    async with Scripted() as server, connected(server.url) as connection:
        assert (await call(server, connection, Reply(body=body)))["content"] == []


@pytest.mark.parametrize("before", [b"", BOM])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_byte_order_mark_and_lone_surrogates_lose_nothing_of_a_result(stream: bool, before: bytes) -> None:
    body = rb'{"jsonrpc":"2.0","id":%ID%,"result":{"content":[{"type":"text","text":"a\ud800b \ud83d\ude00 \\ud800 '
    body += b'\xed\xa0\x80!"}]}}'
    async with Scripted() as server, connected(server.url) as connection:
        whole = before + b"data: " + body + b"\n\n" if stream else before + body
        reply = Reply(stream=[whole]) if stream else Reply(body=whole)
        result = await call(server, connection, reply)
        assert result["content"][0]["text"] == "a\ufffdb \U0001f600 \\ud800 \ufffd!"


async def test_a_lone_surrogate_in_one_description_leaves_the_whole_list() -> None:
    listed = {"tools": [tool("good"), tool("odd", description="half \ud800")], **ENVELOPE}
    async with Scripted() as server, connected(server.url) as connection:
        server.always["tools/list"] = Reply(body=answer(listed))
        assert [(tool.name, tool.description) for tool in await connection.tools()] == [
            ("good", "The good tool"),
            ("odd", "half \ufffd"),
        ]


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_a_lone_surrogate_in_an_error_leaves_its_message(status: int) -> None:
    body = b'{"jsonrpc":"2.0","id":%ID%,"error":{"code":-32000,"message":"Disk \\udc00 full"}}'
    async with Scripted() as server, connected(server.url) as connection:
        with pytest.raises(BurrowError) as raised:
            await call(server, connection, Reply(status=status, body=body))
        assert "\udc00" not in raised.value.cause
        assert status == 500 or "Disk \ufffd full" in raised.value.cause


async def test_numbers_that_a_double_would_change_keep_their_digits() -> None:
    body = b'{"jsonrpc":"2.0","id":%ID%,"result":{"structuredContent":[3.14159265358979323846,1e400,0.1,10,1.50]}}'
    async with Scripted() as server, connected(server.url) as connection:
        result = await call(server, connection, Reply(body=body))
        assert result["structuredContent"] == [Decimal("3.14159265358979323846"), Decimal("1e400"), 0.1, 10, 1.5]


async def test_the_message_that_a_result_came_in_is_kept_byte_for_byte() -> None:
    body = b'{ "jsonrpc":"2.0", "result":{"content":[],"n":1.0e2,"n":NaN}, "id":%ID% }'
    seen: list[Any] = []
    async with Scripted() as server:
        transport = StreamableHttpTransport(server.url)
        endpoint = Endpoint("scripted", transport, CredentialAtStake.CARRIED)
        connection = Connection(endpoint, lambda _endpoint, item: seen.append(item))
        try:
            await call(server, connection, Reply(body=body))
        finally:
            await connection.close()
    exchange = next(item for item in seen if getattr(item, "method", "") == "tools/call")
    assert exchange.received == body.replace(b"%ID%", str(exchange.id).encode())


INFO = {"name": "odd", "version": "1"}


@pytest.mark.parametrize(
    "odd",
    [
        {"capabilities": None},
        {"capabilities": {"tools": True, "prompts": False, "logging": None}},
        {"capabilities": []},
        {"serverInfo": {"name": "odd"}},
        {"serverInfo": {"name": 7, "version": 1.5, "title": 3, "icons": "none"}},
        {"serverInfo": "odd"},
        {"instructions": ["Be kind"]},
    ],
    ids=str,
)
async def test_a_handshake_that_only_describes_the_server_wrongly_opens_the_session(odd: dict[str, Any]) -> None:
    answer = {"protocolVersion": LEGACY, "capabilities": {"tools": {}}, "serverInfo": INFO, **odd}
    async with Scripted(legacy=True) as server, connected(server.url) as connection:
        server.always["initialize"] = Reply(result=answer)
        assert len(await connection.tools()) == 2


@pytest.mark.parametrize("before", [BOM + BOM, b"\xff"])
async def test_a_handshake_that_is_no_json_fails_in_words(before: bytes) -> None:
    answer = {"protocolVersion": LEGACY, "capabilities": {"tools": {}}, "serverInfo": INFO}
    async with Scripted(legacy=True) as server, connected(server.url) as connection:
        whole = before + json.dumps({"jsonrpc": "2.0", "id": "%ID%", "result": answer}).encode()
        server.always["initialize"] = Reply(body=whole)
        with pytest.raises(ProtocolTrouble, match=r"is not (JSON|valid UTF-8)") as raised:
            await connection.tools()
    assert "pydantic" not in raised.value.cause


@pytest.mark.parametrize("version", [None, 5, ["2025-11-25"], "1999-01-01"], ids=str)
async def test_a_handshake_without_a_revision_fails_in_words(version: object) -> None:
    answer = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": INFO}
    async with Scripted(legacy=True) as server, connected(server.url) as connection:
        server.always["initialize"] = Reply(result=answer)
        with pytest.raises(ProtocolTrouble) as raised:
            await connection.tools()
    wanted = "Unsupported protocol version" if version == "1999-01-01" else "not as MCP defines it: protocolVersion"
    assert wanted in raised.value.cause
    assert "pydantic" not in raised.value.cause


ON_ONE_STREAM = [
    ('{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Odd."}}', "Odd."),
    ('{"jsonrpc":"2.0","id":[],"error":{"code":-32700,"message":"Odd."}}', "Odd."),
    ('{"jsonrpc":"2.0","id":"%ID%","result":null}', "null for a result"),
    ('{"jsonrpc":"2.0","id":"%ID%","result":{"text":"\xff"}}', "not valid UTF-8"),
    ('{"jsonrpc":"2.0","result":' + '{"a":' * 5_000 + "1" + "}" * 5_000 + ',"id":"%ID%"}', "nested too deeply"),
]


@pytest.mark.parametrize(("message", "words"), ON_ONE_STREAM, ids=named)
async def test_over_http_and_sse_nobody_waits_for_a_better_answer(message: str, words: str) -> None:
    async with SseServer() as server, connected_by_sse(server.url) as connection:
        server.event = b"event: message\ndata: " + message.encode("latin-1") + b"\n\n"
        with pytest.raises(ProtocolTrouble, match=re.escape(words)):
            async with asyncio.timeout(AT_ONCE):
                await connection.call("run", {}, repeatable=False, on_progress=silent)


@pytest.mark.parametrize(("message", "words"), ON_ONE_STREAM, ids=named)
async def test_over_pipes_nobody_waits_for_a_better_answer(message: str, words: str, tmp_path: Path) -> None:
    async with open_pipes(tmp_path) as pipes:
        with pytest.raises(ProtocolTrouble, match=re.escape(words)):
            async with asyncio.timeout(AT_ONCE):
                await pipes.run("say", line=message)


async def test_over_pipes_a_lone_surrogate_loses_nothing_of_a_result(tmp_path: Path) -> None:
    async with open_pipes(tmp_path) as pipes:
        result = await pipes.run("say", line=r'{"jsonrpc":"2.0","id":"%ID%","result":{"content":["a\ud800b"]}}')
        assert result["content"] == ["a\ufffdb"]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
async def test_one_byte_order_mark_at_the_start_of_a_stream_is_dropped_however_it_is_cut(size: int) -> None:
    async def cut(text: bytes) -> Any:
        for start in range(0, len(text), size):
            yield text[start : start + size]

    for given_, wanted in [
        (BOM + b"data: 1\n\n", b"data: 1\n\n"),
        (BOM + BOM + b"x", BOM + b"x"),
        (BOM, b""),
        (b"\xef\xbb", b"\xef\xbb"),
        (b"", b""),
        (b"x" + BOM, b"x" + BOM),
    ]:
        assert b"".join([chunk async for chunk in without_byte_order_mark(cut(given_))]) == wanted


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
        max_leaves=20,
    )
)
def test_any_json_is_read_as_json_reads_it_save_for_lone_surrogates(value: object) -> None:
    for ascii_only in (True, False):
        sent = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        assert read_json(sent) == json.loads(json.dumps(_mended(value), ensure_ascii=False))


@given(st.binary())
def test_any_bytes_are_a_message_or_a_reason_in_words(text: bytes) -> None:
    try:
        checked_answer(read_message(text), 1)
        words = "."
    except NotAMessage as problem:
        words = problem.words
    assert words.endswith(".")


@given(st.text(st.characters()))
def test_mending_leaves_text_without_lone_surrogates_as_it_is(text: str) -> None:
    sent = json.dumps(_mended(text)).encode()
    assert mended_json(sent) == sent


def _mended(value: Any) -> Any:
    match value:
        case str():
            # Two halves that stand side by side are one character.
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_mended(item) for item in value]
        case dict():
            return {_mended(name): _mended(item) for name, item in value.items()}
        case _:
            return value
