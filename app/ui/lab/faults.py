"""The faults that can be set on a workspace: words, and the call that sets each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.ui.lab.fault import Fault
from app.ui.lab.run_faults import RUN_FAULTS
from app.ui.translation import marked

if TYPE_CHECKING:
    from app.core.lab import Lab


UNAVAILABLE = {"error": "temporarily_unavailable", "error_description": "Please retry."}
# An access token lives a week (docs/wire.md, "Token lifetimes and rotation").
WEEK_AND_A_DAY = 8 * 24 * 3600.0


SIGN_IN_FAULTS: tuple[Fault, ...] = (
    Fault(
        "kill",
        marked("Lab", "Kill the access token"),
        marked(
            "Lab",
            "The next request is refused. Burrow renews the token once and repeats the request. You see nothing of it.",
        ),
        lambda lab: lab.kill_access_token(),
    ),
    Fault(
        "expire",
        marked("Lab", "Expire the access token"),
        marked("Lab", "The workspace's clock jumps eight days ahead. What follows is the same."),
        lambda lab: lab.expire(WEEK_AND_A_DAY),
    ),
    Fault(
        "busy",
        marked("Lab", "Token endpoint busy twice"),
        marked("Lab", "The access token is killed, and the renewal gets two 503 answers. Burrow tries a third time."),
        lambda lab: _kill_with(lab, status=503, body=UNAVAILABLE, times=2),
    ),
    Fault(
        "throttled",
        marked("Lab", "Token endpoint asks to wait"),
        marked("Lab", "The renewal gets a 429 that asks to wait three seconds. After two, the status corner says so."),
        lambda lab: _kill_with(lab, status=429, body={"detail": "Slow down."}, headers={"Retry-After": "3"}),
    ),
    Fault(
        "lost",
        marked("Lab", "Lose the renewal's answer"),
        marked("Lab", "The new token is issued, but the answer is lost. Asking again returns the same token."),
        lambda lab: _kill_with(lab, drop="after_commit"),
    ),
    Fault(
        "slow",
        marked("Lab", "Slow answers"),
        marked("Lab", "Every answer takes two seconds until you clear the faults. The window stays responsive."),
        lambda lab: lab.slow(2.0),
    ),
    Fault(
        "drop",
        marked("Lab", "Drop a connection"),
        marked("Lab", "The next request for tasks loses its connection and is sent again."),
        lambda lab: lab.path_fault("/api/projects/*", method="GET", drop="before_commit"),
    ),
    Fault(
        "revoke",
        marked("Lab", "Revoke the grant"),
        marked("Lab", "It cannot be renewed: the bar asks you to sign in again. Drafts are kept."),
        lambda lab: lab.revoke_grant(),
        ends_session=True,
    ),
)
# Under their headings.
GROUPS = (
    (marked("Lab", "Sign-in and requests"), SIGN_IN_FAULTS),
    (marked("Lab", "Cloud runs"), RUN_FAULTS),
)
FAULTS = tuple(fault for _, faults in GROUPS for fault in faults)


async def _kill_with(lab: Lab, **answer: Any) -> None:
    # The fault first: once the token is dead, it may be refreshed at any moment.
    await lab.token_endpoint(**answer)
    await lab.kill_access_token()
