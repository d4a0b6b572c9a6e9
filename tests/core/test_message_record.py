"""What is recorded of a call of a tool: its arguments without the secret ones, and the headers that carried it."""

from __future__ import annotations

from time import monotonic
from typing import Any

import httpx2

from app.core.auth.http.target import CredentialAtStake
from app.core.auth.http.trace import Trace
from app.core.diagnostics.activity import Activity
from app.core.mcp.call_history import without_secrets
from app.core.mcp.protocol.connection import Endpoint
from app.core.mcp.protocol.exchange import Exchange
from app.core.mcp.protocol.record import record_message

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"pin": {"type": "string", "format": "password"}, "seed": {"type": "string", "writeOnly": True}},
}


def endpoint() -> Endpoint:
    return Endpoint("Notion", None, CredentialAtStake.UNMANAGED)  # type: ignore[arg-type]


def call(**arguments: Any) -> Exchange:
    params = {"name": "unlock", "arguments": arguments}
    return Exchange(1, "tools/call", params, monotonic(), seconds=0.1, status=200, result={"content": []})


async def test_an_argument_that_its_schema_calls_secret_is_not_recorded() -> None:
    activity = Activity()
    exchange = call(pin="1234", seed="abc", door="front", password="x")
    record_message(activity, endpoint(), exchange, lambda _name, arguments: without_secrets(arguments, SCHEMA)[0])
    (record,) = activity.records()
    assert record.detail["request"]["arguments"] == {"door": "front"}
    # What the caller gave stays as it is.
    assert exchange.params is not None
    assert exchange.params["arguments"]["pin"] == "1234"


async def test_the_http_part_of_a_message_is_kept_without_its_token() -> None:
    activity = Activity()
    exchange = call(door="front")
    exchange.url, exchange.trace = "https://mcp.example/mcp", Trace()
    headers = {"Authorization": "Bearer pha_Zq9supersecretsupersecret", "Mcp-Protocol-Version": "2026-07-28"}
    attempt = exchange.trace.begin(httpx2.Request("POST", exchange.url, headers=headers))
    attempt.answered(httpx2.Response(200, headers={"Mcp-Session-Id": "Zq9-a-session-that-is-secret"}))
    record_message(activity, endpoint(), exchange)
    kept = await activity.exchange(activity.records()[0])
    assert kept is not None
    (sent,) = kept.attempts
    assert ("Mcp-Protocol-Version", "2026-07-28") in sent.sent
    assert "Zq9" not in repr(kept)
    assert (kept.sent, kept.received) == (None, None)
