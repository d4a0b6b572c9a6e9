"""One process for all sessions: nothing of one client reaches another."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from app.core.mcp.proxy.bridge import incoming, link
from app.core.mcp.proxy.parts import StdioUpstream
from tests.core.proxy._bridge import VERSION, HttpClient, bridged, client_of
from tests.until import until


def held(noted: list[str]) -> list[tuple[int, object]]:
    return [tuple(json.loads(part) for part in line.split(" ")) for line in noted]  # type: ignore[misc]


async def test_all_sessions_use_one_process_which_is_initialised_once(tmp_path: Path) -> None:
    async with bridged(tmp_path, shared=True) as rig, client_of(rig) as ana, client_of(rig, "ben") as ben:
        assert await ana.run("tell the process") == await ben.run("tell the process")
        assert ana.opened["result"] == ben.opened["result"]
        assert ana.session != ben.session
        assert len(rig.noted("greeted")) == 1
        assert rig.bridges.processes == 1


async def test_twenty_sessions_at_once_each_get_their_own_answers(tmp_path: Path) -> None:
    async def work(client: HttpClient) -> None:
        await client.initialise()
        for number in range(5):
            assert json.loads(await client.run(mine=f"{client.name} {number}"))["mine"] == f"{client.name} {number}"

    async with bridged(tmp_path, shared=True) as rig, client_of(rig, initialise=False) as first:
        await asyncio.gather(*(work(HttpClient(first.http, rig.url, f"client-{n}")) for n in range(20)))
        assert rig.bridges.processes == 1
        assert len(rig.noted("ran")) == 100


async def test_equal_ids_and_progress_tokens_of_two_clients_do_not_meet(tmp_path: Path) -> None:
    async with bridged(tmp_path, shared=True) as rig, client_of(rig) as ana, client_of(rig, "ben") as ben:
        message = {**ana.tool("progress", token="t", steps=2), "id": "same"}
        async with ana.streaming(message) as of_ana, ben.streaming(message) as of_ben:
            for stream in (of_ana, of_ben):
                *steps, answer = await stream.rest()
                assert [step["params"]["progressToken"] for step in steps] == ["t", "t"]
                assert answer["id"] == "same"


async def test_the_server_sees_an_id_and_a_token_of_its_own_and_other_bytes_as_they_are(tmp_path: Path) -> None:
    async with bridged(tmp_path, shared=True) as rig, client_of(rig) as ana, client_of(rig, "ben") as ben:
        exact = b'{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"run","arguments":'
        text = '{"a": "\\u00e9\\ud83d\\ude00",  "n":1.50000000000000000001}'
        echoed = {"jsonrpc": "2.0", "id": "%ID%", "result": {"content": [], "echo": text}}
        arguments = json.dumps({"do": "say", "line": json.dumps(echoed)})
        response = await ana.post(exact + arguments.encode() + b"}}")
        assert response.json()["result"]["echo"] == text
        tasks = [asyncio.create_task(client.post(client.tool("hold", token=9))) for client in (ana, ben)]
        await until(lambda: len(rig.noted("held")) == 2)
        (first, first_token), (second, second_token) = held(rig.noted("held"))
        assert first != second
        assert (first_token, second_token) == (first, second)
        await ana.run("release")
        assert [json.loads((await task).text)["id"] for task in tasks] == [ana._id - 1, ben._id]


async def test_a_cancellation_is_of_the_clients_own_request(tmp_path: Path) -> None:
    async with bridged(tmp_path, shared=True) as rig, client_of(rig) as ana, client_of(rig, "ben") as ben:
        message = ana.tool("hold")
        tasks = [asyncio.create_task(client.post(message)) for client in (ana, ben)]
        await until(lambda: len(rig.noted("held")) == 2)
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": message["id"]}}
        await ana.post(cancelled)
        assert (await tasks[0]).text == ""
        await until(lambda: rig.noted("unwanted"))
        (unwanted,) = rig.noted("unwanted")
        assert int(unwanted) in {identity for identity, _ in held(rig.noted("held"))}
        await ben.run("release")
        assert "released" in (await tasks[1]).text
        # Another client's id is nobody's here.
        await ben.post(cancelled)
        assert len(rig.noted("unwanted")) == 1


async def test_notifications_go_to_every_session(tmp_path: Path) -> None:
    async with bridged(tmp_path, shared=True) as rig, client_of(rig) as ana, client_of(rig, "ben") as ben:
        await ana.run("change")
        for client in (ana, ben):
            async with client.listening() as stream:
                assert (await stream.next())["method"] == "notifications/tools/list_changed"


async def test_what_the_server_asks_goes_to_the_session_whose_call_is_under_way_and_only_that_may_answer(
    tmp_path: Path,
) -> None:
    async with bridged(tmp_path, shared=True) as rig, client_of(rig) as ana, client_of(rig, "ben") as ben:
        async with ana.streaming(ana.tool("ask", method="sampling/createMessage")) as stream:
            question = await stream.next()
            answer = {"jsonrpc": "2.0", "id": question["id"], "result": "of ben"}
            assert (await ben.post(answer)).status_code == 202
            assert (await ana.post({**answer, "result": "of ana"})).status_code == 202
            assert "of ana" in (await stream.next())["result"]["content"][0]["text"]
        await ben.run()


async def test_a_question_that_could_be_for_several_clients_is_refused_in_words(tmp_path: Path) -> None:
    async with bridged(tmp_path, shared=True) as rig, client_of(rig) as ana, client_of(rig, "ben") as ben:
        holding = asyncio.create_task(ana.post(ana.tool("hold")))
        await until(lambda: rig.noted("held"))
        refused = json.loads(await ben.run("ask", method="elicitation/create"))
        assert "Several clients use this server" in refused["message"]
        await ben.run("release")
        assert "released" in (await holding).text


async def test_a_process_that_died_is_started_once_for_all(tmp_path: Path) -> None:
    async with bridged(tmp_path, shared=True) as rig, client_of(rig) as ana, client_of(rig, "ben") as ben:
        holding = asyncio.create_task(ben.run("hold"))
        await until(lambda: rig.noted("held"))
        assert (await ana.run("die"))["data"]["outcome_unknown"]
        assert (await holding)["data"]["outcome_unknown"]
        both = await asyncio.gather(ana.run("tell the process"), ben.run("tell the process"))
        assert both[0] == both[1]
        assert len(rig.noted("greeted")) == 2


async def test_a_command_that_ends_at_once_is_not_started_for_each_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "FAILURE_SECONDS", 0.3)
    record = tmp_path / "record"
    command = ("sh", "-c", f"echo started >> {record}; echo broken >&2; exit 3")
    upstream = StdioUpstream("broken", "Broken", command, shared=True)
    async with bridged(tmp_path, upstream) as rig, client_of(rig, initialise=False) as client:
        opening = client.message("initialize", {"protocolVersion": VERSION})
        answers = await asyncio.gather(*(client.post(opening) for _ in range(10)))
        assert all("code 3" in answer.json()["error"]["message"] for answer in answers)
        # Who came while it was tried shares what came of that; who came later waited for the next try.
        assert len(rig.noted("started")) < 10
        ((_known, front),) = rig.bridges._fronts.values()
        assert front.seats.count == 0


async def test_the_process_ends_with_the_last_session(tmp_path: Path) -> None:
    async with bridged(tmp_path, shared=True) as rig, client_of(rig) as ana, client_of(rig, "ben") as ben:
        await ana.http.delete(rig.url, headers=ana.headers)
        assert await ben.run()
        await ben.http.delete(rig.url, headers=ben.headers)
        assert rig.bridges.processes == 0


async def test_sessions_of_a_restarted_proxy_share_one_process_again(tmp_path: Path) -> None:
    async with bridged(tmp_path, shared=True) as rig, client_of(rig) as ana, client_of(rig, "ben") as ben:
        await rig.bridges.close()
        rig.restart()
        both = await asyncio.gather(ana.run("tell the process"), ben.run("tell the process"))
        assert both[0] == both[1]
        async with client_of(rig, "eve") as eve:
            assert eve.opened["result"] == ana.opened["result"]


async def test_a_client_that_does_not_read_holds_up_the_others_for_a_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "SLOW_READER_SECONDS", 0.1)
    async with (
        bridged(tmp_path, shared=True) as rig,
        client_of(rig) as ana,
        client_of(rig, "ben") as ben,
        ana.streaming(ana.tool("progress", token="x" * 20_000, steps=1000)),
    ):
        assert await ben.run()


async def test_a_revoked_client_loses_its_sessions_only(tmp_path: Path) -> None:
    async with bridged(tmp_path, shared=True) as rig, client_of(rig) as ana, client_of(rig, "ben") as ben:
        rig.host.refused.add("ana")
        await rig.bridges.end_refused()
        assert (await ana.post(ana.tool())).status_code == 404
        assert await ben.run()
