"""Forms of tool arguments: which editor a schema gets, what is sent, and nothing lost on the way to JSON and back."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.mcp.forms.fields import Field, FieldKind
from app.core.mcp.forms.model import FieldEntry, FormDraft, FormModel, Presence
from app.core.mcp.forms.validation import FieldProblem
from app.core.mcp.json_text import NotJson, parse_json, same_json, write_json

CORPORA = sorted((Path(__file__).parent.parent / "corpora").glob("*.json"))
TOOLS = [
    pytest.param(tool["inputSchema"], id=f"{path.stem}/{tool['name']}")
    for path in CORPORA
    for tool in json.loads(path.read_text("utf-8"))["tools"]
]


def form(**properties: Any) -> FormModel:
    return FormModel({"type": "object", "properties": properties})


def only(schema: Any, **root: Any) -> Field:
    return FormModel({"type": "object", "properties": {"x": schema}, **root})["x"]


def sent(schema: Any, draft: FormDraft) -> Any:
    return form(x=schema).arguments(draft)


def sample(schema: dict[str, Any], item: Field) -> Any:
    """A value for a field, good or bad."""
    match item.kind:
        case FieldKind.TEXT:
            return "text\nwith lines"
        case FieldKind.INTEGER:
            return 2**70
        case FieldKind.NUMBER:
            return Decimal("0.1000")
        case FieldKind.BOOLEAN:
            return False
        case FieldKind.CHOICE | FieldKind.CONST:
            return item.choices[-1].value
        case FieldKind.LIST:
            return [item.choices[0].value] if item.choices else []
        case _:
            return {"deep": [1, {"a": None}], "number": Decimal("1E+3")}


@pytest.mark.parametrize("schema", TOOLS)
def test_every_tool_of_the_corpora_gets_a_form_that_loses_nothing(schema: dict[str, Any]) -> None:
    model = FormModel(schema)
    assert not model.whole_json, model.reason
    assert {item.name for item in model.fields} == set(schema.get("properties", {}))
    arguments = {item.name: sample(schema, item) for item in model.fields} | {"unheard of": [1.5]}
    for given_ in (arguments, dict.fromkeys(arguments), dict.fromkeys(arguments, "odd"), {}):
        draft = model.draft_from(given_)
        found = model.arguments(draft)
        if given_:
            assert isinstance(found, dict)
            assert same_json(found, given_)
            text = model.as_json(draft)
            assert isinstance(text, str)
            assert model.from_json(text) == draft


def test_few_fields_of_the_corpora_need_json(record_property: Any) -> None:
    fields = [item for schema in TOOLS for item in FormModel(schema.values[0]).fields]
    forced = [item for item in fields if item.kind is FieldKind.JSON]
    record_property("fields", len(fields))
    record_property("forced_to_json", len(forced))
    assert len(fields) > 250
    assert len(forced) / len(fields) < 0.2
    assert all(item.why for item in forced)


def test_nothing_is_sent_that_was_not_touched() -> None:
    schema = {
        "type": "object",
        "properties": {"page": {"type": "integer", "default": 5}, "deep": {"type": "boolean", "default": True}},
    }
    model = FormModel(schema)
    assert model.arguments(model.seed()) == {}
    assert model.seed().entry("page") == FieldEntry(Presence.ABSENT, "5")
    assert model.arguments(model.seed().put("page", Presence.VALUE)) == {"page": 5}


def test_required_arguments_start_from_their_default_or_are_asked_for() -> None:
    model = FormModel(
        {
            "type": "object",
            "properties": {"a": {"type": "string", "default": "x"}, "b": {"type": "string"}, "c": {"const": 3}},
            "required": ["a", "b", "c", "undescribed"],
        }
    )
    assert model.arguments(model.seed()) == [
        FieldProblem("b", "This field is required."),
        FieldProblem("undescribed", "This field is required."),
    ]
    full = model.seed().typed("b", "").in_json("undescribed", "[1]")
    assert model.arguments(full) == {"a": "x", "b": "", "c": 3, "undescribed": [1]}


def test_absent_null_and_empty_are_three_things() -> None:
    schema = {"type": ["string", "null"]}
    model = form(x=schema)
    assert model["x"].nullable
    assert model.arguments(FormDraft()) == {}
    assert model.arguments(FormDraft().put("x", Presence.NULL)) == {"x": None}
    assert model.arguments(FormDraft().typed("x", "")) == {"x": ""}
    kept = FormDraft().typed("x", "typed").put("x", Presence.NULL).put("x", Presence.VALUE)
    assert model.arguments(kept) == {"x": "typed"}


@pytest.mark.parametrize(
    ("schema", "kind", "item"),
    [
        ({"type": "string"}, FieldKind.TEXT, None),
        ({"type": "integer"}, FieldKind.INTEGER, None),
        ({"type": "number"}, FieldKind.NUMBER, None),
        ({"type": "boolean"}, FieldKind.BOOLEAN, None),
        ({"enum": [1, "1", True, None]}, FieldKind.CHOICE, None),
        ({"oneOf": [{"const": "a", "title": "A"}, {"const": "b"}]}, FieldKind.CHOICE, None),
        ({"const": 1.5}, FieldKind.CONST, None),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, FieldKind.INTEGER, None),
        ({"allOf": [{"type": "string"}], "description": "d"}, FieldKind.TEXT, None),
        ({"$ref": "#/$defs/name"}, FieldKind.TEXT, None),
        ({"$ref": "#/properties/x/oneOf/0", "oneOf": [{"type": "boolean"}]}, FieldKind.BOOLEAN, None),
        ({"type": "array", "items": {"type": "string"}}, FieldKind.LIST, FieldKind.TEXT),
        ({"type": "array", "items": {"enum": [1, 2]}}, FieldKind.LIST, FieldKind.CHOICE),
        ({"type": "array", "items": {"$ref": "#/$defs/name"}}, FieldKind.LIST, FieldKind.TEXT),
        (
            {"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "null"}]},
            FieldKind.LIST,
            FieldKind.NUMBER,
        ),
        ({"type": "array", "items": {"type": ["string", "null"]}}, FieldKind.JSON, None),
        ({"type": "array", "items": {"type": "object"}}, FieldKind.JSON, None),
        ({"type": "array"}, FieldKind.JSON, None),
        ({"type": ["boolean", "string"]}, FieldKind.JSON, None),
        ({"anyOf": [{"type": "string"}, {"type": "object"}]}, FieldKind.JSON, None),
        ({"type": "object", "properties": {}}, FieldKind.JSON, None),
        ({}, FieldKind.JSON, None),
        (True, FieldKind.JSON, None),
        (False, FieldKind.JSON, None),
        (7, FieldKind.JSON, None),
        ({"$ref": "#/properties/x"}, FieldKind.JSON, None),
        ({"$ref": "#/nowhere"}, FieldKind.JSON, None),
        ({"$ref": "https://elsewhere.test/schema"}, FieldKind.JSON, None),
        ({"enum": [[1]]}, FieldKind.CHOICE, None),
        ({"enum": []}, FieldKind.JSON, None),
        ({"type": {"a": 1}}, FieldKind.JSON, None),
    ],
)
def test_each_schema_gets_its_editor(schema: Any, kind: FieldKind, item: FieldKind | None) -> None:
    found = only(schema, **{"$defs": {"name": {"type": "string"}}})
    assert (found.kind, found.item) == (kind, item)


def test_a_sibling_reference_is_followed_with_its_own_words_kept() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "boolean", "description": "first"}, "b": {"$ref": "#/properties/a", "title": "B"}},
    }
    second = FormModel(schema)["b"]
    assert (second.kind, second.title, second.description) == (FieldKind.BOOLEAN, "B", "first")


def test_hints_say_what_is_valid() -> None:
    found = only({"type": "string", "pattern": "^[A-Z]+-[0-9]+$", "format": "uuid", "minLength": 3})
    assert found.hints == ("at least 3 characters", "a UUID", "matches ^[A-Z]+-[0-9]+$")
    assert only({"type": "array", "maxItems": 2, "items": {"type": "integer", "minimum": 1}}).hints == (
        "at most 2 items",
        "each at least 1",
    )
    assert only({"type": "string", "format": "int32"}).hints == ("int32",)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("integer", " 9007199254740993 ", 9007199254740993),
        ("integer", "-1", -1),
        ("integer", "2.0", Decimal("2.0")),
        ("number", "0.1", Decimal("0.1")),
        ("number", "1e3", Decimal("1E+3")),
        ("number", ".5", Decimal("0.5")),
        ("number", "12", 12),
    ],
)
def test_numbers_are_never_rounded(kind: str, text: str, value: Any) -> None:
    found = sent({"type": kind}, FormDraft().typed("x", text))
    assert isinstance(found, dict)
    assert same_json(found["x"], value)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "integer"}, "1.5"),
        ({"type": "integer"}, ""),
        ({"type": "integer"}, "twelve"),
        ({"type": "number"}, "1,5"),
        ({"type": "number"}, "NaN"),
        ({"type": "number"}, "٣"),
        ({"type": "number"}, "1e99999999999999999999"),
        ({"type": "boolean"}, ""),
        ({"enum": ["a"]}, "b"),
        ({}, "{"),
        ({}, '{"a": 1, "a": 2}'),
        ({}, "NaN"),
        ({}, "[" * 100_000),
    ],
)
def test_invalid_text_is_named_and_never_dropped(schema: Any, text: str) -> None:
    found = sent(schema, FormDraft().typed("x", text))
    assert isinstance(found, list)
    assert [problem.path for problem in found] == ["x"]
    assert found[0].message.endswith(".")


def test_a_list_is_typed_item_by_item() -> None:
    schema = {"type": "array", "items": {"type": "integer"}}
    assert sent(schema, FormDraft().listed("x", ["1", "2"])) == {"x": [1, 2]}
    assert sent(schema, FormDraft().listed("x", [])) == {"x": []}
    problems = sent(schema, FormDraft().listed("x", ["1", "b"]))
    assert problems == [FieldProblem("x", "Item 2: It must be a whole number.")]


def test_choices_keep_their_types() -> None:
    model = form(x={"enum": [1, "1", True, 1.5]})
    keys = [choice.key for choice in model["x"].choices]
    assert keys == ["1", '"1"', "true", "1.5"]
    found = [model.arguments(FormDraft().typed("x", key)) for key in keys]
    assert all(
        isinstance(one, dict) and same_json(one["x"], value)
        for one, value in zip(found, [1, "1", True, Decimal("1.5")], strict=True)
    )


def test_a_value_that_does_not_fit_its_editor_is_kept_as_json() -> None:
    model = form(x={"type": "integer"}, y={"type": "string"})
    draft = model.draft_from({"x": "soon", "y": {"a": 1}, "z": [0.5]})
    assert draft.entry("x").as_json
    assert same_json(model.arguments(draft), {"x": "soon", "y": {"a": 1}, "z": [Decimal("0.5")]})


def test_groupings_of_arguments_leave_the_fields_plain() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
    }
    assert [item.name for item in FormModel(schema).fields] == ["a", "b"]


def test_json_text_that_is_no_object_is_refused() -> None:
    with pytest.raises(NotJson):
        form().from_json("[1]")
    with pytest.raises(NotJson) as raised:
        form().from_json('{\n "a": }')
    assert raised.value.line == 2


NUMBERS = st.integers() | st.decimals(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
WORDS = st.sampled_from(["type", "enum", "const", "anyOf", "oneOf", "allOf", "items", "$ref", "properties", "pattern"])
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object", "odd"])
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.fixed_dictionaries({"type": TYPES | st.lists(TYPES, max_size=3)}) | VALUES,
    lambda inner: st.one_of(
        st.dictionaries(WORDS, inner | st.lists(inner, max_size=3), max_size=4),
        st.fixed_dictionaries({"type": TYPES, "enum": st.lists(VALUES, max_size=4)}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"$ref": st.sampled_from(["#", "#/properties/a", "#/properties/b", "#/x", "x"])}),
    ),
    max_leaves=10,
)
PROPERTIES = st.dictionaries(st.sampled_from(["a", "b", "c"]), SCHEMAS, max_size=3)
ARGUMENTS = st.dictionaries(st.sampled_from(["a", "b", "d"]), VALUES)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_json_text_loses_nothing(value: Any) -> None:
    assert same_json(parse_json(write_json(value)), value)


@settings(max_examples=150, deadline=None)
@given(PROPERTIES, ARGUMENTS)
def test_any_schema_and_any_arguments_go_round_unchanged(properties: Any, arguments: dict[str, Any]) -> None:
    model = FormModel({"type": "object", "properties": properties})
    model.arguments(model.seed())
    draft = model.draft_from(arguments)
    assert same_json(model.arguments(draft), arguments)
    text = model.as_json(draft)
    assert isinstance(text, str)
    assert same_json(model.arguments(model.from_json(text)), arguments)


@settings(max_examples=100, deadline=None)
@given(SCHEMAS)
def test_any_root_gives_a_form(schema: Any) -> None:
    model = FormModel(schema)
    found = model.arguments(model.seed())
    assert isinstance(found, dict | list)
