"""Checking arguments against a schema: exact, keyword by keyword, and within bounds."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from time import monotonic, process_time
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.mcp.forms.mismatch import mismatch
from app.core.mcp.forms.model import FormModel
from app.core.mcp.forms.validation import check
from app.core.mcp.json_text import parse_json
from tests.core.test_form_models import JSON, KEYWORDS, ODD

LIMIT = {"limit": {"type": "integer", "maximum": 50}}


def paths(schema: Any, value: Any) -> list[str]:
    found = check(schema, value)
    assert found.complete, found.unchecked
    return [problem.path for problem in found.problems]


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ({"pattern": "("}, "x"),
        ({"pattern": r"(.*)\1x"}, "a" * 10_000),
        ({"pattern": 3}, "x"),
        ({"pattern": r"\p{L}" * 5_000}, "x"),
        ({"patternProperties": {"(": {}}}, {"a": 1}),
        ({"$ref": "https://elsewhere.test/x"}, 1),
        ({"$ref": "#/nowhere"}, 1),
        ({"$dynamicRef": "#x"}, 1),
        ({"allOf": [{"$ref": "#/properties/part"}]}, 1),
        ({"type": "novel"}, 1),
        ({"minimum": "three"}, 1),
        ({"multipleOf": 0}, 1),
        ({"enum": "abc"}, 1),
        ({"anyOf": []}, 1),
        ({"required": {"a": 1}}, {}),
        ({"properties": 7}, {"a": 1}),
        ({"properties": {"a": 7}}, {"a": 1}),
        ({"not": {"pattern": "("}}, "x"),
        ({"anyOf": [{"pattern": "("}, {"type": "integer"}]}, "x"),
        ({"oneOf": [{"pattern": "("}, {"type": "string"}]}, "x"),
        ({"if": {"pattern": "("}, "then": False, "else": False}, "x"),
        ({"contains": {"pattern": "("}}, ["x"]),
        ({"patternProperties": {"(": {}}, "additionalProperties": False}, {"a": 1}),
        ({"allOf": [{"patternProperties": {"(": {}}}], "unevaluatedProperties": False}, {"a": 1}),
    ],
    ids=str,
)
def test_a_keyword_that_cannot_be_tried_is_left_out_alone_and_said(part: Any, value: Any) -> None:
    schema = {"type": "object", "properties": {"part": part, **LIMIT}}
    found = check(schema, {"part": value, "limit": 99})
    assert [(problem.path, problem.message) for problem in found.problems] == [("limit", "It must be at most 50.")]
    assert not found.complete
    assert {problem.argument for problem in found.unchecked} == {"part"}
    assert all("is checked by the server" in problem.message for problem in found.unchecked)


@pytest.mark.parametrize(
    "part",
    [
        {"not": {"allOf": [{"pattern": "("}, {"type": "integer"}]}},
        {"anyOf": [{"pattern": "("}, {"type": "string"}]},
        {"oneOf": [{"allOf": [{"pattern": "("}, False]}, {"type": "string"}]},
        {"if": {"allOf": [{"pattern": "("}, {"type": "integer"}]}, "then": False},
    ],
    ids=str,
)
def test_what_cannot_be_tried_is_not_said_where_it_does_not_matter(part: Any) -> None:
    found = check(part, "x")
    assert found.problems == ()
    assert found.complete


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"multipleOf": 0.01}, [Decimal("19.99"), 19.99, 20, Decimal("1E+400")], [Decimal("19.995"), 0.005]),
        ({"multipleOf": Decimal("0.1")}, [0.3, Decimal("0.30")], [0.35]),
        ({"const": 1}, [1, 1.0, Decimal("1.00")], [True, "1", Decimal("1.0000000000000000000001")]),
        ({"enum": [True, "1", [1]]}, [True, "1", [1.0]], [1, False, [True]]),
        (
            {"const": {"a": [1, None]}},
            [{"a": [Decimal(1), None]}],
            [{"a": [1]}, {"a": [True, None]}, {"a": [1, None], "b": 1}],
        ),
        (
            {"uniqueItems": True},
            [[1, True, "1", None, [1], {"a": 1}], []],
            [[1, 1.0], [{"a": 1, "b": 2}, {"b": 2.0, "a": 1}]],
        ),
        ({"maximum": 9007199254740993}, [9007199254740993], [9007199254740994]),
        ({"maximum": 0.1}, [Decimal("0.1"), 0.1], [Decimal("0.10000000000000001")]),
        ({"maximum": 10**5_000}, [10**5_000, Decimal("1E+400")], [10**5_000 + 1, Decimal("1E+99999")]),
        ({"type": "integer"}, [1, 1.0, Decimal("1E+400"), 10**5_000], [1.5, True, "1", Decimal("1E-400")]),
        ({"type": ["number", "null"]}, [1, None, 0.5], [True, "1"]),
        ({"minimum": 3, "exclusiveMinimum": True}, [4], [3]),
        ({"exclusiveMaximum": 3}, [2.9], [3]),
        ({"maxLength": 2}, ["😀😀", 3], ["abc"]),
        ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, [["a", 1], []], [[1], ["a", "b"]]),
        ({"items": [{"type": "string"}], "additionalItems": False}, [["a"]], [["a", 1]]),
        ({"contains": {"type": "integer"}, "minContains": 2, "maxContains": 3}, [[1, 2, "a"]], [[1], [1, 2, 3, 4]]),
        ({"contains": False, "minContains": 0}, [[1]], []),
        ({"propertyNames": {"maxLength": 2}}, [{"ab": 1}], [{"abc": 1}]),
        ({"dependentRequired": {"a": ["b"]}}, [{}, {"a": 1, "b": 1}], [{"a": 1}]),
        ({"dependencies": {"a": {"required": ["b"]}, "c": ["a"]}}, [{"a": 1, "b": 1}], [{"a": 1}, {"c": 1}]),
        (
            {"patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": False},
            [{"ab": 1}],
            [{"ab": "x"}, {"b": 1}],
        ),
        ({"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False}, [{"a": 1}], [{"b": 1}]),
        ({"anyOf": [{"prefixItems": [{"type": "integer"}]}, {}], "unevaluatedItems": False}, [[1]], [["a"], [1, 2]]),
        (
            {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}},
            [{"a": 1, "b": 1}, {"c": 1}],
            [{"a": 1}, {}],
        ),
        ({"$ref": "#/$defs/a", "maximum": 3, "$defs": {"a": {"type": "integer"}}}, [3], [4, "a"]),
        (
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "$ref": "#/definitions/a",
                "maximum": 3,
                "definitions": {"a": {}},
            },
            [4],
            [],
        ),
        (
            {"properties": None, "required": None, "minimum": None, "enum": None, "items": None, "anyOf": None},
            [{"a": 1}, 3],
            [],
        ),
        ({"type": "string", "const": None}, ["a"], [1]),
        ({"$ref": "b", "$defs": {"x": {"$id": "b", "type": "integer"}}}, [1], ["a"]),
        ({"properties": [], "required": True, "patternProperties": []}, [{"a": 1}], []),
        (True, [1], []),
        (False, [], [1]),
    ],
)
def test_values_are_compared_as_json_schema_says(schema: Any, good: list[Any], bad: list[Any]) -> None:
    assert [paths(schema, value) for value in good] == [[]] * len(good)
    assert all(paths(schema, value) for value in bad)


def test_problems_name_the_value_at_fault() -> None:
    schema = {
        "type": "object",
        "properties": {"a/b": {"items": {"type": "integer"}}, **LIMIT},
        "required": ["missing"],
        "additionalProperties": False,
    }
    found = check(schema, {"limit": 99, "a/b": [1, "x"], "other": 1})
    assert [(problem.path, problem.argument) for problem in found.problems] == [
        ("limit", "limit"),
        ("a/b/1", "a/b"),
        ("missing", "missing"),
        ("", ""),
    ]


def test_a_union_says_what_is_wrong_with_the_kind_that_was_meant() -> None:
    kinds = [
        {"properties": {"kind": {"const": "file"}, "path": {"type": "string"}}, "required": ["kind", "path"]},
        {"properties": {"kind": {"const": "web"}, "address": {"type": "string"}}, "required": ["kind", "address"]},
        {"type": "null"},
    ]
    assert paths({"oneOf": kinds}, {"kind": "web"}) == ["address"]
    assert paths({"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "integer"}}]}, [1, "x"]) == ["1"]
    (problem,) = check({"anyOf": kinds}, {"kind": "other"}).problems
    assert (problem.path, problem.message) == ("", "It matches none of the kinds that the tool accepts.")


def test_large_enumerations_and_lists_are_checked() -> None:
    schema = {
        "properties": {
            "one": {"enum": [f"value{number}" for number in range(5_000)]},
            "many": {"items": {"enum": list(range(5_000))}},
            "rows": {"uniqueItems": True},
        }
    }
    rows = [{"id": number, "tags": ["a", number]} for number in range(2_000)]
    good = {"one": "value4999", "many": list(range(2_000)), "rows": rows}
    assert paths(schema, good) == []
    bad = {"one": "value5000", "many": [*range(2_000), "x"], "rows": [*rows, {"tags": ["a", 7.0], "id": 7}]}
    assert paths(schema, bad) == ["one", "many/2000", "rows"]


def test_the_arguments_of_a_large_tool_are_checked() -> None:
    names = [f"argument{number}" for number in range(10_000)]
    schema = {"properties": {name: {"type": "string", "maxLength": 3} for name in names}, "required": names}
    found = check(schema, {**dict.fromkeys(names, "abc"), names[-1]: "abcd"}, seconds=30)
    assert [problem.path for problem in found.problems] == [names[-1]]
    assert found.complete


def test_a_check_that_takes_too_long_ends_and_says_so() -> None:
    schema = {
        "properties": {"slow": {"items": {"allOf": [{"not": {"minLength": 9}}] * 200}}, **LIMIT},
    }
    started = monotonic()
    found = check(schema, {"slow": ["short"] * 50_000, "limit": 99}, seconds=0.1)
    assert monotonic() - started < 5
    assert [problem.path for problem in found.problems] == ["limit"]
    assert [problem.message for problem in found.unchecked] == [
        "The rest is checked by the server: the check took too long."
    ]


@pytest.mark.parametrize("word", ["items", "additionalProperties", "propertyNames", "patternProperties"])
def test_a_value_of_a_million_members_ends_when_the_time_is_over(word: str) -> None:
    value: Any = [1] * 1_000_000 if word == "items" else dict.fromkeys(map(str, range(1_000_000)), 1)
    started = process_time()
    rules = {"type": ["integer", "string"]}
    found = check({word: {".": rules} if word == "patternProperties" else rules}, value, seconds=0.05)
    assert process_time() - started < 1.5
    assert not found.complete


def test_many_problems_are_cut_and_said() -> None:
    found = check({"items": {"type": "string"}}, [1] * 1_000)
    assert len(found.problems) == 50
    assert [problem.message for problem in found.unchecked] == ["There are more problems than these."]


@pytest.mark.parametrize("word", ["$ref", "allOf", "anyOf"])
def test_a_schema_that_refers_to_itself_ends(word: str) -> None:
    circle = {"$ref": "#/$defs/a"} if word == "$ref" else {word: [{"$ref": "#/$defs/b"}, {"$ref": "#/$defs/a"}]}
    schema = {"$ref": "#/$defs/a", "$defs": {"a": circle, "b": circle}}
    assert not check(schema, {"a": 1}).complete


def test_a_value_and_a_schema_of_any_depth_are_checked_without_an_error() -> None:
    value: Any = 1
    for _level in range(5_000):
        value = [value]
    assert not check({"const": [1], "uniqueItems": True, "items": {"$ref": "#"}}, value).complete
    schema: Any = {"type": "integer"}
    for _level in range(5_000):
        schema = {"items": schema, "anyOf": [schema]}
    assert not check(schema, value).complete


async def test_the_schema_has_the_word_on_what_the_fields_cannot_see() -> None:
    model = FormModel({"properties": {"a": {"type": "string", "pattern": "^x+$"}}, "additionalProperties": False})
    assert (await model.validate({"a": "xx"})).problems == ()
    assert {problem.path for problem in (await model.validate({"a": "y", "other": 1})).problems} == {"a", ""}


def test_a_result_that_does_not_match_its_schema_is_told_in_a_few_problems() -> None:
    schema = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}
    assert mismatch(schema, {"count": 1}) == ()
    assert [problem.path for problem in mismatch(schema, {})] == ["count"]
    assert len(mismatch({"items": {"type": "string"}}, [1] * 100)) == 5
    for odd in (None, [], 3, {"$ref": "#"}, {"type": 3}):
        mismatch(odd, {"count": 1})


@settings(max_examples=300, deadline=None)
@given(JSON, JSON)
def test_any_schema_and_any_value_are_checked_without_an_error(schema: Any, value: Any) -> None:
    check(schema, value)


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_a_keyword_with_a_value_of_any_type_is_checked_without_an_error(keyword: str) -> None:
    for odd in ODD:
        for value in ("a", 1, 0.5, [1, 1], {"a": 1}, None, True):
            found = check({keyword: odd, "type": "array"}, value)
            assert keyword == "type" or isinstance(value, list) or found.problems


# Schemas that the library takes too, for values that any part of them may speak of.
SCALARS = st.sampled_from([0, 1, 2, 1.0, 2.5, "", "a", "ab", True, False, None])
SMALL = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
COUNT = st.integers(0, 3)
NAMES = st.lists(st.sampled_from("abc"), unique=True, max_size=2)


def parts(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
    listed = st.lists(inner, min_size=1, max_size=3)
    words: dict[str, st.SearchStrategy[Any]] = {
        "type": st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"]),
        "enum": st.lists(SMALL, min_size=1, max_size=3),
        "const": SMALL,
        **dict.fromkeys(
            ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"], COUNT
        ),
        **dict.fromkeys(["minItems", "maxItems", "minProperties", "maxProperties"], COUNT),
        "multipleOf": st.sampled_from([1, 2, 0.5]),
        "uniqueItems": st.booleans(),
        "required": NAMES,
        "dependentRequired": st.dictionaries(st.sampled_from("abc"), NAMES, max_size=2),
        **dict.fromkeys(["properties", "dependentSchemas"], named),
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "b", "."]), inner, max_size=2),
        **dict.fromkeys(["allOf", "anyOf", "oneOf", "prefixItems"], listed),
        **dict.fromkeys(["items", "additionalProperties", "propertyNames", "not", "if", "then", "else"], inner),
        **dict.fromkeys(["contains", "unevaluatedProperties", "unevaluatedItems"], inner),
    }
    return st.lists(st.sampled_from(sorted(words)), unique=True, max_size=4).flatmap(
        lambda chosen: st.fixed_dictionaries({word: words[word] for word in chosen})
    )


SCHEMAS: st.SearchStrategy[Any] = st.recursive(st.booleans() | st.just({}), parts, max_leaves=12)


@settings(max_examples=400, deadline=None)
@given(SCHEMAS, SMALL)
def test_the_check_says_what_the_reference_library_says(schema: Any, value: Any) -> None:
    found = check(schema, value, seconds=30)
    assert found.complete
    assert (not found.problems) is jsonschema.Draft202012Validator(schema).is_valid(value)


CORPORA = sorted((Path(__file__).parent.parent / "corpora").glob("*.json"))


@pytest.mark.parametrize("corpus", CORPORA, ids=lambda path: path.stem)
def test_what_the_forms_of_real_tools_start_with_is_what_their_schemas_accept(corpus: Path) -> None:
    for tool in json.loads(corpus.read_text("utf-8"))["tools"]:
        model = FormModel(tool["inputSchema"])
        found = model.arguments(model.seed())
        if isinstance(found, dict):
            verdict = check(model.schema, parse_json(json.dumps(found, default=str)))
            assert verdict.complete
            assert all(problem.path for problem in verdict.problems)


def test_many_wrong_items_hide_no_other_argument() -> None:
    schema = {"properties": {"a": {"items": {"type": "string"}}, "limit": {"maximum": 50}, "z": {"const": 1}}}
    found = check(schema, {"a": list(range(1_000)), "limit": 99, "z": 2})
    assert [problem.argument for problem in found.problems[:3]] == ["a", "limit", "z"]
    assert not found.complete


def test_a_pattern_that_takes_too_long_is_not_tried_on_every_item() -> None:
    schema = {"properties": {"a": {"items": {"pattern": r"(.*)\1x"}}, "limit": {"maximum": 50}}}
    check(schema, {})
    started = process_time()
    found = check(schema, {"a": ["a" * 10_000] * 200, "limit": 99})
    assert process_time() - started < 0.2
    assert [problem.argument for problem in found.problems] == ["limit"]
    assert found.unchecked
