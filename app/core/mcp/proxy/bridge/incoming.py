"""Incoming: where each message of a server goes."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from app.core.mcp.proxy.bridge.envelope import SUBSCRIPTION, Kind, key_of
from app.core.mcp.proxy.bridge.members import encoded
from app.core.mcp.proxy.bridge.rewriting import progress_for_client, subscribed_for_client

if TYPE_CHECKING:
    from app.core.mcp.proxy.bridge.calls import BridgeCall, BridgeSession, Traffic
    from app.core.mcp.proxy.bridge.envelope import Envelope

# A session that does not read what its server sends must not hold up the other sessions of that server for longer.
SLOW_READER_SECONDS = 10.0
# A longer text is no number that anybody counted to.
LONGEST_NUMBER = 20
ID = re.compile(rb'"id"\s*:\s*("[^"\\]*"|-?\d+)')
METHOD_NOT_FOUND = -32601
SEVERAL = "Several clients use this server, and which of them is asked cannot be told."
NOBODY = "No client has a request under way that this could belong to."
STATELESS = "A server of protocol 2026-07-28 asks in its results, not by requests."
NOT_JSON = "Its answer is not JSON."
NOT_READ = "The client does not read the messages of its session."


class Incoming:
    """An answer goes to its request, progress to its token, a question to the session whose request is under way.

    All else goes to every session.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    async def take(self, message: Envelope) -> None:
        """Hand on one message; waits while its client reads slowly."""
        if message.kind is Kind.RESPONSE:
            await self._answer(message)
        elif message.kind is Kind.REQUEST:
            await self._question(message)
        else:
            await self._notification(message)

    def unreadable(self, data: bytes) -> None:
        """What is no message, but may have been meant as the answer to a request: that gets no other one."""
        found = ID.search(data) if data.lstrip()[:1] == b"{" and b'"jsonrpc"' in data else None
        call = None if found is None else self._traffic.calls.get(key_of(found[1]))
        if call is not None:
            self._traffic.forget(call)
            call.lost(NOT_JSON)

    async def _answer(self, message: Envelope) -> None:
        call = self._answered(message)
        if call is None:
            return
        self._traffic.forget(call)
        await self._deliver(call, message.with_id(call.message.id), last=True)

    def _answered(self, message: Envelope) -> BridgeCall | None:
        """The request that a message answers. Some servers answer 1 with "1", and errors without an id."""
        calls = self._traffic.calls
        key = message.key
        found = calls.get(key)
        if found is None and isinstance(key, str) and key.isdecimal() and len(key) <= LONGEST_NUMBER:
            found = calls.get(int(key))
        if found is None and isinstance(key, int):
            found = calls.get(str(key))
        if found is None and key is None and len(calls) == 1:
            (found,) = calls.values()
        return found

    async def _question(self, message: Envelope) -> None:
        session, why = self._asked_session()
        unheard = session is None or session.idle
        if message.method == "ping" and unheard:
            self._traffic.tell(b'{"jsonrpc":"2.0","id":%b,"result":{}}' % message.id)
        elif session is None:
            self.refuse(message, why)
        else:
            self._traffic.asked[message.key] = session
            await self._to_session(session, message)

    def _asked_session(self) -> tuple[BridgeSession | None, str]:
        """The session that a request of the server is for, else why there is none."""
        sessions = self._traffic.sessions
        if self._traffic.stateless:
            return None, STATELESS
        if not self._traffic.own:
            sessions = {session: None for session in sessions if session.calls}
        if len(sessions) == 1:
            return next(iter(sessions)), ""
        return None, SEVERAL if sessions else NOBODY

    async def _notification(self, message: Envelope) -> None:
        if message.method == "notifications/progress":
            call = self._traffic.tokens.get(key_of(message.params.get("progressToken")))
            if call is not None:
                await self._deliver(call, progress_for_client(call, message))
                return
            if not self._traffic.own:
                return
        elif message.method == "notifications/cancelled":
            await self._withdrawn(message)
            return
        if self._traffic.stateless:
            await self._stateless(message)
            return
        for session in tuple(self._traffic.sessions):
            self._keep(session, message)

    async def _withdrawn(self, message: Envelope) -> None:
        """The server cancels a request of its own."""
        session = self._traffic.asked.pop(key_of(message.params.get("requestId")), None)
        if session is not None:
            await self._to_session(session, message)

    async def _stateless(self, message: Envelope) -> None:
        """A notification of a subscription names it; any other can only be about the only request under way."""
        calls = self._traffic.calls
        if SUBSCRIPTION in message.meta:
            call = calls.get(key_of(message.meta[SUBSCRIPTION]))
            if call is not None:
                await self._deliver(call, subscribed_for_client(call, message))
            return
        under_way = [call for call in calls.values() if call.message.method != "subscriptions/listen"]
        if len(under_way) == 1:
            await self._deliver(under_way[0], message.data)

    async def _to_session(self, session: BridgeSession, message: Envelope) -> None:
        """Into the stream of its newest request that has one, else to where the stream of the session takes it from."""
        for call in reversed(session.calls):
            if call.streams:
                await self._deliver(call, message.data)
                return
        self._keep(session, message)

    def _keep(self, session: BridgeSession, message: Envelope) -> None:
        for dropped in session.backlog.push(message):
            if dropped.kind is Kind.REQUEST:
                self._traffic.asked.pop(dropped.key, None)
                self.refuse(dropped, NOT_READ)

    async def _deliver(self, call: BridgeCall, data: bytes, *, last: bool = False) -> None:
        deliver = call.answer(data) if last else call.outlet.put(data)
        if self._traffic.own:
            # Only this client's own messages wait for it.
            await deliver
            return
        try:
            async with asyncio.timeout(SLOW_READER_SECONDS):
                await deliver
        except TimeoutError:
            self._traffic.abandon(call)
            call.outlet.end()

    def refuse(self, message: Envelope, why: str) -> None:
        """Answer a request of the server with an error."""
        error = encoded({"code": METHOD_NOT_FOUND, "message": f"Burrow: {why}"})
        self._traffic.tell(b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (message.id, error))
