"""BearerAuth: an auth flow that sends the bearer token, refreshes a dead one and repeats the request once.

One class serves httpx (REST) and httpx2 (the MCP SDK): both drive `async_auth_flow` in the same way.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import httpx2

from app.core.auth.cause import Cause, CauseKind
from app.core.auth.http.bodies import IN_MEMORY, ReplayableBody, first_message, peek, replayable
from app.core.auth.http.classifier import TOKEN_ACCEPTED, Reply, Verdict, classify
from app.core.auth.http.target import REFRESH_FAILURE, RULE
from app.core.auth.http.trace import judged
from app.core.errors import BurrowError, Facts, ServerTrouble

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from app.core.auth.http.target import Target
    from app.core.auth.http.trace import Attempt
    from app.core.auth.tokens import TokenSet

log = logging.getLogger(__name__)

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


class BearerAuth(httpx.Auth, httpx2.Auth):  # type: ignore[misc] # two generator hooks that differ in types only
    """Chooses the token for each request.

    For each request at most one refresh, and one repetition after it. A token that was adopted from another process may
    be dead too: then one more.
    """

    def __init__(self, source: TokenSource, target: Target) -> None:
        self._source = source
        self._target = target
        self._allowed = frozenset(_origin_parts(origin) for origin in target.origins)

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Drive one request. `request` and the responses are those of httpx or httpx2, which are alike where used.

        Raises nothing. When it cannot help, the caller gets the server's own response, and the reason in the request's
        extensions under `REFRESH_FAILURE`.
        """
        # The MCP SDK ends the whole session, with all its calls, when an auth flow raises (faults row 70). So every
        # step below catches everything.
        tokens, body = await self._prepare(request)
        if tokens is None:
            # A flow has to yield its request. The server refuses it, and the extensions say why there is no token.
            yield request
            return
        response = yield request
        if response.status_code < 300 and not self._target.jsonrpc:
            # Nearly every response. There is nothing to read, to judge or to wait for.
            self._succeeded(request, response, tokens)
            return
        newer = await self._heal(request, response, tokens, body)
        if newer is not None:
            # Repeating is safe even for a request with side effects: a server that refuses the token does not process
            # the request. If a token that was refreshed for this request is refused too, another refresh cannot help.
            request.headers["Authorization"] = newer.bearer
            repeated = yield request
            if self._source.adopted(newer):
                tokens, newer = newer, await self._heal(request, repeated, newer, body)
                if newer is None:
                    return
                request.headers["Authorization"] = newer.bearer
                repeated = yield request
            await self._judge_repeated(request, repeated, newer)

    async def _prepare(self, request: Any) -> tuple[TokenSet | None, ReplayableBody]:
        """Put the token on the request, if its origin may receive it. Any other `Authorization` header is removed."""
        tokens = None
        try:
            url = request.url
            if (url.scheme, url.raw_host, url.port) in self._allowed:
                tokens = self._source.fresh_token() or await self._token(request)
            if tokens is not None:
                request.headers["Authorization"] = tokens.bearer
                return tokens, replayable(request)
        except Exception:
            log.exception("no token could be put on the request")
        request.headers.pop("Authorization", None)
        return None, IN_MEMORY

    async def _token(self, request: Any) -> TokenSet | None:
        try:
            tokens = await self._source.access_token()
        except BurrowError as failure:
            request.extensions[REFRESH_FAILURE] = failure
            return None
        if tokens is None:
            request.extensions[REFRESH_FAILURE] = self._source.no_token_error()
        return tokens

    async def _heal(self, request: Any, response: Any, tokens: TokenSet, body: ReplayableBody) -> TokenSet | None:
        """The token to repeat the request with; None when the response stands."""
        attempt: Attempt | None = None
        try:
            reply = await self._reply(response)
            verdict, rule = classify(reply)
            request.extensions[RULE] = rule
            attempt = judged(request, rule, reply.body)
            if verdict is Verdict.KEY_REFUSED:
                self._source.key_refused(Cause(CauseKind.REFUSED, self._target.name, rule))
            elif verdict in TOKEN_ACCEPTED:
                self._source.accepted(tokens, self._target.name, response.headers)
            if verdict is Verdict.AMBIGUOUS_AUTH:
                # The vendor's credential or ours? A refresh on suspicion would spend our refresh token whenever a
                # vendor fails, so the host is asked about the token first.
                dead = await self._source.is_dead(tokens)
                if dead is None:
                    request.extensions[REFRESH_FAILURE] = _undecided(self._target.name, reply)
                if not dead:
                    return None
            elif verdict is not Verdict.RECOVERABLE_AUTH:
                return None
            # If another request had the token refreshed meanwhile, this returns the new one without a refresh.
            started = monotonic()
            newer = await self._source.refresh(tokens, Cause(CauseKind.REFUSED, self._target.name, rule))
            if attempt is not None:
                attempt.renewal_seconds = monotonic() - started
            # Refreshed even when the body cannot be sent again: the next request then works.
            if await body.restore(request, response):
                return newer
            request.extensions[REFRESH_FAILURE] = _too_large(self._target.name, reply)
            return None
        except BurrowError as failure:
            request.extensions[REFRESH_FAILURE] = failure
            if attempt is not None:
                attempt.renewal_failure = type(failure).__name__
            return None
        except Exception:
            log.exception("the refusal could not be handled")
            return None

    def _succeeded(self, request: Any, response: Any, tokens: TokenSet) -> None:
        request.extensions[RULE] = SUCCESS
        try:
            self._source.accepted(tokens, self._target.name, response.headers)
        except Exception:
            log.exception("a success could not be noted")

    async def _judge_repeated(self, request: Any, response: Any, tokens: TokenSet) -> None:
        """Note what became of the new token. It is proven, and the brake released, only if the target accepts it."""
        try:
            reply = await self._reply(response)
            verdict, rule = classify(reply)
            request.extensions[RULE] = rule
            judged(request, rule, reply.body)
            if verdict in TOKEN_ACCEPTED:
                self._source.accepted(tokens, self._target.name, response.headers)
        except Exception:
            log.exception("the response to the repeated request could not be judged")

    async def _reply(self, response: Any) -> Reply:
        """The parts of a response that decide. Bodies are read only where they can: errors, and JSON-RPC in a 200."""
        if response.status_code >= 400:
            body = await peek(response)
        elif self._target.jsonrpc and response.status_code == 200 and response.request.method == "POST":
            body = await first_message(response)
        else:
            body = b""
        return Reply(
            response.status_code,
            response.headers,
            body,
            at_stake=self._target.at_stake,
            reports_own_auth=self._target.reports_own_auth,
        )


def _origin_parts(origin: str) -> tuple[str, bytes, int | None]:
    # In the form that httpx has parsed the request's URL into, so that no request has to parse it again.
    url = httpx.URL(origin)
    return url.scheme, url.raw_host, url.port


def _too_large(name: str, reply: Reply) -> BurrowError:
    """The error for a refused request whose body is too large to be sent again (faults row 56)."""
    return ServerTrouble(
        f"{name or 'The server'} refused the access token, and the request is too large to be repeated automatically.",
        Facts(status=reply.status, code=reply.code or None),
        action="Send it again: the sign-in has been renewed.",
    )


def _undecided(name: str, reply: Reply) -> BurrowError:
    """The error for a refusal when nobody could say which credential it is about."""
    return ServerTrouble(
        f"{name or 'The server'} refused a credential, and the host did not say whether it was yours or the server's.",
        Facts(status=reply.status, code=reply.code or None),
    )
