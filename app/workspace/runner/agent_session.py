"""The workspace's side of the Agent Client Protocol: one agent, one session (https://agentclientprotocol.com, v1)."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import app
from app.acp.messages import AUTH_REQUIRED, INVALID_PARAMS, METHOD_NOT_FOUND, PeerClosed, RpcError
from app.acp.process import AgentProcess
from app.processes.child import NotStarted
from app.workspace.runner.work_folder import RunFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from app.workspace.runner.journal import JsonObject

    OnUpdate = Callable[[JsonObject], None]
    OnQuestion = Callable[[JsonObject], Awaitable[JsonObject]]

SET_UP_SECONDS = 60.0
ROOT = Path(app.__file__).resolve().parent.parent
SURVEY_AGENT = "survey-agent"
# Variables of Burrow, those of a git around the workspace, which lead to another repository, and tokens of PostHog.
NOT_ITS_OWN = ("BURROW_", "GIT_")
TOKEN = re.compile(r"(?<![A-Za-z0-9])ph[arx]_[\w-]{8}")
# What the options are called that the contract names by what they are about.
CATEGORIES = {"mode": "mode", "model": "model", "effort": "thought_level", "thinking": "thought_level"}


def own_agent(adapter: str | None, model: str | None, effort: str | None) -> list[str]:
    """The command of the survey agent."""
    # Without -P Python would import what the repository happens to have at its root.
    start = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-P", "-m", "app"]
    options = (("--adapter", adapter), ("--model", model), ("--effort", effort))
    # In one word, so that no value is taken for an option.
    return [*start, SURVEY_AGENT, *(f"{name}={value}" for name, value in options if value)]


def agent_environment() -> dict[str, str]:
    """The environment of an agent: this process's without tokens and what points git elsewhere, and where Burrow is."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(NOT_ITS_OWN) and TOKEN.search(value) is None
    }
    if getattr(sys, "frozen", False):
        return kept
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))}


