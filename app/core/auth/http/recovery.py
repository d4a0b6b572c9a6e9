"""Recovery: which token a request carries, and what follows from the answer. It knows no HTTP library.

`BearerAuth` is its side for httpx, the proxy's relay that for its own connections. Both send; neither decides.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Protocol

from app.core.auth.cause import Cause, CauseKind
from app.core.auth.http.classifier import TOKEN_ACCEPTED, Verdict, classify
from app.core.errors import BurrowError, Facts, ServerTrouble

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from app.core.auth.http.classifier import Reply
    from app.core.auth.http.target import Target
    from app.core.auth.tokens import TokenSet

SUCCESS = "success"


class TokenSource(Protocol):
    """Provides tokens and is told what became of them (`app.core.auth.credential`)."""

    def fresh_token(self) -> TokenSet | None:
        """The token to send now; None when `access_token` has to be awaited instead."""

    async def access_token(self) -> TokenSet | None:
        """A token to send now; None when there is no grant. Raises `BurrowError` when it could not be refreshed."""

    def no_token_error(self) -> BurrowError:
        """The error that says why there is no token."""

    async def refresh(self, refused: TokenSet, cause: Cause) -> TokenSet:
        """A newer token than `refused`. Raises `BurrowError`."""

    def adopted(self, tokens: TokenSet) -> bool:
        """Whether this process did not refresh to get `tokens`."""

    def accepted(self, tokens: TokenSet, target: str, headers: Mapping[str, str]) -> None:
        """`target` accepted a request that carried `tokens`."""

    def key_refused(self, cause: Cause) -> None:
        """A token that cannot be refreshed was refused."""

    async def is_dead(self, tokens: TokenSet) -> bool | None:
        """Whether the host itself refuses `tokens`; None when it does not say."""


class Remedy(NamedTuple):
    """What to do after a judgement: repeat the request with `tokens`; without them the answer stands.

    `failure` is why it stands although it is about the token. `seconds` is how long a refresh took, None without one.
    """

    tokens: TokenSet | None = None
    failure: BurrowError | None = None
    seconds: float | None = None


STANDS = Remedy()


class Recovery:
    """The decisions for the requests to one target.

    For each request at most one refresh, and one repetition after it. A token that was adopted from another process may
    be dead too: then one more (`may_repeat_again`). Repeating is safe even for a request with side effects: a server
    that refuses the token does not process the request.

    All methods pass on what the source raises. An answer that cannot be judged stands.
    """

    def __init__(self, source: TokenSource, target: Target, parse: Callable[[str], Hashable]) -> None:
        """`parse` brings a URL's origin into the form in which the caller names that of a request.

        So no request has to be parsed twice, and both are parsed alike.
        """
        self.source = source
        self.target = target
        self._allowed = frozenset(parse(origin) for origin in target.origins)

    def fresh_token(self, origin: Hashable) -> TokenSet | None:
        """The token for a request to `origin`; None when `token` has to be awaited, or none may be sent there."""
        return self.source.fresh_token() if origin in self._allowed else None

    async def token(self, origin: Hashable) -> TokenSet | None:
        """The token for a request to `origin`, refreshed first if it counts as expired; None if it may get none.

        Raises `BurrowError`: why there is no token.
        """
        if origin not in self._allowed:
            return None
        tokens = self.source.fresh_token() or await self.source.access_token()
        if tokens is None:
            raise self.source.no_token_error()
        return tokens

    def succeeded(self, tokens: TokenSet, headers: Mapping[str, str]) -> None:
        """An answer that needs no judgement accepted the token."""
        self.source.accepted(tokens, self.target.name, headers)

    def judge(self, reply: Reply, tokens: TokenSet) -> tuple[Verdict, str]:
        """What the classifier says of an answer to a request with `tokens`, and its rule's name.

        The source is told what the answer proves.
        """
        verdict, rule = judgement = classify(reply)
        # Nearly every answer is fine, and looking into a set takes longer.
        if verdict is Verdict.FINE or verdict in TOKEN_ACCEPTED:
            self.source.accepted(tokens, self.target.name, reply.headers)
        elif verdict is Verdict.KEY_REFUSED:
            self.source.key_refused(Cause(CauseKind.REFUSED, self.target.name, rule))
        return judgement

    async def remedy(self, verdict: Verdict, rule: str, reply: Reply, tokens: TokenSet) -> Remedy:
        """Whether to repeat the request, after a refresh if that helps. Raises no `BurrowError`."""
        started: float | None = None
        try:
            if verdict is Verdict.AMBIGUOUS_AUTH:
                # The vendor's credential or ours? A refresh on suspicion would spend our refresh token whenever a
                # vendor fails, so the host is asked about the token first.
                dead = await self.source.is_dead(tokens)
                if not dead:
                    return Remedy(failure=_undecided(self.target.name, reply)) if dead is None else STANDS
            elif verdict is not Verdict.RECOVERABLE_AUTH:
                return STANDS
            # If another request had the token refreshed meanwhile, this returns the new one without a refresh.
            started = monotonic()
            newer = await self.source.refresh(tokens, Cause(CauseKind.REFUSED, self.target.name, rule))
            return Remedy(newer, seconds=monotonic() - started)
        except BurrowError as failure:
            return Remedy(failure=failure, seconds=None if started is None else monotonic() - started)

    def may_repeat_again(self, newer: TokenSet) -> bool:
        """Whether a repetition with `newer` that was refused may be followed by another one."""
        # If a token that was refreshed for this request is refused too, another refresh cannot help.
        return self.source.adopted(newer)

    def judge_repeated(self, reply: Reply, tokens: TokenSet) -> tuple[Verdict, str]:
        """What the answer to the last repetition says. A new token is proven, and the brake released, only by this."""
        verdict, _rule = judgement = classify(reply)
        if verdict in TOKEN_ACCEPTED:
            self.source.accepted(tokens, self.target.name, reply.headers)
        return judgement

    def too_large(self, reply: Reply) -> BurrowError:
        """The error for a refused request whose body is too large to be sent again (faults row 56)."""
        return ServerTrouble(
            f"{self.target.name or 'The server'} refused the access token, and the request is too large to be repeated "
            "automatically.",
            Facts(status=reply.status, code=reply.code or None),
            action="Send it again: the sign-in has been renewed.",
        )


def _undecided(name: str, reply: Reply) -> BurrowError:
    """The error for a refusal when nobody could say which credential it is about."""
    return ServerTrouble(
        f"{name or 'The server'} refused a credential, and the host did not say whether it was yours or the server's.",
        Facts(status=reply.status, code=reply.code or None),
    )
