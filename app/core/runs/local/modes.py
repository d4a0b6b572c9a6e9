"""The modes, models and efforts of a session, in the words that people know, and what was chosen last.

Contract section 9: Plan, Default, Accept edits, Auto, Bypass permissions for Claude Code; Plan, Read only, Auto, Full
access for Codex. What allows everything is listed only where the person switched that on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from app.core.posthog.types import Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.runs.items import ConfigChoice, ConfigOption

BYPASS_SETTING = "runs_offer_bypass"
LAST_SETTING = "runs_last_options"
MOST_REMEMBERED = 200
# By an agent's name of a mode, in lower case and without punctuation.
LABELS = {
    "plan": "Plan",
    "default": "Default",
    "acceptedits": "Accept edits",
    "autoedit": "Accept edits",
    "auto": "Auto",
    "readonly": "Read only",
    "bypasspermissions": "Bypass permissions",
    "fullaccess": "Full access",
    "agentfullaccess": "Full access",
    "yolo": "Bypass permissions",
}
BYPASSING = frozenset({"bypasspermissions", "bypass", "fullaccess", "agentfullaccess", "yolo", "dontask"})


class OptionSettings(Protocol):
    """What is needed of `Settings`."""

    def get(self, key: str, default: object = None) -> object: ...

    async def set(self, key: str, value: object) -> None: ...


class ChosenOption(Value, frozen=True):
    """The value that was chosen for an option."""

    option: str
    value: str


def label_of(choice: ConfigChoice) -> str:
    """What a mode is called: the word that people know, else the agent's."""
    return LABELS.get(_folded(choice.value), choice.name)


def offered(option: ConfigOption, *, bypass: bool) -> tuple[ConfigChoice, ...]:
    """The choices that are listed. One that is in force is listed in any case, so that it can be seen and left."""
    if bypass or "mode" not in {option.id, option.category}:
        return option.choices
    return tuple(each for each in option.choices if each.value == option.value or _folded(each.value) not in BYPASSING)


class LastOptions:
    """What was chosen last, for each repository and agent. A new run begins with it."""

    def __init__(self, settings: OptionSettings) -> None:
        self._settings = settings

    def of(self, repository: str, agent: str) -> tuple[ChosenOption, ...]:
        """What was chosen last; nothing where nothing was."""
        found = self._all().get(_key(repository, agent), {})
        return tuple(ChosenOption(option, value) for option, value in found.items())

    async def remember(self, repository: str, agent: str, option: str, value: str) -> None:
        """Raises `StorageTrouble`."""
        stored = self._all()
        key = _key(repository, agent)
        # Last, so that those of long ago go first.
        former = stored.pop(key, {})
        stored[key] = {**former, option: value}
        kept: Iterable[str] = list(stored)[-MOST_REMEMBERED:]
        await self._settings.set(LAST_SETTING, {each: stored[each] for each in kept})

    def _all(self) -> dict[str, dict[str, str]]:
        stored = self._settings.get(LAST_SETTING)
        pairs = stored.items() if isinstance(stored, dict) else ()
        return {key: {str(a): str(b) for a, b in each.items()} for key, each in pairs if isinstance(each, dict)}


def _key(repository: str, agent: str) -> str:
    return f"{agent}\n{repository}"


def _folded(mode: str) -> str:
    return "".join(each for each in mode.lower() if each.isalnum())
