"""SessionAuth: one auth flow that carries the person's token, heals a dead one and replays the request.

One class serves httpx (REST) and httpx2 (the MCP SDK): both drive `async_auth_flow` alike. The flow never raises: an
exception here would end a whole MCP session (faults row 70). When it cannot help, the server's own answer goes back,
and whoever sent the request finds the reason under `RENEWAL_FAILURE` in the request's extensions.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import httpx2

from app.core.auth.cause import Cause, CauseKind
from app.core.auth.http.bodies import IN_MEMORY, ReplayableBody, first_message, keep, peek
from app.core.auth.http.classifier import TOOK_THE_TOKEN, Reply, Verdict, classify
from app.core.auth.http.target import RENEWAL_FAILURE, RULE
from app.core.errors import BurrowError, Facts, ServerTrouble

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from app.core.auth.http.target import Target
    from app.core.auth.tokens import TokenSet

log = logging.getLogger(__name__)

SUCCESS = "success"


class TokenSource(Protocol):
    """What puts a token on requests and hears how it fared (`app.core.auth.credential`)."""

    def fit(self) -> TokenSet | None:
        """The token to send now, without waiting; None when `access_token` must be asked."""

    async def access_token(self) -> TokenSet | None:
        """A token fit to be sent; None when there is no grant. Raises `BurrowError` when it could not be refreshed."""

    def missing(self) -> BurrowError:
        """Why there is no token."""

    async def refresh(self, refused: TokenSet, cause: Cause) -> TokenSet:
        """A newer token than `refused`. Raises `BurrowError`."""

    def accepted(self, tokens: TokenSet, target: str, headers: Mapping[str, str]) -> None:
        """`target` answered a request that carried `tokens`."""

    def key_refused(self, cause: Cause) -> None:
        """A token that nothing can refresh was refused."""

    async def is_dead(self, tokens: TokenSet) -> bool | None:
        """Whether the host itself refuses `tokens`, asked once for each generation; None when it does not say."""


class BearerAuth(httpx.Auth, httpx2.Auth):  # type: ignore[misc] # two generator hooks that differ in types only
    """Resolves the bearer per request; one renewal and one replay per request, ever."""

    def __init__(self, source: TokenSource, target: Target) -> None:
        self._source = source
        self._target = target
        self._allowed = frozenset(_parts(origin) for origin in target.origins)

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Drive one request. `request` and the responses are httpx's or httpx2's, which are alike where used."""
        tokens, kept = await self._prepare(request)
        if tokens is None:
            yield request
            return
        response = yield request
        if response.status_code < 300 and not self._target.jsonrpc:
            # Nearly every answer: there is nothing to read, to judge or to wait for.
            self._took(request, response, tokens)
            return
        newer = await self._healed(request, response, tokens, kept)
        if newer is not None:
            request.headers["Authorization"] = newer.bearer
            replayed = yield request
            await self._judge_replay(request, replayed, newer)

    async def _prepare(self, request: Any) -> tuple[TokenSet | None, ReplayableBody]:
        """Put the token on a request that may carry it; whatever else it carried as such goes."""
        tokens = None
        try:
            url = request.url
            if (url.scheme, url.raw_host, url.port) in self._allowed:
                tokens = self._source.fit() or await self._token(request)
            if tokens is not None:
                request.headers["Authorization"] = tokens.bearer
                return tokens, keep(request)
        except Exception:
            log.exception("no token could be put on")
        request.headers.pop("Authorization", None)
        return None, IN_MEMORY

    async def _token(self, request: Any) -> TokenSet | None:
        try:
            tokens = await self._source.access_token()
        except BurrowError as failure:
            request.extensions[RENEWAL_FAILURE] = failure
            return None
        if tokens is None:
            request.extensions[RENEWAL_FAILURE] = self._source.missing()
        return tokens

    async def _healed(self, request: Any, response: Any, tokens: TokenSet, kept: ReplayableBody) -> TokenSet | None:
        """The token to replay with, None when the answer stands."""
        try:
            reply = await self._reply(response)
            verdict, rule = classify(reply)
            request.extensions[RULE] = rule
            if verdict is Verdict.KEY_REFUSED:
                self._source.key_refused(Cause(CauseKind.REFUSED, self._target.name, rule))
            elif verdict in TOOK_THE_TOKEN:
                self._source.accepted(tokens, self._target.name, response.headers)
            if verdict is Verdict.AMBIGUOUS_AUTH:
                dead = await self._source.is_dead(tokens)
                if dead is None:
                    request.extensions[RENEWAL_FAILURE] = _unsettled(self._target.name, reply)
                if not dead:
                    return None
            elif verdict is not Verdict.RECOVERABLE_AUTH:
                return None
            newer = await self._source.refresh(tokens, Cause(CauseKind.REFUSED, self._target.name, rule))
            if await kept.restore(request, response):
                return newer
            request.extensions[RENEWAL_FAILURE] = _not_repeated(self._target.name, reply)
            return None
        except BurrowError as failure:
            request.extensions[RENEWAL_FAILURE] = failure
            return None
        except Exception:
            log.exception("healing failed")
            return None

    def _took(self, request: Any, response: Any, tokens: TokenSet) -> None:
        request.extensions[RULE] = SUCCESS
        try:
            self._source.accepted(tokens, self._target.name, response.headers)
        except Exception:
            log.exception("a good answer could not be noted")

    async def _judge_replay(self, request: Any, response: Any, tokens: TokenSet) -> None:
        try:
            verdict, rule = classify(await self._reply(response))
            request.extensions[RULE] = rule
            if verdict in TOOK_THE_TOKEN:
                self._source.accepted(tokens, self._target.name, response.headers)
        except Exception:
            log.exception("the replayed answer could not be judged")

    async def _reply(self, response: Any) -> Reply:
        """What decides of an answer, and no more of it: error bodies, and JSON-RPC where it can fail inside a 200."""
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


def _parts(origin: str) -> tuple[str, bytes, int | None]:
    """An origin as httpx takes a URL apart, so that a request need not be put together and parsed again."""
    url = httpx.URL(origin)
    return url.scheme, url.raw_host, url.port


def _not_repeated(name: str, reply: Reply) -> BurrowError:
    """Why the refusal of a request stands whose body is beyond the cap (faults row 56)."""
    return ServerTrouble(
        f"{name or 'The server'} no longer took the access token, and this is too large to be sent twice by itself.",
        Facts(status=reply.status, code=reply.code or None),
        action="Send it again: the sign-in is renewed.",
    )


def _unsettled(name: str, reply: Reply) -> BurrowError:
    """The error for a refusal of which nobody could say whose credential it is about."""
    return ServerTrouble(
        f"{name or 'The server'} refused a credential, and the host did not say whether it was yours or the server's.",
        Facts(status=reply.status, code=reply.code or None),
    )
