"""What an agent may have its client do without a question, by the mode that the person chose.

Files of the working folder may always be read. What the person allowed the agent in answer to its own question is not
asked a second time: agents ask about a tool first, and then have the client carry it out.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from app.core.runs.local.mode_names import BYPASS, LOCAL_MODES, plain_mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Consent(Enum):
    """How a request is treated."""

    ALLOW = "allow"
    ASK = "ask"
    REFUSE = "refuse"


class ModeRule(NamedTuple):
    """What a mode says of writing files and of running commands."""

    write: Consent
    run: Consent


ASKING = ModeRule(Consent.ASK, Consent.ASK)
READING = ModeRule(Consent.REFUSE, Consent.ASK)
EDITING = ModeRule(Consent.ALLOW, Consent.ASK)
FREE = ModeRule(Consent.ALLOW, Consent.ALLOW)
# By the agents' names for their modes, in lower case and without punctuation. What is not known asks.
MODES = {
    **dict.fromkeys(("plan", "readonly", "ask", "architect"), READING),
    **dict.fromkeys(("acceptedits", "autoedit"), EDITING),
    **dict.fromkeys(("auto", *LOCAL_MODES[BYPASS]), FREE),
}
# An agent asks about a text, and has one of these carry it out.
SHELLS = frozenset({"sh", "bash", "dash", "zsh"})
# The variables that agents set for commands without any effect on what runs.
HARMLESS = frozenset({"CI", "CLAUDECODE", "COLUMNS", "FORCE_COLOR", "LANG", "LC_ALL", "LINES", "NO_COLOR", "TERM"})
SHELL_FOLDERS = frozenset({"", "/bin", "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"})


def rule_of(mode: str) -> ModeRule:
    """What a mode says."""
    return MODES.get(plain_mode(mode), ASKING)


class GrantedCalls:
    """What the person allowed: files and commands of tool calls, and what is allowed for the whole run."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._commands: set[str] = set()
        self._always: set[str] = set()

    def remember(self, call: object) -> None:
        """The person allowed this tool call."""
        if not isinstance(call, dict):
            return
        given = call.get("rawInput")
        members = given if isinstance(given, dict) else {}
        for each in (*_list(call.get("locations")), *_list(call.get("content")), members):
            if isinstance(each, dict):
                self._files |= {str(each[name]) for name in ("path", "file_path", "abs_path") if each.get(name)}
        command = members.get("command")
        if isinstance(command, str):
            self._commands.add(command)
        elif isinstance(command, list):
            self._commands.add(" ".join(map(str, command)))

    def always(self, kind: str) -> None:
        """The person allowed this kind of request until the run ends."""
        self._always.add(kind)

    def always_allows(self, kind: str) -> bool:
        """Whether this kind of request was allowed until the run ends."""
        return kind in self._always

    def forget_calls(self) -> None:
        """The turn is over: what was allowed in it counts no longer."""
        self._files.clear()
        self._commands.clear()

    def allows(self, kind: str, params: Mapping[str, object]) -> bool:
        """Whether a request of the agent is among the calls that were allowed.

        `kind` is `execute`, or that of an edit.
        """
        if kind != "execute":
            return str(params.get("path")) in self._files
        words = [str(params.get("command")), *map(str, _list(params.get("args")))]
        if not HARMLESS.issuperset(_variables(params.get("env"))):
            # They can make another program of the same words, and the person has not seen them.
            return False
        return " ".join(words) in self._commands or _script_of(words) in self._commands


def _script_of(words: list[str]) -> str | None:
    """The text that a shell is to carry out and nothing beside it; None for another command."""
    folder, _, name = words[0].rpartition("/")
    # Another program may be called like a shell.
    shell = name in SHELLS and folder in SHELL_FOLDERS
    return words[2] if len(words) == 3 and shell and words[1] in {"-c", "-lc"} else None


def _variables(given: object) -> Iterator[str]:
    for each in _list(given):
        yield str(each.get("name")) if isinstance(each, dict) else ""


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
