"""When a listen stream is opened again, as tables: what an ending calls for, and how pauses grow."""

from __future__ import annotations

import pytest

from app.core.auth.http.classifier import Verdict
from app.core.auth.http.target import CredentialAtStake
from app.core.mcp.protocol.exchange import NO_RESPONSE, RpcErrorObject
from app.core.mcp.protocol.reconnect import (
    STEPS,
    Reconnect,
    ReconnectPolicy,
    ReconnectStep,
    ReconnectTiming,
    StreamEnd,
    step_after,
)

AUTH = RpcErrorObject(-32000, "refused", {"type": "authentication_error", "code": "authentication_failed"})
LOST = RpcErrorObject(-32000, "SSE stream ended without a response")
INSTALLATION = CredentialAtStake.VENDOR_BEHIND
VENDOR = StreamEnd(401, body=b'{"error": "Installation needs re-authentication"}', at_stake=INSTALLATION)
CUT = StreamEnd(200, error=LOST, agreed=True)
DEAD = StreamEnd(200, error=AUTH, agreed=True)
FRESH_REFUSED = StreamEnd(401)


@pytest.mark.parametrize(
    ("ended", "step"),
    [
        (StreamEnd(404), ReconnectStep.NEVER),
        (StreamEnd(405), ReconnectStep.NEVER),
        (
            StreamEnd(404, body=b'{"jsonrpc": "2.0", "error": {}}', error=RpcErrorObject(-32601, "no")),
            ReconnectStep.NEVER,
        ),
        (StreamEnd(200, error=RpcErrorObject(-32601, "no")), ReconnectStep.NEVER),
        (StreamEnd(200, error=RpcErrorObject(-32602, "no")), ReconnectStep.NEVER),
        (StreamEnd(202, error=RpcErrorObject(-32600, "answered a request with 202")), ReconnectStep.NEVER),
        (StreamEnd(200, agreed=False), ReconnectStep.NEVER),
        (StreamEnd(400), ReconnectStep.NEVER),
        (StreamEnd(307), ReconnectStep.NEVER),
        (StreamEnd(403), ReconnectStep.NEVER),
        (StreamEnd(403, body=b'{"error": "Server is disabled"}', at_stake=INSTALLATION), ReconnectStep.NEVER),
        (StreamEnd(401), ReconnectStep.REFUSED),
        (StreamEnd(401, refresh_failed=True), ReconnectStep.AGAIN),
        (StreamEnd(200, error=AUTH), ReconnectStep.REFUSED),
        (StreamEnd(200, error=AUTH, refresh_failed=True), ReconnectStep.AGAIN),
        (VENDOR, ReconnectStep.SLOWLY),
        (StreamEnd(402), ReconnectStep.SLOWLY),
        (StreamEnd(429), ReconnectStep.AGAIN),
        (StreamEnd(503), ReconnectStep.AGAIN),
        (StreamEnd(NO_RESPONSE), ReconnectStep.AGAIN),
        (StreamEnd(None), ReconnectStep.AGAIN),
        (StreamEnd(200, error=LOST), ReconnectStep.AGAIN),
        (StreamEnd(200, error=RpcErrorObject(-32603, "Subscription limit reached")), ReconnectStep.AGAIN),
        (StreamEnd(200, agreed=True), ReconnectStep.AGAIN),
        (CUT, ReconnectStep.AGAIN),
        (StreamEnd(200, error=RpcErrorObject(-32601, "no"), agreed=True), ReconnectStep.AGAIN),
        (DEAD, ReconnectStep.REFRESH),
        (StreamEnd(200, error=AUTH, agreed=True, at_stake=INSTALLATION), ReconnectStep.AGAIN),
    ],
)
def test_each_ending_has_its_step(ended: StreamEnd, step: ReconnectStep) -> None:
    assert step_after(ended) is step


def test_no_verdict_is_without_a_step() -> None:
    assert set(STEPS) == set(Verdict)


class Clock:
    """Time in a test's hand, and no luck."""

    def __init__(self, chance: float = 1.0) -> None:
        self.time = 0.0
        self.timing = ReconnectTiming(now=lambda: self.time, chance=lambda: chance)


@pytest.mark.parametrize(
    ("chance", "pauses"),
    [
        (1.0, [1, 2, 4, 8, 16, 32, 60, 60, 60]),
        (0.0, [0.5, 1, 2, 4, 8, 16, 30, 30, 30]),
        (0.5, [0.75, 1.5, 3, 6, 12, 24, 45, 45, 45]),
    ],
)
@pytest.mark.parametrize("ended", [CUT, StreamEnd(503), StreamEnd(401, refresh_failed=True)])
def test_pauses_double_up_to_a_minute_and_are_shortened_by_chance(
    ended: StreamEnd, chance: float, pauses: list[float]
) -> None:
    reopening = ReconnectPolicy(Clock(chance).timing)
    assert [reopening.after(ended).pause for _ in pauses] == pauses


@pytest.mark.parametrize(("lasted", "pause"), [(59.9, 8), (60.0, 1)])
def test_a_stream_that_lasted_a_minute_makes_pauses_short_again(lasted: float, pause: float) -> None:
    clock = Clock()
    reopening = ReconnectPolicy(clock.timing)
    for _ in range(3):
        reopening.after(CUT)
    reopening.opened()
    clock.time += lasted
    assert reopening.after(CUT).pause == pause


def test_time_without_a_stream_is_not_health() -> None:
    clock = Clock()
    reopening = ReconnectPolicy(clock.timing)
    pauses = []
    for _ in range(4):
        clock.time += 1000
        pauses.append(reopening.after(StreamEnd(503)).pause)
    assert pauses == [1, 2, 4, 8]


def test_signing_in_makes_pauses_short_again() -> None:
    reopening = ReconnectPolicy(Clock().timing)
    reopening.after(CUT)
    reopening.after(CUT)
    reopening.start_over()
    assert reopening.after(CUT).pause == 1


@pytest.mark.parametrize(("asked", "pause"), [("7", 7), ("0", 1), ("soon", 1)])
def test_a_server_may_ask_for_a_longer_pause_but_not_for_a_shorter(asked: str, pause: float) -> None:
    assert ReconnectPolicy(Clock().timing).after(StreamEnd(429, {"retry-after": asked})).pause == pause


def test_a_dead_token_is_renewed_once_until_a_stream_was_healthy() -> None:
    clock = Clock()
    reopening = ReconnectPolicy(clock.timing)
    assert [reopening.after(DEAD), reopening.after(DEAD)] == [Reconnect(1, "jsonrpc-auth"), Reconnect(60)]
    reopening.opened()
    clock.time += 60
    assert reopening.after(DEAD) == Reconnect(1, "jsonrpc-auth")


def test_a_server_that_refuses_three_fresh_tokens_in_a_row_is_left_in_peace() -> None:
    reopening = ReconnectPolicy(Clock().timing)
    assert [reopening.after(FRESH_REFUSED).pause for _ in range(3)] == [60, 60, None]
    assert reopening.over


def test_a_vendor_that_is_not_signed_in_is_asked_once_a_minute() -> None:
    reopening = ReconnectPolicy(Clock().timing)
    assert [reopening.after(VENDOR).pause for _ in range(5)] == [60] * 5
    assert not reopening.over
