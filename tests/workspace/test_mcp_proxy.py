"""The installation proxy: whose credential failed, what may be called, and how answers pass through."""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.workspace.store_client import ERAS, Store, connected, modern, modern_headers, until
from tests.workspace.store_upstream import scripted_upstream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.server import BaseHTTPRequestHandler

    from tests.workspace.lab import Lab
    from tests.workspace.store_upstream import Seen, Upstream

LIST = {"jsonrpc": "2.0", "id": 7, "method": "tools/list"}


def a_call(tool: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": tool, "arguments": {}}}


@pytest.fixture
def scripted(store: Store, upstream: Upstream) -> Iterator[str]:
    """An installation of the scripted server; `first` is approved."""
    body = {"name": "Scripted", "url": upstream.url, "auth_type": "api_key", "api_key": "vendor-key"}
    wanted = store.ask("POST", "/mcp_server_installations/install_custom/", json=body).json()["id"]
    until(lambda: store.tools(wanted))
    store.decide(wanted, "first", "approved")
    upstream.seen.clear()
    yield wanted
    store.one(wanted, "DELETE")


@pytest.fixture
def ledger(store: Store) -> str:
    """Ledger, connected, with `list_invoices` approved."""
    wanted = str(store.connect_ledger()["id"])
    until(lambda: store.tools(wanted))
    assert store.decide(wanted, "list_invoices", "approved").status_code == 200
    return wanted


@pytest.fixture
def postbox(store: Store) -> str:
    wanted = str(store.named("Postbox")["id"])
    until(lambda: store.tools(wanted))
    store.decide(wanted, "list_mailboxes", "approved")
    return wanted


def test_the_persons_dead_token_is_the_envelope(store: Store, scripted: str) -> None:
    store.lab.switch("kill-access-token")
    answer = store.proxy(scripted, LIST)
    assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed")
    assert "resource_metadata=" in answer.headers["www-authenticate"]
    store.tokens = store.lab.sign_in()


def test_a_missing_scope_is_a_permission_not_a_sign_in(store: Store, scripted: str) -> None:
    client = store.lab.register(scope="task:read")["client_id"]
    narrow = Store(store.lab, store.lab.sign_in(client, scope="task:read"))
    answer = narrow.proxy(scripted, LIST)
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


def test_an_unknown_installation_is_not_found(store: Store) -> None:
    answer = store.proxy("nothing", LIST)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_only_posting_is_allowed(store: Store, scripted: str, method: str) -> None:
    answer = store.ask(method, f"/mcp_server_installations/{scripted}/proxy/")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_a_disabled_server_is_not_called(store: Store, upstream: Upstream, scripted: str) -> None:
    store.one(scripted, "PATCH", json={"is_enabled": False})
    answer = store.proxy(scripted, LIST)
    assert (answer.status_code, answer.json()) == (403, {"error": "Server is disabled"})
    assert upstream.seen == []


@pytest.mark.parametrize("content", [b"", b"{", b'"text"', b"7", b"\xff", b"[" * 100_000, b'{"a": NaN}'])
def test_a_body_that_is_no_json_object_is_refused(store: Store, scripted: str, content: bytes) -> None:
    answer = store.ask("POST", f"/mcp_server_installations/{scripted}/proxy/", content=content)
    assert (answer.status_code, answer.json()) == (400, {"error": "Request body must be valid JSON"})


def test_more_than_a_megabyte_is_too_large(store: Store, upstream: Upstream, scripted: str) -> None:
    fits = json.dumps({**LIST, "pad": ""})
    room = 1024 * 1024 - len(fits)
    assert store.proxy(scripted, {**LIST, "pad": "x" * (room - 10)}).status_code == 200
    answer = store.proxy(scripted, {**LIST, "pad": "x" * (room + 10)})
    assert (answer.status_code, answer.json()) == (413, {"error": "Request body too large"})
    assert len(upstream.seen) == 1


def test_batches_are_refused(store: Store, upstream: Upstream, scripted: str) -> None:
    answer = store.proxy(scripted, [LIST, LIST])
    assert (answer.status_code, answer.json()["error"]["code"]) == (200, -32000)
    assert upstream.seen == []


@pytest.mark.parametrize(
    ("tool", "state", "code", "words"),
    [
        ("second", "needs_approval", -32001, "Tool 'second' requires approval before it can be called"),
        ("second", "do_not_use", -32002, "Tool 'second' has been disabled by the user"),
        ("third", None, -32601, "Tool 'third' is not registered for this server"),
        ("", None, -32601, "Tool name is missing"),
        (None, None, -32601, "Tool name is missing"),
        ({"a": 1}, None, -32601, "Tool name is missing"),
        ("\ud800", None, -32601, "Tool '\ud800' is not registered for this server"),
    ],
)
def test_what_is_not_approved_is_not_called(
    store: Store, upstream: Upstream, scripted: str, tool: Any, state: str | None, code: int, words: str
) -> None:
    if state is not None:
        store.decide(scripted, tool, state)
    raw = json.dumps(a_call(tool))
    path = f"/mcp_server_installations/{scripted}/proxy/"
    answer = store.ask("POST", path, content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert answer.json() == {"jsonrpc": "2.0", "id": 7, "error": {"code": code, "message": words}}
    assert upstream.seen == []


def test_a_tool_that_went_away_is_no_longer_available(store: Store, upstream: Upstream, scripted: str) -> None:
    upstream.tools = ["second"]
    store.refresh_tools(scripted)
    error = store.proxy(scripted, a_call("first")).json()["error"]
    assert (error["code"], error["message"]) == (-32601, "Tool 'first' is no longer available")


def test_an_approved_tool_is_called(store: Store, scripted: str) -> None:
    assert store.proxy(scripted, a_call("first")).json()["result"]["content"][0]["text"] == "done"


def test_the_vendor_sees_its_own_credential_and_nothing_of_the_persons(
    store: Store, upstream: Upstream, scripted: str
) -> None:
    headers = {
        "mcp-session-id": "s-1",
        "mcp-protocol-version": "2025-11-25",
        "x-posthog-project-id": "1",
        "cookie": "session=secret",
        "x-forwarded-for": "10.0.0.1",
    }
    store.proxy(scripted, LIST, **headers)
    [seen] = upstream.seen
    assert seen.headers["authorization"] == "Bearer vendor-key"
    assert seen.headers["mcp-session-id"] == "s-1"
    assert seen.headers["mcp-protocol-version"] == "2025-11-25"
    assert seen.headers["x-posthog-project-id"] == "1"
    assert seen.body == LIST
    assert store.tokens.access not in str(seen.headers)
    assert not {"cookie", "x-forwarded-for"} & set(seen.headers)


def test_a_vendors_refusal_passes_through_as_it_is(store: Store, upstream: Upstream, scripted: str) -> None:
    body = b'{"oops":  "your key is wrong"}'
    upstream.answer = lambda _seen, handler: upstream.reply(
        handler, 401, body, **{"Set-Cookie": "a=b", "WWW-Authenticate": "Bearer", "Mcp-Session-Id": "s-2"}
    )
    answer = store.proxy(scripted, LIST)
    assert (answer.status_code, answer.content) == (401, body)
    assert answer.headers["mcp-session-id"] == "s-2"
    assert not {"set-cookie", "www-authenticate"} & set(answer.headers)
    assert len(upstream.seen) == 1


def test_a_redirect_of_the_vendor_is_not_followed(store: Store, upstream: Upstream, scripted: str) -> None:
    upstream.answer = lambda _seen, handler: upstream.reply(handler, 307, b"", Location="http://127.0.0.1:1/")
    answer = store.proxy(scripted, LIST)
    assert (answer.status_code, answer.json()) == (502, {"error": "Upstream MCP server unreachable"})


def test_a_vendor_that_does_not_answer_times_out(store: Store, upstream: Upstream, scripted: str) -> None:
    store.lab.switch("mcp", upstream_seconds=0.2)

    def wait(_seen: Seen, _handler: BaseHTTPRequestHandler) -> bool:
        upstream.release.wait(10)
        return False

    upstream.answer = wait
    answer = store.proxy(scripted, LIST)
    assert (answer.status_code, answer.json()) == (502, {"error": "Upstream MCP server timed out"})


def test_a_vendor_that_is_gone_is_unreachable(store: Store) -> None:
    with scripted_upstream() as gone:
        url = gone.url
    body = {"name": "Gone", "url": url, "auth_type": "api_key", "api_key": "k"}
    wanted = store.ask("POST", "/mcp_server_installations/install_custom/", json=body).json()["id"]
    answer = store.proxy(wanted, LIST)
    assert (answer.status_code, answer.json()) == (502, {"error": "Upstream MCP server unreachable"})
    store.one(wanted, "DELETE")


def test_events_arrive_while_the_vendor_is_still_working(store: Store, upstream: Upstream, scripted: str) -> None:
    last = threading.Event()

    def stream(_seen: Seen, handler: BaseHTTPRequestHandler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(b"event: message\ndata: 1\n\n")
        handler.wfile.flush()
        last.wait(10)
        handler.wfile.write(b"event: message\ndata: 2\n\n")
        handler.close_connection = True
        return True

    upstream.answer = stream
    path = f"{store.url}/api/environments/1/mcp_server_installations/{scripted}/proxy/"
    with store.lab.http.stream("POST", path, json=LIST, headers=store.tokens.header) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        pieces = answer.iter_raw()
        assert b"data: 1" in next(pieces)
        last.set()
        assert b"data: 2" in b"".join(pieces)


def test_a_caller_that_leaves_ends_the_call_upstream(store: Store) -> None:
    own = store.named("Workspace")["id"]
    until(lambda: store.tools(own))
    store.decide(own, "slow_report", "approved")
    cancelled = store.lab.switch("mcp")["reports_cancelled"]
    message = modern("tools/call", name="slow_report", arguments={"seconds": 60, "steps": 1})
    path = f"{store.url}/api/environments/1/mcp_server_installations/{own}/proxy/"
    headers = {**store.tokens.header, **modern_headers("slow_report"), "accept": "application/json, text/event-stream"}
    leave = threading.Event()

    def call() -> None:
        try:
            store.lab.http.post(path, json=message, headers=headers, timeout=0.5)
        except Exception:
            leave.set()

    caller = threading.Thread(target=call)
    caller.start()
    caller.join(10)
    assert leave.is_set()
    until(lambda: store.lab.switch("mcp")["reports_cancelled"] > cancelled)
    until(lambda: store.lab.switch("mcp")["reports_running"] == 0)


def test_a_caller_that_leaves_midway_ends_the_call_upstream(store: Store) -> None:
    own = store.named("Workspace")["id"]
    until(lambda: store.tools(own))
    store.decide(own, "slow_report", "approved")
    cancelled = store.lab.switch("mcp")["reports_cancelled"]
    arguments = {"seconds": 60, "steps": 60}
    message = modern("tools/call", name="slow_report", arguments=arguments, meta={"progressToken": 1})
    path = f"{store.url}/api/environments/1/mcp_server_installations/{own}/proxy/"
    headers = {**store.tokens.header, **modern_headers("slow_report"), "accept": "application/json, text/event-stream"}
    with store.lab.http.stream("POST", path, json=message, headers=headers) as answer:
        assert b"notifications/progress" in next(answer.iter_raw())
    until(lambda: store.lab.switch("mcp")["reports_cancelled"] > cancelled)


def test_a_pending_server_has_no_credentials(store: Store) -> None:
    template = store.template("Timesheet")["id"]
    store.authorize(template_id=template)
    wanted = store.named("Timesheet")["id"]
    answer = store.proxy(wanted, LIST)
    assert (answer.status_code, answer.json()) == (401, {"error": "No credentials configured"})
    store.one(wanted, "DELETE")


def test_a_vendors_dead_access_token_is_renewed_unseen(store: Store, ledger: str) -> None:
    for _time in range(2):
        store.lab.switch("vendor", vendor="ledger", action="kill_access_token")
        answer = store.call(ledger, "list_invoices", limit=1)
        assert answer.json()["result"]["structuredContent"]["invoices"]
    assert store.one(ledger).json()["needs_reauth"] is False


def test_a_vendors_expired_token_is_renewed_before_it_is_used(store: Store, ledger: str) -> None:
    store.lab.switch("advance-clock", seconds=3590)
    assert store.call(ledger, "list_invoices", limit=1).status_code == 200


def test_many_calls_with_a_dead_vendor_token_renew_it_once(store: Store, ledger: str) -> None:
    store.lab.switch("vendor", vendor="ledger", action="kill_access_token")
    renewals = store.lab.counters()["requests"]["/_vendor/token"]
    statuses: list[int] = []

    def call() -> None:
        statuses.append(store.call(ledger, "list_invoices", limit=1).status_code)

    callers = [threading.Thread(target=call) for _number in range(10)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(20)
    assert statuses == [200] * 10
    assert store.lab.counters()["requests"]["/_vendor/token"] == renewals + 1


def test_a_vendor_that_ended_its_grant_asks_to_reconnect_and_the_person_stays_signed_in(
    store: Store, ledger: str
) -> None:
    store.lab.switch("vendor", vendor="ledger", action="revoke")
    first = store.call(ledger, "list_invoices")
    assert (first.status_code, first.json()) == (401, {"error": "Authentication failed"})
    assert store.one(ledger).json()["needs_reauth"] is True
    second = store.call(ledger, "list_invoices")
    assert (second.status_code, second.json()) == (401, {"error": "Installation needs re-authentication"})
    assert store.lab.me(store.tokens).status_code == 200
    assert store.connect_ledger()["needs_reauth"] is False
    assert store.call(ledger, "list_invoices").status_code == 200


def test_a_vendors_trouble_while_renewing_loses_nothing(store: Store, ledger: str) -> None:
    store.lab.switch("vendor", vendor="ledger", action="kill_access_token")
    store.lab.switch("path", path="/_vendor/token", method="POST", status=503, body={}, times=1)
    answer = store.call(ledger, "list_invoices")
    assert (answer.status_code, answer.json()) == (502, {"error": "Upstream MCP server unreachable"})
    assert store.one(ledger).json()["needs_reauth"] is False
    assert store.call(ledger, "list_invoices").status_code == 200


def test_an_unreachable_vendor_is_told_and_comes_back(store: Store, postbox: str) -> None:
    store.lab.switch("vendor", vendor="postbox", action="unreachable")
    answer = store.call(postbox, "list_mailboxes")
    assert (answer.status_code, answer.json()) == (502, {"error": "Upstream MCP server unreachable"})
    store.lab.switch("vendor", vendor="postbox", action="reachable")
    assert store.call(postbox, "list_mailboxes").status_code == 200


def test_a_vendor_that_drops_an_api_key_says_so_itself_and_hands_out_another(store: Store, postbox: str) -> None:
    assert store.lab.switch("vendor", vendor="postbox", action="revoke")["ended"] >= 1
    answer = store.call(postbox, "list_mailboxes")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_api_key")
    store.one(postbox, "DELETE")
    template = store.template("Postbox")
    assert "Create a key" in store.lab.http.get(template["docs_url"]).text
    [key] = re.findall(r"<code>(.+)</code>", store.lab.http.post(template["docs_url"]).text)
    body = {"template_id": template["id"], "api_key": key}
    made = store.ask("POST", "/mcp_server_installations/install_template/", json=body).json()["id"]
    until(lambda: store.tools(made))
    store.decide(made, "list_mailboxes", "approved")
    assert store.call(made, "list_mailboxes").status_code == 200


async def test_the_sdks_client_works_through_the_proxy_in_both_eras(store: Store, ledger: str) -> None:
    url = store.one(ledger).json()["proxy_url"]
    for era in ERAS:
        async with connected(url, store.tokens.access, era) as client:
            assert next(tool.name for tool in (await client.list_tools()).tools) == "list_invoices"
            result = await client.call_tool("list_invoices", {"status": "draft"})
            assert {one["status"] for one in result.structured_content["invoices"]} == {"draft"}


async def test_progress_comes_through_the_proxy_in_both_eras(store: Store) -> None:
    own = store.named("Workspace")
    until(lambda: store.tools(own["id"]))
    store.decide(own["id"], "slow_report", "approved")
    for era in ERAS:
        seen: list[float] = []

        async def note(progress: float, _total: float | None, _words: str | None, seen: list[float] = seen) -> None:
            seen.append(progress)

        async with connected(own["proxy_url"], store.tokens.access, era) as client:
            await client.call_tool("slow_report", {"seconds": 0.2, "steps": 2}, progress_callback=note)
        assert seen == [0, 1, 2]


async def test_the_workspaces_own_server_is_called_as_the_caller(store: Store) -> None:
    own = store.named("Workspace")
    until(lambda: store.tools(own["id"]))
    store.decide(own["id"], "who_am_i", "approved")
    async with connected(own["proxy_url"], store.tokens.access, "2026-07-28") as client:
        result = await client.call_tool("who_am_i", {})
    assert result.structured_content["email"] == "ana@example.org"


def test_calls_are_throttled_per_person_and_the_switchboard_lifts_it(lab: Lab) -> None:
    store = Store(lab, throttled=True)
    answers = [store.proxy("nothing", LIST) for _time in range(61)]
    assert [one.status_code for one in answers] == [404] * 60 + [429]
    assert answers[-1].json()["code"] == "throttled"
    assert "retry-after" in answers[-1].headers
    lab.switch("mcp", throttles=False)
    assert store.proxy("nothing", LIST).status_code == 404
