"""The steps of the timeline in plain words: what, why, by which process, from which generation to which.

The tables hold the words untranslated; the functions translate them (context `Step`). Names of servers and processes
come from outside: they are stripped of control characters and shortened.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.core.diagnostics.timeline import StepKind
from app.ui.theme.state import State, translated
from app.ui.translation import marked
from app.ui.widgets.times import absolute, due, duration, moment_at, relative

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.diagnostics.timeline import TimelineStep

LONGEST_NAME = 80
# Outcomes that add nothing to the word of the step.
SAID_ANYWAY = frozenset({"", "ok", "adopted"})

STEP_STATES: Mapping[StepKind, State] = {
    StepKind.UNDER_WAY: State("clock", marked("State", "In progress"), "info"),
    StepKind.RENEWED: State("check", marked("State", "Renewed"), "good"),
    StepKind.TAKEN_OVER: State("refresh", marked("State", "Taken over"), "muted"),
    StepKind.UNSTORED: State("warning", marked("State", "Renewed, not stored"), "attention"),
    StepKind.INTERRUPTED: State("warning", marked("State", "Interrupted"), "attention"),
    StepKind.REFUSED: State("cross", marked("State", "Refused for good"), "bad"),
    StepKind.CLIENT_UNKNOWN: State("question", marked("State", "Unknown client"), "attention"),
    StepKind.OFFLINE: State("offline", marked("State", "Offline"), "attention"),
    StepKind.NO_ANSWER: State("clock", marked("State", "No answer"), "attention"),
    StepKind.SERVER: State("warning", marked("State", "Server error"), "attention"),
    StepKind.THROTTLED: State("clock", marked("State", "Too many requests"), "attention"),
    StepKind.NOT_ACCEPTED: State("block", marked("State", "Not accepted"), "attention"),
    StepKind.KEYRING: State("lock", marked("State", "Keyring unavailable"), "attention"),
    StepKind.OVERTAKEN: State("sign-out", marked("State", "Signed out meanwhile"), "muted"),
    StepKind.SIGNED_IN: State("key", marked("State", "Signed in"), "good"),
    StepKind.SIGNED_IN_UNSTORED: State("key", marked("State", "Signed in, not stored"), "attention"),
    StepKind.SIGNED_OUT: State("sign-out", marked("State", "Signed out"), "muted"),
    StepKind.ENDED: State("cross", marked("State", "Sign-in ended"), "bad"),
}
# By the journal's names of causes. A cause of another version is shown as it is.
CAUSES: dict[str, str] = {
    "refused": marked("Step", "The server refused the old token"),
    "expired": marked("Step", "The old token had expired"),
    "ahead of expiry": marked("Step", "Before the old token expired"),
    "unfinished renewal": marked("Step", "Left unfinished earlier"),
    "noticed": marked("Step", "Another process renewed it"),
    "asked for": marked("Step", "Requested"),
    "asked": marked("Step", "Requested"),
    "browser": marked("Step", "In the browser"),
    "ticket": marked("Step", "By the workspace"),
    "personal API key": marked("Step", "With an API key"),
    "another window": marked("Step", "In another process"),
}
PROCESSES: dict[str, str] = {
    "window": marked("Step", "Window {0}"),
    "command line": marked("Step", "Command line {0}"),
    "proxy": marked("Step", "Proxy {0}"),
}


def what(step: TimelineStep) -> State:
    """Glyph, word and tone of a step. A kind without a word of its own has that of the journal."""
    known = STEP_STATES.get(step.kind)
    if known is not None:
        return translated(known)
    return State("question", printable(step.outcome or step.kind.value), "muted")


def when(step: TimelineStep) -> str:
    return relative(moment_at(step.at))


def why(step: TimelineStep) -> str:
    """Why it happened; of a refusal, who refused."""
    if step.target and step.cause == "refused":
        return _tr("{0} refused the old token").format(printable(step.target))
    known = CAUSES.get(step.cause)
    if known is not None:
        return _tr(known)
    cause = printable(step.cause)
    return cause[:1].upper() + cause[1:]


def why_exactly(step: TimelineStep) -> str:
    """The same, with the classifier's rule that matched the answer."""
    rule = _tr("rule {0}").format(printable(step.rule)) if step.rule else ""
    return ", ".join(part for part in (why(step), rule) if part)


def process(step: TimelineStep) -> str:
    """Which process did it: its role and process id."""
    return _tr("This window") if step.here else process_name(step.process)


def process_name(name: str) -> str:
    """A process by the journal's name for it."""
    role, _, number = name.rpartition(" ")
    known = PROCESSES.get(role)
    return _tr(known).format(printable(number)) if known is not None else printable(name)


def generations(step: TimelineStep) -> str:
    """Such as `4 → 5`."""
    return " → ".join(str(number) for number in (step.before, step.after) if number is not None)


def took(step: TimelineStep) -> str:
    return "" if step.milliseconds is None else duration(step.milliseconds / 1000)


def next_due(step: TimelineStep) -> str:
    """When the new token is, or was, due for renewal."""
    if step.renews_at is None:
        return ""
    moment = moment_at(step.renews_at)
    return due(moment) if moment > datetime.now(UTC) else relative(moment)


def sentence(step: TimelineStep) -> str:
    """Everything about a step on one line."""
    parts = [absolute(moment_at(step.at)), what(step).word, why_exactly(step)]
    if step.outcome.casefold() not in {*SAID_ANYWAY, what(step).word.casefold()}:
        parts.append(printable(step.outcome))
    if step.access:
        parts.append(_tr("new token {0}").format(step.access))
    if step.accepted:
        parts.append(_tr("accepted by a server"))
    if step.renews_at is not None:
        parts.append(_tr("next due {0}").format(absolute(moment_at(step.renews_at))))
    return "  ·  ".join(part for part in parts if part)


def printable(text: str) -> str:
    """One short line without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 2 * LONGEST_NAME]).split())
    return line if len(line) <= LONGEST_NAME else f"{line[: LONGEST_NAME - 1]}…"


def _tr(text: str) -> str:
    return QCoreApplication.translate("Step", text)
