"""The tokens of a credential, read on another thread: never without knowing whose they are, seldom with a hop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.core.auth.cause import Cause, CauseKind
from app.core.errors import SignInNeeded
from app.core.mcp.proxy import loop_tokens
from app.core.mcp.proxy.loop_hop import LoopGate, LoopThread
from app.core.mcp.proxy.loop_tokens import LoopTokenSource
from tests.core.conftest import Rig, signed_in

REFUSED = Cause(CauseKind.REFUSED, "target", "rule")


@asynccontextmanager
async def source_on_a_thread(
    rig: Rig, admit: Callable[[], Awaitable[object]] | None = None
) -> AsyncIterator[tuple[LoopTokenSource, LoopGate]]:
    """The source, and the gate to the thread that uses it."""
    here, thread = LoopGate(asyncio.get_running_loop()), LoopThread("test proxy")
    there = await thread.start()
    try:
        yield LoopTokenSource(rig.credential, here, admit=admit), there
    finally:
        await thread.stop()
        here.close()


async def test_a_token_is_read_only_once_it_is_known_whose_it_is(tmp_path: Path) -> None:
    asked: list[str] = []

    async def admit() -> None:
        asked.append("whose")

    async with signed_in(tmp_path) as rig, source_on_a_thread(rig, admit) as (source, there):
        assert source.fresh_token() is None
        read = await there.run(source.access_token)
        assert read is not None
        assert source.fresh_token() is read
        assert asked == ["whose"]
        source.leave()
        assert source.fresh_token() is None
        assert await there.run(source.access_token) is read
        assert asked == ["whose", "whose"]


async def test_a_token_of_somebody_else_is_never_read(tmp_path: Path) -> None:
    async def admit() -> None:
        raise SignInNeeded("Somebody else is signed in.")

    async with signed_in(tmp_path) as rig, source_on_a_thread(rig, admit) as (source, there):
        with pytest.raises(SignInNeeded, match="Somebody else"):
            await there.run(source.access_token)
        assert source.fresh_token() is None


async def test_a_source_that_is_left_while_a_token_is_read_asks_again_whose_it_is(tmp_path: Path) -> None:
    asked: list[str] = []
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def admit() -> None:
        asked.append("whose")

    async with signed_in(tmp_path) as rig, source_on_a_thread(rig, admit) as (source, there):
        access_token = rig.credential.access_token

        async def slow() -> object:
            reading.set()
            await go_on.wait()
            return await access_token()

        rig.credential.access_token = slow  # type: ignore[method-assign, assignment]
        read = asyncio.create_task(there.run(source.access_token))
        await reading.wait()
        source.leave()
        go_on.set()
        assert await read is not None
        assert asked == ["whose", "whose"]


async def test_requests_of_a_thread_that_are_refused_share_one_refresh(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig, source_on_a_thread(rig) as (source, there):
        refused = source.fresh_token()
        assert refused is not None

        async def refresh_all() -> list[object]:
            return list(await asyncio.gather(*(source.refresh(refused, REFUSED) for _ in range(20))))

        newer = await there.run(refresh_all)
        assert len({id(each) for each in newer}) == 1
        assert source.fresh_token() is newer[0]
        assert not source.adopted(newer[0])  # type: ignore[arg-type]
        assert rig.issuer.accepted == 1


async def test_a_busy_client_wakes_the_loop_once_a_second_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(loop_tokens, "monotonic", lambda: clock[0])
    told: list[str] = []
    async with signed_in(tmp_path) as rig, source_on_a_thread(rig) as (source, _there):
        tokens = source.fresh_token()
        assert tokens is not None
        rig.credential.accepted = lambda _tokens, target, _headers: told.append(target)  # type: ignore[method-assign]
        date = {"date": "Sun, 29 Nov 2026 08:00:00 GMT"}
        for _ in range(100):
            source.accepted(tokens, "a", date)
        # The first acceptance by each target proves a refresh, so it is told at once.
        source.accepted(tokens, "b", {})
        await asyncio.sleep(0)
        assert told == ["a", "b"]
        clock[0] += 1.0
        for _ in range(100):
            source.accepted(tokens, "a", date)
        source.accepted(tokens, "a", {})
        await asyncio.sleep(0)
        assert told == ["a", "b", "a"]
