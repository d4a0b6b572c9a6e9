"""A connection that listens, under a real sign-in, with pauses that a test need not wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.core.auth.http.target import CredentialAtStake, Target
from app.core.auth.status import CredentialStatus
from app.core.events import Event
from app.core.mcp.protocol.connection import Connection, Endpoint
from app.core.mcp.protocol.http_transport import StreamableHttpTransport
from app.core.mcp.protocol.listening import Listening
from app.core.mcp.protocol.reconnect import ReconnectTiming
from app.core.mcp.protocol.sign_in_gate import SignInGate
from app.core.urls import origin_of
from tests.core.conftest import Rig, signed_in
from tests.faults._streams import Refusal, Streaming
from tests.faults.measure import Measure


class Clock:
    """Pauses are noted and over at once, unless it `stands_still`; time passes by them and by the test's word."""

    def __init__(self) -> None:
        self.time = 0.0
        self.stands_still = False
        self.pauses: asyncio.Queue[float] = asyncio.Queue()
        self.timing = ReconnectTiming(self._sleep, lambda: self.time, lambda: 1.0)

    async def _sleep(self, seconds: float) -> None:
        self.time += seconds
        self.pauses.put_nowait(seconds)
        await (asyncio.Event().wait() if self.stands_still else asyncio.sleep(0))

    async def next(self, count: int) -> list[float]:
        """The next pauses that are made."""
        return [await self.pauses.get() for _ in range(count)]


class Watched(Event[CredentialStatus]):
    """An event that tells when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_for = asyncio.Event()

    @property
    def waiting(self) -> int:
        return len(self._callbacks)

    def subscribe(self, callback: Callable[[CredentialStatus], None]) -> Callable[[], None]:
        self.waited_for.set()
        return super().subscribe(callback)


@dataclass
class Scene:
    """`sign_ins` is the session's event; `missed` has an item for each time that changes may have gone unheard."""

    server: Streaming
    rig: Rig
    connection: Connection
    clock: Clock
    sign_ins: Watched
    missed: asyncio.Queue[None]

    @property
    def listeners(self) -> list[asyncio.Task[Any]]:
        """The tasks that listen."""
        return [task for task in asyncio.all_tasks() if task.get_name().startswith("mcp listener")]

    async def deaf(self) -> None:
        """Wait until nobody listens any more."""
        if self.listeners:
            await asyncio.wait(self.listeners)


@asynccontextmanager
async def listening(
    folder: Path,
    *,
    legacy: bool = False,
    refusals: dict[str, Refusal | list[Refusal]] | None = None,
    measure: Measure | None = None,
    owner: CredentialAtStake = CredentialAtStake.CARRIED,
) -> AsyncIterator[Scene]:
    """A connection that is open and has listed its tools; the server admits the issuer's live token only."""
    clock = Clock()
    async with (
        signed_in(folder) as rig,
        Streaming(legacy=legacy, admits=lambda bearer: bearer == rig.issuer.access_token) as server,
    ):
        server.refusals.update(refusals or {})
        rig.credential._state.changed = sign_ins = Watched()
        if measure is not None:
            measure.watch(rig)
            sign_ins.waited_for.clear()
        missed: asyncio.Queue[None] = asyncio.Queue()
        target = Target(frozenset({origin_of(server.url)}), owner, jsonrpc=True, name="streaming")
        listens = Listening(target, SignInGate(rig.credential), lambda: missed.put_nowait(None), clock.timing)
        endpoint = Endpoint(
            target.name, StreamableHttpTransport(server.url, rig.credential.auth(target)), target.at_stake
        )
        connection = Connection(endpoint, lambda _endpoint, _item: None, listens)
        try:
            await connection.tools()
            yield Scene(server, rig, connection, clock, sign_ins, missed)
        finally:
            await connection.close()
