"""Seats: the sessions of one server, and the link that each of them uses."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core.errors import StorageTrouble
from app.core.mcp.proxy.bridge.calls import BridgeSession
from app.core.mcp.proxy.bridge.envelope import Envelope, members_of
from app.core.mcp.proxy.bridge.link import Link
from app.core.storage.proxy_sessions import SessionRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app.core.mcp.proxy.bridge.channel import Channel
    from app.core.mcp.proxy.parts import SessionStore

IDLE_SECONDS = 3600.0
# A client that opens a session for each call must not keep all of them.
SESSIONS_OF_A_CLIENT = 250
SWEEPS_IN_IDLE = 60


@dataclass(frozen=True, eq=False)
class Seat:
    """A session and its link. `protocol` is the version that the server chose."""

    session: BridgeSession
    link: Link
    protocol: str = ""

    @property
    def own(self) -> bool:
        """Whether nobody else uses the link."""
        return self.link.traffic.own


class Seats:
    """A server has a link for each session, or one that is `shared`.

    The stateless era has no sessions: there a link is for all requests of a client, or again shared. A server decides
    at its first message which era a channel is of, so the two never share one.
    """

    def __init__(
        self,
        server: str,
        make_channel: Callable[[], Channel],
        kept: SessionStore,
        *,
        shared: bool = False,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._server = server
        self._make_channel = make_channel
        self._kept = kept
        self._shared = shared
        self._idle_seconds = idle_seconds
        self._seats: dict[str, Seat] = {}
        self._stateless: dict[str, Seat] = {}
        self._shared_links: dict[bool, Link] = {}
        self._sweep: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        """How many sessions are held."""
        return len(self._seats) + len(self._stateless)

    async def begin(self, client: str, opening: Envelope) -> tuple[Seat | None, Envelope]:
        """A new session, begun with the client's `initialize`, and the server's answer to that; None when it refuses.

        Raises what `Link.initialise` raises.
        """
        link = self._link(stateless=False)
        session = BridgeSession(f"bw-{secrets.token_urlsafe(24)}", client, opening.data)
        link.traffic.sessions[session] = None
        try:
            answer = await link.initialise(opening)
            if answer.is_error:
                await self._leave(Seat(session, link))
                return None, answer
        except BaseException:
            await self._leave(Seat(session, link))
            raise
        chosen = members_of(answer.members.get("result")).get("protocolVersion")
        protocol = "" if chosen is None else bytes(chosen).decode("ascii", "replace").strip('"')
        seat = await self._take(Seat(session, link, protocol))
        with suppress(StorageTrouble):
            await self._kept.put(SessionRow(session.id, client, self._server, opening.data, "", protocol))
        return seat, answer

    async def find(self, client: str, identity: str) -> Seat | None:
        """The session of a client with this id, also one from before a restart; None where it has none."""
        seat = self._seats.get(identity)
        if seat is not None:
            if seat.session.client != client:
                return None
            self._kept.touch(identity)
            seat.session.touch()
            return seat
        try:
            row = await self._kept.get(identity)
        except StorageTrouble:
            return None
        # The client may have asked twice at once.
        if identity in self._seats:
            return await self.find(client, identity)
        if row is None or row.client != client or row.server != self._server:
            return None
        link = self._link(stateless=False, opening=Envelope(row.opening))
        session = BridgeSession(identity, client, row.opening)
        link.traffic.sessions[session] = None
        self._kept.touch(identity)
        return await self._take(Seat(session, link, row.protocol))

    def stateless(self, client: str) -> Seat:
        """The place of a client's requests that belong to no session."""
        seat = self._stateless.get(client)
        if seat is None:
            link = self._link(stateless=True)
            session = BridgeSession("", client)
            link.traffic.sessions[session] = None
            seat = self._stateless[client] = Seat(session, link)
            self._watch()
        seat.session.touch()
        return seat

    async def end(self, seat: Seat) -> None:
        """End a session for good, and its process unless others use it."""
        if seat.session.id:
            self._seats.pop(seat.session.id, None)
            with suppress(StorageTrouble):
                await self._kept.delete(seat.session.id)
        elif self._stateless.get(seat.session.client) is seat:
            del self._stateless[seat.session.client]
        await self._leave(seat)

    async def end_refused(self, has_access: Callable[[str], bool]) -> None:
        """End the sessions of the clients that have no access any more."""
        for seat in self._all:
            if not has_access(seat.session.client):
                await self.end(seat)

    def tools_changed(self, client: str | None) -> None:
        """Tell the sessions of a client, or of all, that their tools are others now."""
        for seat in self._all:
            if client in {None, seat.session.client}:
                seat.link.traffic.tools_changed(seat.session)

    async def close(self) -> None:
        """End all processes. The sessions stay known, so that a restarted proxy goes on with them."""
        sweep, self._sweep = self._sweep, None
        if sweep is not None:
            sweep.cancel()
            await asyncio.gather(sweep, return_exceptions=True)
        seats = self._all
        self._seats.clear()
        self._stateless.clear()
        await asyncio.gather(*(self._leave(seat) for seat in seats))

    def longest_idle(self) -> Seat | None:
        """The one that was not used for the longest time and has a process of its own that could be ended."""
        return _oldest(seat for seat in self._all if seat.session.idle and seat.link.is_open and not self._shared)

    async def rest(self, seat: Seat) -> None:
        """Let go of a session that is not used. It is begun again when its client comes back."""
        self._seats.pop(seat.session.id, None)
        if self._stateless.get(seat.session.client) is seat:
            del self._stateless[seat.session.client]
        await self._leave(seat)

    @property
    def _all(self) -> tuple[Seat, ...]:
        return (*self._seats.values(), *self._stateless.values())

    async def _take(self, seat: Seat) -> Seat:
        self._seats[seat.session.id] = seat
        self._watch()
        same = [each for each in self._seats.values() if each.session.client == seat.session.client]
        if len(same) > SESSIONS_OF_A_CLIENT and (oldest := _oldest(each for each in same if each.session.idle)):
            await self.rest(oldest)
        return seat

    def _link(self, *, stateless: bool, opening: Envelope | None = None) -> Link:
        if not self._shared:
            return Link(self._make_channel, own=not stateless, stateless=stateless, opening=opening)
        link = self._shared_links.get(stateless)
        if link is None:
            link = Link(self._make_channel, own=False, stateless=stateless, opening=opening)
            self._shared_links[stateless] = link
        return link

    async def _leave(self, seat: Seat) -> None:
        seat.link.traffic.leave(seat.session)
        if not seat.link.traffic.sessions:
            for era, link in tuple(self._shared_links.items()):
                if link is seat.link:
                    del self._shared_links[era]
            await seat.link.close()

    def _watch(self) -> None:
        if self._sweep is None or self._sweep.done():
            self._sweep = asyncio.create_task(self._end_idle())

    async def _end_idle(self) -> None:
        """End the processes of sessions that are not used. A client that comes back gets a new one."""
        while self._seats or self._stateless:
            await asyncio.sleep(self._idle_seconds / SWEEPS_IN_IDLE)
            before = asyncio.get_running_loop().time() - self._idle_seconds
            for seat in self._all:
                if seat.session.idle and seat.session.used_at <= before:
                    await self.rest(seat)


def _oldest(seats: Iterable[Seat]) -> Seat | None:
    return min(seats, key=lambda seat: seat.session.used_at, default=None)
