"""Which agents there are on this machine: those that are known and found, and any other by its command."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING

from app.core.errors import Facts, Rejected
from app.core.posthog.types import Value

if TYPE_CHECKING:
    from collections.abc import Mapping


SURVEY = "survey"


class LocalAgent(Value, frozen=True):
    """An agent that speaks the Agent Client Protocol when it is started with `command`."""

    id: str
    name: str
    command: tuple[str, ...]


# The agents' own documentation names these commands, as does the registry (https://agentclientprotocol.com/registry).
# An agent with two names has the newer one first.
PRESETS = (
    LocalAgent("claude", "Claude Code", ("claude-agent-acp",)),
    LocalAgent("claude", "Claude Code", ("claude-code-acp",)),
    LocalAgent("codex", "Codex", ("codex-acp",)),
    LocalAgent("gemini", "Gemini CLI", ("gemini", "--acp")),
    LocalAgent("opencode", "OpenCode", ("opencode", "acp")),
    LocalAgent("goose", "goose", ("goose", "acp")),
    LocalAgent("cursor", "Cursor", ("cursor-agent", "acp")),
    LocalAgent("copilot", "GitHub Copilot", ("copilot", "--acp")),
    LocalAgent("qwen", "Qwen Code", ("qwen", "--acp")),
    LocalAgent("kimi", "Kimi Code", ("kimi", "acp")),
    LocalAgent("droid", "Droid", ("droid", "exec", "--output-format", "acp")),
)


def found_agents(environment: Mapping[str, str]) -> tuple[LocalAgent, ...]:
    """The known agents whose program is in the PATH of `environment`. It looks at files, so call it in a thread."""
    found: dict[str, LocalAgent] = {}
    for agent in PRESETS:
        if agent.id not in found and shutil.which(agent.command[0], path=environment.get("PATH")) is not None:
            found[agent.id] = agent
    return tuple(found.values())


# How each of them is installed, as its own documentation says.
INSTALL = {
    "claude": "npm install -g @zed-industries/claude-agent-acp",
    "codex": "npm install -g @zed-industries/codex-acp",
    "gemini": "npm install -g @google/gemini-cli",
    "opencode": "npm install -g opencode-ai",
    "goose": "https://block.github.io/goose",
    "cursor": "https://cursor.com/cli",
    "copilot": "npm install -g @github/copilot",
    "qwen": "npm install -g @qwen-code/qwen-code",
    "kimi": "https://github.com/MoonshotAI/kimi-cli",
    "droid": "https://docs.factory.ai/cli",
}


def survey_agent() -> LocalAgent:
    """The agent that comes with Burrow. It has no model: it surveys a folder and writes a report."""
    # Without -P Python would import what the folder happens to have at its root.
    start = (sys.executable,) if getattr(sys, "frozen", False) else (sys.executable, "-P", "-m", "app")
    return LocalAgent(SURVEY, "Survey agent", (*start, "survey-agent"))


def check_agent(agent: LocalAgent, environment: Mapping[str, str]) -> None:
    """Raises `Rejected` when the program of an agent is not there. It looks at files, so call it in a thread."""
    program = agent.command[0]
    if shutil.which(program, path=environment.get("PATH")) is not None:
        return
    how = INSTALL.get(agent.id, "")
    if how.startswith("https:"):
        action = f"Install it as {how} says, or choose another agent."
    elif how:
        action = f"Install it with: {how}"
    else:
        action = "Check the name, install the agent, or enter the whole path of its program."
    raise Rejected(f"{agent.name} was not found: there is no program “{program}”.", Facts(attr="agent"), action=action)


def agent_of_command(text: str) -> LocalAgent:
    """An agent by the command that somebody typed. It is split into words as by a shell, but no shell runs it.

    Raises `Rejected` for a command that has no words or whose quotes do not match.
    """
    try:
        words = tuple(shlex.split(text, posix=os.name == "posix"))
    except ValueError as failure:
        raise Rejected(
            f"The command cannot be read: {str(failure).lower()}.",
            Facts(attr="command"),
            action="Close the quotes, or put a backslash before the character that is meant literally.",
        ) from None
    if not words or not words[0]:
        raise Rejected("There is no command.", Facts(attr="command"), action="Enter what starts the agent.")
    return LocalAgent("command", os.path.basename(words[0]), words)
