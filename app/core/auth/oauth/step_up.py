"""StepUp: whether asking the person for more permissions can help a refused request, and how often that was tried.

RFC 6750 section 3.1 and MCP 2025-11-25, "Step-Up Authorization Flow": the permissions asked for are those granted so
far with those that the server names, and a server that is never content is not asked for ever (faults row 46).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from app.core.auth.http.target import CredentialAtStake
from app.core.auth.status import CANCELLED
from app.core.errors import SignInNeeded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from app.core.auth.tokens import TokenSet

MOST_TRIES = 2
MOST_NAMED = 5
EVERYTHING = "*"


class StepUpOption(Enum):
    """Whether the person can help, else what keeps them from it."""

    ASK = "ask"
    TRIED = "tried"
    GRANTED = "granted"
    KEY = "key"
    NOT_OURS = "not-ours"


@dataclass(frozen=True, slots=True)
class MissingScopes:
    """What an operation at a resource was refused for. `scopes` are in the server's order."""

    resource: str
    operation: str
    scopes: tuple[str, ...]
    at_stake: CredentialAtStake = CredentialAtStake.CARRIED


class Granted(Protocol):
    """What is known of the grant in force (`app.core.auth.grant`)."""

    @property
    def tokens(self) -> TokenSet: ...

    @property
    def api_key(self) -> bool:
        """Whether it is a personal API key, whose permissions nobody can extend here."""


class StepUp:
    """Counts for one account what was asked for.

    `whose` names the account, None while it is not known; `ready` waits until it is known after a sign-in.
    """

    def __init__(
        self, grant: Callable[[], Granted | None], whose: Callable[[], object], ready: Callable[[], Awaitable[None]]
    ) -> None:
        self._grant = grant
        self._whose = whose
        self._ready = ready
        self._account: object = None
        self._tries: Counter[tuple[str, str]] = Counter()

    @property
    def granted(self) -> tuple[str, ...]:
        """The permissions of the current sign-in, in the server's order."""
        grant = self._grant()
        return () if grant is None else tuple(grant.tokens.scope.split())

    def met(self, need: MissingScopes) -> bool:
        """Whether everything that was missing is granted now."""
        return EVERYTHING in self.granted or set(need.scopes) <= set(self.granted)

    def help_for(self, need: MissingScopes) -> StepUpOption:
        """Whether asking the person for what is missing may help."""
        grant = self._grant()
        if need.at_stake is not CredentialAtStake.CARRIED or not need.scopes:
            return StepUpOption.NOT_OURS
        if grant is not None and grant.api_key:
            return StepUpOption.KEY
        if self.met(need):
            return StepUpOption.GRANTED
        return StepUpOption.TRIED if self.tries(need) >= MOST_TRIES else StepUpOption.ASK

    def tries(self, need: MissingScopes) -> int:
        """How often this account was asked for what the operation needs."""
        self._notice_account()
        return self._tries[need.resource, need.operation]

    async def ask(self, need: MissingScopes, browser: Callable[[tuple[str, ...]], Awaitable[None]]) -> bool:
        """Have `browser` ask for what is missing; whether the same account has it now.

        A denial is an answer, and so is a sign-in that brings too little: both count as a try and are no error. What
        keeps the person from answering counts for nothing and is raised: `SignInNeeded` with `facts.code` "cancelled",
        `TimedOut`, and whatever else `browser` raises.
        """
        self._notice_account()
        account = self._account
        try:
            await browser(need.scopes)
        except SignInNeeded as failure:
            if failure.facts.code == CANCELLED:
                raise
        else:
            await self._ready()
        self._notice_account()
        if account is not None and self._account != account:
            return False
        self._tries[need.resource, need.operation] += 1
        return self.met(need)

    def _notice_account(self) -> None:
        """Another account was never asked for anything."""
        account = self._whose()
        if account is not None and account != self._account:
            self._account = account
            self._tries.clear()


def union(granted: Iterable[str], missing: Iterable[str]) -> tuple[str, ...]:
    """What to ask for: what is granted, then what is missing, each once."""
    return tuple(dict.fromkeys((*granted, *missing)))


def listed(scopes: Sequence[str]) -> str:
    """Permissions in one line, by the names that the server and its consent page use."""
    named = ", ".join(scopes[:MOST_NAMED])
    return f"{named} …" if len(scopes) > MOST_NAMED else named
