"""Relay: the handler of the proxy's requests. It lets them in, asks policy, and carries them to their server.

    relay = Relay(host, sender, store, policy, port=41717, bridges=…)
    server = LoopbackServer(relay.handle)

The steps of a request: `Door`, `read_post`, `CallPolicy`, then a bridge, or `Reopening` around `Healing`; `Delivery`.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from app.core.auth.tokens import Fingerprints
from app.core.errors import BurrowError, NotFound
from app.core.mcp.proxy.answers import error_code
from app.core.mcp.proxy.delivery import TRY_AGAIN, Delivery
from app.core.mcp.proxy.door import ABOUT, MOST_OF_A_CLIENT, WRONG_KEY, Door, TurnedAway, nothing_here
from app.core.mcp.proxy.failures import refusal_of
from app.core.mcp.proxy.headers import SESSION
from app.core.mcp.proxy.healing import Healing, Outgoing
from app.core.mcp.proxy.listening import ListenStream
from app.core.mcp.proxy.messages import CANCELLED, INITIALIZE, LISTEN, TOOLS_LIST, Post, read_post
from app.core.mcp.proxy.open_streams import LIST_CHANGED, Streams, subscribed
from app.core.mcp.proxy.parts import Call, HttpUpstream, Way
from app.core.mcp.proxy.refusals import Refusal, RefusalKind, RequestRefused
from app.core.mcp.proxy.reopening import Reopening
from app.core.mcp.proxy.routes import REPEATABLE_METHODS, Routes
from app.core.mcp.proxy.sessions import SESSION_CODE, SHOWN_BYTES, Sessions, agent_in, is_over, protocol_of
from app.core.mcp.proxy.under_way import UnderWay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from app.core.mcp.proxy.answers import ServerAnswer
    from app.core.mcp.proxy.door import Admitted
    from app.core.mcp.proxy.parts import (
        CallPolicy,
        ProxyHost,
        Request,
        Responder,
        Sender,
        ServerBridge,
        SessionStore,
    )
    from app.core.mcp.proxy.routes import ServerRoute
    from app.core.mcp.proxy.sessions import ProxySession

Reviser: TypeAlias = "Callable[[bytes], Awaitable[bytes]]"

# Their answers are looked into, or they begin something that lasts.
ALONE = (INITIALIZE, TOOLS_LIST, LISTEN)
# Docs/wire.md, "Calling tools of installed servers": the tool needs approval, or is disabled.
STORE_REFUSALS = (-32001, -32002)
CLOSING = "Burrow is closing"
TEXT = ((b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"))


class _Contradicted(Exception):
    """A store asks for the user's approval of a call that was allowed as far as anybody here knew."""


