"""Link: a channel to a server, opened when it is needed and again after its end, and whose messages are whose."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING

from app.core.background import BackgroundTasks
from app.core.errors import BurrowError
from app.core.mcp.proxy.bridge.calls import Traffic
from app.core.mcp.proxy.bridge.channel import ChannelClosed, Unhandled
from app.core.mcp.proxy.bridge.envelope import Envelope, Kind, NotJsonRpc, is_batch, read_batch
from app.core.mcp.proxy.bridge.incoming import Incoming
from app.core.mcp.proxy.bridge.rewriting import for_server
from app.core.mcp.proxy.refusals import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.mcp.proxy.bridge.calls import BridgeCall
    from app.core.mcp.proxy.bridge.channel import Channel
    from app.core.mcp.proxy.bridge.envelope import Key

log = logging.getLogger(__name__)

INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
# How long a server may take to answer `initialize`: some fetch themselves from the internet when they are started.
OPENING_SECONDS = 120.0
# A server that could not be opened is not tried again before this. Requests wait until then.
FAILURE_SECONDS = 1.0
# The pauses before a channel is opened again that a client listens to. One that keeps ending is left alone after them.
REOPEN_SECONDS = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)


class OpeningRefused(ChannelClosed):
    """The server answered `initialize` with an error."""

    def __init__(self, answer: Envelope) -> None:
        super().__init__("It refused to be initialised.", sent=False)
        self.answer = answer


class Link:
    """One server process, or one stream of a server. See `Traffic` for `own` and `stateless`."""

    def __init__(
        self,
        make_channel: Callable[[], Channel],
        *,
        own: bool,
        stateless: bool = False,
        opening: Envelope | None = None,
    ) -> None:
        """`opening`: the `initialize` of a session from before, which is sent when the channel is opened."""
        self._make_channel = make_channel
        self._opening = opening
        self._greeted = opening is not None
        self._answer: Envelope | None = None
        self._channel: Channel | None = None
        self._usable: Channel | None = None
        self._opening_lock = asyncio.Lock()
        self._failure: tuple[Exception, float] | None = None
        self._tries = 0
        self._handshakes: dict[Key, asyncio.Future[Envelope]] = {}
        self._background = BackgroundTasks()
        self.traffic = Traffic(own=own, stateless=stateless, tell=self.tell_soon)
        self._incoming = Incoming(self.traffic)

    @property
    def is_open(self) -> bool:
        """Whether the server can be sent a message now."""
        return self._usable is not None and self._usable.reason is None

    async def initialise(self, opening: Envelope) -> Envelope:
        """The server's answer to `initialize`; of a shared server that to the first client's.

        Raises what `request` raises.
        """
        try:
            await self._ready(opening)
        except OpeningRefused as refused:
            return refused.answer
        assert self._answer is not None
        return self._answer

    async def request(self, call: BridgeCall) -> None:
        """Send a request; its answer comes to `call`.

        Raises `ChannelClosed` when it could not be sent, and any `BurrowError` that keeps the server from being used.
        """
        # So that it can be cancelled before it is sent.
        call.session.calls[call] = None
        for last_try in (False, True):
            try:
                channel = await self._ready()
            except BaseException:
                self.traffic.forget(call)
                raise
            if call.is_answered():
                return
            self.traffic.register(call)
            try:
                await channel.send(call.message.data if self.traffic.own else for_server(call))
            except ChannelClosed as closed:
                self.traffic.forget(call)
                if call.is_answered():
                    return
                if closed.sent or last_try:
                    raise
            except BaseException:
                self.traffic.abandon(call)
                raise
            else:
                call.sent = True
                # It may have ended after the last byte, before this task ran again.
                if channel.reason is not None and self.traffic.forget(call):
                    raise ChannelClosed(channel.reason, sent=True)
                return

    async def tell(self, message: bytes) -> None:
        """Send a message that needs no answer. Without an open channel there is nobody to tell."""
        channel = self._usable
        if channel is not None and channel.reason is None:
            with contextlib.suppress(ChannelClosed):
                await channel.send(message)

    def tell_soon(self, message: bytes) -> None:
        """The same, not now."""
        self._background.start(self.tell(message))

    async def rest(self) -> None:
        """Close the channel; the next request opens another one."""
        channel, self._channel, self._usable = self._channel, None, None
        if channel is not None:
            try:
                await channel.close()
            finally:
                self._end(channel.reason or "The session has ended.")

    def rest_soon(self) -> None:
        """The same, not now, and unless a request comes before."""
        self._background.start(self._rest_unless_used())

    async def _rest_unless_used(self) -> None:
        if not self.traffic.calls:
            await self.rest()

    async def close(self) -> None:
        """End it for good."""
        await self._background.close()
        await self.rest()

    async def _ready(self, opening: Envelope | None = None) -> Channel:
        """The channel, opened if need be, for the first time with `opening`."""
        if self._usable is not None and self._usable.reason is None:
            return self._usable
        tries = self._tries
        async with self._opening_lock:
            if self._usable is not None and self._usable.reason is None:
                return self._usable
            if self._failure is not None:
                failure, until = self._failure
                if self._tries > tries:
                    # It was tried while this request waited.
                    raise failure
                await asyncio.sleep(until - asyncio.get_running_loop().time())
            self._tries += 1
            self._opening = self._opening or opening
            await self.rest()
            channel = self._channel = self._make_channel()
            try:
                await channel.open(partial(self._received, channel), partial(self._ended, channel))
                if self._opening is not None:
                    await self._greet(channel, self._opening)
            except BaseException as failure:
                if isinstance(failure, ChannelClosed | BurrowError) and not isinstance(failure, OpeningRefused):
                    self._failure = (failure, asyncio.get_running_loop().time() + FAILURE_SECONDS)
                if not self._greeted:
                    # Another client may begin with another one.
                    self._opening = None
                await self.rest()
                raise
            self._failure, self._usable = None, channel
            return channel

    async def _greet(self, channel: Channel, opening: Envelope) -> None:
        """Initialise a channel with the client's own `initialize`. Raises `ChannelClosed` when that fails."""
        raw, key = opening.id, opening.key
        if not self.traffic.own:
            key = self.traffic.number()
            raw = b"%d" % key
        answered = self._handshakes[key] = asyncio.get_running_loop().create_future()
        try:
            await channel.send(opening.with_id(raw))
            async with asyncio.timeout(OPENING_SECONDS):
                answer = await answered
        except TimeoutError:
            raise ChannelClosed(f"It did not answer within {OPENING_SECONDS:g} seconds.", sent=False) from None
        finally:
            del self._handshakes[key]
        if answer.is_error:
            raise OpeningRefused(answer)
        self._answer = answer
        # The client of an own link says so itself, the first time.
        if self._greeted or not self.traffic.own:
            await channel.send(INITIALIZED)
        self._greeted = True

    async def _received(self, channel: Channel, data: bytes) -> None:
        if channel is not self._channel or not data.strip():
            return
        try:
            for message in read_batch(data) if is_batch(data) else (Envelope(data),):
                await self._take(message)
        except NotJsonRpc:
            # Some servers print other text to standard output by mistake. What looks like an answer may be one.
            self._incoming.unreadable(data)
        except Exception:
            # Whoever waits for its answer must not wait for ever.
            log.exception("a message of a server could not be handled")
            raise Unhandled from None

    async def _take(self, message: Envelope) -> None:
        handshake = self._handshakes.get(message.key) if message.kind is Kind.RESPONSE else None
        if handshake is None:
            await self._incoming.take(message)
        elif not handshake.done():
            handshake.set_result(message)

    def _ended(self, channel: Channel, reason: str) -> None:
        if channel is self._channel:
            self._usable = None
            self._end(reason)
            # Its children may still run.
            self._background.start(channel.close())
            self._background.start(self._reopen())

    async def _reopen(self) -> None:
        """Open it again while a client listens. Without one, the next request does."""
        for pause in REOPEN_SECONDS:
            await asyncio.sleep(pause)
            if self.is_open or self._opening is None or not any(each.listening for each in self.traffic.sessions):
                return
            with contextlib.suppress(ChannelClosed, BurrowError, RequestRefused):
                await self._ready()

    def _end(self, reason: str) -> None:
        for handshake in self._handshakes.values():
            if not handshake.done():
                handshake.set_exception(ChannelClosed(reason, sent=False))
        self.traffic.end(reason)
