"""A server over HTTP+SSE: as streamable HTTP, and passed on to clients that speak HTTP+SSE too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from app.core.mcp.proxy.bridge import link
from app.core.mcp.proxy.parts import ToolRule
from tests.core.proxy._bridge import HttpClient, Rig, bridged, client_of, messages_of
from tests.core.proxy._sse_server import TOOLS, SseServer, Tokens
from tests.until import until


@asynccontextmanager
async def old_server(folder: Path) -> AsyncIterator[tuple[SseServer, Rig]]:
    async with SseServer(Tokens()) as server, bridged(folder, server.upstream) as rig:
        yield server, rig


class OldClient:
    """A client that speaks HTTP+SSE."""

    def __init__(self, client: HttpClient, rig: Rig, response: httpx.Response) -> None:
        self.client, self.rig, self.response = client, rig, response
        self.raw = b""
        self._chunks = response.aiter_raw()
        self.address = ""

    async def event(self) -> tuple[str, str]:
        """Name and data of the next event; empty at the end."""
        while b"\n\n" not in self.raw:
            try:
                self.raw += await anext(self._chunks)
            except StopAsyncIteration:
                return "", ""
        block, self.raw = self.raw.split(b"\n\n", 1)
        fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
        return fields.get("event", ""), fields.get("data", fields.get("", ""))

    async def message(self) -> Any:
        return json.loads((await self.event())[1])

    async def post(self, message: Any) -> httpx.Response:
        url = urljoin(self.rig.origin, self.address)
        return await self.client.http.post(url, json=message, headers=self.client.headers)


@asynccontextmanager
async def old_client(rig: Rig, name: str = "ana") -> AsyncIterator[OldClient]:
    async with (
        client_of(rig, name, initialise=False) as client,
        client.http.stream("GET", f"{rig.origin}/sse/old", headers=client.headers) as response,
    ):
        assert response.status_code == 200
        made = OldClient(client, rig, response)
        assert await made.event() == ("", "hello")
        named, made.address = await made.event()
        assert named == "endpoint"
        yield made


@pytest.mark.parametrize("endpoint", ["https://evil.example/m?session={}", "//evil.example/m", "http://a@127.0.0.1/m"])
async def test_no_message_and_no_token_goes_to_another_origin(endpoint: str, tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig), client_of(rig, initialise=False) as client:
        server.endpoint = endpoint
        response = await client.post(client.message("initialize", {}))
        assert "another origin" in response.json()["error"]["message"]
        assert not server.posted


async def test_a_sign_in_that_is_over_is_told_and_the_user_too(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig), client_of(rig, initialise=False) as client:
        server.takes, server.tokens.ended = "another", True
        response = await client.post(client.message("initialize", {}))
        assert response.json()["error"]["data"]["type"] == "burrow/sign_in_needed"
        assert rig.host.sign_ins == ["old"]


async def test_its_stream_becomes_a_session_over_streamable_http(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig), client_of(rig) as client:
        assert client.opened["result"]["serverInfo"]["name"] == "sse"
        assert json.loads(await client.run(a=1)) == {"do": "", "a": 1}
        server.say("1", b'data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n\n')
        async with client.listening() as stream:
            assert (await stream.next())["method"] == "notifications/tools/list_changed"
        assert server.opened == 1


async def test_two_sessions_have_two_streams(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig), client_of(rig) as ana, client_of(rig, "ben") as ben:
        texts = await asyncio.gather(ana.run(who="ana"), ben.run(who="ben"))
        assert [json.loads(text)["who"] for text in texts] == ["ana", "ben"]
        assert server.opened == 2


async def test_a_dead_token_is_healed_on_the_stream_and_on_a_message_and_the_call_runs_once(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig):
        server.takes = "token-of-generation-2"
        async with client_of(rig) as client:
            assert server.tokens.refreshes == 1
            server.takes = "token-of-generation-3"
            assert await client.run("once")
            assert server.tokens.refreshes == 2
            assert server.ran == ["once"]


async def test_a_stream_that_ended_is_opened_and_initialised_again(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig), client_of(rig) as client:
        server.cut()
        assert await client.run("after")
        assert (server.opened, server.initialised) == (2, 2)


async def test_a_stream_that_a_client_listens_to_is_opened_again_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "REOPEN_SECONDS", (0.01, 0.01))
    changed = b'data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n\n'
    async with old_server(tmp_path) as (server, rig), client_of(rig) as client:
        async with client.listening() as stream:
            server.cut()
            await until(lambda: server.initialised == 2)
            server.say("2", changed)
            assert (await stream.next())["method"] == "notifications/tools/list_changed"
        await until(lambda: not listening(rig))
        server.cut()
        assert await client.run("after")
        assert server.opened == 3


def listening(rig: Rig) -> bool:
    ((_known, front),) = rig.bridges._fronts.values()
    return any(seat.session.listening for seat in front.seats._all)


async def test_a_server_that_forgot_its_stream_gets_the_call_on_a_new_one(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig), client_of(rig) as client:
        forgotten = server.streams.pop("1")
        assert await client.run("after")
        assert server.ran == ["after"]
        assert server.opened == 2
        forgotten.close()


async def test_a_call_that_its_stream_broke_in_has_an_unknown_outcome_and_runs_once(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig), client_of(rig) as client:
        error = await client.run("cut")
        assert error["data"]["outcome_unknown"] is True
        assert server.ran == ["cut"]
        assert await client.run("after")


async def test_a_call_whose_message_broke_the_server_is_not_sent_again(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig), client_of(rig) as client:
        server.status = 500
        error = await client.run("once")
        assert error["data"]["outcome_unknown"] is True
        assert server.ran == ["once"]


async def test_a_message_that_the_server_refuses_is_told_and_the_session_goes_on(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig), client_of(rig) as client:
        server.status = 413
        error = await client.run("large")
        assert "413" in error["message"]
        assert "outcome_unknown" not in error["data"]
        server.status = 202
        assert await client.run("small")
        assert server.opened == 1


async def test_a_server_that_is_away_is_told_in_words_and_comes_back(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig), client_of(rig) as client:
        await server.go_away()
        error = await client.run("lost")
        assert error["code"] == -32013
        await server.come_back()
        await until(lambda: client.run("back"))
        assert server.ran[-1] == "back"


async def test_our_token_is_masked_where_the_server_quotes_it(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig):
        async with client_of(rig) as client:
            assert await client.run("quote") == "*" * len(server.takes)
        async with old_client(rig) as old:
            await old.post(old.client.tool("quote"))
            assert server.takes not in json.dumps(await old.message())


@pytest.mark.parametrize("status", [202, 413])
async def test_our_token_is_masked_in_the_answer_to_a_message_of_an_old_client(tmp_path: Path, status: int) -> None:
    async with old_server(tmp_path) as (server, rig), old_client(rig) as client:
        server.status, server.words = status, f"sent: {server.takes}"
        response = await client.post(client.client.tool())
        assert response.status_code == status
        assert server.takes not in f"{response.text}{response.headers}"


MOVED = (
    b"event: endpoint\ndata: %b\n\n",
    b"event: message\nevent: endpoint\ndata: %b\n\n",
    b"id: 1\revent: endpoint\rdata: %b\r\r",
)


@pytest.mark.parametrize("event", MOVED)
async def test_no_later_event_leads_a_client_and_its_key_away(tmp_path: Path, event: bytes) -> None:
    async with old_server(tmp_path) as (server, rig), old_client(rig) as client:
        server.say("1", event % b"/messages?session=1&moved=1")
        assert await client.event() == ("endpoint", client.address)
        assert (await client.post(client.client.tool())).status_code == 202
        assert "result" in await client.message()
        server.say("1", event % b"http://127.0.0.1:1/away")
        assert "another origin" in (await client.message())["error"]["message"]
        assert await client.event() == ("", "")


async def test_a_mark_before_the_first_event_hides_nothing_from_the_proxy(tmp_path: Path) -> None:
    async with SseServer(Tokens()) as server, bridged(tmp_path, server.upstream) as rig:
        rig.host.rules["other"] = ToolRule.BLOCK
        tools = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": TOOLS}})
        server.comment = f"\ufeffdata: {tools}\n\n".encode()
        async with (
            client_of(rig, initialise=False) as client,
            client.http.stream("GET", f"{rig.origin}/sse/old", headers=client.headers) as response,
        ):
            event = await anext(response.aiter_text())
            assert "run" in event
            assert "other" not in event


async def test_old_clients_get_the_events_as_they_are(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig), old_client(rig) as client:
        assert client.address.startswith("/sse/old/messages?session=")
        raw = b'id: 7\nevent: message\ndata: {"jsonrpc":"2.0",\ndata: "method":"notifications/x" }\n\n'
        server.say("1", raw)
        await until(lambda: read_more(client, raw))
        assert client.raw == raw


async def read_more(client: OldClient, wanted: bytes) -> bool:
    client.raw += await anext(client._chunks)
    return len(client.raw) >= len(wanted)


async def test_old_clients_call_tools_and_see_no_hidden_ones(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig), old_client(rig) as client:
        assert (await client.post(client.client.tool(a=1))).status_code == 202
        assert json.loads((await client.message())["result"]["content"][0]["text"])["a"] == 1
        rig.host.rules["other"] = ToolRule.BLOCK
        await client.post(client.client.message("tools/list"))
        assert [tool["name"] for tool in (await client.message())["result"]["tools"]] == ["run"]
        rig.host.rules["run"] = ToolRule.BLOCK
        refused = client.client.tool("blocked")
        assert (await client.post(refused)).status_code == 202
        answer = await client.message()
        assert (answer["id"], answer["error"]["code"]) == (refused["id"], -32011)
        assert "blocked" not in server.ran


async def test_old_clients_are_healed_too(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig):
        server.takes = "token-of-generation-2"
        async with old_client(rig) as client:
            server.takes = "token-of-generation-3"
            await client.post(client.client.tool("once"))
            assert "result" in await client.message()
            assert server.ran == ["once"]
            server.takes, server.tokens.ended = "another", True
            assert (await client.post(client.client.tool("twice"))).status_code == 202
            assert (await client.message())["error"]["data"]["type"] == "burrow/sign_in_needed"
            assert server.ran == ["once"]


async def test_the_address_for_messages_is_of_no_use_to_another_client(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig), old_client(rig) as ana:
        async with client_of(rig, "eve", initialise=False) as eve:
            url = urljoin(rig.origin, ana.address)
            assert (await eve.http.post(url, json=eve.tool(), headers=eve.headers)).status_code == 404
            assert (await eve.http.post(url, json=eve.tool())).status_code == 401
        assert (await ana.client.http.post(f"{url}x", json={}, headers=ana.client.headers)).status_code in {400, 404}
        assert not server.ran


async def test_the_stream_of_an_old_client_ends_with_that_of_the_server(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig), old_client(rig) as client:
        server.cut()
        assert await client.event() == ("", "")
        assert (await client.post(client.client.tool())).status_code == 404


async def test_an_old_client_that_goes_away_ends_the_stream_of_the_server(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (server, rig):
        async with old_client(rig):
            (stream,) = server.streams.values()
        await until(lambda: stream.transport.is_closing())


async def test_changed_tools_are_told_to_clients_of_both_kinds(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (_server, rig), old_client(rig) as old, client_of(rig) as new:
        rig.relay.tools_changed("old", None)
        assert (await old.message())["method"] == "notifications/tools/list_changed"
        async with new.listening() as stream:
            assert (await stream.next())["method"] == "notifications/tools/list_changed"


async def test_a_process_is_not_offered_over_http_sse(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig, initialise=False) as client:
        assert (await client.http.get(f"{rig.origin}/sse/pipes", headers=client.headers)).status_code == 404


async def test_a_client_without_sessions_is_told_that_the_server_is_older(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (_server, rig), client_of(rig, initialise=False) as client:
        meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
        headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "server/discover"}
        response = await client.post(client.message("server/discover", {"_meta": meta}), **headers)
        assert response.status_code == 404
        assert messages_of(response)[0]["error"]["code"] == -32601


async def test_an_old_client_hears_that_its_call_waits_and_can_cancel_it(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (_server, rig), old_client(rig) as client:
        rig.host.rules["run"] = ToolRule.ASK
        called = {"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {"name": "run", "arguments": {}}}
        called["params"] |= {"_meta": {"progressToken": "p"}}
        # Its POST is answered, although the user has not.
        assert (await client.post(called)).status_code == 202
        beats = [await client.message() for _ in range(3)]
        assert [beat["params"]["progressToken"] for beat in beats] == ["p"] * 3
        assert beats[2]["params"]["progress"] > beats[1]["params"]["progress"]
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 4}}
        assert (await client.post(cancelled)).status_code == 202
        while (message := await client.message()).get("id") != 4:
            assert message["method"] == "notifications/progress"
        assert message["error"]["data"]["decision"] == "cancelled"


async def test_the_question_of_an_old_client_that_goes_away_is_withdrawn(tmp_path: Path) -> None:
    async with old_server(tmp_path) as (_server, rig):
        async with old_client(rig) as client:
            rig.host.rules["run"] = ToolRule.ASK
            called = {"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {"name": "run", "arguments": {}}}
            assert (await client.post(called)).status_code == 202
            assert not rig.host.decision.done()
        await until(rig.host.decision.cancelled)
