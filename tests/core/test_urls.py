"""Addresses are the same after the normalisation of RFC 3986 sections 6.2.2 and 6.2.3, and never otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.urls import is_confidential, may_name, normalized, origin_of, same_url


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://as.example", "https://as.example/"),
        ("https://as.example?x", "https://as.example/?x"),
        ("HTTPS://AS.Example/Tenant", "https://as.example/Tenant"),
        ("https://as.example:443/tenant", "https://as.example/tenant"),
        ("https://as.example:/tenant", "https://as.example/tenant"),
        ("http://127.0.0.1:80/", "http://127.0.0.1"),
        ("https://as.example/%7Etenant", "https://as.example/~tenant"),
        ("https://as.example/%74enant", "https://as.example/tenant"),
        ("https://as.example/a%2fb", "https://as.example/a%2Fb"),
        ("https://as.example/?q=%61", "https://as.example/?q=a"),
        ("https://[::1]:443/x", "https://[::1]/x"),
    ],
)
def test_addresses_that_differ_in_nothing_that_matters_are_the_same(one: str, other: str) -> None:
    assert same_url(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://as.example/tenant", "https://as.example/tenant/"),
        ("https://as.example/tenant", "https://as.example/Tenant"),
        ("https://as.example/a%2Fb", "https://as.example/a/b"),
        ("https://as.example/a/../b", "https://as.example/b"),
        ("https://as.example//b", "https://as.example/b"),
        ("https://as.example", "http://as.example"),
        ("https://as.example", "https://as.example:444"),
        ("https://as.example", "https://as.example."),
        ("https://as.example", "https://as.example.evil.example"),
        ("https://as.example/", "https://as.example/?"),
        ("https://as.example/?a", "https://as.example/?b"),
        ("https://as.example", "https://as.example#x"),
        ("https://as.example", "https://user@as.example"),
        ("https://as.example", "https://as.example:443x"),
        ("https://as.example:80", "http://as.example"),
        ("as.example", "as.example"),
        ("", ""),
        ("https://[::1", "https://[::1"),
    ],
)
def test_addresses_that_differ_in_anything_else_and_what_is_none_are_not_the_same(one: str, other: str) -> None:
    assert not same_url(one, other)


@settings(deadline=None)
@given(st.sampled_from(["https://as.example", "https://as.example:8443", "http://[::1]"]), st.text(max_size=12))
def test_what_is_normalized_stays_as_it_is(origin: str, rest: str) -> None:
    once = normalized(f"{origin}/{rest}")
    assert normalized(once) == once
    assert origin_of(once) == origin


@pytest.mark.parametrize(
    "url",
    [
        "https://as.example/x y",
        " https://as.example/",
        "https://as.example/\n",
        "https://as.\u202eelpmaxe/",
        "https://evil.example\\.as.example/",
        "https://evil.example\\@as.example/",
        "https://@as.example/",
        "https://user:secret@as.example/",
        "https://as.example:99999/",
        "https:///x",
        "http://as.example/",
        "http://127.0.0.1.example/",
        "ftp://127.0.0.1/",
        "javascript:alert(1)",
        "data:text/html,x",
        "",
    ],
)
def test_an_address_that_others_may_read_or_that_a_browser_reads_otherwise_is_not_confidential(url: str) -> None:
    assert not is_confidential(url)


@pytest.mark.parametrize(
    ("source", "url", "may"),
    [
        ("https://mcp.example/mcp", "https://as.example/", True),
        ("https://mcp.example/mcp", "https://127.0.0.1/", False),
        ("https://mcp.example/mcp", "http://localhost:631/", False),
        ("https://mcp.example/mcp", "http://[::1]:1/", False),
        ("https://mcp.example/mcp", "http://as.example/", False),
        ("http://127.0.0.1:8000/mcp", "http://localhost:9000/", True),
        ("http://127.0.0.1:8000/mcp", "https://as.example/", True),
    ],
)
def test_only_a_server_on_this_machine_names_an_address_on_this_machine(source: str, url: str, may: bool) -> None:
    assert may_name(source, url) is may
