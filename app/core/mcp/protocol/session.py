"""McpSession: a session of the MCP SDK, over any transport, that records every message as it was sent and received.

The SDK does its part of the protocol: negotiating a revision, headers, matching answers to requests, progress and
cancellation. Results do not pass through it (`result_tap.py`), because its models drop unknown fields and refuse a
whole list for one invalid item.

Imports the SDK, so it is imported inside functions, in a worker thread.
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
from app.core.errors import ProtocolTrouble
from app.core.mcp.protocol import http_client
from app.core.mcp.protocol.exchange import (
    NO_RESPONSE,
    Exchange,
    Notification,
    RpcErrorObject,
    SendContext,
    SessionRefused,
    send_context,
)
from app.core.mcp.protocol.handshake import HANDSHAKE_METHODS, mended_handshake
from app.core.mcp.protocol.transport import OpenExchanges

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from mcp.shared.dispatcher import CallOptions, OnNotify, OnNotifyIntercept, OnRequest, ProgressFnT

    from app.core.mcp.json_text import NumberPlaceholders
    from app.core.mcp.protocol.listening import Listening
    from app.core.mcp.protocol.transport import Transport

ACKNOWLEDGE_SECONDS = 30.0
ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)
# What the SDK's typed layer sees in place of an intercepted result.
PLACEHOLDER_RESULTS: dict[str, dict[str, Any]] = {
    "tools/list": {"tools": []},
    "tools/call": {"content": []},
    "resources/read": {"contents": []},
}
# What results must have besides, since revision 2026-07-28.
MODERN_FIELDS = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


class RecordingDispatcher(JSONRPCDispatcher[Any]):
    """A dispatcher that records every message.

    `on_message` is called with each finished `Exchange` and `Notification`. `version` returns the negotiated revision,
    None before that.
    """

    def __init__(
        self,
        read: Any,
        write: Any,
        *,
        open_exchanges: dict[int | str, Exchange],
        on_message: Callable[[Exchange | Notification], None],
        version: Callable[[], str | None],
    ) -> None:
        super().__init__(read, write)
        self._open_exchanges = open_exchanges
        self._on_message = on_message
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
        # The ids are chosen here, so that the HTTP client can find the exchange of a request. For a subscription the
        # SDK has chosen one, and expects the subscription's notifications under it.
        identity = (opts or {}).get("request_id") or next(self._ids)
        exchange = Exchange(identity, method, params, time.monotonic())
        context = send_context.get() or SendContext()
        context.exchanges.append(exchange)
        exchange.placeholders = context.placeholders
        options: CallOptions = {**(opts or {}), "request_id": exchange.id}
        self._open_exchanges[exchange.id] = exchange
        token = send_context.set(context)
        try:
            answer = await super().send_raw_request(method, params, options, _related_request_id=_related_request_id)
            exchange.result = answer if exchange.raw_result is None else exchange.raw_result
        except MCPError as failure:
            exchange.error = RpcErrorObject(failure.error.code, failure.error.message, failure.error.data)
            # The SDK reads any error of the probe as "an older server", and would ask again in the older way.
            if method == "server/discover" and decisive(exchange):
                raise SessionRefused(exchange) from failure
            raise
        finally:
            # Also when the caller is cancelled: the exchange is recorded without a result, as cancelled.
            send_context.reset(token)
            del self._open_exchanges[exchange.id]
            exchange.seconds = time.monotonic() - exchange.started
            self._on_message(exchange)
        return _for_typed_layer(method, exchange.result, self._version())

    async def notify(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        opts: CallOptions | None = None,
        *,
        _related_request_id: Any = None,
    ) -> None:
        self._on_message(Notification(method, params, inbound=False))
        await super().notify(method, params, opts, _related_request_id=_related_request_id)

    async def run(
        self,
        on_request: OnRequest,
        on_notify: OnNotify,
        on_notify_intercept: OnNotifyIntercept | None = None,
        **options: Any,
    ) -> None:
        def intercept(method: str, params: Mapping[str, Any] | None) -> bool:
            self._on_message(Notification(method, params, inbound=True))
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
    def announces_tool_changes(self) -> bool:
        """Whether the server announces changes of its tool list to subscribers (`subscriptions/listen`)."""
        capabilities = self.sdk.server_capabilities
        tools = None if capabilities is None else capabilities.tools
        return self.modern and tools is not None and tools.list_changed is True

    def tool_problem(self, raw: dict[str, Any]) -> str | None:
        """Why revision 2026-07-28 forbids using a tool; None when it does not."""
        reason = find_invalid_x_mcp_header(raw.get("inputSchema")) if self.modern else None
        return None if reason is None else f"The tool's header annotations are invalid: {reason}"

    async def list_page(self, cursor: str | None) -> Exchange:
        """One page of `tools/list`. Like all requests here, raises only what has no exchange."""
        params = mcp_types.PaginatedRequestParams(cursor=cursor) if cursor is not None else None
        return await self._send(lambda: self.sdk.list_tools(params=params))

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any],
        placeholders: NumberPlaceholders,
        on_progress: ProgressFnT,
    ) -> Exchange:
        """`tools/call`. `placeholders` are those in `arguments` (`exact_arguments.py`)."""
        request = mcp_types.CallToolRequest(params=mcp_types.CallToolRequestParams(name=name, arguments=arguments))

        return await self._send(
            lambda: self.sdk.send_request(request, ANYTHING, progress_callback=on_progress), placeholders
        )

    async def read_resource(self, uri: str) -> Exchange:
        """`resources/read`."""
        request = mcp_types.ReadResourceRequest(params=mcp_types.ReadResourceRequestParams(uri=uri))
        return await self._send(lambda: self.sdk.send_request(request, ANYTHING))

    async def listen(self, answered: Callable[[bool], None]) -> Exchange:
        """`subscriptions/listen` for changes of the tool list, until the stream ends.

        `answered` is called with whether the server agreed to announce changes. If it did not, or said nothing for 30
        s, the stream is left. Each call has a new id: a stream cannot be resumed.
        """
        context = SendContext()
        token = send_context.set(context)
        try:
            async with (
                asyncio.timeout(ACKNOWLEDGE_SECONDS) as deadline,
                listen(self.sdk, tools_list_changed=True) as subscription,
            ):
                # Acknowledged. From here on the stream may be silent for as long as nothing changes.
                deadline.reschedule(None)
                agreed = subscription.honored.tools_list_changed is True
                answered(agreed)
                if agreed:
                    async for _change in subscription:
                        pass
        except (MCPError, SubscriptionLost, TimeoutError):
            if not context.exchanges:
                raise
        finally:
            send_context.reset(token)
        return context.exchanges[-1]

    async def _send(
        self, send: Callable[[], Awaitable[object]], placeholders: NumberPlaceholders | None = None
    ) -> Exchange:
        """Run one request of the SDK, and return its exchange, whether it succeeded or failed.

        Raises only what happens before there is an exchange.
        """
        context = SendContext(placeholders)
        token = send_context.set(context)
        try:
            # The raw result counts. Whether the SDK's models accept it does not matter.
            with suppress(ValidationError):
                await send()
        except Exception as failure:
            if not context.exchanges:
                raise
            if not isinstance(failure, MCPError) and context.exchanges[-1].failure is None:
                context.exchanges[-1].failure = failure
        finally:
            send_context.reset(token)
        return context.exchanges[-1]


@asynccontextmanager
async def open_session(
    transport: Transport,
    *,
    on_message: Callable[[Exchange | Notification], None],
    listening: Listening | None = None,
    legacy: bool = False,
) -> AsyncIterator[McpSession]:
    """A negotiated session over `transport`. Must be left by the task that entered it.

    `listening` decides about the notification stream that the SDK opens before revision 2026-07-28. `legacy` skips the
    probe for the newest revision. Raises `SessionRefused`, `MCPError` or `RuntimeError`, and what the transport raises.
    """
    exchanges = OpenExchanges(listening=listening)
    async with AsyncExitStack() as stack:
        streams = await stack.enter_async_context(transport.connect(exchanges))
        sdk: ClientSession | None = None
        # The last exchange of the opening: why it was refused, or the token that the session may be bound to.
        last: list[Exchange] = []

        def record(item: Exchange | Notification) -> None:
            if isinstance(item, Exchange):
                last[:] = [item]
            on_message(item)

        dispatcher = RecordingDispatcher(
            *streams,
            open_exchanges=exchanges.by_id,
            on_message=record,
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
            raise SessionRefused(last[-1]) from failure
        except ValidationError as failure:
            raise ProtocolTrouble(_not_as_defined(failure)) from None
        yield McpSession(sdk, last[-1].bearer if last else "")


def _not_as_defined(failure: ValidationError) -> str:
    """Which parts of the answer the SDK's models refused."""
    parts = {".".join(map(str, problem["loc"])) for problem in failure.errors(include_url=False, include_input=False)}
    return f"The server's answer to the handshake is not as MCP defines it: {', '.join(sorted(parts))}."


