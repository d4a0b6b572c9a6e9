"""No secret gets into what is kept, whatever shape it travels in, and what helps to find a fault stays."""

from __future__ import annotations

import json
import string
import time
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.redaction import REDACTED, redact, redact_text

URL_SAFE = string.ascii_letters + string.digits + "-_"
# Secrets as servers make them: long and random, so that the searched text is not in the frame by chance.
secrets_made = st.text(URL_SAFE, min_size=24, max_size=60).map(lambda text: f"Zq9{text}7Xk")
passwords = st.text(string.printable.strip() + " ", min_size=8, max_size=40).map(lambda text: f"Zq9{text}7Xk")

TEXT_SHAPES = (
    "Authorization: Bearer {}",
    "GET /x HTTP/1.1\r\nauthorization: bearer {}\r\nAccept: */*",
    "Proxy-Authorization: Basic {}",
    "Cookie: sessionid={}; csrftoken={}",
    "Set-Cookie: sid={}; HttpOnly",
    "sent Bearer {} and was refused",
    "http://127.0.0.1:8231/callback?code={}&state={}",
    "/callback?state={}&code={}#x",
    "https://example.com/authorize?next=https%3A%2F%2Fx%3Fcode%3D{}",
    "grant_type=refresh_token&refresh_token={}&client_id=burrow",
    "code_verifier={}",
    "code={}",
    "state={}",
    "password={}",
    "?access_token={}",
    "https://user:{}@example.com/path",
    "https://{}@example.com/path",
    "the token: {}",
    'password="{}"',
    "secret = '{}'",
    "{{'refresh_token': '{}', 'scope': 'a'}}",
    "{{b'Authorization': b'Bearer {}'}}",
    "[('Authorization', 'token {}')]",
    "TokenSet(access_token='{}', expires_at=1)",
    '{{"access_token": "{}", "token_type": "Bearer"}}',
    '{{"body": "{{\\"refresh_token\\": \\"{}\\"}}"}}',
    '{{"a": "{{\\\\\\"client_secret\\\\\\": \\\\\\"{}\\\\\\"}}"}}',
    '{{"refresh_token": "{}',
    "https://b.s3.amazonaws.com/k?X-Amz-Algorithm=AWS4&X-Amz-Credential={}&X-Amz-Signature={}",
    "https://b.s3.amazonaws.com/k?X-Amz-Security-Token={}",
    "https://storage.googleapis.com/b/k?X-Goog-Signature={}",
    "https://x.blob.core.windows.net/k?sv=2020&sig={}",
    "/logs/run.jsonl?part={}&Signature=abc",
    "x-api-key: {}",
    "X-PostHog-MCP-Proxy-Token: {}",
)
PREFIXES = ("pha_", "phr_", "phx_", "phs_", "ghp_", "github_pat_", "sk-", "xoxb-")
KEYS = (
    "access_token",
    "refreshToken",
    "id_token",
    "password",
    "PASSWORD",
    "client_secret",
    "api_key",
    "apiKey",
    "x-api-key",
    "Authorization",
    "proxy-authorization",
    "Cookie",
    "Set-Cookie",
    "code",
    "state",
    "code_verifier",
    "codeVerifier",
    "nonce",
    "private_key",
    "credentials",
    "X-PostHog-MCP-Proxy-Token",
    "github_user_token",
    "assertion",
)


@settings(max_examples=150, deadline=None)
@given(shape=st.sampled_from(TEXT_SHAPES), secret=secrets_made, before=st.text(max_size=20), after=st.text(max_size=20))
def test_a_secret_in_a_known_shape_never_stays_in_a_text(shape: str, secret: str, before: str, after: str) -> None:
    text = shape.replace("{}", secret).replace("{{", "{").replace("}}", "}")
    cleaned = redact_text(f"{before} {text} {after}")
    assert secret not in cleaned
    assert REDACTED in cleaned
    assert redact_text(text) == redact_text(redact_text(text))


