"""Counts what a person and the servers notice of a fault: R, V, B and X of the matrix."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.core.auth.status import CredentialState, CredentialStatus
from app.core.errors import BurrowError, SignInNeeded
from tests.core.conftest import Rig

TOKEN_ENDPOINT = "/oauth/token/"


class Measure:
    """`R` refresh requests that reached a token endpoint, `V` different errors that a caller was given (other than the
    one that asks to sign in), `B` times that a session asked for a sign-in, `X` effects that happened twice.
    """

    def __init__(self) -> None:
        self._refreshes: list[Callable[[], int]] = []
        self._errors: set[tuple[str, str]] = set()
        self._prompts = 0
        self._effects: list[Callable[[], int]] = []
        self.told: tuple[int, int, int, int] | None = None
        self.note = ""
        """Where a row can only be tried at a boundary, which."""

    def watch(self, *rigs: Rig) -> None:
        """Count from now on what these clients do; those of one server share its token endpoint."""
        for server in {id(rig.server): rig.server for rig in rigs}.values():
            before = server.requests[TOKEN_ENDPOINT]
            self.count_refreshes(lambda server=server, before=before: server.requests[TOKEN_ENDPOINT] - before)
        for rig in rigs:
            self.watch_credential(rig.credential)

    def watch_credential(self, session: Any) -> None:
        """Count how often `session` asks for a sign-in."""
        asking = session.status.state is CredentialState.NEEDS_SIGN_IN

        def told(status: CredentialStatus) -> None:
            nonlocal asking
            asks = status.state is CredentialState.NEEDS_SIGN_IN
            self._prompts += asks and not asking
            asking = asks

        session.changed.subscribe(told)

    def count_refreshes(self, count: Callable[[], int]) -> None:
        """Another token endpoint's count of refresh requests."""
        self._refreshes.append(count)

    def count_effects(self, twice: Callable[[], int]) -> None:
        """How many effects happened more than once."""
        self._effects.append(twice)

    def prompted(self, times: int) -> None:
        """A process that the test cannot look into asked so often for a sign-in."""
        self._prompts += times

    def met(self, failure: BaseException) -> None:
        """A caller was given this error."""
        if not isinstance(failure, BurrowError):
            raise failure
        if not isinstance(failure, SignInNeeded):
            self._errors.add((type(failure).__name__, failure.cause))

    @contextmanager
    def meets(self, kind: type[BurrowError], match: str | None = None) -> Iterator[pytest.ExceptionInfo[BurrowError]]:
        """As `pytest.raises`; the error is counted."""
        with pytest.raises(kind, match=match) as caught:
            yield caught
        self.met(caught.value)

    async def all(self, *work: Awaitable[Any]) -> list[Any]:
        """Run everything at once; the values, with the errors counted among them."""
        outcomes = await asyncio.gather(*work, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                self.met(outcome)
        return outcomes

    async def one(self, work: Awaitable[Any]) -> Any:
        """The value or the error of one piece of work."""
        return (await self.all(work))[0]

    def expect(self, *, R: int, V: int = 0, B: int = 0, X: int = 0) -> None:  # noqa: N803 - the matrix's own letters
        """Compare with what was counted, and tell it."""
        counted = (_sum(self._refreshes), len(self._errors), self._prompts, _sum(self._effects))
        assert counted == (R, V, B, X), f"R, V, B, X = {counted}, not {(R, V, B, X)}; errors: {sorted(self._errors)}"
        self.told = counted


def _sum(counts: Iterable[Callable[[], int]]) -> int:
    return sum(count() for count in counts)
