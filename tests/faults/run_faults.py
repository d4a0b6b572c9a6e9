"""Weather: the faults of a soak of runs, one at a time, chosen by a random generator."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic

from tests.faults.relay import Relay
from tests.faults.run_workspace import CarryingWorkspace

# The brake lets ten renewals a minute through; a person's token does not die that often.
DEATHS_A_MINUTE = 8
# So many bytes of each stream still arrive before it is cut.
MOST_BYTES = 3_000
# What requests ask for, by the beginning or a pattern of their paths.
PATHS = ("/api/", "*/command/", "*/session_logs/", "*/stream/", "*/runs/*/", "/oauth/token")
FAILURES = (500, 502, 503)


class Weather:
    """`do` returns what was done, in words."""

    def __init__(self, chance: random.Random, workspace: CarryingWorkspace, relay: Relay) -> None:
        self._random, self._workspace, self._relay = chance, workspace, relay
        self._deaths: deque[float] = deque()
        self._actions: dict[str, tuple[int, Callable[[], Awaitable[str]]]] = {
            "connections are cut": (8, self._cut),
            "connections are refused": (3, self._refuse),
            "the access token dies": (3, self._token_dies),
            "the server fails": (5, self._fail),
            "the server is slow": (3, self._slow),
            "an answer is lost": (3, self._lose),
            "the streams are refused": (2, self._refuse_streams),
            "the streams are other ones": (3, self._other_streams),
            "the agents cannot be reached": (2, self._no_sandbox),
            "the server sleeps": (2, self._sleep),
            "the server is killed and started again": (1, self._restart),
        }

    def next(self) -> str:
        weights = [weight for weight, _ in self._actions.values()]
        return self._random.choices(list(self._actions), weights)[0]

    async def do(self, action: str) -> str:
        return await self._actions[action][1]()

    def pause(self) -> float:
        return self._random.uniform(0.5, 4)

    async def clear_up(self) -> None:
        """Lift every fault."""
        await self._relay.accept()
        await self._workspace.heal()

    async def _cut(self) -> str:
        most = self._random.choice((0, 40, 400, MOST_BYTES))
        return f"{await self._relay.cut(lambda: self._random.randint(0, most))} after at most {most} bytes"

    async def _refuse(self) -> str:
        seconds = self._random.uniform(0.2, 4)
        await self._relay.refuse()
        await asyncio.sleep(seconds)
        await self._relay.accept()
        return f"for {seconds:.1f} s"

    async def _token_dies(self) -> str:
        while self._deaths and monotonic() - self._deaths[0] > 60:
            self._deaths.popleft()
        if len(self._deaths) >= DEATHS_A_MINUTE:
            return "not again so soon"
        self._deaths.append(monotonic())
        found = await self._workspace.fault("kill-access-token", client_id=self._workspace.ready["client_id"])
        return str(found)

    async def _fail(self) -> str:
        path, status = self._random.choice(PATHS), self._random.choice(FAILURES)
        times, wait = self._random.randint(1, 4), self._random.randint(1, 3)
        headers = {"Retry-After": str(wait)} if status == 503 else {}
        body = {"error": "temporarily_unavailable"} if path == "/oauth/token" else {"detail": "Not now."}
        await self._workspace.fault("path", path=path, status=status, times=times, headers=headers, body=body)
        return f"{times} times {status} for {path}"

    async def _slow(self) -> str:
        path, delay = self._random.choice(PATHS), self._random.uniform(0.2, 3)
        await self._workspace.fault("path", path=path, delay=delay, times=self._random.randint(1, 4))
        return f"{path} by {delay:.1f} s"

    async def _lose(self) -> str:
        path, drop = self._random.choice(PATHS), self._random.choice(("before_commit", "after_commit"))
        await self._workspace.fault("path", path=path, drop=drop, times=1)
        return f"{path} {drop}"

    async def _refuse_streams(self) -> str:
        refusal = self._random.choice(("admission", "Stream not available", "Backlog busy", "Backlog unavailable"))
        await self._workspace.fault("runs", stream=refusal, times=self._random.randint(1, 3))
        return refusal

    async def _other_streams(self) -> str:
        """Streams that end soon, that say everything twice, or that are read with tokens of their own."""
        seconds = self._random.choice((0.5, 3.0, 900.0))
        twice, elsewhere, dead = (self._random.random() < each for each in (0.5, 0.6, 0.5))
        await self._workspace.fault(
            "runs",
            rotation_seconds=seconds,
            duplicate_events=twice,
            stream_elsewhere=elsewhere,
            kill_stream_tokens=dead,
            cut_streams=True,
        )
        return f"end after {seconds:g} s, twice: {twice}, elsewhere: {elsewhere}, tokens killed: {dead}"

    async def _no_sandbox(self) -> str:
        refusal = self._random.choice(("sandbox_not_ready", "unreachable", "timed_out", "refused"))
        await self._workspace.fault("runs", sandbox=refusal, times=self._random.randint(1, 2))
        return refusal

    async def _sleep(self) -> str:
        seconds = self._random.uniform(0.5, 6)
        await self._workspace.sleep(seconds)
        return f"for {seconds:.1f} s"

    async def _restart(self) -> str:
        await self._workspace.kill()
        seconds = self._random.uniform(0, 2)
        await asyncio.sleep(seconds)
        await self._workspace.start()
        return f"{seconds:.1f} s later"
