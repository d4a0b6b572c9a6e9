"""Whether, when and with which token a listen stream that ended is opened again (faults rows 51 to 53).

One table and one state for both eras: `subscriptions/listen` of revision 2026-07-28 and the GET stream before it.
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
from app.core.mcp.protocol.exchange import BROKEN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from app.core.mcp.protocol.exchange import RpcError

BASE_SECONDS = 1.0
LONGEST_SECONDS = 60.0
HEALTHY_SECONDS = 60.0
# How often in a row a server may refuse tokens that were renewed for it: each time costs everybody a renewal.
FRESH_REFUSALS = 3
# Method not found, invalid request, invalid parameters: the same request would be answered in the same way.
FINAL_CODES = frozenset({-32601, -32600, -32602})


class ReconnectStep(Enum):
    """What follows the end of a listen stream.

    `AGAIN`: the next pause, then another. `RENEW`: the same with a renewed token. `SLOWLY`: the longest pause.
    `REFUSED`: a fresh token was refused; slowly, and not for ever. `NEVER`: this server does not let Burrow listen.
    """

    AGAIN = "again"
    RENEW = "renew"
    SLOWLY = "slowly"
    REFUSED = "refused"
    NEVER = "never"


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
    """How one opening of a listen stream went.

    `status` is None when HTTP gave no answer. `agreed`: whether the server was going to tell of changes, None when it
    did not say. `error` is the JSON-RPC error that ended it. `unrenewed`: the token was refused and not renewed.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: RpcError | None = None
    at_stake: CredentialAtStake = CredentialAtStake.CARRIED
    agreed: bool | None = None
    unrenewed: bool = False

    def judged(self) -> tuple[Verdict, str]:
        """What the last answer says about the credential, and the rule that says so."""
        body = self.body
        if self.error is not None and self.status == 200:
            error = {"code": self.error.code, "message": self.error.message, "data": self.error.data}
            body = json.dumps({"jsonrpc": "2.0", "error": error}).encode()
        return classify(Reply(self.status or BROKEN, self.headers, body, self.at_stake))


def step_after(ended: StreamEnd) -> ReconnectStep:
    """The step that an ending calls for, whatever came before it."""
    verdict, _rule = ended.judged()
    if ended.agreed is False:
        return ReconnectStep.NEVER
    if ended.agreed:
        return ReconnectStep.RENEW if verdict is Verdict.RECOVERABLE_AUTH else ReconnectStep.AGAIN
    if verdict is Verdict.RECOVERABLE_AUTH and ended.unrenewed:
        return ReconnectStep.AGAIN
    if verdict is Verdict.FINE and ended.error is not None and ended.error.code in FINAL_CODES:
        return ReconnectStep.NEVER
    return STEPS[verdict]


def _chance() -> float:
    from random import random

    return random()


@dataclass(frozen=True)
class ReconnectTiming:
    """Where pauses come from, so that a test need not wait for them. Seconds; `chance` is between 0 and 1."""

    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    now: Callable[[], float] = monotonic
    chance: Callable[[], float] = _chance


@dataclass(frozen=True)
class Reconnect:
    """`pause` in seconds, None when the stream is not opened again.

    `refused_by` is the classifier's rule by which the token is to be renewed first, empty when it is not.
    """

    pause: float | None
    refused_by: str = ""


class ReconnectPolicy:
    """What one server's listen streams have come to so far.

    Pauses double from 1 s to 60 s, each shortened by up to a half so that many listeners do not come at once, and begin
    anew after a stream that lasted for 60 s. A token is renewed once on the word of an open stream, and again only
    after such a healthy one: to the session a stream that opens proves its token, so its brake cannot count these.
    """

    def __init__(self, timing: ReconnectTiming) -> None:
        self._timing = timing
        self._opened_at: float | None = None
        self.over = False
        self.start_over()

    def start_over(self) -> None:
        """Forget what went wrong: somebody signed in, or a stream was healthy."""
        self._step_seconds = BASE_SECONDS
        self._refusals = 0
        self._renewed = False

    def opened(self) -> None:
        """The server has begun to tell of changes."""
        self._opened_at = self._timing.now()

    def after(self, ended: StreamEnd) -> Reconnect:
        """What to do now that a stream ended or did not open."""
        if self._opened_at is not None and self._timing.now() - self._opened_at >= HEALTHY_SECONDS:
            self.start_over()
        self._opened_at = None
        step = step_after(ended)
        if step is ReconnectStep.RENEW:
            step = ReconnectStep.REFUSED if self._renewed else step
            self._renewed = True
        if step is ReconnectStep.REFUSED:
            self._refusals += 1
        if step is ReconnectStep.NEVER or self._refusals >= FRESH_REFUSALS:
            self.over = True
            return Reconnect(None)
        return Reconnect(self._pause(step, ended), ended.judged()[1] if step is ReconnectStep.RENEW else "")

    def _pause(self, step: ReconnectStep, ended: StreamEnd) -> float:
        from app.core.auth.http.clients import retry_after

        seconds = self._step_seconds if step in {ReconnectStep.AGAIN, ReconnectStep.RENEW} else LONGEST_SECONDS
        self._step_seconds = min(2 * seconds, LONGEST_SECONDS)
        shortened = seconds * (0.5 + self._timing.chance() / 2)
        return max(shortened, retry_after(ended.headers) or 0.0)
