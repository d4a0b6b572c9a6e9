"""What local runs were last started with: remembered for each repository, and the mode for each agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.core.posthog.types import Value
from app.core.runs.local.agents import LocalAgent  # noqa: TC001 - msgspec looks it up

if TYPE_CHECKING:
    from app.core.preferences import Stored
    from app.core.runs.desk.local_desk import LocalStart

SETTING = "runs.local.last"
# Repositories, the one that was used last at the end.
KEPT = 200


class LocalChoice(Value, frozen=True, kw_only=True):
    """`agent` is None where none was chosen yet. `modes` are by the agents' ids."""

    agent: LocalAgent | None = None
    folder: str = ""
    worktree: bool = False
    base: str = ""
    environment: str = ""
    modes: dict[str, str] = msgspec.field(default_factory=dict)


class LocalMemory:
    """Reads what was remembered. What makes no sense counts as nothing."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    def last(self, repository: str) -> LocalChoice:
        """What the last run of a repository was started with; of one without, the agent of the run before."""
        everything = self._read()
        found = everything.get(repository)
        if found is not None:
            return found
        newest = next(reversed(everything.values()), None)
        return LocalChoice() if newest is None else LocalChoice(agent=newest.agent, modes=newest.modes)

    def with_last(self, repository: str, start: LocalStart) -> dict[str, object]:
        """The value of `SETTING` with what a run of a repository was started with just now."""
        everything = self._read()
        former = everything.pop(repository, None) or self.last(repository)
        everything[repository] = LocalChoice(
            agent=start.agent,
            folder=start.folder,
            worktree=start.worktree,
            base=start.base,
            environment=start.environment,
            modes={**former.modes, start.agent.id: start.mode},
        )
        kept: dict[str, object] = msgspec.to_builtins(dict(list(everything.items())[-KEPT:]))
        return kept

    def _read(self) -> dict[str, LocalChoice]:
        found = self._stored.get(SETTING)
        items = found.items() if isinstance(found, dict) else ()
        return {str(name): each for name, value in items if (each := _choice(value)) is not None}


def _choice(value: object) -> LocalChoice | None:
    try:
        return msgspec.convert(value, LocalChoice)
    except msgspec.ValidationError:
        return None
