"""Waiter: a task goes on inside the callback that has what it waits for, and only there."""

from __future__ import annotations

import asyncio

import pytest

from app.core.mcp.proxy.http.turns import Waiter


async def started(waiter: Waiter, steps: list[str]) -> asyncio.Task[None]:
    async def wait() -> None:
        await waiter
        steps.append("went on")

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    assert not steps
    return task


async def test_a_task_goes_on_before_wake_returns() -> None:
    loop, steps = asyncio.get_running_loop(), list[str]()
    waiter = Waiter(loop)
    task = await started(waiter, steps)

    def callback() -> None:
        waiter.wake()
        steps.append("woken")
        # Once is enough.
        waiter.wake()

    loop.call_soon(callback)
    await task
    assert steps == ["went on", "woken"]


async def test_within_a_task_another_one_goes_on_in_the_next_turn_only() -> None:
    steps: list[str] = []
    waiter = Waiter(asyncio.get_running_loop())
    task = await started(waiter, steps)
    waiter.wake_soon()
    waiter.wake_soon()
    steps.append("woken")
    await task
    assert steps == ["woken", "went on"]


async def test_no_task_is_entered_from_within_another_one() -> None:
    steps: list[str] = []
    waiter = Waiter(asyncio.get_running_loop())
    task = await started(waiter, steps)
    waiter.wake()
    steps.append("woken")
    await task
    assert steps == ["woken", "went on"]


@pytest.mark.parametrize("wake", [Waiter.wake, Waiter.wake_soon])
async def test_what_was_woken_before_is_not_waited_for(wake: object) -> None:
    waiter = Waiter(asyncio.get_running_loop())
    assert callable(wake)
    wake(waiter)
    await asyncio.wait_for(_awaited(waiter), 5)


async def _awaited(waiter: Waiter) -> None:
    await waiter


async def test_a_cancelled_task_goes_on_once_whoever_wakes_it_later() -> None:
    steps: list[str] = []
    waiter = Waiter(asyncio.get_running_loop())
    task = await started(waiter, steps)
    task.cancel()
    waiter.wake()
    waiter.wake_soon()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not steps


async def test_a_task_that_was_woken_is_still_cancelled_before_it_goes_on() -> None:
    steps: list[str] = []
    waiter = Waiter(asyncio.get_running_loop())
    task = await started(waiter, steps)
    waiter.wake_soon()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not steps


async def test_what_a_task_raises_stays_in_it() -> None:
    loop = asyncio.get_running_loop()
    waiter = Waiter(loop)

    async def fail() -> None:
        await waiter
        raise ValueError("its own")

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    loop.call_soon(waiter.wake)
    with pytest.raises(ValueError, match="its own"):
        await task
