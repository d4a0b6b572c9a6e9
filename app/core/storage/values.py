"""The values that storage hands out.

Named tuples, as in all that is imported before the first paint: a dataclass takes ten times as long to define.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Scope(NamedTuple):
    """Whose data it is: a host's key and the account's key on it (docs/wire.md, "Rules for a client's sign-in")."""

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


class GrantEvent(NamedTuple):
    """One thing that happened to a credential's grant: a refresh, a sign-in or a sign-out. Holds fingerprints only.

    `credential` is the text of its key (`auth/key.py`).
    `what` is `renewal`, `signed in`, `signed out` or `ended`; `cause`, `target` and `rule` say why. `at` is in unix
    seconds, `boot` in seconds of this boot (`core/clock.py`). `generation` and `refresh` are of the token that the
    event was about, `access` of the one it brought. While `open`, a refresh token may have been spent whose successor
    nobody has stored. `renews_at` is in unix seconds; `accepted` says that a server took the new access token.
    """

    number: int
    credential: str
    what: str
    cause: str
    target: str
    rule: str
    process: str
    at: float
    boot: float
    generation: int
    refresh: str
    access: str = ""
    outcome: str = ""
    open: bool = False
    milliseconds: float | None = None
    renews_at: float | None = None
    accepted: bool = False
