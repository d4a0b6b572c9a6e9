"""A public agent, from npm, works on a task of this machine with a scripted model on loopback: no account is needed.

It asks before it writes, is answered, goes on, is stopped, and remembers the conversation after another start.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.core.busy import Busy
from app.core.posthog.types import Task
from app.core.runs.agent_environment import agent_environment
from app.core.runs.desk.local_conversation import LocalConversation
from app.core.runs.desk.local_desk import LocalDesk, LocalStart
from app.core.runs.items import Message, Permission, Prompt, ToolCall, TurnEnd
from app.core.runs.local.agents import LocalAgent
from app.core.runs.local.status import RunPhase
from app.core.runs.worktrees.git import git
from tests.core.conftest import Remembered
from tests.proof._model import MODEL, REMEMBERED, ScriptedModel, scripted_model
from tests.proof._peers import AGENTS, install
from tests.proof.conformance import say
from tests.until import until

TURN_SECONDS = 90.0


async def prove() -> int:
    """Returns the exit code."""
    peers = await asyncio.to_thread(install, AGENTS)
    program = peers.modules / "opencode-linux-x64" / "bin" / "opencode"
    folder = Path(tempfile.mkdtemp(prefix="burrow-agents-"))
    try:
        async with scripted_model() as model:
            return await _prove(folder, model, program)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def configured(folder: Path, model: ScriptedModel) -> dict[str, str]:
    """An environment with a home of its own, in which the agent has the scripted model and asks before it changes."""
    settings = {
        "provider": {
            "scripted": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Scripted",
                "options": {"baseURL": model.base, "apiKey": "none"},
                "models": {MODEL: {"name": "Script"}},
            }
        },
        "model": f"scripted/{MODEL}",
        "small_model": f"scripted/{MODEL}",
        "permission": {"edit": "ask", "bash": "ask"},
        "autoupdate": False,
        "share": "disabled",
    }
    home = folder / "home"
    (home / "config" / "opencode").mkdir(parents=True)
    (home / "config" / "opencode" / "opencode.json").write_text(json.dumps(settings))
    # What the agent would get from the network.
    offline = ("OPENCODE_DISABLE_MODELS_FETCH", "OPENCODE_DISABLE_AUTOUPDATE", "OPENCODE_DISABLE_LSP_DOWNLOAD")
    places = {name: str(home / word) for name, word in (("HOME", "."), ("XDG_CONFIG_HOME", "config"))}
    rest = {"XDG_DATA_HOME": str(home / "data"), "XDG_STATE_HOME": str(home / "state")}
    cache = {"XDG_CACHE_HOME": str(home / "cache"), "NO_PROXY": "127.0.0.1,localhost"}
    return {
        **agent_environment(),
        **places,
        **rest,
        **cache,
        **dict.fromkeys((*offline, "OPENCODE_DISABLE_DEFAULT_PLUGINS"), "1"),
    }


async def _prove(folder: Path, model: ScriptedModel, program: Path) -> int:
    environment = configured(folder, model)
    work = folder / "work"
    work.mkdir()
    await git(work, "init", "-q")
    agent = LocalAgent("opencode", "OpenCode", (str(program), "acp"))
    desk = LocalDesk(folder / "burrow", Remembered(), lambda: None, Busy(), environment=environment)
    task = Task(id="t1", slug="HED-1", title="Write", description="Please write report.txt")
    proof = _Proof(work)
    try:
        conversation = await desk.start(task, LocalStart(agent=agent, folder=str(work)))
        began = asyncio.get_running_loop().time()
        await conversation.start()
        proof.say(f"started in {asyncio.get_running_loop().time() - began:.1f} s", conversation.status.phase.value)
        await proof.until(conversation, lambda: bool(conversation.transcript.state.waiting), "it asks before it writes")
        asked = _items(conversation, Permission)[-1]
        assert isinstance(asked, Permission)
        proof.say("asked", f"{asked.title}: {[each.name for each in asked.options]}")
        proof.check(not (work / "report.txt").exists(), "nothing is written before the answer")
        await conversation.answer(asked, next(each.option_id for each in asked.options if each.kind == "allow_once"))
        await proof.turn(conversation, 1)
        proof.check((work / "report.txt").exists(), "the file is written after it")
        calls = [each for each in _items(conversation, ToolCall) if isinstance(each, ToolCall)]
        proof.say("tool calls", ", ".join(f"{each.title} ({each.kind}, {each.status})" for each in calls))
        await conversation.send("slow, please")
        await proof.until(conversation, lambda: conversation.status.phase is RunPhase.WORKING, "a follow-up begins")
        await until(lambda: "slow" in json.dumps(model.requests[-1]["messages"][-1]), TURN_SECONDS)
        await conversation.stop_turn()
        await proof.turn(conversation, 2)
        ends = [each.reason for each in _items(conversation, TurnEnd) if isinstance(each, TurnEnd)]
        proof.check(ends[-1] == "cancelled", "a turn that is stopped ends as cancelled")
        run = conversation.record.id
    finally:
        await desk.close()
    proof.check(not _running(program), "no process of the agent is left")
    again = LocalDesk(folder / "burrow", Remembered(), lambda: None, Busy(), environment=environment)
    try:
        await again.load()
        conversation = again.conversation(run)
        await conversation.send("What did I say first?")
        await proof.turn(conversation, 3)
        said = [each.text for each in _items(conversation, Message) if isinstance(each, Message)]
        proof.say("after another start it says", said[-1] if said else "nothing")
        proof.check(bool(said) and said[-1].startswith(f"{REMEMBERED}Please write report.txt"), "it remembers")
        prompts = [each.text for each in _items(conversation, Prompt) if isinstance(each, Prompt)]
        proof.check(len(prompts) == 3, "nothing is told twice by the agent's repetition")
    finally:
        await again.close()
    proof.say("requests to the model", str(len(model.requests)))
    return proof.code


class _Proof:
    """Says what was seen, and whether all of it was as it should be."""

    def __init__(self, work: Path) -> None:
        self.code = 0
        self._work = work

    def say(self, what: str, value: str) -> None:
        say(f"{what}: {value}")

    def check(self, holds: bool, what: str) -> None:
        self.say("ok" if holds else "FAILED", what)
        self.code = self.code if holds else 1

    async def until(self, conversation: LocalConversation, condition: Callable[[], bool], what: str) -> None:
        """Wait for what should happen; whatever else became of the run is said."""
        try:
            await until(
                lambda: condition() or conversation.status.phase in {RunPhase.FAILED, RunPhase.ENDED}, TURN_SECONDS
            )
        except TimeoutError:
            self.say("state", f"{conversation.status} {conversation.transcript.state}")
        self.check(condition(), what)
        if not condition():
            for each in range(len(conversation.transcript)):
                self.say("item", str(conversation.transcript.item(each))[:300])
            raise SystemExit(1)

    async def turn(self, conversation: LocalConversation, count: int) -> None:
        def over() -> bool:
            state = conversation.transcript.state
            return state.turn == count and not state.busy and not conversation.queued

        await self.until(conversation, over, f"turn {count} ends")


def _running(program: Path) -> list[str]:
    """The processes of the agent's program."""
    found = []
    for each in Path("/proc").glob("[0-9]*/exe"):
        with suppress(OSError):
            found += [each.parent.name] if each.resolve() == program.resolve() else []
    return found


def _items(conversation: LocalConversation, kind: type) -> list[object]:
    transcript = conversation.transcript
    return [each for each in map(transcript.item, range(len(transcript))) if isinstance(each, kind)]
