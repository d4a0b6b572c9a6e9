"""Report: a sign-in's standing and its timeline as plain English text, or as JSON values. Without secrets.

The command line prints it and the window copies it, so that both can be pasted into a bug report.
"""

from __future__ import annotations

from datetime import datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from app.core.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.core.diagnostics.snapshot import SignInSnapshot
    from app.core.diagnostics.timeline import TimelineStep

COLUMNS = ("when", "what", "generation", "brought", "took", "by", "next due", "why")
RIGHT = frozenset({"took"})
GAP = "  "


def iso(seconds: float | None) -> str | None:
    """Unix seconds as local time with its offset."""
    return None if seconds is None else datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def skew_words(skew: float) -> str | None:
    """How this computer's clock stands to the server's; None when it is right."""
    if not skew:
        return None
    return f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the server's"


def why(step: TimelineStep) -> str:
    """Why it happened, with the rule of the classifier that judged the answer."""
    words = f"{step.cause} by {step.target}" if step.target else step.cause
    return f"{words} ({step.rule})" if step.rule else words


def generations(step: TimelineStep) -> str:
    """Such as `4 -> 5`."""
    return " -> ".join(str(number) for number in (step.before, step.after) if number is not None)


def facts(standing: SignInSnapshot) -> dict[str, Any]:
    """The standing as JSON values."""
    return {
        "host": standing.host,
        "origin": standing.origin,
        "state": standing.state,
        "account": standing.account,
        "project": standing.project,
        "store": standing.store,
        "persistent": standing.persistent,
        "trouble": standing.trouble,
        "reason": standing.reason,
        "issued_at": iso(standing.issued_at),
        "renews_at": iso(standing.renews_at),
        "renewable": standing.refreshable,
        "token": standing.token or None,
        "generation": standing.generation or None,
        "clock_skew_seconds": round(standing.skew, 1),
        "scopes": list(standing.scopes),
    }


def record(step: TimelineStep) -> dict[str, Any]:
    """A step as JSON values."""
    return {
        "at": iso(step.at),
        "what": step.kind.value,
        "outcome": step.outcome,
        "cause": step.cause,
        "target": step.target or None,
        "rule": step.rule or None,
        "process": step.process,
        "generation_before": step.before,
        "generation_after": step.after,
        "refresh_token": step.refresh or None,
        "access_token": step.access or None,
        "milliseconds": None if step.milliseconds is None else round(step.milliseconds, 1),
        "renews_at": iso(step.renews_at),
        "accepted": step.accepted,
    }


def fact_lines(standing: SignInSnapshot) -> list[str]:
    """The standing as aligned lines; what there is nothing to say of is left out."""
    number = f"generation {standing.generation}" if standing.generation else ""
    rows = {
        "host": standing.host,
        "origin": standing.origin,
        "state": standing.state,
        "account": standing.account,
        "project": standing.project,
        "store": standing.store,
        "persistent": "yes" if standing.persistent else "no, it ends with this process",
        "trouble": standing.trouble,
        "reason": standing.reason,
        "issued": iso(standing.issued_at),
        "renews": iso(standing.renews_at) if standing.refreshable else "never: it is an API key",
        "token": ", ".join(part for part in (standing.token, number) if part),
        "clock": skew_words(standing.skew),
        "granted": " ".join(standing.scopes),
    }
    width = max(map(len, rows))
    return [f"{name:<{width}}{GAP}{_plain(value)}" for name, value in rows.items() if value]


def step_lines(steps: Sequence[TimelineStep]) -> list[str]:
    """The steps as an aligned table in the order given, with a heading; nothing when there are none."""
    if not steps:
        return []
    table = [COLUMNS, *(_cells(step) for step in steps)]
    widths = [max(map(len, column)) for column in zip_longest(*table, fillvalue="")]
    return [_line(row, widths) for row in table]


def text(standing: SignInSnapshot, steps: Sequence[TimelineStep]) -> str:
    """All of it, the newest step last."""
    lines = [*fact_lines(standing), "", *(step_lines(tuple(reversed(steps))) or ["Nothing has happened yet."])]
    return "\n".join(lines) + "\n"


def _cells(step: TimelineStep) -> tuple[str, ...]:
    cells = (
        iso(step.at),
        step.kind.value if step.kind.value != "other" else step.outcome,
        generations(step),
        step.access,
        "" if step.milliseconds is None else f"{step.milliseconds:.0f} ms",
        step.process,
        iso(step.renews_at),
        why(step),
    )
    return tuple(_plain(cell or "") for cell in cells)


def _line(row: Iterable[str], widths: Sequence[int]) -> str:
    cells = zip(COLUMNS, row, widths, strict=True)
    return GAP.join(f"{cell:>{width}}" if name in RIGHT else f"{cell:<{width}}" for name, cell, width in cells).rstrip()


def _plain(value: str) -> str:
    """One line without control characters and without what looks like a secret."""
    return "".join(character if character.isprintable() else " " for character in redact_text(value))
