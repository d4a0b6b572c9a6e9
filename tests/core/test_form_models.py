"""Form models of any schema: they never fail, cost in proportion to the schema, and send what was chosen."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.mcp.forms.choices import choices_of
from app.core.mcp.forms.fields import Field, FieldKind
from app.core.mcp.forms.model import FormDraft, FormModel, Presence
from app.core.mcp.forms.reasons import Reason
from app.core.mcp.json_text import parse_json, same_json

KEYWORDS = [
    "$ref",
    "$defs",
    "$id",
    "$anchor",
    "type",
    "enum",
    "enumNames",
    "const",
    "default",
    "title",
    "description",
    "properties",
    "required",
    "items",
    "prefixItems",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependencies",
    "dependentRequired",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minItems",
    "maxItems",
    "uniqueItems",
    "contains",
    "minProperties",
    "maxProperties",
    "unevaluatedProperties",
    "examples",
    "contentMediaType",
]
TYPES = ["string", "integer", "number", "boolean", "null", "array", "object", "odd", ""]
REFERENCES = ["#", "#/", "#/properties/a", "#/properties/b", "#/$defs/a", "#/items/99999999999", "#x", "x", "#/%zz/~2"]
ODD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    0.5,
    float("inf"),
    "",
    "#",
    "object",
    "\ud800",
    [],
    [[]],
    [None],
    {},
]
# Kept from Hypothesis, which prints its samples.
HUGE = 10**5_000
ODD += [{"a": 1}, {"$ref": "#"}, {"a": {"$ref": "#/properties/a"}}, ["a", "a", 1, None, {}], [{"const": 1}, None, 3]]
LEAVES = (
    st.sampled_from(ODD)
    | st.sampled_from(TYPES)
    | st.sampled_from(REFERENCES)
    | st.text(max_size=4)
    | st.floats()
    | st.decimals()
)
JSON: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYWORDS) | st.sampled_from(["a", "b"]), inner, max_size=4)
    ),
    max_leaves=25,
)


def only(schema: Any, **root: Any) -> Field:
    return FormModel({"type": "object", "properties": {"x": schema}, **root})["x"]


def use(model: FormModel) -> None:
    """Do what a window does with a form, without caring for the values."""
    draft = model.seed()
    model.arguments(draft)
    model.as_json(draft)
    for item in model.fields:
        assert (item.kind is FieldKind.JSON) == (item.reason is not None)
        assert item.label is not None
        assert item.summary
        model.nested(item.name)
        for presence in Presence:
            model.arguments(draft.put(item.name, presence))
    values = {"a": [1, {"b": None}], "x": "text", "": Decimal("0.10")}
    sent = model.arguments(model.draft_from(values))
    # What is required and missing is said instead.
    required = {item.name for item in model.fields if item.required}
    assert same_json(sent, values) if required <= values.keys() else isinstance(sent, list)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_any_json_gives_a_form_that_works(schema: Any) -> None:
    use(FormModel(schema))


@settings(max_examples=200, deadline=None)
@given(JSON, JSON)
def test_any_json_gives_a_field_that_works(schema: Any, other: Any) -> None:
    use(FormModel({"type": "object", "properties": {"a": schema, "b": other}, "required": ["a"]}))


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_a_keyword_with_a_value_of_any_type_gives_a_form_that_works(keyword: str) -> None:
    for odd in [*ODD, HUGE, {"a": HUGE}, [HUGE]]:
        use(FormModel({keyword: odd}))
        use(FormModel({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], keyword: odd}))
        for kind in ("string", "integer", "array", "object"):
            use(FormModel({"properties": {"a": {"type": kind, keyword: odd}}, "required": ["a"]}))
            use(FormModel({"properties": {"a": {"type": "array", "items": {"type": kind, keyword: odd}}}}))


def nested(levels: int, word: str, leaf: Any) -> Any:
    schema = leaf
    for _level in range(levels):
        schema = {word: [schema]} if word in {"allOf", "anyOf", "oneOf"} else {word: schema}
    return schema


@pytest.mark.parametrize(
    "word", ["items", "properties", "allOf", "anyOf", "oneOf", "not", "if", "then", "default", "enum"]
)
def test_a_schema_of_any_depth_gives_a_form(word: str) -> None:
    deep = nested(5_000, word, {"type": "string"})
    use(FormModel(deep))
    use(FormModel({"properties": {"a": deep, "b": {"allOf": [deep, deep]}}, "required": ["a"]}))


@pytest.mark.parametrize("levels", [40, 64, 65, 5_000])
@pytest.mark.parametrize("kind", ["string", "array", "object"])
def test_a_default_of_any_depth_is_shown_or_left_out(levels: int, kind: str) -> None:
    default: Any = 1
    for _level in range(levels):
        default = [default]
    model = FormModel({"properties": {"a": {"type": kind, "default": default}}, "required": ["a"]})
    use(model)
    assert bool(model.seed().entries) is (levels < 64)


def test_references_in_a_circle_end() -> None:
    circle = {name: {"$ref": f"#/$defs/{other}"} for name, other in (("a", "b"), ("b", "c"), ("c", "a"))}
    many = {f"m{n}": {"allOf": [{"$ref": f"#/$defs/m{(n * k) % 7}"} for k in range(1, 6)]} for n in range(7)}
    schema = {
        "properties": {name: {"$ref": f"#/$defs/{name}"} for name in [*circle, *many]},
        "allOf": [{"$ref": "#/$defs/m1"}, {"$ref": "#"}],
        "$defs": {**circle, **many},
    }
    model = FormModel(schema)
    use(model)
    assert model["a"].reason is Reason.REFERENCE


@pytest.mark.parametrize(
    "reference",
    ["#/$defs/a", "#a", "a.json", "https://x.test/a.json", "a.json#", "#/$defs/list/0", "a.json#/properties/b"],
)
def test_a_reference_inside_the_document_is_followed_however_it_is_written(reference: str) -> None:
    inner = {"$id": "a.json", "$anchor": "a", "type": "string", "properties": {"b": {"type": "string"}}}
    document = {"$id": "https://x.test/root.json", "$defs": {"a": inner, "list": [{"type": "string"}]}}
    assert only({"$ref": reference}, **document).kind is FieldKind.TEXT


CORPORA = sorted((Path(__file__).parent.parent / "corpora").glob("*.json"))


@pytest.mark.parametrize("path", CORPORA, ids=lambda path: path.stem)
def test_a_schema_with_exact_numbers_gives_the_same_form(path: Path) -> None:
    text = path.read_text("utf-8")
    exact = parse_json(text, depth=200)["tools"]
    for tool, same in zip(json.loads(text)["tools"], exact, strict=True):
        one, two = FormModel(tool["inputSchema"]), FormModel(same["inputSchema"])
        assert one.fields == two.fields
        assert one.seed() == two.seed()


def test_limits_that_are_exact_numbers_are_hints() -> None:
    item = only(
        {"type": "number", "minimum": Decimal("0.10"), "maximum": Decimal("1E+3"), "maxLength": Decimal("1E+3")}
    )
    assert item.hints == ("at least 0.10", "at most 1E+3", "at most 1E+3 characters")
    assert only({"type": "string", "maxLength": Decimal("1000")}).multiline


def test_null_for_what_a_server_does_not_state_is_read_over() -> None:
    unset = dict.fromkeys(["const", "enum", "anyOf", "allOf", "oneOf", "$ref", "items", "default", "title", "pattern"])
    item = only({**unset, "type": "string", "default": "x"})
    assert (item.kind, item.nullable, item.default) == (FieldKind.TEXT, False, "x")
    assert only(None).reason is Reason.UNSTATED


def test_a_fixed_value_wins_over_a_default() -> None:
    model = FormModel({"properties": {"x": {"const": "a", "default": "b"}}, "required": ["x"]})
    assert model.arguments(model.seed()) == {"x": "a"}


def arguments(count: int) -> dict[str, Any]:
    kinds = [
        {"type": "string", "description": "What it is for"},
        {"type": "integer", "minimum": 0, "default": 5},
        {"enum": ["a", "b", "c"]},
        {"$ref": "#/$defs/place"},
        {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
    ]
    names = [f"argument{number}" for number in range(count)]
    return {
        "type": "object",
        "properties": {name: kinds[number % len(kinds)] for number, name in enumerate(names)},
        "required": names[::2],
        "$defs": {"place": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}},
    }


@pytest.mark.serial
def test_a_form_of_ten_thousand_arguments_costs_what_its_size_says() -> None:
    def cost(count: int) -> float:
        schema, started = arguments(count), process_time()
        model = FormModel(schema)
        model.arguments(model.seed())
        model.draft_from(dict.fromkeys((item.name for item in model.fields), "x"))
        return process_time() - started

    cost(100)
    assert cost(10_000) < 40 * cost(1_000)


@pytest.mark.serial
def test_arguments_that_share_something_large_cost_no_more_than_it() -> None:
    wide = {"type": "object", "properties": {f"m{n}": {"type": "string"} for n in range(2_000)}}
    schema = {
        "properties": {f"a{n}": {"$ref": ("#choices", "#/$defs/wide", "#/$defs/far")[n % 3]} for n in range(3_000)},
        "required": [f"a{n}" for n in range(3_000)],
        "$defs": {
            "choices": {"$anchor": "choices", "enum": [f"v{n}" for n in range(4_000)], "default": "v3999"},
            "wide": wide,
            "far": {"$ref": "#last"},
            **{f"d{n}": {"$anchor": f"anchor{n}"} for n in range(3_000)},
            "last": {"$anchor": "last", "type": "integer"},
        },
    }
    started = process_time()
    model = FormModel(schema)
    model.arguments(model.seed())
    assert process_time() - started < 5
    assert model["a0"].choices is model["a3"].choices
    assert model["a2"].kind is FieldKind.INTEGER


def test_choices_with_one_title_are_told_apart_and_sent_as_chosen() -> None:
    values = ["open", "closed", 3, "3", None, True, 0.5, [1], {"a": 1}]
    model = FormModel({"properties": {"x": {"oneOf": [{"const": value, "title": "State"} for value in values]}}})
    item = model["x"]
    assert item.kind is FieldKind.CHOICE
    assert item.nullable
    real = [value for value in values if value is not None]
    assert [choice.label for choice in item.choices][:4] == [
        'State ("open")',
        'State ("closed")',
        "State (3)",
        'State ("3")',
    ]
    for place, value in enumerate(real):
        found = model.arguments(FormDraft().typed("x", item.choose(place)))
        assert isinstance(found, dict)
        assert same_json(found["x"], Decimal("0.5") if value == 0.5 else value)
        assert item.index_of(value) == place
        assert item.chosen(item.choose(place)) == place


def test_values_that_print_alike_are_different_choices() -> None:
    values = [1, "1", True, "true", 1.0, "1.0", "", " ", "a", "a ", "A", [1], "[1]", {"a": 1}]
    item = only({"enum": values})
    assert len(item.choices) == len(values)
    assert [item.index_of(value) for value in values] == list(range(len(values)))
    labels = [choice.label for choice in item.choices]
    assert labels[:6] == ["1", '"1"', "true", '"true"', "1.0", '"1.0"']
    assert len({" ".join(label.split()) for label in labels}) == len(values)
    assert item.index_of("b") is None
    assert item.chosen("b") is None


@settings(deadline=None)
@given(st.lists(st.tuples(JSON, st.sampled_from(["", "Same", "Same (1)", "1", " "])), max_size=12))
def test_no_two_choices_look_the_same(values: list[tuple[Any, str]]) -> None:
    found = choices_of(values)
    assert len({" ".join(choice.label.split()) for choice in found}) == len(found)
    assert len({choice.key for choice in found}) == len(found)


def test_a_fixed_value_is_a_field_that_is_shown() -> None:
    for value in (3, "x", None, True, [1, {"a": 2}], {"confirm": True}):
        model = FormModel({"properties": {"x": {"const": value}}, "required": ["x"]})
        assert model["x"].kind is FieldKind.CONST
        assert model["x"].choices[0].label
        assert same_json(model.arguments(model.seed()), {"x": value})
    assert only({"type": "null"}).kind is FieldKind.CONST


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"enum": [str(number) for number in range(5_001)]}, Reason.TOO_MANY_CHOICES),
        ({"type": "array", "items": {"enum": list(range(5_001))}}, Reason.TOO_MANY_CHOICES),
        ({"enum": []}, Reason.NO_VALUE),
        (False, Reason.NO_VALUE),
        ({"enum": [nested(100, "a", 1)]}, Reason.NOT_WRITABLE),
        ({"$ref": "#/nowhere"}, Reason.REFERENCE),
        ({"type": "object"}, Reason.OBJECT),
        ({"properties": {"a": {}}}, Reason.OBJECT),
        ({"type": ["string", "integer"]}, Reason.SEVERAL_KINDS),
        ({"anyOf": [{"type": "string"}, {"type": "object"}]}, Reason.SEVERAL_KINDS),
        ({}, Reason.UNSTATED),
        ({"description": "anything"}, Reason.UNSTATED),
        ({"type": "array"}, Reason.ITEMS_UNSTATED),
        ({"type": "array", "items": {}}, Reason.ITEMS_UNSTATED),
        ({"type": "array", "items": {"type": "object"}}, Reason.ITEMS_NOT_PLAIN),
        ({"type": "array", "prefixItems": [{}]}, Reason.POSITIONS),
        (7, Reason.UNREADABLE),
    ],
)
def test_a_field_in_json_says_the_true_reason(schema: Any, reason: Reason) -> None:
    item = only(schema)
    assert (item.kind, item.reason) == (FieldKind.JSON, reason)
    assert item.why == reason.value


def test_an_enumeration_of_thousands_is_a_choice() -> None:
    assert len(only({"enum": [str(number) for number in range(5_000)]}).choices) == 5_000


def test_a_union_of_one_kind_gets_the_editor_of_that_kind() -> None:
    assert (
        only({"anyOf": [{"type": "string", "format": "uri"}, {"type": "string", "enum": ["a"]}]}).kind is FieldKind.TEXT
    )
    assert only({"oneOf": [{"type": "integer"}, {"type": "number"}, {"type": "null"}]}).kind is FieldKind.NUMBER
    assert only({"type": ["integer", "number"]}).kind is FieldKind.NUMBER


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": []},
        {"type": "object", "properties": None},
        {"type": "object", "properties": {}, "required": None},
        {"type": "object", "properties": {}, "required": "a"},
        {"type": "object", "properties": [], "required": []},
        {"type": "object"},
        {"type": "object", "additionalProperties": False},
        {"type": ["object", "null"], "properties": {}},
    ],
)
def test_a_tool_without_arguments_has_an_empty_form(schema: Any) -> None:
    model = FormModel(schema)
    assert not model.whole_json
    assert model.fields == ()
    assert model.arguments(model.seed()) == {}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({}, Reason.ARGUMENTS_UNSTATED),
        (True, Reason.ARGUMENTS_UNSTATED),
        ({"title": "Anything"}, Reason.ARGUMENTS_UNSTATED),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, Reason.NAMES_FREE),
        ({"type": "object", "properties": {}, "additionalProperties": True}, Reason.NAMES_FREE),
        ({"type": "object", "properties": [], "patternProperties": {"^x-": {}}}, Reason.NAMES_FREE),
        ({"type": "object", "minProperties": 1}, Reason.NAMES_FREE),
        ({"type": "object", "propertyNames": {"maxLength": 3}}, Reason.NAMES_FREE),
        ({"type": "object", "unevaluatedProperties": {"type": "string"}}, Reason.NAMES_FREE),
        ({"type": "object", "allOf": [{"additionalProperties": {"type": "string"}}]}, Reason.NAMES_FREE),
        ({"$ref": "#/$defs/map", "$defs": {"map": {"type": "object", "additionalProperties": {}}}}, Reason.NAMES_FREE),
        ({"type": "array"}, Reason.NO_OBJECT),
        ({"properties": 3}, Reason.NO_OBJECT),
        ({"$ref": "#"}, Reason.UNREADABLE),
        ({"$ref": "https://elsewhere.test/schema"}, Reason.UNREADABLE),
        (None, Reason.UNREADABLE),
        (False, Reason.UNREADABLE),
        ([], Reason.UNREADABLE),
    ],
)
def test_a_tool_whose_arguments_have_no_names_is_edited_as_json(schema: Any, reason: Reason) -> None:
    model = FormModel(schema)
    assert model.whole_json
    assert model.reason == reason.value
    assert same_json(model.arguments(model.draft_from({"a": 0.5})), {"a": Decimal("0.5")})
    assert isinstance(model.arguments(FormDraft(whole="[1]")), list)
    assert model.arguments(model.seed()) == {}


def test_a_form_says_whether_other_arguments_are_accepted() -> None:
    named = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert FormModel(named).open
    assert not FormModel({**named, "additionalProperties": False}).open
    assert not FormModel({"allOf": [named], "unevaluatedProperties": False}).open


TEXT, WHOLE = FieldKind.TEXT, FieldKind.INTEGER


@pytest.mark.parametrize(
    ("schema", "kinds", "required"),
    [
        ({"type": ["object", "null"], "properties": {"a": {"type": "string"}}, "required": ["a"]}, {"a": TEXT}, ["a"]),
        (
            {
                "properties": {"a": {"type": "string"}},
                "if": {"properties": {"a": {"const": "x"}}},
                "then": {"properties": {"b": {"type": "integer"}}, "required": ["b"]},
                "else": {"properties": {"c": {"type": "string"}}},
            },
            {"a": TEXT, "b": WHOLE, "c": TEXT},
            [],
        ),
        (
            {
                "allOf": [
                    {"properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"$ref": "#/$defs/b"},
                    {"properties": {"a": {"maxLength": 3}}},
                ],
                "$defs": {"b": {"properties": {"b": {"type": "integer"}}, "required": ["b"]}},
            },
            {"a": TEXT, "b": WHOLE},
            ["a", "b"],
        ),
        (
            {
                "oneOf": [
                    {"properties": {"kind": {"const": "f"}, "path": {"type": "string"}}, "required": ["kind", "path"]},
                    {"properties": {"kind": {"const": "u"}, "size": {"type": "integer"}}, "required": ["kind"]},
                ]
            },
            {"kind": FieldKind.CHOICE, "path": TEXT, "size": WHOLE},
            ["kind"],
        ),
        (
            {
                "anyOf": [
                    {"type": "null"},
                    {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                ]
            },
            {"a": TEXT},
            ["a"],
        ),
        (
            {
                "properties": {"a": {"type": "string"}},
                "oneOf": [{"required": ["a"]}, {"properties": {"b": {"type": "integer"}}, "required": ["b"]}],
            },
            {"a": TEXT, "b": WHOLE},
            [],
        ),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"a": {"type": "string"}}, "required": ["a"]}}},
            {"a": TEXT},
            ["a"],
        ),
        (
            {
                "properties": {"a": {"type": "string"}},
                "dependentSchemas": {"a": {"properties": {"b": {"type": "integer"}}}},
            },
            {"a": TEXT, "b": WHOLE},
            [],
        ),
        (
            {"properties": {"a": True}, "if": {"properties": {"b": {"const": 1}}}},
            {"a": FieldKind.JSON, "b": FieldKind.JSON},
            [],
        ),
    ],
)
def test_a_root_made_of_several_schemas_has_the_arguments_of_all(
    schema: Any, kinds: dict[str, FieldKind], required: list[str]
) -> None:
    model = FormModel(schema)
    assert not model.whole_json, model.reason
    assert {item.name: item.kind for item in model.fields} == kinds
    assert [item.name for item in model.fields if item.required] == required


@pytest.mark.parametrize("other", [True, {}, {"$ref": "#/nowhere"}, {"$ref": "#"}])
def test_an_argument_is_required_only_if_every_branch_requires_it(other: Any) -> None:
    named = {"properties": {"a": {"type": "string"}}, "required": ["a"]}
    assert not FormModel({"anyOf": [named, other]})["a"].required
    assert FormModel({"anyOf": [named, False, {"type": "null"}, {"type": "string"}]})["a"].required


PLACE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "size": {"type": "number"},
        "kind": {"const": "place"},
        "tags": {"type": "array", "default": ["a"]},
        "note": {"type": "string"},
    },
    "required": ["name", "size", "kind", "tags"],
}
MEMBERS = {"name": "", "size": None, "kind": "place", "tags": ["a"]}


@pytest.mark.parametrize(
    "schema",
    [
        PLACE,
        {"$ref": "#/$defs/place"},
        {"$ref": "#/$defs/place", "description": "where"},
        {"allOf": [{"$ref": "#/$defs/place"}]},
        {"anyOf": [{"$ref": "#/$defs/place"}, {"type": "null"}]},
    ],
    ids=["inline", "reference", "with-words", "all-of", "optional"],
)
def test_a_required_object_starts_as_its_members_wherever_its_schema_stands(schema: Any) -> None:
    model = FormModel({"properties": {"x": schema}, "required": ["x"], "$defs": {"place": PLACE}})
    assert same_json(model.arguments(model.seed()), {"x": MEMBERS})


def test_an_object_that_is_not_required_is_not_sent() -> None:
    model = FormModel({"properties": {"x": PLACE}})
    assert model.arguments(model.seed()) == {}


def test_an_object_that_requires_itself_starts_with_an_end() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]}
    model = FormModel({"properties": {"x": {"$ref": "#/$defs/node"}}, "required": ["x"], "$defs": {"node": schema}})
    assert model.arguments(model.seed()) == {"x": {"next": {"next": {"next": {}}}}}


def test_an_object_and_the_items_of_a_list_of_objects_have_forms_of_their_own() -> None:
    model = FormModel(
        {
            "properties": {
                "one": {"$ref": "#/$defs/place"},
                "many": {"type": "array", "items": {"$ref": "#/$defs/place"}},
                "text": {"type": "string"},
                "free": {"type": "object"},
            },
            "$defs": {"place": PLACE},
        }
    )
    for name in ("one", "many"):
        inner = model.nested(name)
        assert inner is not None
        assert [item.name for item in inner.fields] == ["name", "size", "kind", "tags", "note"]
    assert model.nested("text") is None
    assert model.nested("free") is None


@pytest.mark.parametrize("text", ["-0", "1" * 5_000, "3.14159265358979323846", "1e400"])
@pytest.mark.parametrize("kind", ["number", "integer"])
def test_a_number_is_sent_with_the_digits_that_were_typed(kind: str, text: str) -> None:
    model = FormModel({"properties": {"x": {"type": kind}}})
    found = model.arguments(FormDraft().typed("x", text))
    if kind == "integer" and "." in text:
        assert isinstance(found, list)
    else:
        assert isinstance(found, dict)
        assert same_json(found["x"], Decimal(text))
