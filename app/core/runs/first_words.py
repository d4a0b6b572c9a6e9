"""FirstWords: the messages that runs begin with, from the start of the run until its agent has them.

They stay stored until then: a run may fail before its agent is there, and Burrow may end before that is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.errors import BurrowError, NotFound
from app.core.runs.follow_status import ENDED, LIVE
from app.core.runs.queued import arrived
from app.core.storage.follow_ups import SENT, UNKNOWN, WAITING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.clock import Clock
    from app.core.posthog.runs import Runs
    from app.core.posthog.types import TaskRun
    from app.core.runs.follower import RunFollower
    from app.core.storage.follow_ups import FollowUp, FollowUps

# How long the first turn of an agent that is there is waited for.
TURN_SECONDS = 60.0
COMPLETED, FAILED = "completed", "failed"
# What becomes of a message: it stays, it has arrived, or it is given back in a state of `FollowUps`.
STAYS, ARRIVED = "stays", "arrived"


class FirstWords:
    """Those of the task of `follower`. Methods raise `StorageTrouble`."""

    def __init__(self, follower: RunFollower, runs: Runs, follow_ups: FollowUps, clock: Clock) -> None:
        self._follower, self._runs, self._follow_ups, self._clock = follower, runs, follow_ups, clock
        # By run: how many turns there were before it, and when it was started.
        self._started: dict[str, tuple[int, float]] = {}
        # Earlier runs whose ends are known.
        self._asked: set[str] = set()

    def of_this_run(self, rows: Sequence[FollowUp]) -> bool:
        """Whether some of these messages are what the run that is followed begins with."""
        return any(each.state == SENT and each.run == self._follower.run_id for each in rows)

    async def begin(self, ids: Sequence[str], run: str) -> None:
        """A run has started that begins with these messages."""
        self._started[run] = (self._follower.transcript.state.turn, self._clock.boot())
        await self._follow_ups.begin(ids, run)

    async def settle(self, rows: Sequence[FollowUp]) -> bool:
        """Remove what has arrived, and give back what nobody has read. Returns whether there was any."""
        runs = dict.fromkeys(each.run for each in rows if each.state == SENT)
        settled = False
        for run in runs:
            some = [each for each in rows if each.state == SENT and each.run == run]
            fate = self._fate_here(some) if run == self._follower.run_id else await self._fate_elsewhere(run, some)
            ids = [each.id for each in some]
            if fate == ARRIVED:
                await self._follow_ups.finish(ids)
            elif fate != STAYS:
                await self._follow_ups.give_back(ids, fate)
            settled = settled or fate != STAYS
        return settled

    def _fate_here(self, some: Sequence[FollowUp]) -> str:
        """Of messages that the run that is followed begins with."""
        run, state = self._follower.run, self._follower.transcript.state
        # The agent of a run that somebody else started, or Burrow before it was started again, has been told.
        before, at = self._started.get(self._follower.run_id, (-1, 0.0))
        if state.accepts and (state.turn > before or self._clock.boot() - at >= TURN_SECONDS):
            return ARRIVED
        if run is None or self._follower.now.kind != ENDED or state.accepts:
            return STAYS
        return _fate_after(run)

    async def _fate_elsewhere(self, run_id: str, some: Sequence[FollowUp]) -> str:
        """Of messages that another run begins with: one before the run that is followed, or one that goes on from it.

        While it is under way, whoever follows that one knows.
        """
        if run_id in self._asked or self._follower.now.kind not in {LIVE, ENDED}:
            return STAYS
        self._asked.add(run_id)
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
