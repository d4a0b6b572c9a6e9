"""ShimSession: carries the messages of one program to one server of the proxy, and what comes back.

A request is sent again only if it surely did not run, or only reads. While the process that serves the proxy changes,
requests wait some seconds. The proxy keeps the session when it is started again; one that it does not know any more is
opened again with the program's own `initialize`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from app.core.mcp.event_stream import EventReader
from app.core.mcp.proxy.parts import SendFailure
from app.core.mcp.proxy.refusals import INVALID_REQUEST, PARSE_ERROR
from app.core.mcp.proxy.shim.answers import header, is_stream, read_body, read_messages
from app.core.mcp.proxy.shim.channel import FIRST_REOPENING, NotReopened, refused_words
from app.core.mcp.proxy.shim.exchange import DONE, PUT_OFF, AttemptOutcome, NextStep, Patience, ShimExchange
from app.core.mcp.proxy.shim.failures import no_access, not_ready, outcome_unknown, unavailable
from app.core.mcp.proxy.shim.messages import (
    CANCELLED,
    INITIALIZE,
    INITIALIZED,
    OPENINGS,
    NoMessage,
    answer_lines,
    error_line,
    key_of,
    read_program_message,
    read_server_message,
)
from app.core.mcp.proxy.shim.mirror import TOOLS_LIST, HeaderMirror, version_of
from app.core.mcp.proxy.shim.pipes import LineTooLong
from app.core.mcp.proxy.shim.reach import NoProxy

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.mcp.proxy.parts import UpstreamResponse
    from app.core.mcp.proxy.shim.channel import SessionChannel
    from app.core.mcp.proxy.shim.messages import ProgramMessage, ServerMessage
    from app.core.mcp.proxy.shim.pipes import Lines, LineWriter

# Requests that are sent at once; those that wait for that or for an answer, and their bytes. Beyond it nothing is read.
MOST_AT_ONCE, MOST_REQUESTS, MOST_BYTES = 64, 1024, 32 * 1024 * 1024
# A message without an answer goes before the next one, unless the server takes longer than this to accept it.
ACCEPT_SECONDS = 2.0
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
# Each look asks the server, which may be anybody's.
POLL_GROWTH, SLOWEST_POLL = 1.2, 3.0
RESUMPTIONS = 5
END_SECONDS = 1.0
# A program whose input was a file or a pipe has nothing more to send, and still reads what it is answered.
FINISH_SECONDS = 3.0


class ShimSession:
    """One program and one server."""

    def __init__(
        self, channel: SessionChannel, output: LineWriter, say: Callable[[str], None], patience: Patience | None = None
    ) -> None:
        """`say` tells the user something, beside the messages."""
        self._channel = channel
        self._output = output
        self._say = say
        self._patience = patience or Patience()
        self._mirror = HeaderMirror()
        self._listening: asyncio.Task[None] | None = None
        # Each request that is not answered yet, by the JSON text of its id; those that the program cancelled.
        self._requests: dict[str, asyncio.Task[None]] = {}
        self._cancelled: set[str] = set()
        # Of all that wait.
        self._bytes = 0
        self._others: set[asyncio.Task[None]] = set()
        self._fewer = asyncio.Event()
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        # Not set while a session is opened: what a program sends without waiting for that belongs to the session.
        self._settled = asyncio.Event()
        self._settled.set()
        self._told = ""

    async def run(self, lines: Lines) -> None:
        """Carry the program's messages until it sends no more, and a moment longer what they are answered."""
        while True:
            try:
                line = await lines.next()
                if line is None:
                    await self._finish()
                    return
                if line.strip():
                    await self._begin(read_program_message(line.strip(b"\r")))
            except LineTooLong:
                await self._output.write(error_line(None, PARSE_ERROR, "The message is too long."))
            except NoMessage as problem:
                await self._output.write(problem.answer)

    async def _finish(self) -> None:
        under_way = {*self._requests.values(), *self._others}
        if under_way:
            await asyncio.wait(under_way, timeout=FINISH_SECONDS)

    async def end(self) -> None:
        """Cancel what is under way and delete the session, within about a second."""
        listening = [] if self._listening is None else [self._listening]
        tasks = [*self._requests.values(), *self._others, *listening]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._channel.close_session()

    async def _begin(self, message: ProgramMessage) -> None:
        cancelled = key_of(message.params.get("requestId")) if message.method == CANCELLED else ""
        if cancelled in self._requests:
            self._cancelled.add(cancelled)
        twice = message.ids.keys() & self._requests.keys()
        if twice:
            words = f"The id {min(twice)[:100]} is that of a request which is not answered yet."
            raise NoMessage(INVALID_REQUEST, words)
        if message.method == INITIALIZE:
            self._settled.clear()
        task = asyncio.create_task(self._carry(message))
        for key in message.ids:
            self._requests[key] = task
        if message.ids:
            self._bytes += len(message.body)
            task.add_done_callback(lambda _: self._over(message))
        else:
            self._others.add(task)
            task.add_done_callback(self._others.discard)
            await asyncio.wait([task], timeout=ACCEPT_SECONDS)
            if cancelled in self._requests and version_of(message):
                # Since revision 2026-07-28 a request is cancelled by leaving it.
                self._requests[cancelled].cancel()
        while len(self._requests) >= MOST_REQUESTS or self._bytes >= MOST_BYTES:
            self._fewer.clear()
            await self._fewer.wait()

    def _over(self, message: ProgramMessage) -> None:
        for key in message.ids:
            self._requests.pop(key, None)
            self._cancelled.discard(key)
        self._bytes -= len(message.body)
        self._fewer.set()

    async def _carry(self, message: ProgramMessage) -> None:
        exchange = ShimExchange(message, dict(message.ids))
        try:
            if message.method != INITIALIZE:
                await self._settled.wait()
            if message.ids:
                async with self._turns:
                    await self._exchange(exchange)
            else:
                # An answer that a request waits for must not wait for the requests.
                await self._exchange(exchange)
        except Exception as bug:  # noqa: BLE001 - the program must not wait for ever
            await self._fail(exchange, unavailable(self._channel.server, f"Burrow failed: {type(bug).__name__}: {bug}"))
        finally:
            if message.method == INITIALIZE:
                self._settled.set()

    async def _exchange(self, exchange: ShimExchange) -> None:
        """Send a message until it is answered or failed."""
        now, message, reach = asyncio.get_running_loop().time, exchange.message, self._channel.reach
        if message.method == INITIALIZE:
            await self._channel.close_session()
            self._channel.opening(message)
        opening = message.method in OPENINGS
        signed_in_by, deadline, starts = now() + self._patience.sign_in, 0.0, reach.starts
        pause, poll, reopened = FIRST_PAUSE, self._patience.poll, False
        while not exchange.waiting.keys() & self._cancelled:
            session = self._channel.session
            exchange.waits = opening and now() < signed_in_by
            following, reason = await self._attempt(exchange)
            if following is NextStep.DONE:
                return
            if following is NextStep.SIGN_IN:
                # The others are not kept waiting: they are told.
                self._settled.set()
                deadline = 0.0
                await asyncio.sleep(poll)
                poll = min(poll * POLL_GROWTH, self._patience.poll * SLOWEST_POLL)
            elif following is NextStep.REOPEN:
                try:
                    if reopened:
                        raise NotReopened({})
                    await self._channel.open_again(session)
                except NotReopened as gone:
                    await self._fail(exchange, gone.error or unavailable(self._channel.server, reason))
                    return
                reopened = True
            else:
                if not deadline or reach.starts != starts:
                    # A process that has to be started first takes its own time.
                    patience = self._patience.opening if opening else self._patience.owner
                    deadline, starts = now() + patience, reach.starts
                if now() >= deadline:
                    await self._fail(exchange, not_ready(self._channel.server, reason))
                    return
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _attempt(self, exchange: ShimExchange) -> AttemptOutcome:
        """Send a message once."""
        message, session = exchange.message, self._channel.session
        try:
            answer = await self._channel.send("POST", self._mirror.headers(message), message.body)
        except NoProxy as failure:
            await self._fail(exchange, not_ready(self._channel.server, str(failure)))
            return DONE
        except SendFailure as failure:
            return await self._broke(exchange, failure)
        try:
            if is_stream(answer):
                return await self._read_stream(exchange, answer)
            body = await read_body(answer)
        except SendFailure as failure:
            self._channel.reach.lost()
            return await self._broke(exchange, failure)
        finally:
            answer.close()
        if answer.status == 404 and session and message.method != INITIALIZE:
            return AttemptOutcome(NextStep.REOPEN, refused_words(answer, body))
        return await self._read_body(exchange, answer, body)

    async def _broke(self, exchange: ShimExchange, failure: SendFailure) -> AttemptOutcome:
        if not failure.sent or exchange.reads:
            return AttemptOutcome(NextStep.AGAIN, failure.reason)
        await self._fail(exchange, outcome_unknown(self._channel.server, failure.reason))
        return DONE

    async def _read_body(self, exchange: ShimExchange, answer: UpstreamResponse, body: bytes) -> AttemptOutcome:
        """An answer that is complete."""
        found = read_server_message(body) if body else None
        words = refused_words(answer, body)
        if answer.status < 300:
            if found is not None and (put_off := await self._take(exchange, found, answer)):
                return put_off
            if exchange.message.method == INITIALIZED:
                self._channel.opened(exchange.message)
                self._listen()
            if exchange.waiting:
                await self._fail(exchange, unavailable(self._channel.server, "It did not answer the request."))
        elif answer.status == 503 and not (found is not None and found.error.get("data")):
            return AttemptOutcome(NextStep.AGAIN, words)
        elif found is not None and found.error:
            # The proxy, or the server, could not tell which request it was; here it is known.
            await self._fail(exchange, found.error)
        elif answer.status == 401 and not header(answer, b"www-authenticate"):
            await self._fail(exchange, no_access(self._channel.server))
        else:
            await self._fail(exchange, unavailable(self._channel.server, words))
        return DONE

    async def _read_stream(self, exchange: ShimExchange, answer: UpstreamResponse) -> AttemptOutcome:
        """An answer that comes as a stream, and the rest of it after an interruption, where the server has that."""
        reader, first, resumptions = EventReader(), answer, 0
        while True:
            reason = "the stream of its answer ended early"
            try:
                async for found in read_messages(reader, answer):
                    if put_off := await self._take(exchange, found, first):
                        return put_off
            except SendFailure as failure:
                self._channel.reach.lost()
                reason = failure.reason
            finally:
                answer.close()
            if not exchange.waiting:
                return DONE
            again: UpstreamResponse | None = None
            while reader.last_id is not None and resumptions < RESUMPTIONS and again is None:
                resumptions += 1
                await asyncio.sleep(FIRST_REOPENING * 2**resumptions if reader.retry is None else reader.retry)
                with contextlib.suppress(SendFailure, NoProxy):
                    again = await self._channel.send("GET", ((b"last-event-id", reader.last_id),))
            if again is None or not is_stream(again):
                if again is not None:
                    again.close()
                return await self._broke(exchange, SendFailure(reason, sent=True))
            answer, reader = again, reader.after_break()

    async def _take(
        self, exchange: ShimExchange, found: ServerMessage, answer: UpstreamResponse
    ) -> AttemptOutcome | None:
        """One message of an answer; what is to be done before the request is sent again, if it is waited for."""
        if found.answers & exchange.waiting.keys():
            refusal = found.refusal if exchange.waits else None
            if refusal in PUT_OFF:
                words = str(found.error.get("message", ""))
                self._tell(words)
                return AttemptOutcome(PUT_OFF[refusal], words)
            if exchange.message.method == INITIALIZE and found.result:
                self._channel.answered(answer, found)
            if exchange.message.method == TOOLS_LIST:
                self._mirror.learn(found.result)
            for key in found.answers:
                exchange.waiting.pop(key, None)
        await self._output.write(found.line)
        return None

    def _listen(self) -> None:
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._channel.listen(self._output))

    async def _fail(self, exchange: ShimExchange, error: dict[str, Any]) -> None:
        """Tell the program that its requests failed, or the user that another message did."""
        if not exchange.message.ids:
            what = exchange.message.method or "An answer"
            self._tell(f"{what} did not reach {self._channel.server.title}: {error.get('message', '')}")
        left = {key: identity for key, identity in exchange.waiting.items() if key not in self._cancelled}
        exchange.waiting.clear()
        for line in answer_lines(left, error):
            await self._output.write(line)

    def _tell(self, words: str) -> None:
        if words != self._told:
            self._told = words
            self._say(words)
