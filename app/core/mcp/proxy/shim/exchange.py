"""A message of the program on its way: what it waits for, for how long, and what is to be done after an attempt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple

from app.core.mcp.proxy.refusals import RefusalKind
from app.core.mcp.proxy.shim.messages import READING

if TYPE_CHECKING:
    from app.core.mcp.proxy.shim.messages import ProgramMessage


@dataclass(frozen=True)
class Patience:
    """How long a request waits, in seconds.

    `owner`: for a process that serves. `opening`: the first request of a program, for a process that is ready.
    `sign_in`: that request, for the user, with `poll` between the first two looks.
    """

    owner: float = 5.0
    opening: float = 30.0
    sign_in: float = 300.0
    poll: float = 1.0


class NextStep(Enum):
    """What is to be done after an attempt to send a message."""

    DONE = auto()
    AGAIN = auto()
    REOPEN = auto()
    SIGN_IN = auto()


class AttemptOutcome(NamedTuple):
    """What is to be done after an attempt, and why."""

    next: NextStep
    reason: str = ""


DONE = AttemptOutcome(NextStep.DONE)
# Refusals of the first request of a program that are waited for. Nothing has run.
PUT_OFF = {RefusalKind.SIGN_IN_NEEDED: NextStep.SIGN_IN, RefusalKind.NOT_READY: NextStep.AGAIN}


@dataclass
class ShimExchange:
    """A message on its way. `waiting` has the ids of its requests that are not answered yet, by their JSON texts.

    `waits`: a sign-in that is needed is waited for.
    """

    message: ProgramMessage
    waiting: dict[str, Any]
    waits: bool = True

    @property
    def reads(self) -> bool:
        """Whether it may run twice."""
        return self.message.method in READING
