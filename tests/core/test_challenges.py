"""What stands in a `WWW-Authenticate` header, however it is written (RFC 9110 section 11.6.1)."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.auth.http.challenges import read_challenges


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", []),
        (",, ,", []),
        ("Bearer", [("bearer", {})]),
        ("bEaReR Error = Invalid_Token", [("bearer", {"error": "Invalid_Token"})]),
        (
            'Basic realm="a", Bearer realm="b", error="e"',
            [("basic", {"realm": "a"}), ("bearer", {"realm": "b", "error": "e"})],
        ),
        ("Negotiate, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ('Negotiate YII/4f==, Bearer error="e"', [("negotiate", {"4f": "="}), ("bearer", {"error": "e"})]),
        ("Bearer error=e scope=a", [("bearer", {"error": "e", "scope": "a"})]),
        ('Bearer realm=My API, error="e"', [("bearer", {"realm": "My", "error": "e"})]),
        ('Bearer error="a", error="b"', [("bearer", {"error": "a"})]),
        ('Bearer,realm="a",,error="e"', [("bearer", {"realm": "a", "error": "e"})]),
    ],
)
def test_schemes_and_parameters_are_told_apart(header: str, challenges: list[tuple[str, dict[str, str]]]) -> None:
    assert [(one.scheme, one.parameters) for one in read_challenges(header)] == challenges


def test_what_stands_in_quotes_is_text_whatever_it_looks_like() -> None:
    (only,) = read_challenges(r'Basic realm="one, Bearer error=\"invalid_token\", x"')
    assert only.scheme == "basic"
    assert only.parameters == {"realm": 'one, Bearer error="invalid_token", x'}


def test_a_string_without_its_end_takes_the_rest() -> None:
    assert read_challenges('Bearer error="insufficient_scope')[0].parameters == {"error": "insufficient_scope"}
    assert read_challenges('Bearer error="a\\')[0].parameters == {"error": "a"}


def test_parameters_without_a_scheme_belong_to_nobody() -> None:
    assert read_challenges('error="insufficient_scope", scope="a"') == ()


@pytest.mark.parametrize("piece", ['a="', 'a="\\"', 'a=\\"', '\\"', '"', "a ", "a = ", ",", "= ", "a" + " " * 60])
def test_a_long_header_is_read_in_no_time(piece: str) -> None:
    started = perf_counter()
    read_challenges(piece * (400_000 // len(piece)))
    assert perf_counter() - started < 2


@given(st.text() | st.from_regex(r'(Bearer|Basic|,|=|"|\\|error="e"| |scope=x){0,12}'))
def test_no_header_is_too_strange_to_be_read(header: str) -> None:
    for challenge in read_challenges(header):
        assert challenge.scheme == challenge.scheme.lower()
