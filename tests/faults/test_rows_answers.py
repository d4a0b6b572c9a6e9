"""Rows 41 to 45, 47 to 50 and 54 to 58 of what must be survived.

What an answer means, what is sent again and what never is.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from app.core.auth.http.target import CredentialAtStake, Target
from app.core.auth.status import CredentialState
from app.core.errors import (
    BurrowError,
    OutcomeUnknown,
    PermissionMissing,
    ProtocolTrouble,
    Rejected,
    ServerTrouble,
)
from app.core.hosts import parse_host
from app.core.mcp.protocol.connection import Connection, Endpoint
from app.core.mcp.protocol.http_transport import StreamableHttpTransport
from app.core.mcp.results.blocks import CallResult
from tests.core import _mcp_server as mcp
from tests.core.conftest import Rig, signed_in
from tests.core.scripted import Reply, Request, ScriptedServer
from tests.core.test_mcp_servers import world
from tests.faults.measure import Measure

ENVELOPE = {
    "type": "authentication_error",
    "code": "authentication_failed",
    "detail": "Invalid access token.",
    "attr": None,
}
DENIED = {**ENVELOPE, "code": "permission_denied", "detail": "You do not have permission to perform this action."}
PAGE = "<!doctype html><title>Access denied</title>"
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "add", "arguments": {"n": 1}}}
JSON = {"Content-Type": "application/json"}
EVENTS = {"Content-Type": "text/event-stream"}
IN_BETWEEN = "Something between Burrow and Scripted asks for a sign-in of its own"
MORE_THAN_IS_KEPT = "x" * (4 * 1024 * 1024)


@asynccontextmanager
async def mcp_client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(verify=False, trust_env=False) as client:
        yield client


async def call(rig: Rig, owner: CredentialAtStake = CredentialAtStake.CARRIED) -> httpx2.Response:
    """One `tools/call` to `/mcp`, as the MCP SDK's client sends it."""
    own = owner is CredentialAtStake.CARRIED
    target = Target(rig.host.token_origins, owner, jsonrpc=True, reports_own_auth=own)
    async with mcp_client() as client:
        return await client.post(f"{rig.server.origin}/mcp", json=CALL, auth=rig.credential.auth(target))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    connection = Connection(
        Endpoint("server", StreamableHttpTransport(url), CredentialAtStake.CARRIED), lambda _endpoint, _item: None
    )
    try:
        yield connection
    finally:
        await connection.close()


async def silent(progress: float, total: float | None, message: str | None) -> None:
    return None


def nothing_renewed(rig: Rig) -> bool:
    return (rig.issuer.accepted, rig.issuer.rejected) == (0, 0)


def renewed_once(rig: Rig) -> bool:
    return (rig.issuer.accepted, rig.issuer.rejected, rig.issuer.revoked) == (1, 0, False)


