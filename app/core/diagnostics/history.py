"""GrantHistory: the steps of a timeline as spans over time, on lanes, for a picture. No Qt.

The first lane has the lives of the access tokens, each further one what one process did. Wall clocks jump: a step of
the future counts as one of the present, and nothing ends before it began.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from app.core.auth.cause import CauseKind
from app.core.diagnostics.timeline import StepKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.core.diagnostics.timeline import TimelineStep

# More lanes than these are put into one.
MOST_LANES = 5
# In seconds. The last one is everything.
RANGES = (600.0, 3600.0, 86_400.0, float("inf"))
# The shortest range with so many steps is shown at first.
STEPS_AT_FIRST = 4
LEAST_LENGTH = 60.0
# Room on both sides of the spans, as a part of the whole.
MARGIN = 0.02

BRINGS_TOKEN = frozenset(
    {
        StepKind.RENEWED,
        StepKind.UNSTORED,
        StepKind.TAKEN_OVER,
        StepKind.SIGNED_IN,
        StepKind.SIGNED_IN_UNSTORED,
    }
)
ENDS_TOKEN = frozenset({StepKind.ENDED, StepKind.SIGNED_OUT})


class SpanKind(Enum):
    """`TOKEN`: the life of an access token. `STEP`: something that a process did, perhaps in no time."""

    TOKEN = "token"
    STEP = "step"


class Span(NamedTuple):
    """A span on a lane. Times are in Unix seconds, `end` is not before `start`.

    `step` is what a process did, of a token what brought it. Of a token `ended_by` is what ended or replaced it; it is
    None while the token is in force. `open`: it has not ended yet.
    """

    kind: SpanKind
    lane: int
    start: float
    end: float
    step: TimelineStep
    open: bool = False
    ended_by: TimelineStep | None = None

    @property
    def refused(self) -> bool:
        """Whether it is the life of a token that a server refused."""
        return self.ended_by is not None and self.ended_by.cause == CauseKind.REFUSED.value


class GrantHistory(NamedTuple):
    """`lanes` are the processes, the first one empty: that of the tokens. "…" stands for several processes.

    `start` and `end` are those of the picture, in Unix seconds. `spans` are in the order of their start.
    """

    lanes: tuple[str, ...]
    spans: tuple[Span, ...]
    start: float
    end: float

    def place(self, moment: float) -> float:
        """Where a moment lies in the picture: 0 at its start, 1 at its end."""
        return min(max((moment - self.start) / (self.end - self.start), 0.0), 1.0)


OTHERS = "…"


def first_range(steps: Sequence[TimelineStep], now: float) -> float:
    """The shortest of `RANGES` that has several steps, or all there are."""
    wanted = min(STEPS_AT_FIRST, len(steps))
    return next(length for length in RANGES if sum(now - step.at <= length for step in steps) >= wanted)


def history(steps: Iterable[TimelineStep], now: float, length: float) -> GrantHistory:
    """The spans of the last `length` seconds before `now`. `steps` may come in any order."""
    ordered = sorted(steps, key=lambda step: step.at)
    begin = max(now - length, min((step.at for step in ordered), default=now))
    begin = min(begin, now - LEAST_LENGTH)
    lanes = _lanes(ordered)
    numbers = {process: number for number, process in enumerate(lanes)}
    last = len(lanes) - 1
    spans = [span for span in _tokens(ordered, now) if span.end >= begin]
    for step in ordered:
        start = min(step.at, now)
        open_ = step.kind is StepKind.UNDER_WAY
        end = now if open_ else min(start + (step.milliseconds or 0.0) / 1000, max(now, start))
        if end >= begin:
            spans.append(Span(SpanKind.STEP, numbers.get(step.process, last), start, max(start, end), step, open_))
    spans.sort(key=lambda span: (span.start, span.lane))
    margin = (now - begin) * MARGIN
    return GrantHistory(lanes, tuple(spans), begin - margin, now + margin)


def _lanes(steps: Sequence[TimelineStep]) -> tuple[str, ...]:
    """The processes, those that did something last first; all beyond the most share the last lane."""
    processes = list(dict.fromkeys(step.process for step in reversed(steps)))
    if len(processes) > MOST_LANES:
        processes = [*processes[: MOST_LANES - 1], OTHERS]
    return ("", *processes)


def _tokens(steps: Sequence[TimelineStep], now: float) -> list[Span]:
    """The lives of the access tokens."""
    found: list[Span] = []
    brought: TimelineStep | None = None
    since = 0.0
    for step in steps:
        at = min(step.at, now)
        begins = step.kind in BRINGS_TOKEN
        if begins and brought is not None and step.after is not None and step.after == brought.after:
            # Another process took over the token that is in force.
            continue
        if not begins and step.kind not in ENDS_TOKEN:
            continue
        if brought is not None:
            found.append(Span(SpanKind.TOKEN, 0, since, max(since, at), brought, ended_by=step))
        brought = step if begins else None
        since = min(at + (step.milliseconds or 0.0) / 1000, now)
    if brought is not None:
        found.append(Span(SpanKind.TOKEN, 0, since, max(since, now), brought, open=True))
    return found
