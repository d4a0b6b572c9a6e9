"""The history of calls: what is kept of one, for how long, and that no secret is in it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import ProtocolTrouble
from app.core.mcp.call_history import kept_failure, kept_result
from app.core.mcp.results.parsing import call_result
from app.core.storage import Scope
from app.core.storage.calls import CALLS_OF_A_TOOL, CHARACTERS_OF_A_TOOL, LONGEST_RESULT, StoredCall
from app.core.storage.storage import Storage

ANA, BEN = Scope("host", "ana"), Scope("host", "ben")
DONE = call_result({"content": [{"type": "text", "text": "ok"}]}, 0.5)


def call(number: int = 0, **fields: Any) -> StoredCall:
    return StoredCall(0, 1_000.0 + number, 0.5, "done", '{"a": 1}')._replace(**fields)


async def test_a_call_is_found_again_by_its_account_server_and_tool_only(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    await storage.calls.add(ANA, "s", "t", call(result="answer", size=6))
    await storage.close()
    storage = Storage.open(tmp_path)
    (found,) = await storage.calls.list(ANA, "s", "t")
    assert found._replace(number=0) == call(result="answer", size=6)
    for scope, server, tool in ((BEN, "s", "t"), (ANA, "r", "t"), (ANA, "s", "u")):
        assert await storage.calls.list(scope, server, tool) == ()
    await storage.calls.clear(ANA, "s", "t")
    assert await storage.calls.list(ANA, "s", "t") == ()
    await storage.close()


async def test_the_oldest_calls_of_a_tool_are_deleted_beyond_the_bounds(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    await storage.calls.add(ANA, "s", "other", call())
    for number in range(CALLS_OF_A_TOOL + 5):
        await storage.calls.add(ANA, "s", "t", call(number))
    kept = await storage.calls.list(ANA, "s", "t")
    assert [one.at for one in kept] == [1_000.0 + number for number in range(CALLS_OF_A_TOOL + 4, 4, -1)]
    for number in range(2 * CHARACTERS_OF_A_TOOL // LONGEST_RESULT):
        await storage.calls.add(ANA, "s", "t", call(number, result="x" * (2 * LONGEST_RESULT), size=2 * LONGEST_RESULT))
    kept = await storage.calls.list(ANA, "s", "t")
    assert sum(len(one.result) + len(one.arguments) for one in kept) <= CHARACTERS_OF_A_TOOL
    assert kept[0].size == 2 * len(kept[0].result)
    assert len(await storage.calls.list(ANA, "s", "other")) == 1
    await storage.close()


async def test_a_damaged_row_is_left_out_and_the_others_are_read(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    for number in range(3):
        await storage.calls.add(ANA, "s", "t", call(number))
    await storage.close()
    with sqlite3.connect(tmp_path / "burrow.sqlite3") as connection:
        connection.execute("UPDATE calls SET omitted = '{' WHERE at = 1001")
    storage = Storage.open(tmp_path)
    assert [one.at for one in await storage.calls.list(ANA, "s", "t")] == [1002.0, 1000.0]
    await storage.close()


SECRET: dict[str, Any] = {"type": "string", "format": "password"}


@pytest.mark.parametrize(
    ("schema", "arguments", "kept", "omitted"),
    [
        ({"properties": {"p": SECRET, "q": {}}}, {"p": "hunter", "q": 1}, {"q": 1}, ("p",)),
        ({"properties": {"p": {"writeOnly": True}}}, {"p": {"a": 1}}, {}, ("p",)),
        ({"properties": {"p": {"$ref": "#/$defs/s"}}, "$defs": {"s": SECRET}}, {"p": "x"}, {}, ("p",)),
        ({"properties": {"p": {"anyOf": [SECRET, {"type": "null"}]}}}, {"p": "x"}, {}, ("p",)),
        ({"allOf": [{"properties": {"p": SECRET}}]}, {"p": "x"}, {}, ("p",)),
        ({"additionalProperties": SECRET}, {"p": "x"}, {}, ("p",)),
        (
            {"properties": {"l": {"items": {"properties": {"p": SECRET}}}}},
            {"l": [{"p": "x", "n": 1}]},
            {"l": [{"n": 1}]},
            ("l[0].p",),
        ),
        ({"properties": {"l": {"items": SECRET}}}, {"l": ["x", "y"]}, {"l": []}, ("l[0]", "l[1]")),
        ({"properties": {"l": {"prefixItems": [{}, SECRET]}}}, {"l": ["x", "y"]}, {"l": ["x"]}, ("l[1]",)),
        ({"properties": {"l": {"items": [{}, SECRET]}}}, {"l": ["x", "y"]}, {"l": ["x"]}, ("l[1]",)),
        ({"patternProperties": {"^p": SECRET}}, {"p": "x"}, {}, ("p",)),
        ({"properties": {"p": {"$ref": "#/oneOf/0"}}, "oneOf": [SECRET]}, {"p": "x"}, {}, ("p",)),
        ({"properties": {"p": {"$ref": "#/$defs/a%20b"}}, "$defs": {"a b": SECRET}}, {"p": "x"}, {}, ("p",)),
        (
            {"properties": {"n": {"$ref": "#"}, "p": SECRET}},
            {"n": {"n": {"p": "x"}}},
            {"n": {"n": {}}},
            ("n.n.p",),
        ),
        ({}, {"api_key": "abcdefgh12345678", "name": "x"}, {"name": "x"}, ("api_key",)),
        ({}, {"header": "Bearer abcdefghijklmnop0123456789"}, {"header": "[redacted]"}, ("header",)),
        ({"$ref": "#"}, {"a": {"a": {"a": 1}}}, {"a": {"a": {"a": 1}}}, ()),
        ([], {"a": 1}, {"a": 1}, ()),
    ],
)
def test_a_secret_argument_is_not_kept_and_that_is_said(
    schema: Any, arguments: Any, kept: Any, omitted: tuple[str, ...]
) -> None:
    record = kept_result(1.0, arguments, schema, DONE)
    assert json.loads(record.arguments) == kept
    assert record.omitted == omitted


def test_of_an_answer_the_beginning_is_kept_without_tokens() -> None:
    token = "phx_" + "a1B2" * 10
    message = ('{"result": "' + token + "x" * 100_000 + '"}').encode()
    record = kept_result(1.0, {}, {}, call_result({"content": []}, 0.5, message))
    assert token not in record.result
    assert len(record.result) <= LONGEST_RESULT
    assert record.size == len(message)


def test_a_failure_keeps_its_words() -> None:
    record = kept_failure(1.0, 2.0, {"a": 1}, {}, ProtocolTrouble("The server hung up."))
    assert (record.outcome, record.seconds) == ("failed", 2.0)
    assert "The server hung up." in record.result
    assert kept_failure(1.0, 2.0, {}, {}, None).outcome == "cancelled"
