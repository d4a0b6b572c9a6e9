"""Agents whose values have other types than they should: they are refused in words, or what is wrong is left out."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.acp.messages import RpcError
from app.core.errors import ProtocolTrouble
from app.core.runs.local.facts import agent_facts, config_options, mode_of
from app.core.runs.local.folder import WorkingFolder
from app.core.runs.local.mode_names import option_of_mode
from app.core.runs.local.replay import Replay
from app.core.runs.local.requests import AgentRequests
from app.core.runs.local.run_log import RunLog
from app.core.runs.local.version2 import Version2
from app.core.runs.transcript import Transcript
from tests.core.runs.logs import entries, message, prompt, shown
from tests.core.runs.test_hostile_logs import ANYTHING, EVERY_KIND, changed, places

INITIALIZED = {
    "protocolVersion": 1,
    "agentInfo": {"name": "a", "title": "A", "version": "1"},
    "agentCapabilities": {
        "loadSession": True,
        "sessionCapabilities": {"resume": {}, "close": {}},
        "promptCapabilities": {"image": True, "embeddedContext": True},
        "mcpCapabilities": {"http": True},
    },
    "authMethods": [{"id": "x", "name": "X", "type": "terminal", "args": ["a"], "_meta": {"terminal-auth": {}}}],
}
OPENED = {
    "sessionId": "s",
    "configOptions": [{"id": "mode", "category": "mode", "currentValue": "plan", "options": [{"value": "plan"}]}],
    "modes": {"currentModeId": "plan", "availableModes": [{"id": "plan", "name": "Plan"}]},
}
REQUESTS = {
    "session/request_permission": {
        "options": [{"optionId": "yes", "name": "Yes", "kind": "allow_once"}],
        "toolCall": {"toolCallId": "c", "rawInput": {"command": ["ls"]}, "locations": [{"path": "a"}], "content": []},
        "subject": {"toolCall": {}},
    },
    "fs/read_text_file": {"path": "a.txt", "line": 1, "limit": 1},
    "fs/write_text_file": {"path": "a.txt", "content": "x"},
    "terminal/create": {"command": "true", "args": [], "cwd": ".", "env": [{"name": "A", "value": "b"}]},
    "terminal/output": {"terminalId": "terminal-1"},
    "terminal/wait_for_exit": {"terminalId": "terminal-1"},
    "terminal/kill": {"terminalId": "terminal-1"},
    "terminal/release": {"terminalId": "terminal-1"},
}
UPDATES = [each["params"] for each in EVERY_KIND if each.get("method") == "session/update"]
OFTEN = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def wrong(draw: st.DrawFn, value: Any) -> Any:
    """A value of JSON with a part of any type in any place."""
    return changed(value, draw(st.sampled_from(list(places(value)))), draw(ANYTHING))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> WorkingFolder:
    return WorkingFolder(tmp_path_factory.mktemp("work"))


@OFTEN
@given(wrong(INITIALIZED), wrong(OPENED))
def test_what_an_agent_says_of_itself_may_have_any_type(initialized: Any, opened: Any) -> None:
    try:
        facts = agent_facts(initialized, ("agent",))
    except ProtocolTrouble:
        version = initialized["protocolVersion"]
        assert type(version) is not int or version not in (1, 2)
    else:
        assert all(isinstance(each, str) for each in (facts.name, facts.agent_version))
        assert all(isinstance(word, str) for hint in facts.sign_in for word in (hint.id, hint.name, *hint.command))
    options = config_options(opened)
    assert isinstance(mode_of(options), str)
    option_of_mode(options, "plan")


@OFTEN
@given(st.lists(st.sampled_from(UPDATES).flatmap(wrong), min_size=1, max_size=6))
def test_an_update_may_have_any_type_and_the_log_goes_on(folder: WorkingFolder, updates: list[Any]) -> None:
    async def said() -> None:
        log, transcript, replay, draft = RunLog(folder.path / ".log" / "log"), Transcript(), Replay(), Version2()
        log.added.subscribe(transcript.apply)
        for update in updates:
            log.update(update)
            replay.add(update)
            for each in draft.updates(update["update"]) if isinstance(update.get("update"), dict) else ():
                log.update({"update": each})
        replay.missing(entries(prompt("a"), message("b")))
        log.notify("_posthog/console", message="after")
        await log.close()
        assert shown(transcript)[-1] == "info after"

    asyncio.run(said())


@OFTEN
@given(st.sampled_from(sorted(REQUESTS)).flatmap(lambda name: st.tuples(st.just(name), wrong(REQUESTS[name]))))
def test_a_request_may_have_any_type_and_is_answered_or_refused_in_words(
    folder: WorkingFolder, asked: tuple[str, Any]
) -> None:
    method, params = asked

    async def ask(version: int) -> None:
        log = RunLog(folder.path / ".log" / "log")
        requests = AgentRequests(log, folder, dict(os.environ), lambda: "acceptEdits")
        requests.version = version
        # No command is run: each is asked for, and the person has stopped the turn.
        requests.questions.closed = True
        with contextlib.suppress(RpcError):
            await requests.handle(method, params)
        await log.close()

    for version in (1, 2):
        asyncio.run(ask(version))
