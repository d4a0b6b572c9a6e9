"""The pieces that the relay is made of, tried with whatever a network may cut a stream into."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest

from app.core.mcp.proxy.headers import inward, outward
from app.core.mcp.proxy.masking import TokenMask
from app.core.mcp.proxy.messages import MessageKind, read_post
from app.core.mcp.proxy.refusals import TABLE, Refusal, RefusalKind, RequestRefused
from app.core.mcp.proxy.sessions import agent_of, protocol_of
from app.core.mcp.proxy.streams import EventSplitter, data_of, last_id, message_event, with_data

TOKEN = "pha_abcpha_abd"


def cut(data: bytes, dice: random.Random) -> list[bytes]:
    places = sorted(dice.sample(range(len(data) + 1), min(len(data), dice.randint(0, 12))))
    return [data[start:end] for start, end in pairwise([0, *places, len(data)])]


@pytest.mark.parametrize("seed", range(40))
def test_a_token_is_masked_however_it_is_cut_and_nothing_else_changes(seed: int) -> None:
    dice = random.Random(seed)
    parts = [b"pha_", b"pha_abc", b"a", b"{}\n\n", TOKEN.encode(), TOKEN.encode(), b"pha_abcpha_ab", b"x" * 50, b"p"]
    data = b"".join(dice.choices(parts, k=20))
    mask = TokenMask([TOKEN, "short"])
    got = b"".join(mask.feed(piece) for piece in cut(data, dice)) + mask.end()
    assert got == data.replace(TOKEN.encode(), b"*" * len(TOKEN))
    assert len(got) == len(data)


@pytest.mark.parametrize(
    "written", [r"ab\/cd+ef\/gh==", r"ab/cd\u002Bef/gh==", r"ab\/cd\u002Bef\/gh==", "ab%2Fcd%2Bef%2Fgh%3D%3D"]
)
def test_a_token_is_masked_as_json_and_addresses_write_it(written: str) -> None:
    data = f'{{"sent":"Bearer {written}"}}'.encode()
    masked = f'{{"sent":"Bearer {"*" * len(written)}"}}'.encode()
    for place in range(len(data)):
        mask = TokenMask(["ab/cd+ef/gh=="])
        assert mask.feed(data[:place]) + mask.feed(data[place:]) + mask.end() == masked


def test_only_what_may_be_the_beginning_of_a_token_waits() -> None:
    mask = TokenMask([TOKEN])
    assert mask.feed(b"data: 1\n\n") == b"data: 1\n\n"
    assert mask.feed(b"data: pha_abc") == b"data: "
    assert mask.feed(b"!\n\n") == b"pha_abc!\n\n"
    assert mask.feed(b"pha_abcpha_abcpha_ab") == b"pha_abc"
    assert mask.feed(b"d") == b"*" * len(TOKEN)
    assert mask.end() == b""


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("seed", range(10))
def test_events_are_found_however_they_are_cut_and_no_byte_is_lost(seed: int, ending: bytes) -> None:
    dice = random.Random(seed)
    whole = [
        b": comment",
        b"id: 1" + ending + b"data:",
        b"event: message" + ending + b'data: {"a":' + ending + b"data: 1}",
        b"data: " + b"x" * 300,
        b"retry: 5",
    ]
    data = b"".join(event + ending * 2 for event in dice.choices(whole, k=12)) + b"data: half"
    splitter = EventSplitter()
    found = [event for piece in cut(data, dice) for event in splitter.feed(piece)]
    assert b"".join(found) + splitter.rest == data
    wanted = [each for each in data.split(ending * 2)[:-1] if each]
    assert [event.strip(b"\r\n") for event in found if event.strip(b"\r\n")] == wanted


def test_an_event_keeps_its_other_fields_when_its_data_changes() -> None:
    event = b'id: 7\r\nevent: message\r\ndata: {"a":\r\ndata: 1}\r\nretry: 5\r\n\r\n'
    assert data_of(event) == b'{"a":\n1}'
    assert with_data(event, b'{"b":2}') == b'id: 7\nevent: message\nretry: 5\ndata: {"b":2}\n\n'
    assert last_id(event) == b"7"
    assert last_id(b"id\ndata: x\n\n") == b""
    assert last_id(b"data: x\n\n") is None
    assert json.loads(data_of(message_event(b'{\n "a": "b\\n"\n}'))) == {"a": "b\n"}


def test_a_message_is_read_as_what_it_is() -> None:
    call = read_post(b'{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"x","arguments":{"n":1.10}}}')
    assert call.request is not None
    assert (call.request.id, call.request.tool, call.method) == ("a", "x", "tools/call")
    assert str(call.exact["params"]["arguments"]["n"]) == "1.10"
    note = read_post(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
    assert (note.request, note.messages[0].kind) == (None, MessageKind.NOTIFICATION)
    answer = read_post(b'{"jsonrpc":"2.0","id":1,"result":{}}')
    assert (answer.method, answer.messages[0].kind) == ("", MessageKind.RESPONSE)
    batch = read_post(b'[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"x"}]')
    assert (batch.request, batch.method, len(batch.messages)) == (None, "", 2)


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"params":{"name":"b"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","n\\u0061me":"b"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"p":1,"p":2}}}',
    ],
)
def test_what_two_parsers_may_read_differently_is_refused(body: bytes) -> None:
    with pytest.raises(RequestRefused) as refused:
        read_post(body)
    assert refused.value.refusal.kind is RefusalKind.INVALID
    assert "twice" in refused.value.refusal.message


def test_no_two_kinds_of_refusal_have_one_code() -> None:
    assert set(TABLE) == set(RefusalKind)
    assert len({each.code for each in TABLE.values()}) == len(TABLE)
    found = json.loads(Refusal(RefusalKind.SIGN_IN_NEEDED, "S needs it.", "Sign in.", "s").to_json("id"))
    assert found == {
        "jsonrpc": "2.0",
        "id": "id",
        "error": {
            "code": -32010,
            "message": "S needs it.",
            "data": {"type": "burrow/sign_in_needed", "server": "s", "action": "Sign in."},
        },
    }


def test_a_configured_header_takes_the_place_of_the_clients_and_the_token_that_of_a_configured_one() -> None:
    given = (
        (b"user-agent", b"agent"),
        (b"mcp-session-id", b"theirs"),
        (b"x-key", b"1"),
        (b"authorization", b"Bearer x"),
    )
    besides = {"User-Agent": "burrow", "X-Key": "2", "Authorization": "Basic y", "X-Name": "é…"}
    headers = inward(given, besides, bearer="Bearer t", session="upstream")
    assert dict(headers) == {
        b"user-agent": b"burrow",
        b"x-key": b"2",
        b"x-name": "é…".encode(),
        b"accept-encoding": b"identity",
        b"mcp-session-id": b"upstream",
        b"authorization": b"Bearer t",
    }
    assert len(headers) == len(dict(headers))
    assert (b"authorization", b"Basic y") in inward(given, besides)


def test_a_stream_says_that_nobody_may_keep_or_change_it() -> None:
    given = ((b"content-type", b"text/event-stream"), (b"cache-control", b"max-age=60"), (b"mcp-session-id", b"u"))
    assert outward(given, session="ours", stream=True) == [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-cache, no-transform"),
        (b"x-accel-buffering", b"no"),
        (b"mcp-session-id", b"ours"),
    ]


def test_what_a_client_or_a_server_calls_itself_may_be_anything() -> None:
    assert agent_of(b'{"params":{"clientInfo":{"name":"a","version":"1"}}}') == "a 1"
    for odd in (b"", b"[]", b"[" * 100_000, b'{"params":{"clientInfo":{"name":1}}}', b'{"params":null}'):
        assert agent_of(odd) == ""
        assert protocol_of(odd) is None
    assert protocol_of(b'{"result":{"protocolVersion":"2025-11-25"}}') == "2025-11-25"
    assert protocol_of(b'{"result":{"protocolVersion":"a\\r\\nb"}}') is None