class Relay:
    """Answers every request that comes in at the port."""

    def __init__(
        self,
        host: ProxyHost,
        sender: Sender,
        store: SessionStore,
        policy: CallPolicy,
        *,
        port: int,
        bridges: Iterable[ServerBridge] = (),
        fingerprint: Fingerprints | None = None,
    ) -> None:
        """`fingerprint`: of tokens, the same in every process of this installation."""
        self._host = host
        self._policy = policy
        self._door = Door(host, port)
        self._bridges = tuple(bridges)
        self._routes = Routes(host)
        self._sessions = Sessions(store, fingerprint or Fingerprints())
        self._healing = Healing(sender)
        self._reopening = Reopening(self._healing, self._sessions)
        self._streams = Streams()
        self._leaving = False
        # Of the requests that are answered now.
        self._under_way: dict[asyncio.Task[Any], Admitted] = {}
        # The tools that those of them call.
        self._calling: dict[asyncio.Task[Any], str] = {}

    async def handle(self, request: Request, responder: Responder) -> None:
        """Answer one request. Raises only when the client is gone, or when its answer has to be cut off."""
        post, server = None, ""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        try:
            admitted = self._under_way[task] = await self._door.admit(request)
            if not self._host.admits(admitted.key_hash, admitted.server):
                # It was taken away while it was looked up.
                raise TurnedAway(401, WRONG_KEY)
            if len(self._under_way) > MOST_OF_A_CLIENT:
                self._check_share(admitted.client.id)
            if not admitted.server:
                await _text(responder, ABOUT)
                return
            server = admitted.server
            post = _read(request) if request.method == "POST" else None
            if post is not None and post.calls:
                self._calling[task] = post.calls[0].tool or ""
            await self._carry(request, responder, admitted, post)
        except TurnedAway as away:
            await _turn_away(responder, away)
        except RequestRefused as refused:
            await Delivery(responder, post, server=server).refuse(refused.refusal)
        except NotFound as error:
            if responder.started:
                await Delivery(responder, post, server=server).refuse(refusal_of(error, server))
            else:
                await _turn_away(responder, nothing_here())
        except BurrowError as error:
            await Delivery(responder, post, server=server).refuse(refusal_of(error, server))
        except asyncio.CancelledError:
            # What was sent is answered by whoever sent it.
            if not self._leaving or responder.started:
                raise
            await Delivery(responder, post, server=server).refuse(_closing(server))
        finally:
            self._under_way.pop(task, None)
            self._calling.pop(task, None)

    @property
    def under_way(self) -> tuple[UnderWay, ...]:
        """The requests that are answered now. May be read on any thread."""
        # Copied in one step of the interpreter: the other thread goes on.
        return tuple(
            UnderWay(admitted.client.name, admitted.server, self._calling.get(task, ""))
            for task, admitted in self._under_way.copy().items()
            if admitted.server
        )

    def leave(self) -> None:
        """The process ends: a request that is cancelled from now on is told so."""
        self._leaving = True

    def end_refused(self) -> None:
        """End what is answered now to a key that ended, or that may not use its server any more."""
        for task, admitted in tuple(self._under_way.items()):
            if not self._host.admits(admitted.key_hash, admitted.server):
                task.cancel()

    def _check_share(self, client: str) -> None:
        """Leave room for the other clients. Raises `TurnedAway`."""
        if sum(admitted.client.id == client for admitted in self._under_way.values()) > MOST_OF_A_CLIENT:
            words = f"This client has {MOST_OF_A_CLIENT} requests and streams open. Close some of them."
            raise TurnedAway(429, words, ((b"retry-after", b"5"),))

    def tools_changed(self, server_id: str, client_id: str | None) -> None:
        """See `OpenStreams`."""
        self._streams.tools_changed(server_id, client_id)
        for bridge in self._bridges:
            bridge.tools_changed(server_id, client_id)

    async def close(self) -> None:
        """Wait for nothing more."""
        await self._streams.close()
        await self._sessions.close()
        await self._routes.close()

    async def _carry(self, request: Request, responder: Responder, admitted: Admitted, post: Post | None) -> None:
        client, server, way, _key_hash = admitted
        upstream = await self._host.upstream(server)
        named = request.header(SESSION)
        identity = "" if named is None else named.decode("latin-1")
        session = None
        relayed = isinstance(upstream, HttpUpstream) and not upstream.sse and way is Way.MCP
        if relayed and identity and (post is None or post.method != INITIALIZE):
            session = await self._sessions.find(identity, client.id, server)
            if session is None:
                await _unknown_session(responder, post)
                return
        agent = agent_in(post) if session is None else session.agent
        call = Call(request, client, upstream, way, post, identity, agent)
        self._count(call)
        if post is not None and post.calls:
            try:
                try:
                    await self._send_admitted(call, responder, session)
                except _Contradicted:
                    # The policy that is known now is not Allow, and so contradicted no more.
                    await self._send_admitted(call, responder, session)
            except RequestRefused as refused:
                for bridge in self._bridges:
                    if bridge.takes(call) and await bridge.refuse(call, responder, refused.refusal):
                        return
                raise
        elif post is not None and post.method == CANCELLED and self._policy.cancelled(call):
            responder.start(202, (), length=0)
            responder.end()
        else:
            await self._send_on(call, responder, session)

    async def _send_admitted(self, call: Call, responder: Responder, session: ProxySession | None) -> None:
        async with AsyncExitStack() as allowed:
            await self._admit(call, responder, allowed)
            await self._send_on(call, responder, session)

    async def _admit(self, call: Call, responder: Responder, allowed: AsyncExitStack) -> None:
        elsewhere = next((bridge.elsewhere(call) for bridge in self._bridges if bridge.takes(call)), None)
        try:
            await allowed.enter_async_context(self._policy.admitted(call, responder, elsewhere))
        except asyncio.CancelledError:
            if not self._leaving:
                raise
            raise RequestRefused(_closing(call.upstream.id)) from None

    async def _send_on(self, call: Call, responder: Responder, session: ProxySession | None) -> None:
        for bridge in self._bridges:
            if bridge.takes(call):
                try:
                    await bridge.handle(call, responder)
                except asyncio.CancelledError:
                    reads = call.post is not None and call.post.methods <= REPEATABLE_METHODS
                    await self._broken_off(Delivery(responder, call.post, server=call.upstream.id, repeatable=reads))
                return
        upstream = call.upstream
        if call.way is not Way.MCP or not isinstance(upstream, HttpUpstream) or upstream.sse:
            raise NotFound
        await self._relay(call, responder, self._routes.to(upstream), session)

    def _count(self, call: Call) -> None:
        for message in () if call.post is None else call.post.messages:
            if message.id is not None:
                self._host.used(call.client, call.upstream.id, message.tool, call.agent)

    async def _relay(self, call: Call, responder: Responder, route: ServerRoute, session: ProxySession | None) -> None:
        request, post = call.request, call.post
        if request.method == "GET":
            stream = ListenStream(call, responder, route, session, self._healing, self._reopening, self._revise)
            with self._streams.opened(call, stream.write, LIST_CHANGED):
                try:
                    await stream.run()
                except asyncio.CancelledError:
                    await self._broken_off(Delivery(responder, server=call.upstream.id))
            return
        out = Outgoing(route, request.method, request.headers, request.body, session)
        if request.method == "DELETE":
            out.waits = False
            await self._end(out, responder)
            return
        assert post is not None
        out.repeatable = route.repeatable(post)
        delivery = Delivery(
            responder,
            post,
            server=route.upstream.id,
            source=route.upstream.source,
            session="" if session is None else session.id,
            revise=await self._reviser(call, route, post),
            repeatable=out.repeatable,
            answered=(lambda message: self._policy.answered(call, message)) if post.calls else None,
        )
        try:
            if post.method == INITIALIZE:
                await self._initialize(call, out, delivery)
            else:
                await self._exchange(call, out, delivery)
        except asyncio.CancelledError:
            await self._broken_off(delivery)

    async def _exchange(self, call: Call, out: Outgoing, delivery: Delivery) -> None:
        """Carry a message that is no `initialize`."""
        post, session = call.post, out.session
        assert post is not None
        out.begin, out.release = delivery.begin_stream, delivery.release
        answer = await self._reopening.ask(out)
        if refuses_by_policy(post, answer) and await self._policy.contradicted(call):
            answer.close()
            raise _Contradicted
        if session is not None and answer.status == 200:
            session.remember(post)
        notice = subscribed(post) if answer.is_stream else None
        if notice is None:
            await delivery.answer(answer)
            return
        with self._streams.opened(call, delivery.write_event, notice):
            await delivery.answer(answer)

    async def _broken_off(self, delivery: Delivery) -> None:
        """What was sent is cancelled: the process ends, or the client is gone. Raises what has to be raised then."""
        if not self._leaving or not await delivery.break_off(CLOSING):
            raise asyncio.CancelledError

    async def _initialize(self, call: Call, out: Outgoing, delivery: Delivery) -> None:
        """Carry an `initialize`. The session that the server opens becomes one of the proxy's."""
        answer = await self._healing.ask(out)
        upstream_id = answer.text_headers.get(SESSION.decode(), "")
        protocol = protocol_of(answer.message)
        if upstream_id and answer.status == 200:
            session = await self._sessions.begin(
                call.client.id,
                call.upstream.id,
                opening=out.body,
                upstream_id=upstream_id,
                protocol=protocol or "",
                opened_with="" if answer.tokens is None else answer.tokens.access_token,
            )
            delivery.use_session(session.id)
        await delivery.answer(answer)

    async def _end(self, out: Outgoing, responder: Responder) -> None:
        """End a session, here and at its server."""
        session = out.session
        if session is not None:
            await self._sessions.end(session)
        delivery = Delivery(responder, server=out.route.upstream.id, source=out.route.upstream.source)
        try:
            answer = await self._healing.ask(out)
        except RequestRefused:
            if session is None:
                raise
            answer = None
        if answer is None or (session is not None and is_over(answer)):
            if answer is not None:
                answer.close()
            responder.start(204, ())
            responder.end()
            return
        await delivery.answer(answer)

    async def _reviser(self, call: Call, route: ServerRoute, post: Post) -> Reviser | None:
        """What looks into the messages of an answer; None for an answer that passes as it comes."""
        if post.method == LISTEN:
            return lambda message: self._revise(call, route, message)
        if post.method != TOOLS_LIST:
            return None
        hides = await self._policy.hides(call.client, call.upstream)
        return (lambda message: self._revise(call, route, message)) if hides or route.upstream.trusted else None

    async def _revise(self, call: Call, route: ServerRoute, message: bytes) -> bytes:
        """A message of a server as the client may see it, where it may be a list of tools."""
        # A name may be written with escapes: only what certainly is no list is not learnt from.
        if b'"tools"' in message or b"\\u" in message:
            route.learn(message)
        return await self._policy.filtered(call.client, call.upstream, message)


