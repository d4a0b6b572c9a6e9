"""Times that a session goes by: no jump of the wall clock and no sleep of the machine misleads it."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate

import pytest

from app.core.auth.http.clients import retry_after
from app.core.clock import LEARN_SECONDS, ServerTime, SystemClock, watch_sleep
from tests.clock import START, StillClock


def date(moment: float) -> dict[str, str]:
    return {"date": formatdate(moment, usegmt=True)}


@pytest.mark.parametrize("jump", [600.0, -600.0, 86_400.0])
def test_a_wall_clock_that_is_set_while_running_changes_nothing(jump: float) -> None:
    clock = StillClock()
    server = ServerTime(clock)
    clock.set_wall(jump)
    clock.advance(10)
    assert server.now() == pytest.approx(START + 10)
    assert server.skew == pytest.approx(-jump)


@pytest.mark.parametrize("off", [600.0, -600.0])
def test_the_servers_clock_is_learnt_from_its_date(off: float) -> None:
    clock = StillClock()
    server = ServerTime(clock)
    assert server.learn(date(START + off))
    assert server.now() == pytest.approx(START + off, abs=1)
    assert server.local(server.now()) == pytest.approx(clock.wall())


def test_a_sleep_of_the_machine_counts() -> None:
    clock = StillClock()
    server = ServerTime(clock)
    clock.suspend(3600)
    assert server.now() == pytest.approx(START + 3600)


def test_a_second_of_uncertainty_is_no_skew() -> None:
    server = ServerTime(StillClock())
    assert not server.learn(date(START - 1), at_once=True)
    assert server.skew == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"date": "yesterday"},
        {"date": ""},
        {"date": "Fri, 31 Dec 9999 23:59:59 GMT"},
        {"date": "Mon, 01 Jan 0001 00:00:00 +2359"},
        {"date": "Thu, 01 Jan 1970 00:00:00 GMT"},
        *(date(START + 500) | {"age": age} for age in ("soon", "nan", "inf", "-1", "1e3", "٣", "9" * 5000, "99999999")),
    ],
)
def test_a_date_that_is_none_teaches_nothing(headers: dict[str, str]) -> None:
    server = ServerTime(StillClock())
    assert not server.learn(headers)
    assert server.skew == 0


def test_a_cached_answer_is_as_much_older_as_it_says() -> None:
    server = ServerTime(StillClock())
    assert not server.learn(date(START - 300) | {"age": "300"})


def test_a_date_is_looked_at_once_a_minute_at_most_unless_a_token_came_with_it() -> None:
    clock = StillClock()
    server = ServerTime(clock)
    assert not server.learn(date(START))
    assert not server.learn(date(START + 500))
    assert server.learn(date(START + 500), at_once=True)
    clock.advance(LEARN_SECONDS)
    assert server.learn(date(clock.wall() - 500))


async def test_waking_up_is_noticed_and_a_busy_machine_is_not_taken_for_it() -> None:
    clock = StillClock()
    woken: list[float] = []
    watching = asyncio.create_task(watch_sleep(clock, lambda: woken.append(clock.boot())))
    for elapsed, slept in ((14, False), (10, False), (10, True), (10, False)):
        await clock.until_sleeping(10)
        if slept:
            clock.suspend(600)
        clock.advance(elapsed)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert len(woken) == 1
    watching.cancel()


def test_the_time_since_boot_goes_on_and_is_the_same_for_every_process() -> None:
    first = SystemClock().boot()
    assert 0 <= SystemClock().boot() - first < 5
    assert first >= time.monotonic() - 1


@pytest.mark.parametrize("off", [-900.0, 900.0])
def test_a_date_to_come_back_at_is_read_by_the_servers_own_clock(off: float) -> None:
    now = time.time() + off
    headers = {"date": formatdate(now, usegmt=True), "retry-after": formatdate(now + 30, usegmt=True)}
    assert retry_after(headers) == pytest.approx(30, abs=1)
