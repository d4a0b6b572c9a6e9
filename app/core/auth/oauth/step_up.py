"""StepUp: whether more scopes can help a refused request, and how often the user was asked for them.

RFC 6750 section 3.1 and MCP 2025-11-25, "Step-Up Authorization Flow". The new request is for the scopes granted so far
and those that the server names. Their number is bounded, because a server may refuse whatever is granted (faults row
46).
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

MAX_TRIES = 2
MAX_LISTED = 5
ALL_SCOPES = "*"


class StepUpOption(Enum):
    """Whether the user can help, else why not.

    `ASK`: a sign-in for more scopes may help. `TRIED`: the user was asked often enough. `GRANTED`: the token has the
    scopes already. `KEY`: an API key cannot get more scopes here. `NOT_OURS`: the refusal is about another credential,
    or names no scopes.
    """

    ASK = "ask"
    TRIED = "tried"
    GRANTED = "granted"
    KEY = "key"
    NOT_OURS = "not-ours"


@dataclass(frozen=True, slots=True)
class MissingScopes:
    """The scopes for want of which an operation at a resource was refused, in the server's order."""

    resource: str
    operation: str
    scopes: tuple[str, ...]
    at_stake: CredentialAtStake = CredentialAtStake.CARRIED


class Granted(Protocol):
    """The current grant (`app.core.auth.grant`)."""

    @property
    def tokens(self) -> TokenSet: ...

    @property
    def api_key(self) -> bool:
        """Whether it is a personal API key."""


class StepUp:
    """Counts how often an account was asked for scopes, for each resource and operation.

    `account` returns the account, None while it is not known. `ready` waits until it is known after a sign-in.
    """

    def __init__(
        self, grant: Callable[[], Granted | None], account: Callable[[], object], ready: Callable[[], Awaitable[None]]
    ) -> None:
        self._grant = grant
        self._current_account = account
        self._ready = ready
        # The account that `_tries` are of.
        self._account: object = None
        self._tries: Counter[tuple[str, str]] = Counter()

    @property
    def granted(self) -> tuple[str, ...]:
        """The scopes of the current grant, in the server's order."""
        grant = self._grant()
        return () if grant is None else tuple(grant.tokens.scope.split())

    def met(self, need: MissingScopes) -> bool:
        """Whether all the missing scopes are granted now."""
        return ALL_SCOPES in self.granted or set(need.scopes) <= set(self.granted)

    def option_for(self, need: MissingScopes) -> StepUpOption:
        """Whether asking the user for the missing scopes may help."""
        grant = self._grant()
        if need.at_stake is not CredentialAtStake.CARRIED or not need.scopes:
            return StepUpOption.NOT_OURS
        if grant is not None and grant.api_key:
            return StepUpOption.KEY
        if self.met(need):
            return StepUpOption.GRANTED
        return StepUpOption.TRIED if self.tries(need) >= MAX_TRIES else StepUpOption.ASK

    def tries(self, need: MissingScopes) -> int:
        """How often this account was asked for the scopes of the operation."""
        self._reset_for_new_account()
        return self._tries[need.resource, need.operation]

    async def ask(self, need: MissingScopes, browser: Callable[[tuple[str, ...]], Awaitable[None]]) -> bool:
        """Run `browser`, a sign-in for the missing scopes; returns whether the same account has them now.

        A denial and a sign-in that grants too little count as a try and are no error. What keeps the user from
        answering does not count and is raised: `SignInNeeded` with `facts.code` "cancelled", `TimedOut`, and whatever
        else `browser` raises.
        """
        self._reset_for_new_account()
        account = self._account
        try:
            await browser(need.scopes)
        except SignInNeeded as failure:
            if failure.facts.code == CANCELLED:
                raise
        else:
            await self._ready()
        self._reset_for_new_account()
        # Another user signed in: the waiting request is not theirs.
        if account is not None and self._account != account:
            return False
        self._tries[need.resource, need.operation] += 1
        return self.met(need)

    def _reset_for_new_account(self) -> None:
        account = self._current_account()
        if account is not None and account != self._account:
            self._account = account
            self._tries.clear()


def union(granted: Iterable[str], missing: Iterable[str]) -> tuple[str, ...]:
    """The granted scopes, then the missing ones, each once."""
    return tuple(dict.fromkeys((*granted, *missing)))


def format_scopes(scopes: Sequence[str]) -> str:
    """Scopes in one line, at most five of them."""
    names = ", ".join(scopes[:MAX_LISTED])
    return f"{names} …" if len(scopes) > MAX_LISTED else names
