"""OldSse: HTTP+SSE (MCP 2024-11-05) between a client and a server that both speak it. Events are passed on as they are.

Only the address for messages is another one, and lists of tools lose those that the client may not see. The stream
belongs to the client that opened it: its address is of no use to another.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote

from app.core.errors import NotFound
from app.core.mcp.proxy.bridge.answering import STREAM_HEADERS, answer_empty
from app.core.mcp.proxy.bridge.sse_events import open_stream
from app.core.mcp.proxy.delivery import Delivery
from app.core.mcp.proxy.healing import Outgoing
from app.core.mcp.proxy.messages import MessageKind
from app.core.mcp.proxy.parts import SendFailure
from app.core.mcp.proxy.refusals import Refusal, RequestRefused
from app.core.mcp.proxy.streams import data_of, message_event, with_data

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.core.mcp.proxy.bridge.sse_events import SseStream
    from app.core.mcp.proxy.healing import Healing
    from app.core.mcp.proxy.parts import Call, CallPolicy, Elsewhere, Responder
    from app.core.mcp.proxy.routes import ServerRoute

LIST_CHANGED = message_event(b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}')


class _OldSession:
    """A stream of one client and one server."""

    def __init__(self, call: Call, stream: SseStream, responder: Responder) -> None:
        self.client = call.client.id
        self.server = call.upstream.id
        self.stream = stream
        self.endpoint = ""
        self._responder = responder
        self._writing = asyncio.Lock()

    async def write(self, event: bytes) -> None:
        """Give the client one whole event."""
        async with self._writing:
            await self._responder.write(event)


class OldSse:
    """The streams of all clients and servers."""

    def __init__(self, policy: CallPolicy, healing: Healing) -> None:
        self._policy = policy
        self._healing = healing
        self._sessions: dict[str, _OldSession] = {}

    async def listen(self, call: Call, responder: Responder, route: ServerRoute) -> None:
        """Answer a GET with the stream of the server. Raises `RequestRefused` and `ConnectionResetError`."""
        stream = await open_stream(self._healing, route, call.request.headers)
        try:
            responder.start(200, STREAM_HEADERS)
            async with self._opened(call, stream, responder) as (name, session):
                await self._pump(call, name, session)
            responder.end()
        finally:
            stream.close()

    async def post(self, call: Call, responder: Responder, route: ServerRoute) -> None:
        """Pass on a message. Raises `RequestRefused` and `NotFound`."""
        session = self._session(call)
        request = call.request
        out = Outgoing(route, "POST", request.headers, request.body, repeatable=False, url=session.endpoint)
        try:
            answer = await self._healing.ask(out)
        except RequestRefused as refused:
            if not await self.refuse(call, responder, refused.refusal):
                raise
            return
        session.stream.know(answer)
        if answer.status >= 400:
            await Delivery(responder, server=call.upstream.id).answer(answer)
            return
        try:
            # So that the connection can be used again. The answers come on the stream.
            with suppress(SendFailure):
                await answer.peek()
        finally:
            answer.close()
        answer_empty(responder, answer.status)

    async def refuse(self, call: Call, responder: Responder, refusal: Refusal) -> bool:
        """Refuse the requests of a POST on the stream, where the client waits for answers; False when it has none."""
        ids = [] if call.post is None else [m.id for m in call.post.messages if m.kind is MessageKind.REQUEST]
        try:
            session = self._session(call)
        except NotFound:
            return False
        if not ids:
            return False
        for identity in ids:
            await session.write(message_event(refusal.to_json(identity)))
        if responder.started:
            responder.end()
        else:
            answer_empty(responder, 202)
        return True

    def stream_of(self, call: Call) -> Elsewhere | None:
        """Writes to the stream of a POST's session; None where there is no such session."""
        try:
            session = self._session(call)
        except NotFound:
            return None

        async def write(event: bytes) -> None:
            if session not in self._sessions.values():
                raise ConnectionResetError("the client is gone")
            await session.write(event)

        return write

    async def tools_changed(self, server: str, client: str | None) -> None:
        """Tell the clients that listen to a server that its tools changed."""
        for session in tuple(self._sessions.values()):
            if session.server == server and client in {None, session.client}:
                await session.write(LIST_CHANGED)

    def _session(self, call: Call) -> _OldSession:
        names = parse_qs(call.request.query).get("session", [""])
        session = self._sessions.get(names[0])
        if session is None or (session.client, session.server) != (call.client.id, call.upstream.id):
            raise NotFound("There is no such session.")
        return session

    @asynccontextmanager
    async def _opened(
        self, call: Call, stream: SseStream, responder: Responder
    ) -> AsyncIterator[tuple[str, _OldSession]]:
        name = secrets.token_urlsafe(24)
        session = self._sessions[name] = _OldSession(call, stream, responder)
        try:
            yield name, session
        finally:
            del self._sessions[name]

    async def _pump(self, call: Call, name: str, session: _OldSession) -> None:
        try:
            async with aclosing(session.stream.events()) as events:
                async for event in events:
                    if (url := session.stream.endpoint(event)) is not None:
                        # Each of them: the client sends its key to where the last one leads.
                        session.endpoint = url
                        address = f"/sse/{quote(call.upstream.id, safe='')}/messages?session={name}"
                        await session.write(with_data(event, address.encode()))
                    else:
                        await session.write(await self._revised(call, event))
        except SendFailure as failure:
            # Cut off, as the server's was: an end would say that it is complete.
            raise ConnectionResetError(failure.reason) from None

    async def _revised(self, call: Call, event: bytes) -> bytes:
        """An event as the client may see it."""
        data = data_of(event)
        if not data:
            return event
        try:
            # Any message with tools may be the list: servers take liberties with ids.
            shown = await self._policy.filtered(call.client, call.upstream, data)
        except RequestRefused as refused:
            return message_event(refused.refusal.to_json(_id_of(data)))
        return event if shown is data else with_data(event, shown)


def _id_of(message: bytes) -> str | int | float | None:
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return None
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, str | int | float) and not isinstance(found, bool) else None
