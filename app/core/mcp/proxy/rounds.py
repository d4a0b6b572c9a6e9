"""Rounds: one approval covers the rounds of one call (MCP 2026-07-28, "Multi Round-Trip Requests").

A server that wants more input answers a call with what it asks. The client then calls the tool again, with the same
arguments, what was answered, and the state that the server gave it. That is no new call for the user.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from app.core.mcp.json_text import NotJson, write_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.mcp.proxy.parts import Call

INPUT_REQUIRED = "input_required"
STATE, RESPONSES = "requestState", "inputResponses"
# How long somebody may take to answer what the server asks, and how many calls may wait for that.
ROUND_SECONDS, MOST_ROUNDS = 900.0, 500


class _Round(NamedTuple):
    """What the next round of a call looks like."""

    client: str
    server: str
    tool: str
    # SHA-256 of the arguments, with every number as it was sent.
    arguments: bytes
    # None where the server gave none.
    state: str | None


class Rounds:
    """The calls that were allowed and whose servers want more input."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        # Until when each is known, the oldest first.
        self._open: OrderedDict[_Round, float] = OrderedDict()

    def answered(self, call: Call, answer: bytes) -> None:
        """The answer to a call that was allowed."""
        if INPUT_REQUIRED.encode() not in answer:
            return
        try:
            message = json.loads(answer)
        except (ValueError, RecursionError):
            return
        match message:
            case {"result": {"resultType": "input_required", **result}}:
                state = result.get(STATE)
                following = _round(call, state if isinstance(state, str) else None)
                if following is not None:
                    self._open[following] = self._clock() + ROUND_SECONDS
                    self._open.move_to_end(following)
                    while len(self._open) > MOST_ROUNDS:
                        self._open.popitem(last=False)

    def take(self, call: Call) -> bool:
        """Whether a call is the next round of one that was allowed. It is so once."""
        params = _params(call) if self._open else {}
        if RESPONSES not in params and STATE not in params:
            return False
        state = params.get(STATE)
        if state is not None and not isinstance(state, str):
            return False
        this = _round(call, state)
        return this is not None and self._open.pop(this, 0.0) > self._clock()


def _params(call: Call) -> dict[str, Any]:
    """The parameters of the only call, with every number as it was sent."""
    try:
        params: dict[str, Any] = {} if call.post is None or call.post.batch else call.post.exact["params"]
    except NotJson:
        return {}
    return params


def _round(call: Call, state: str | None) -> _Round | None:
    params = _params(call)
    if "name" not in params:
        return None
    arguments = write_json(params.get("arguments"), indent=None).encode("utf-8", "surrogatepass")
    return _Round(call.client.id, call.upstream.id, params["name"], hashlib.sha256(arguments).digest(), state)
