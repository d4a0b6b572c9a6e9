"""A long run of random faults: processes that share a grant are killed, the token dies, the server comes and goes.

`python3 dev.py soak [MINUTES] [SEED]`. Ends with 1 as soon as a grant is revoked, somebody is asked to sign in, or a
request fails that could have been healed. Every action is printed with its number, so that a seed can be run again.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.core.scripted import Reply, Request
from tests.faults.measure import TOKEN_ENDPOINT, Measure
from tests.faults.processes import Crew, Worker, crew, good
from tests.faults.test_rows_processes import PATH, stored

WORKERS = 4
# Longer than a process takes to be started again, much shorter than a run.
GRACE_SECONDS = 30.0
# The brake lets ten renewals a minute through; a person's token does not die that often.
DEATHS_A_MINUTE = 9


class Soak:
    """One run. `random` decides, so that a seed repeats it."""

    def __init__(self, seed: int, rig: object, team: Crew) -> None:
        from tests.core.conftest import Rig

        assert isinstance(rig, Rig)
        self.random = random.Random(seed)
        self.rig = rig
        self.team = team
        self.workers: list[Worker] = []
        self.deaths: deque[float] = deque()
        self.actions: dict[str, Callable[[], Awaitable[None]]] = {
            "the token dies": self.token_dies,
            "a process is killed and started again": self.killed,
            "a process is killed while it renews": self.killed_renewing,
            "the server is away for a moment": self.away,
            "the token endpoint is busy": self.busy,
            "a reply is lost": self.lost,
        }

    def may_die(self) -> bool:
        while self.deaths and monotonic() - self.deaths[0] > 60:
            self.deaths.popleft()
        return len(self.deaths) < DEATHS_A_MINUTE

    async def token_dies(self) -> None:
        if self.may_die():
            self.deaths.append(monotonic())
            self.rig.issuer.kill()

    async def killed(self) -> None:
        victim = self.random.randrange(WORKERS)
        await self.workers[victim].kill()
        self.team.workers.remove(self.workers[victim])
        self.workers[victim] = await self.team.start()

    async def killed_renewing(self) -> None:
        await self.token_dies()
        victim = self.random.choice(self.workers)
        victim.tell(f"get {PATH} 3")
        await asyncio.sleep(self.random.random() * 0.05)
        number = self.workers.index(victim)
        await victim.kill()
        self.team.workers.remove(victim)
        self.workers[number] = await self.team.start()

    async def away(self) -> None:
        await self.rig.server.go_away()
        await asyncio.sleep(self.random.random())
        await self.rig.server.come_back()

    async def busy(self) -> None:
        await self.token_dies()
        self.rig.issuer.script = [Reply(503, {"error": "temporarily_unavailable"})] * self.random.randint(1, 2)

    async def lost(self) -> None:
        await self.token_dies()
        honest = self.rig.server.views[TOKEN_ENDPOINT]

        async def lose_one(request: Request) -> Reply:
            assert callable(honest)
            self.rig.server.views[TOKEN_ENDPOINT] = honest
            answer = honest(request)
            if not isinstance(answer, Reply):
                await answer
            return Reply(drop=True)

        self.rig.server.views[TOKEN_ENDPOINT] = lose_one

    async def check(self) -> str | None:
        """What is wrong, None when every process works."""
        for attempt in range(3):
            answers = await asyncio.gather(*(worker.ask(f"get {PATH} 5") for worker in self.workers))
            if all(map(good, answers)):
                break
            if attempt == 2:
                return f"requests failed: {[answer['outcomes'] for answer in answers if not good(answer)]}"
            # A server that was away is remembered for a moment.
            await asyncio.gather(*(worker.ask("wake") for worker in self.workers))
        if any(answer["asked"] for answer in answers):
            return "somebody was asked to sign in"
        return "the grant was revoked" if self.rig.issuer.revoked else None


async def run(minutes: float, seed: int) -> int:
    until = monotonic() + minutes * 60
    with tempfile.TemporaryDirectory() as name:
        folder, measure = Path(name), Measure()
        async with stored(folder, measure) as rig, crew(folder, rig.server.origin, measure) as team:
            rig.issuer.grace = GRACE_SECONDS
            soak = Soak(seed, rig, team)
            soak.workers = list(await asyncio.gather(*(team.start() for _ in range(WORKERS))))
            number = 0
            while monotonic() < until:
                number += 1
                name = soak.random.choice(list(soak.actions))
                await soak.actions[name]()
                trouble = await soak.check()
                sys.stdout.write(f"{number:5} {name}: {trouble or 'fine'}\n")
                sys.stdout.flush()
                if trouble is not None:
                    return 1
            issuer = rig.issuer
            sys.stdout.write(f"{number} faults, {issuer.accepted} renewals, {issuer.rejected} refused; seed {seed}\n")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=5.0)
    parser.add_argument("seed", type=int, nargs="?", default=random.SystemRandom().randrange(1_000_000))
    options = parser.parse_args()
    raise SystemExit(asyncio.run(run(options.minutes, options.seed)))