def decisive(exchange: Exchange) -> bool:
    """Whether the failure is about the connection or the credential, so that another revision cannot help."""
    # A connection that ended at the probe is opened once more for an older revision (`connection.py`).
    if exchange.close_reason:
        return True
    return exchange.exceeded_limit is not None or exchange.status in {NO_RESPONSE, 401, 402, 403, 407, 429}


def _for_typed_layer(method: str, raw: dict[str, Any], version: str | None) -> dict[str, Any]:
    """What the SDK's typed layer is to see of a result."""
    if method in HANDSHAKE_METHODS:
        return mended_handshake(method, raw)
    # Before there is a revision, the SDK needs results unchanged.
    if method not in PLACEHOLDER_RESULTS or version is None:
        return dict(raw)
    if version not in MODERN_PROTOCOL_VERSIONS:
        return PLACEHOLDER_RESULTS[method]
    envelope = {**PLACEHOLDER_RESULTS[method], **MODERN_FIELDS}
    # Of tools the SDK needs those that mirror arguments into headers. One invalid tool would make it refuse all.
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


# Modules that the libraries above import only on first use are imported here as well, off the loop. READY must be last
# in this module: that it exists shows that the import is complete (`connection.load_session_module`).
READY = (anyio._backends._asyncio, httpcore2, http_client)
