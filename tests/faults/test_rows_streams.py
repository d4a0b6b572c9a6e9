"""Rows 51 to 53 of the fault matrix: event streams of MCP servers that break, or that carry a dead token's refusal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.core.auth.failures import CredentialOwner
from app.core.errors import BurrowError, OutcomeUnknown
from app.core.mcp.connection import Connection, Peer
from tests.faults._streams import AUTH_ERROR, Streaming

PROGRESS = {"method": "notifications/message", "params": {"level": "info", "data": "under way"}}
RESUMABLE = "id: 7\r\nretry: 10\r\n"


async def silent(progress: float, total: float | None, message: str | None) -> None:
    pass


@asynccontextmanager
async def calling(server: Streaming, *, auth: Any = None, repeatable: bool = False) -> AsyncIterator[asyncio.Task[Any]]:
    """A call of a tool under way."""
    connection = Connection(Peer("streaming", server.url, CredentialOwner.PERSON), auth, lambda _peer, _item: None)
    call = asyncio.create_task(connection.call("echo", {}, repeatable=repeatable, on_progress=silent))
    try:
        yield call
    finally:
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await connection.close()


async def test_row_51_an_auth_error_in_the_middle_of_a_calls_stream_is_not_replayed() -> None:
    async with Streaming() as server, calling(server, repeatable=True) as call:
        stream = await server.calls.get()
        await stream.send(PROGRESS)
        await stream.answer(error=AUTH_ERROR)
        with pytest.raises(BurrowError):
            await call
        assert len(server.requests("tools/call")) == 1


@pytest.mark.parametrize(
    "parts",
    [
        [b"id: 7\r\nretry: 10\r\ndata: %s\r\n\r\n"],
        [b"data: %s\nid:7\nretry:10\n\n"],
        [b"retry: 10\rdata: %s\ri", b"d: 7\r\r:\r\r"],
        [b"id: 7\nretry: 10\n", b"data:\n\n"],
    ],
    ids=["first", "last", "in-two-parts", "without-data"],
)
async def test_row_52_a_call_whose_stream_broke_is_not_resumed_since_2026_07_28(parts: list[bytes]) -> None:
    async with Streaming() as server, calling(server) as call:
        stream = await server.calls.get()
        message = json.dumps({"jsonrpc": "2.0", **PROGRESS}).encode()
        for part in parts:
            await stream.write(part.replace(b"%s", message))
        stream.cut()
        with pytest.raises(OutcomeUnknown):
            await call
        assert {seen.verb for seen in server.seen} == {"POST"}
        assert len(server.requests("tools/call")) == 1


async def test_row_52_a_call_goes_on_by_its_last_event_id_before_2026_07_28() -> None:
    async with Streaming(legacy=True) as server, calling(server) as call:
        stream = await server.calls.get()
        await stream.send(PROGRESS, lines=RESUMABLE)
        stream.cut()
        while "last-event-id" not in (resumed := await server.listeners.get()).seen.headers:
            pass
        assert resumed.seen.headers["last-event-id"] == "7"
        await resumed.send({"id": stream.id, "result": {"content": []}})
        assert await call == {"content": []}
        assert len(server.requests("tools/call")) == 1
