"""What runs were last started with, remembered for each repository, and there for each agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.core.posthog.run_options import MODES, RunOptions

if TYPE_CHECKING:
    from app.core.preferences import Stored

SETTING = "runs.last"
# Repositories, the one that was used last at the end.
KEPT = 200


class RepositoryKey(NamedTuple):
    """A repository of an account's project. `repository` is empty for tasks without one."""

    host: str
    account: str
    project: int
    repository: str

    @property
    def text(self) -> str:
        return "|".join((self.host, self.account, str(self.project), self.repository))


class _OfAgent(msgspec.Struct, omit_defaults=True):
    model: str = ""
    effort: str = ""
    mode: str = ""


class _OfRepository(msgspec.Struct, omit_defaults=True):
    adapter: str = ""
    branch: str = ""
    agents: dict[str, _OfAgent] = {}


class RunMemory:
    """Reads what was remembered. What another version wrote there and makes no sense counts as nothing."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    def last(self, key: RepositoryKey, adapter: str = "") -> RunOptions:
        """What the last run of a repository was started with; of its last run with `adapter`, if that is given.

        A repository without one has the agent of the run before, on whichever repository of the project.
        """
        everything = self._read()
        found = everything.get(key.text)
        beside = f"{key.host}|{key.account}|{key.project}|"
        near = found or next((each for name, each in reversed(everything.items()) if name.startswith(beside)), None)
        if near is None:
            return RunOptions(adapter=adapter)
        chosen = adapter or near.adapter
        agent = near.agents.get(chosen, _OfAgent())
        branch = found.branch if found is not None else ""
        return RunOptions(chosen, agent.model, agent.effort, agent.mode, branch)

    def with_last(self, key: RepositoryKey, options: RunOptions) -> dict[str, object]:
        """The value of `SETTING` with `options`, which were used for a run of a repository just now."""
        everything = self._read()
        former = everything.pop(key.text, _OfRepository())
        agents = dict(former.agents)
        if options.adapter in MODES:
            agents[options.adapter] = _OfAgent(options.model, options.effort, options.mode)
        everything[key.text] = _OfRepository(options.adapter or former.adapter, options.branch, agents)
        kept = dict(list(everything.items())[-KEPT:])
        written: dict[str, object] = msgspec.to_builtins(kept)
        return written

    def _read(self) -> dict[str, _OfRepository]:
        found = self._stored.get(SETTING)
        items = found.items() if isinstance(found, dict) else ()
        return {str(name): each for name, value in items if (each := _read(value)) is not None}


def _read(value: object) -> _OfRepository | None:
    try:
        return msgspec.convert(value, _OfRepository)
    except msgspec.ValidationError:
        return None
