"""What `burrow status` says: who is signed in where, and with --verbose how the sign-in came to stand as it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.auth.status import CredentialState
from app.core.diagnostics import report
from app.core.diagnostics.snapshot import snapshot_of
from app.terminal import printable

if TYPE_CHECKING:
    from app.core.backend import Backend

SHOWN_STEPS = 20
SHORT = ("host", "origin", "state", "account", "project", "store", "trouble", "reason")


def record_of(backend: Backend) -> dict[str, Any]:
    """The short status as JSON values."""
    everything = report.facts(snapshot_of(backend))
    short = {name: everything[name] for name in SHORT}
    return short if short["state"] != CredentialState.SIGNED_IN.value else short | {"reason": None}


def lines_of(backend: Backend) -> list[str]:
    """The short status as aligned lines."""
    return [f"{name:<8} {printable(value)}" for name, value in record_of(backend).items() if value is not None]


async def full_record_of(backend: Backend, limit: int) -> dict[str, Any]:
    """Everything as JSON values, the newest of at most `limit` steps last."""
    steps = await backend.timeline.recent(limit)
    return report.facts(snapshot_of(backend)) | {"timeline": [report.record(step) for step in reversed(steps)]}


async def full_lines_of(backend: Backend, limit: int) -> list[str]:
    """Everything as aligned lines, the newest of at most `limit` steps last."""
    return report.text(snapshot_of(backend), await backend.timeline.recent(limit)).splitlines()
