"""Secret arguments in what is stored of a form that is being filled in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.core.mcp.secret_arguments import (
    declares_secret,
    is_secret,
    secret_texts,
    text_without_secrets,
    without_secrets,
)
from app.core.redaction import REDACTED, hide_arguments, redact_text

SECRET: dict[str, Any] = {"type": "string", "format": "password"}
SCHEMA: dict[str, Any] = {"properties": {"pin": SECRET, "q": {}, "o": {"properties": {"key": SECRET, "n": {}}}}}


@pytest.mark.parametrize("text", ['{"q": 1.10}', "[1]", "no", '{"a": "\\ud800"}', "\ud800", '{"a": 1, "a": 2}', ""])
def test_where_nothing_is_secret_a_text_stays_as_it_was_typed(text: str) -> None:
    assert text_without_secrets(text, {"properties": {"q": {}}}) == text


def test_of_a_json_text_only_what_is_secret_is_left_out() -> None:
    text = '{"pin": "hunter2", "q": 3.14159265358979323846, "o": {"key": "hunter3", "n": 1}}'
    kept = text_without_secrets(text, SCHEMA)
    assert kept is not None
    assert "hunter" not in kept
    assert "3.14159265358979323846" in kept
    assert json.loads(kept)["o"] == {"n": 1}
    assert text_without_secrets('{"key": "hunter3", "n": 1}', SCHEMA, "o") == '{\n  "n": 1\n}'
    assert text_without_secrets('{"q":  1}', SCHEMA) == '{"q":  1}'


@pytest.mark.parametrize("text", ['{"pin": "hunter2', "[1]", "null", '{"pin": 1, "pin": 2}'])
def test_a_text_that_may_have_a_secret_and_cannot_be_read_is_not_kept(text: str) -> None:
    assert text_without_secrets(text, SCHEMA) is None


def test_an_argument_is_secret_by_its_schema_or_by_its_name() -> None:
    assert is_secret("pin", "1234", SCHEMA)
    assert is_secret("api_key", "abcdefgh12345678", SCHEMA)
    assert not is_secret("q", "1234", SCHEMA)
    assert not is_secret("o", "{}", SCHEMA)


@pytest.mark.parametrize(
    ("schema", "declared"),
    [({}, False), (None, False), (True, False), (SCHEMA, True), ({"$defs": {"a": [{"writeOnly": True}]}}, True)],
)
def test_a_schema_declares_a_secret_anywhere_in_it(schema: Any, declared: bool) -> None:
    assert declares_secret(schema) is declared


def test_the_texts_of_secret_arguments_are_found_wherever_they_are_nested() -> None:
    arguments = {"pin": ["a", {"b": 12}], "o": {"key": "k", "n": 1}, "q": "open", "x": None}
    assert sorted(secret_texts(arguments, SCHEMA)) == ["12", "a", "k"]


def test_what_a_server_quotes_of_a_secret_argument_is_redacted() -> None:
    hide_arguments("correct horse", "short")
    assert redact_text("Not accepted: correct horse, short") == f"Not accepted: {REDACTED}, short"


def test_arguments_of_a_form_keep_what_only_looks_like_a_secret() -> None:
    look = {"note": "Bearer abcdefghijklmnop0123456789"}
    assert without_secrets(look, {}, by_look=False) == (look, ())


def test_deep_arguments_are_kept() -> None:
    value: Any = 1
    for _ in range(50):
        value = {"a": [value]}
    assert without_secrets({"a": 1, "b": {"c": {"d": {"e": 1}}}}, SCHEMA)[1] == ()
    kept, omitted = without_secrets({"deep": value["a"][0]}, SCHEMA)
    assert omitted != ("deep",)
    assert kept["deep"]
