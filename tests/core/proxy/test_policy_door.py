"""What the door lets through: calls by their rule, the agent waiting while the user is asked, and lists."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from app.core.auth.http.target import CredentialAtStake, Target
from app.core.errors import NotFound, Offline, PolicyRefused, Rejected, SignInNeeded
from app.core.mcp.proxy.approvals import ApprovalQuestion
from app.core.mcp.proxy.messages import read_post
from app.core.mcp.proxy.parts import (
    LONGEST_LIST,
    Call,
    Decision,
    HttpUpstream,
    ProxyClient,
    Request,
    StdioUpstream,
    ToolRule,
    Way,
)
from app.core.mcp.proxy.policy import WAITING, DoorPolicy
from app.core.mcp.proxy.refusals import TABLE, RefusalKind, RequestRefused
from app.core.mcp.servers.local_policies import ASK, BLOCK
from tests.core.proxy.test_policy_approvals import Desk, desk
from tests.until import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from pathlib import Path

    from app.core.errors import BurrowError
    from app.core.mcp.proxy.parts import ProxyHost

BOTH = (b"accept", b"application/json, text/event-stream")


class Host:
    """The rules and questions of a desk, on one loop with the door."""

    def __init__(self, on: Desk) -> None:
        self._on = on
        self.allowed: list[str] = []
        self.elsewhere = False
        self.fails: BurrowError | None = None
        self.unknown: BurrowError | None = None

    def rule(self, client: ProxyClient, server_id: str, tool: str) -> ToolRule:
        return self._on.rules.rule(client, server_id, tool)

    def asks_elsewhere(self, server_id: str, tool: str) -> bool:
        return self.elsewhere

    def hides(self, client: ProxyClient, server_id: str) -> bool:
        return self._on.rules.hides(client, server_id)

    def knows_rules(self, server_id: str) -> bool:
        return self.unknown is None and self._on.rules.fresh(server_id)

    async def rules_known(self, server_id: str) -> None:
        if self.unknown is not None:
            raise self.unknown
        await self._on.rules.learn(server_id)

    async def ask(
        self, client: ProxyClient, server_id: str, tool: str, arguments: Mapping[str, Any], session: str
    ) -> Decision:
        return await self._on.approvals.ask(client, server_id, tool, arguments, session)

    async def sign_in_needed(self, upstream: HttpUpstream) -> str:
        return f"Sign in to {upstream.title} there."

    @asynccontextmanager
    async def allowed_once(self, server_id: str, tool: str) -> AsyncIterator[None]:
        if self.fails is not None:
            raise self.fails
        self.allowed.append(f"+{tool}")
        try:
            yield
        finally:
            self.allowed.append(f"-{tool}")


class Answer:
    """A responder that keeps what was written."""

    def __init__(self) -> None:
        self.started = False
        self.headers: dict[bytes, bytes] = {}
        self.parts: list[bytes] = []

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]], *, length: int | None = None) -> None:
        assert not self.started
        assert status == 200
        assert length is None
        self.started, self.headers = True, dict(headers)

    async def write(self, data: bytes) -> None:
        self.parts.append(data)

    def end(self) -> None:
        raise AssertionError("whoever answers ends the stream")

    @property
    def messages(self) -> list[Any]:
        return [json.loads(part.split(b"data: ")[1]) for part in self.parts if not part.startswith(b":")]


class Door:
    """The door of a desk, with the calls of one client."""

    def __init__(self, on: Desk) -> None:
        self.on, self.host = on, Host(on)
        self.policy = DoorPolicy(cast("ProxyHost", self.host), beat_seconds=0.01)
        self.upstream = StdioUpstream(on.server, "Echo server", ("echo",))

    def call(self, body: object, *headers: tuple[bytes, bytes], session: str = "s1") -> Call:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = Request("POST", "/mcp/x", "", (BOTH, *headers), raw)
        return Call(request, self.on.one, self.upstream, Way.MCP, read_post(raw), session)

    async def through(self, call: Call, answer: Answer | None = None) -> list[str]:
        """Go through the door; what was allowed within."""
        async with self.policy.admitted(call, answer or Answer()):
            return list(self.host.allowed)

    async def refusal(self, call: Call, answer: Answer | None = None) -> tuple[RefusalKind, str]:
        with pytest.raises(RequestRefused) as refused:
            await self.through(call, answer)
        found = refused.value.refusal
        # It can be told to a client, and says what to do.
        told = json.loads(found.to_json(1))["error"]
        assert told["code"] == TABLE[found.kind].code
        return found.kind, found.message


def calling(name: str = "echo", identity: object = 1, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "method": "tools/call", "params": {"name": name, **params}}


@asynccontextmanager
async def door(folder: Path) -> AsyncIterator[Door]:
    async with desk(folder) as on:
        yield Door(on)


async def answered(at: Door, decision: Decision) -> ApprovalQuestion:
    [question] = await at.on.questions()
    await at.on.approvals.answer(question, decision)
    return question


async def test_a_blocked_tool_is_refused_and_an_allowed_one_passes(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        await at.on.services.servers.set_policy(at.on.server, "echo", BLOCK)
        kind, words = await at.refusal(at.call(calling()))
        assert kind is RefusalKind.TOOL_BLOCKED
        assert words.startswith("The tool “echo” of Echo server is blocked.")
        assert await at.through(at.call(calling("count"))) == []
        assert not at.on.approvals.open


async def test_a_call_waits_for_the_user_and_passes_when_it_is_allowed(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        for decision, allowed in (
            (Decision.ONCE, ["+echo"]),
            (Decision.SESSION, ["+echo"]),
        ):
            at.host.allowed.clear()
            passing = asyncio.create_task(at.through(at.call(calling(arguments={"text": "hello"}))))
            question = await answered(at, decision)
            assert question.arguments == {"text": "hello"}
            assert await passing == allowed
            # It is allowed for as long as the call lasts.
            assert at.host.allowed == ["+echo", "-echo"]
        at.host.allowed.clear()
        assert await at.through(at.call(calling())) == ["+echo"]
        passing = asyncio.create_task(at.through(at.call(calling(), session="s2")))
        at.host.allowed.clear()
        await answered(at, Decision.ALWAYS)
        assert await passing == ["+echo"]
        at.host.allowed.clear()
        assert await at.through(at.call(calling(), session="s3")) == []


@pytest.mark.parametrize(
    ("decision", "kind", "words"),
    [
        (Decision.REFUSE, RefusalKind.NOT_APPROVED, "The user did not allow this call of the tool “echo”"),
        (Decision.BLOCK, RefusalKind.TOOL_BLOCKED, "is blocked"),
    ],
)
async def test_a_call_that_the_user_refuses_is_refused_in_words(
    tmp_path: Path, decision: Decision, kind: RefusalKind, words: str
) -> None:
    async with door(tmp_path) as at:
        refused = asyncio.create_task(at.refusal(at.call(calling())))
        await answered(at, decision)
        found, said = await refused
        assert found is kind
        assert words in said
        assert at.host.allowed == []


async def test_without_window_or_answer_the_client_is_told_what_to_do(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        at.on.approvals.attended = False
        kind, words = await at.refusal(at.call(calling()))
        assert (kind, "open Burrow" in words) == (RefusalKind.NOT_APPROVED, True)
        assert words[0].isupper()
        at.on.approvals.attended, at.on.approvals._wait_seconds = True, 0.01
        kind, words = await at.refusal(at.call(calling()))
        assert (kind, "in time" in words) == (RefusalKind.NOT_APPROVED, True)


async def test_an_agent_that_asked_for_progress_hears_that_its_call_waits(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        for token in ("t-1", 12345678901234567890):
            answer = Answer()
            passing = asyncio.create_task(at.through(at.call(calling(_meta={"progressToken": token})), answer))
            await until(lambda answer=answer: len(answer.parts) >= 3)
            await answered(at, Decision.ONCE)
            await passing
            assert answer.headers[b"content-type"] == b"text/event-stream"
            assert answer.headers[b"cache-control"] == b"no-cache, no-transform"
            assert answer.headers[b"x-accel-buffering"] == b"no"
            notes = [message["params"] for message in answer.messages]
            assert {note["progressToken"] for note in notes} == {token}
            assert {note["message"] for note in notes} == {WAITING}
            steps = [note["progress"] for note in notes]
            assert steps == sorted(set(steps))
            # The tool's own progress is still to come, and may only rise.
            assert steps[-1] < 0.01


async def test_any_other_agent_gets_comments_that_keep_its_connection_open(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        for meta in ({}, {"_meta": {}}, {"_meta": {"progressToken": True}}, {"_meta": {"progressToken": 1e400}}):
            answer = Answer()
            body = json.dumps(calling(**meta)).replace("Infinity", "1e400").encode()
            passing = asyncio.create_task(at.through(at.call(body), answer))
            await until(lambda answer=answer: len(answer.parts) >= 2)
            await answered(at, Decision.ONCE)
            await passing
            assert set(answer.parts) == {f": {WAITING}\n\n".encode()}


@pytest.mark.parametrize("accept", [b"application/json", b"*/*", b"application/json, text/event-stream;q=0", b""])
async def test_an_agent_that_takes_no_stream_just_waits(tmp_path: Path, accept: bytes) -> None:
    async with door(tmp_path) as at:
        answer, at.policy._beat_seconds = Answer(), 0.0
        call = at.call(calling())
        request = Request("POST", "/mcp/x", "", ((b"accept", accept),), call.request.body)
        passing = asyncio.create_task(
            at.through(Call(request, call.client, call.upstream, call.way, call.post), answer)
        )
        await at.on.questions()
        for _beat in range(20):
            await asyncio.sleep(0)
        assert not answer.started
        await answered(at, Decision.ONCE)
        assert await passing == ["+echo"]
        assert not answer.parts


async def test_an_agent_that_goes_withdraws_its_question(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        passing = asyncio.create_task(at.through(at.call(calling())))
        await at.on.questions()
        passing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await passing
        await until(lambda: not at.on.approvals.open)
        assert at.host.allowed == []


async def test_an_agent_that_cancels_its_call_withdraws_the_question_and_no_other(tmp_path: Path) -> None:
    def cancelling(identity: object) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": identity}}

    async with door(tmp_path) as at:
        refused = asyncio.create_task(at.refusal(at.call(calling(identity=1))))
        other = asyncio.create_task(at.through(at.call(calling(identity="1"))))
        await at.on.questions(2)
        assert not at.policy.cancelled(at.call(cancelling(2)))
        assert not at.policy.cancelled(at.call(cancelling(1), session="s2"))
        assert not at.policy.cancelled(at.call({"jsonrpc": "2.0", "method": "notifications/cancelled"}))
        assert at.policy.cancelled(at.call(cancelling(1)))
        kind, words = await refused
        assert (kind, "cancelled" in words) == (RefusalKind.NOT_APPROVED, True)
        await answered(at, Decision.ONCE)
        assert await other == ["+echo"]
        assert not at.policy.cancelled(at.call(cancelling(1)))


async def test_a_request_id_that_two_connections_use_at_once_cancels_neither(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        first = asyncio.create_task(at.through(at.call(calling(), session="")))
        second = asyncio.create_task(at.through(at.call(calling(), session="")))
        await at.on.questions(2)
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        assert not at.policy.cancelled(at.call(note, session=""))
        for question in at.on.approvals.open:
            await at.on.approvals.answer(question, Decision.ONCE)
        await asyncio.gather(first, second)


async def test_with_http_and_sse_the_address_names_the_session_and_nothing_is_written_to_the_post(
    tmp_path: Path,
) -> None:
    async with door(tmp_path) as at:
        answer, at.policy._beat_seconds = Answer(), 0.0
        body = json.dumps(calling()).encode()
        request = Request("POST", "/sse/x/messages", "session=a", (BOTH,), body)
        call = Call(request, at.on.one, at.upstream, Way.SSE_MESSAGES, read_post(body))
        passing = asyncio.create_task(at.through(call, answer))
        question = (await at.on.questions())[0]
        for _beat in range(20):
            await asyncio.sleep(0)
        assert not answer.started
        assert question.session == "session=a"
        await at.on.approvals.answer(question, Decision.ONCE)
        await passing


async def test_a_tool_that_is_blocked_while_the_call_waits_is_refused(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        refused = asyncio.create_task(at.refusal(at.call(calling())))
        await at.on.questions()
        await at.on.services.servers.set_policy(at.on.server, "echo", BLOCK)
        kind, _words = await refused
        assert kind is RefusalKind.TOOL_BLOCKED
        assert at.host.allowed == []


async def test_a_tool_that_is_blocked_as_the_user_says_yes_is_not_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with door(tmp_path) as at:

        async def ask(*_question: Any) -> Decision:
            await at.on.clients.set_rule(at.on.one.id, at.on.server, "echo", ToolRule.BLOCK)
            return Decision.ONCE

        monkeypatch.setattr(at.host, "ask", ask)
        kind, _words = await at.refusal(at.call(calling()))
        assert kind is RefusalKind.TOOL_BLOCKED
        assert at.host.allowed == []


async def test_a_tool_that_cannot_be_allowed_for_one_call_is_not_called(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        at.host.fails = Rejected("The team does not allow it.")
        refused = asyncio.create_task(at.refusal(at.call(calling())))
        await answered(at, Decision.ONCE)
        kind, words = await refused
        assert kind is RefusalKind.NOT_APPROVED
        assert "The team does not allow it." in words


async def test_a_call_that_a_client_may_make_is_allowed_in_the_store_that_asks_for_as_long_as_it_lasts(
    tmp_path: Path,
) -> None:
    async with door(tmp_path) as at:
        await at.on.clients.set_rule(at.on.one.id, at.on.server, "echo", ToolRule.ALLOW)
        assert await at.through(at.call(calling())) == []
        at.host.elsewhere = True
        assert await at.through(at.call(calling())) == ["+echo"]
        assert at.host.allowed == ["+echo", "-echo"]
        at.host.fails = Rejected("The team does not allow it.")
        assert (await at.refusal(at.call(calling())))[0] is RefusalKind.NOT_APPROVED
        at.host.fails = PolicyRefused("It is blocked by now.")
        assert (await at.refusal(at.call(calling())))[0] is RefusalKind.TOOL_BLOCKED
        assert not at.on.approvals.open


async def test_what_goes_wrong_within_the_call_is_not_mistaken_for_a_refusal(tmp_path: Path) -> None:
    async with door(tmp_path) as at:

        async def fail() -> None:
            async with at.policy.admitted(at.call(calling()), Answer()):
                raise NotFound("The server said so.")

        failing = asyncio.create_task(fail())
        await answered(at, Decision.ONCE)
        with pytest.raises(NotFound):
            await failing
        assert at.host.allowed == ["+echo", "-echo"]


async def test_nothing_is_called_while_the_policies_are_not_known(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        at.host.unknown = Offline("The store cannot be reached.")
        kind, words = await at.refusal(at.call(calling("count")))
        assert kind is RefusalKind.SERVER_UNAVAILABLE
        assert "The store cannot be reached." in words
        with pytest.raises(RequestRefused):
            await at.policy.hides(at.on.one, at.upstream)


async def test_a_sign_in_that_is_over_is_told_as_that_and_to_the_user(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        at.host.unknown = SignInNeeded("Nobody is signed in.")
        kind, _words = await at.refusal(at.call(calling("count")))
        assert kind is RefusalKind.SIGN_IN_NEEDED
        call = at.call(calling("count"))
        target = Target(frozenset(), CredentialAtStake.CARRIED, name="Echo server")
        upstream = HttpUpstream(at.on.server, "Echo server", "http://127.0.0.1:9/mcp", target)
        kind, words = await at.refusal(Call(call.request, call.client, upstream, call.way, call.post))
        assert kind is RefusalKind.SIGN_IN_NEEDED
        assert words == "Echo server needs a sign-in in Burrow. Sign in to Echo server there."


async def test_a_long_list_is_looked_into_without_holding_up_others(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        await at.on.services.servers.set_policy(at.on.server, "echo", BLOCK)
        others = ",".join(f'{{"name":"t{number}"}}' for number in range(30_000))
        message = f'{{"result":{{"tools":[{{"name":"echo"}},{others}]}}}}'.encode()
        found = await at.policy.filtered(at.on.one, at.upstream, message)
        assert found == message.replace(b'{"name":"echo"},', b"")


async def test_a_batch_with_a_call_that_is_not_simply_allowed_is_refused_as_a_whole(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        for state in (ASK, BLOCK):
            await at.on.services.servers.set_policy(at.on.server, "echo", state)
            kind, _words = await at.refusal(at.call([calling("count"), calling("echo", 2)]))
            assert kind is RefusalKind.INVALID
            assert TABLE[kind].code == -32600
        assert await at.through(at.call([calling("count"), calling("count", 2)])) == []
        assert not at.on.approvals.open


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count","name":"echo"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count","n\\u0061me":"echo"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count","Name":"echo"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count","Arguments":{}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count"},"params":{"name":"echo"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count"},"PARAMS":{"name":"echo"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call","params":{"name":"echo"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","METHO\\u0044":"tools/call","params":{"name":"echo"}}',
        b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":["echo"]}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["echo"]}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}',
        b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}'.encode("utf-16"),
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ec\xffho"}}',
    ],
)
def test_a_body_that_another_parser_reads_as_another_call_is_refused(body: bytes) -> None:
    with pytest.raises(RequestRefused):
        read_post(body)


@pytest.mark.parametrize("name", ["Echo", "echo ", "\\u0065cho", "e\\u200bcho", "ＥＣＨＯ"])
async def test_no_way_of_writing_a_name_gets_around_a_block(tmp_path: Path, name: str) -> None:
    async with door(tmp_path) as at:
        await at.on.services.servers.set_policy(at.on.server, "echo", BLOCK)
        body = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}'.encode()
        kind, _words = await at.refusal(at.call(body))
        assert kind is RefusalKind.TOOL_BLOCKED


async def test_a_header_that_names_a_stricter_tool_counts(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        await at.on.services.servers.set_policy(at.on.server, "echo", BLOCK)
        encoded = b"=?base64?" + base64.b64encode(b"echo") + b"?="
        for value in (b"echo", encoded, b"Echo"):
            kind, _words = await at.refusal(at.call(calling("count"), (b"mcp-name", value)))
            assert kind is RefusalKind.TOOL_BLOCKED
        for value in (b"count", b"other", b"=?base64?!?=", b"\xff"):
            assert await at.through(at.call(calling("count"), (b"mcp-name", value))) == []


async def test_arguments_are_shown_with_every_digit_and_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        head = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":'
        passing = asyncio.create_task(at.through(at.call(head + b'{"n":12345678901234567890.5,"m":1.10}}}')))
        question = await answered(at, Decision.ONCE)
        assert {name: str(value) for name, value in question.arguments.items()} == {
            "n": "12345678901234567890.5",
            "m": "1.10",
        }
        await passing
        for arguments in (b"[1]", b'"text"', b"1e99999999999999999999"):
            kind, _words = await at.refusal(at.call(head + arguments + b"}}"))
            assert kind is RefusalKind.INVALID
        assert not at.on.approvals.open


async def test_lists_lose_what_is_blocked_for_this_client_and_only_that(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        message = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"echo"}, {"name":"count"}],"nextCursor":"c"}}'
        assert not await at.policy.hides(at.on.one, at.upstream)
        assert await at.policy.filtered(at.on.one, at.upstream, message) is message
        await at.on.clients.set_rule(at.on.one.id, at.on.server, "echo", ToolRule.BLOCK)
        assert await at.policy.hides(at.on.one, at.upstream)
        assert await at.policy.filtered(at.on.one, at.upstream, message) == message.replace(b'{"name":"echo"}, ', b"")
        assert await at.policy.filtered(at.on.two, at.upstream, message) is message


async def test_a_list_that_cannot_be_looked_into_is_not_passed_on(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        await at.on.services.servers.set_policy(at.on.server, "echo", BLOCK)
        for message in (b"tools" + b" " * LONGEST_LIST, b'{"result":{"tools":[{"name":"echo"},]}}'):
            with pytest.raises(RequestRefused) as refused:
                await at.policy.filtered(at.on.one, at.upstream, message)
            assert refused.value.refusal.kind is RefusalKind.SERVER_UNAVAILABLE
            assert "blocked tools" in refused.value.refusal.message
        # What certainly is no list is not held up, however long.
        message = b'{"result":{"content":"' + b"x" * LONGEST_LIST + b'"}}'
        assert await at.policy.filtered(at.on.one, at.upstream, message) is message
        await at.on.services.servers.set_policy(at.on.server, "echo", ASK)
        message = b"tools" * LONGEST_LIST
        assert await at.policy.filtered(at.on.one, at.upstream, message) is message
