"""A client of the survey agent: the real process, a repository, and what it was told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.acp.process import AgentProcess

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "README.md": "# Sample\n\nRun `make test`, read `docs/missing.md`.\n",
    "sample/cart.py": "# TODO: round prices\n\n\ndef total() -> int:\n    return 1\n",
    "tests/test_other.py": "def test_nothing() -> None:\n    assert True\n",
}
Answer = Callable[[dict[str, Any]], dict[str, Any] | None]


def choose(option: str, **meta: Any) -> dict[str, Any]:
    """The answer to a permission request."""
    return {"outcome": {"outcome": "selected", "optionId": option}, **({"_meta": meta} if meta else {})}


@dataclass
class Client:
    """Speaks to the agent. `updates` are the payloads of `session/update` in order, `asked` the permission requests.

    `answer` answers those; after None it is asked again once `answering` is set.
    """

    folder: Path
    version: int = 1
    answer: Answer = lambda _asked: choose("allow")
    updates: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    written: list[dict[str, Any]] = field(default_factory=list)
    process: AgentProcess | None = None
    session: str = ""
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The last answer to each method."""
    answering: asyncio.Event = field(default_factory=asyncio.Event)

    async def request(self, method: str, **params: Any) -> dict[str, Any]:
        assert self.process is not None
        session = {"sessionId": self.session} if self.session else {}
        answer = self.answers[method] = await self.process.peer.request(method, {**session, **params}, timeout=20)
        return answer

    async def prompt(self, text: str) -> dict[str, Any]:
        return await self.request("session/prompt", prompt=[{"type": "text", "text": text}])

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [update for update in self.updates if update["sessionUpdate"] == kind]

    def text(self, kind: str = "agent_message_chunk") -> str:
        return "".join(update["content"]["text"] for update in self.told(kind))

    def cards(self) -> dict[str, dict[str, Any]]:
        """Each tool call with what was last said of it."""
        found: dict[str, dict[str, Any]] = {}
        for update in self.updates:
            if update["sessionUpdate"].startswith("tool_call"):
                found.setdefault(update["toolCallId"], {}).update(update)
        return found

    def titles(self) -> list[str]:
        return [card["title"] for card in self.cards().values()]

    async def asked_of(self, method: str, params: dict[str, Any], _id: object) -> dict[str, Any]:
        if method == "fs/write_text_file":
            self.written.append(params)
            await asyncio.to_thread(Path(params["path"]).write_text, params["content"], "utf-8")
            return {}
        self.asked.append(params)
        given = self.answer(params)
        if given is None:
            await self.answering.wait()
            return self.answer(params) or {"outcome": {"outcome": "cancelled"}}
        return given

    def noted(self, _method: str, params: dict[str, Any]) -> None:
        self.updates.append(params["update"])


@contextlib.asynccontextmanager
async def survey(
    folder: Path, *arguments: str, version: int = 1, session: bool = True, files: bool = False, servers: Any = ()
) -> AsyncIterator[Client]:
    """The agent in `folder`, with a session unless told otherwise."""
    client = Client(folder, version)
    command = [sys.executable, "-m", "app", "survey-agent", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    client.process = await AgentProcess.start(
        command, folder, environment, on_request=client.asked_of, on_notification=client.noted
    )
    try:
        capabilities = {"fs": {"writeTextFile": files}}
        await client.request("initialize", protocolVersion=version, clientCapabilities=capabilities)
        if session:
            made = await client.request("session/new", cwd=str(folder), mcpServers=list(servers))
            client.session = made["sessionId"]
        yield client
    finally:
        await client.process.end()


def make_repository(folder: Path) -> Path:
    """A small repository with one commit."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "user.name", "A")
    git(folder, "config", "user.email", "a@b.c")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "Start")
    return folder


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()
