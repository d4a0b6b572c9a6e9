"""ListenStream: the stream on which a client listens to a server, kept open while the stream behind it is replaced.

It is the GET stream of revisions up to 2025-11-25. (From 2026-07-28 on, `subscriptions/listen` is a POST like others.)
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from app.core.background import retrieve
from app.core.mcp.proxy.delivery import Delivery, revised
from app.core.mcp.proxy.headers import LAST_EVENT_ID
from app.core.mcp.proxy.healing import Outgoing
from app.core.mcp.proxy.parts import SendFailure
from app.core.mcp.proxy.refusals import RequestRefused
from app.core.mcp.proxy.streams import EventSplitter, OversizedEvent, last_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.mcp.proxy.answers import ServerAnswer
    from app.core.mcp.proxy.healing import Healing
    from app.core.mcp.proxy.parts import Call, Responder
    from app.core.mcp.proxy.reopening import Reopening
    from app.core.mcp.proxy.routes import ServerRoute
    from app.core.mcp.proxy.sessions import ProxySession

log = logging.getLogger(__name__)

# After a stream that broke: a server that is started again is away for a while.
PAUSES = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# One that lasted so long was none that breaks at once.
HEALTHY_SECONDS = 5.0


class ListenStream:
    """One GET of a client."""

    def __init__(
        self,
        call: Call,
        responder: Responder,
        route: ServerRoute,
        session: ProxySession | None,
        healing: Healing,
        reopening: Reopening,
        revise: Callable[[Call, ServerRoute, bytes], Awaitable[bytes]],
    ) -> None:
        self._responder = responder
        self._session = session
        self._healing = healing
        self._reopening = reopening
        self._out = Outgoing(route, "GET", call.request.headers, session=session, waits=False)
        self._delivery = Delivery(
            responder,
            server=route.upstream.id,
            source=route.upstream.source,
            session="" if session is None else session.id,
            revise=(lambda message: revise(call, route, message)),
        )
        self._revise = lambda message: revise(call, route, message)
        self._last_id = call.request.header(LAST_EVENT_ID)
        self._restarted = asyncio.Event()

    async def write(self, event: bytes) -> None:
        """Add an event of the proxy's own."""
        await self._delivery.write_event(event)

    async def run(self) -> None:
        """Answer it. Raises `RequestRefused` where there is nothing to wait for."""
        session = self._session
        # A stream that is resumed belongs to one request. It ends when the server ends it.
        if session is None or self._last_id is not None:
            answer = await self._reopening.ask(self._out)
            if answer.is_stream:
                self._delivery.begin_stream(answer)
                await self._pass_on(answer)
                self._responder.end()
            else:
                await self._delivery.answer(answer)
            return
        session.restarts.add(self._restarted.set)
        try:
            await self._keep_open(session)
        finally:
            session.restarts.discard(self._restarted.set)

    async def _keep_open(self, session: ProxySession) -> None:
        """Pass on one stream after the other, until the server offers none any more."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            answer = await self._again()
            if answer is None:
                # It needs a sign-in, or cannot be reached now. The client has its session, and waits.
                if not self._responder.started:
                    self._delivery.begin_own_stream()
            elif answer.is_stream:
                self._delivery.begin_stream(answer)
                if answer.generation == session.generation:
                    # A new session that is known already.
                    self._restarted.clear()
                await self._pass_on(answer)
                failures = 0 if loop.time() - began > HEALTHY_SECONDS else failures
            elif not self._responder.started:
                await self._delivery.answer(answer)
                return
            else:
                answer.close()
                if answer.status < 500 and answer.status != 429:
                    break
            if session.ended:
                break
            if self._restarted.is_set():
                # Another request has found out already that there is a new session.
                self._last_id, failures = None, 0
                self._restarted.clear()
                continue
            if failures == len(PAUSES):
                break
            await self._pause(PAUSES[failures])
            failures += 1
        self._responder.end()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._restarted.wait()
        except TimeoutError:
            return

    async def _again(self) -> ServerAnswer | None:
        """Another stream of the server, or its refusal; None when it cannot be reached now."""
        headers = tuple(pair for pair in self._out.headers if pair[0] != LAST_EVENT_ID)
        if self._last_id:
            headers = (*headers, (LAST_EVENT_ID, self._last_id))
        try:
            return await self._reopening.ask(replace(self._out, headers=headers))
        except RequestRefused as refused:
            log.info("a stream cannot be opened again: %s", refused.refusal.message)
            return None

    async def _pass_on(self, answer: ServerAnswer) -> None:
        """Pass on the events of one stream, until it ends, breaks, or belongs to a session that was replaced."""
        splitter = EventSplitter()
        self._delivery.know(answer)
        restarted = asyncio.ensure_future(self._restarted.wait())
        reading: asyncio.Future[bytes] | None = None
        try:
            while True:
                reading = asyncio.ensure_future(answer.next())
                await asyncio.wait({reading, restarted}, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    return
                data = reading.result()
                if not data:
                    return
                for event in splitter.feed(data):
                    found = last_id(event)
                    self._last_id = self._last_id if found is None else found
                    await self._delivery.release(await revised(event, self._revise))
        except (SendFailure, OversizedEvent, RequestRefused) as problem:
            log.info("a stream of a server ended: %s", problem)
        finally:
            for task in (reading, restarted):
                if task is not None:
                    task.cancel()
                    task.add_done_callback(retrieve)
            answer.close()
