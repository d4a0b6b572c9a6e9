"""Patterns of schemas: what ECMA-262 says of them, in bounded time."""

from __future__ import annotations

from time import process_time

import pytest

from app.core.mcp.forms.patterns import UntriedPattern, matches


@pytest.mark.parametrize(
    ("pattern", "text", "answer"),
    [
        (r"^\d+$", "12", True),
        (r"^\d+$", "٣", False),
        (r"^\w+$", "é", False),
        (r"^\s$", "\u00a0", True),
        (r"^\s$", "\ufeff", True),
        (r"^\s$", "\u0085", False),
        (r"^\p{L}+$", "Łódź", True),
        (r"^\p{Script=Greek}+$", "αβγ", True),
        (r"^\P{L}$", "1", True),
        (r"^\p{Emoji}$", "😀", True),
        (r"^\u0041$", "A", True),
        (r"^\u{1F600}$", "😀", True),
        (r"^\ud83d\ude00$", "😀", True),
        (r"^.$", "😀", True),
        (r"^[😀-😂]$", "😁", True),
        (r"^.{1,3}$", "😀😀😀", True),
        (r"^(?=.*\d)(?=.*[a-z]).{4,}$", "ab12", True),
        (r"^(?!foo)", "foobar", False),
        (r"(?<=\$)\d+", "$42", True),
        (r"(?<!\$)\b\d+", "$42", False),
        (r"^(?<y>\d{4})-\k<y>$", "2026-2026", True),
        (r"^(?<y>\d{4})-\k<y>$", "2026-2027", False),
        (r"^(?:(a)|b)\1$", "b", True),
        (r"^(?!(a))\1b", "b", True),
        ("^[^]$", "\n", True),
        ("[]", "a", False),
        (r"^\cJ$", "\n", True),
        ("^a$", "a\n", False),
        ("^b", "a\nb", False),
        ("^.$", "\r", False),
        ("^.$", "\u2028", False),
        (r"\bé", "é", False),
        (r"^[\w-.]+$", "a-b", True),
        (r"^\-\_\/$", "-_/", True),
        ("^a{,3}$", "a{,3}", True),
        (r"^\Z\A\h$", "ZAh", True),
        ("[[:alpha:]]", "b", False),
        ("^[a-z&&[^b]]$", "b]", True),
        ("", "", True),
        ("a", "b\ud800a", True),
    ],
)
def test_a_pattern_means_what_ecma_262_says(pattern: str, text: str, answer: bool) -> None:
    assert matches(pattern, text) is answer


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^(\w+\s?){8}$", "a" * 64 + "!"),
        (r"^(\w+\s?)*$", "a" * 64 + "!"),
        ("^(a+)+$", "a" * 5_000 + "!"),
        ("^(a|a)*$", "a" * 5_000 + "!"),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 1_000),
        ("^(?=(a+)+$)b", "a" * 1_000 + "!"),
        (r"^(a+)+\1$", "a" * 60 + "!"),
        (r"(.*)\1x", "a" * 10_000),
        ("^(.{1,1000}){1,1000}x$", "a" * 1_000),
        ("((((a{1,100}){1,100}){1,100}){1,100}){1,100}", "b" * 100),
        (".*.*.*.*.*.*x", "a" * 100_000),
        ("(" * 100_000, "a"),
        (r"\p{L}" * 5_000, "a"),
        ("|".join(f"w{number}" for number in range(50_000)), "a"),
    ],
    ids=lambda text: text[:16],
)
def test_a_pattern_that_takes_long_anywhere_else_is_answered_or_given_up_at_once(pattern: str, text: str) -> None:
    started = process_time()
    try:
        matches(pattern, text)
    except UntriedPattern as problem:
        assert str(problem)  # noqa: PT017 (both ends are right)
    assert process_time() - started < 0.5


@pytest.mark.parametrize("pattern", ["(", "a**", "[z-a]", "(?<a>x)(?<a>y)", "(?P<a>x)"])
def test_what_is_no_pattern_is_not_tried(pattern: str) -> None:
    with pytest.raises(UntriedPattern, match="no regular expression"):
        matches(pattern, "x")
