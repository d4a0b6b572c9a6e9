"""The ids and progress tokens of messages where several clients use one server, which must not meet there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.core.mcp.proxy.bridge.envelope import SUBSCRIPTION
from app.core.mcp.proxy.bridge.members import joined

if TYPE_CHECKING:
    from app.core.mcp.proxy.bridge.calls import BridgeCall
    from app.core.mcp.proxy.bridge.envelope import Envelope


def for_server(call: BridgeCall) -> bytes:
    """A request with the id and the progress token that the server knows it by."""
    message = call.message
    if not call.token:
        return message.with_id(call.server_id)
    meta = {**message.meta, "progressToken": msgspec.Raw(call.server_id)}
    return message.with_params({**message.params, "_meta": msgspec.Raw(joined(meta))}, call.server_id)


def progress_for_client(call: BridgeCall, message: Envelope) -> bytes:
    """A progress notification with the client's own token."""
    if bytes(message.params["progressToken"]) == call.token:
        return message.data
    return message.with_params({**message.params, "progressToken": msgspec.Raw(call.token)})


def subscribed_for_client(call: BridgeCall, message: Envelope) -> bytes:
    """A notification of a subscription with the id by which the client knows that."""
    if bytes(message.meta[SUBSCRIPTION]) == call.message.id:
        return message.data
    meta = {**message.meta, SUBSCRIPTION: msgspec.Raw(call.message.id)}
    return message.with_params({**message.params, "_meta": msgspec.Raw(joined(meta))})


def cancelled_for_server(call: BridgeCall, message: Envelope) -> bytes:
    """A cancellation with the id by which the server knows the request."""
    if call.server_id == call.message.id:
        return message.data
    return message.with_params({**message.params, "requestId": msgspec.Raw(call.server_id)})
