"""SentMessages: messages that an agent was given, until its log has them.

They stay stored until then. A run may fail before its agent has read what it begins with, a server may be killed with a
message that it has accepted, and Burrow may end before either is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.core.errors import BurrowError, NotFound
from app.core.runs.follow_status import ENDED, LIVE
from app.core.runs.queued import arrived, newest_prompts, says
from app.core.storage.follow_ups import SENT, UNKNOWN, WAITING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.clock import Clock
    from app.core.posthog.runs import Runs
    from app.core.posthog.types import TaskRun
    from app.core.runs.follower import RunFollower
    from app.core.storage.follow_ups import FollowUp, FollowUps

# How long an agent that has nothing to do may take until its log has a message. After that it counts as arrived: a
# server need not log a message as it was sent.
LOG_SECONDS = 60.0
COMPLETED, FAILED = "completed", "failed"
# What becomes of a message: it stays, it has arrived, or it is given back in a state of `FollowUps`.
STAYS, ARRIVED = "stays", "arrived"


class _Mark(NamedTuple):
    """When a message was sent: by the clock, and in which turn; None where an earlier process sent it."""

    at: float
    turn: int | None = None


class SentMessages:
    """Those of the task of `follower`. Methods raise `StorageTrouble`."""

    def __init__(self, follower: RunFollower, runs: Runs, follow_ups: FollowUps, clock: Clock) -> None:
        self._follower, self._runs, self._follow_ups, self._clock = follower, runs, follow_ups, clock
        # By message.
        self._marks: dict[str, _Mark] = {}
        # Since when the agent has nothing to do. While it works, a server may keep messages for after that.
        self._idle_since: float | None = None
        # By other run: when it was asked for last.
        self._asked: dict[str, float] = {}

    def awaited(self, rows: Sequence[FollowUp]) -> bool:
        """Whether the turn of one of these messages has not begun yet. One that steers begins none."""
        here, now = self._follower.run_id, self._follower.transcript.state.turn
        sent = (each for each in rows if each.state == SENT and each.run == here and not each.steer)
        turns = [self._marks.get(each.id, _Mark(0.0)).turn for each in sent]
        return any(turn is None or turn >= now for turn in turns)

    async def begin(self, ids: Sequence[str], run: str, turn: int) -> None:
        """The agent of `run` was given these messages, or will be when it is there; `turn` is the one before them."""
        self._marks.update(dict.fromkeys(ids, _Mark(self._clock.boot(), turn)))
        await self._follow_ups.begin(ids, run)

    def logged(self, message: FollowUp) -> bool:
        """Whether a sent message is in the log of the run that is followed."""
        if message.state != SENT or message.run != self._follower.run_id:
            return False
        transcript, mark = self._follower.transcript, self._marks.get(message.id)
        if mark is None or mark.turn is None:
            return bool(arrived(transcript, [message]))
        if not message.text.strip():
            return transcript.state.turn > mark.turn
        first = mark.turn if message.steer else mark.turn + 1
        return any(prompt.turn >= first and says(prompt, message.text) for prompt in newest_prompts(transcript))

    async def settle(self, rows: Sequence[FollowUp]) -> bool:
        """Remove what has arrived, and give back what has not. Returns whether there was any."""
        fates: dict[str, list[str]] = {}
        for run in dict.fromkeys(each.run for each in rows if each.state == SENT):
            some = [each for each in rows if each.state == SENT and each.run == run]
            if run == self._follower.run_id:
                for each in some:
                    fates.setdefault(self._fate_here(each), []).append(each.id)
            else:
                fates.setdefault(await self._fate_elsewhere(run, some), []).extend(each.id for each in some)
        fates.pop(STAYS, None)
        for fate, ids in fates.items():
            await (self._follow_ups.finish(ids) if fate == ARRIVED else self._follow_ups.give_back(ids, fate))
            for id in ids:  # noqa: A001
                self._marks.pop(id, None)
        return bool(fates)

    def _fate_here(self, message: FollowUp) -> str:
        """Of a message to the run that is followed."""
        run, state, kind = self._follower.run, self._follower.transcript.state, self._follower.now.kind
        if self.logged(message):
            return ARRIVED
        if run is not None and kind == ENDED:
            # Of an agent that was there, it may have the message, and have ended before it was logged.
            return UNKNOWN if state.accepts else _fate_after(run)
        now = self._clock.boot()
        mark = self._marks.setdefault(message.id, _Mark(now))
        if kind != LIVE or not state.accepts or state.busy:
            self._idle_since = None
            return STAYS
        self._idle_since = now if self._idle_since is None else self._idle_since
        return ARRIVED if now - max(self._idle_since, mark.at) >= LOG_SECONDS else STAYS

    async def _fate_elsewhere(self, run_id: str, some: Sequence[FollowUp]) -> str:
        """Of messages to another run: one before the run that is followed, or one that goes on from it.

        While it is under way, whoever follows that one knows.
        """
        now = self._clock.boot()
        if self._asked.get(run_id, 0.0) > now - LOG_SECONDS or self._follower.now.kind not in {LIVE, ENDED}:
            return STAYS
        self._asked[run_id] = now
        if len(arrived(self._follower.transcript, some)) == len(some):
            return ARRIVED
        try:
            run = await self._runs.get(self._follower.task, run_id)
        except NotFound:
            return UNKNOWN
        except BurrowError:
            return STAYS
        # Nobody knows here whether its agent was there.
        return STAYS if not run.finished else ARRIVED if run.status == COMPLETED else UNKNOWN


def _fate_after(run: TaskRun) -> str:
    """Of messages that a run was to begin with that ended before its agent was there."""
    if run.status == FAILED:
        return WAITING
    # Whoever cancelled it need not want them to start another one.
    return ARRIVED if run.status == COMPLETED else UNKNOWN
