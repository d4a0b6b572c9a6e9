"""Peer: one side of a JSON-RPC 2.0 conversation, one message a line, over asyncio byte streams.

Requests go both ways at once (https://www.jsonrpc.org/specification,
https://agentclientprotocol.com/protocol/transports). A slow reader on the other side delays what is sent, never what is
read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from app.acp.messages import (
    INTERNAL_ERROR,
    REQUEST_CANCELLED,
    IncomingAnswer,
    IncomingNotification,
    IncomingRequest,
    PeerBroken,
    PeerClosed,
    RefusedRequest,
    RpcError,
    decode,
    encode,
    excerpt,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import TypeAlias

    from app.acp.messages import RequestId

    Params: TypeAlias = Mapping[str, object]
    OnRequest: TypeAlias = Callable[[str, dict[str, object], RequestId], Awaitable[Params | None]]
    OnNotification: TypeAlias = Callable[[str, dict[str, object]], None]

log = logging.getLogger(__name__)

CANCEL_REQUEST = "$/cancel_request"
LARGEST = 64 * 1024 * 1024
READ_BYTES = 256 * 1024
# How long messages are handled before the loop has a turn: the reader of a stream does not wait while it has data.
SLICE_SECONDS = 0.002
# More requests at once than any agent needs. What asks without end would fill the memory with answers.
MOST_HANDLERS = 1_000
NOTICES = 100
NOTICE_CHARACTERS = 400


class ByteSource(Protocol):
    """What is read from; `asyncio.StreamReader` is one."""

    async def read(self, size: int, /) -> bytes:
        """Up to `size` bytes as soon as there are any, none at the end."""


class ByteSink(Protocol):
    """What is written to; `asyncio.StreamWriter` is one."""

    def write(self, data: bytes, /) -> None:
        """Take the bytes; raises OSError once the other side is gone."""

    async def drain(self) -> None:
        """Wait until more can be taken; raises OSError once the other side is gone."""


class Peer:
    """One side of the conversation. Whoever makes it runs `run` in a task of its own.

    `on_request(method, params, id)` and `on_notification(method, params)` are called in the order of arrival, on the
    loop, and must not block. `on_request` returns an awaitable with the result, an object or None; it may raise
    `RpcError`, at once or when awaited. Each awaitable gets a task, so one that waits for a person holds up nothing.

    `notices` are the latest lines that were no messages, such as an agent's log on standard output, each at most 400
    characters; `on_notice` gets them as well.
    """

    def __init__(
        self,
        reader: ByteSource,
        writer: ByteSink,
        *,
        on_request: OnRequest,
        on_notification: OnNotification,
        on_notice: Callable[[str], None] | None = None,
        largest: int = LARGEST,
    ) -> None:
        self.notices: deque[str] = deque(maxlen=NOTICES)
        self._reader = reader
        self._writer = writer
        self._on_request = on_request
        self._on_notification = on_notification
        self._on_notice = on_notice
        self._largest = largest
        self._closed: PeerClosed | None = None
        self._last_id = 0
        self._pending: dict[int, tuple[str, asyncio.Future[dict[str, object]]]] = {}
        self._outgoing: deque[tuple[bytes, asyncio.Future[None]]] = deque()
        self._outgoing_wanted = asyncio.Event()
        self._handlers: dict[asyncio.Future[Params | None], IncomingRequest] = {}

    @property
    def closed(self) -> bool:
        """Whether nothing more can be sent."""
        return self._closed is not None

    async def run(self) -> None:
        """Read until the other side ends its output. Raises `PeerBroken` when it ends inside of a message, sends one
        that is too large, or asks without end. After that every request and every handler is over.
        """
        writing = asyncio.create_task(self._write(), name="acp peer writes")
        reason = PeerClosed("The other side closed the connection.")
        try:
            await self._read()
        except PeerBroken as failure:
            reason = failure
            raise
        except OSError as failure:
            reason = PeerBroken(f"Reading failed: {failure.strerror or failure}.")
            raise reason from failure
        finally:
            self._close(reason)
            writing.cancel()
            # The first step of each, so that what it has open is closed by itself.
            await asyncio.sleep(0)
            handlers = list(self._handlers)
            for handler in handlers:
                handler.cancel()
            await asyncio.gather(writing, *handlers, return_exceptions=True)

    async def request(self, method: str, params: Params, *, timeout: float | None = None) -> dict[str, object]:
        """Ask and return the result; null counts as an empty object. `timeout` is in seconds and includes the sending.

        Raises `RpcError` with the other side's error, `PeerClosed` when it is gone, TimeoutError. Who gives up, by a
        timeout or by being cancelled, has the other side told (`$/cancel_request`), and an answer that still comes is
        dropped.
        """
        self._last_id += 1
        number = self._last_id
        answer: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()
        self._pending[number] = (method, answer)
        try:
            async with asyncio.timeout(timeout):
                await self._queue(encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))
                return await answer
        except (TimeoutError, asyncio.CancelledError):
            self._put({"jsonrpc": "2.0", "method": CANCEL_REQUEST, "params": {"requestId": number}})
            raise
        finally:
            self._pending.pop(number, None)
            # An error that nobody took any more is not one to report.
            if answer.done() and not answer.cancelled():
                answer.exception()

    async def notify(self, method: str, params: Params) -> None:
        """Tell, and return when it is on its way. Raises `PeerClosed`."""
        await self._queue(encode({"jsonrpc": "2.0", "method": method, "params": params}))

    async def _read(self) -> None:
        buffer = bytearray()
        searched = 0
        while chunk := await self._reader.read(READ_BYTES):
            buffer += chunk
            began = time.perf_counter()
            while (end := buffer.find(b"\n", searched)) >= 0:
                line = bytes(buffer[:end])
                del buffer[: end + 1]
                searched = 0
                if len(line) > self._largest:
                    break
                self._take(line)
                if time.perf_counter() - began > SLICE_SECONDS:
                    await asyncio.sleep(0)
                    began = time.perf_counter()
            else:
                searched = len(buffer)
                if searched <= self._largest:
                    await asyncio.sleep(0)
                    continue
            raise PeerBroken(f"A message has more than {self._largest:,} bytes.")
        rest = bytes(buffer).strip()
        if rest.startswith(b"{"):
            raise PeerBroken(f"The connection ended inside of a message, after {len(rest):,} bytes of it.")
        if rest:
            self._notice(rest.decode("utf-8", "replace"))

    def _take(self, line: bytes) -> None:
        for message in decode(line):
            if isinstance(message, IncomingRequest):
                self._start(message)
            elif isinstance(message, IncomingNotification):
                self._tell(message)
            elif isinstance(message, IncomingAnswer):
                self._settle(message)
            elif isinstance(message, RefusedRequest):
                self._put(_error(message.id, message.error))
            else:
                self._notice(message.text)

    def _start(self, request: IncomingRequest) -> None:
        if len(self._handlers) + len(self._outgoing) >= MOST_HANDLERS:
            raise PeerBroken(f"The other side asks more than {MOST_HANDLERS:,} things at once.")
        try:
            handler = asyncio.ensure_future(self._on_request(request.method, request.params, request.id))
        except Exception as failure:  # noqa: BLE001 - whatever a handler raises is answered
            self._put(_error(request.id, _as_rpc_error(request.method, failure)))
            return
        self._handlers[handler] = request
        handler.add_done_callback(self._answer)

    def _answer(self, handler: asyncio.Future[Params | None]) -> None:
        """Answer with what a handler returned. Also of one that was cancelled before it began."""
        request = self._handlers.pop(handler)
        if handler.cancelled():
            self._put(_error(request.id, RpcError(REQUEST_CANCELLED, "Request cancelled")))
        elif (failure := handler.exception()) is not None:
            self._put(_error(request.id, _as_rpc_error(request.method, failure)))
        else:
            try:
                self._put({"jsonrpc": "2.0", "id": request.id, "result": handler.result()})
            except (TypeError, ValueError) as unsayable:
                self._put(_error(request.id, _as_rpc_error(request.method, unsayable)))

    def _cancel(self, request_id: object) -> None:
        for handler, request in list(self._handlers.items()):
            if request.id == request_id:
                # Behind its first step, so that what it has open is closed by itself.
                asyncio.get_running_loop().call_soon(handler.cancel)

    def _tell(self, notification: IncomingNotification) -> None:
        if notification.method == CANCEL_REQUEST:
            self._cancel(notification.params.get("requestId"))
            return
        try:
            self._on_notification(notification.method, notification.params)
        except Exception:
            log.exception("%s was not handled", notification.method)

    def _settle(self, answer: IncomingAnswer) -> None:
        method, waiting = self._pending.get(answer.id, ("", None)) if answer.id is not None else ("", None)
        if waiting is None or waiting.done():
            self._notice(f"An answer to no open request: {excerpt(answer.raw)}")
        elif answer.error is not None:
            waiting.set_exception(answer.error)
        else:
            if answer.strange:
                self._notice(f"{method} was answered with a result that is no object: {excerpt(answer.raw)}")
            waiting.set_result(answer.result)

    def _notice(self, text: str) -> None:
        text = text.strip()[:NOTICE_CHARACTERS]
        if not text:
            return
        self.notices.append(text)
        if self._on_notice is not None:
            self._on_notice(text)

    def _put(self, message: Mapping[str, object]) -> None:
        """Send without waiting, and without an error where that is not possible any more."""
        if self._closed is None:
            self._queue(encode(message)).add_done_callback(_look)

    def _queue(self, data: bytes) -> asyncio.Future[None]:
        if self._closed is not None:
            raise self._closed
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outgoing.append((data, sent))
        self._outgoing_wanted.set()
        return sent

    async def _write(self) -> None:
        try:
            while True:
                await self._outgoing_wanted.wait()
                self._outgoing_wanted.clear()
                while self._outgoing:
                    data, sent = self._outgoing[0]
                    self._writer.write(data)
                    await self._writer.drain()
                    self._outgoing.popleft()
                    if not sent.done():
                        sent.set_result(None)
        except (OSError, RuntimeError) as failure:
            # What it still says is read to the end; only nothing reaches it any more.
            log.debug("the other side does not read any more: %s", failure)
            self._close(PeerClosed("The other side does not read any more."), answers=False)

    def _close(self, reason: PeerClosed, *, answers: bool = True) -> None:
        """Let nothing be sent any more. With `answers`, none is expected either."""
        self._closed = self._closed or reason
        while self._outgoing:
            _, sent = self._outgoing.popleft()
            if not sent.done():
                sent.set_exception(reason)
                _look(sent)
        if answers:
            for _, waiting in self._pending.values():
                if not waiting.done():
                    waiting.set_exception(reason)


def _look(future: asyncio.Future[None]) -> None:
    """Whoever waited for it has its error; nobody else misses it."""
    if not future.cancelled():
        future.exception()


def _error(request_id: RequestId | None, error: RpcError) -> dict[str, object]:
    body: dict[str, object] = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return {"jsonrpc": "2.0", "id": request_id, "error": body}


def _as_rpc_error(method: str, failure: BaseException) -> RpcError:
    if isinstance(failure, RpcError):
        return failure
    log.error("%s failed", method, exc_info=failure)
    return RpcError(INTERNAL_ERROR, "Internal error")
