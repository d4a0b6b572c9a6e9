"""Messages that wait to be sent to an agent, and why they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.core.errors import BurrowError, Offline, SignInNeeded, VaultTrouble
from app.core.runs.follow_status import ENDED, FAILED, LIVE
from app.core.runs.follow_status import WAITING as FOLLOWER_WAITS
from app.core.runs.items import Prompt
from app.core.storage.follow_ups import WAITING, FollowUp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.posthog.types import TaskRun
    from app.core.runs.follow_status import FollowStatus
    from app.core.runs.items import SessionState
    from app.core.runs.transcript import Transcript
    from app.core.storage.attachments import Attachment

# The clocks of this machine and of the agent's may differ, in seconds.
CLOCK_DIFFERENCE = 120.0
# As many of the newest prompts are looked through for a message that may have arrived.
LOOKED_THROUGH = 10
IN_PROGRESS = "in_progress"
# The reasons why messages wait (`Hold`).
OFFLINE, SIGN_IN, CONNECTING, STARTING, TURN = "offline", "sign_in", "connecting", "starting", "turn"
UNSENT, NEVER_STARTED, LATER_RUN, TROUBLE = "unsent", "never_started", "later_run", "trouble"


class Queued(NamedTuple):
    """A message that is not in the transcript yet.

    `state`: `waiting`, `sending`, `sent`; `unknown` where it may have arrived, to be sent again or removed by the user;
    or `refused` with the `error`. It can be edited while it waits or was refused.
    """

    id: str
    text: str
    files: tuple[Attachment, ...] = ()
    steer: bool = False
    state: str = WAITING
    error: BurrowError | None = None


class Hold(NamedTuple):
    """Why messages wait.

    `reason`: empty while nothing holds them; `offline`, `sign_in`, `connecting`, `starting`, `turn`, `unsent` (an
    earlier one needs the user), `never_started` (the run failed before its agent was there), `later_run` (they are for
    a later run of the task), or `trouble`.
    """

    reason: str = ""
    error: BurrowError | None = None


def as_queued(item: FollowUp, error: BurrowError | None) -> Queued:
    return Queued(item.id, item.text, item.files, item.steer, item.state, error)


def is_reached(status: FollowStatus) -> bool:
    """Whether the server was reached when it was asked last."""
    return status.kind not in {FOLLOWER_WAITS, FAILED}


def hold_of(run: TaskRun | None, status: FollowStatus, state: SessionState, *, awaits_turn: bool) -> Hold:
    """Why nothing can be sent to a run now. `awaits_turn`: the turn of what was sent last has not begun yet."""
    if run is None or not is_reached(status):
        return Hold(CONNECTING) if status.error is None else Hold(reason_of(status.error), status.error)
    if run.finished:
        if status.kind != ENDED:
            return Hold(CONNECTING)
        return Hold(NEVER_STARTED) if run.status == "failed" and not state.accepts else Hold()
    if run.status != IN_PROGRESS or not state.accepts:
        # Before the agent is there, a message would race the first prompt.
        return Hold(STARTING)
    if status.kind != LIVE:
        return Hold(CONNECTING)
    return Hold(TURN) if state.busy or awaits_turn else Hold()


def reason_of(error: BurrowError) -> str:
    if isinstance(error, SignInNeeded | VaultTrouble):
        return SIGN_IN
    return OFFLINE if isinstance(error, Offline) else TROUBLE


def arrived(transcript: Transcript, doubtful: Sequence[FollowUp]) -> list[str]:
    """The ids of those that are in the log after all."""
    if not doubtful:
        return []
    prompts = newest_prompts(transcript)
    return [each.id for each in doubtful if any(says(prompt, each.text, each.created_at) for prompt in prompts)]


def newest_prompts(transcript: Transcript) -> list[Prompt]:
    """Those that are looked through for a message, in their order."""
    found = [transcript.item(index) for index in transcript.turns()[-LOOKED_THROUGH:]]
    return [each for each in found if isinstance(each, Prompt)]


def says(prompt: Prompt, text: str, since: float = 0.0) -> bool:
    """Whether a prompt has a message in it that was written at `since`. Several may have been sent as one."""
    said = text.strip()
    if not said or said not in prompt.text:
        return False
    return prompt.at is None or prompt.at.timestamp() >= since - CLOCK_DIFFERENCE
