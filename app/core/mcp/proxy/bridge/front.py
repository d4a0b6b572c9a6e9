"""BridgeFront: one server behind a channel, offered as streamable HTTP (MCP, "Transports").

Nothing of a stream is kept for a client that lost it, so a client that goes away cancels its requests.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.core.errors import BurrowError
from app.core.mcp.proxy.bridge import answering
from app.core.mcp.proxy.bridge.calls import BridgeCall
from app.core.mcp.proxy.bridge.channel import ChannelClosed
from app.core.mcp.proxy.bridge.envelope import PROTOCOL, Envelope, Kind, NotJsonRpc, key_of, read_batch
from app.core.mcp.proxy.bridge.outlets import Outlet
from app.core.mcp.proxy.bridge.replies import ClientReplies, unavailable
from app.core.mcp.proxy.bridge.rewriting import cancelled_for_server
from app.core.mcp.proxy.bridge.stateless import Discovery, mismatch, status_of
from app.core.mcp.proxy.messages import INITIALIZE, INITIALIZED
from app.core.mcp.proxy.refusals import Refusal, RefusalKind, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.mcp.proxy.bridge.seats import Seat, Seats
    from app.core.mcp.proxy.parts import Call, CallPolicy, Responder, Upstream

# Later versions have no batches.
LAST_WITH_BATCHES = "2025-03-26"
CANCELLED = "notifications/cancelled"


class BridgeFront:
    """The requests of all clients for one server."""

    def __init__(self, upstream: Upstream, seats: Seats, policy: CallPolicy) -> None:
        self.upstream = upstream
        self.seats = seats
        self._policy = policy
        self._discovery = Discovery()

    async def handle(self, call: Call, responder: Responder) -> None:
        """Answer a request. Raises `RequestRefused` and `BurrowError`."""
        match call.request.method:
            case "POST":
                await self._post(call, responder)
            case "GET":
                await self._get(call, responder)
            case "DELETE":
                await self._delete(call, responder)
            case _:
                answering.answer_empty(responder, 405, (b"allow", b"POST, GET, DELETE"))

    async def close(self) -> None:
        """End all that runs."""
        await self.seats.close()

    async def _post(self, call: Call, responder: Responder) -> None:
        post = call.post
        assert post is not None
        try:
            messages = read_batch(post.body) if post.batch else (Envelope(post.body),)
        except NotJsonRpc as problem:
            raise _invalid(str(problem)) from None
        replies = ClientReplies(self._policy, call.client, self.upstream)
        if any(message.method == INITIALIZE for message in messages):
            if post.batch:
                raise _invalid("initialize comes alone, not in a batch.")
            await self._initialise(call, messages[0], replies, responder)
            return
        seat = await self._seat(call, messages)
        if seat is None:
            await _no_session(responder, call, messages)
            return
        if post.batch and (seat.link.traffic.stateless or seat.protocol > LAST_WITH_BATCHES):
            raise _invalid("This version of MCP has no batches.")
        await self._exchange(call, seat, messages, replies, responder)

    async def _initialise(self, call: Call, opening: Envelope, replies: ClientReplies, responder: Responder) -> None:
        if opening.kind is not Kind.REQUEST:
            raise _invalid("initialize has no id.")
        try:
            seat, answer = await self.seats.begin(call.client.id, opening)
        except ChannelClosed as closed:
            # An `initialize` changes nothing, so it may always be sent again.
            data = replies.lost(opening, closed.reason, sent=False)
            await answering.answer_json(responder, data)
            return
        except BurrowError as failure:
            await answering.answer_json(responder, replies.refused(opening, self._unusable(failure)))
            return
        session = "" if seat is None else seat.session.id
        await answering.answer_json(responder, answer.with_id(opening.id), session=session)

    async def _seat(self, call: Call, messages: Sequence[Envelope]) -> Seat | None:
        if call.session:
            return await self.seats.find(call.client.id, call.session)
        if all(_is_stateless(message, call) for message in messages):
            return self.seats.stateless(call.client.id)
        return None

    async def _exchange(
        self, call: Call, seat: Seat, messages: Sequence[Envelope], replies: ClientReplies, responder: Responder
    ) -> None:
        """Send what a POST has, and answer its requests."""
        outlet = Outlet()
        streams = answering.takes_streams(call.request) or responder.started
        requests = [
            BridgeCall(seat.session, message, outlet, replies, streams=streams)
            for message in messages
            if message.kind is Kind.REQUEST
        ]
        for message in messages:
            if message.kind is not Kind.REQUEST:
                await _tell(seat, message)
        if not requests:
            answering.answer_empty(responder, 202)
            return
        stateless = seat.link.traffic.stateless
        if stateless and (wrong := mismatch(call.request, requests[0].message)):
            await answering.answer_json(responder, wrong, status=400)
            return
        sending = asyncio.create_task(self._send(seat, requests, replies))
        try:
            status = status_of if stateless else _ok
            await answering.answer_requests(
                responder,
                outlet,
                len(requests),
                streams=streams,
                status_of=status,
                answered=lambda answer: self._policy.answered(call, answer),
            )
        finally:
            # The client is gone, or everything is answered.
            outlet.end()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            for request in requests:
                seat.link.traffic.abandon(request)
            seat.session.touch()

    async def _send(self, seat: Seat, requests: Sequence[BridgeCall], replies: ClientReplies) -> None:
        """Send requests in their order. One that cannot be sent is answered at once."""
        for request in requests:
            if any(other.message.key == request.message.key for other in seat.session.calls) and seat.own:
                request.fail(replies.refused(request.message, _twice()))
                continue
            try:
                if seat.link.traffic.stateless:
                    await self._discovery.request(seat.link, request)
                else:
                    await seat.link.request(request)
            except ChannelClosed as closed:
                request.fail(replies.lost(request.message, closed.reason, sent=closed.sent))
            except RequestRefused as refused:
                request.fail(replies.refused(request.message, refused.refusal))
            except BurrowError as failure:
                request.fail(replies.refused(request.message, self._unusable(failure)))

    def _unusable(self, failure: BurrowError) -> Refusal:
        return unavailable(self.upstream, f"{failure.cause} {failure.advice}", sent=False)

    async def _get(self, call: Call, responder: Responder) -> None:
        seat = await self._seat_of(call, responder)
        if seat is None:
            return
        seat.session.listening += 1
        try:
            await answering.answer_stream(responder, seat.session)
        finally:
            seat.session.listening -= 1
            seat.session.touch()

    async def _delete(self, call: Call, responder: Responder) -> None:
        seat = await self._seat_of(call, responder)
        if seat is not None:
            await self.seats.end(seat)
            answering.answer_empty(responder, 204)

    async def _seat_of(self, call: Call, responder: Responder) -> Seat | None:
        """That of the session which a GET or DELETE names; None where that was answered, because there is none."""
        if not call.session:
            answering.answer_empty(responder, 405, (b"allow", b"POST"))
            return None
        seat = await self.seats.find(call.client.id, call.session)
        if seat is None:
            await _no_session(responder, call, ())
        return seat


def _is_stateless(message: Envelope, call: Call) -> bool:
    """Whether a message without a session is of protocol 2026-07-28: a request says so itself, others in the header."""
    if PROTOCOL in message.meta:
        return True
    return message.kind is not Kind.REQUEST and (call.request.header(b"mcp-protocol-version") or b"") >= b"2026"


async def _tell(seat: Seat, message: Envelope) -> None:
    """Hand on an answer of the client, or a notification."""
    traffic = seat.link.traffic
    if message.kind is Kind.RESPONSE:
        # Only the session that was asked may answer.
        if traffic.asked.get(message.key) is seat.session:
            del traffic.asked[message.key]
            await seat.link.tell(message.data)
    elif message.method == CANCELLED:
        request = seat.session.call_of(key_of(message.params.get("requestId")))
        if request is not None:
            server_knows = traffic.forget(request)
            request.cancelled()
            if server_knows:
                await seat.link.tell(cancelled_for_server(request, message))
    elif message.method != INITIALIZED or traffic.own:
        await seat.link.tell(message.data)


async def _no_session(responder: Responder, call: Call, messages: Sequence[Envelope]) -> None:
    """A client that gets a 404 for its session begins a new one (MCP, "Session Management")."""
    words = "There is no such session. Send initialize." if call.session else "Send initialize first."
    refusal = Refusal(RefusalKind.INVALID, words)
    identity = messages[0].key if len(messages) == 1 and messages[0].kind is Kind.REQUEST else None
    known = identity if isinstance(identity, str | int | float) else None
    await answering.answer_json(responder, refusal.to_json(known), status=404 if call.session else 400)


def _ok(_answer: bytes) -> int:
    return 200


def _invalid(words: str) -> RequestRefused:
    return RequestRefused(Refusal(RefusalKind.INVALID, words))


def _twice() -> Refusal:
    return Refusal(RefusalKind.INVALID, "A request with this id is under way.")