@pytest.mark.parametrize("body", [b"", "Unauthorized", {"detail": "Invalid token."}], ids=["empty", "text", "json"])
async def test_row_41_a_401_without_a_challenge_is_healed_once(tmp_path: Path, body: Any, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = rig.issuer.guard(Reply(401, body))
        rig.issuer.kill()
        assert (await rig.fetcher.get("/api/x/")).status == 200
        assert renewed_once(rig)
        assert rig.server.requests["/api/x/"] == 2
        measure.expect(R=1)


@pytest.mark.parametrize(
    "refusal",
    [
        Reply(401, b"", {"WWW-Authenticate": 'Bearer error="invalid_token"'}),
        Reply(401, b"", {"WWW-Authenticate": 'Basic realm="a", bearer ERROR=invalid_token'}),
        Reply(401, {"error": "invalid_token"}),
    ],
    ids=["challenge", "one of several challenges", "body"],
)
async def test_row_42_an_invalid_token_is_healed(tmp_path: Path, refusal: Reply, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = rig.issuer.guard(refusal)
        rig.issuer.kill()
        assert (await rig.fetcher.get("/api/x/")).status == 200
        assert renewed_once(rig)
        measure.expect(R=1)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Reply(401, b"", {"WWW-Authenticate": 'Bearer error="invalid_request"'}), "status 401"),
        (Reply(401, {"error": "invalid_request", "error_description": "Two tokens."}), "Two tokens"),
        (Reply(401, b"", {"WWW-Authenticate": 'Basic realm="vpn"'}), IN_BETWEEN),
        (Reply(401, b"", {"WWW-Authenticate": r'Basic realm="a, Bearer error=\"invalid_token\""'}), IN_BETWEEN),
        (Reply(407, PAGE, {"Proxy-Authenticate": 'Basic realm="office"'}), IN_BETWEEN),
    ],
    ids=["invalid_request", "invalid_request in the body", "Basic", "Basic that quotes Bearer", "407"],
)
async def test_row_43_what_is_not_about_our_token_is_told_and_costs_no_renewal(
    tmp_path: Path, refusal: Reply, words: str, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = refusal
        with measure.meets(ServerTrouble, match=words):
            await rig.fetcher.get("/api/x/")
        assert nothing_renewed(rig)
        assert rig.server.requests["/api/x/"] == 1
        measure.expect(R=0, V=1)


async def test_row_44_a_403_is_healed_for_the_one_code_that_means_a_dead_token(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = rig.issuer.guard(Reply(403, ENVELOPE))
        rig.issuer.kill()
        assert (await rig.fetcher.get("/api/x/")).status == 200
        assert renewed_once(rig)
        measure.expect(R=1)


@pytest.mark.parametrize(
    "body",
    [
        {"type": "authentication_error"},
        {**ENVELOPE, "code": "not_authenticated"},
        {**ENVELOPE, "code": ["authentication_failed"]},
        [ENVELOPE],
        {"error": ENVELOPE},
        "authentication_failed",
    ],
    ids=["type only", "other code", "list of codes", "list", "nested", "words"],
)
async def test_row_44_nothing_else_in_a_403_is_that_code(tmp_path: Path, body: Any, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = rig.issuer.guard(Reply(403, body))
        rig.issuer.kill()
        with measure.meets(PermissionMissing):
            await rig.fetcher.get("/api/x/")
        assert nothing_renewed(rig)
        measure.expect(R=0, V=1)


async def test_row_45_a_missing_permission_is_told_at_once_and_never_renews_however_often(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = Reply(403, DENIED)
        with measure.meets(PermissionMissing, match="You do not have permission"):
            await rig.fetcher.get("/api/x/")
        assert nothing_renewed(rig)
        for _ in range(100):
            with measure.meets(PermissionMissing):
                await rig.fetcher.get("/api/x/")
        assert nothing_renewed(rig)
        assert rig.server.requests["/api/x/"] == 101
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        measure.expect(R=0, V=1)


@pytest.mark.parametrize(
    "error",
    [
        {"code": -32603, "message": "The API refused the request", "data": ENVELOPE},
        {"code": -32603, "message": f"The API refused the request: {json.dumps(ENVELOPE)}"},
        {"code": -32001, "message": "Unauthorized", "data": {"error": "invalid_token"}},
    ],
    ids=["data", "message", "invalid_token"],
)
@pytest.mark.parametrize("as_events", [False, True], ids=["json", "events"])
async def test_row_47_an_auth_error_inside_a_200_is_healed_and_the_call_sent_again_once(
    tmp_path: Path, error: dict[str, Any], as_events: bool, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        text = json.dumps({"jsonrpc": "2.0", "id": 1, "error": error})
        failure = Reply(200, f": hello\r\n\r\ndata: {text}\r\n\r\n", EVENTS) if as_events else Reply(200, text, JSON)
        rig.server.views["/mcp"] = rig.issuer.guard(failure)
        rig.issuer.kill()
        assert (await call(rig)).json() == {"ok": True}
        assert renewed_once(rig)
        assert rig.server.requests["/mcp"] == 2
        measure.expect(R=1)


async def test_row_47_an_auth_error_that_stays_is_told_as_a_refused_sign_in(measure: Measure) -> None:
    async with mcp.Scripted() as server, connected(server.url) as connection:
        server.always["tools/call"] = mcp.Reply(error={"code": -32603, "message": "Refused", "data": ENVELOPE})
        with measure.meets(ServerTrouble, match="server refuses a sign-in that works elsewhere"):
            await connection.call("echo", {}, repeatable=False, on_progress=silent)
        assert server.count("tools/call") == 1
        measure.expect(R=0, V=1)


@pytest.mark.parametrize("is_error", [b"false", b"true"])
async def test_row_48_a_result_that_contains_the_words_passes_byte_for_byte(
    tmp_path: Path, is_error: bytes, measure: Measure
) -> None:
    quoting = (
        b'{ "jsonrpc":"2.0","id":1,"result":{"isError":%b,"content":[{"type":"text",'
        b'"text":"{\\"code\\": \\"authentication_failed\\"} stands in the log,\\u0020twice"}]}}\n' % is_error
    )
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/mcp"] = Reply(200, quoting, JSON)
        assert (await call(rig)).content == quoting
        assert nothing_renewed(rig)
        assert rig.server.requests["/mcp"] == 1
        measure.expect(R=0)


@pytest.mark.parametrize(
    "text",
    ["GitHub: 401 Bad credentials. Reconnect it.", json.dumps(ENVELOPE), '{"error":"invalid_token"}'],
    ids=["words", "envelope", "invalid_token"],
)
async def test_row_49_a_failure_of_somebody_elses_credential_passes_through(
    tmp_path: Path, text: str, measure: Measure
) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "result": {"isError": True, "content": [{"type": "text", "text": text}]}}
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/mcp"] = Reply(200, message)
        assert (await call(rig, CredentialAtStake.VENDOR_BEHIND)).json() == message
        assert nothing_renewed(rig)
        assert rig.server.requests["/mcp"] == 1
        measure.expect(R=0)


async def test_row_50_a_401_page_is_healed_at_most_once_and_then_told_with_who_answered(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = Reply(401, PAGE, {"Content-Type": "text/html", "Server": "gate/2.1"})
        with measure.meets(ServerTrouble) as caught:
            await rig.fetcher.get("/api/x/")
        who, what = "Something between Burrow and Scripted (gate)", "it refuses a sign-in that works elsewhere"
        assert caught.value.cause == f"{who} answered in its place: {what}."
        assert (caught.value.facts.status, caught.value.facts.origin) == (401, rig.server.origin)
        assert renewed_once(rig)
        assert rig.server.requests["/api/x/"] == 2
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        measure.expect(R=1, V=1)


async def test_row_50_a_gate_that_takes_the_new_token_is_not_noticed(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = rig.issuer.guard(Reply(401, PAGE, {"Content-Type": "text/html"}))
        rig.issuer.kill()
        assert (await rig.fetcher.get("/api/x/")).status == 200
        assert renewed_once(rig)
        measure.expect(R=1)


async def test_row_54_a_call_refused_before_it_ran_is_sent_again_and_runs_once(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        ran: list[bytes] = []
        measure.count_effects(lambda: len(ran) - 1)

        def view(request: Request) -> Reply:
            if request.bearer != rig.issuer.access_token:
                return Reply(401, b"", {"WWW-Authenticate": 'Bearer error="invalid_token"'})
            ran.append(request.body)
            return Reply(200, {"jsonrpc": "2.0", "id": 1, "result": {"content": []}})

        rig.server.views["/mcp"] = view
        rig.issuer.kill()
        assert (await call(rig)).json()["result"] == {"content": []}
        assert renewed_once(rig)
        assert [request.body for request in rig.server.seen if request.path == "/mcp"] == [ran[0]] * 2
        assert [json.loads(body) for body in ran] == [CALL]
        measure.expect(R=1)


@pytest.mark.parametrize(
    "reply",
    [Reply(drop=True), Reply(500, {"detail": "Broken."}), Reply(502, PAGE), Reply(504, b"")],
    ids=["reset", "500", "502", "504"],
)
async def test_row_55_a_change_whose_outcome_is_open_is_not_sent_again_and_not_called_failed(
    tmp_path: Path, reply: Reply, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = reply
        with measure.meets(OutcomeUnknown) as caught:
            await rig.fetcher.post("/api/x/", {"title": "a"})
        assert caught.value.facts.status == (None if reply.drop else reply.status)
        assert rig.server.requests["/api/x/"] == 1
        measure.expect(R=0, V=1)


@pytest.mark.parametrize(
    "reply", [Reply(503, b""), Reply(403, PAGE, {"Content-Type": "text/html"})], ids=["503", "403"]
)
async def test_row_55_an_answer_that_says_that_nothing_was_done_is_a_plain_failure(
    tmp_path: Path, reply: Reply, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = reply
        with measure.meets(ServerTrouble):
            await rig.fetcher.post("/api/x/", {"title": "a"})
        assert rig.server.requests["/api/x/"] == 1
        measure.expect(R=0, V=1)


async def test_row_55_what_may_be_repeated_is(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        replies = [Reply(drop=True), Reply(200, {})]
        rig.server.views["/api/x/"] = lambda request: replies.pop(0)
        assert (await rig.fetcher.request("POST", "/api/x/", body={}, idempotent=True)).status == 200
        assert rig.server.requests["/api/x/"] == 2
        measure.expect(R=0)


@pytest.mark.parametrize(
    ("reply", "repeatable", "error", "times"),
    [
        (mcp.Reply(drop="before"), False, OutcomeUnknown, 1),
        (mcp.Reply(drop="before"), True, None, 2),
        (mcp.Reply(502, body=b'{"error": "Upstream MCP server timed out"}'), False, OutcomeUnknown, 1),
        (mcp.Reply(502, body=b'{"error": "Upstream MCP server timed out"}'), True, ServerTrouble, 1),
        (mcp.Reply(503, body=b"Server shutting down"), False, ServerTrouble, 1),
    ],
)
async def test_row_55_a_call_is_sent_again_only_if_its_tool_may_be_repeated(
    reply: mcp.Reply, repeatable: bool, error: type[BurrowError] | None, times: int, measure: Measure
) -> None:
    async with mcp.Scripted() as server, connected(server.url) as connection:
        await connection.tools()
        server.next["tools/call"].append(reply)
        outcome = await measure.one(connection.call("echo", {}, repeatable=repeatable, on_progress=silent))
        assert isinstance(outcome, error or dict)
        assert server.count("tools/call") == times
        measure.expect(R=0, V=int(error is not None))


@pytest.mark.parametrize("template", [None, "tpl-1"], ids=["anybody's server", "a server of the catalogue"])
async def test_row_55_a_claim_of_harmlessness_counts_only_where_the_server_is_trusted(
    template: str | None, measure: Measure
) -> None:
    async with world() as w:
        w.installation = w.store.installed[0] = msgspec.structs.replace(w.installation, template_id=template)
        servers = w.servers()
        await servers.tools("i1", refresh=True)
        w.vendor.next["tools/call"].append(mcp.Reply(drop="before"))
        outcome = await measure.one(servers.start_call("i1", "count", {}).result())
        assert isinstance(outcome, OutcomeUnknown if template is None else CallResult)
        assert w.vendor.count("tools/call") == (1 if template is None else 2)
        measure.expect(R=0, V=int(template is None))


async def test_row_56_a_body_beyond_the_cap_is_not_sent_again_but_the_token_is_renewed(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = rig.issuer.guard()
        rig.issuer.kill()
        with measure.meets(ServerTrouble) as caught:
            await rig.fetcher.post("/api/x/", {"text": MORE_THAN_IS_KEPT})
        assert (caught.value.facts.status, caught.value.facts.code) == (401, "authentication_failed")
        assert "too large to be repeated automatically" in caught.value.cause
        assert "Send it again" in caught.value.advice
        assert renewed_once(rig)
        assert rig.server.requests["/api/x/"] == 1
        assert (await rig.fetcher.post("/api/x/", {"text": MORE_THAN_IS_KEPT})).status == 200
        assert renewed_once(rig)
        measure.expect(R=1, V=1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_row_57_a_redirect_to_another_origin_is_not_followed_and_nothing_leaves(
    tmp_path: Path, status: int, measure: Measure
) -> None:
    async with ScriptedServer() as stranger, signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = Reply(status, b"", {"Location": f"{stranger.origin}/api/x/"})
        for method, body in (("GET", None), ("POST", {"title": "private"})):
            with measure.meets(ServerTrouble):
                await rig.fetcher.request(method, "/api/x/", body=body)
        assert not stranger.seen
        assert rig.server.requests["/api/x/"] == 2
        assert nothing_renewed(rig)
        measure.expect(R=0, V=1)


async def test_row_57_an_mcp_session_is_not_carried_to_another_origin(measure: Measure) -> None:
    async with (
        mcp.Scripted() as stranger,
        mcp.Scripted(legacy=True, sessions=True) as server,
        connected(server.url) as connection,
    ):
        await connection.tools()
        server.always["tools/call"] = mcp.Reply(307, headers={"location": stranger.url}, body=b"")
        with measure.meets(ProtocolTrouble, match="redirects to another address"):
            await connection.call("echo", {"secret": "private"}, repeatable=True, on_progress=silent)
        assert not stranger.seen
        measure.expect(R=0, V=1)


async def test_row_58_a_token_for_https_never_goes_over_http(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/mcp"] = Reply(200, {})
        secure = rig.server.origin.replace("http://", "https://")
        async with mcp_client() as client:
            auth = rig.credential.auth(Target(frozenset({secure}), jsonrpc=True))
            await client.post(f"{rig.server.origin}/mcp", json=CALL, auth=auth)
        assert [request.bearer for request in rig.server.seen] == [""]
        measure.expect(R=0)


async def test_row_58_a_link_or_a_redirect_down_to_http_is_refused(tmp_path: Path, measure: Measure) -> None:
    async with ScriptedServer() as plain, signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = Reply(307, b"", {"Location": f"{plain.origin}/api/x/"})
        with measure.meets(ServerTrouble):
            await rig.fetcher.post("/api/x/", {"title": "private"})
        secure = plain.origin.replace("http://", "https://")
        rig.fetcher._host = replace(rig.fetcher._host, origin=secure)
        with measure.meets(Rejected):
            await rig.fetcher.get(f"{plain.origin}/api/x/?page=2")
        assert not plain.seen
        measure.expect(R=0, V=2)


@pytest.mark.parametrize(
    "address", ["http://posthog.example.com", "http://192.168.0.7:8000", "http://127.0.0.1.example"]
)
def test_row_58_a_host_that_is_not_this_machine_is_refused_without_tls(address: str, measure: Measure) -> None:
    with measure.meets(Rejected):
        parse_host(address)
    measure.expect(R=0, V=1)
