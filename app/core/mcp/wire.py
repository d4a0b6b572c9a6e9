"""The MCP SDK under a microscope: sessions over streamable HTTP that keep raw messages and HTTP answers.

The only module that imports the SDK and httpx2; import it inside functions, in a worker thread. The SDK's models drop
unknown fields, refuse a whole list for one bad item, hide the body of an HTTP error and let one broken request end the
connection for all. Here every message sent has an `Exchange` that keeps what really came back, and a request that
breaks in HTTP fails alone.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio._backends._asyncio
import httpcore2
import httpx2
import mcp_types
import msgspec
import truststore
from mcp.client._probe import negotiate_auto
from mcp.client.session import ClientSession
from mcp.client.streamable_http import MCP_SESSION_ID, streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import find_invalid_x_mcp_header
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp_types.methods import validate_server_result
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import TypeAdapter, ValidationError

from app import __version__
from app.core.auth.target import RENEWAL_FAILURE
from app.core.auth.tokens import fingerprint
from app.core.errors import BurrowError
from app.core.hosts import is_loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from mcp.shared.dispatcher import CallOptions, OnNotify, OnNotifyIntercept, OnRequest, ProgressFnT

    from app.core.mcp.json_text import Marks

ANSWER_LIMIT = 32 * 1024 * 1024
ERROR_BODY_LIMIT = 64 * 1024
CONNECT_SECONDS = 10.0
NOTICE_SECONDS = 5.0
GOODBYE_SECONDS = 0.4
# No HTTP status: the request broke before an answer. The SDK then resolves that request alone.
BROKEN = 599
EXCHANGE = "burrow.exchange"
EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)
# Results of these are taken from the bytes and the SDK sees a small one in their place: it needs 1.9 s for 18 MB, on
# the window's loop, and refuses what its models do not know.
TAKEN: dict[str, dict[str, Any]] = {
    "tools/list": {"tools": []},
    "tools/call": {"content": []},
    "resources/read": {"contents": []},
}
MODERN_FIELDS = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}

# Handed from a request to the dispatcher below the SDK's session, in the one task that both run in.
_exchanges: ContextVar[list[Exchange] | None] = ContextVar("_exchanges", default=None)
_marks: ContextVar[Marks | None] = ContextVar("_marks", default=None)


class TooLarge(httpx2.StreamError):
    """An answer longer than `ANSWER_LIMIT`."""


class Interrupted(httpx2.StreamError):
    """An answer that broke off."""


class Refused(Exception):
    """No session came about; `exchange` is the request that the server refused last."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(f"HTTP {exchange.status}")
        self.exchange = exchange


@dataclass(eq=False)
class Exchange:
    """One request and what came back, in HTTP and in JSON-RPC.

    `sent` says that it was handed to HTTP. `status` is None until HTTP answered and `BROKEN` when it never did; `body`
    is kept for statuses from 400. `cut_off` says that an answer began and broke off. `bearer` is a fingerprint, never
    the token. `renewal` is why the person's token could not be renewed on the way. `taken` is the result as it came.
    """

    id: int
    method: str
    params: Mapping[str, Any] | None
    started: float
    marks: Marks | None = None
    seconds: float | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    failure: Exception | None = None
    too_large: bool = False
    cut_off: bool = False
    sent: bool = False
    in_session: bool = False
    bearer: str = ""
    renewal: BurrowError | None = None
    taken: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    error: mcp_types.ErrorData | None = None


@dataclass(frozen=True)
class Notice:
    """A notification, as it went or came."""

    method: str
    params: Mapping[str, Any] | None
    inbound: bool


@cache
def tls_context() -> ssl.SSLContext:
    """The system's certificates; costs up to 350 ms once."""
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class _Body(httpx2.AsyncByteStream):
    """The decoded body of an answer, counted, with its failures noted."""

    def __init__(self, response: httpx2.Response, exchange: Exchange | None) -> None:
        self._source = httpx2.Response(response.status_code, headers=response.headers, stream=response.stream)
        self._exchange = exchange
        kind = response.headers.get("content-type", "").lower()
        self._stream = kind.startswith("text/event-stream")
        self._size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._source.aiter_bytes():
                self._weigh(chunk)
                yield chunk
        except httpx2.HTTPError as failure:
            raise self._note(Interrupted(str(failure))) from failure
        if self._stream and self._exchange is not None:
            # The SDK leaves a stream at its result; whoever reads it to its end found none.
            self._exchange.cut_off = True

    def _weigh(self, chunk: bytes) -> None:
        """Bound a whole body, and of a stream, which may last as long as the call, each event."""
        end = max(chunk.rfind(b"\n\n"), chunk.rfind(b"\r\n\r\n")) if self._stream else -1
        self._size = self._size + len(chunk) if end < 0 else len(chunk) - end
        if self._size > ANSWER_LIMIT:
            raise self._note(TooLarge("the answer is too large"))

    async def aclose(self) -> None:
        await self._source.aclose()

    def _note(self, failure: TooLarge | Interrupted) -> Exception:
        if self._exchange is not None:
            self._exchange.too_large = isinstance(failure, TooLarge)
            self._exchange.cut_off = isinstance(failure, Interrupted)
        return failure


