"""Sessions of the MCP SDK that keep every message as it was sent and received, over any transport.

Imports the SDK; load it inside functions, in a worker thread. The SDK's models drop unknown fields and refuse a whole
list for one bad item, so results are taken raw (`client.py`) and the SDK is left its part of the protocol: negotiating
a revision, headers, matching answers to requests, progress and cancelling.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import anyio._backends._asyncio
import httpcore2
import mcp_types
import msgspec
from mcp.client._probe import negotiate_auto
from mcp.client.session import ClientSession
from mcp.client.subscriptions import SubscriptionLost, listen
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import find_invalid_x_mcp_header
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp_types.methods import validate_server_result
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import TypeAdapter, ValidationError

from app import __version__
from app.core.mcp.protocol import http_client
from app.core.mcp.protocol.exchange import (
    BROKEN,
    Exchange,
    Notice,
    RpcError,
    Sending,
    SessionRefused,
    sending,
)
from app.core.mcp.protocol.transport import OpenExchanges

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from mcp.shared.dispatcher import CallOptions, OnNotify, OnNotifyIntercept, OnRequest, ProgressFnT

    from app.core.mcp.json_text import Marks
    from app.core.mcp.protocol.listening import Listening
    from app.core.mcp.protocol.transport import Transport

ACKNOWLEDGE_SECONDS = 30.0
ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)
# What the SDK's typed layer sees in place of a result that `client.py` took.
STAND_INS: dict[str, dict[str, Any]] = {
    "tools/list": {"tools": []},
    "tools/call": {"content": []},
    "resources/read": {"contents": []},
}
MODERN_FIELDS = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


class RecordingDispatcher(JSONRPCDispatcher[Any]):
    """A dispatcher that keeps every message.

    `told` hears each finished `Exchange` and each `Notice`. `version` answers the revision agreed on, None before.
    """

    def __init__(
        self,
        read: Any,
        write: Any,
        *,
        open_exchanges: dict[int | str, Exchange],
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
        # A subscription's messages come under the id that the SDK chose for it.
        identity = (opts or {}).get("request_id") or next(self._ids)
        exchange = Exchange(identity, method, params, time.monotonic())
        work = sending.get() or Sending()
        work.exchanges.append(exchange)
        exchange.marks = work.marks
        options: CallOptions = {**(opts or {}), "request_id": exchange.id}
        self._open_exchanges[exchange.id] = exchange
        token = sending.set(work)
        try:
            answer = await super().send_raw_request(method, params, options, _related_request_id=_related_request_id)
            exchange.result = answer if exchange.taken is None else exchange.taken
        except MCPError as failure:
            exchange.error = RpcError(failure.error.code, failure.error.message, failure.error.data)
            if method == "server/discover" and decisive(exchange):
                raise SessionRefused(exchange) from failure
            raise
        finally:
            sending.reset(token)
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
class McpSession:
    """An open, negotiated session."""

    sdk: ClientSession
    bearer: str

    @property
    def version(self) -> str:
        return self.sdk.protocol_version or ""

    @property
    def modern(self) -> bool:
        return self.sdk.protocol_version in MODERN_PROTOCOL_VERSIONS

    @property
    def tells_of_tools(self) -> bool:
        """Whether changes of the tool list are told to who listens (`subscriptions/listen`)."""
        capabilities = self.sdk.server_capabilities
        tools = None if capabilities is None else capabilities.tools
        return self.modern and tools is not None and tools.list_changed is True

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

        return await self._keep(lambda: self.sdk.send_request(request, ANYTHING, progress_callback=on_progress), marks)

    async def read_resource(self, uri: str) -> Exchange:
        """`resources/read`."""
        request = mcp_types.ReadResourceRequest(params=mcp_types.ReadResourceRequestParams(uri=uri))
        return await self._keep(lambda: self.sdk.send_request(request, ANYTHING))

    async def listen(self, answered: Callable[[bool], None]) -> Exchange:
        """`subscriptions/listen` for changes of the tool list, until the stream ends; each time under a new id.

        `answered` hears whether the server agreed to tell of them; one that did not is left at once. A server that
        says nothing for 30 s is left too.
        """
        work = Sending()
        token = sending.set(work)
        try:
            async with (
                asyncio.timeout(ACKNOWLEDGE_SECONDS) as patience,
                listen(self.sdk, tools_list_changed=True) as subscription,
            ):
                patience.reschedule(None)
                agreed = subscription.honored.tools_list_changed is True
                answered(agreed)
                if agreed:
                    async for _change in subscription:
                        pass
        except (MCPError, SubscriptionLost, TimeoutError):
            if not work.exchanges:
                raise
        finally:
            sending.reset(token)
        return work.exchanges[-1]

    async def _keep(self, send: Callable[[], Awaitable[object]], marks: Marks | None = None) -> Exchange:
        """Run one request of the SDK; the exchange that it came to, however that was."""
        work = Sending(marks)
        token = sending.set(work)
        try:
            # The raw result stands; what the SDK's models think of it does not matter.
            with suppress(ValidationError):
                await send()
        except Exception as failure:
            if not work.exchanges:
                raise
            if not isinstance(failure, MCPError) and work.exchanges[-1].failure is None:
                work.exchanges[-1].failure = failure
        finally:
            sending.reset(token)
        return work.exchanges[-1]


@asynccontextmanager
async def open_session(
    transport: Transport,
    *,
    told: Callable[[Exchange | Notice], None],
    listening: Listening | None = None,
    legacy: bool = False,
) -> AsyncIterator[McpSession]:
    """A negotiated session over `transport`; must be left by the task that entered it.

    `listening` is for the stream that the SDK opens before revision 2026-07-28. `legacy` skips the probe for the newest
    revision. Raises `SessionRefused`, `MCPError` or `RuntimeError`, and what the transport raises.
    """
    exchanges = OpenExchanges(listening=listening)
    async with AsyncExitStack() as stack:
        streams = await stack.enter_async_context(transport.connect(exchanges))
        sdk: ClientSession | None = None
        opening: list[Exchange] = []

        def heard(item: Exchange | Notice) -> None:
            if isinstance(item, Exchange):
                opening[:] = [item]
            told(item)

        dispatcher = RecordingDispatcher(
            *streams,
            open_exchanges=exchanges.by_id,
            told=heard,
            version=lambda: sdk.protocol_version if sdk is not None else None,
        )
        info = mcp_types.Implementation(name="burrow", title="Burrow", version=__version__)
        sdk = await stack.enter_async_context(ClientSession(dispatcher=dispatcher, client_info=info))
        try:
            if legacy:
                await sdk.initialize()
            else:
                await negotiate_auto(sdk)
        except MCPError as failure:
            raise SessionRefused(opening[-1]) from failure
        yield McpSession(sdk, opening[-1].bearer if opening else "")


def decisive(exchange: Exchange) -> bool:
    """Whether the answer concerns the connection or the credential, so that asking in another revision cannot help.

    A connection that ended at the question is opened anew for another revision (`connection.py`).
    """
    if exchange.ending:
        return True
    return exchange.limit is not None or exchange.status in {BROKEN, 401, 402, 403, 407, 429}


def _for_the_typed_layer(method: str, raw: dict[str, Any], version: str | None) -> dict[str, Any]:
    """What the SDK's own layer may see of a result. Of tools it needs those that mirror arguments into headers."""
    if method not in STAND_INS or version is None:
        return dict(raw)
    if version not in MODERN_PROTOCOL_VERSIONS:
        return STAND_INS[method]
    envelope = {**STAND_INS[method], **MODERN_FIELDS}
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
READY = (anyio._backends._asyncio, httpcore2, http_client)
