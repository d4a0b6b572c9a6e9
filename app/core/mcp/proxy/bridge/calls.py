"""What is under way between clients and a server: requests of clients, and the sessions that they belong to."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Protocol

from app.core.mcp.proxy.bridge.envelope import SUBSCRIPTION, Envelope, Kind, key_of
from app.core.mcp.proxy.bridge.outlets import Backlog
from app.core.mcp.proxy.messages import LISTEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.mcp.proxy.bridge.envelope import Key
    from app.core.mcp.proxy.bridge.outlets import Outlet

CANCELLED = (
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%b,"reason":"The client is gone."}}'
)
LIST_CHANGED = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'
SUBSCRIBED_LIST_CHANGED = (
    b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"%b":%%b}}}'
    % SUBSCRIPTION.encode()
)


class BridgeSession:
    """One session of a client with a server. In the stateless era it stands for all requests of a client.

    `calls` are its requests under way, oldest first. `backlog` has the messages that belong to none of them.
    """

    def __init__(self, identity: str, client: str, opening: bytes = b"") -> None:
        """`opening`: the client's own `initialize`."""
        self.id = identity
        self.client = client
        self.opening = opening
        self.calls: dict[BridgeCall, None] = {}
        self.backlog = Backlog()
        # How many streams of the client are open for messages that belong to no request.
        self.listening = 0
        self.used_at = asyncio.get_running_loop().time()

    @property
    def idle(self) -> bool:
        """Whether no request and no stream of the client is open."""
        return not self.calls and not self.listening

    def touch(self) -> None:
        """It is in use now."""
        self.used_at = asyncio.get_running_loop().time()

    def call_of(self, key: Key) -> BridgeCall | None:
        """The request with the client's id; None when there is none, or more than one, of separate connections."""
        found = [call for call in self.calls if call.message.key == key]
        return found[0] if len(found) == 1 else None


class BridgeCall:
    """A request of a client that is not answered yet. `server_id` and `server_token` are what the server knows it by.

    `streams`: the client takes other messages before the answer. `sent`: the server may have it. `settled`, where it is
    not None, gets the answer. `lost_as` is the answer where the server is gone, empty for words about that.
    """

    def __init__(
        self, session: BridgeSession, message: Envelope, outlet: Outlet, replies: Replies, *, streams: bool = True
    ) -> None:
        assert message.kind is Kind.REQUEST
        self.session = session
        self.message = message
        self.outlet = outlet
        self.streams = streams
        self._replies = replies
        self.server_id: bytes = message.id
        self.server_key: Key = message.key
        self.token: bytes = b""
        self.server_token: Key = None
        self.sent = False
        self._answered = False
        self.settled: asyncio.Future[bytes] | None = None
        self.lost_as = b""

    def is_answered(self) -> bool:
        """Whether its client has an answer, or wants none any more."""
        return self._answered

    async def answer(self, data: bytes) -> None:
        """Give the client the answer of the server, which is its last message."""
        self._settle(data)
        await self.outlet.put(await self._replies.revised(self.message, data), last=True)

    def lost(self, reason: str) -> None:
        """The server is gone, and may have done what it was asked."""
        self.fail(self.lost_as or self._replies.lost(self.message, reason))

    def cancelled(self) -> None:
        """The client does not want an answer any more."""
        self.fail(b"")

    def fail(self, data: bytes) -> None:
        """Give the client an answer of Burrow's own."""
        if not self._answered:
            self._settle(data)
            self.outlet.put_now(data, last=True)

    def _settle(self, data: bytes) -> None:
        self._answered = True
        if self.settled is not None and not self.settled.done():
            self.settled.set_result(data)


class Replies(Protocol):
    """What clients get in place of what a server says."""

    async def revised(self, request: Envelope, answer: bytes) -> bytes:
        """The answer of a server as the client may see it."""

    def lost(self, request: Envelope, reason: str, *, sent: bool = True) -> bytes:
        """The answer to a request whose server is gone, with the reason as a sentence. `sent`: it may have run."""


class Traffic:
    """What is under way on one link: its sessions, their requests, and the requests of the server to them.

    An `own` link has one session, whose ids are passed on as they are. Any other gives each request an id and a
    progress token of its own, because those of several clients may be the same. A `stateless` one is of protocol
    2026-07-28: there is no `initialize`.
    """

    def __init__(self, *, own: bool, stateless: bool, tell: Callable[[bytes], None]) -> None:
        """`tell` sends a message to the server later."""
        self.own = own
        self.stateless = stateless
        self.tell = tell
        self.sessions: dict[BridgeSession, None] = {}
        self.calls: dict[Key, BridgeCall] = {}
        self.tokens: dict[Key, BridgeCall] = {}
        self.asked: dict[Key, BridgeSession] = {}
        self._numbers = itertools.count(1)

    def number(self) -> int:
        """A new id for a request to the server."""
        return next(self._numbers)

    def register(self, call: BridgeCall) -> None:
        """Wait for the answer of a request that is about to be sent."""
        if not self.own:
            call.server_key = self.number()
            call.server_id = b"%d" % call.server_key
        if call.message.may_have_token and "progressToken" in call.message.meta:
            call.token = bytes(call.message.meta["progressToken"])
            call.server_token = key_of(call.token) if self.own else call.server_key
            if call.server_token is not None:
                self.tokens[call.server_token] = call
        self.calls[call.server_key] = call
        call.session.calls[call] = None

    def forget(self, call: BridgeCall) -> bool:
        """Its answer is not wanted any more, or has come. Returns whether it was still waited for."""
        call.session.calls.pop(call, None)
        if self.tokens.get(call.server_token) is call:
            del self.tokens[call.server_token]
        if self.calls.get(call.server_key) is not call:
            return False
        del self.calls[call.server_key]
        return True

    def abandon(self, call: BridgeCall) -> None:
        """Its client is gone: the server may stop."""
        if self.forget(call):
            self.tell(CANCELLED % call.server_id)

    def leave(self, session: BridgeSession) -> None:
        """A session has ended."""
        self.sessions.pop(session, None)
        for call in tuple(session.calls):
            self.abandon(call)
            call.outlet.end()
        for key in [key for key, asked in self.asked.items() if asked is session]:
            del self.asked[key]
        session.backlog.close()

    def tools_changed(self, session: BridgeSession) -> None:
        """Tell a session that its tools are others now, in the words of its protocol."""
        if not self.stateless:
            session.backlog.push(Envelope(LIST_CHANGED))
            return
        for call in session.calls:
            if call.message.method == LISTEN and b"toolsListChanged" in call.message.data:
                call.outlet.put_now(SUBSCRIBED_LIST_CHANGED % call.message.id)

    def end(self, reason: str) -> None:
        """The server is gone."""
        self.asked.clear()
        for call in tuple(self.calls.values()):
            # One that is being sent is told by what sends it.
            if call.sent:
                self.forget(call)
                call.lost(reason)
