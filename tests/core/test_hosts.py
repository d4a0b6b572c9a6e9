"""Where a token may go: addresses as people type them, and the origins they stand for (docs/wire.md)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Rejected
from app.core.hosts import EU, US, Host, parse_host, workspace_host
from app.core.urls import is_loopback, origin_of

REFUSED = [
    "",
    "   ",
    "mailto:a@example.com",
    "ftp://example.com",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https://",
    "https://:443",
    "http://posthog.example.com",
    "http://10.0.0.5:8000",
    "http://127.0.0.1.example.com",
    "http://localhost.example.com",
    "http://0.0.0.0:8000",
    "https://posthog.example.com/api",
    "https://posthog.example.com//",
    "https://posthog.example.com?next=/",
    "https://posthog.example.com#top",
    "https://ada@posthog.example.com",
    "https://ada:secret@posthog.example.com",
    "https://@posthog.example.com",
    "https://us.posthog.com@evil.example",
    "https://posthog.example.com:99999",
    "https://posthog.example.com:port",
    "https://[::1",
    "https://posthog example.com",
    "https://posthog.example.com\n.evil.example",
    "https://posthog.exam\x00ple.com",
    "https://posthog.example.com\\@evil.example",
    "https://exa%6dple.com",
    "https://exam<ple.com",
    "https://posthog.example.com\\evil",
    "https://us.posthog.com.",
    "https://posthog..example.com",
    "https://[fe80::1%25eth0]",
    "https://straße.example",
    "https://-",
]

ACCEPTED = [
    ("posthog.example.com", "https://posthog.example.com"),
    ("  https://posthog.example.com/  ", "https://posthog.example.com"),
    ("HTTPS://PostHog.Example.COM", "https://posthog.example.com"),
    ("https://posthog.example.com:443", "https://posthog.example.com"),
    ("https://posthog.example.com:8443", "https://posthog.example.com:8443"),
    ("http://localhost:8010", "http://localhost:8010"),
    ("http://127.0.0.1:80", "http://127.0.0.1"),
    ("http://[::1]:8010", "http://[::1]:8010"),
    ("https://[2001:DB8::1]", "https://[2001:db8::1]"),
    ("https://Bücher.example", "https://xn--bcher-kva.example"),
    ("https://xn--bcher-kva.example:8443", "https://xn--bcher-kva.example:8443"),
    ("posthog.example.com:8443", "https://posthog.example.com:8443"),
]


@pytest.mark.parametrize("typed", REFUSED)
def test_what_is_no_bare_safe_origin_is_refused_at_its_field(typed: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse_host(typed)
    assert caught.value.facts.attr == "host"
    assert caught.value.cause


@pytest.mark.parametrize(("typed", "origin"), ACCEPTED)
def test_an_origin_is_accepted_however_it_is_typed(typed: str, origin: str) -> None:
    host = parse_host(typed)
    assert host.origin == origin
    assert host.key == origin
    assert host.mcp_url is None
    assert host.token_origins == {origin}


@pytest.mark.parametrize("typed", ["us", "US", " us ", "us.posthog.com", "https://us.posthog.com/"])
def test_the_us_cloud_is_one_host_however_it_is_named(typed: str) -> None:
    assert parse_host(typed) is US


def test_the_eu_cloud_is_one_host_however_it_is_named() -> None:
    assert parse_host("eu") is parse_host("https://EU.posthog.com:443") is EU


def test_a_client_id_of_a_setting_goes_with_a_self_hosted_server_only() -> None:
    assert parse_host("https://posthog.example.com", "mine").client_id == "mine"
    assert parse_host("https://posthog.example.com", "").client_id is None
    assert parse_host("us", "mine").client_id is None


def test_only_the_clouds_send_their_token_to_the_clouds_mcp_server() -> None:
    assert US.token_origins == {"https://us.posthog.com", "https://mcp.posthog.com"}
    assert EU.token_origins == {"https://eu.posthog.com", "https://mcp.posthog.com"}
    assert parse_host("https://posthog.example.com").token_origins == {"https://posthog.example.com"}


def test_the_workspace_keeps_its_token_and_shows_no_secret() -> None:
    host = workspace_host("http://127.0.0.1:4711/", client_id="client", secret="s3cret")
    assert host.token_origins == {"http://127.0.0.1:4711"}
    assert host.embedded
    assert "s3cret" not in repr(host)
    assert not US.embedded


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Example.com/a?b=c#d", "https://example.com"),
        ("https://example.com:443/", "https://example.com"),
        ("http://example.com:443/", "http://example.com:443"),
        ("http://example.com:80/", "http://example.com"),
        ("https://example.com:80", "https://example.com:80"),
        ("https://ada:pw@example.com/", "https://example.com"),
        ("https://us.posthog.com@evil.example/", "https://evil.example"),
        ("https://[::1]:8443/x", "https://[::1]:8443"),
        ("HTTPS://example.com", "https://example.com"),
        ("/api/users/@me/", "://"),
        ("//evil.example/x", "://evil.example"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize("other", ["https://a.example:444", "http://a.example", "https://a.example.evil", "https://a"])
def test_another_scheme_port_or_name_is_another_origin(other: str) -> None:
    assert origin_of(other) not in Host("k", "n", "https://a.example").token_origins


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("", False),
    ],
)
def test_loopback_means_this_machine_and_nothing_else(name: str, expected: bool) -> None:
    assert is_loopback(name) is expected


@given(st.text() | st.from_regex(r"(https?|ftp)?(://)?[\w.:\[\]@/?#%\\ -]{0,40}"))
def test_whatever_is_typed_is_a_safe_origin_or_refused(typed: str) -> None:
    try:
        host = parse_host(typed)
    except Rejected:
        return
    assert host.origin == origin_of(host.origin)
    assert host.origin.startswith(("https://", "http://"))
    assert parse_host(host.origin).origin == host.origin
