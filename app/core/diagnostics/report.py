"""Report: the status and timeline of a sign-in as plain text or JSON values, without secrets.

The command line prints it and the window copies it, for bug reports. The names and values of the JSON are an interface:
scripts read them.
"""

from __future__ import annotations

from datetime import datetime
from itertools import zip_longest
from math import isinf
from typing import TYPE_CHECKING, Any

from app.core.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.core.diagnostics.snapshot import SignInSnapshot
    from app.core.diagnostics.timeline import TimelineStep

COLUMNS = ("when", "what", "generation", "brought", "took", "by", "next due", "why")
RIGHT_ALIGNED = frozenset({"took"})
GAP = "  "


def iso(seconds: float | None) -> str | None:
    """Unix seconds as local time with the UTC offset (ISO 8601); None for a moment that is not known."""
    return (
        None
        if seconds is None or isinf(seconds)
        else datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
    )


def _renews(snapshot: SignInSnapshot) -> str | None:
    if snapshot.works_until is not None:
        until = iso(snapshot.works_until) or "a server refuses it"
        return f"never: it could not be renewed; works until {until}"
    return iso(snapshot.renews_at) if snapshot.refreshable else "never: it is an API key"


def describe_skew(skew: float) -> str | None:
    """How far this computer's clock is behind or ahead of the server's; None when it is right."""
    if not skew:
        return None
    return f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the server's"


def why(step: TimelineStep) -> str:
    """Why it happened, with the classifier's rule if there was one."""
    cause = f"{step.cause} by {step.target}" if step.target else step.cause
    return f"{cause} ({step.rule})" if step.rule else cause


def generations(step: TimelineStep) -> str:
    """The generations before and after, for example `4 -> 5`."""
    return " -> ".join(str(number) for number in (step.before, step.after) if number is not None)


def facts(snapshot: SignInSnapshot) -> dict[str, Any]:
    """The status as JSON values."""
    return {
        "host": snapshot.host,
        "origin": snapshot.origin,
        "state": snapshot.state,
        "account": snapshot.account,
        "project": snapshot.project,
        "store": snapshot.store,
        "persistent": snapshot.persistent,
        "trouble": snapshot.trouble,
        "reason": snapshot.reason,
        "issued_at": iso(snapshot.issued_at),
        "renews_at": iso(snapshot.renews_at),
        "renewable": snapshot.refreshable and snapshot.works_until is None,
        "works_until": iso(snapshot.works_until),
        "token": snapshot.token or None,
        "generation": snapshot.generation or None,
        "clock_skew_seconds": round(snapshot.skew, 1),
        "scopes": list(snapshot.scopes),
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


def fact_lines(snapshot: SignInSnapshot) -> list[str]:
    """The status as aligned lines, without those that are empty."""
    number = f"generation {snapshot.generation}" if snapshot.generation else ""
    rows = {
        "host": snapshot.host,
        "origin": snapshot.origin,
        "state": snapshot.state,
        "account": snapshot.account,
        "project": snapshot.project,
        "store": snapshot.store,
        "persistent": "yes" if snapshot.persistent else "no, it ends with this process",
        "trouble": snapshot.trouble,
        "reason": snapshot.reason,
        "issued": iso(snapshot.issued_at),
        "renews": _renews(snapshot),
        "token": ", ".join(part for part in (snapshot.token, number) if part),
        "clock": describe_skew(snapshot.skew),
        "granted": " ".join(snapshot.scopes),
    }
    width = max(map(len, rows))
    return [f"{name:<{width}}{GAP}{_plain(value)}" for name, value in rows.items() if value]


def step_lines(steps: Sequence[TimelineStep]) -> list[str]:
    """The steps as an aligned table with a heading, in the given order; empty when there are none."""
    if not steps:
        return []
    table = [COLUMNS, *(_cells(step) for step in steps)]
    widths = [max(map(len, column)) for column in zip_longest(*table, fillvalue="")]
    return [_line(row, widths) for row in table]


def text(snapshot: SignInSnapshot, steps: Sequence[TimelineStep]) -> str:
    """The whole report as text, the newest step last."""
    lines = [*fact_lines(snapshot), "", *(step_lines(tuple(reversed(steps))) or ["Nothing has happened yet."])]
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
    return GAP.join(
        f"{cell:>{width}}" if name in RIGHT_ALIGNED else f"{cell:<{width}}" for name, cell, width in cells
    ).rstrip()


def _plain(value: str) -> str:
    """`value` on one line, without control characters and secrets."""
    # Servers choose parts of the text. Control characters could change what a terminal shows.
    return "".join(character if character.isprintable() else " " for character in redact_text(value))
