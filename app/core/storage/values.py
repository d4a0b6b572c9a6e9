"""The values of the storage.

Named tuples, as in everything that is imported before the first paint: a dataclass takes ten times as long to define.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Scope(NamedTuple):
    """The owner of data: a host's key and the account's key there (docs/wire.md, "Rules for a client's sign-in")."""

    host: str
    account: str


class Draft(NamedTuple):
    """What the user was typing. `saved_at` is in Unix seconds.

    `copy` tells apart what several processes typed into one draft. While it is `held_elsewhere`, another process that
    lives has it open.
    """

    kind: str
    id: str
    fields: dict[str, str]
    saved_at: float
    copy: str = ""
    held_elsewhere: bool = False


class OutboxItem(NamedTuple):
    """A change to send. `state` is defined by the sender, at first `waiting`. `created_at` is in Unix seconds.

    While it is `claimed_elsewhere`, another process that lives is about to send it.
    """

    id: str
    kind: str
    payload: dict[str, Any]
    created_at: float
    state: str
    claimed_elsewhere: bool = False


class RaisedPolicy(NamedTuple):
    """A tool that is allowed for one call, and the approval state that it is to have again after that."""

    number: int
    project: int
    server: str
    tool: str
    former: str


class Cached(NamedTuple):
    """A server's answer as it was stored. `stored_at` is in Unix seconds."""

    payload: bytes
    stored_at: float


class ActivityRow(NamedTuple):
    """One row of the activity record. `at` is in Unix seconds, `detail` consists of JSON values."""

    id: str
    at: float
    kind: str
    target: str
    summary: str
    status: str
    milliseconds: float | None
    detail: dict[str, Any]


class GrantEvent(NamedTuple):
    """One thing that happened to a credential's grant: a refresh, a sign-in, a sign-out or its end.

    The names of the fields are those of the columns. It has fingerprints of tokens, never tokens.

    - `credential` is the text of the credential's key (`auth/key.py`).
    - `what` is `renewal`, `signed in`, `signed out` or `ended`. `cause`, `target` and `rule` say why.
    - `at` is in Unix seconds, `boot` in seconds since boot (`core/clock.py`).
    - `generation` and `refresh` are those of the tokens that the event was about, `access` that of the new ones.
    - While `open`, the refresh token may be spent and no new one is stored.
    - `renews_at` is when the new access token is due for a refresh, in Unix seconds.
    - `accepted` says that a server accepted the new access token.
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
