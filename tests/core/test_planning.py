"""When a token is renewed ahead of its expiry."""

from __future__ import annotations

import asyncio

import pytest

from app.core.auth.grant.schedule import RETRY_SECONDS, RefreshSchedule
from app.core.auth.tokens import TokenSet
from app.core.clock import ServerTime
from tests.clock import START, StillClock


class Renewed:
    """A plan and what it has renewed."""

    def __init__(self) -> None:
        self.clock = StillClock()
        self.tokens: list[TokenSet] = []
        self.plan = RefreshSchedule(ServerTime(self.clock), self.tokens.append)

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.clock.advance(seconds)
        await asyncio.sleep(0)


def token(lifetime: float | None, refresh: str | None = "r") -> TokenSet:
    return TokenSet("a", refresh, START, None if lifetime is None else START + lifetime)


async def test_a_token_is_renewed_at_four_fifths_of_its_life_a_little_apart_from_others() -> None:
    dues = set()
    for _ in range(50):
        renewed = Renewed()
        renewed.plan.plan(token(1000))
        assert renewed.plan.due is not None
        assert START + 750 <= renewed.plan.due <= START + 850
        dues.add(renewed.plan.due)
        await renewed.pass_time(749)
        assert not renewed.tokens
        await renewed.pass_time(102)
        assert len(renewed.tokens) == 1
        renewed.plan.stop()
    assert len(dues) > 40


@pytest.mark.parametrize("tokens", [token(None), token(1000, None)])
async def test_what_has_no_known_life_or_cannot_be_renewed_is_not_planned(tokens: TokenSet) -> None:
    renewed = Renewed()
    renewed.plan.plan(tokens)
    assert renewed.plan.due is None
    await renewed.pass_time(100_000)
    assert not renewed.tokens


async def test_after_a_failure_it_is_not_tried_again_at_once() -> None:
    renewed = Renewed()
    await renewed.pass_time(900)
    renewed.plan.plan(token(1000), least=RETRY_SECONDS)
    await renewed.pass_time(RETRY_SECONDS - 1)
    assert not renewed.tokens
    await renewed.pass_time(1)
    assert len(renewed.tokens) == 1


async def test_a_sleep_past_the_time_is_made_up_for_when_the_machine_wakes() -> None:
    renewed = Renewed()
    renewed.plan.plan(token(1000))
    await asyncio.sleep(0)
    renewed.clock.suspend(5000)
    await renewed.pass_time(1)
    assert not renewed.tokens
    renewed.plan.reschedule()
    await renewed.pass_time(0)
    assert len(renewed.tokens) == 1


async def test_waking_plans_nothing_where_nothing_was_planned_and_a_new_plan_replaces_the_former() -> None:
    renewed = Renewed()
    renewed.plan.reschedule()
    renewed.plan.plan(token(1000))
    newer = TokenSet("b", "r", START, START + 2000)
    renewed.plan.plan(newer)
    await renewed.pass_time(1200)
    assert not renewed.tokens
    renewed.plan.stop()
    renewed.plan.reschedule()
    await renewed.pass_time(5000)
    assert not renewed.tokens
