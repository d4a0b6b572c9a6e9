"""What clients are told whose requests are open when the process of the proxy ends."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from app.core.mcp.proxy.parts import ToolRule
from tests.core.proxy._relay import call_of, event, events, proxied
from tests.core.scripted import Reply
from tests.until import until

PROGRESS = event({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
LISTED = {"jsonrpc": "2.0", "id": 7, "method": "tools/list"}


@pytest.mark.parametrize(("message", "unknown"), [(call_of("count"), True), (LISTED, False)])
async def test_a_call_without_an_answer_is_told_that_it_may_have_run(
    tmp_path: Path, message: Any, unknown: bool
) -> None:
    async with proxied(tmp_path) as (rig, _view, running):
        arrived, never = asyncio.Event(), asyncio.Event()

        async def silent(_request: object) -> Reply:
            arrived.set()
            await never.wait()
            return Reply(drop=True)

        rig.server.views["/mcp"] = silent
        asked = asyncio.create_task(running.post(message))
        await arrived.wait()
        await running.leave()
        answer = await asked
        never.set()
        error = answer.json()["error"]
        assert (answer.status_code, answer.json()["id"], error["data"]["type"]) == (
            200,
            7,
            "burrow/server_unavailable",
        )
        assert error["data"].get("outcome_unknown", False) is unknown


@pytest.mark.parametrize("rest", [b"", b"event: message\ndata: {"])
async def test_a_stream_without_its_answer_ends_in_an_error(tmp_path: Path, rest: bytes) -> None:
    async with proxied(tmp_path) as (_, view, running):
        never = asyncio.Event()
        view.answers = [events(PROGRESS + rest, never)]
        async with running.stream("POST", content=call_of("count")) as answer:
            parts = answer.aiter_bytes()
            assert await anext(parts) == PROGRESS + rest
            await running.leave()
            text = b"".join([part async for part in parts]).decode()
        never.set()
    error = json.loads(text.split("data: ")[-1])
    assert (error["id"], error["error"]["data"]["outcome_unknown"]) == (7, True)


async def test_a_stream_that_answers_no_request_ends_in_order(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        session = await running.initialize()
        async with running.stream("GET", mcp_session_id=session) as answer:
            parts = answer.aiter_bytes()
            assert await anext(parts) == b": open\n\n"
            await running.leave()
            assert [part async for part in parts] == []
        view.restart()


async def test_a_call_that_waits_for_the_user_is_told_that_it_did_not_run(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        asked = asyncio.Event()

        async def nobody() -> None:
            asked.set()
            await asyncio.Event().wait()

        running.host.rules = {"count": ToolRule.ASK}
        running.host.answer = nobody
        waiting = asyncio.create_task(running.call())
        await asked.wait()
        await running.leave()
        error = (await waiting).json()["error"]
        assert (error["code"], error["data"]["type"]) == (-32014, "burrow/not_ready")
        assert not view.executed


async def test_a_client_that_reads_nothing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        large = event({"jsonrpc": "2.0", "method": "x", "params": {"text": "x" * 20_000_000}})
        view.answers = [events(large)]
        async with running.stream("POST", content=call_of("count")):
            await until(lambda: running.server.buffered)
            async with asyncio.timeout(5):
                await running.leave()
