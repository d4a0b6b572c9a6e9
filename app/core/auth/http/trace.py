"""Trace: what went over the wire for one request, for the activity record.

It is written on the way of every request, so it only takes references and the time. It has secrets: whoever keeps any
of it redacts it first (`app.core.diagnostics.exchanges`).
"""

from __future__ import annotations

from contextvars import ContextVar
from time import monotonic
from typing import Any

# The key of a request's extensions under which the sender puts its trace.
TRACE = "burrow.trace"


class Attempt:
    """One time that the request was sent. All times are `time.monotonic()`.

    - `started`: it was given to the connection. `headed`: the head of the answer was there, None before.
    - `connect_seconds` is how long a new connection took, None when one was used again or it is not known.
    - `sent` and `received` are headers of httpx or httpx2. `status` is None without an answer.
    - `rule` of the classifier judged the answer, if it was judged; `body` is what of it was read for that.
    - `renewal_seconds` is how long the renewal took that the answer caused; `renewal_failure` names the error.
    - `error` names the exception that the connection ended with.
    """

    __slots__ = (
        "body",
        "connect_seconds",
        "error",
        "headed",
        "protocol",
        "received",
        "renewal_failure",
        "renewal_seconds",
        "rule",
        "sent",
        "started",
        "status",
    )

    def __init__(self, sent: Any) -> None:
        self.started = monotonic()
        self.sent = sent
        self.headed: float | None = None
        self.connect_seconds: float | None = None
        self.status: int | None = None
        self.received: Any = None
        self.protocol: object = b""
        self.rule = ""
        self.body = b""
        self.renewal_seconds: float | None = None
        self.renewal_failure = ""
        self.error = ""

    def answered(self, response: Any) -> None:
        """The head of the answer is there."""
        self.headed = monotonic()
        self.status = response.status_code
        # A copy: whoever reads the body may take headers out.
        self.received = response.headers.raw
        self.protocol = response.extensions.get("http_version", b"")


class Trace:
    """The attempts of one request, and `started`, when it was asked for."""

    __slots__ = ("attempts", "started")

    def __init__(self) -> None:
        self.started = monotonic()
        self.attempts: list[Attempt] = []

    def begin(self, request: Any) -> Attempt:
        """One more attempt, which is given to the connection now."""
        attempt = Attempt(request.headers)
        self.attempts.append(attempt)
        return attempt


current_attempt: ContextVar[Attempt | None] = ContextVar("current_attempt", default=None)
"""The attempt that is given to a connection, for what has no other way to know it."""


def judged(request: Any, rule: str, body: bytes) -> Attempt | None:
    """Note what the classifier said of the last attempt, and return that; None for a request without a trace."""
    trace = request.extensions.get(TRACE)
    if trace is None or not trace.attempts:
        return None
    attempt: Attempt = trace.attempts[-1]
    attempt.rule, attempt.body = rule, body
    return attempt