class RunAgent:
    """A running agent with a session. Whoever has one awaits `end`."""

    def __init__(self, process: AgentProcess) -> None:
        self.process = process
        self.id = ""
        self.name = process.name
        self.version = ""
        self.steering = False
        """Whether a prompt during a turn is taken up in that turn."""
        self.config: list[JsonObject] = []
        self._modes: list[str] = []
        self._http = False

    @classmethod
    async def start(
        cls, command: Sequence[str], folder: Path, on_update: OnUpdate, on_question: OnQuestion
    ) -> RunAgent:
        """Start the agent and introduce ourselves. Raises `RunFailed`."""

        async def request(method: str, params: JsonObject, _id: object) -> JsonObject:
            if method != "session/request_permission":
                raise RpcError(METHOD_NOT_FOUND, f"{method} is not offered.")
            return await on_question(params)

        def notification(method: str, params: JsonObject) -> None:
            update = params.get("update")
            if method == "session/update" and isinstance(update, dict):
                on_update(update)

        try:
            process = await AgentProcess.start(
                command, folder, agent_environment(), on_request=request, on_notification=notification
            )
        except NotStarted as failure:
            raise RunFailed(f"{failure} The option --agent of burrow workspace names it.") from None
        session = cls(process)
        try:
            await session._initialize()
        except BaseException:
            await process.end()
            raise
        return session

    async def open(self, folder: Path, servers: Sequence[JsonObject]) -> None:
        """Begin a session in `folder`. `servers` are those that are reached over HTTP. Raises `RunFailed`."""
        offered = list(servers) if self._http else []
        answer = await self._asked("session/new", {"cwd": str(folder), "mcpServers": offered})
        self.id = str(answer.get("sessionId") or "")
        if not self.id:
            raise RunFailed(f"{self.name} began no session.")
        self._take_config(answer)
        match answer.get("modes"):
            case {"availableModes": [*modes]}:
                self._modes = [str(mode.get("id")) for mode in modes if isinstance(mode, dict)]

    def offers(self, option: str, value: str) -> bool:
        """Whether an option has this value, which the agent would refuse otherwise."""
        found = self._option(option)
        if found is not None:
            return any(isinstance(each, dict) and each.get("value") == value for each in _choices(found))
        return option == "mode" and value in self._modes

    async def set_option(self, option: str, value: str) -> list[JsonObject]:
        """Set an option and return all of them. Raises `RpcError` and `PeerClosed`."""
        found = self._option(option)
        if found is None and option == "mode" and self._modes:
            await self.process.peer.request("session/set_mode", {"sessionId": self.id, "modeId": value})
            return self.config
        if found is None:
            known = ", ".join(str(each.get("id")) for each in self.config) or "none"
            raise RpcError(INVALID_PARAMS, f"{self.name} has no option {option}. It has: {known}.")
        params = {"sessionId": self.id, "configId": found.get("id"), "value": value}
        self._take_config(await self.process.peer.request("session/set_config_option", params))
        return self.config

    async def prompt(self, blocks: Sequence[Mapping[str, object]]) -> JsonObject:
        """A whole turn: its answer with the `stopReason`. Raises `RpcError` and `PeerClosed`."""
        return await self.process.peer.request("session/prompt", {"sessionId": self.id, "prompt": list(blocks)})

    async def cancel(self) -> None:
        """Have the turn end. Does nothing for an agent that is gone."""
        try:
            await self.process.peer.notify("session/cancel", {"sessionId": self.id})
        except PeerClosed:
            return

    async def how_it_ended(self) -> str:
        """What became of an agent that does not answer any more: how it ended, and what it said last."""
        ended = await self.process.how_it_ended()
        said = "\n".join(self.process.stderr_tail)
        return f"{ended} It said:\n{said}" if said else ended

    async def end(self) -> None:
        await self.process.end()

    async def _initialize(self) -> None:
        params: JsonObject = {
            "protocolVersion": 1,
            "clientCapabilities": {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False},
            "clientInfo": {"name": "burrow-workspace", "title": "Burrow workspace", "version": app.__version__},
        }
        answer = await self._asked("initialize", params)
        if answer.get("protocolVersion") != 1:
            spoken = answer.get("protocolVersion")
            raise RunFailed(f"{self.name} speaks revision {spoken} of the agents' protocol; the workspace speaks 1.")
        info, capabilities = answer.get("agentInfo"), answer.get("agentCapabilities")
        if isinstance(info, dict):
            self.name = str(info.get("title") or info.get("name") or self.name)
            self.version = str(info.get("version") or "")
        match capabilities:
            case {"mcpCapabilities": {"http": True}}:
                self._http = True
        match capabilities:
            case {"_meta": {"burrow": {"steering": True}}}:
                self.steering = True

    async def _asked(self, method: str, params: JsonObject) -> JsonObject:
        """Raises `RunFailed`."""
        try:
            return await self.process.peer.request(method, params, timeout=SET_UP_SECONDS)
        except RpcError as failure:
            words = f"{self.name} refused {method}: {failure.message}"
            if failure.code == AUTH_REQUIRED:
                words += " Start it once in a terminal and sign in there."
            raise RunFailed(words) from None
        except TimeoutError:
            raise RunFailed(f"{self.name} did not answer {method} within {SET_UP_SECONDS:g} seconds.") from None
        except PeerClosed:
            raise RunFailed(await self.how_it_ended()) from None

    def _option(self, option: str) -> JsonObject | None:
        """By its id, else by what it is about."""
        by_id = next((each for each in self.config if each.get("id") == option), None)
        category = CATEGORIES.get(option)
        return by_id or next((each for each in self.config if category and each.get("category") == category), None)

    def _take_config(self, answer: Mapping[str, object]) -> None:
        options = answer.get("configOptions")
        if isinstance(options, list):
            self.config = [each for each in options if isinstance(each, dict)]


def _choices(option: JsonObject) -> list[object]:
    """The values of an option, those of its groups included."""
    options = option.get("options")
    found: list[object] = []
    for each in options if isinstance(options, list) else []:
        inner = each.get("options") if isinstance(each, dict) else None
        found += inner if isinstance(inner, list) else [each]
    return found
