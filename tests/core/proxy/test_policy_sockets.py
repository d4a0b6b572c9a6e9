"""Policy over real sockets: an agent, the proxy of a process with its own thread, and a server."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.core.mcp.proxy.listeners import bind, close_all, number_of
from app.core.mcp.proxy.parts import Decision, ToolRule
from app.core.mcp.proxy.policy import WAITING, DoorPolicy
from app.core.mcp.proxy.service import PORT_SETTING
from app.core.mcp.proxy.tool_rules import AGAIN_SECONDS
from app.core.mcp.servers.definitions import HttpServer, StdioServer
from app.core.mcp.servers.local_policies import ALLOW, ASK, BLOCK
from tests.core._mcp_server import Reply, Scripted
from tests.core.test_mcp_workspace import named, on_workspace
from tests.core.test_services import services_in
from tests.until import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.core.mcp.proxy.approvals import ApprovalQuestion
    from app.core.services import Services

PIPES = Path(__file__).parents[1] / "_stdio_server.py"
BOTH = "application/json, text/event-stream"


@pytest.fixture(autouse=True)
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that waits hears of it every 20 ms."""
    monkeypatch.setattr(DoorPolicy.__init__, "__kwdefaults__", {"beat_seconds": 0.02})


@dataclass
class Agent:
    """A client with a key, and the process whose proxy it uses."""

    services: Services
    http: httpx.AsyncClient
    id: str

    def url(self, server: str) -> str:
        return self.services.proxy.status.address_of(server)

    async def post(self, server: str, message: Any, **headers: str) -> httpx.Response:
        content = message if isinstance(message, bytes) else json.dumps(message)
        return await self.http.post(self.url(server), content=content, headers=headers)

    async def call(self, server: str, tool: str, *, meta: Any = None, **arguments: Any) -> list[Any]:
        """Call a tool; the messages that the answer has, the last one being the answer itself."""
        answer = await self.post(server, calling(tool, arguments, meta))
        assert answer.status_code == 200, answer.text
        if answer.headers["content-type"].startswith("application/json"):
            return [answer.json()]
        return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]

    async def begin(self, server: str) -> None:
        """Open a session, for all that follows."""
        opening = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
        answer = await self.post(server, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": opening})
        self.http.headers["mcp-session-id"] = answer.headers["mcp-session-id"]
        await self.post(server, {"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def listed(self, server: str) -> list[str]:
        answer = await self.post(server, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        return [tool["name"] for tool in answer.json()["result"]["tools"]]

    async def waited(self, server: str, decision: Decision, *, tool: str = "echo", **arguments: Any) -> list[Any]:
        """Call a tool, and answer its question once the agent has heard that it waits; the messages of the answer."""
        body = json.dumps(calling(tool, arguments, {"progressToken": "p"}))
        async with self.http.stream("POST", self.url(server), content=body) as stream:
            assert stream.headers["content-type"] == "text/event-stream"
            lines = stream.aiter_lines()
            first = [await anext(lines), await anext(lines)]
            await self.answer(decision)
            rest = [line async for line in lines]
        return [json.loads(line[6:]) for line in (*first, *rest) if line.startswith("data: ")]

    async def question(self) -> ApprovalQuestion:
        await until(lambda: self.services.proxy.approvals.open)
        [question] = self.services.proxy.approvals.open
        return question

    async def answer(self, decision: Decision) -> None:
        await self.services.proxy.approvals.answer(await self.question(), decision)


def calling(tool: str, arguments: Any = None, meta: Any = None) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments or {}} | ({} if meta is None else {"_meta": meta})
    return {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}


@asynccontextmanager
async def agent_of(services: Services) -> AsyncIterator[Agent]:
    listeners = bind(0)
    await services.storage.settings.set(PORT_SETTING, number_of(listeners))
    close_all(listeners)
    proxy = services.proxy
    await proxy.start()
    await until(lambda: proxy.status.address)
    client, key = await proxy.clients.create("Agent")
    proxy.approvals.attended = True
    headers = {"authorization": f"Bearer {key}", "accept": BOTH, "content-type": "application/json"}
    async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=20) as http:
        yield Agent(services, http, client.id)


@asynccontextmanager
async def serving(folder: Path, server: Scripted | None = None) -> AsyncIterator[tuple[Agent, Scripted, str]]:
    async with AsyncExitStack() as stack:
        scripted = await stack.enter_async_context(server or Scripted())
        services = await stack.enter_async_context(services_in(folder))
        own = (await services.own_servers.add(HttpServer("", "Echo", scripted.url))).id
        agent = await stack.enter_async_context(agent_of(services))
        yield agent, scripted, own


async def test_a_blocked_tool_is_neither_listed_nor_called_whichever_way_the_list_comes(tmp_path: Path) -> None:
    async with serving(tmp_path) as (agent, server, own):
        assert await agent.listed(own) == ["echo", "count"]
        await agent.services.servers.set_policy(own, "echo", BLOCK)
        assert await agent.listed(own) == ["count"]
        message = (
            '{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"\\u0065cho"},{"name":"count"}],"nextCursor":"2"}}'
        )
        left = message.replace('{"name":"\\u0065cho"},', "")
        spread = "\r\n".join(f"data: {part}" for part in message.replace(",", ",\n").split("\n"))
        for reply in (
            Reply(body=message.encode()),
            Reply(body=message.encode(), content_type="text/plain"),
            Reply(body=message.encode(), status=202),
            Reply(stream=[f": hi\n\nid: 5\ndata: {message}\n\n".encode()]),
            Reply(stream=[f"event: message\r\n{spread}\r\n\r\n".encode()]),
        ):
            server.next["tools/list"].append(reply)
            answer = await agent.post(own, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
            text = answer.text.replace("\r\n", "\n")
            data = "".join(line[6:] for line in text.splitlines() if line.startswith("data: ")) or text
            assert data.replace("\n", "") == left
            assert ("id: 5" in text) is (reply.stream is not None and b"id: 5" in reply.stream[0])
        [refused] = await agent.call(own, "echo")
        assert refused["id"] == 7
        assert refused["error"]["code"] == -32011
        assert refused["error"]["data"] | {"action": ""} == {
            "type": "burrow/tool_blocked",
            "server": own,
            "tool": "echo",
            "action": "",
        }
        assert server.count("tools/call") == 0


async def test_a_list_that_cannot_be_read_is_refused_where_tools_are_hidden(tmp_path: Path) -> None:
    async with serving(tmp_path) as (agent, server, own):
        odd = '{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"echo"},]}}'
        utf16 = '{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"echo"}]}}'.encode("utf-16-le")
        for body in (odd.encode(), utf16):
            server.next["tools/list"].append(Reply(body=body))
            answer = await agent.post(own, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
            assert answer.content == body
        await agent.services.servers.set_policy(own, "echo", BLOCK)
        for reply in (Reply(body=odd.encode()), Reply(body=utf16), Reply(stream=[b"data: " + odd.encode() + b"\n\n"])):
            server.next["tools/list"].append(reply)
            answer = await agent.post(own, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
            assert "burrow/server_unavailable" in answer.text
            assert '"tools"' not in answer.text
            assert "blocked tools" in answer.text


async def test_a_list_beyond_what_is_looked_into_is_refused_where_tools_are_hidden(tmp_path: Path) -> None:
    async with serving(tmp_path) as (agent, server, own):
        long = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"echo","x":"' + b"x" * 17_000_000 + b'"}]}}'
        await agent.services.servers.set_policy(own, "echo", BLOCK)
        server.next["tools/list"].append(Reply(body=long))
        answer = await agent.post(own, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert answer.json()["error"]["data"]["type"] == "burrow/server_unavailable"
        await agent.services.servers.set_policy(own, "echo", ALLOW)
        server.next["tools/list"].append(Reply(body=long))
        answer = await agent.post(own, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert answer.content == long


async def test_an_agent_waits_for_the_user_and_then_gets_the_servers_answer(tmp_path: Path) -> None:
    async with serving(tmp_path) as (agent, server, own):
        await agent.services.servers.set_policy(own, "echo", ASK)
        waiting = asyncio.create_task(agent.waited(own, Decision.ONCE, text="hello"))
        question = await agent.question()
        assert (question.client.id, question.server_title, question.arguments) == (agent.id, "Echo", {"text": "hello"})
        assert server.count("tools/call") == 0
        *notes, answer = await waiting
        assert notes
        assert answer["id"] == 7
        assert json.loads(answer["result"]["content"][0]["text"])["arguments"] == {"text": "hello"}
        steps = [note["params"]["progress"] for note in notes]
        assert steps == sorted(set(steps))
        assert {note["params"]["message"] for note in notes} == {WAITING}
        assert server.count("tools/call") == 1
        # The next call asks again.
        again = asyncio.create_task(agent.call(own, "echo"))
        await agent.answer(Decision.REFUSE)
        [refused] = await again
        assert refused["error"]["data"]["type"] == "burrow/not_approved"
        assert server.count("tools/call") == 1


async def test_the_answer_of_a_server_that_streams_follows_what_kept_the_agent_waiting(tmp_path: Path) -> None:
    async with serving(tmp_path) as (agent, server, own):
        await agent.services.servers.set_policy(own, "echo", ASK)
        progress = {"method": "notifications/progress", "params": {"progress": 1}}
        for reply in (
            Reply(stream=[progress, {"result": {"content": []}}]),
            Reply(body=b'{\r\n"jsonrpc":"2.0",\n"id":%ID%,\n"result":{"content":[]}}'),
            Reply(status=500, body=b"broken", content_type="text/plain"),
        ):
            server.next["tools/call"].append(reply)
            *_notes, last = await agent.waited(own, Decision.ONCE)
            assert last["id"] == 7
            assert ("result" in last) is (reply.status == 200)


async def test_an_agent_that_goes_withdraws_its_question_and_nothing_is_called(tmp_path: Path) -> None:
    async with serving(tmp_path) as (agent, server, own):
        await agent.services.servers.set_policy(own, "echo", ASK)
        for _ in range(2):
            waiting = asyncio.create_task(agent.call(own, "echo"))
            await agent.question()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await until(lambda: not agent.services.proxy.approvals.open)
        assert server.count("tools/call") == 0


async def test_a_call_that_its_agent_cancels_is_over_and_its_server_hears_nothing_of_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as (agent, server, own):
        await agent.services.servers.set_policy(own, "echo", ASK)
        waiting = asyncio.create_task(agent.call(own, "echo"))
        await agent.question()
        params = {"requestId": 7, "reason": "changed my mind"}
        answer = await agent.post(own, {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
        assert answer.status_code == 202
        [*_notes, refused] = await waiting
        assert refused["error"]["data"]["decision"] == "cancelled"
        assert not agent.services.proxy.approvals.open
        assert set(server.methods()) <= {"tools/list"}


async def test_a_revoked_client_is_not_waited_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as (agent, server, own):
        await agent.services.servers.set_policy(own, "echo", ASK)
        waiting = asyncio.create_task(agent.call(own, "echo"))
        await agent.question()
        await agent.services.proxy.clients.revoke(agent.id)
        await until(lambda: not agent.services.proxy.approvals.open)
        await asyncio.gather(waiting, return_exceptions=True)
        assert server.count("tools/call") == 0


async def test_without_a_window_a_call_that_asks_is_refused_at_once_unless_the_user_said_otherwise(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (agent, server, own):
        agent.services.proxy.approvals.attended = False
        await agent.services.servers.set_policy(own, "echo", ASK)
        [refused] = await agent.call(own, "echo")
        assert refused["error"]["data"]["decision"] == "nobody"
        assert server.count("tools/call") == 0
        await agent.services.storage.settings.set("proxy_ask_headless", "allow")
        [answer] = await agent.call(own, "echo")
        assert "result" in answer


async def test_an_agent_that_listens_is_told_when_tools_are_hidden_or_shown(tmp_path: Path) -> None:
    class Listened(Scripted):
        """Keeps its GET streams open."""

        def _reply(self, seen: Any) -> Reply:
            return Reply(stream=[b": open\n\n", asyncio.Event()]) if seen.verb == "GET" else super()._reply(seen)

    async with serving(tmp_path, Listened(legacy=True, sessions=True)) as (agent, _server, own):
        await agent.begin(own)
        async with agent.http.stream("GET", agent.url(own)) as stream:
            lines = stream.aiter_lines()

            async def next_data() -> Any:
                async for line in lines:
                    if line.startswith("data: "):
                        return json.loads(line[6:])
                raise AssertionError("the stream ended")

            assert await anext(lines) == ": open"
            changed = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
            assert await agent.listed(own) == ["echo", "count"]
            await agent.services.servers.set_policy(own, "echo", BLOCK)
            assert await next_data() == changed
            await agent.services.proxy.clients.set_rule(agent.id, own, "count", ToolRule.BLOCK)
            assert await next_data() == changed
            await agent.services.servers.set_policy(own, "echo", ALLOW)
            assert await next_data() == changed


@pytest.mark.parametrize("legacy", [True, False], ids=["2025-11-25", "2026-07-28"])
async def test_the_official_client_waits_hears_of_it_and_understands_a_refusal(tmp_path: Path, legacy: bool) -> None:
    import httpx2
    import mcp
    from mcp.client.streamable_http import streamable_http_client

    async with serving(tmp_path, Scripted(legacy=legacy, sessions=legacy)) as (agent, server, own):
        server.always["tools/call"] = Reply(result={"content": [], "resultType": "complete"})
        await agent.services.servers.set_policy(own, "echo", ASK)
        key = {"authorization": agent.http.headers["authorization"]}
        async with (
            httpx2.AsyncClient(headers=key) as http,
            mcp.Client(streamable_http_client(agent.url(own), http_client=http)) as client,
        ):
            heard: list[tuple[float, str | None]] = []

            async def progress(step: float, _total: float | None, words: str | None) -> None:
                heard.append((step, words))

            calling = asyncio.create_task(client.call_tool("echo", {"text": "hello"}, progress_callback=progress))
            await until(lambda: len(heard) >= 3)
            await agent.answer(Decision.ONCE)
            assert not (await calling).is_error
            assert {words for _step, words in heard} == {WAITING}
            calling = asyncio.create_task(client.call_tool("echo", {}))
            await agent.answer(Decision.REFUSE)
            with pytest.raises(mcp.MCPError, match="The user did not allow this call"):
                await calling
            await agent.services.servers.set_policy(own, "echo", BLOCK)
            assert [tool.name for tool in (await client.list_tools()).tools] == ["count"]
        assert server.count("tools/call") == 1


@pytest.mark.parametrize("shared", [False, True])
async def test_the_tools_of_a_server_that_is_a_process_are_hidden_asked_about_and_refused_too(
    tmp_path: Path, shared: bool
) -> None:
    record = tmp_path / "record"
    command = (sys.executable, str(PIPES), str(record))
    async with services_in(tmp_path / "data") as services, agent_of(services) as agent:
        own = (await services.own_servers.add(StdioServer("", "Pipes", command, shared=shared))).id
        await agent.begin(own)
        assert await agent.listed(own) == ["run"]
        async with agent.http.stream("GET", agent.url(own)) as stream:
            lines = stream.aiter_lines()
            await services.servers.set_policy(own, "run", BLOCK)
            async with asyncio.timeout(5):
                told = [line async for line in _until_data(lines)]
            assert "notifications/tools/list_changed" in told[-1]
        assert await agent.listed(own) == []
        [refused] = await agent.call(own, "run")
        assert refused["error"]["data"]["type"] == "burrow/tool_blocked"
        await services.servers.set_policy(own, "run", ASK)
        assert await agent.listed(own) == ["run"]
        *notes, answer = await agent.waited(own, Decision.ONCE, tool="run", text="hello")
        assert {note["method"] for note in notes} == {"notifications/progress"}
        assert "hello" in json.dumps(answer["result"])
        waiting = asyncio.create_task(agent.call(own, "run"))
        await agent.answer(Decision.REFUSE)
        [*_notes, refused] = await waiting
        assert refused["error"]["data"]["decision"] == "refuse"
        assert record.read_text().count("ran ") == 1


async def _until_data(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """The lines up to the first one with data."""
    async for line in lines:
        yield line
        if line.startswith("data: "):
            return


async def test_a_tool_of_an_installed_server_that_asks_is_allowed_in_the_store_for_one_call(tmp_path: Path) -> None:
    async with on_workspace(tmp_path) as (services, backend, _lab), agent_of(services) as agent:
        postbox = await named(services.servers, "Postbox")
        await services.servers.tools(postbox.id)
        await agent.begin(postbox.id)

        async def policy_of(name: str) -> str:
            kept = await backend.store.tools(postbox.definition.installation.id)  # type: ignore[union-attr]
            return next(tool.approval_state for tool in kept if tool.tool_name == name)

        await services.servers.set_policy(postbox.id, "list_mailboxes", ASK)
        waiting = asyncio.create_task(agent.call(postbox.id, "list_mailboxes"))
        question = await agent.question()
        assert question.server_title == "Postbox"
        assert await policy_of("list_mailboxes") == ASK
        await agent.answer(Decision.ONCE)
        *_notes, answer = await waiting
        assert "result" in answer, answer
        assert not answer["result"].get("isError")

        async def asks_again() -> bool:
            return await policy_of("list_mailboxes") == ASK

        await until(asks_again)
        waiting = asyncio.create_task(agent.call(postbox.id, "list_mailboxes"))
        await agent.answer(Decision.ALWAYS)
        # Always is for this client: the store goes on to ask about the tool, and is told of each call.
        for call in (waiting, agent.call(postbox.id, "list_mailboxes")):
            *_notes, answer = await call
            assert "result" in answer, answer
            assert not answer["result"].get("isError")
            await until(asks_again)
        assert agent.services.proxy.clients.rule_of(agent.id, postbox.id, "list_mailboxes") is ToolRule.ALLOW
        await services.servers.set_policy(postbox.id, "list_mailboxes", BLOCK)
        [refused] = await agent.call(postbox.id, "list_mailboxes")
        assert refused["error"]["data"]["type"] == "burrow/tool_blocked"


@pytest.mark.parametrize("state", [ASK, BLOCK])
async def test_a_policy_that_was_set_elsewhere_counts_at_once(tmp_path: Path, state: str) -> None:
    async with on_workspace(tmp_path) as (services, backend, _lab), agent_of(services) as agent:
        postbox = await named(services.servers, "Postbox")
        await services.servers.tools(postbox.id)
        await agent.begin(postbox.id)
        await services.servers.set_policy(postbox.id, "list_mailboxes", ALLOW)
        *_notes, answer = await agent.call(postbox.id, "list_mailboxes")
        assert "result" in answer, answer
        installation = postbox.definition.installation.id  # type: ignore[union-attr]
        # As a window on another machine does it. What was read is long enough ago.
        await backend.store.set_policy(installation, "list_mailboxes", state)
        await asyncio.sleep(AGAIN_SECONDS)
        waiting = asyncio.create_task(agent.call(postbox.id, "list_mailboxes"))
        if state == BLOCK:
            [refused] = await waiting
            assert refused["error"]["data"]["type"] == "burrow/tool_blocked"
            listed = await agent.post(postbox.id, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
            assert '"tools"' in listed.text
            assert '"list_mailboxes"' not in listed.text
            return
        await agent.answer(Decision.ONCE)
        *_notes, answer = await waiting
        assert "result" in answer, answer

        async def asks_again() -> bool:
            kept = await backend.store.tools(installation)
            return next(tool for tool in kept if tool.tool_name == "list_mailboxes").approval_state == ASK

        await until(asks_again)


def asking_more(state: str | None, kind: str = "input_required") -> dict[str, Any]:
    question = {"method": "elicitation/create", "params": {"message": "Sure?", "requestedSchema": {}}}
    more = {} if state is None else {"requestState": state}
    return {"result": {"resultType": kind, "inputRequests": {"sure": question}, **more}}


@pytest.mark.parametrize("stream", [False, True])
async def test_one_approval_covers_the_rounds_of_one_call(tmp_path: Path, stream: bool) -> None:
    async with serving(tmp_path) as (agent, server, own):
        await agent.services.servers.set_policy(own, "echo", ASK)

        def answers(*states: str | None) -> None:
            for state in states:
                asked = asking_more(state)
                reply = Reply(stream=[{"method": "notifications/message", "params": {}}, asked], result=None)
                server.next["tools/call"].append(reply if stream else Reply(result=asked["result"]))

        async def round_of(text: Any, **params: Any) -> Any:
            message = calling("echo", {"text": text})
            message["params"] |= params
            answer = await agent.post(own, message)
            lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
            return json.loads(lines[-1] if lines else answer.text)

        said = {"sure": {"action": "accept", "content": {}}}
        answers("one", "two")
        first = asyncio.create_task(round_of(1.0))
        await agent.answer(Decision.ONCE)
        assert (await first)["result"]["requestState"] == "one"
        assert (await round_of(1.0, requestState="one", inputResponses=said))["result"]["requestState"] == "two"
        assert "content" in (await round_of(1.0, requestState="two", inputResponses=said))["result"]
        # What is no round of that call is a call of its own: the same again, another state, other arguments, no answer.
        answers("three")
        first = asyncio.create_task(round_of("a"))
        await agent.answer(Decision.ONCE)
        await first
        for text, params in (
            ("a", {"requestState": "two", "inputResponses": said}),
            ("a", {"requestState": "four", "inputResponses": said}),
            ("b", {"requestState": "three", "inputResponses": said}),
            ("a", {"inputResponses": said}),
            ("a", {}),
        ):
            other = asyncio.create_task(round_of(text, **params))
            await agent.answer(Decision.REFUSE)
            assert (await other)["error"]["data"]["type"] == "burrow/not_approved"
        assert "content" in (await round_of("a", requestState="three", inputResponses=said))["result"]
        # A server that keeps the state itself.
        answers(None)
        first = asyncio.create_task(round_of("c"))
        await agent.answer(Decision.ONCE)
        await first
        assert "content" in (await round_of("c", inputResponses=said))["result"]


async def test_a_tool_that_is_blocked_between_two_rounds_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as (agent, server, own):
        await agent.services.servers.set_policy(own, "echo", ASK)
        server.next["tools/call"].append(Reply(result=asking_more("one")["result"]))
        waiting = asyncio.create_task(agent.call(own, "echo"))
        await agent.answer(Decision.ONCE)
        await waiting
        await agent.services.servers.set_policy(own, "echo", BLOCK)
        message = calling("echo", {})
        message["params"] |= {"requestState": "one", "inputResponses": {}}
        answer = await agent.post(own, message)
        assert answer.json()["error"]["data"]["type"] == "burrow/tool_blocked"
