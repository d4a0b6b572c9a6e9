"""The table that reads answers, row by row: what docs/wire.md says of dead tokens, and what only looks alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.auth.http.classifier import (
    POLICY_ERRORS,
    RULES,
    UPSTREAM_ERRORS,
    VENDOR_SIGN_IN_ERRORS,
    Reply,
    Verdict,
    classify,
)
from app.core.auth.http.target import CredentialAtStake
from tests.faults.asked import reply_of
from tests.faults.labelled import read_corpus

PERSON, INSTALLATION, SERVER = CredentialAtStake.CARRIED, CredentialAtStake.VENDOR_BEHIND, CredentialAtStake.UNMANAGED
METADATA = 'Bearer resource_metadata="https://mcp.posthog.com/.well-known/oauth-protected-resource/mcp?region=eu"'
HTML = {"content-type": "text/html; charset=utf-8"}


def reply(
    status: int,
    body: object = b"",
    owner: CredentialAtStake = PERSON,
    *,
    challenge: str | None = None,
    headers: dict[str, str] | None = None,
    reports_own_auth: bool = False,
) -> Reply:
    content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    named = {**(headers or {}), **({} if challenge is None else {"www-authenticate": challenge})}
    return Reply(status, named, content, owner, reports_own_auth)


def envelope(code: str, detail: str, kind: str = "authentication_error", **more: Any) -> dict[str, Any]:
    return {"type": kind, "code": code, "detail": detail, "attr": None, **more}


def failed(detail: str) -> dict[str, Any]:
    return envelope("authentication_failed", detail)


def denied(detail: str) -> dict[str, Any]:
    return envelope("permission_denied", detail)


def vendor(error: str) -> dict[str, str]:
    return {"error": error}


def rpc(**message: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, **message}


def tool_result(text: str, *, is_error: bool | None = True) -> dict[str, Any]:
    outcome = {} if is_error is None else {"isError": is_error}
    return rpc(result={"content": [{"type": "text", "text": text}], **outcome})


AUTH_TEXT = json.dumps(failed("Invalid access token."))

DJANGO = [
    (reply(status, failed(detail), owner), Verdict.RECOVERABLE_AUTH, "envelope-authentication-failed")
    for status in (401, 403)
    for owner in (PERSON, INSTALLATION)
    for detail in (
        "Invalid access token.",
        "Access token has expired.",
        "Failed to validate access token.",
        "User associated with access token not found.",
        "User associated with access token is disabled.",
        "Access token is not associated with a valid application.",
    )
]
DJANGO += [
    (reply(403, denied(detail)), Verdict.PERMISSION, "permission-denied")
    for detail in (
        "API key missing required scope 'task:write'",
        "OAuth token has no scopes and cannot access this resource",
        "This action does not support personal API key access",
        "API key does not have access to the requested project: ID 7.",
        "API keys with scoped projects are only supported on project-based endpoints.",
        "API key does not have access to the requested organization: ID 0192f0c1.",
        "You do not have editor access to this resource.",
        "You do not have permission to perform this action.",
    )
]
DJANGO += [
    (
        reply(status, failed("Personal API key found in request Authorization header is invalid.")),
        Verdict.KEY_REFUSED,
        "personal-key-refused",
    )
    for status in (401, 403)
]
DJANGO += [
    (reply(401, failed("Invalid access token."), challenge=METADATA), Verdict.RECOVERABLE_AUTH, DJANGO[0][2]),
    (
        reply(401, envelope("not_authenticated", "Authentication credentials were not provided.")),
        Verdict.RECOVERABLE_AUTH,
        "unauthorized",
    ),
    (
        reply(403, envelope("not_authenticated", "Authentication credentials were not provided.")),
        Verdict.PERMISSION,
        "forbidden",
    ),
    (
        reply(403, denied("This action does not support Personal API Key access")),
        Verdict.PERMISSION,
        "permission-denied",
    ),
    (reply(401, denied("No.")), Verdict.PERMISSION, "permission-denied"),
    (reply(402, envelope("quota_limit_exceeded", "Over the limit.")), Verdict.QUOTA, "usage-limit"),
    (reply(402, envelope("payment_required", "Pay.")), Verdict.QUOTA, "usage-limit"),
    (reply(429, {"type": "rate_limited", "code": "usage_limit_exceeded"}), Verdict.QUOTA, "usage-limit"),
    (reply(404, envelope("not_found", "Not found.", "invalid_request")), Verdict.NOT_FOUND, "not-found"),
    (reply(410, b""), Verdict.NOT_FOUND, "not-found"),
    (
        reply(429, envelope("throttled", "Slow down.", "throttled_error"), headers={"retry-after": "30"}),
        Verdict.THROTTLED,
        "throttled",
    ),
    (reply(503, {"code": "sandbox_not_ready"}), Verdict.TRANSIENT, "server-error"),
    (reply(500, envelope("error", "A server error occurred.", "server_error")), Verdict.TRANSIENT, "server-error"),
    (reply(400, envelope("required", "Missing.", "validation_error", attr="title")), Verdict.REJECTED, "rejected"),
    (reply(400, envelope("parse_error", "JSON parse error", "invalid_request")), Verdict.REJECTED, "rejected"),
    (reply(405, envelope("method_not_allowed", "No.", "invalid_request")), Verdict.REJECTED, "rejected"),
    (reply(415, b""), Verdict.REJECTED, "rejected"),
    (reply(400, {"type": "multiple", "code": "multiple"}), Verdict.REJECTED, "rejected"),
    (reply(200, {"ok": True}), Verdict.FINE, "success"),
    (reply(204), Verdict.FINE, "success"),
]

PROXY = [
    (reply(401, vendor(error), INSTALLATION), Verdict.VENDOR_SIGN_IN, "vendor-credential")
    for error in sorted(VENDOR_SIGN_IN_ERRORS)
]
PROXY += [
    (reply(403, vendor(error), INSTALLATION), Verdict.POLICY, "server-disabled") for error in sorted(POLICY_ERRORS)
]
PROXY += [
    (reply(502, vendor(error), INSTALLATION), Verdict.TRANSIENT, "upstream-down") for error in sorted(UPSTREAM_ERRORS)
]
PROXY += [
    (reply(403, denied("No."), INSTALLATION), Verdict.PERMISSION, "permission-denied"),
    (reply(400, vendor("URL not allowed: http://10.0.0.1/"), INSTALLATION), Verdict.REJECTED, "rejected"),
    (reply(400, vendor("Request body must be valid JSON"), INSTALLATION), Verdict.REJECTED, "rejected"),
    (reply(413, vendor("Request body too large"), INSTALLATION), Verdict.REJECTED, "rejected"),
    (reply(429, envelope("throttled", "Slow down."), INSTALLATION), Verdict.THROTTLED, "throttled"),
    (reply(401, vendor("Authentication failed"), INSTALLATION), Verdict.AMBIGUOUS_AUTH, "ambiguous-401"),
    (reply(403, vendor("Authentication failed"), INSTALLATION), Verdict.VENDOR_SIGN_IN, "vendor-credential"),
    (reply(401, {"message": "Bad credentials"}, INSTALLATION), Verdict.AMBIGUOUS_AUTH, "ambiguous-401"),
    (reply(401, vendor("invalid_token"), INSTALLATION), Verdict.AMBIGUOUS_AUTH, "ambiguous-401"),
    (reply(401, b"", INSTALLATION, challenge='Bearer realm="vendor"'), Verdict.AMBIGUOUS_AUTH, "ambiguous-401"),
    (reply(401, "Invalid API key", INSTALLATION), Verdict.AMBIGUOUS_AUTH, "ambiguous-401"),
    (reply(403, {"message": "Resource not accessible"}, INSTALLATION), Verdict.PERMISSION, "forbidden"),
    (reply(500, {"message": "boom"}, INSTALLATION), Verdict.TRANSIENT, "server-error"),
    *(
        (
            reply(200, rpc(error={"code": code, "message": words}), INSTALLATION),
            Verdict.FINE,
            "success",
        )
        for code, words in (
            (-32001, "Tool 'x' requires approval before it can be called"),
            (-32002, "Tool 'x' has been disabled by the user"),
            (-32000, "Batch requests are not supported"),
            (-32601, "Tool 'x' is not registered"),
        )
    ),
]

MCP = [
    (
        reply(401, "No token provided, please provide a valid API token.", challenge=METADATA),
        Verdict.KEY_REFUSED,
        "wrong-kind-of-token",
    ),
    (reply(401, "Invalid token, please provide a valid API token"), Verdict.KEY_REFUSED, "wrong-kind-of-token"),
    (reply(401, "OAuth token is inactive", challenge=METADATA), Verdict.RECOVERABLE_AUTH, "unauthorized"),
    (reply(401, "Invalid API key", challenge=METADATA), Verdict.RECOVERABLE_AUTH, "unauthorized"),
    (
        reply(403, "Missing scope", challenge='Bearer error="insufficient_scope", scope="task:write"'),
        Verdict.SCOPE,
        "insufficient-scope",
    ),
    (reply(401, "Missing scope", challenge='Bearer error="insufficient_scope"'), Verdict.SCOPE, "insufficient-scope"),
    (reply(403, "The token is bound to another project"), Verdict.PERMISSION, "forbidden"),
    (reply(404, "Session not found"), Verdict.NOT_FOUND, "not-found"),
    (reply(405), Verdict.REJECTED, "rejected"),
    (reply(500, "Internal server error"), Verdict.TRANSIENT, "server-error"),
    (reply(503, "Server shutting down"), Verdict.TRANSIENT, "server-error"),
    (reply(503, "Too many active sessions"), Verdict.TRANSIENT, "server-error"),
    (reply(200, tool_result(AUTH_TEXT), reports_own_auth=True), Verdict.RECOVERABLE_AUTH, "jsonrpc-auth"),
    (
        reply(200, tool_result(f"Error: the API answered 401: {AUTH_TEXT}"), reports_own_auth=True),
        Verdict.RECOVERABLE_AUTH,
        "jsonrpc-auth",
    ),
    (
        reply(200, rpc(error={"code": -32603, "message": "x", "data": failed("Invalid access token.")})),
        Verdict.RECOVERABLE_AUTH,
        "jsonrpc-auth",
    ),
    (reply(200, rpc(error={"code": -32603, "message": AUTH_TEXT})), Verdict.RECOVERABLE_AUTH, "jsonrpc-auth"),
    (reply(200, rpc(error={"code": -32603, "data": AUTH_TEXT})), Verdict.RECOVERABLE_AUTH, "jsonrpc-auth"),
    (
        reply(200, rpc(error={"code": -32001, "message": "x", "data": {"error": "invalid_token"}})),
        Verdict.RECOVERABLE_AUTH,
        "jsonrpc-auth",
    ),
    (
        reply(200, tool_result(f'run {{"id": 1}} failed: {AUTH_TEXT}\n'), reports_own_auth=True),
        Verdict.RECOVERABLE_AUTH,
        "jsonrpc-auth",
    ),
    (
        reply(200, rpc(result={"isError": True, "structuredContent": failed("x")}), reports_own_auth=True),
        Verdict.RECOVERABLE_AUTH,
        "jsonrpc-auth",
    ),
    (reply(200, tool_result(json.dumps(denied("No."))), reports_own_auth=True), Verdict.FINE, "success"),
    (
        reply(200, tool_result('{"type":"authentication_error","code":"permission_denied"}'), reports_own_auth=True),
        Verdict.FINE,
        "success",
    ),
]

INTERMEDIARIES = [
    (reply(403, "<html><title>Attention required</title></html>"), Verdict.TRANSIENT, "intermediary-403"),
    (reply(403, "blocked", headers=HTML), Verdict.TRANSIENT, "intermediary-403"),
    (reply(403, "error code: 1020", headers={"cf-ray": "8f"}), Verdict.TRANSIENT, "intermediary-403"),
    (reply(403, "\n  <!DOCTYPE html><p>no"), Verdict.TRANSIENT, "intermediary-403"),
    (reply(403, b"\xef\xbb\xbf<html>no"), Verdict.TRANSIENT, "intermediary-403"),
    (
        reply(403, "<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"),
        Verdict.TRANSIENT,
        "intermediary-403",
    ),
    (reply(403, "no", headers={"cf-mitigated": "challenge"}), Verdict.TRANSIENT, "intermediary-403"),
    (reply(403, "no", headers={"cf-ray": "8f", "server": "cloudflare"}), Verdict.PERMISSION, "forbidden"),
    (reply(502, "<html>Bad gateway</html>", headers=HTML), Verdict.TRANSIENT, "server-error"),
    (reply(522, "error code: 522"), Verdict.TRANSIENT, "server-error"),
    (reply(407, "proxy authentication required", challenge="Basic"), Verdict.NOT_OURS, "proxy-authentication"),
    (reply(302, b"", headers={"location": "https://portal.example/"}), Verdict.NOT_OURS, "redirect"),
    (reply(304), Verdict.NOT_OURS, "redirect"),
    (reply(401, "x", challenge='Basic realm="staging"'), Verdict.NOT_OURS, "other-scheme"),
    (reply(401, "x", challenge="Negotiate"), Verdict.NOT_OURS, "other-scheme"),
    (reply(401, "x", challenge="Negotiate, Basic realm=x"), Verdict.NOT_OURS, "other-scheme"),
    (reply(401, "x", challenge='Bearer error="invalid_request"'), Verdict.NOT_OURS, "bad-request"),
]

LOOK_ALIKES = [
    # A type is no code: every permission error has the type authentication_error.
    (reply(403, {"type": "authentication_error"}), Verdict.PERMISSION, "forbidden"),
    (reply(403, "authentication_failed"), Verdict.PERMISSION, "forbidden"),
    (reply(403, denied("authentication_failed")), Verdict.PERMISSION, "permission-denied"),
    (reply(403, [failed("Invalid access token.")]), Verdict.PERMISSION, "forbidden"),
    (reply(403, {"code": ["authentication_failed"]}), Verdict.PERMISSION, "forbidden"),
    (reply(403, {"error": failed("Invalid access token.")}), Verdict.PERMISSION, "forbidden"),
    (reply(403, b'{"code": "authentication_failed"'), Verdict.PERMISSION, "forbidden"),
    (reply(400, failed("Invalid access token.")), Verdict.REJECTED, "rejected"),
    (reply(404, failed("Invalid access token.")), Verdict.NOT_FOUND, "not-found"),
    (reply(500, failed("Invalid access token.")), Verdict.TRANSIENT, "server-error"),
    (reply(503, "Invalid API key"), Verdict.TRANSIENT, "server-error"),
    # The proxy's words mean something only from an installation proxy.
    (reply(401, vendor("Authentication failed")), Verdict.RECOVERABLE_AUTH, "unauthorized"),
    (reply(403, vendor("Server is disabled")), Verdict.PERMISSION, "forbidden"),
    (reply(401, vendor("Authentication failed"), SERVER), Verdict.NOT_OURS, "custom-server-refused"),
    (reply(401, b"", SERVER, challenge="Bearer"), Verdict.NOT_OURS, "custom-server-refused"),
    (reply(400, vendor("Authentication failed"), INSTALLATION), Verdict.REJECTED, "rejected"),
    (reply(403, vendor("authentication failed"), INSTALLATION), Verdict.PERMISSION, "forbidden"),
    # A Bearer challenge beside another one is ours, whatever stands in a quoted parameter.
    (reply(401, b"", challenge='Basic realm="a", Bearer realm="b"'), Verdict.RECOVERABLE_AUTH, "unauthorized"),
    (reply(401, b"", challenge='bEaReR error="invalid_token"'), Verdict.RECOVERABLE_AUTH, "unauthorized"),
    (reply(401, b"", challenge="DPoP algs=ES256"), Verdict.RECOVERABLE_AUTH, "unauthorized"),
    (reply(401, b"", challenge=""), Verdict.RECOVERABLE_AUTH, "unauthorized"),
    (
        reply(401, b"", challenge=r'Basic realm="a, Bearer error=\"invalid_token\""'),
        Verdict.NOT_OURS,
        "other-scheme",
    ),
    (
        reply(401, b"", challenge='DPoP error="invalid_request", Bearer error="invalid_token"'),
        Verdict.RECOVERABLE_AUTH,
        "unauthorized",
    ),
    (
        reply(403, b"", challenge='Bearer error="insufficient_scope", Basic error="x"'),
        Verdict.SCOPE,
        "insufficient-scope",
    ),
    (reply(403, b"", challenge='Basic error="insufficient_scope"'), Verdict.PERMISSION, "forbidden"),
    (reply(403, {"error": "insufficient_scope", "scope": "a"}), Verdict.SCOPE, "insufficient-scope"),
    (reply(403, {"error": ["insufficient_scope"]}), Verdict.PERMISSION, "forbidden"),
    (reply(401, {"error": "invalid_request"}), Verdict.NOT_OURS, "bad-request"),
    (reply(401, {"error": "invalid_token"}), Verdict.RECOVERABLE_AUTH, "unauthorized"),
    (
        reply(401, {"error": "invalid_request"}, challenge='Bearer error="invalid_token"'),
        Verdict.RECOVERABLE_AUTH,
        "unauthorized",
    ),
    # A vendor has scopes and codes of its own, a custom server a sign-in of its own.
    (
        reply(403, b"", INSTALLATION, challenge='Bearer error="insufficient_scope", scope="repo"'),
        Verdict.PERMISSION,
        "forbidden",
    ),
    (reply(401, {"code": "authentication_failed"}, INSTALLATION), Verdict.AMBIGUOUS_AUTH, "ambiguous-401"),
    (reply(403, {"code": "authentication_failed"}), Verdict.RECOVERABLE_AUTH, "envelope-authentication-failed"),
    (reply(401, failed("Invalid access token."), SERVER), Verdict.NOT_OURS, "custom-server-refused"),
    (reply(403, failed("Personal API key found"), SERVER), Verdict.NOT_OURS, "custom-server-refused"),
    (reply(403, denied("No."), SERVER), Verdict.PERMISSION, "permission-denied"),
    (reply(401, {"type": "rate_limited"}), Verdict.RECOVERABLE_AUTH, "unauthorized"),
    (reply(400, vendor("Server is disabled"), INSTALLATION), Verdict.REJECTED, "rejected"),
    (reply(401, "<html>sign in</html>", headers=HTML), Verdict.RECOVERABLE_AUTH, "unauthorized"),
    (reply(401, "Please read: No token provided"), Verdict.RECOVERABLE_AUTH, "unauthorized"),
    # Data that talks about failures is data.
    (reply(200, failed("Invalid access token.")), Verdict.FINE, "success"),
    (reply(200, tool_result(AUTH_TEXT)), Verdict.FINE, "success"),
    (reply(200, tool_result(AUTH_TEXT, is_error=False), reports_own_auth=True), Verdict.FINE, "success"),
    (reply(200, tool_result(AUTH_TEXT, is_error=None), reports_own_auth=True), Verdict.FINE, "success"),
    (reply(200, tool_result(f"{AUTH_TEXT} is what it said"), reports_own_auth=True), Verdict.FINE, "success"),
    (
        reply(200, tool_result('the code is "authentication_failed"'), reports_own_auth=True),
        Verdict.FINE,
        "success",
    ),
    (
        reply(200, rpc(error={"code": -1, "message": "authentication_failed", "data": "authentication_failed"})),
        Verdict.FINE,
        "success",
    ),
    (reply(200, tool_result(AUTH_TEXT), INSTALLATION, reports_own_auth=True), Verdict.FINE, "success"),
    (reply(200, tool_result(AUTH_TEXT), SERVER, reports_own_auth=True), Verdict.FINE, "success"),
    (reply(200, {"id": 1, "error": {"data": failed("x")}}), Verdict.FINE, "success"),
    (reply(200, rpc(error={"code": -32001, "message": "Unauthorized"})), Verdict.FINE, "success"),
    (reply(200, rpc(error={"code": -1, "data": {"code": "authentication_failed"}})), Verdict.FINE, "success"),
    (reply(200, rpc(error={"code": -1, "data": {"error": "invalid_grant"}})), Verdict.FINE, "success"),
    (reply(200, tool_result(f'{{"saw": {AUTH_TEXT}}}'), reports_own_auth=True), Verdict.FINE, "success"),
    (reply(200, rpc(result={"structuredContent": failed("x")}), reports_own_auth=True), Verdict.FINE, "success"),
    (reply(201, rpc(error={"code": -32603, "message": AUTH_TEXT})), Verdict.FINE, "success"),
    (
        reply(200, rpc(result={"isError": True, "content": "authentication_failed"}), reports_own_auth=True),
        Verdict.FINE,
        "success",
    ),
]

TABLE = DJANGO + PROXY + MCP + INTERMEDIARIES + LOOK_ALIKES


def _named(value: object) -> str | None:
    if isinstance(value, Reply):
        return f"{value.status}-{value.at_stake.value}-{value.text[:40]}"
    return None


@pytest.mark.parametrize(("answer", "verdict", "rule"), TABLE, ids=_named)
def test_an_answer_is_read_as_the_contract_says(answer: Reply, verdict: Verdict, rule: str) -> None:
    assert classify(answer) == (verdict, rule)


def test_no_rule_is_without_a_row_here_or_a_label_in_the_corpus() -> None:
    labelled = {classify(reply_of(answer))[1] for answer in read_corpus()}
    assert {rule for _, _, rule in TABLE} | labelled == {rule.name for rule in RULES}
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("text", ["Attention required", "", "Forbidden"])
def test_a_403_never_costs_the_token_unless_its_code_says_so(text: str) -> None:
    for headers in ({}, {"content-type": "text/html"}, {"www-authenticate": 'Bearer error="invalid_token"'}):
        verdict, _ = classify(reply(403, text, headers=headers))
        assert verdict in {Verdict.PERMISSION, Verdict.TRANSIENT}


@pytest.mark.parametrize(
    ("challenge", "scopes"),
    [
        (
            'Bearer error="insufficient_scope", scope="task:write project:read task:write"',
            ("task:write", "project:read"),
        ),
        ('Bearer error="insufficient_scope", scope="a", DPoP error="insufficient_scope", scope="b a"', ("a", "b")),
        ('Basic realm="x", Bearer scope=a, error=insufficient_scope', ("a",)),
        ('Bearer error="insufficient_scope"', ()),
        ('Bearer error="insufficient_scope", scope="ok \u00e4 a\\\\b"', ("ok",)),
        ('Bearer error="invalid_token", scope="task:read"', ()),
        ('Bearer scope="task:read"', ()),
        ('Basic error="insufficient_scope", scope="a"', ()),
    ],
)
def test_the_scopes_that_a_challenge_asks_for_are_told(challenge: str, scopes: tuple[str, ...]) -> None:
    assert reply(403, "no", challenge=challenge).missing_scopes == scopes
    assert reply(403, "no", INSTALLATION, challenge=challenge).missing_scopes == ()


def test_scopes_in_a_body_count_where_the_header_says_nothing() -> None:
    body = {"error": "insufficient_scope", "scope": "a b"}
    assert reply(403, body).missing_scopes == ("a", "b")
    assert reply(403, body, challenge='Bearer realm="x"').missing_scopes == ("a", "b")
    assert reply(403, body, challenge='Bearer error="invalid_token"').missing_scopes == ()
    assert reply(403, {**body, "scope": ["a"]}).missing_scopes == ()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["authentication_failed", "permission_denied", "2.0", "text", AUTH_TEXT]),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.text() | st.sampled_from(["code", "error", "detail", "jsonrpc", "result", "isError", "content", "type"]),
            inner,
        )
    ),
    max_leaves=12,
)
BODIES = st.binary() | JSON.map(lambda value: json.dumps(value).encode()) | st.just(b'{"a":' * 20_000)
HEADERS = st.dictionaries(
    st.sampled_from(["www-authenticate", "content-type", "content-encoding", "retry-after"]),
    st.text() | st.from_regex(r'(Bearer|Basic|,|=|"|\\|error="insufficient_scope"| |scope=x){0,8}'),
)


@given(
    status=st.integers(100, 999),
    headers=HEADERS,
    body=BODIES,
    owner=st.sampled_from(CredentialAtStake),
    reports_own_auth=st.booleans(),
)
def test_no_answer_is_too_strange_to_be_judged(
    status: int, headers: dict[str, str], body: bytes, owner: CredentialAtStake, reports_own_auth: bool
) -> None:
    verdict, rule = classify(Reply(status, headers, body, owner, reports_own_auth))
    assert isinstance(verdict, Verdict)
    assert rule in {known.name for known in RULES}
    if verdict is Verdict.RECOVERABLE_AUTH:
        assert status in {200, 401, 403}