class _Taken(httpx2.AsyncByteStream):
    """The body of an answer with its result taken out and a small stand-in left for the SDK."""

    def __init__(self, body: Any, exchange: Exchange, *, stream: bool) -> None:
        self._body = body
        self._exchange = exchange
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        waiting = bytearray()
        async for chunk in self._body:
            searched = max(0, len(waiting) - 3)
            waiting += chunk
            while self._stream and (end := EVENT_END.search(waiting, searched)) is not None:
                yield self._event(bytes(waiting[: end.end()]))
                del waiting[: end.end()]
                searched = 0
        if waiting:
            yield bytes(waiting) if self._stream else self._message(bytes(waiting)) or bytes(waiting)

    async def aclose(self) -> None:
        await self._body.aclose()

    def _event(self, event: bytes) -> bytes:
        if b'"result"' not in event:
            return event
        lines = (line for line in event.splitlines() if line.startswith(b"data:"))
        message = self._message(b"\n".join(line[5:].removeprefix(b" ") for line in lines))
        return event if message is None else b"data: " + message + b"\n\n"

    def _message(self, text: bytes) -> bytes | None:
        """Take the result from a JSON-RPC message; the message to go on with, None when it has no result to take."""
        try:
            message = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        match message:
            case {"jsonrpc": "2.0", "id": identity, "result": dict(result)} if str(identity) == str(self._exchange.id):
                self._exchange.taken = result
                return msgspec.json.encode({"jsonrpc": "2.0", "id": identity, "result": {}})
            case _:
                return None


class Client(httpx2.AsyncClient):
    """An HTTP client that never raises into the SDK: what went wrong is noted in the request's `Exchange`."""

    def __init__(self, open_exchanges: Mapping[int, Exchange], **options: Any) -> None:
        super().__init__(**options, event_hooks={"response": [self._answered]})
        self._open_exchanges = open_exchanges

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        exchange = self._exchange_of(request)
        if exchange is not None:
            exchange.sent = True
            exchange.in_session = MCP_SESSION_ID in request.headers
            request = _with_exact_numbers(request, exchange.marks) if exchange.marks else request
            request.extensions[EXCHANGE] = exchange
        try:
            async with asyncio.timeout(_patience(request, exchange)):
                response = await super().send(request, **{**options, "stream": True, "follow_redirects": False})
                if response.status_code >= 400:
                    return await _whole_error(response, exchange)
                return _taken(response, exchange) if exchange is not None else response
        except Exception as failure:  # noqa: BLE001 (a fault of the auth flow must not end the session either)
            if exchange is not None:
                exchange.status = BROKEN
                exchange.failure = failure
            return httpx2.Response(BROKEN, request=request)
        finally:
            renewal = request.extensions.get(RENEWAL_FAILURE)
            if exchange is not None and isinstance(renewal, BurrowError):
                exchange.renewal = renewal

    async def _answered(self, response: httpx2.Response) -> None:
        """Note an answer before the auth flow sees it; of a replayed request the last answer stands."""
        exchange = response.request.extensions.get(EXCHANGE)
        if exchange is not None:
            exchange.status = response.status_code
            exchange.headers = {name.lower(): value for name, value in response.headers.items()}
            exchange.bearer = _bearer(response.request)
            exchange.too_large = exchange.cut_off = False
        response.stream = _Body(response, exchange)
        for name in ("content-encoding", "content-length"):
            response.headers.pop(name, None)

    def _exchange_of(self, request: httpx2.Request) -> Exchange | None:
        if request.method != "POST":
            return None
        message = json.loads(request.content)
        identity = message.get("id") if isinstance(message, dict) and "method" in message else None
        return self._open_exchanges.get(identity) if isinstance(identity, int) else None


