"""LoopTokenSource: the tokens of a credential of the process's loop, for the requests of the proxy's loop."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from app.core.auth.cause import Cause
    from app.core.auth.tokens import TokenSet
    from app.core.errors import BurrowError
    from app.core.mcp.protocol.sign_in_gate import CredentialSource
    from app.core.mcp.proxy.loop_hop import LoopGate

# A response tells the server's time. A credential looks at it once a minute, so more than this wakes its loop for
# nothing.
CLOCK_SECONDS = 1.0


class LoopTokenSource:
    """The `TokenSource` (`app/core/auth/http/bearer.py`) of a credential that lives on another loop.

    What is read on the caller's thread are references to values that never change: the grant, its tokens, the status.
    The credential replaces each as a whole, and a new grant becomes visible before the time until which it is fresh, so
    that a reader between the two gets a token that is current, or waits for one. Everything else hops.

    `admit` waits until it is known whose the token is, and raises when that is not the account the server belongs to
    (`ServerSource.admission`). Until it has returned, and again after `leave`, no token is read without it. A source
    must be left before the credential gets a token of another sign-in.
    """

    def __init__(
        self, credential: CredentialSource, gate: LoopGate, *, admit: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        self._credential = credential
        self._gate = gate
        self._admit = admit
        self._admitted = admit is None
        # Which targets accepted the newest token that was accepted at all.
        self._accepted: tuple[TokenSet | None, frozenset[str]] = None, frozenset()
        self._told = 0.0

    def leave(self) -> None:
        """The next token is read only after `admit`. To be called on the loop of the credential."""
        self._admitted = self._admit is None

    def fresh_token(self) -> TokenSet | None:
        """See `TokenSource`. Neither waits nor hops."""
        tokens = self._credential.fresh_token()
        # Looked at after the token was read: a token of another sign-in comes after `leave`.
        return tokens if self._admitted else None

    async def access_token(self) -> TokenSet | None:
        """See `TokenSource`. Raises what `admit` raises, too."""

        async def read() -> TokenSet | None:
            tokens = None
            while tokens is None or not self._admitted:
                if self._admit is not None:
                    await self._credential.wait_restored()
                    await self._admit()
                    self._admitted = True
                tokens = await self._credential.access_token()
                if tokens is None:
                    return None
            return tokens

        return await self._gate.run(read)

    def no_token_error(self) -> BurrowError:
        """See `TokenSource`. Reads one status and the profile, neither of which changes."""
        return self._credential.no_token_error()

    async def refresh(self, refused: TokenSet, cause: Cause) -> TokenSet:
        """See `TokenSource`."""

        async def refreshed() -> TokenSet:
            tokens = await self._credential.refresh(refused, cause)
            if not self._admitted and self._admit is not None:
                await self._admit()
            return tokens

        return await self._gate.run(refreshed)

    def adopted(self, tokens: TokenSet) -> bool:
        """See `TokenSource`. Looks for a string in a deque of strings, which no other thread can interrupt."""
        return self._credential.adopted(tokens)

    def accepted(self, tokens: TokenSet, target: str, headers: Mapping[str, str]) -> None:
        """See `TokenSource`. Hops only where it changes anything, not for each call of a busy client."""
        newest, targets = self._accepted
        known = newest is tokens and target in targets
        now = monotonic()
        if known and now - self._told < CLOCK_SECONDS:
            return
        if known and not self._credential.status.unreachable and "date" not in headers:
            return
        self._accepted = tokens, (targets if newest is tokens else frozenset()) | {target}
        self._told = now
        self._gate.post(self._credential.accepted, tokens, target, dict(headers))

    def key_refused(self, cause: Cause) -> None:
        """See `TokenSource`."""
        self._gate.post(self._credential.key_refused, cause)

    async def is_dead(self, tokens: TokenSet) -> bool | None:
        """See `TokenSource`."""
        return await self._gate.run(lambda: self._credential.is_dead(tokens))
