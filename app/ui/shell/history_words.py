"""What the picture of a sign-in says about one of its spans, and the names of its lanes and ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.core.diagnostics.history import OTHERS, SpanKind
from app.core.diagnostics.timeline import StepKind
from app.ui.shell import timeline_words
from app.ui.translation import marked
from app.ui.widgets.times import absolute, duration, moment_at

if TYPE_CHECKING:
    from app.core.diagnostics.history import Span
    from app.core.diagnostics.timeline import TimelineStep

RANGES = (
    marked("History", "10 minutes"),
    marked("History", "1 hour"),
    marked("History", "1 day"),
    marked("History", "Everything"),
)


def range_name(number: int) -> str:
    return _tr(RANGES[number])


def lane_name(process: str, here: str) -> str:
    """The name of a lane; `here` is the process of this window."""
    if not process:
        return _tr("Access token")
    if process == OTHERS:
        return _tr("Others")
    return _tr("This window") if process == here else timeline_words.process_name(process)


def sentence(span: Span) -> str:
    """Everything about a span on one line."""
    if span.kind is SpanKind.STEP:
        return "  ·  ".join((timeline_words.process(span.step), timeline_words.sentence(span.step)))
    generation = span.step.after
    name = _tr("Access token") if generation is None else _tr("Access token, generation {0}").format(generation)
    since = _tr("since {0}").format(absolute(moment_at(span.start)))
    lived = _tr("in force for {0}").format(duration(span.end - span.start))
    return "  ·  ".join((name, since, lived, _ended(span.ended_by)))


def _ended(step: TimelineStep | None) -> str:
    """What became of a token."""
    if step is None:
        return _tr("still in force")
    if step.kind is StepKind.SIGNED_OUT:
        return _tr("ended by signing out")
    if step.kind is StepKind.ENDED:
        return _tr("ended: {0}").format(timeline_words.why(step))
    if step.milliseconds is None or step.kind not in {StepKind.RENEWED, StepKind.UNSTORED}:
        return _tr("replaced")
    took = duration(step.milliseconds / 1000)
    return _tr("{0}, a new one was there after {1}").format(timeline_words.why(step), took)


def _tr(text: str) -> str:
    return QCoreApplication.translate("History", text)
