"""A server on its pipes over streamable HTTP, with a process for each session."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from app.core.mcp.protocol import process
from app.core.mcp.protocol.process import ServerProcess
from app.core.mcp.proxy.bridge import answering, bridges, incoming, seats, stdio_channel
from app.core.mcp.proxy.bridge.outlets import OUTLET_BYTES
from app.core.mcp.proxy.parts import Decision, StdioUpstream, ToolRule
from tests.core.proxy._bridge import VERSION, bridged, client_of, scripted
from tests.until import until

OPENED = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": VERSION, "capabilities": {}}})


def alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_command_that_is_not_there_is_told_in_words_and_no_session_begins(tmp_path: Path) -> None:
    upstream = StdioUpstream("gone", "Gone", ("/nowhere/gone",))
    async with bridged(tmp_path, upstream) as rig, client_of(rig, initialise=False) as client:
        response = await client.post(client.message("initialize", {"protocolVersion": VERSION}))
        error = response.json()["error"]
        assert error["code"] == -32013
        assert "/nowhere/gone" in error["message"]
        assert "outcome_unknown" not in error["data"]
        assert "mcp-session-id" not in response.headers


async def test_what_a_process_said_before_it_ended_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "EXIT_CODE_SECONDS", 20.0)
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        error = await client.run("die")
        assert error["code"] == -32013
        assert error["data"]["outcome_unknown"] is True
        assert "code 3" in error["message"]
        assert "no more disk" in error["message"]
        assert len(rig.noted("ran")) == 1


async def test_a_process_that_died_between_calls_is_started_again_with_the_clients_own_initialize(
    tmp_path: Path,
) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        first = int(await client.run("tell the process"))
        os.kill(first, signal.SIGKILL)
        await until(lambda: not alive(first))
        await until(lambda: rig.bridges.processes == 0)
        second = int(await client.run("tell the process"))
        assert second != first
        await until(lambda: rig.noted("greeted") == [str(first), str(second)])


async def test_a_process_killed_in_a_call_leaves_its_outcome_unknown_and_the_call_is_not_repeated(
    tmp_path: Path,
) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        process = int(await client.run("tell the process"))
        calling = asyncio.create_task(client.run("hold"))
        await until(lambda: rig.noted("held"))
        os.kill(process, signal.SIGKILL)
        error = await calling
        assert error["data"]["type"] == "burrow/server_unavailable"
        assert error["data"]["outcome_unknown"] is True
        assert len(rig.noted("ran")) == 2
        assert await client.run("tell the process") != str(process)


async def test_an_answer_alone_is_json_with_the_bytes_of_the_server(tmp_path: Path) -> None:
    line = '{ "jsonrpc":"2.0","id":"%ID%",  "result":{"content":[],"x":1.00000000000000000001} }'
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        message = client.tool("say", line=line)
        response = await client.post(message)
        assert response.headers["content-type"] == "application/json"
        assert response.text == line.replace('"%ID%"', str(message["id"]))


@pytest.mark.parametrize("identity", [7, "seven", "7", 1.5, 2**70])
async def test_ids_are_kept_as_the_client_sent_them(identity: object, tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        response = await client.post({**client.tool(), "id": identity})
        assert response.json()["id"] == identity


async def test_an_answer_whose_id_became_a_text_reaches_its_request(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        message = client.tool("answer by text")
        assert (await client.post(message)).json()["id"] == message["id"]


async def test_progress_comes_in_order_in_the_stream_of_its_request(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        async with client.streaming(client.tool("progress", token="mine", steps=3)) as stream:
            assert stream.response.headers["content-type"] == "text/event-stream"
            assert stream.response.headers["cache-control"] == "no-cache, no-transform"
            assert stream.response.headers["x-accel-buffering"] == "no"
            *steps, answer = await stream.rest()
        assert [step["params"] for step in steps] == [{"progressToken": "mine", "progress": n} for n in range(3)]
        assert "result" in answer


@pytest.mark.parametrize("method", ["sampling/createMessage", "elicitation/create", "roots/list"])
async def test_what_the_server_asks_in_a_call_is_answered_by_a_later_post(method: str, tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        async with client.streaming(client.tool("ask", method=method)) as stream:
            question = await stream.next()
            assert question == {"jsonrpc": "2.0", "id": "q1", "method": method, "params": {"maxTokens": 7}}
            response = await client.post({"jsonrpc": "2.0", "id": "q1", "result": {"said": "yes"}})
            assert (response.status_code, response.content) == (202, b"")
            answer = await stream.next()
        assert json.loads(answer["result"]["content"][0]["text"]) == {"said": "yes"}


async def test_messages_of_no_request_wait_for_the_stream_of_the_session(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        await client.run("change", data="before")
        async with client.listening() as stream:
            assert (await stream.next())["method"] == "notifications/tools/list_changed"
            assert (await stream.next())["params"]["data"] == "before"
            await client.run("change", data="while it is open")
            await stream.next()
            assert (await stream.next())["params"]["data"] == "while it is open"


async def test_what_waits_for_a_stream_is_bounded_and_the_newest_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        for number in range(150):
            await client.run("change", data=number)
        async with client.listening() as stream:
            logged = [await stream.next() for _ in range(256)]
        assert logged[-1]["params"]["data"] == 149
        assert logged[1]["params"]["data"] == 22


async def test_a_later_stream_of_a_session_takes_over(tmp_path: Path) -> None:
    async with (
        bridged(tmp_path) as rig,
        client_of(rig) as client,
        client.listening() as earlier,
        client.listening() as later,
    ):
        assert await earlier.next() is None
        await client.run("change")
        assert (await later.next())["method"] == "notifications/tools/list_changed"


async def test_a_cancellation_reaches_the_server_and_ends_the_answer(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        message = client.tool("hold")
        calling = asyncio.create_task(client.post(message))
        await until(lambda: rig.noted("held"))
        cancelled = {"method": "notifications/cancelled", "params": {"requestId": message["id"]}}
        assert (await client.post({"jsonrpc": "2.0", **cancelled})).status_code == 202
        response = await calling
        assert (response.status_code, response.text) == (200, "")
        await until(lambda: rig.noted("unwanted") == [str(message["id"])])


async def test_a_request_that_is_cancelled_while_its_process_starts_is_never_sent(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    plain = scripted(tmp_path / "record")
    waiting = f"while [ ! -e {gate} ]; do sleep 0.01; done; exec {shlex.join(plain.command)}"
    async with bridged(tmp_path, replace(plain, command=("sh", "-c", waiting))) as rig, client_of(rig) as client:
        process = int(await client.run("tell the process"))
        gate.unlink()
        os.kill(process, signal.SIGKILL)
        await until(lambda: rig.bridges.processes == 0)
        message = client.tool("cancelled")
        calling = asyncio.create_task(client.post(message))
        await until(lambda: rig.bridges.processes == 1)
        cancelled = {"method": "notifications/cancelled", "params": {"requestId": message["id"]}}
        await client.post({"jsonrpc": "2.0", **cancelled})
        assert (await calling).text == ""
        gate.touch()
        assert await client.run()
        assert len(rig.noted("ran")) == 2
        assert not rig.noted("unwanted")


async def test_a_client_that_goes_away_cancels_its_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A connection that only was closed at the other end is found out by writing to it.
    monkeypatch.setattr(answering, "KEEP_ALIVE_SECONDS", 0.01)
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        message = client.tool("hold")
        calling = asyncio.create_task(client.post(message))
        await until(lambda: rig.noted("held"))
        calling.cancel()
        await until(lambda: rig.noted("unwanted") == [str(message["id"])])
        assert await client.run("release")


async def test_delete_ends_the_process_and_the_session(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        process = int(await client.run("tell the process"))
        assert (await client.http.delete(rig.url, headers=client.headers)).status_code == 204
        assert not alive(process)
        response = await client.post(client.tool())
        assert response.status_code == 404
        assert not rig.sessions.rows


async def test_a_session_is_of_the_client_that_began_it(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as ana, client_of(rig, "ben") as ben:
        process = await ana.run("tell the process")
        assert await ben.run("tell the process") != process
        ben.session = ana.session
        assert (await ben.post(ben.tool("tell the process"))).status_code == 404
        assert (await ben.http.get(rig.url, headers=ben.headers)).status_code == 404
        assert (await ben.http.delete(rig.url, headers=ben.headers)).status_code == 404
        assert await ana.run("tell the process") == process


async def test_a_request_without_a_session_is_told_to_initialise(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig, initialise=False) as client:
        response = await client.post(client.tool())
        assert (response.status_code, response.json()["id"]) == (400, 1)
        assert rig.bridges.processes == 0


async def test_a_restarted_proxy_goes_on_with_the_session(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        first = await client.run("tell the process")
        await rig.bridges.close()
        assert not alive(int(first))
        rig.restart()
        assert await client.run("tell the process") != first


async def test_the_process_of_a_session_that_is_not_used_ends_and_the_next_request_starts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "SWEEPS_IN_IDLE", 2)
    async with bridged(tmp_path, idle_seconds=0.1) as rig, client_of(rig) as client:
        first = await client.run("tell the process")
        await until(lambda: rig.bridges.processes == 0)
        assert not alive(int(first))
        assert await client.run("tell the process") != first


async def test_more_processes_than_may_run_are_refused_in_words(tmp_path: Path) -> None:
    async with bridged(tmp_path, processes=1) as rig, client_of(rig) as ana:
        async with client_of(rig, "ben", initialise=False) as ben:
            response = await ben.post(ben.message("initialize", {"protocolVersion": VERSION}))
            assert "1 processes of servers run already" in response.json()["error"]["message"]
        assert await ana.run()


async def test_a_process_that_nobody_uses_makes_room_and_its_session_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridges, "LEAST_IDLE_SECONDS", 0.0)
    async with bridged(tmp_path, processes=1) as rig, client_of(rig) as ana, client_of(rig, "ben") as ben:
        first = await ben.run("tell the process")
        second = await ana.run("tell the process")
        assert first != second
        assert not alive(int(first))
        async with ben.listening():
            assert await ben.run()
            assert (await ana.run())["code"] == -32013


async def test_a_client_that_opens_sessions_without_end_keeps_a_bounded_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "SESSIONS_OF_A_CLIENT", 3)
    async with bridged(tmp_path, shared=True) as rig, client_of(rig) as client:
        first = client.session
        for _ in range(5):
            await client.initialise()
        ((_known, front),) = rig.bridges._fronts.values()
        assert front.seats.count == 3
        client.session = first
        assert await client.run()


async def test_the_children_of_a_process_end_with_it(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        await client.run("leave a child")
        (child,) = rig.noted("child")
        assert alive(int(child))
        await client.http.delete(rig.url, headers=client.headers)
        await until(lambda: not alive(int(child)))


async def test_the_environment_has_what_the_user_set_and_no_secret_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURROW_TOKEN", "phx_secret")
    upstream = scripted(tmp_path / "record", environment=(("API_KEY", "of the server"),), folder=str(tmp_path))
    async with bridged(tmp_path, upstream) as rig, client_of(rig) as client:
        text = await client.run("tell the environment")
        environment = json.loads(text)
        assert environment["API_KEY"] == "of the server"
        assert "phx_secret" not in text
        assert "bw_" not in text
    assert "of the server" not in repr(upstream)


async def test_messages_of_megabytes_pass_both_ways(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        size = 5 * 1024 * 1024
        assert len(await client.run("flood", size=size)) == size
        large = "y" * (4 * 1024 * 1024 - 1024)
        assert len(json.loads(await client.run(text=large))["text"]) == len(large)


async def test_a_client_that_reads_slowly_slows_its_process_and_loses_nothing(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        async with client.streaming(client.tool("progress", token="x" * 20_000, steps=600)) as stream:
            await stream.next()
            ((_known, front),) = rig.bridges._fronts.values()
            (seat,) = front.seats._all
            (call,) = seat.session.calls
            await until(lambda: call.outlet._room.is_set() is False)
            assert call.outlet._bytes <= OUTLET_BYTES
            *steps, answer = await stream.rest()
        assert [each["params"]["progress"] for each in steps] == list(range(1, 600))
        assert answer["result"]


async def test_line_breaks_between_the_parts_of_a_message_end_no_message(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        inner = json.dumps({"jsonrpc": "2.0", "id": 99, "method": "tools/call", "params": {"arguments": {}}})
        message = json.dumps(client.tool()).removesuffix("}") + ',"x":\n' + inner + "\r\n}\n"
        assert "result" in (await client.post(message.encode())).json()
        assert len(rig.noted("ran")) == 1


@pytest.mark.parametrize(
    "result",
    ['"\\ud800 alone"', "[" * 2000 + "]" * 2000, '{"\\udc00": NaN}', '"\xff"'],
    ids=["half", "deep", "NaN", "bytes"],
)
async def test_what_only_the_client_can_judge_is_passed_on(result: str, tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        message = client.tool("say", line=f'{{"jsonrpc":"2.0","id":"%ID%","result":{result}}}')
        expected = f'{{"jsonrpc":"2.0","id":{message["id"]},"result":{result}}}'
        assert (await client.post(message)).content == expected.encode("latin-1")


@pytest.mark.parametrize("broken", ['"result":{', '"result":}', '"method":7'])
async def test_an_answer_that_is_no_message_ends_its_request_in_words(broken: str, tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        error = await client.run("say", line=f'{{"jsonrpc":"2.0","id":"%ID%",{broken}}}')
        assert "not JSON" in error["message"]


async def test_a_fault_of_ours_ends_the_request_and_not_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_arguments: object) -> bytes:
        raise RuntimeError("a bug")

    async with bridged(tmp_path) as rig, client_of(rig) as client:
        monkeypatch.setattr(incoming, "progress_for_client", broken)
        error = await client.run("progress", "mine", steps=1)
        assert error["data"]["outcome_unknown"] is True
        assert "a bug" in caplog.text
        assert await client.run()


async def test_noise_on_standard_output_is_passed_over(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        assert await client.run("be noisy")


async def test_a_message_that_is_too_long_ends_the_process_and_not_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdio_channel, "MESSAGE_LIMIT", 1024 * 1024)
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        error = await client.run("flood", size=2 * 1024 * 1024)
        assert "more than 1 MiB" in error["message"]
        assert await client.run()


async def test_closing_waits_for_a_process_that_is_being_ended_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = ServerProcess.end

    async def slowly(process: ServerProcess) -> None:
        await asyncio.sleep(0.1)
        await end(process)

    monkeypatch.setattr(ServerProcess, "end", slowly)
    monkeypatch.setattr(stdio_channel, "MESSAGE_LIMIT", 1024 * 1024)
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        assert "more than 1 MiB" in (await client.run("flood", size=2 * 1024 * 1024))["message"]
        assert rig.bridges.processes == 1
    assert rig.bridges.processes == 0


async def test_a_process_that_reads_nothing_holds_no_memory_for_what_is_sent_to_it(tmp_path: Path) -> None:
    upstream = StdioUpstream("deaf", "Deaf", ("sh", "-c", f"cat >/dev/null & read line; echo '{OPENED}'; sleep 60"))
    async with bridged(tmp_path, upstream) as rig, client_of(rig, initialise=False) as client:
        response = await client.post(client.message("initialize", {"protocolVersion": VERSION}))
        client.session = response.headers["mcp-session-id"]
        ((_known, front),) = rig.bridges._fronts.values()
        (seat,) = front.seats._all
        stdin = seat.link._usable._server.child.stdin  # type: ignore[union-attr, attr-defined]
        large = client.tool(text="x" * 1_000_000)
        for _ in range(5):
            with contextlib.suppress(httpx.ReadTimeout):
                await client.http.post(rig.url, json=large, headers=client.headers, timeout=0.2)
        assert stdin is not None
        assert stdin.transport.get_write_buffer_size() <= 1_100_000


async def test_a_blocked_tool_is_refused_and_its_process_hears_nothing(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        rig.host.rules["run"] = ToolRule.BLOCK
        assert (await client.run())["code"] == -32011
        assert not rig.noted("ran")


@pytest.mark.parametrize("decision", [Decision.ONCE, Decision.REFUSE])
async def test_a_call_that_waits_for_the_user_is_answered_in_the_stream_that_began_meanwhile(
    decision: Decision, tmp_path: Path
) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        rig.host.rules["run"] = ToolRule.ASK
        async with client.streaming(client.tool("progress", token="mine", steps=2)) as stream:
            assert (await stream.next())["method"] == "notifications/progress"
            assert not rig.noted("ran")
            rig.host.decision.set_result(decision)
            *before, answer = await stream.rest()
        if decision is Decision.REFUSE:
            assert answer["error"]["code"] == -32012
            assert not rig.noted("ran")
        else:
            assert answer["result"]
            assert [each["params"]["progress"] for each in before[-2:]] == [0, 1]


async def test_hidden_tools_are_not_in_the_list(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        shown = (await client.post(client.message("tools/list"))).json()
        assert [tool["name"] for tool in shown["result"]["tools"]] == ["run"]
        rig.host.rules["run"] = ToolRule.BLOCK
        assert (await client.post(client.message("tools/list"))).json()["result"]["tools"] == []


async def test_a_batch_is_answered_in_one_stream_and_only_where_the_version_has_them(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        batch = [client.tool(), client.message("resources/list"), {"jsonrpc": "2.0", "method": "notifications/x"}]
        assert (await client.post(batch)).status_code == 400
        upstream_says = rig.sessions.rows[client.session]
        rig.sessions.rows[client.session] = upstream_says._replace(protocol="2025-03-26")
        await rig.bridges.close()
        async with client.streaming(batch) as stream:
            answers = await stream.rest()
        assert sorted(answer["id"] for answer in answers) == [batch[0]["id"], batch[1]["id"]]


async def test_a_client_that_waits_long_hears_that_the_proxy_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "KEEP_ALIVE_SECONDS", 0.01)
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        calling = asyncio.create_task(client.post(client.tool("hold")))
        await until(lambda: rig.noted("held"))
        await asyncio.sleep(0.05)
        await client.post(client.tool("release"))
        text = (await calling).text
        assert text.startswith(": ")
        assert "released" in text


async def test_a_client_that_takes_no_stream_gets_the_answer_alone(tmp_path: Path) -> None:
    async with bridged(tmp_path) as rig, client_of(rig) as client:
        response = await client.post(client.tool("progress", token=1, steps=3), Accept="application/json")
        assert response.json()["result"]
