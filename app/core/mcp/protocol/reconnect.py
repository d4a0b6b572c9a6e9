"""ReconnectPolicy: whether, when and with which token a notification stream is opened again (faults rows 51 to 53).

For both kinds of stream: `subscriptions/listen` of revision 2026-07-28, and the GET stream before it.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING

from app.core.auth.http.classifier import Reply, Verdict, classify
from app.core.auth.http.target import CredentialAtStake
from app.core.mcp.protocol.exchange import NO_RESPONSE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from app.core.mcp.protocol.exchange import RpcErrorObject

BASE_SECONDS = 1.0
LONGEST_SECONDS = 60.0
HEALTHY_SECONDS = 60.0
# How many fresh tokens in a row a server may refuse before it is left alone: each one costs a refresh for all requests.
MAX_FRESH_REFUSALS = 3
# Method not found, invalid request, invalid parameters: the same request would get the same answer.
FINAL_CODES = frozenset({-32601, -32600, -32602})


class ReconnectStep(Enum):
    """What to do after the end of a stream.

    `AGAIN`: reconnect after the next pause. `REFRESH`: the same, with a refreshed token. `SLOWLY`: reconnect after the
    longest pause. `REFUSED`: a fresh token was refused; slowly, and a few times only. `NEVER`: the server offers no
    stream.
    """

    AGAIN = "again"
    REFRESH = "refresh"
    SLOWLY = "slowly"
    REFUSED = "refused"
    NEVER = "never"


# For a stream that did not open. By then a dead token has been refreshed by the auth flow, so a refusal is of a fresh
# one.
STEPS: Mapping[Verdict, ReconnectStep] = {
    Verdict.FINE: ReconnectStep.AGAIN,
    Verdict.TRANSIENT: ReconnectStep.AGAIN,
    Verdict.THROTTLED: ReconnectStep.AGAIN,
    Verdict.QUOTA: ReconnectStep.SLOWLY,
    Verdict.AMBIGUOUS_AUTH: ReconnectStep.SLOWLY,
    Verdict.VENDOR_SIGN_IN: ReconnectStep.SLOWLY,
    Verdict.KEY_REFUSED: ReconnectStep.REFUSED,
    Verdict.RECOVERABLE_AUTH: ReconnectStep.REFUSED,
    Verdict.POLICY: ReconnectStep.NEVER,
    Verdict.PERMISSION: ReconnectStep.NEVER,
    Verdict.SCOPE: ReconnectStep.NEVER,
    Verdict.NOT_FOUND: ReconnectStep.NEVER,
    Verdict.REJECTED: ReconnectStep.NEVER,
    Verdict.NOT_OURS: ReconnectStep.NEVER,
}


@dataclass(frozen=True)
class StreamEnd:
    """How one attempt to open a stream ended.

    `status` is None without an HTTP response. `agreed` is whether the server agreed to announce changes, None when it
    did not say. `error` is the JSON-RPC error that ended the stream. `refresh_failed`: the token was refused and could
    not be refreshed.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: RpcErrorObject | None = None
    at_stake: CredentialAtStake = CredentialAtStake.CARRIED
    agreed: bool | None = None
    refresh_failed: bool = False

    def judged(self) -> tuple[Verdict, str]:
        """The classifier's verdict on the end, and its rule."""
        # A JSON-RPC error that ended an open stream is judged like one inside a 200.
        body = self.body
        if self.error is not None and self.status == 200:
            error = {"code": self.error.code, "message": self.error.message, "data": self.error.data}
            body = json.dumps({"jsonrpc": "2.0", "error": error}).encode()
        return classify(Reply(self.status or NO_RESPONSE, self.headers, body, self.at_stake))


def step_after(ended: StreamEnd) -> ReconnectStep:
    """The step after this end, regardless of earlier ones."""
    verdict, _rule = ended.judged()
    if ended.agreed is False:
        return ReconnectStep.NEVER
    if ended.agreed:
        return ReconnectStep.REFRESH if verdict is Verdict.RECOVERABLE_AUTH else ReconnectStep.AGAIN
    # The token endpoint failed. That says nothing about this server.
    if verdict is Verdict.RECOVERABLE_AUTH and ended.refresh_failed:
        return ReconnectStep.AGAIN
    if verdict is Verdict.FINE and ended.error is not None and ended.error.code in FINAL_CODES:
        return ReconnectStep.NEVER
    return STEPS[verdict]


def _chance() -> float:
    from random import random

    return random()


@dataclass(frozen=True)
class ReconnectTiming:
    """The source of time and chance, so that a test need not wait. In seconds; `chance` returns 0 to 1."""

    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    now: Callable[[], float] = monotonic
    chance: Callable[[], float] = _chance


@dataclass(frozen=True)
class Reconnect:
    """`pause` is in seconds, None when the stream must not be opened again.

    `refused_by` is the classifier's rule because of which the token has to be refreshed first; empty if it need not be.
    """

    pause: float | None
    refused_by: str = ""


class ReconnectPolicy:
    """The policy for the streams of one server, with its state.

    Pauses double from 1 s to 60 s, and start again at 1 s after a healthy stream: one that lasted for 60 s. Each is
    shortened by up to a half, so that many clients do not reconnect at once.
    """

    def __init__(self, timing: ReconnectTiming) -> None:
        self._timing = timing
        self._opened_at: float | None = None
        # No stream is to be opened any more.
        self.over = False
        self.start_over()

    def start_over(self) -> None:
        """Forget what went wrong: the user signed in, or a stream was healthy."""
        self._step_seconds = BASE_SECONDS
        self._refusals = 0
        self._refreshed = False

    def opened(self) -> None:
        """A stream is open."""
        self._opened_at = self._timing.now()

    def after(self, ended: StreamEnd) -> Reconnect:
        """What to do after a stream ended or did not open."""
        if self._opened_at is not None and self._timing.now() - self._opened_at >= HEALTHY_SECONDS:
            self.start_over()
        self._opened_at = None
        step = step_after(ended)
        # A token is refreshed once because of what an open stream said, and again only after a healthy stream. The
        # brake cannot stop a loop here: a stream that opens proves its token, whatever comes afterwards.
        if step is ReconnectStep.REFRESH:
            step = ReconnectStep.REFUSED if self._refreshed else step
            self._refreshed = True
        if step is ReconnectStep.REFUSED:
            self._refusals += 1
        if step is ReconnectStep.NEVER or self._refusals >= MAX_FRESH_REFUSALS:
            self.over = True
            return Reconnect(None)
        return Reconnect(self._pause(step, ended), ended.judged()[1] if step is ReconnectStep.REFRESH else "")

    def _pause(self, step: ReconnectStep, ended: StreamEnd) -> float:
        from app.core.auth.http.clients import retry_after

        seconds = self._step_seconds if step in {ReconnectStep.AGAIN, ReconnectStep.REFRESH} else LONGEST_SECONDS
        self._step_seconds = min(2 * seconds, LONGEST_SECONDS)
        shortened = seconds * (0.5 + self._timing.chance() / 2)
        return max(shortened, retry_after(ended.headers) or 0.0)
