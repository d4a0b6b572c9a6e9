"""Clients of protocol 2026-07-28, which have no session, with processes of either era."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.mcp.proxy.bridge import answering, seats, stateless
from app.core.mcp.proxy.parts import StdioUpstream
from tests.core.proxy._bridge import HttpClient, Stream, bridged, client_of, scripted
from tests.until import until

PROTOCOL = "io.modelcontextprotocol/protocolVersion"
DISCOVER = {"jsonrpc": "2.0", "id": 1, "method": "server/discover"}


def era(folder: Path, name: str, **options: Any) -> StdioUpstream:
    upstream = scripted(folder / "record", **options)
    return replace(upstream, command=(*upstream.command, name))


def stamped(message: dict[str, Any]) -> dict[str, Any]:
    params = message.get("params", {})
    meta = {**params.get("_meta", {}), PROTOCOL: "2026-07-28"}
    return {**message, "params": {**params, "_meta": meta}}


def headers_of(message: dict[str, Any]) -> dict[str, str]:
    found = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": message["method"]}
    return {**found, "Mcp-Name": message["params"]["name"]} if message["method"] == "tools/call" else found


async def post(client: HttpClient, message: dict[str, Any], **headers: str) -> httpx.Response:
    sent = stamped(message)
    return await client.post(sent, **{**headers_of(sent), **headers})


def tool(identity: object, do: str, token: object = None, **arguments: Any) -> dict[str, Any]:
    meta = {} if token is None else {"_meta": {"progressToken": token}}
    params = {"name": "run", "arguments": {"do": do, **arguments}, **meta}
    return {"jsonrpc": "2.0", "id": identity, "method": "tools/call", "params": params}


async def test_an_older_server_is_found_out_once_and_its_process_ends(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig, initialise=False) as client:
        for _ in range(2):
            response = await post(client, DISCOVER)
            assert response.status_code == 404
            assert response.json()["error"]["code"] == -32601
        await until(lambda: rig.bridges.processes == 0)
        await client.initialise()
        assert await client.run()


async def test_a_server_that_ends_at_the_first_request_is_an_older_one(tmp_path: Path) -> None:
    async with bridged(tmp_path, era(tmp_path, "fragile")) as rig, client_of(rig, initialise=False) as client:
        response = await post(client, DISCOVER)
        assert (response.status_code, response.json()["error"]["code"]) == (404, -32601)
        await client.initialise()
        assert await client.run()


async def test_a_server_that_says_nothing_is_an_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stateless, "DISCOVER_SECONDS", 0.1)
    upstream = StdioUpstream("mute", "Mute", ("sleep", "60"))
    async with bridged(tmp_path, upstream) as rig, client_of(rig, initialise=False) as client:
        response = await post(client, DISCOVER)
        assert (response.status_code, response.json()["error"]["code"]) == (404, -32601)
        await until(lambda: rig.bridges.processes == 0)


async def test_a_command_that_cannot_be_started_is_no_older_server(tmp_path: Path) -> None:
    upstream = StdioUpstream("gone", "Gone", ("/nowhere/gone",))
    async with bridged(tmp_path, upstream) as rig, client_of(rig, initialise=False) as client:
        assert (await post(client, DISCOVER)).json()["error"]["code"] == -32013


@pytest.mark.parametrize(
    ("header", "value"), [("Mcp-Method", "tools/list"), ("Mcp-Name", "other"), ("MCP-Protocol-Version", "2025-11-25")]
)
async def test_headers_that_say_something_else_than_the_message_are_refused(
    header: str, value: str, tmp_path: Path
) -> None:
    async with bridged(tmp_path, era(tmp_path, "modern")) as rig, client_of(rig, initialise=False) as client:
        response = await post(client, tool(1, ""), **{header: value})
        assert (response.status_code, response.json()["error"]["code"]) == (400, -32020)
        assert not rig.noted("ran")


async def test_each_client_has_a_process_for_all_its_requests_and_equal_ids_do_not_meet(tmp_path: Path) -> None:
    async with (
        bridged(tmp_path, era(tmp_path, "modern")) as rig,
        client_of(rig, initialise=False) as ana,
        client_of(rig, "ben", initialise=False) as ben,
    ):
        assert (await post(ana, DISCOVER)).json()["result"]["supportedVersions"] == ["2026-07-28"]
        processes = [
            (await post(client, tool("same", "tell the process"))).json()["result"]["content"][0]["text"]
            for client in (ana, ana, ben)
        ]
        assert processes[0] == processes[1] != processes[2]
        holding = [asyncio.create_task(post(ana, tool("same", "hold"))) for _ in range(2)]
        await until(lambda: len(rig.noted("held")) == 2)
        await post(ana, tool("same", "release"))
        assert all("released" in response.text for response in await asyncio.gather(*holding))
        assert not rig.noted("greeted")


async def test_a_shared_server_has_one_process_for_the_clients_of_each_era(tmp_path: Path) -> None:
    async with (
        bridged(tmp_path, era(tmp_path, "modern", shared=True)) as rig,
        client_of(rig, initialise=False) as ana,
        client_of(rig, "ben", initialise=False) as ben,
    ):
        for client in (ana, ben):
            await post(client, DISCOVER)
        assert rig.bridges.processes == 1
        async with client_of(rig, "eve") as eve:
            assert await eve.run()
            assert rig.bridges.processes == 2


async def test_progress_has_the_clients_own_token(tmp_path: Path) -> None:
    async with bridged(tmp_path, era(tmp_path, "modern")) as rig, client_of(rig, initialise=False) as client:
        response = await post(client, tool(5, "progress", token="mine", steps=2))
        messages = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]
        assert [each["params"]["progressToken"] for each in messages[:-1]] == ["mine", "mine"]
        assert messages[-1]["id"] == 5


async def test_a_subscription_is_known_by_the_clients_id_and_ends_with_its_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "KEEP_ALIVE_SECONDS", 0.01)
    async with bridged(tmp_path, era(tmp_path, "modern")) as rig, client_of(rig, initialise=False) as client:
        message = stamped({"jsonrpc": "2.0", "id": "listen-1", "method": "subscriptions/listen", "params": {}})
        content = json.dumps(message).encode()
        headers = {**client.headers, **headers_of(message)}
        async with client.http.stream("POST", rig.url, content=content, headers=headers) as response:
            stream = Stream(response)
            for method in ("subscriptions/acknowledged", "tools/list_changed"):
                heard = await stream.next()
                assert heard["method"] == f"notifications/{method}"
                assert heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "listen-1"
        await until(lambda: rig.noted("unwanted"))


async def test_what_a_server_may_not_ask_is_refused_to_it(tmp_path: Path) -> None:
    async with bridged(tmp_path, era(tmp_path, "modern")) as rig, client_of(rig, initialise=False) as client:
        response = await post(client, tool(1, "ask", method="sampling/createMessage"))
        assert "not by requests" in response.json()["result"]["content"][0]["text"]


async def test_a_process_that_died_is_started_again(tmp_path: Path) -> None:
    async with bridged(tmp_path, era(tmp_path, "modern")) as rig, client_of(rig, initialise=False) as client:
        assert (await post(client, tool(1, "die"))).json()["error"]["data"]["outcome_unknown"]
        assert (await post(client, tool(2, ""))).json()["result"]


async def test_the_process_of_a_client_that_sends_nothing_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "SWEEPS_IN_IDLE", 2)
    upstream = era(tmp_path, "modern")
    async with bridged(tmp_path, upstream, idle_seconds=0.1) as rig, client_of(rig, initialise=False) as client:
        await post(client, DISCOVER)
        await until(lambda: rig.bridges.processes == 0)
        assert (await post(client, tool(2, ""))).json()["result"]


async def test_there_is_no_stream_and_nothing_to_delete_without_a_session(tmp_path: Path) -> None:
    async with bridged(tmp_path, era(tmp_path, "modern")) as rig, client_of(rig, initialise=False) as client:
        for method in ("GET", "DELETE", "PUT"):
            assert (await client.http.request(method, rig.url, headers=client.headers)).status_code == 405
