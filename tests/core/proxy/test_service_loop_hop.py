"""Hops between the loop of the process and that of the proxy, on real threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.core.mcp.proxy.loop_hop import LoopGate, LoopThread
from app.core.mcp.proxy.parts import NotReady


@asynccontextmanager
async def thread() -> AsyncIterator[LoopGate]:
    other = LoopThread("test proxy")
    gate = await other.start()
    try:
        yield gate
    finally:
        await other.stop()


async def test_a_failure_on_the_other_loop_is_raised_to_the_caller() -> None:
    async def fail() -> None:
        raise ValueError("there")

    async with thread() as there:
        with pytest.raises(ValueError, match="there"):
            await there.run(fail)


async def test_work_runs_on_the_other_thread_and_its_result_comes_back() -> None:
    async def where() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    async with thread() as there:
        assert await there.run(where) not in {threading.get_ident(), 0}


async def test_a_hop_from_the_gates_own_loop_runs_at_once() -> None:
    here = LoopGate(asyncio.get_running_loop())

    async def where() -> int:
        return threading.get_ident()

    assert await here.run(where) == threading.get_ident()


async def test_work_hops_back_from_within_a_hop() -> None:
    here = LoopGate(asyncio.get_running_loop())

    async def where() -> int:
        return threading.get_ident()

    async with thread() as there:
        assert await there.run(lambda: here.run(where)) == threading.get_ident()


async def test_a_caller_that_is_cancelled_cancels_the_work() -> None:
    began, ended = threading.Event(), threading.Event()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with thread() as there:
        caller = asyncio.create_task(there.run(wait))
        assert await asyncio.to_thread(began.wait, 10)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert await asyncio.to_thread(ended.wait, 10)


async def test_work_that_is_cancelled_before_it_began_never_begins() -> None:
    held, began = threading.Event(), threading.Event()

    async def begin() -> None:
        began.set()

    async with thread() as there:
        there.post(held.wait, 10)
        caller = asyncio.create_task(there.run(begin))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        held.set()

        async def after() -> None:
            """Whatever was queued has run by now."""

        await there.run(after)
    assert not began.is_set()


async def test_closing_a_gate_fails_those_who_wait_and_those_who_come_later() -> None:
    here = LoopGate(asyncio.get_running_loop())
    began = asyncio.Event()

    async def wait() -> None:
        began.set()
        await asyncio.Event().wait()

    async with thread() as there:
        caller = asyncio.create_task(there.run(lambda: here.run(wait)))
        await began.wait()
        here.close()
        with pytest.raises(NotReady):
            await caller
        with pytest.raises(NotReady):
            await there.run(lambda: here.run(wait))


async def test_a_loop_that_has_ended_fails_a_hop_at_once() -> None:
    async def nothing() -> None:
        raise AssertionError

    async with thread() as there:
        pass
    with pytest.raises(NotReady):
        await there.run(nothing)
    there.post(nothing)


async def test_two_loops_that_wait_for_each_other_end_together() -> None:
    here = LoopGate(asyncio.get_running_loop())
    began = asyncio.Event()

    async def wait() -> None:
        began.set()
        await asyncio.Event().wait()

    async with thread() as there:
        caller = asyncio.create_task(there.run(lambda: here.run(wait)))
        await began.wait()
    # The thread has ended while its task waited for this loop.
    with pytest.raises((NotReady, asyncio.CancelledError)):
        await caller
    here.close()
