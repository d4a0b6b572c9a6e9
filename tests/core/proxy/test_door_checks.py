"""Who may come in: a page of a browser, another program of the machine, and somebody who guesses keys may not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.core.mcp.proxy import relay as relay_module
from app.core.mcp.proxy.door import MOST_DELAYED, WRONG_KEYS, Door, TurnedAway, WrongKeys
from app.core.mcp.proxy.parts import ProxyClient, Request, Way
from tests.core.proxy._http import Client, connected
from tests.core.proxy._relay import KEY, Proxy, ScriptedHost, call_of, proxied
from tests.until import until

BODY = json.dumps(call_of("count")).encode()
PORT = 41717
OTHER = "bw_" + "o" * 43


@asynccontextmanager
async def raw(folder: Path) -> AsyncIterator[tuple[Proxy, Client]]:
    async with proxied(folder) as (_, view, proxy), connected(proxy.port) as client:
        yield proxy, client
        assert not view.seen, "it reached the server"


def request(
    proxy: Proxy, target: str = "/mcp/s", method: str = "POST", body: bytes = BODY, **changed: str | None
) -> bytes:
    headers: dict[str, str | None] = {
        "host": f"127.0.0.1:{proxy.port}",
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "content-length": str(len(body)) if method == "POST" else None,
    }
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value is not None)
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + (body if method == "POST" else b"")


async def status(client: Client, data: bytes) -> int:
    client.send(data)
    return (await client.answer())[0]


async def test_the_checks_have_their_order(tmp_path: Path) -> None:
    async with raw(tmp_path) as (proxy, client):
        wrong: dict[str, str | None] = {
            "host": "evil.example",
            "origin": "https://evil.example",
            "authorization": None,
            "content_type": "text/plain",
        }
        assert await status(client, request(proxy, "/nowhere", "PUT", **wrong)) == 421
        del wrong["host"]
        assert await status(client, request(proxy, "/nowhere", "OPTIONS", **wrong)) == 403
        del wrong["origin"]
        assert await status(client, request(proxy, "/nowhere", "OPTIONS", **wrong)) == 405
        assert await status(client, request(proxy, "/nowhere", "PUT", **wrong)) == 401
        del wrong["authorization"]
        assert await status(client, request(proxy, "/nowhere", "PUT", **wrong)) == 404
        assert await status(client, request(proxy, "/mcp/s", "PUT", **wrong)) == 405
        assert await status(client, request(proxy, "/mcp/s", "POST", **wrong)) == 415


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost.:{port}",
        "LOCALHOST.evil.example:{port}",
        "0.0.0.0:{port}",
        "[::]:{port}",
        "127.1:{port}",
        "127.0.0.1:{port}.evil.example",
        "user@127.0.0.1:{port}",
    ],
)
async def test_a_name_that_was_rebound_to_this_machine_gets_nothing(tmp_path: Path, host: str) -> None:
    async with raw(tmp_path) as (proxy, client):
        assert await status(client, request(proxy, host=host.format(port=proxy.port))) in {400, 421}


async def test_the_address_has_three_names(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, _view, proxy), connected(proxy.port) as client:
        for host in ("127.0.0.1", "localhost", "[::1]"):
            assert await status(client, request(proxy, host=f"{host}:{proxy.port}")) == 200


async def test_a_program_that_names_the_address_of_the_proxy_as_its_origin_gets_in(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, _view, proxy), connected(proxy.port) as client:
        for host in ("127.0.0.1", "localhost", "[::1]"):
            assert await status(client, request(proxy, origin=f"http://{host}:{proxy.port}")) == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1", "", "file://"]
)
async def test_no_web_page_gets_in_not_even_with_a_key(tmp_path: Path, origin: str) -> None:
    async with raw(tmp_path) as (proxy, client):
        assert await status(client, request(proxy, origin=origin.format(port=proxy.port))) == 403
        client.send(request(proxy, method="OPTIONS", access_control_request_method="POST"))
        code, headers, _ = await client.answer()
        assert code == 405
        assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "",
        None,
    ],
)
async def test_a_request_that_a_page_may_send_without_asking_is_no_request(tmp_path: Path, kind: str | None) -> None:
    async with raw(tmp_path) as (proxy, client):
        assert await status(client, request(proxy, content_type=kind)) == 415


async def test_json_is_json_with_parameters_too(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, _view, proxy), connected(proxy.port) as client:
        assert await status(client, request(proxy, content_type="Application/JSON; charset=utf-8")) == 200


@pytest.mark.parametrize(
    "target",
    [
        "/mcp/../mcp/s",
        "/mcp/s/..",
        "/mcp//s",
        "/mcp/s/",
        "/mcp/%2e%2e",
        "/mcp/..%2fs",
        "/mcp/s%2f",
        "/mcp/s%00",
        "/mcp/%0a",
        "/mcp/..",
        "/mcp/",
        "/mcp",
        "/MCP/s",
        "/sse/s",
        "//127.0.0.1/mcp/s",
        "http://127.0.0.1/mcp/s",
        "http://evil.example/mcp/s",
        "*",
        "/mcp/unknown",
        "/.well-known/oauth-protected-resource",
    ],
)
async def test_a_path_is_exactly_that_of_a_server(tmp_path: Path, target: str) -> None:
    async with raw(tmp_path) as (proxy, client):
        assert await status(client, request(proxy, target)) in {400, 404, 405}


async def test_a_name_with_escapes_is_the_name_that_it_writes(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, _view, proxy), connected(proxy.port) as client:
        proxy.host.upstreams["ä b"] = proxy.host.upstreams["s"]
        assert await status(client, request(proxy, "/mcp/%C3%A4%20b")) == 200
        assert await status(client, request(proxy, "/mcp/%E4")) == 404


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        f"Bearer {OTHER}",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        f"Basic {KEY}",
        KEY,
        f"Bearer {KEY}, Bearer {KEY}",
        f"Bearer {KEY.upper()}",
    ],
)
async def test_without_its_key_nobody_gets_in(tmp_path: Path, given: str | None) -> None:
    async with raw(tmp_path) as (proxy, client):
        client.send(request(proxy, authorization=given))
        code, headers, body = await client.answer()
        assert code == 401
        assert "www-authenticate" not in headers
        assert headers["content-type"] == "application/json"
        assert "burrow connect add" in json.loads(body)["error"]
        assert KEY.encode() not in body


async def test_two_keys_are_none(tmp_path: Path) -> None:
    async with raw(tmp_path) as (proxy, client):
        data = request(proxy).replace(b"accept:", f"authorization: Bearer {KEY}\r\naccept:".encode())
        assert await status(client, data) in {400, 401}


async def test_a_key_that_another_process_has_stored_is_found(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, _view, proxy), connected(proxy.port) as client:
        proxy.host.fresh[OTHER] = ProxyClient("fresh", "Fresh")
        assert await status(client, request(proxy, authorization=f"bearer {OTHER}")) == 200


async def test_a_client_sees_only_the_servers_that_are_its_own(tmp_path: Path) -> None:
    async with raw(tmp_path) as (proxy, client):
        proxy.host.clients[KEY] = ProxyClient("agent", "Agent", servers=frozenset({"t"}))
        assert await status(client, request(proxy)) == 404


async def test_one_client_does_not_take_the_places_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "MOST_OF_A_CLIENT", 2)
    async with proxied(tmp_path) as (_, view, proxy):
        proxy.host.clients[OTHER] = ProxyClient("other", "Other")
        async with proxy.stream("GET") as one, proxy.stream("GET") as two:
            assert (one.status_code, two.status_code) == (200, 200)
            assert (await proxy.call()).status_code == 429
            assert (await proxy.call(authorization=f"Bearer {OTHER}")).status_code == 200
        await until(lambda: not proxy.relay._under_way)
        assert (await proxy.call()).status_code == 200
        view.restart()


async def test_the_address_itself_says_what_it_is_to_who_has_a_key(tmp_path: Path) -> None:
    async with raw(tmp_path) as (proxy, client):
        client.send(request(proxy, "/", "GET"))
        code, _, body = await client.answer()
        assert code == 200
        assert b"Burrow" in body
        assert await status(client, request(proxy, "/", "GET", authorization=None)) == 401


def guess(key: str = OTHER) -> Request:
    headers = ((b"host", b"localhost:%d" % PORT), (b"authorization", f"Bearer {key}".encode()))
    return Request("GET", "/mcp/s", "", headers)


async def turned_away(door: Door, given: Request) -> int:
    with pytest.raises(TurnedAway) as away:
        await door.admit(given)
    return away.value.status


async def test_who_guesses_keys_waits_and_holds_up_nobody() -> None:
    now = 100.0
    host = ScriptedHost()
    door = Door(host, PORT, wrong_keys=WrongKeys(lambda: now, delay=3600.0))
    for _ in range(WRONG_KEYS):
        assert await turned_away(door, guess()) == 401
    looked_up = host.looked_up
    waiting = [asyncio.create_task(turned_away(door, guess())) for _ in range(MOST_DELAYED)]
    await asyncio.sleep(0)
    await until(lambda: door._wrong_keys._delayed == MOST_DELAYED)
    # More do not even wait, and nothing is looked up for them.
    assert await turned_away(door, guess()) == 429
    assert host.looked_up == looked_up
    admitted = await door.admit(guess(KEY))
    assert (admitted.client.id, admitted.server, admitted.way) == ("agent", "s", Way.MCP)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    # A minute later it is forgotten.
    now += 61
    assert await turned_away(door, guess()) == 401


async def test_a_key_that_was_known_is_looked_at_again_without_the_delay_of_those_who_guess() -> None:
    host = ScriptedHost()
    door = Door(host, PORT, wrong_keys=WrongKeys(delay=3600.0))
    for _ in range(WRONG_KEYS):
        await turned_away(door, guess("bw_" + "g" * 43))
    waiting = [asyncio.create_task(turned_away(door, guess("nonsense"))) for _ in range(MOST_DELAYED)]
    await until(lambda: door._wrong_keys._delayed == MOST_DELAYED)
    # The snapshot is too old to tell, as it is for a client that was quiet for a second.
    host.known[OTHER] = host.fresh[OTHER] = ProxyClient("quiet", "Quiet")
    assert (await door.admit(guess())).client.id == "quiet"
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_key_that_is_new_gets_in_after_the_delay_while_somebody_guesses() -> None:
    host = ScriptedHost()
    door = Door(host, PORT, wrong_keys=WrongKeys(delay=0.01))
    for _ in range(WRONG_KEYS):
        await turned_away(door, guess())
    host.fresh[OTHER] = ProxyClient("fresh", "Fresh")
    assert (await door.admit(guess())).client.id == "fresh"
