"""What a person can break in a workspace, as a table: words, and the call that does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QT_TRANSLATE_NOOP

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from app.core.lab import Lab


def _words(text: str) -> str:
    """Marks a text for translation, which happens where it is shown."""
    return str(QT_TRANSLATE_NOOP("Lab", text))


UNAVAILABLE = {"error": "temporarily_unavailable", "error_description": "Please retry."}
WEEK_AND_A_DAY = 8 * 24 * 3600.0


@dataclass(frozen=True)
class Fault:
    """`expected` says what should be seen when Burrow heals it, so that a person can judge for themselves."""

    key: str
    title: str
    expected: str
    act: Callable[[Lab], Coroutine[Any, Any, object]]
    ends_session: bool = False


FAULTS: tuple[Fault, ...] = (
    Fault(
        "kill",
        _words("Kill the access token"),
        _words("The next request is refused, renewed once and repeated. Nothing is shown."),
        lambda lab: lab.kill_access_token(),
    ),
    Fault(
        "expire",
        _words("Expire it by the clock"),
        _words("The workspace's clock jumps eight days ahead. The same happens."),
        lambda lab: lab.expire(WEEK_AND_A_DAY),
    ),
    Fault(
        "busy",
        _words("Token endpoint busy twice"),
        _words("The token dies and its renewal meets two 503 answers. It is tried a third time."),
        lambda lab: _kill_with(lab, status=503, body=UNAVAILABLE, times=2),
    ),
    Fault(
        "throttled",
        _words("Token endpoint asks to wait"),
        _words("The renewal meets a 429 with three seconds to wait. A word appears after two."),
        lambda lab: _kill_with(lab, status=429, body={"detail": "Slow down."}, headers={"Retry-After": "3"}),
    ),
    Fault(
        "lost",
        _words("Lose the renewal's answer"),
        _words("The new token is issued but never arrives. Asking again brings the same one."),
        lambda lab: _kill_with(lab, drop="after_commit"),
    ),
    Fault(
        "slow",
        _words("Slow answers"),
        _words("Every answer takes two seconds until the faults are lifted. The window stays quick."),
        lambda lab: lab.slow(2.0),
    ),
    Fault(
        "drop",
        _words("Drop a connection"),
        _words("The next reading of tasks loses its connection and is asked again."),
        lambda lab: lab.path_fault("/api/projects/*", method="GET", drop="before_commit"),
    ),
    Fault(
        "revoke",
        _words("Revoke the grant"),
        _words("Nothing can renew it: the one bar asks to sign in again, and drafts stay."),
        lambda lab: lab.revoke_grant(),
        ends_session=True,
    ),
)


async def _kill_with(lab: Lab, **answer: Any) -> None:
    await lab.token_endpoint(**answer)
    await lab.kill_access_token()
