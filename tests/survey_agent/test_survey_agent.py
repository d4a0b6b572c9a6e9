"""The survey agent as a process: what it does in a repository, in both revisions of the protocol."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from acp import schema

from app.acp.messages import PeerClosed, RpcError
from tests.survey_agent.client import choose, git, make_repository, survey
from tests.until import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import BaseModel


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path)


async def test_a_prompt_leaves_a_report_on_a_branch_after_asking_once(repository: Path) -> None:
    async with survey(repository) as client:
        done = await client.prompt("Survey this repository")
    assert done["stopReason"] == "end_turn"
    assert [asked["toolCall"]["kind"] for asked in client.asked] == ["edit"]
    assert {card["kind"] for card in client.cards().values()} == {"search", "read", "execute", "edit"}
    assert {card["status"] for card in client.cards().values()} == {"completed"}
    assert [entry["status"] for entry in client.told("plan")[-1]["entries"]] == ["completed"] * 6
    assert client.told("usage_update")[-1]["used"] == done["usage"]["totalTokens"] > 0
    report = (repository / "SURVEY.md").read_text("utf-8")
    for found in ("`README.md:3` | missing | docs/missing.md", "`sample/cart.py:1` | TODO | round prices", "no test"):
        assert found in report
    branch = git(repository, "rev-parse", "--abbrev-ref", "HEAD")
    assert branch.startswith("survey/survey-this-repository-")
    assert branch in client.text()
    assert git(repository, "log", "--format=%an", "main") == "A"
    assert git(repository, "log", "-1", "--format=%s (%an)") == "Survey: Survey this repository (A)"


async def test_what_it_says_is_what_the_protocol_has(repository: Path) -> None:
    async with survey(repository) as client:
        client.answer = lambda asked: choose("option_0" if "_meta" in asked["toolCall"] else "default")
        await client.request("session/set_mode", modeId="plan")
        await client.request("session/set_config_option", configId="effort", value="low")
        await client.prompt("Survey and ask me")
    for method, kind in (
        ("initialize", schema.InitializeResponse),
        ("session/new", schema.NewSessionResponse),
        ("session/set_config_option", schema.SetSessionConfigOptionResponse),
        ("session/prompt", schema.PromptResponse),
    ):
        exact(kind, client.answers[method])
    for update in client.updates:
        exact(schema.SessionNotification, {"sessionId": client.session, "update": update})
    for asked in client.asked:
        exact(schema.RequestPermissionRequest, asked)
    assert len(client.asked) == 3


def exact(kind: type[BaseModel], value: dict[str, Any]) -> None:
    """The value has everything that the schema wants, and nothing in it is unknown to the schema."""
    read = kind.model_validate(value).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert read == value


async def test_a_refusal_leaves_nothing_and_one_with_a_reason_is_taken_up(repository: Path) -> None:
    async with survey(repository, files=True) as client:
        client.answer = lambda _asked: choose("reject")
        assert (await client.prompt("Survey"))["stopReason"] == "cancelled"
        client.answer = lambda _asked: choose("reject", customInput="put it elsewhere")
        assert (await client.prompt("Survey"))["stopReason"] == "end_turn"
        assert "put it elsewhere" in client.text()
        assert client.written == []
        assert git(repository, "log", "--format=%s") == "Start"
        client.answer = lambda _asked: choose("allow_always")
        await client.prompt("Survey")
        asked = len(client.asked)
        await client.prompt("Survey again")
        assert len(client.asked) == asked
    # The client writes for the agent, and what it wrote is what was committed.
    assert client.written[-1]["path"] == str(repository / "SURVEY.md")
    assert git(repository, "show", "HEAD:SURVEY.md") == client.written[-1]["content"].strip()


async def test_in_plan_mode_it_asks_for_approval_and_takes_the_mode_that_was_chosen(repository: Path) -> None:
    async with survey(repository) as client:
        await client.request("session/set_mode", modeId="plan")
        client.answer = lambda _asked: choose("reject_with_feedback", customInput="read more")
        await client.prompt("Survey")
        assert not (repository / "SURVEY.md").exists()
        client.answer = lambda _asked: choose("acceptEdits")
        await client.prompt("Survey")
    assert [option["optionId"] for option in client.asked[-1]["options"]][-1] == "reject_with_feedback"
    assert client.told("current_mode_update")[-1]["currentModeId"] == "acceptEdits"
    assert (repository / "SURVEY.md").exists()


async def test_questions_are_answered_by_their_text(repository: Path) -> None:
    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        question = asked["toolCall"].get("_meta", {}).get("questions")
        return choose("other", answers={question[0]["question"]: "Speed"}) if question else choose("allow")

    async with survey(repository) as client:
        client.answer = answer
        await client.prompt("Survey this and ask me twice")
        assert [asked["toolCall"]["_meta"]["codeToolKind"] for asked in client.asked[:2]] == ["question"] * 2
        assert (repository / "SURVEY.md").read_text("utf-8").count("**Speed**") == 2
        client.answer = lambda _asked: choose("reject_with_feedback")
        assert (await client.prompt("Ask me"))["stopReason"] == "cancelled"


async def test_links_are_neither_read_nor_written(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.py"
    outside.write_text("# TODO: never shown\n", "utf-8")
    for name in ("linked.py", "SURVEY.md"):
        (repository / name).symlink_to(outside)
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "Link")
    async with survey(repository) as client:
        await client.prompt("Survey")
    assert "never shown" not in str(client.updates)
    assert "SURVEY.md is a link" in client.text()
    assert outside.read_text("utf-8") == "# TODO: never shown\n"


async def test_model_and_effort_decide_how_much_it_reads(repository: Path) -> None:
    for number in range(6):
        (repository / f"extra{number}.py").write_text("pass\n", "utf-8")
        git(repository, "add", ".")
        git(repository, "commit", "--quiet", "-m", f"Add {number}")
    async with survey(repository, "--adapter", "codex", "--model", "survey-codex-mini") as client:
        await client.prompt("Survey, only read")
        assert sum(title.startswith("Read ") for title in client.titles()) == 3
        changed = await client.request("session/set_config_option", configId="model", value="survey-codex")
        options = {option["id"]: option["currentValue"] for option in changed["configOptions"]}
        assert options == {"mode": "auto", "model": "survey-codex", "effort": "medium"}
        await client.prompt("Survey, only read")
        assert "git log -10" in client.titles()
        with pytest.raises(RpcError, match="ultracode"):
            await client.request("session/set_config_option", configId="effort", value="ultracode")
    assert client.asked == []


async def test_a_turn_that_is_cancelled_before_it_has_begun_is_cancelled_and_no_error(repository: Path) -> None:
    async with survey(repository) as client:
        asking = asyncio.create_task(client.prompt("Survey"))
        await asyncio.sleep(0)
        await client.process.peer.notify("session/cancel", {"sessionId": client.session})
        assert (await asking)["stopReason"] == "cancelled"


async def test_what_was_used_are_sums_over_the_session(repository: Path) -> None:
    async with survey(repository) as client:
        first = (await client.prompt("Say hello"))["usage"]
        second = (await client.prompt("Say hello"))["usage"]
    assert all(second[name] > first[name] > 0 for name in ("inputTokens", "outputTokens", "totalTokens"))
    assert second["totalTokens"] == second["inputTokens"] + second["outputTokens"]


async def test_cancelling_ends_the_turn_at_once_and_the_next_prompt_works(repository: Path) -> None:
    async with survey(repository) as client:
        client.answer = lambda _asked: None
        asking = asyncio.create_task(client.prompt("Survey"))
        await until(lambda: client.asked)
        assert client.process is not None
        await client.process.peer.notify("session/cancel", {"sessionId": client.session})
        assert (await asking)["stopReason"] == "cancelled"
        assert list(client.cards().values())[-1]["status"] == "failed"
        client.answer = lambda _asked: choose("allow")
        assert (await client.prompt("Survey"))["stopReason"] == "end_turn"


async def test_a_prompt_during_a_turn_steers_it(repository: Path) -> None:
    async with survey(repository) as client:
        client.answer = lambda _asked: None
        first = asyncio.create_task(client.prompt("Survey and ask me"))
        await until(lambda: client.asked)
        second = asyncio.create_task(client.prompt("Mind the tests"))
        await asyncio.sleep(0)
        client.answer = lambda _asked: choose("allow", answers={"What matters most to you?": "Tests"})
        client.answering.set()
        assert [(await each)["stopReason"] for each in (first, second)] == ["end_turn", "end_turn"]
    assert "Noted: Mind the tests" in client.text()
    assert "- Mind the tests" in (repository / "SURVEY.md").read_text("utf-8")


async def test_a_later_process_goes_on_with_the_session(repository: Path) -> None:
    async with survey(repository) as client:
        await client.prompt("Survey")
        session, said = client.session, client.text()
    (repository / "new.py").write_text("pass\n", "utf-8")
    async with survey(repository, session=False) as client:
        with pytest.raises(RpcError, match="survey-0"):
            await client.request("session/load", sessionId="survey-0", cwd=str(repository), mcpServers=[])
        await client.request("session/load", sessionId=session, cwd=str(repository), mcpServers=[])
        client.session = session
        assert (client.text("user_message_chunk"), client.text()) == ("Survey", said)
        await client.prompt("What is new?")
    assert "not committed: ?? new.py" in (repository / "SURVEY.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("prompt", "expected"), [("fail on purpose", "on purpose"), ("crash on purpose", "closed"), ("", "")]
)
async def test_it_fails_as_it_is_asked(repository: Path, prompt: str, expected: str) -> None:
    async with survey(repository) as client:
        assert client.process is not None
        if not prompt:
            assert (await client.prompt("refuse on purpose"))["stopReason"] == "refusal"
            return
        with pytest.raises((RpcError, PeerClosed), match=expected):
            await client.prompt(prompt)
        if expected == "closed":
            assert "code 3" in await client.process.how_it_ended()
            assert "asked to crash" in client.process.stderr_tail[-1]
        else:
            assert (await client.prompt("only read"))["stopReason"] == "end_turn"


async def test_revision_2_has_states_in_place_of_an_answer(repository: Path) -> None:
    async with survey(repository, version=2) as client:
        client.answer = lambda asked: choose("allow") if asked["subject"]["toolCall"]["kind"] == "edit" else None
        assert await client.prompt("Survey") == {}
        await until(lambda: client.told("state_update")[-1:] and client.told("state_update")[-1]["state"] == "idle")
    states = [update["state"] for update in client.told("state_update")]
    assert states == ["running", "requires_action", "running", "idle"]
    assert client.told("state_update")[-1]["stopReason"] == "end_turn"
    assert client.told("user_message")[0]["content"] == [{"type": "text", "text": "Survey"}]
    assert client.told("tool_call") == []
    [edit] = [card for card in client.cards().values() if card["kind"] == "edit"]
    assert edit["content"][0]["changes"][0]["operation"] == "add"
    assert "+# Survey" in edit["content"][0]["patch"]["diff"]


async def test_it_calls_the_tools_that_only_read(repository: Path, tool_server: ToolServerScript) -> None:
    server = {"type": "http", "name": "lab", "url": tool_server.url, "headers": [{"name": "X-Key", "value": "k"}]}
    gone = {"type": "http", "name": "gone", "url": "http://127.0.0.1:9/mcp", "headers": []}
    async with survey(repository, servers=[server, gone]) as client:
        await client.prompt("Survey, only read")
    assert tool_server.called == ["look"]
    assert tool_server.keys == {"k"}
    [card] = [card for card in client.cards().values() if card["kind"] == "other"]
    assert (card["_meta"]["claudeCode"]["toolName"], card["rawOutput"]) == ("mcp__lab__look", "seen")
    assert "gone did not answer" in client.text()


class ToolServerScript(ThreadingHTTPServer):
    """An MCP server with one tool that reads, one that writes and one that needs an argument."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.called: list[str] = []
        self.keys: set[str] = set()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/mcp"


class _Handler(BaseHTTPRequestHandler):
    server: ToolServerScript

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.add(self.headers["X-Key"])
        reads = {"readOnlyHint": True}
        tools = [
            {"name": "look", "annotations": reads, "inputSchema": {}},
            {"name": "write", "inputSchema": {}},
            {"name": "find", "annotations": reads, "inputSchema": {"required": ["q"]}},
        ]
        results = {"initialize": {}, "tools/list": {"tools": tools}}
        if message["method"] == "tools/call":
            self.server.called.append(message["params"]["name"])
            results["tools/call"] = {"content": [{"type": "text", "text": "seen"}]}
        answer = {"jsonrpc": "2.0", "id": message.get("id"), "result": results.get(message["method"], {})}
        # Servers answer with an event stream as well.
        body = f"event: message\ndata: {json.dumps(answer)}\n\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def tool_server() -> Iterator[ToolServerScript]:
    with ToolServerScript() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
