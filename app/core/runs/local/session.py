"""AcpSession: one session with an agent, in the words of either version of the protocol.

https://agentclientprotocol.com/protocol/session-setup, /prompt-turn, /protocol/v2/migration
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.acp.messages import PeerClosed, RpcError
from app.core.errors import ProtocolTrouble
from app.core.runs.local.facts import AgentFacts, agent_facts, client_part, config_options
from app.core.runs.local.version2 import Version2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from app.acp.peer import Peer

# Agents that are started with npx download themselves first, and some sign in meanwhile.
START_SECONDS = 120.0
OPEN_SECONDS = 120.0
OPTION_SECONDS = 30.0
CLOSE_SECONDS = 1.0
CANCELLED = "cancelled"


class AcpSession:
    """The session of one agent process. `id` is empty until it is open.

    The methods raise `RpcError` with the agent's error, `PeerClosed` when it is gone, TimeoutError, `ProtocolTrouble`.
    """

    def __init__(self, peer: Peer, folder: Path, command: tuple[str, ...] = ()) -> None:
        self.id = ""
        self.facts = AgentFacts(1)
        self.options: list[object] = []
        # Folders beside the working folder in which the agent may read, for agents that take them.
        self.more_folders: tuple[str, ...] = ()
        self._peer = peer
        self._folder = folder
        self._command = command
        self._version2 = Version2()
        # Version 2: resolved by the update that says that the agent is idle.
        self._idle: asyncio.Future[str] | None = None

    async def initialize(self, version: int, burrow: str) -> None:
        """Agree on a version, `version` at most."""
        answer = await self._peer.request("initialize", client_part(version, burrow), timeout=START_SECONDS)
        self.facts = agent_facts(answer, self._command)

    async def new(self, servers: Sequence[object]) -> None:
        """Open a session that knows nothing."""
        answer = await self._open("session/new", {}, servers)
        name = answer.get("sessionId")
        if not isinstance(name, str) or not name:
            raise ProtocolTrouble("The agent opened a session and did not say its id.")
        self.id = name

    async def load(self, session: str, servers: Sequence[object]) -> None:
        """Open an earlier session; the agent says again what was said in it."""
        self.id = session
        if self.facts.version == 1:
            await self._open("session/load", {"sessionId": session}, servers)
        else:
            await self._open("session/resume", {"sessionId": session, "replayFrom": {"type": "start"}}, servers)

    async def resume(self, session: str, servers: Sequence[object]) -> None:
        """Open an earlier session, without hearing again what was said in it."""
        self.id = session
        await self._open("session/resume", {"sessionId": session}, servers)

    async def authenticate(self, method: str) -> None:
        """Have the agent sign in by a method that it offers."""
        name = "authenticate" if self.facts.version == 1 else "auth/login"
        await self._peer.request(name, {"methodId": method}, timeout=None)

    async def prompt(self, blocks: Sequence[Mapping[str, object]]) -> str:
        """Send a prompt, and return the reason for which the turn ended. A turn has no bound in time."""
        params = {"sessionId": self.id, "prompt": list(blocks)}
        if self.facts.version == 1:
            reason = (await self._peer.request("session/prompt", params)).get("stopReason")
            return reason if isinstance(reason, str) else "end_turn"
        self._idle = asyncio.get_running_loop().create_future()
        try:
            await self._peer.request("session/prompt", params)
            return await self._idle
        finally:
            self._idle = None

    def ended(self) -> None:
        """The agent is gone: what waits for it waits no longer."""
        if self._idle is not None and not self._idle.done():
            self._idle.set_exception(PeerClosed("The agent ended."))

    async def steer(self, blocks: Sequence[Mapping[str, object]]) -> None:
        """Add a message to the turn that is under way (version 2)."""
        params = {"sessionId": self.id, "prompt": list(blocks)}
        await self._peer.request("session/prompt", params, timeout=OPTION_SECONDS)

    async def cancel(self) -> None:
        """Ask the agent to end the turn."""
        await self._peer.notify("session/cancel", {"sessionId": self.id})

    async def set_option(self, option: str, value: str | bool) -> None:
        """Change a setting of the session; `options` are those that the agent answers with."""
        params: dict[str, object] = {"sessionId": self.id, "configId": option, "value": value}
        if isinstance(value, bool):
            params["type"] = "boolean"
        elif self.facts.version > 1:
            params["type"] = "id"
        answer = await self._peer.request("session/set_config_option", params, timeout=OPTION_SECONDS)
        self.options = config_options(answer) or self.options

    async def set_mode(self, mode: str) -> None:
        """Change the mode of an agent that has modes and no settings (version 1)."""
        await self._peer.request("session/set_mode", {"sessionId": self.id, "modeId": mode}, timeout=OPTION_SECONDS)

    async def set_model(self, model: str) -> None:
        """Change the model of an agent that has models and no settings (version 1, of which it is no stable part)."""
        wanted = {"sessionId": self.id, "modelId": model}
        await self._peer.request("session/set_model", wanted, timeout=OPTION_SECONDS)

    async def close(self) -> None:
        """Tell an agent that wants to know that the session is over. What it answers changes nothing."""
        if self.id and self.facts.closes:
            try:
                await self._peer.request("session/close", {"sessionId": self.id}, timeout=CLOSE_SECONDS)
            except (RpcError, PeerClosed, TimeoutError):
                return

    def updates(self, params: Mapping[str, object]) -> Iterator[dict[str, object]]:
        """What a `session/update` says, as parameters in version 1's words."""
        update = params.get("update")
        if self.facts.version == 1 or not isinstance(update, dict):
            yield dict(params)
            return
        if update.get("sessionUpdate") == "state_update" and update.get("state") == "idle":
            reason = update.get("stopReason")
            if self._idle is not None and not self._idle.done():
                self._idle.set_result(reason if isinstance(reason, str) else "end_turn")
        for each in self._version2.updates(update):
            yield {**params, "update": each}

    async def _open(self, method: str, params: dict[str, object], servers: Sequence[object]) -> dict[str, object]:
        wanted = {**params, "cwd": str(self._folder), "mcpServers": list(servers)}
        if self.more_folders:
            wanted["additionalDirectories"] = list(self.more_folders)
        answer = await self._peer.request(method, wanted, timeout=OPEN_SECONDS)
        self.options = config_options(answer)
        return answer
