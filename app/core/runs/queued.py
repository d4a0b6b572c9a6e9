"""Messages that wait to be sent to an agent, and why they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.core.errors import BurrowError, Offline, SignInNeeded, VaultTrouble
from app.core.runs.items import Prompt
from app.core.storage.follow_ups import WAITING, FollowUp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.runs.follow_status import FollowStatus
    from app.core.runs.transcript import Transcript
    from app.core.storage.attachments import Attachment

# The clocks of this machine and of the agent's may differ, in seconds.
CLOCK_DIFFERENCE = 120.0
# As many of the newest prompts are looked through for a message that may have arrived.
LOOKED_THROUGH = 10
# The reasons why messages wait (`Hold`).
OFFLINE, SIGN_IN, CONNECTING, STARTING, TURN = "offline", "sign_in", "connecting", "starting", "turn"
UNSENT, NEVER_STARTED, TROUBLE = "unsent", "never_started", "trouble"


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
    earlier one needs the user), `never_started` (the run failed before its agent was there), or `trouble`.
    """

    reason: str = ""
    error: BurrowError | None = None


def as_queued(item: FollowUp, error: BurrowError | None) -> Queued:
    return Queued(item.id, item.text, item.files, item.steer, item.state, error)


def hold_of(status: FollowStatus) -> Hold:
    if status.error is None:
        return Hold(CONNECTING)
    return Hold(reason_of(status.error), status.error)


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
