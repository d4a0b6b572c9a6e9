"""Reading and writing JSON: what stands in the text is the value, what is in the value stands in the text."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.mcp.json_text import DEPTH_LIMIT, NotJson, parse_json, same_json, write_json
from app.core.mcp.protocol.exact_arguments import prepare_arguments

LONG = "1" + "0" * 5_000
NUMBERS = st.integers() | st.decimals(allow_nan=False, allow_infinity=False)
# With lone surrogates: a string may hold half a character.
TEXTS = st.text(st.characters())
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "words", "line", "column"),
    [
        ("", "There is no value", 1, 1),
        ('{"a":1,"a":2}', "The name “a” appears twice", 1, 8),
        ('{"a":{"b":1,\n"b":2}}', "The name “b” appears twice", 2, 1),
        ('{"\\u0061":1,"a":2}', "The name “a” appears twice", 1, 13),
        ('{"x":{"a":1},"a":"{","y":[{"a":1,"a":2}]}', "The name “a” appears twice", 1, 34),
        ("NaN", "NaN is not a JSON value", 1, 1),
        ('["NaN",-Infinity]', "-Infinity is not a JSON value", 1, 8),
        ("[1,\n  undefined]", "undefined is not a JSON value", 2, 3),
        ("[True]", "True is not a JSON value", 1, 2),
        ("{'a':1}", "Names and texts stand in double quotes", 1, 2),
        ('{"a":1', "The text ends too early", 1, 7),
        ('{"a" 1}', "A colon is expected after the name", 1, 6),
        ("[1 2]", "A comma or a closing bracket is expected", 1, 4),
        ("1 2", "There is more after the end of the value", 1, 3),
        ('"a', "A text has no closing quote", 1, 1),
        ("[\u00a01]", "The character U+00A0 may only stand inside a text", 1, 2),
        ("[1e99999999999999999999]", "The exponent of a number is too large", 1, 2),
        ("[" * 5_000, "It is nested too deeply", 1, DEPTH_LIMIT + 1),
        ('{"a":' * 5_000 + "1" + "}" * 5_000, "It is nested too deeply", 1, 5 * DEPTH_LIMIT + 1),
    ],
)
def test_text_that_is_not_json_is_refused_in_words_with_its_place(
    text: str, words: str, line: int, column: int
) -> None:
    with pytest.raises(NotJson) as raised:
        parse_json(text)
    assert raised.value.message == f"{words} (line {line}, column {column})"
    assert (raised.value.line, raised.value.column) == (line, column)


@pytest.mark.parametrize("text", ["[1,]", '{"a":1,}', '{"a":1 , }'])
def test_a_comma_too_many_is_said_on_every_python(text: str) -> None:
    with pytest.raises(NotJson, match="A comma stands before the closing bracket"):
        parse_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "3.14159265358979323846",
        "1E+400",
        "-0",
        "-0.0",
        "1.0",
        "1.50",
        "9007199254740993",
        "1E-999999",
        LONG,
        f"-{LONG}",
    ],
    ids=lambda text: text[:24],
)
def test_a_number_keeps_its_digits(text: str) -> None:
    assert write_json(parse_json(text)) == text


def test_a_long_number_is_one_value_as_int_and_as_decimal() -> None:
    assert write_json(10**5_000) == LONG
    assert same_json(parse_json(LONG), 10**5_000)


@pytest.mark.parametrize("text", ["\u00a0", "\u2028", "\u2029", "\ufdd0", "\ufeff", "\x7f", "😀", "a\r\nb", "\ud800"])
def test_a_string_keeps_its_characters(text: str) -> None:
    assert parse_json(write_json({text: text})) == {text: text}


def test_half_a_character_is_written_as_an_escape() -> None:
    assert write_json("a\ud800b") == '"a\\ud800b"'
    assert write_json("😀") == '"😀"'


def test_one_byte_order_mark_before_the_value_is_read_over() -> None:
    assert parse_json("\ufeff{}") == {}
    with pytest.raises(NotJson):
        parse_json("\ufeff\ufeff{}")


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": Decimal("-Infinity")}, Decimal("sNaN")])
def test_what_is_no_number_is_never_written(value: Any) -> None:
    with pytest.raises(NotJson, match="A number is not finite"):
        write_json(value)


def test_a_value_that_is_too_deep_is_refused_in_words() -> None:
    deep: Any = 1
    for _level in range(5_000):
        deep = [deep]
    with pytest.raises(NotJson, match="nested too deeply"):
        write_json(deep)


@pytest.mark.parametrize("text", ["-0", LONG])
def test_numbers_that_int_cannot_hold_are_sent_with_their_digits(text: str) -> None:
    arguments, placeholders = prepare_arguments({"x": parse_json(text)})
    assert placeholders.restore(json.dumps(arguments)) == f'{{"x": {text}}}'


@settings(deadline=None)
@given(VALUES)
def test_whatever_is_written_is_read_as_the_same_value(value: Any) -> None:
    assert same_json(parse_json(write_json(value)), value)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    places = []
    try:
        parse_json(text)
    except NotJson as problem:
        places = [problem.line, problem.column]
    assert all(place > 0 for place in places)
