"""Agents that anybody can install, each with a home of its own in which it knows the scripted model only."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.core.runs.agent_environment import agent_environment
from tests.proof._dialects import ChatCompletions, Dialect, GenerateContent, Responses, ToolUse
from tests.proof._peers import Peers

CONTENT = "Made by a scripted model.\n"


@dataclass(frozen=True)
class PublicAgent:
    """`program` is what runs, for the look at what is left of it; `configure` returns what the environment needs.

    `by_minute`: it names the file of a session by the minute, and loading the session in the minute in which it began
    empties that file.
    """

    name: str
    package: str
    dialect: Dialect
    write: Callable[[str], ToolUse]
    run: Callable[[str], ToolUse]
    command: Callable[[Peers], tuple[str, ...]]
    program: Callable[[Peers], Path]
    configure: Callable[[Path, str], Mapping[str, str]]
    by_minute: bool = False

    def environment(self, home: Path, origin: str) -> dict[str, str]:
        """The environment of the agent, with the model at `origin`."""
        home.mkdir(parents=True)
        own = {"HOME": str(home), "NO_PROXY": "127.0.0.1,localhost"}
        return {**agent_environment(), **own, **self.configure(home, origin)}


def _opencode(home: Path, origin: str) -> Mapping[str, str]:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Scripted",
        "options": {"baseURL": f"{origin}/v1", "apiKey": "none"},
        "models": {"script": {"name": "Script"}},
    }
    settings = {
        "provider": {"scripted": provider},
        "model": "scripted/script",
        "small_model": "scripted/script",
        "permission": {"edit": "ask", "bash": "ask"},
        "autoupdate": False,
        "share": "disabled",
    }
    _write(home / "config" / "opencode" / "opencode.json", json.dumps(settings))
    folders = {f"XDG_{name.upper()}_HOME": str(home / name) for name in ("config", "data", "state", "cache")}
    # What it would get from the network.
    offline = ("MODELS_FETCH", "AUTOUPDATE", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")
    return {**folders, **{f"OPENCODE_DISABLE_{name}": "1" for name in offline}}


def _codex(home: Path, origin: str) -> Mapping[str, str]:
    # It knows the tools of its own models only, so the scripted one has the name of such a one.
    settings = f"""
model = "gpt-5.4"
model_provider = "scripted"
approval_policy = "on-request"
sandbox_mode = "read-only"

[model_providers.scripted]
name = "Scripted"
base_url = "{origin}/v1"
wire_api = "responses"
"""
    _write(home / "codex" / "config.toml", settings)
    return {"CODEX_HOME": str(home / "codex")}


def _gemini(home: Path, origin: str) -> Mapping[str, str]:
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "general": {"enableAutoUpdate": False},
        # With this it asks no other model which one is to answer.
        "model": {"name": "gemini-2.5-pro"},
    }
    _write(home / ".gemini" / "settings.json", json.dumps(settings))
    return {"GEMINI_API_KEY": "none", "GOOGLE_GEMINI_BASE_URL": origin}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)


def _patch(name: str) -> ToolUse:
    added = "".join(f"+{line}\n" for line in CONTENT.splitlines())
    return ToolUse("apply_patch", {}, f"*** Begin Patch\n*** Add File: {name}\n{added}*** End Patch\n")


def _opencode_program(peers: Peers) -> Path:
    return peers.modules / "opencode-linux-x64" / "bin" / "opencode"


def _codex_program(peers: Peers) -> Path:
    return peers.modules / "@zed-industries" / "codex-acp-linux-x64" / "bin" / "codex-acp"


PUBLIC_AGENTS = (
    PublicAgent(
        "OpenCode",
        "opencode-linux-x64",
        ChatCompletions(),
        write=lambda name: ToolUse("write", {"filePath": name, "content": CONTENT}),
        run=lambda command: ToolUse("bash", {"command": command, "description": "Run it"}),
        command=lambda peers: (str(_opencode_program(peers)), "acp"),
        program=_opencode_program,
        configure=_opencode,
    ),
    PublicAgent(
        "Codex",
        "@zed-industries/codex-acp",
        Responses(),
        write=_patch,
        # Outside its sandbox, for which it asks; the sandbox needs bubblewrap.
        run=lambda command: ToolUse(
            "exec_command",
            {"cmd": command, "sandbox_permissions": "require_escalated", "justification": "May it run?"},
        ),
        command=lambda peers: (str(_codex_program(peers)),),
        program=_codex_program,
        configure=_codex,
    ),
    PublicAgent(
        "Gemini CLI",
        "@google/gemini-cli",
        GenerateContent(),
        write=lambda name: ToolUse("write_file", {"file_path": name, "content": CONTENT}),
        run=lambda command: ToolUse("run_shell_command", {"command": command, "description": "Run it"}),
        command=lambda peers: (peers.node, peers.script("gemini"), "--acp"),
        program=lambda peers: Path(peers.node),
        configure=_gemini,
        by_minute=True,
    ),
)
