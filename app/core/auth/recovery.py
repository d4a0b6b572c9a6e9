"""SessionAuth: one auth flow that carries the person's token, heals a dead one and replays the request.

One class serves httpx (REST) and httpx2 (the MCP SDK): both drive `async_auth_flow` alike. The flow never raises: an
exception here would end a whole MCP session (faults row 70). When it cannot help, the server's own answer goes back,
and whoever sent the request finds the reason of the failed renewal under `RENEWAL_FAILURE` in the request's extensions.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import httpx
import httpx2

from app.core.auth.failures import Reply, Verdict, classify
from app.core.auth.target import RENEWAL_FAILURE, RULE
from app.core.errors import BurrowError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from app.core.auth.session import Session
    from app.core.auth.target import Target
    from app.core.auth.tokens import TokenSet

log = logging.getLogger(__name__)

# Enough for every error body; what is longer is no error body.
PEEK_BYTES = 256 * 1024
REPLAY_BYTES = 4 * 1024 * 1024


class SessionAuth(httpx.Auth, httpx2.Auth):  # type: ignore[misc] # two generator hooks that differ in types only
    """Resolves the bearer per request; one renewal and one replay per request, ever."""

    def __init__(self, session: Session, target: Target) -> None:
        self._session = session
        self._target = target
        self._allowed = frozenset(_parts(origin) for origin in target.origins)

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Drive one request. `request` and the responses are httpx's or httpx2's, which are alike where used."""
        request.headers.pop("Authorization", None)
        tokens = await self._token(request)
        if tokens is None:
            yield request
            return
        request.headers["Authorization"] = f"Bearer {tokens.access_token}"
        response = yield request
        newer = await self._healed(request, response, tokens)
        if newer is None:
            return
        request.headers["Authorization"] = f"Bearer {newer.access_token}"
        replayed = yield request
        await self._judge_replay(request, replayed, newer)

    async def _token(self, request: Any) -> TokenSet | None:
        url = request.url
        if (url.scheme, url.raw_host, url.port) not in self._allowed:
            return None
        try:
            tokens = await self._session.access_token()
        except BurrowError as failure:
            request.extensions[RENEWAL_FAILURE] = failure
            return None
        except Exception:
            log.exception("no token could be had")
            return None
        if tokens is None:
            request.extensions[RENEWAL_FAILURE] = self._session.missing()
        return tokens

    async def _healed(self, request: Any, response: Any, tokens: TokenSet) -> TokenSet | None:
        """The token to replay with, None when the answer stands."""
        try:
            verdict, rule = await self._verdict(response)
            request.extensions[RULE] = rule
            if verdict is Verdict.KEY_REFUSED:
                self._session.key_refused(rule)
                return None
            if verdict is not Verdict.RECOVERABLE_AUTH:
                self._session.accepted(tokens)
                return None
            newer = await self._session.renew(tokens, rule)
            return newer if _replayable(request) else None
        except BurrowError as failure:
            request.extensions[RENEWAL_FAILURE] = failure
            return None
        except Exception:
            log.exception("healing failed")
            return None

    async def _judge_replay(self, request: Any, response: Any, tokens: TokenSet) -> None:
        try:
            verdict, rule = await self._verdict(response)
        except Exception:
            log.exception("the replayed answer could not be judged")
            return
        request.extensions[RULE] = rule
        if verdict is not Verdict.RECOVERABLE_AUTH:
            self._session.accepted(tokens)

    async def _verdict(self, response: Any) -> tuple[Verdict, str]:
        """Judge an answer, reading only what can decide: error bodies, and JSON-RPC where it can fail inside a 200."""
        if response.status_code >= 400:
            body = await _peek(response)
        elif self._target.jsonrpc and response.status_code == 200 and response.request.method == "POST":
            body = await _first_message(response)
        else:
            return Verdict.FINE, "success"
        return classify(
            Reply(
                response.status_code,
                response.headers,
                body,
                owner=self._target.owner,
                reports_own_auth=self._target.reports_own_auth,
            )
        )


def _parts(origin: str) -> tuple[str, bytes, int | None]:
    """An origin as httpx takes a URL apart, so that a request need not be put together and parsed again."""
    url = httpx.URL(origin)
    return url.scheme, url.raw_host, url.port


def _replayable(request: Any) -> bool:
    """Whether the body can be sent again: it is held in memory and not beyond the cap (faults row 56)."""
    try:
        return len(request.content) <= REPLAY_BYTES
    except (httpx.RequestNotRead, httpx2.RequestNotRead):
        return False


async def _peek(response: Any) -> bytes:
    """The first bytes of a body, put back so that the reader sees all of it."""
    return await _read_until(response, lambda body: len(body) >= PEEK_BYTES)


async def _first_message(response: Any) -> bytes:
    """The first JSON-RPC message of an answer, JSON or event stream; the reader still sees every byte."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return await _peek(response)
    if kind != "text/event-stream":
        return b""
    body = await _read_until(response, lambda body: _data(body) is not None or len(body) >= PEEK_BYTES)
    return _data(body) or b""


def _data(body: bytes) -> bytes | None:
    """The data of the first event that has any (WHATWG HTML section 9.2), None while it is incomplete."""
    normal = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events = normal.split(b"\n\n")
    for event in events[:-1]:
        lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
        if any(lines):
            return b"\n".join(lines)
    return None


async def _read_until(response: Any, enough: Any) -> bytes:
    """Read decoded bytes until `enough`, then leave a response whose reader starts from the beginning.

    Encoded bodies are read whole: their decoder cannot be rewound.
    """
    if response.is_stream_consumed or response.is_closed:
        return bytes(response.content)
    if response.headers.get("content-encoding", "identity") not in {"", "identity"}:
        return bytes(await response.aread())
    source = response.stream.__aiter__()
    read: list[bytes] = []
    ended = False
    body = b""
    while not enough(body):
        try:
            read.append(await source.__anext__())
        except StopAsyncIteration:
            ended = True
            break
        body = b"".join(read)
    response.stream = _resumed(response.stream, read, source, ended)
    return body


def _resumed(original: Any, read: list[bytes], source: AsyncIterator[bytes], ended: bool) -> Any:
    base = httpx2.AsyncByteStream if isinstance(original, httpx2.AsyncByteStream) else httpx.AsyncByteStream

    class Resumed(base):  # type: ignore[misc, valid-type]
        """A body of which the beginning was read already."""

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in read:
                yield chunk
            if not ended:
                async for chunk in source:
                    yield chunk

        async def aclose(self) -> None:
            await original.aclose()

    return Resumed()
