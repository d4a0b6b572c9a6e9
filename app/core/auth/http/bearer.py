"""BearerAuth: an auth flow that sends the bearer token, refreshes a dead one and repeats the request once.

One class serves httpx (REST) and httpx2 (the MCP SDK): both drive `async_auth_flow` in the same way.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import httpx
import httpx2

from app.core.auth.http.bodies import IN_MEMORY, ReplayableBody, first_message, peek, replayable
from app.core.auth.http.classifier import Reply, Verdict
from app.core.auth.http.recovery import SUCCESS, Recovery
from app.core.auth.http.target import REFRESH_FAILURE, RULE
from app.core.auth.http.trace import judged
from app.core.errors import BurrowError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from app.core.auth.http.recovery import TokenSource
    from app.core.auth.http.target import Target
    from app.core.auth.tokens import TokenSet

log = logging.getLogger(__name__)


class BearerAuth(httpx.Auth, httpx2.Auth):  # type: ignore[misc] # two generator hooks that differ in types only
    """Sends what `Recovery` decides: the token of each request, and its repetition."""

    def __init__(self, source: TokenSource, target: Target) -> None:
        self._target = target
        self._recovery = Recovery(source, target, _origin_parts)

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
            request.headers["Authorization"] = newer.bearer
            repeated = yield request
            if self._recovery.may_repeat_again(newer):
                tokens, newer = newer, await self._heal(request, repeated, newer, body)
                if newer is None:
                    return
                request.headers["Authorization"] = newer.bearer
                repeated = yield request
            await self._judge_repeated(request, repeated, newer)

    async def _prepare(self, request: Any) -> tuple[TokenSet | None, ReplayableBody]:
        """Put the token on the request, if its origin may receive it. Any other `Authorization` header is removed."""
        try:
            url = request.url
            origin = (url.scheme, url.raw_host, url.port)
            tokens = self._recovery.fresh_token(origin) or await self._token(request, origin)
            if tokens is not None:
                request.headers["Authorization"] = tokens.bearer
                return tokens, replayable(request)
        except Exception:
            log.exception("no token could be put on the request")
        request.headers.pop("Authorization", None)
        return None, IN_MEMORY

    async def _token(self, request: Any, origin: tuple[str, bytes, int | None]) -> TokenSet | None:
        try:
            return await self._recovery.token(origin)
        except BurrowError as failure:
            request.extensions[REFRESH_FAILURE] = failure
            return None

    async def _heal(self, request: Any, response: Any, tokens: TokenSet, body: ReplayableBody) -> TokenSet | None:
        """The token to repeat the request with; None when the response stands."""
        try:
            reply = await self._reply(response)
            verdict, rule = self._recovery.judge(reply, tokens)
            request.extensions[RULE] = rule
            attempt = judged(request, rule, reply.body)
            if verdict is Verdict.FINE:
                return None
            newer, failure, seconds = await self._recovery.remedy(verdict, rule, reply, tokens)
            if newer is not None:
                if attempt is not None:
                    attempt.renewal_seconds = seconds
                # Refreshed even when the body cannot be sent again: the next request then works.
                if await body.restore(request, response):
                    return newer
                failure = self._recovery.too_large(reply)
            elif failure is not None and seconds is not None and attempt is not None:
                attempt.renewal_failure = type(failure).__name__
            if failure is not None:
                request.extensions[REFRESH_FAILURE] = failure
        except Exception:
            log.exception("the refusal could not be handled")
        return None

    def _succeeded(self, request: Any, response: Any, tokens: TokenSet) -> None:
        request.extensions[RULE] = SUCCESS
        try:
            self._recovery.succeeded(tokens, response.headers)
        except Exception:
            log.exception("a success could not be noted")

    async def _judge_repeated(self, request: Any, response: Any, tokens: TokenSet) -> None:
        """Note what became of the new token. It is proven, and the brake released, only if the target accepts it."""
        try:
            reply = await self._reply(response)
            _verdict, rule = self._recovery.judge_repeated(reply, tokens)
            request.extensions[RULE] = rule
            judged(request, rule, reply.body)
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
        target = self._target
        return Reply(response.status_code, response.headers, body, target.at_stake, target.reports_own_auth)


def _origin_parts(origin: str) -> tuple[str, bytes, int | None]:
    # In the form that httpx has parsed the request's URL into, so that no request has to parse it again.
    url = httpx.URL(origin)
    return url.scheme, url.raw_host, url.port
