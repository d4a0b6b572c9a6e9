"""Connections to MCP servers: both eras, and what each way of failing becomes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from time import monotonic
from typing import Any

import httpx2
import pytest

from app.core.auth.http.target import REFRESH_FAILURE, CredentialAtStake
from app.core.errors import (
    BurrowError,
    NotFound,
    Offline,
    OutcomeUnknown,
    PermissionMissing,
    PolicyRefused,
    ProtocolTrouble,
    QuotaReached,
    Rejected,
    ServerTrouble,
    SignInNeeded,
    Throttled,
    TimedOut,
    VendorSignInNeeded,
)
from app.core.mcp.protocol import connection as connection_module
from app.core.mcp.protocol.calls import CallCancelled, RunningCall
from app.core.mcp.protocol.connection import Connection, Endpoint
from app.core.mcp.protocol.http_transport import StreamableHttpTransport
from tests.core._mcp_server import ENVELOPE, MODERN, Reply, Scripted, real_server, tool

PERSON = CredentialAtStake.CARRIED
INSTALLATION = CredentialAtStake.VENDOR_BEHIND


class Bearer(httpx2.Auth):
    """Carries a token that tests may change."""

    def __init__(self, token: str = "one") -> None:
        self.token = token

    async def async_auth_flow(self, request: httpx2.Request) -> Any:
        request.headers["Authorization"] = f"Bearer {self.token}"
        yield request


class RefreshFailing(httpx2.Auth):
    """What BearerAuth does when the grant has ended."""

    async def async_auth_flow(self, request: httpx2.Request) -> Any:
        response = yield request
        if response.status_code == 401:
            request.extensions[REFRESH_FAILURE] = SignInNeeded("The grant is over.")


async def silent(progress: float, total: float | None, message: str | None) -> None:
    pass


@asynccontextmanager
async def connected(url: str, owner: CredentialAtStake = PERSON, auth: Any = None) -> AsyncIterator[Connection]:
    connection = Connection(
        Endpoint("scripted", StreamableHttpTransport(url, auth), owner), lambda _endpoint, _item: None
    )
    try:
        yield connection
    finally:
        await connection.close()


async def call(connection: Connection, name: str = "echo", repeatable: bool = False, **arguments: Any) -> Any:
    return await connection.call(name, arguments, repeatable=repeatable, on_progress=silent)


async def failure_of(reply: Reply, *, owner: CredentialAtStake = PERSON, repeatable: bool = False) -> BurrowError:
    async with Scripted() as server, connected(server.url, owner) as connection:
        server.always["tools/call"] = reply
        with pytest.raises(BurrowError) as raised:
            await call(connection, repeatable=repeatable)
        return raised.value


@pytest.mark.parametrize(("legacy", "sessions"), [(False, False), (True, False), (True, True)])
async def test_tools_are_listed_and_called_in_both_eras(legacy: bool, sessions: bool) -> None:
    async with Scripted(legacy=legacy, sessions=sessions) as server, connected(server.url) as connection:
        tools = await connection.tools()
        result = await call(connection, count=2)
        assert [tool.name for tool in tools] == ["echo", "count"]
        assert json.loads(result["content"][0]["text"])["arguments"] == {"count": 2}
        assert connection.protocol == ("2025-11-25" if legacy else MODERN)


@pytest.mark.parametrize("options", [{}, {"stateless_http": True}, {"json_response": True}])
async def test_the_sdks_own_server_is_understood(options: dict[str, Any]) -> None:
    from mcp.server import MCPServer

    sdk = MCPServer("real")

    @sdk.tool()
    def add(first: int, second: int) -> int:
        return first + second

    async with real_server(sdk, **options) as url, connected(url) as connection:
        assert [tool.name for tool in await connection.tools()] == ["add"]
        result = await call(connection, "add", first=2, second=3)
        assert result["structuredContent"] == {"result": 5}


async def test_every_page_is_followed_and_a_cursor_that_repeats_ends_the_walk() -> None:
    async with Scripted() as server, connected(server.url) as connection:
        for number, cursor in enumerate(["a", "b", "a"]):
            result = {"tools": [tool(f"tool-{number}")], "nextCursor": cursor, **ENVELOPE}
            server.next["tools/list"].append(Reply(result=result))
        tools = await connection.tools()
        assert [tool.name for tool in tools] == ["tool-0", "tool-1", "tool-2"]
        assert server.count("tools/list") == 3


@pytest.mark.parametrize("legacy", [False, True])
async def test_malformed_and_duplicate_tools_are_told_and_hide_nothing(legacy: bool) -> None:
    async with Scripted(legacy=legacy) as server, connected(server.url) as connection:
        server.tools = [
            tool("good", vendorField={"kept": 1}),
            "not a tool",
            {"description": "nameless", "inputSchema": {"type": "object"}},
            {"name": "schemaless"},
            tool("good"),
            tool("odd", annotations={"readOnlyHint": "yes", "idempotentHint": True}, outputSchema=3),
            tool("task", execution={"taskSupport": "required"}),
        ]
        tools = await connection.tools()
        assert [tool.row for tool in tools] == list(range(7))
        assert [tool.problem is None for tool in tools] == [True, False, False, False, False, True, False]
        assert tools[0].raw["vendorField"] == {"kept": 1}
        assert tools[5].annotations.read_only is None
        assert tools[5].annotations.idempotent is True
        assert (await call(connection, "good"))["content"]


async def test_a_tool_with_forbidden_header_annotations_says_why() -> None:
    async with Scripted() as server, connected(server.url) as connection:
        schema = {"type": "object", "properties": {"where": {"type": "object", "x-mcp-header": "Where"}}}
        server.tools = [tool("bad", inputSchema=schema), tool("good")]
        bad, good = await connection.tools()
        assert bad.problem is not None
        assert "header" in bad.problem
        assert good.problem is None


async def test_a_header_mismatch_is_mended_by_listing_again() -> None:
    async with Scripted() as server, connected(server.url) as connection:
        schema = {"type": "object", "properties": {"where": {"type": "string", "x-mcp-header": "Where"}}}
        server.tools = [tool("echo", inputSchema=schema)]
        server.next["tools/call"].append(Reply(400, error={"code": -32020, "message": "Header mismatch"}))
        await call(connection, where="here")
        first, second = [seen for seen in server.seen if seen.method == "tools/call"]
        assert "mcp-param-where" not in first.headers
        assert second.headers["mcp-param-where"] == "here"


async def test_numbers_reach_the_server_digit_for_digit() -> None:
    async with Scripted() as server, connected(server.url) as connection:
        exact = Decimal("0.1000000000000000000000000000000001")
        await call(connection, big=2**80, exact=exact, plain=Decimal("2.50"), deep={"list": [Decimal("1E+400")]})
        body = next(seen.raw for seen in server.seen if seen.method == "tools/call")
        assert b'"big":1208925819614629174706176' in body
        assert b'"exact":0.1000000000000000000000000000000001' in body
        assert b'"plain":2.5' in body
        assert b'"list":[1E+400]' in body


@pytest.mark.parametrize("value", [float("nan"), "\ud800", {1: 2}, object(), Decimal("Infinity")])
async def test_what_json_cannot_carry_is_refused_before_anything_is_sent(value: object) -> None:
    async with Scripted() as server, connected(server.url) as connection:
        with pytest.raises(Rejected):
            await call(connection, value=value)
        assert server.seen == []


async def test_a_forgotten_session_is_opened_anew_and_the_call_goes_through() -> None:
    async with Scripted(legacy=True, sessions=True) as server, connected(server.url) as connection:
        await connection.tools()
        server.current_session = "restarted"
        assert (await call(connection))["content"]
        assert server.count("initialize") == 2
        assert server.count("server/discover") == 1


async def test_a_session_bound_to_the_former_token_is_opened_anew() -> None:
    auth = Bearer()
    async with Scripted(legacy=True, sessions=True) as server, connected(server.url, auth=auth) as connection:
        await connection.tools()
        auth.token = "two"
        server.next["tools/call"].append(Reply(403, body=b"Session belongs to another token"))
        assert (await call(connection))["content"]
        assert server.count("initialize") == 2


async def test_a_refusal_under_the_same_token_opens_no_second_session() -> None:
    async with Scripted(legacy=True, sessions=True) as server, connected(server.url, auth=Bearer()) as connection:
        server.always["tools/call"] = Reply(403, body=b"missing scope", content_type="text/plain")
        with pytest.raises(PermissionMissing, match="missing scope"):
            await call(connection)
        assert server.count("initialize") == 1


async def test_a_call_in_flight_survives_the_reopening_of_the_session() -> None:
    async with Scripted(legacy=True, sessions=True) as server, connected(server.url) as connection:
        await connection.tools()
        release = asyncio.Event()
        server.next["tools/call"].append(Reply(result={"content": []}, hold=release))
        slow = asyncio.create_task(call(connection))
        await server.arrived["tools/call"].wait()
        server.current_session = "restarted"
        await call(connection)
        release.set()
        assert await slow == {"content": []}


async def test_a_dead_connection_task_is_replaced_on_the_next_use() -> None:
    async with Scripted() as server, connected(server.url) as connection:
        await connection.tools()
        (opened,) = connection._sessions
        assert opened.owner is not None
        opened.owner.cancel()
        await asyncio.wait({opened.owner})
        assert (await call(connection))["content"]


async def test_one_opening_serves_all_who_ask_at_once() -> None:
    async with Scripted(legacy=True) as server, connected(server.url) as connection:
        await asyncio.gather(*(call(connection, number=number) for number in range(20)))
        assert server.count("initialize") == 1


async def test_a_broken_request_fails_alone() -> None:
    async with Scripted() as server, connected(server.url) as connection:
        await connection.tools()
        release = asyncio.Event()
        server.next["tools/call"] += [Reply(result={"content": []}, hold=release), Reply(drop="before")]
        slow = asyncio.create_task(call(connection))
        await server.arrived["tools/call"].wait()
        with pytest.raises(OutcomeUnknown):
            await call(connection)
        release.set()
        assert await slow == {"content": []}
        assert server.count("server/discover") == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply(drop="before"),
        Reply(result={"content": []}, drop="middle"),
        Reply(stream=[{"method": "notifications/progress", "params": {"progress": 1}}], drop="middle"),
        Reply(stream=[]),
        Reply(502, body=b'{"error": "Upstream MCP server timed out"}'),
        Reply(500, body=b"Internal server error", content_type="text/plain"),
    ],
    ids=["before", "half-a-body", "stream-reset", "stream-ended", "upstream-timeout", "500"],
)
async def test_a_call_that_broke_after_sending_has_an_unknown_outcome_unless_it_may_be_repeated(reply: Reply) -> None:
    assert isinstance(await failure_of(reply), OutcomeUnknown)
    assert isinstance(await failure_of(reply, repeatable=True), ServerTrouble)


async def test_a_repeatable_call_is_sent_again_when_its_connection_was_stale() -> None:
    async with Scripted() as server, connected(server.url) as connection:
        await connection.tools()
        server.next["tools/call"].append(Reply(drop="before"))
        assert (await call(connection, "count", repeatable=True))["content"]
        assert server.count("tools/call") == 2


async def test_no_server_is_offline() -> None:
    async with Scripted() as server:
        url = server.url
    async with connected(url) as connection:
        with pytest.raises(Offline):
            await connection.tools()


PLAIN = "text/plain"
ENVELOPE_OF_API = {"type": "authentication_error", "code": "authentication_failed", "detail": "No.", "attr": None}
HTTP_CASES = [
    (PERSON, Reply(403, body=b"Host not allowed: example.com", content_type=PLAIN), PermissionMissing, "example.com"),
    (PERSON, Reply(403, body=b"<html>blocked</html>", content_type="text/html"), ServerTrouble, "403"),
    (PERSON, Reply(401, body=b"OAuth token is inactive", content_type=PLAIN), ServerTrouble, "elsewhere: OAuth token"),
    (PERSON, Reply(401, body=b"<html>sign in</html>", content_type="text/html"), ServerTrouble, "Something between"),
    (PERSON, Reply(407, body=b"", content_type=PLAIN), ServerTrouble, "sign-in of its own"),
    (PERSON, Reply(405, body=b"", content_type=PLAIN), ProtocolTrouble, "does not accept"),
    (PERSON, Reply(error={"code": -32603, "message": "m", "data": ENVELOPE_OF_API}), ServerTrouble, "elsewhere"),
    (INSTALLATION, Reply(error={"code": -32603, "message": "m", "data": ENVELOPE_OF_API}), ProtocolTrouble, "-32603"),
    (PERSON, Reply(401, body=b"Invalid token, please provide a valid API token"), SignInNeeded, "no longer"),
    (PERSON, Reply(402, body=b"{}"), QuotaReached, ""),
    (PERSON, Reply(404, body=b"no such page", content_type=PLAIN), NotFound, "no such page"),
    (PERSON, Reply(429, body=b'{"detail":"slow down"}', headers={"retry-after": "7"}), Throttled, "slow down"),
    (PERSON, Reply(503, body=b"Too many active sessions", content_type=PLAIN), ServerTrouble, "Too many"),
    (PERSON, Reply(413, body=b'{"error":"Request body too large"}'), Rejected, "too large"),
    (PERSON, Reply(302, headers={"location": "http://127.0.0.1:9/x"}, body=b""), ProtocolTrouble, "another address"),
    (PERSON, Reply(307, headers={"location": "http://127.0.0.1:9/x"}, body=b""), ProtocolTrouble, "another address"),
    (PERSON, Reply(200, body=b"<html>hello</html>", content_type="text/html"), ProtocolTrouble, "text/html"),
    (PERSON, Reply(202, body=b""), ProtocolTrouble, "did not answer"),
    (PERSON, Reply(200, body=b"{not json"), ProtocolTrouble, "is not JSON"),
    (PERSON, Reply(stream=[b"event: message\ndata: {broken\n\n"]), ProtocolTrouble, "is not JSON"),
    (PERSON, Reply(stream=[{"error": {"code": -32602, "message": "bad"}}]), ProtocolTrouble, "-32602"),
    (PERSON, Reply(error={"code": -32001, "message": "m"}), ProtocolTrouble, "-32001"),
    (PERSON, Reply(error={"code": -32042, "message": "m"}), ProtocolTrouble, "web page"),
    (PERSON, Reply(400, error={"code": -32021, "message": "m"}), ProtocolTrouble, "-32021"),
    (PERSON, Reply(error={"code": 7, "message": "own"}), ProtocolTrouble, "own"),
    (PERSON, Reply(result={"resultType": "input_required"}), ProtocolTrouble, "more input"),
    (PERSON, Reply(result={"resultType": "novel"}), ProtocolTrouble, "novel"),
    (INSTALLATION, Reply(401, body=b'{"error":"Installation needs re-authentication"}'), VendorSignInNeeded, ""),
    (INSTALLATION, Reply(401, body=b'{"error":"No credentials configured"}'), VendorSignInNeeded, ""),
    (INSTALLATION, Reply(401, body=b'{"error":"Authentication failed"}'), VendorSignInNeeded, ""),
    (INSTALLATION, Reply(401, body=b"vendor says no", content_type=PLAIN), VendorSignInNeeded, ""),
    (INSTALLATION, Reply(403, body=b'{"error":"Server is disabled"}'), PolicyRefused, "disabled"),
    (INSTALLATION, Reply(403, body=b'{"error":"Server is disabled for this team"}'), PolicyRefused, "team"),
    (INSTALLATION, Reply(400, body=b'{"error":"URL not allowed: x"}'), Rejected, "URL not allowed"),
    (INSTALLATION, Reply(502, body=b'{"error":"Upstream MCP server unreachable"}'), ServerTrouble, "unreachable"),
    (INSTALLATION, Reply(error={"code": -32001, "message": "Tool 'x' requires approval"}), PolicyRefused, "approval"),
    (INSTALLATION, Reply(error={"code": -32002, "message": "Tool 'x' has been disabled"}), PolicyRefused, "disabled"),
    (INSTALLATION, Reply(error={"code": -32601, "message": "gone"}), ProtocolTrouble, "-32601"),
]


@pytest.mark.parametrize(("owner", "reply", "kind", "words"), HTTP_CASES)
async def test_each_refusal_becomes_its_error(
    owner: CredentialAtStake, reply: Reply, kind: type[BurrowError], words: str
) -> None:
    failure = await failure_of(reply, owner=owner)
    assert type(failure) is kind
    assert words in failure.cause
    assert failure.facts.status == reply.status or kind is ProtocolTrouble


async def test_a_call_that_lacks_a_scope_says_which() -> None:
    header = 'Bearer error="insufficient_scope", scope="task:write"'
    failure = await failure_of(Reply(403, body=b"no", headers={"www-authenticate": header}))
    assert failure.facts.scopes == ("task:write",)
    assert (await failure_of(Reply(403, body=b'{"attr": "name"}'))).facts.attr == "name"


async def test_a_throttled_call_says_when_to_come_back() -> None:
    failure = await failure_of(Reply(429, body=b"", headers={"retry-after": "7"}))
    assert failure.facts.retry_after == 7


async def test_a_renewal_that_failed_is_the_reason_told() -> None:
    async with Scripted() as server, connected(server.url, auth=RefreshFailing()) as connection:
        for method in ("server/discover", "tools/call"):
            server.always[method] = Reply(401, body=b"OAuth token is inactive", content_type=PLAIN)
            with pytest.raises(SignInNeeded, match="grant is over"):
                await call(connection)
            del server.always[method]
        assert server.count("initialize") == 0


async def test_a_fault_of_the_auth_flow_fails_one_request_only() -> None:
    class Faulty(Bearer):
        broken = False

        async def async_auth_flow(self, request: httpx2.Request) -> Any:
            if self.broken:
                raise ZeroDivisionError
            yield request

    auth = Faulty()
    async with Scripted() as server, connected(server.url, auth=auth) as connection:
        await connection.tools()
        auth.broken = True
        with pytest.raises(BurrowError):
            await call(connection)
        auth.broken = False
        assert (await call(connection))["content"]
        assert server.count("server/discover") == 1


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_beyond_the_limit_is_not_read_further(streamed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    await connection_module.load_session_module()
    monkeypatch.setattr("app.core.mcp.protocol.http_client.ANSWER_LIMIT", 2 * 1024 * 1024)
    long = b"event: message\ndata: " + b"x" * 5_000_000 + b"\n\n"
    reply = Reply(stream=[long]) if streamed else Reply(size=200_000_000)
    failure = await failure_of(reply)
    assert isinstance(failure, ProtocolTrouble)
    assert "2 MB" in failure.cause


async def test_a_compressed_answer_is_measured_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    await connection_module.load_session_module()
    monkeypatch.setattr("app.core.mcp.protocol.http_client.ANSWER_LIMIT", 2 * 1024 * 1024)
    packed = gzip.compress(b'{"jsonrpc":"2.0","id":1,"result":{"x":"' + b"x" * 20_000_000 + b'"}}')
    failure = await failure_of(Reply(body=packed, headers={"content-encoding": "gzip"}))
    assert "2 MB" in failure.cause


async def test_progress_is_told_and_resets_the_patience() -> None:
    def step(number: int) -> dict[str, Any]:
        return {"method": "notifications/progress", "params": {"progress": number, "total": 3, "message": "on"}}

    async with Scripted() as server, connected(server.url) as connection:
        server.always["tools/call"] = Reply(stream=[step(1), step(2), {"result": {"content": []}}])
        heard: list[tuple[float, float | None, str | None]] = []
        running = RunningCall(
            lambda report: connection.call("echo", {}, repeatable=False, on_progress=report),
        )
        running.progress.subscribe(lambda step: heard.append((step.value, step.total, step.message)))
        await running.result()
        assert sorted(heard) == [(1.0, 3.0, "on"), (2.0, 3.0, "on")]


@pytest.mark.parametrize("legacy", [False, True])
async def test_cancelling_tells_the_server(legacy: bool) -> None:
    async with Scripted(legacy=legacy) as server, connected(server.url) as connection:
        server.always["tools/call"] = Reply(result={"content": []}, hold=asyncio.Event())
        running = RunningCall(lambda report: connection.call("echo", {}, repeatable=False, on_progress=report))
        await server.arrived["tools/call"].wait()
        running.cancel()
        with pytest.raises(CallCancelled):
            await running.result()
        await (server.arrived["notifications/cancelled"] if legacy else server.gone).wait()
        del server.always["tools/call"]
        assert (await call(connection))["content"]


async def test_cancelling_whoever_waits_cancels_the_call() -> None:
    async with Scripted() as server, connected(server.url) as connection:
        server.always["tools/call"] = Reply(result={"content": []}, hold=asyncio.Event())
        running = RunningCall(lambda report: connection.call("echo", {}, repeatable=False, on_progress=report))
        waiting = asyncio.create_task(running.result())
        await server.arrived["tools/call"].wait()
        waiting.cancel()
        await server.gone.wait()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_silence_is_told_and_waiting_again_keeps_waiting() -> None:
    async with Scripted() as server, connected(server.url) as connection:
        release = asyncio.Event()
        server.always["tools/call"] = Reply(result={"content": []}, hold=release)
        running = RunningCall(
            lambda report: connection.call("echo", {}, repeatable=False, on_progress=report), silence=0.2
        )
        for _ in range(2):
            with pytest.raises(TimedOut) as raised:
                await running.result()
            assert raised.value.facts.code == "silence"
        assert not running.done
        release.set()
        assert (await running.result()).blocks == ()


async def test_a_call_beyond_the_longest_time_is_cancelled() -> None:
    async with Scripted() as server, connected(server.url) as connection:
        server.always["tools/call"] = Reply(result={"content": []}, hold=asyncio.Event())
        running = RunningCall(
            lambda report: connection.call("echo", {}, repeatable=False, on_progress=report), silence=9, longest=0.3
        )
        with pytest.raises(TimedOut) as raised:
            await running.result()
        assert raised.value.facts.code == "longest"
        await server.gone.wait()


@pytest.mark.parametrize("legacy", [False, True])
async def test_leaving_takes_less_than_a_second_with_calls_open_and_a_server_that_never_answers(legacy: bool) -> None:
    async with Scripted(legacy=legacy, sessions=legacy) as server, connected(server.url) as connection:
        await connection.tools()
        never = asyncio.Event()
        server.always["tools/call"] = Reply(result={"content": []}, hold=never)
        server.always["notifications/cancelled"] = Reply(202, body=b"", hold=never)
        calls = [
            RunningCall(lambda report: connection.call("echo", {}, repeatable=False, on_progress=report))
            for _ in range(5)
        ]
        await server.arrived["tools/call"].wait()
        started = monotonic()
        for running in calls:
            running.cancel()
        await connection.close()
        assert monotonic() - started < 1.0
        for running in calls:
            with pytest.raises(BurrowError):
                await running.result()


async def test_a_server_that_never_opens_a_session_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "OPEN_SECONDS", 0.3)
    async with Scripted() as server, connected(server.url) as connection:
        server.always["server/discover"] = Reply(result={}, hold=asyncio.Event())
        with pytest.raises(TimedOut):
            await connection.tools()


async def test_a_server_of_an_unknown_revision_is_named_as_such() -> None:
    async with Scripted() as server, connected(server.url) as connection:
        server.always["server/discover"] = Reply(
            400, error={"code": -32022, "message": "no", "data": {"supported": ["2031-01-01"], "requested": MODERN}}
        )
        with pytest.raises(ProtocolTrouble, match="share no revision"):
            await connection.tools()


async def test_resources_are_read_raw() -> None:
    async with Scripted() as server, connected(server.url) as connection:
        server.always["resources/read"] = Reply(result={"contents": [{"uri": "x:y", "text": "t", "own": 1}]})
        assert (await connection.read_resource("x:y"))["contents"][0]["own"] == 1