def _closing(server: str) -> Refusal:
    """What a request is told that is not sent any more."""
    return Refusal(RefusalKind.NOT_READY, f"{CLOSING}. {TRY_AGAIN}", TRY_AGAIN, server)


def refuses_by_policy(post: Post, answer: ServerAnswer) -> bool:
    """Whether a store refuses a call because of the tool's policy. Then the call did not run."""
    if post.request is None or not post.calls or answer.status != 200 or b"-3200" not in answer.message[:SHOWN_BYTES]:
        return False
    return error_code(answer.message) in STORE_REFUSALS


def _read(request: Request) -> Post:
    post = read_post(request.body)
    if post.batch and any(message.method in ALONE for message in post.messages):
        raise RequestRefused(
            Refusal(RefusalKind.INVALID, f"A batch has none of {', '.join(ALONE)}: send it by itself.")
        )
    return post


async def _turn_away(responder: Responder, away: TurnedAway) -> None:
    await Delivery(responder).json(away.status, away.body, away.headers)
    responder.end()


async def _text(responder: Responder, words: str) -> None:
    body = words.encode()
    responder.start(200, TEXT, length=len(body))
    await responder.write(body)
    responder.end()


async def _unknown_session(responder: Responder, post: Post | None) -> None:
    """Tell a client that its session is over: it opens another one (MCP 2025-11-25, "Session Management")."""
    request = None if post is None else post.request
    error = {"code": SESSION_CODE, "message": "Session not found"}
    body = json.dumps({"jsonrpc": "2.0", "id": None if request is None else request.id, "error": error})
    await Delivery(responder).json(404, body.encode())
    responder.end()
