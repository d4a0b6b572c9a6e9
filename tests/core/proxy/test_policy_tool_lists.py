"""What is cut out of lists of tools, and that nothing else of their bytes changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.mcp.proxy.tool_lists import ListUnreadable, may_have_tools, without_tools


def hidden(name: str) -> bool:
    return name == "delete"


def listed(tools: str, after: str = "") -> bytes:
    return f'{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tools}]{after}}}}}'.encode()


KEEP, CUT = '{"name":"keep"}', '{"name":"delete"}'


def test_a_hidden_tool_is_cut_with_one_comma_wherever_it_stands() -> None:
    assert without_tools(listed(f"{CUT},{KEEP}"), hidden) == listed(KEEP)
    assert without_tools(listed(f"{KEEP},{CUT}"), hidden) == listed(KEEP)
    assert without_tools(listed(f"{KEEP},{CUT},{KEEP}"), hidden) == listed(f"{KEEP},{KEEP}")
    assert without_tools(listed(f"{CUT},{CUT},{KEEP},{CUT},{CUT}"), hidden) == listed(KEEP)
    assert without_tools(listed(CUT), hidden) == listed("")
    assert without_tools(listed(f" {CUT} , {CUT} "), hidden) == listed("  ")


def test_nothing_else_changes_numbers_order_unknown_fields_and_cursor() -> None:
    odd = '{ "x":1.0e+5, "name" : "keep","n":123456789012345678901234567890,"y":-0, "é":"\\u00e9\\ud800" }'
    after = ', "nextCursor" : "p\\u0032" , "ttlMs":1.50'
    body = listed(f"\n  {odd} ,\t{CUT},\n  {odd}\n", after)
    assert without_tools(body, hidden) == listed(f"\n  {odd},\n  {odd}\n", after)


def test_what_has_nothing_to_hide_is_the_same_object() -> None:
    for body in (
        listed(KEEP, ',"nextCursor":"a"'),
        b"\xef\xbb\xbf" + listed(f" {KEEP} "),
        b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"delete"}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"tools":{"name":"delete"}}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"name":"delete"}]}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"tools":["delete",null,[{"name":"delete"}],{"name":1}]}}',
        b"[]",
        b"1",
    ):
        assert without_tools(body, hidden) is body


@pytest.mark.parametrize(
    "body",
    [
        '{"result":{"tools":[{"name":"\\u0064elete"}]}}',
        '{"result":{"tools":[{"n\\u0061me":"delete"}]}}',
        '{"result":{"\\u0074ools":[{"name":"delete"}]}}',
        '{"res\\u0075lt":{"tools":[{"name":"delete"}]}}',
        '{"result":{"tools":[{"name":"keep","name":"delete"}]}}',
        '{"result":{"tools":[{"name":"delete","name":"keep"}]}}',
        '{"result":{"tools":[{"Name":"delete"}]}}',
        '{"RESULT":{"Tool\\u017f":[{"name":"delete"}]}}',
        '{"result":{"tools":[],"tools":[{"name":"delete"}]}}',
        '{"result":{"tools":[{"name":"delete"}],"tools":[]}}',
        '{"result":{"tools":[]},"result":{"tools":[{"name":"delete"}]}}',
        '{"result":{"tools":[{"name":"delete"}]},"error":{"code":1}}',
        '{"method":"ping","result":{"tools":[{"name":"delete"}]}}',
        '[{"result":{"tools":[]}},{"result":{"tools":[{"name":"delete"}]}}]',
        '\ufeff \n{"result":{"tools":[{"name":"delete"}]}} \r\n',
        '{"result":{"tools":[{"name":"delete","more":{"a":[[[1]]]}}],"n":' + "9" * 5000 + "}}",
    ],
)
def test_no_way_of_writing_a_message_leaves_a_hidden_tool_in_it(body: str) -> None:
    found = without_tools(body.encode(), hidden).decode()
    assert len(found) < len(body)
    assert not _names(json.loads(found.removeprefix("\ufeff"), parse_int=str, object_pairs_hook=list))


def _names(value: Any) -> list[Any]:
    """Every value of a member whose name is `name`, in pairs at any depth."""
    if isinstance(value, tuple):
        name, inner = value
        return ([inner] if name.lower() == "name" else []) + _names(inner)
    return [one for item in value for one in _names(item)] if isinstance(value, list) else []


def test_a_name_with_half_of_a_surrogate_pair_is_hidden_like_any_other() -> None:
    body = listed('{"name":"a\\ud800"},{"name":"b"}')
    assert without_tools(body, lambda name: name == "a\ud800") == listed('{"name":"b"}')


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b'{"result":{"tools":[{"name":"delete"}]}',
        b'{"result":{"tools":[{"name":"delete"},]}}',
        b'{"result":{"tools":[{"name":"delete"} {"name":"x"}]}}',
        b'{"result":{"tools":[{"name":"x"}]}} {"result":{"tools":[{"name":"delete"}]}}',
        b'{"result":{tools:[{"name":"delete"}]}}',
        b"{'result':{}}",
        b'{"result":{"tools":[{"name":"delete","n":NaN}]}}',
        b'{"result":{"n":Infinity,"tools":[{"name":"delete"}]}}',
        b'{"result":/* */{"tools":[{"name":"delete"}]}}',
        b'{"result":{"tools":[{"name":"de\nlete"}]}}',
        b'{"result":{"tools":[{"name":"\xff"}]}}',
        b'{"result":{"tools":[{"name":"\xed\xa0\x80"}]}}',
        '{"result":{"tools":[{"name":"delete"}]}}'.encode("utf-16"),
        b'{"result":{"tools":[{"name":"delete","deep":' + b"[" * 200_000 + b"]" * 200_000 + b"}]}}",
        b'{"result":{"tools"\x00:[{"name":"delete"}]}}',
        b'{"result":{"tools":[{"name":"delete"}]},}',
        b'{"result" {"tools":[]}}',
    ],
)
def test_what_two_parsers_may_read_differently_is_not_passed_on(body: bytes) -> None:
    with pytest.raises(ListUnreadable):
        without_tools(body, hidden)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
TOOLS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(["delete", "keep", "Delete", " delete"])}, optional={"x": VALUES})
    | VALUES,
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(tools=TOOLS, more=st.dictionaries(st.text(), VALUES, max_size=3), indent=st.sampled_from([None, 1]))
def test_any_list_reads_as_itself_without_the_hidden_tools(
    tools: list[Any], more: dict[str, Any], indent: int | None
) -> None:
    more = {name: value for name, value in more.items() if name.casefold() != "tools"}
    message = {"jsonrpc": "2.0", "id": 1, "result": {**more, "tools": tools, "nextCursor": "n"}}
    body = json.dumps(message, indent=indent).encode()
    left = [one for one in tools if not (isinstance(one, dict) and one.get("name") == "delete")]
    expected = {**message, "result": {**more, "tools": left, "nextCursor": "n"}}
    found = without_tools(body, hidden)
    assert json.loads(found) == expected
    assert (found is body) == (left == tools)


@pytest.mark.parametrize("text", ['{"Tools":1}', '{"TOOL\\u017f":1}', '{"\\u0074ools":1}', '{"tool\u017f":1}', "tools"])
def test_every_message_that_may_have_tools_is_looked_into(text: str) -> None:
    for encoding in ("utf-8", "utf-16", "utf-16-be", "utf-32"):
        assert may_have_tools(text.encode(encoding))
    assert not may_have_tools(b'{"result":{"content":[]}}')