@settings(max_examples=120, deadline=None)
@given(
    prefix=st.sampled_from(PREFIXES),
    secret=secrets_made,
    frame=st.sampled_from(["{}", "see {}.", "({})", "a/{}/b", '"{}"']),
)
def test_a_token_known_by_its_prefix_never_stays_wherever_it_stands(prefix: str, secret: str, frame: str) -> None:
    assert secret not in redact_text(frame.format(prefix + secret))
    assert secret not in json.dumps(redact({"note": [frame.format(prefix + secret)], prefix + secret: 1}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)


@st.composite
def planted(draw: st.DrawFn) -> tuple[str, Any]:
    """A nested value with a secret somewhere in it."""
    secret = draw(secrets_made)
    key = draw(st.sampled_from(KEYS))
    value: Any = draw(
        st.sampled_from(
            [
                {key: secret},
                {key: [secret, {"inner": secret}] if key not in {"code", "state", "nonce"} else secret},
                {key.upper(): secret.encode()},
                {"headers": [["Authorization", f"Bearer {secret}"], ("Cookie", secret)]},
                {"headers": [{"name": "X-Api-Key", "value": secret}]},
                {"headers": {b"authorization": f"Basic {secret}".encode()}},
                {"body": json.dumps({key: secret})},
                {"body": json.dumps({"body": json.dumps({key: secret})})},
                {"body": f"a=1&{key}={quote(secret)}"} if "cookie" not in key.lower() else {key: secret},
                {"url": f"https://x.test/p?code={secret}"},
                {"log_url": f"https://s3.test/k?X-Amz-Date=1&X-Amz-Signature={secret}"},
                {"set": {f"Bearer {secret}"}},
            ]
        )
    )
    for _ in range(draw(st.integers(0, 4))):
        beside = draw(json_values)
        value = draw(st.sampled_from([[beside, value], {"a": beside, "b": value}, (value,)]))
    return secret, value


@settings(max_examples=150, deadline=None)
@given(planted())
def test_a_secret_planted_anywhere_in_detail_is_gone(case: tuple[str, Any]) -> None:
    secret, value = case
    text = json.dumps(redact({"detail": value}))
    assert secret not in text
    assert REDACTED in text


@settings(max_examples=150, deadline=None)
@given(password=passwords, key=st.sampled_from(["password", "new_password", "client_secret", "api_key"]))
def test_a_password_of_any_characters_is_gone_from_detail_and_from_json_texts(password: str, key: str) -> None:
    body = json.dumps({key: password, "other": 1})
    escaped = json.dumps({"body": body})
    spelled = json.dumps(password)[1:-1]
    for cleaned in (json.dumps(redact({key: password})), redact_text(body), redact_text(escaped)):
        assert password not in cleaned
        assert spelled not in cleaned
        assert spelled[-6:] not in cleaned


@pytest.mark.parametrize(
    "value",
    [
        {"code": "authentication_failed", "detail": "Invalid access token.", "attr": None},
        {"code": -32001, "message": "Tool needs approval"},
        {"state": "needs_approval"},
        {"state": {"mode": "interactive", "sandbox_alive": True}},
        {"token_type": "Bearer", "expires_in": 36000, "max_tokens": 100},
        {"progressToken": "7f3a", "nextCursor": "abc"},
        {"required": ["token", "name"]},
        {"count": 1, "ok": True, "none": None, "words": ["a", "b"], "share": 0.5},
        {"repository": "org/repo", "id": "0190f7a0-1111-7000-8000-000000000000"},
    ],
)
def test_what_helps_to_find_a_fault_stays(value: dict[str, Any]) -> None:
    assert redact(value) == value


@pytest.mark.parametrize(
    "text",
    [
        'Bearer resource_metadata="https://x.test/.well-known/oauth-protected-resource", error="invalid_token"',
        "Invalid access token.",
        'The answer was {"type":"authentication_error","code":"permission_denied","attr":null}',
        '{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"Tool is blocked"}}',
        "GET /api/projects/1/tasks/?limit=50&offset=50&ordering=-created_at",
        "refresh: proactive at 80 %",
        "https://us.posthog.com/api/users/@me/",
        "alpha_version and graph_node",
    ],
)
def test_a_text_without_secrets_stays_as_it_is(text: str) -> None:
    assert redact_text(text) == text


def test_detail_is_cut_to_its_size_with_a_note() -> None:
    cut = redact({"body": "x" * 500_000, "late": "y" * 100})
    assert len(json.dumps(cut)) < 70_000
    assert "500000 characters in all" in cut["body"]
    many = redact({"items": [{"n": number} for number in range(100_000)]})
    assert len(json.dumps(many)) < 140_000
    assert "more items]" in many["items"][-1]
    wide = redact({f"member-{number}": number for number in range(100_000)})
    assert "more members" in wide["[truncated]"]


def test_a_secret_cut_in_half_by_the_limit_is_gone_too() -> None:
    body = '{"padding": "' + "x" * 900 + '", "refresh_token": "Zq9' + "s" * 500
    assert "sss" not in json.dumps(redact({"body": body}, limit=1_000))


def test_a_cycle_and_foreign_objects_come_out_as_json() -> None:
    cycle: dict[str, Any] = {"name": "x"}
    cycle["self"] = cycle
    assert "nested too deeply" in json.dumps(redact(cycle))

    class Stranger:
        def __str__(self) -> str:
            return "Stranger(token='Zq9secretsecret')"

    cleaned = redact({"object": Stranger(), "blob": b"\xff\x00", "big": 2**200, "nan": float("nan"), 5: "five"})
    assert "Zq9" not in cleaned["object"]
    assert cleaned["blob"] == "[2 bytes]"
    assert cleaned["5"] == "five"
    json.dumps(cleaned, allow_nan=False)


@pytest.mark.parametrize(
    "hostile",
    [
        "\\" * 60_000,
        "a-" * 30_000,
        "token" * 12_000,
        "password=" * 7_000,
        '"token":"' * 7_000,
        "a." * 30_000 + "token",
        "Bearer " * 9_000,
        "://" * 20_000,
        "?" * 60_000,
        "cookie" * 10_000,
        "%3F" * 20_000,
        "eyJa." * 12_000,
        '\\"' * 30_000,
    ],
)
def test_no_text_takes_long(hostile: str) -> None:
    started = time.perf_counter()
    redact_text(hostile)
    assert time.perf_counter() - started < 1.0
