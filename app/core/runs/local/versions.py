"""AgentVersions: which version of the Agent Client Protocol is offered to an agent.

Version 2 is a draft: its schema and the libraries for it say that each release may break the one before
(https://agentclientprotocol.com/protocol/v2/migration advises a switch until it is stable). So it is offered only where
the person switched that on, and an agent that does not take the offer is started again with version 1, at once and from
then on.
"""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FIRST, DRAFT = 1, 2
DRAFT_SETTING, REFUSED_SETTING = "runs.acp_draft", "runs.acp_draft_refused"
# An agent may have been updated by then, in seconds.
REFUSED_SECONDS = 30 * 86_400.0
MOST = 100


class VersionSettings(Protocol):
    """What is needed of `Settings`."""

    def get(self, key: str, default: object = None) -> object: ...

    async def set(self, key: str, value: object) -> None: ...


class AgentVersions:
    """`settings` keep which commands did not take the draft, with the time."""

    def __init__(self, settings: VersionSettings, now: Callable[[], float] = time.time) -> None:
        self._settings, self._now = settings, now

    def offered(self, command: Sequence[str]) -> int:
        """The highest version that is offered to the agent of a command."""
        if self._settings.get(DRAFT_SETTING) is not True:
            return FIRST
        refused = self._refused().get(shlex.join(command))
        return DRAFT if refused is None or self._now() - refused > REFUSED_SECONDS else FIRST

    async def refused(self, command: Sequence[str]) -> None:
        """The agent of a command did not take the draft, and spoke version 1. Raises `StorageTrouble`."""
        kept = self._refused()
        kept.pop(shlex.join(command), None)
        kept[shlex.join(command)] = self._now()
        await self._settings.set(REFUSED_SETTING, dict(list(kept.items())[-MOST:]))

    def _refused(self) -> dict[str, float]:
        stored = self._settings.get(REFUSED_SETTING)
        pairs = stored.items() if isinstance(stored, dict) else ()
        return {str(name): float(at) for name, at in pairs if isinstance(at, (int, float))}