class Tap(JSONRPCDispatcher[Any]):
    """A dispatcher that keeps every message.

    `told` hears each finished `Exchange` and each `Notice`. `version` answers the revision agreed on, None before.
    """

    def __init__(
        self,
        read: Any,
        write: Any,
        *,
        open_exchanges: dict[int, Exchange],
        told: Callable[[Exchange | Notice], None],
        version: Callable[[], str | None],
    ) -> None:
        super().__init__(read, write)
        self._open_exchanges = open_exchanges
        self._told = told
        self._version = version
        self._ids = count(1)

    async def send_raw_request(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        opts: CallOptions | None = None,
        *,
        _related_request_id: Any = None,
    ) -> dict[str, Any]:
        exchange = Exchange(next(self._ids), method, params, time.monotonic())
        collected = _exchanges.get()
        if collected is not None:
            collected.append(exchange)
        exchange.marks = _marks.get()
        options: CallOptions = {**(opts or {}), "request_id": exchange.id}
        self._open_exchanges[exchange.id] = exchange
        try:
            answer = await super().send_raw_request(method, params, options, _related_request_id=_related_request_id)
            exchange.result = answer if exchange.taken is None else exchange.taken
        except MCPError as failure:
            exchange.error = failure.error
            if method == "server/discover" and decisive(exchange):
                raise Refused(exchange) from failure
            raise
        finally:
            del self._open_exchanges[exchange.id]
            exchange.seconds = time.monotonic() - exchange.started
            self._told(exchange)
        return _for_the_typed_layer(method, exchange.result, self._version())

    async def notify(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        opts: CallOptions | None = None,
        *,
        _related_request_id: Any = None,
    ) -> None:
        self._told(Notice(method, params, inbound=False))
        await super().notify(method, params, opts, _related_request_id=_related_request_id)

    async def run(
        self,
        on_request: OnRequest,
        on_notify: OnNotify,
        on_notify_intercept: OnNotifyIntercept | None = None,
        **options: Any,
    ) -> None:
        def intercept(method: str, params: Mapping[str, Any] | None) -> bool:
            self._told(Notice(method, params, inbound=True))
            return on_notify_intercept(method, params) if on_notify_intercept is not None else False

        await super().run(on_request, on_notify, intercept, **options)


@dataclass(frozen=True)
class Session:
    """An open, negotiated session."""

    sdk: ClientSession
    bearer: str

    @property
    def version(self) -> str:
        return self.sdk.protocol_version or ""

    @property
    def modern(self) -> bool:
        return self.sdk.protocol_version in MODERN_PROTOCOL_VERSIONS

    def tool_problem(self, raw: dict[str, Any]) -> str | None:
        """Why revision 2026-07-28 forbids using a tool, None when it does not."""
        reason = find_invalid_x_mcp_header(raw.get("inputSchema")) if self.modern else None
        return None if reason is None else f"The tool's header annotations are invalid: {reason}"

    async def list_page(self, cursor: str | None) -> Exchange:
        """One page of `tools/list`; raises what the SDK raises."""
        params = mcp_types.PaginatedRequestParams(cursor=cursor) if cursor is not None else None
        return await self._keep(lambda: self.sdk.list_tools(params=params))

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any],
        marks: Marks,
        on_progress: ProgressFnT,
    ) -> Exchange:
        """`tools/call`; `marks` stand in `arguments` for numbers that the SDK would round (see `exact.py`)."""
        request = mcp_types.CallToolRequest(params=mcp_types.CallToolRequestParams(name=name, arguments=arguments))

        async def send() -> None:
            token = _marks.set(marks)
            try:
                await self.sdk.send_request(request, ANYTHING, progress_callback=on_progress)
            finally:
                _marks.reset(token)

        return await self._keep(send)

    async def read_resource(self, uri: str) -> Exchange:
        """`resources/read`."""
        request = mcp_types.ReadResourceRequest(params=mcp_types.ReadResourceRequestParams(uri=uri))
        return await self._keep(lambda: self.sdk.send_request(request, ANYTHING))

    async def _keep(self, send: Callable[[], Awaitable[object]]) -> Exchange:
        collected: list[Exchange] = []
        token = _exchanges.set(collected)
        try:
            # The raw result stands; what the SDK's models think of it does not matter.
            with suppress(ValidationError):
                await send()
        except Exception as failure:
            if not collected:
                raise
            if not isinstance(failure, MCPError) and collected[-1].failure is None:
                collected[-1].failure = failure
        finally:
            _exchanges.reset(token)
        return collected[-1]


