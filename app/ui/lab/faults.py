"""What a person can break in a workspace, as a table: words, and the call that does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.ui.translation import marked

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from app.core.lab import Lab


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
        marked("Lab", "Kill the access token"),
        marked("Lab", "The next request is refused, renewed once and repeated. Nothing is shown."),
        lambda lab: lab.kill_access_token(),
    ),
    Fault(
        "expire",
        marked("Lab", "Expire it by the clock"),
        marked("Lab", "The workspace's clock jumps eight days ahead. The same happens."),
        lambda lab: lab.expire(WEEK_AND_A_DAY),
    ),
    Fault(
        "busy",
        marked("Lab", "Token endpoint busy twice"),
        marked("Lab", "The token dies and its renewal meets two 503 answers. It is tried a third time."),
        lambda lab: _kill_with(lab, status=503, body=UNAVAILABLE, times=2),
    ),
    Fault(
        "throttled",
        marked("Lab", "Token endpoint asks to wait"),
        marked("Lab", "The renewal meets a 429 with three seconds to wait. A word appears after two."),
        lambda lab: _kill_with(lab, status=429, body={"detail": "Slow down."}, headers={"Retry-After": "3"}),
    ),
    Fault(
        "lost",
        marked("Lab", "Lose the renewal's answer"),
        marked("Lab", "The new token is issued but never arrives. Asking again brings the same one."),
        lambda lab: _kill_with(lab, drop="after_commit"),
    ),
    Fault(
        "slow",
        marked("Lab", "Slow answers"),
        marked("Lab", "Every answer takes two seconds until the faults are lifted. The window stays quick."),
        lambda lab: lab.slow(2.0),
    ),
    Fault(
        "drop",
        marked("Lab", "Drop a connection"),
        marked("Lab", "The next reading of tasks loses its connection and is asked again."),
        lambda lab: lab.path_fault("/api/projects/*", method="GET", drop="before_commit"),
    ),
    Fault(
        "revoke",
        marked("Lab", "Revoke the grant"),
        marked("Lab", "Nothing can renew it: the one bar asks to sign in again, and drafts stay."),
        lambda lab: lab.revoke_grant(),
        ends_session=True,
    ),
)


async def _kill_with(lab: Lab, **answer: Any) -> None:
    await lab.token_endpoint(**answer)
    await lab.kill_access_token()
