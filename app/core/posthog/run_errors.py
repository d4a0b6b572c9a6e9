"""What a run or its agent refuses (docs/wire.md, "Commands to a run", "Run stream"). Told apart by status and code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.errors import BurrowError, Facts, OutcomeUnknown, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.posthog.types import TaskRun

CONFLICT, BAD_GATEWAY, GATEWAY_TIMEOUT = 409, 502, 504
NOT_READY = frozenset({"sandbox_not_ready", "runtime_unavailable"})


class RunOver(BurrowError):
    """409: the run has ended, so its agent takes nothing any more. Nothing was done."""

    title = "The run has ended"
    action = "Send a message: it goes on in a new run."
    exit_code = 5


class AgentNotReady(BurrowError):
    """The run's machine is not there yet, or not any more. Nothing was done."""

    title = "The agent is not ready"
    action = "Wait until the run has started."
    retryable = True
    exit_code = 6


class AgentUnreachable(OutcomeUnknown):
    """502 or 504: the host could not reach the agent, or had no answer in time. It may have got the command.

    It says nothing of the user's sign-in: a sandbox that refuses the host is reported so too.
    """

    title = "The agent cannot be reached"
    action = "Check in the log whether it arrived before sending it again."
    retryable = True


class CommandRefused(BurrowError):
    """The agent answered with a JSON-RPC error. `number` is its code (JSON-RPC 2.0, section 5.1)."""

    title = "The agent refused"
    action = "Look at what the agent says, and try again."

    def __init__(self, cause: str, facts: Facts | None = None, *, number: int = 0) -> None:
        super().__init__(cause, facts)
        self.number = number


class StreamTokenRefused(BurrowError):
    """The stream's own server refuses the token that the host gave for it. The user's sign-in is fine."""

    title = "The stream's token was refused"
    action = "Burrow asks for a new one."
    retryable = True
    exit_code = 6


class StartedOtherwise(OutcomeUnknown):
    """An earlier request, whose outcome was not known, has started a `run`: with its own message, not with this one."""

    title = "The run was started with an earlier message"
    action = "Look whether this one is in the transcript. If it is not, send it again."

    def __init__(self, run: TaskRun) -> None:
        super().__init__("An earlier request had arrived after all, so no further run was started.")
        self.run = run


class StartCutOff(BurrowError):
    """Burrow ended before a run was started. `made`: the server has it, and waits for its start."""

    title = "The run was not started"
    action = "Start it, or cancel it."
    retryable = True

    def __init__(self, *, made: bool) -> None:
        waits = "It waits on the server." if made else "The server does not have it."
        code = "run_not_started" if made else "run_not_sent"
        super().__init__(f"Burrow ended before the run was started. {waits}", Facts(code=code))


def command_error(error: BurrowError) -> BurrowError:
    """The error of a command, as one of the kinds above where it is one."""
    facts = error.facts
    found: Mapping[int | None, type[BurrowError]] = {
        CONFLICT: RunOver,
        BAD_GATEWAY: AgentUnreachable,
        GATEWAY_TIMEOUT: AgentUnreachable,
    }
    kind = found.get(facts.status)
    if kind is None and isinstance(error, Rejected) and facts.code in NOT_READY:
        kind = AgentNotReady
    if kind is RunOver:
        return RunOver("Its agent takes nothing any more. Nothing was done.", facts)
    return error if kind is None else kind(error.cause, facts)