@asynccontextmanager
async def open_session(
    url: str,
    *,
    auth: Any,
    headers: Mapping[str, str],
    told: Callable[[Exchange | Notice], None],
    legacy: bool = False,
) -> AsyncIterator[Session]:
    """A negotiated session with the server at `url`; must be left by the task that entered it.

    `legacy` skips the probe for the newest revision. Raises `Refused`, `MCPError` or `RuntimeError`.
    """
    open_exchanges: dict[int, Exchange] = {}
    context = await asyncio.to_thread(tls_context)
    async with AsyncExitStack() as stack:
        client = Client(
            open_exchanges,
            auth=auth,
            headers={"User-Agent": f"burrow/{__version__}", "Accept-Encoding": "identity", **headers},
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS, write=60.0),
            verify=context,
            # A proxy of the environment is for the network, not for this machine.
            trust_env=not is_loopback(urlsplit(url).hostname or ""),
        )
        await stack.enter_async_context(client)
        streams = await stack.enter_async_context(
            streamable_http_client(url, http_client=client, max_sse_event_size=None)
        )
        sdk: ClientSession | None = None
        opening: list[Exchange] = []

        def heard(item: Exchange | Notice) -> None:
            if isinstance(item, Exchange):
                opening[:] = [item]
            told(item)

        tap = Tap(
            *streams,
            open_exchanges=open_exchanges,
            told=heard,
            version=lambda: sdk.protocol_version if sdk is not None else None,
        )
        info = mcp_types.Implementation(name="burrow", title="Burrow", version=__version__)
        sdk = await stack.enter_async_context(ClientSession(dispatcher=tap, client_info=info))
        try:
            if legacy:
                await sdk.initialize()
            else:
                await negotiate_auto(sdk)
        except MCPError as failure:
            raise Refused(opening[-1]) from failure
        yield Session(sdk, opening[-1].bearer if opening else "")


def never_left(failure: Exception | None) -> bool:
    """Whether a failure happened before anything of the request was sent."""
    unsent = (
        httpx2.ConnectError,
        httpx2.ConnectTimeout,
        httpx2.PoolTimeout,
        httpx2.ProxyError,
        httpx2.UnsupportedProtocol,
        httpx2.LocalProtocolError,
        httpx2.InvalidURL,
    )
    return isinstance(failure, unsent)


def decisive(exchange: Exchange) -> bool:
    """Whether HTTP's answer concerns the connection or the credential, so that another revision cannot help."""
    return exchange.too_large or exchange.status in {BROKEN, 401, 402, 403, 407, 429}


def _patience(request: httpx2.Request, exchange: Exchange | None) -> float | None:
    """Seconds to wait for an answer's head: a call may take its time, a notification must not hold up the others."""
    if request.method == "DELETE":
        return GOODBYE_SECONDS
    return NOTICE_SECONDS if exchange is None and request.method == "POST" else None


async def _whole_error(response: httpx2.Response, exchange: Exchange | None) -> httpx2.Response:
    """The same answer with the beginning of its body in memory, where the SDK and the error table can read it."""
    parts: list[bytes] = []
    size = 0
    with suppress(httpx2.StreamError, httpx2.HTTPError):
        async for chunk in response.aiter_bytes():
            parts.append(chunk)
            size += len(chunk)
            if size >= ERROR_BODY_LIMIT:
                break
    await response.aclose()
    body = b"".join(parts)[:ERROR_BODY_LIMIT]
    if exchange is not None:
        exchange.body = body
        exchange.cut_off = exchange.too_large = False
    return httpx2.Response(response.status_code, headers=response.headers, content=body, request=response.request)


def _taken(response: httpx2.Response, exchange: Exchange) -> httpx2.Response:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if exchange.method in TAKEN and kind in {"application/json", "text/event-stream"}:
        response.stream = _Taken(response.stream, exchange, stream=kind == "text/event-stream")
    return response


def _bearer(request: httpx2.Request) -> str:
    value = request.headers.get("authorization", "")
    return fingerprint(value) if value else ""


def _with_exact_numbers(request: httpx2.Request, marks: Marks) -> httpx2.Request:
    headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() != "content-length"]
    return httpx2.Request(
        request.method,
        request.url,
        headers=headers,
        content=marks.restore(request.content.decode()).encode(),
        extensions=request.extensions,
    )


def _for_the_typed_layer(method: str, raw: dict[str, Any], version: str | None) -> dict[str, Any]:
    """What the SDK's own layer may see of a result. Of tools it needs those that mirror arguments into headers."""
    if method not in TAKEN or version is None:
        return dict(raw)
    if version not in MODERN_PROTOCOL_VERSIONS:
        return TAKEN[method]
    envelope = {**TAKEN[method], **MODERN_FIELDS}
    tools = raw.get("tools")
    if method != "tools/list" or not isinstance(tools, list):
        return envelope
    mirroring = (tool for tool in tools if isinstance(tool, dict) and b'"x-mcp-header"' in msgspec.json.encode(tool))
    return {**envelope, "tools": [tool for tool in mirroring if _accepted({**envelope, "tools": [tool]}, version)]}


def _accepted(raw: dict[str, Any], version: str) -> bool:
    try:
        validate_server_result("tools/list", version, raw)
        mcp_types.ListToolsResult.model_validate(raw, by_name=False)
    except (ValidationError, KeyError):
        return False
    return True


# What the libraries above import only on first use is loaded here as well, off the loop. Last in the module: its
# presence says that the import is over.
READY = (anyio._backends._asyncio, httpcore2)
