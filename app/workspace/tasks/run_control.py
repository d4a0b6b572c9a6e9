"""How the views of runs reach what carries runs out, without knowing it (`app.workspace.runner`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class CarriedOut(Protocol):
    """What carries runs out. Each method names a run by its id."""

    def wake(self) -> None:
        """A run was queued, or one has changed: look for work."""

    async def command(self, run_id: str, method: str, params: Mapping[str, object]) -> dict[str, object]:
        """Hand a command to the agent of a run and return its result.

        Raises `LookupError` when no agent has a session for this run, and `CommandFailed`.
        """

    def cancel(self, run_id: str) -> bool:
        """Begin to end a run as cancelled, from any thread; false for a run that is not carried out."""

    async def kill_agents(self) -> int: ...

    def active(self) -> int: ...


class CommandFailed(Exception):
    """The agent answered a command with this JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class RunControl:
    """One for each running workspace. Without a runner, runs stay queued and have no agent."""

    def __init__(self) -> None:
        self.runner: CarriedOut | None = None

    def wake(self) -> None:
        if self.runner is not None:
            self.runner.wake()

    async def command(self, run_id: str, method: str, params: Mapping[str, object]) -> dict[str, object]:
        """See `CarriedOut.command`."""
        if self.runner is None:
            raise LookupError(run_id)
        return await self.runner.command(run_id, method, params)

    def cancel(self, run_id: str) -> bool:
        """See `CarriedOut.cancel`."""
        return self.runner is not None and self.runner.cancel(run_id)

    async def kill_agents(self) -> int:
        return 0 if self.runner is None else await self.runner.kill_agents()

    def active(self) -> int:
        """How many runs have an agent."""
        return 0 if self.runner is None else self.runner.active()
