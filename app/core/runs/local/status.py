"""How a local run stands, for the window."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from app.acp.messages import RpcError
from app.core.errors import BurrowError
from app.core.posthog.types import Value
from app.core.redaction import mask_credentials
from app.core.runs.local.facts import SignInHint

if TYPE_CHECKING:
    from collections.abc import Iterable

# Of what an error says beside its message.
LONGEST_DETAILS = 1_000


class RunPhase(Enum):
    """`FORGOTTEN`: the agent cannot go on with its session; nothing is sent to it before the person decided.

    `STOPPING`: the person stopped the turn, and the agent has not confirmed it. `ENDED`: the agent's process is over.
    """

    NEW = "new"
    STARTING = "starting"
    FORGOTTEN = "forgotten"
    READY = "ready"
    WORKING = "working"
    STOPPING = "stopping"
    ENDED = "ended"
    FAILED = "failed"


class LocalStatus(Value, frozen=True, kw_only=True):
    """`text` says what happened, `advice` what can be done. `stderr` are the agent's last lines of standard error.

    `sign_in` are the ways to sign in that the agent offers, when it wants that. With `held`, the messages that wait are
    sent with the next one only.
    """

    phase: RunPhase = RunPhase.NEW
    text: str = ""
    advice: str = ""
    stderr: tuple[str, ...] = ()
    sign_in: tuple[SignInHint, ...] = ()
    held: bool = False


class WaitingPrompt(Value, frozen=True):
    """A message that has not been sent. `files` are paths or addresses of what goes with it."""

    id: int
    text: str
    files: tuple[str, ...] = ()


def together(texts: Iterable[str]) -> str:
    """The text of messages that are sent as one."""
    return "\n\n".join(texts)


def words_of(failure: BaseException) -> str:
    """What a failure says, without credentials."""
    if isinstance(failure, BurrowError):
        return failure.cause
    said = _said(failure) if isinstance(failure, RpcError) else str(failure)
    return mask_credentials(said) or "The agent did not answer in time."


def _said(failure: RpcError) -> str:
    """The message, with the details beside it: what libraries make of an exception has its reason there only."""
    match failure.data:
        case {"details": str(details)} | {"message": str(details)} | str(details):
            details = details.strip()[:LONGEST_DETAILS]
        case _:
            details = ""
    return f"{failure.message}: {details}" if details and details not in failure.message else failure.message
