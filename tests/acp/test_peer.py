"""The conversation with the other side: what it may get wrong, and what has to arrive all the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.acp import peer as peer_module
from app.acp.messages import PeerBroken, PeerClosed, RpcError, decode, encode
from tests.acp.pipes import other_side
from tests.until import until


async def test_a_request_is_answered_by_its_number_in_any_order() -> None:
    async with other_side() as other:
        first = asyncio.create_task(other.peer.request("first", {}))
        second = asyncio.create_task(other.peer.request("second", {"a": 1}))
        one, two = await other.hear(), await other.hear()
        assert (one["method"], two["params"]) == ("first", {"a": 1})
        other.send({"jsonrpc": "2.0", "id": two["id"], "result": {"of": "second"}})
        other.send({"jsonrpc": "2.0", "id": one["id"], "result": None})
        assert await second == {"of": "second"}
        assert await first == {}


@pytest.mark.parametrize("form", [str, float], ids=["text", "a number with a fraction"])
async def test_an_answer_counts_whose_number_comes_back_as(form: type) -> None:
    async with other_side() as other:
        asking = asyncio.create_task(other.peer.request("ask", {}))
        number = (await other.hear())["id"]
        other.send({"id": form(number) if form is float else str(number), "result": {"ok": True}})
        assert await asking == {"ok": True}


async def test_a_second_answer_changes_nothing_and_is_noted() -> None:
    async with other_side() as other:
        asking = asyncio.create_task(other.peer.request("ask", {}))
        number = (await other.hear())["id"]
        other.send({"id": number, "result": {"n": 1}})
        other.send({"id": number, "result": {"n": 2}})
        assert await asking == {"n": 1}
        await until(lambda: len(other.peer.notices) == 1)
        assert "no open request" in other.peer.notices[0]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ({"code": -32000, "message": "Sign in first", "data": {"a": 1}}, -32000, "Sign in first"),
        ({"code": "bad", "message": "what"}, -32603, "what"),
        ({"code": True}, -32603, '{"code": true}'),
        ("it failed", -32603, '"it failed"'),
    ],
)
async def test_an_error_answer_of_any_form_is_raised(error: object, code: int, message: str) -> None:
    async with other_side() as other:
        asking = asyncio.create_task(other.peer.request("ask", {}))
        other.send({"id": (await other.hear())["id"], "error": error})
        with pytest.raises(RpcError) as raised:
            await asking
        assert (raised.value.code, raised.value.message) == (code, message)


@pytest.mark.parametrize("request_id", [0, 7, "seven", "", 1.5], ids=repr)
async def test_a_request_is_answered_with_the_id_that_it_had(request_id: object) -> None:
    async with other_side(answer={"done": True}) as other:
        other.send({"jsonrpc": "2.0", "id": request_id, "method": "do", "params": {"x": 1}})
        assert await other.hear() == {"jsonrpc": "2.0", "id": request_id, "result": {"done": True}}
        assert other.asked == [("do", {"x": 1}, request_id)]


async def test_lines_that_are_no_messages_are_noted_and_the_conversation_goes_on() -> None:
    noticed: list[str] = []
    async with other_side(answer={}, on_notice=noticed.append) as other:
        other.send_bytes(b'starting\xff...\n\n[1, 2]\n42\nNaN\n{"id": 1}\n{"method": 5}\n' + b"[" * 30_000 + b"\n")
        other.send({"id": {"a": 1}, "method": "do"})
        other.send({"method": "tell", "params": [1]})
        other.send_bytes(("x" * 5_000 + "\n").encode())
        other.send({"id": 1, "method": "do"})
        assert (await other.hear())["id"] == 1
    assert noticed[0] == "starting\ufffd..."
    assert len(noticed) == 11
    assert max(map(len, noticed)) == peer_module.NOTICE_CHARACTERS


async def test_only_the_latest_notices_are_kept() -> None:
    async with other_side(answer={}) as other:
        other.send_bytes(b"".join(b"%d\n" % each for each in range(1_000)))
        other.send({"id": 1, "method": "do"})
        await other.hear()
        assert list(other.peer.notices) == [str(each) for each in range(900, 1_000)]


@pytest.mark.parametrize(
    ("call", "code"),
    [({"method": 5}, -32600), ({"method": "do", "params": [1]}, -32602), ({"method": "do", "params": "x"}, -32602)],
)
async def test_a_request_of_the_wrong_form_is_answered_with_an_error(call: dict[str, object], code: int) -> None:
    async with other_side(answer={}) as other:
        other.send({"id": 3, **call})
        answered = await other.hear()
        assert (answered["id"], answered["error"]["code"]) == (3, code)
        assert other.asked == []


@pytest.mark.parametrize("late", [False, True], ids=["at once", "when awaited"])
async def test_what_a_handler_raises_is_the_answer(late: bool, caplog: pytest.LogCaptureFixture) -> None:
    def answer(method: str, _params: object, _id: object) -> Any:
        failure = RpcError(-32002, "Not found", {"uri": "x"}) if method == "typed" else KeyError("secret")

        async def later() -> None:
            raise failure

        if late:
            return later()
        raise failure

    async with other_side(answer=answer) as other:
        other.send({"id": 1, "method": "typed"})
        assert (await other.hear())["error"] == {"code": -32002, "message": "Not found", "data": {"uri": "x"}}
        other.send({"id": 2, "method": "bug"})
        assert (await other.hear())["error"] == {"code": -32603, "message": "Internal error"}
    assert "bug failed" in caplog.text


async def test_a_result_that_json_cannot_say_is_answered_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async with other_side(answer={"x": float("nan")}) as other:
        other.send({"id": 1, "method": "do"})
        assert (await other.hear())["error"]["code"] == -32603
    assert "do failed" in caplog.text


async def test_a_handler_that_waits_holds_up_nothing() -> None:
    may_end = asyncio.Event()

    async def answer(method: str, _params: object, _id: object) -> dict[str, object]:
        if method == "ask the person":
            await may_end.wait()
        return {"of": method}

    async with other_side(answer=answer) as other:
        other.send({"id": 1, "method": "ask the person"})
        other.send({"id": 2, "method": "read"})
        assert (await other.hear())["result"] == {"of": "read"}
        may_end.set()
        assert (await other.hear())["result"] == {"of": "ask the person"}


@pytest.mark.parametrize("began", [False, True], ids=["in the same breath", "while its handler waits"])
async def test_a_request_that_the_other_side_gives_up_is_cancelled_and_answered_so(began: bool) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def answer(_method: str, _params: object, _id: object) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with other_side(answer=answer) as other:
        other.send({"id": "q", "method": "ask"})
        if began:
            await started.wait()
        other.send({"method": "$/cancel_request", "params": {"requestId": "q"}})
        answered = await other.hear()
        assert (answered["id"], answered["error"]["code"]) == ("q", -32800)
        assert stopped.is_set()
        other.send({"method": "$/cancel_request", "params": {"requestId": ["q"]}})
        other.send({"method": "hello"})
        await until(lambda: other.told == [("hello", {})])


async def test_a_request_that_takes_too_long_is_given_up_and_the_other_side_told() -> None:
    async with other_side() as other:
        with pytest.raises(TimeoutError):
            await other.peer.request("slow", {}, timeout=0.01)
        asked, told = await other.hear(), await other.hear()
        assert told == {"jsonrpc": "2.0", "method": "$/cancel_request", "params": {"requestId": asked["id"]}}


async def test_notifications_arrive_before_the_answer_that_followed_them_and_in_order() -> None:
    async with other_side() as other:
        asking = asyncio.create_task(other.peer.request("prompt", {}))
        number = (await other.hear())["id"]
        lines = [encode({"method": "update", "params": {"n": n}}) for n in range(500)]
        other.send_bytes(b"".join(lines) + encode({"id": number, "result": {}}))
        await asking
        assert [params["n"] for _, params in other.told] == list(range(500))


async def test_the_end_of_the_other_side_fails_what_waits_and_cancels_handlers() -> None:
    async def answer(_method: str, _params: object, _id: object) -> None:
        await asyncio.Event().wait()

    async with other_side(answer=answer) as other:
        other.send({"id": 1, "method": "ask"})
        await until(lambda: other.asked)
        asking = asyncio.create_task(other.peer.request("prompt", {}))
        await other.hear()
        other.close()
        with pytest.raises(PeerClosed, match="closed the connection"):
            await asking
        await other.running
        with pytest.raises(PeerClosed):
            await other.peer.notify("more", {})


async def test_the_end_inside_of_a_message_says_so() -> None:
    async with other_side() as other:
        other.send_bytes(b'{"id": 1, "resu')
        other.close()
        with pytest.raises(PeerBroken, match="inside of a message, after 15 bytes"):
            await other.running


@pytest.mark.parametrize("ended", [b"", b"\n"], ids=["without an end", "with its end"])
async def test_a_message_that_is_too_large_ends_the_conversation(ended: bytes) -> None:
    async with other_side(largest=10_000) as other:
        other.send_bytes(b"x" * 10_001 + ended)
        with pytest.raises(PeerBroken, match="more than 10,000 bytes"):
            await other.running


async def test_who_asks_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_module, "MOST_HANDLERS", 5)

    async def answer(_method: str, _params: object, _id: object) -> None:
        await asyncio.Event().wait()

    async with other_side(answer=answer) as other:
        for each in range(6):
            other.send({"id": each, "method": "ask"})
        with pytest.raises(PeerBroken, match="more than 5 things at once"):
            await other.running


async def test_a_surrogate_by_itself_travels() -> None:
    [message] = decode(encode({"method": "tell", "params": {"path": "caf\udce9"}}))
    assert getattr(message, "params") == {"path": "caf\udce9"}  # noqa: B009 - a union
