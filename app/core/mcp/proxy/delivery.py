"""Delivery: gives a client the answer to its request, as what it has become by then: a body, or events of a stream.

An answer turns into a stream as soon as the server begins one, or policy asks the user. What follows then is an event
of that stream, also when the server gives another answer than it began with, or none.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from app.core.auth.http.openings import JSON, PEEK_BYTES
from app.core.mcp.proxy.answered import AnswerWatch
from app.core.mcp.proxy.headers import SESSION, STREAMED, outward
from app.core.mcp.proxy.masking import TokenMask
from app.core.mcp.proxy.messages import MessageKind
from app.core.mcp.proxy.parts import SendFailure
from app.core.mcp.proxy.refusals import INVALID_REQUEST, PARSE_ERROR, TABLE, Refusal, RefusalKind, RequestRefused
from app.core.mcp.proxy.streams import (
    LONGEST_EVENT,
    EventSplitter,
    OversizedEvent,
    data_of,
    message_event,
    on_one_line,
    with_data,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.auth.http.recovery import TokenSource
    from app.core.auth.tokens import TokenSet
    from app.core.mcp.proxy.answers import ServerAnswer
    from app.core.mcp.proxy.messages import Post
    from app.core.mcp.proxy.parts import Headers, Responder

log = logging.getLogger(__name__)

JSON_TYPE = (b"content-type", b"application/json")
STREAM_TYPE = (b"content-type", b"text/event-stream")
NOT_STORED = (b"cache-control", b"no-store")
SUCCESS = range(200, 300)
CHECK_FIRST = "Check whether it took effect before sending it again."
TRY_AGAIN = "Try again in a moment."


class Delivery:
    """The answer to one request.

    `source` has the token that must not get into it. `session` is the client's session, once there is one. `revise` is
    given each message that may be a list of tools, and returns what the client may see of it. `repeatable`: executing
    the request twice does no harm. `answered` is given the server's answer, unless it is long.
    """

    def __init__(
        self,
        responder: Responder,
        post: Post | None = None,
        *,
        server: str = "",
        source: TokenSource | None = None,
        session: str = "",
        revise: Callable[[bytes], Awaitable[bytes]] | None = None,
        repeatable: bool = False,
        answered: Callable[[bytes], None] | None = None,
    ) -> None:
        self._responder = responder
        self._post = post
        self._server = server
        self._source = source
        self._session = session
        self._revise = revise
        self._repeatable = repeatable
        self._answered = answered
        # Of a stream that answers a request.
        self._watch = AnswerWatch(answered) if post is not None and post.request is not None else None
        # Whether what has begun is a stream.
        self._streams = responder.started
        self._mask = TokenMask()
        # The tokens that were masked last.
        self._known: TokenSet | None = None

    def use_session(self, identity: str) -> None:
        """The answer opens this session."""
        self._session = identity

    def begin_stream(self, answer: ServerAnswer) -> None:
        """The server begins a stream: so does the answer, before its first message."""
        if not self._responder.started:
            self._streams = True
            self._responder.start(200, self._headers(answer, stream=True))

    def begin_own_stream(self) -> None:
        """Begin a stream before any server has."""
        self._streams = True
        session = ((SESSION, self._session.encode("latin-1")),) if self._session else ()
        self._responder.start(200, (STREAM_TYPE, *STREAMED, *session))

    async def release(self, data: bytes) -> None:
        """Pass on a part of a stream."""
        data = self._masked(data)
        if data:
            await self._write(data)

    async def _write(self, data: bytes) -> None:
        """Pass on a part of a server's stream."""
        if self._watch is not None:
            self._watch.saw(data)
        await self._responder.write(data)

    async def write_event(self, event: bytes) -> None:
        """Add an event of the proxy's own to a stream whose events are looked into one by one."""
        if self._responder.started:
            await self._responder.write(event)

    async def answer(self, answer: ServerAnswer) -> None:
        """Pass on an answer of a server. Raises `ConnectionResetError` when it broke off."""
        self.know(answer)
        try:
            if self._responder.started:
                await self._continue(answer)
            elif answer.is_stream:
                self.begin_stream(answer)
                await self._stream(answer)
            elif self._revise is not None and answer.status in SUCCESS:
                # Whatever type it claims to have: some clients read it as JSON all the same.
                await self._whole(answer)
            else:
                if self._answered is not None and answer.ended:
                    self._answered(answer.message)
                self._responder.start(answer.status, self._headers(answer), length=answer.length)
                await self._pump(answer)
            self._responder.end()
        finally:
            answer.close()

    async def refuse(self, refusal: Refusal) -> None:
        """Answer a request with an error of the proxy's own."""
        responder, post = self._responder, self._post
        ids = [message.id for message in post.messages if message.kind is MessageKind.REQUEST] if post else []
        if TABLE[refusal.kind].code in {PARSE_ERROR, INVALID_REQUEST} and not responder.started:
            ids = []
        errors = [refusal.to_json(each) for each in ids] or [refusal.to_json(None)]
        body = b"[" + b",".join(errors) + b"]" if post is not None and post.batch and ids else errors[0]
        if responder.started:
            await responder.write(message_event(body))
        else:
            await self.json(200 if ids else refusal.status, body)
        responder.end()

    async def json(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """Answer with a whole body of JSON. The caller ends it."""
        self._responder.start(status, (JSON_TYPE, NOT_STORED, *headers), length=len(body))
        await self._responder.write(body)

    def _headers(self, answer: ServerAnswer, *, stream: bool = False) -> Headers:
        self.know(answer)
        headers = outward(answer.headers, session=self._session, stream=stream)
        mask = self._mask
        if mask and mask.is_in(b"\n".join([value for _name, value in headers])):
            headers = [(name, mask.whole(value)) for name, value in headers]
        return tuple(headers)

    def know(self, answer: ServerAnswer) -> None:
        """The token of this answer's request must not get into it."""
        if answer.tokens is not None and answer.tokens is not self._known:
            self._known = answer.tokens
            self._mask.add(answer.tokens.access_token)

    def _masked(self, data: bytes) -> bytes:
        # A stream may outlive the token of its request.
        current = None if self._source is None else _current(self._source)
        if current is not None and current is not self._known:
            self._known = current
            self._mask.add(current.access_token)
        return self._mask.feed(data)

    async def _pump(self, answer: ServerAnswer, change: Callable[[bytes], bytes] | None = None) -> None:
        """Pass on all of a body as it comes, or in an event, changed for that.

        Raises `ConnectionResetError` where the body broke off, in an event `SendFailure`.
        """
        write = self._responder.write if change is None else self._write
        try:
            while data := await answer.next():
                data = self._masked(data)
                if data:
                    await write(data if change is None else change(data))
        except SendFailure as failure:
            if change is not None:
                raise
            raise ConnectionResetError(failure.reason) from None
        if rest := self._mask.end():
            await write(rest if change is None else change(rest))

    async def _stream(self, answer: ServerAnswer) -> None:
        """Pass on the events of a server."""
        if self._revise is not None:
            await self._events(answer, self._revise)
            return
        try:
            while data := await answer.next():
                data = self._masked(data)
                if data:
                    await self._write(data)
        except SendFailure as failure:
            await self._broken(failure)
            return
        if rest := self._mask.end():
            await self._responder.write(rest)

    async def _events(self, answer: ServerAnswer, revise: Callable[[bytes], Awaitable[bytes]]) -> None:
        """Pass on events, each after it was looked into."""
        splitter = EventSplitter()
        try:
            while data := await answer.next():
                for event in splitter.feed(self._masked(data)):
                    await self._write(await revised(event, revise))
        except (SendFailure, OversizedEvent) as failure:
            await self._broken(failure)
            return
        rest = splitter.rest + self._mask.end()
        if rest:
            # Without its blank line it is no event (WHATWG HTML section 9.2.6), and nobody reads it.
            await self._responder.write(b":\n\n")

    async def _whole(self, answer: ServerAnswer) -> None:
        """Pass on a list of tools."""
        assert self._revise is not None
        body = await self._revise(self._mask.whole(await self._read_whole(answer)))
        self._responder.start(answer.status, self._headers(answer), length=len(body))
        await self._responder.write(body)

    async def _continue(self, answer: ServerAnswer) -> None:
        """Pass on an answer in a stream that has begun."""
        if answer.is_stream:
            await self._stream(answer)
        elif self._revise is not None and answer.status in SUCCESS:
            body = await self._revise(self._mask.whole(await self._read_whole(answer)))
            await self._responder.write(message_event(body))
        elif answer.status == 200 and answer.media_type == JSON:
            await self._write(b"event: message\ndata: ")
            try:
                await self._pump(answer, on_one_line)
            except SendFailure as failure:
                await self._broken(failure)
                return
            await self._write(b"\n\n")
        else:
            await self._error_event(answer)

    async def _error_event(self, answer: ServerAnswer) -> None:
        """An answer that is no success, in a stream."""
        try:
            body = self._mask.whole(await answer.peek())
        except SendFailure:
            body = b""
        request = None if self._post is None else self._post.request
        identity = None if request is None else request.id
        error = _error_in(body) if len(body) < PEEK_BYTES else None
        if error is not None:
            # An HTTP error may leave the id out. In a stream it is what tells the client which request failed.
            message = json.dumps({"jsonrpc": "2.0", "id": identity, "error": error}).encode()
        else:
            words = f"The server answered with status {answer.status}: {body[:500].decode('utf-8', 'replace').strip()}"
            refusal = Refusal(RefusalKind.SERVER_UNAVAILABLE, words.rstrip(": "), "", self._server)
            message = refusal.to_json(identity)
        await self._responder.write(message_event(message))

    async def _read_whole(self, answer: ServerAnswer) -> bytes:
        try:
            body = await answer.peek(LONGEST_EVENT)
        except SendFailure as failure:
            words = f"The server's list of tools broke off: {failure.reason}."
            raise RequestRefused(Refusal(RefusalKind.SERVER_UNAVAILABLE, words, "Try again.", self._server)) from None
        if not answer.ended:
            words = f"The server's list of tools is longer than {LONGEST_EVENT // 2**20} MB."
            raise RequestRefused(Refusal(RefusalKind.SERVER_UNAVAILABLE, words, "", self._server))
        return body

    async def _broken(self, failure: Exception) -> None:
        """A stream broke off. Whoever cannot resume it is told, instead of waiting for an answer for ever."""
        if not await self.break_off("The connection to the server broke"):
            raise ConnectionResetError(str(failure))

    async def break_off(self, why: str) -> bool:
        """End an answer that does not come; False where it has begun, or the client can resume it.

        A stream for no request just ends.
        """
        responder, watch = self._responder, self._watch
        if self._post is None and responder.started:
            responder.end()
            return True
        if responder.started and (not self._streams or watch is None or not watch.waits):
            return False
        if self._repeatable:
            refusal = Refusal(RefusalKind.SERVER_UNAVAILABLE, f"{why}. {TRY_AGAIN}", TRY_AGAIN, self._server)
        else:
            words = f"{why}, and the request may have been carried out. {CHECK_FIRST}"
            facts = {"outcome_unknown": True}
            refusal = Refusal(RefusalKind.SERVER_UNAVAILABLE, words, CHECK_FIRST, self._server, facts)
        if watch is not None and watch.ending:
            await responder.write(watch.ending)
        await self.refuse(refusal)
        return True


def _error_in(body: bytes) -> Any:
    """The JSON-RPC error of a body, None where it has none."""
    try:
        match json.loads(body):
            case {"jsonrpc": "2.0", "error": {"code": int(), "message": str()} as error}:
                return error
    except (ValueError, RecursionError):
        pass
    return None


def _current(source: TokenSource) -> TokenSet | None:
    try:
        return source.fresh_token()
    except Exception:
        # The answer is passed on whatever goes wrong in the layer that heals (faults row 70).
        log.exception("the current token is not known")
        return None


async def revised(event: bytes, revise: Callable[[bytes], Awaitable[bytes]]) -> bytes:
    """An event with the message that a client may see; the same object when that is all of it."""
    data = data_of(event)
    if not data:
        return event
    seen = await revise(data)
    return event if seen is data or seen == data else with_data(event, seen)
