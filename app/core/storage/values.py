"""The values that storage hands out.

Named tuples, as in all that is imported before the first paint: a dataclass takes ten times as long to define.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Scope(NamedTuple):
    """Whose data it is: a host's key and the account's key on it (contract section 1.13)."""

    host: str
    account: str


class Draft(NamedTuple):
    """What a person was typing. `saved_at` is in unix seconds."""

    kind: str
    id: str
    fields: dict[str, str]
    saved_at: float


class OutboxItem(NamedTuple):
    """Something to send. `state` is the sender's own word, `waiting` at first; `created_at` is in unix seconds."""

    id: str
    kind: str
    payload: dict[str, Any]
    created_at: float
    state: str


class Cached(NamedTuple):
    """A server's answer as it was kept. `stored_at` is in unix seconds."""

    payload: bytes
    stored_at: float


class ActivityRow(NamedTuple):
    """One line of the activity as it is kept: `at` in unix seconds, `detail` of JSON values."""

    id: str
    at: float
    kind: str
    target: str
    summary: str
    status: str
    milliseconds: float | None
    detail: dict[str, Any]
