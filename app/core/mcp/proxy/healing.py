"""Healing: sends one request to a server with the right token, and again where its answer says that it did not run.

All decisions about tokens are `Recovery`'s. What is added here is for clients of the proxy: they never see a refusal of
a token of ours, never wait for long, and learn what to do from a typed error.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from app.core.auth.http.classifier import Reply, Verdict
from app.core.auth.http.openings import EVENT_STREAM, JSON
from app.core.errors import BurrowError
from app.core.mcp.proxy.answers import answer_of
from app.core.mcp.proxy.failures import refusal_of
from app.core.mcp.proxy.headers import inward
from app.core.mcp.proxy.parts import SendFailure
from app.core.mcp.proxy.refusals import Refusal, RefusalKind, RequestRefused
from app.core.mcp.proxy.routes import StillRefreshing
from app.core.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.auth.tokens import TokenSet
    from app.core.mcp.proxy.answers import Release, ServerAnswer
    from app.core.mcp.proxy.parts import Headers, Sender
    from app.core.mcp.proxy.routes import ServerRoute
    from app.core.mcp.proxy.sessions import ProxySession

log = logging.getLogger(__name__)

CHECK_FIRST = "Check whether it took effect before sending it again."
TRY_AGAIN = "Try again in a moment."
# In seconds. A connection that is refused at once may be accepted a little later.
AWAY_PAUSES = (0.1, 0.2, 0.4, 0.8)
AT_ONCE_SECONDS = 0.5
# A server that has not answered for longer than this is not one that is just started again.
RECENT_SECONDS = 10.0


@dataclass(eq=False)
class Outgoing:
    """A request for a server. `headers` are the client's; `more` come besides. `url` is an address on the server's own
    origin in place of its usual one.

    `repeatable`: executing it twice does no harm. `follow_session`: an answer that may mean the end of `session` stands
    and is not healed, as a new session is the remedy. `begin` is called with an answer that is a stream when its head
    is there, `release` with what comes before its first message. `waits`: for a moment, for a server that is away.
    """

    route: ServerRoute
    method: str
    headers: Headers = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    session: ProxySession | None = None
    repeatable: bool = True
    follow_session: bool = True
    begin: Callable[[ServerAnswer], None] | None = None
    release: Release | None = None
    more: Headers = ()
    url: str = ""
    waits: bool = True


class Healing:
    """Asks servers through one sender."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def ask(self, out: Outgoing) -> ServerAnswer:
        """The answer that stands, read as far as it was judged. Raises `RequestRefused`."""
        tokens = await self._token(out.route)
        repeated = again = False
        resent = not out.repeatable
        # A server that answered lately, or had a session, may be back soon. What never left may be sent again.
        known = out.session is not None or monotonic() - out.route.answered_at < RECENT_SECONDS
        pauses = iter(AWAY_PAUSES if out.waits and known else ())
        while True:
            began = monotonic()
            try:
                answer = await self._send(out, tokens)
            except SendFailure as failure:
                if not failure.sent and monotonic() - began < AT_ONCE_SECONDS and (pause := next(pauses, 0.0)):
                    await asyncio.sleep(pause)
                    continue
                if resent or not failure.sent:
                    raise _unreachable(out, failure) from None
                resent = True
                continue
            try:
                newer = await self._next(out, answer, tokens, last=repeated and not again)
            except BaseException:
                answer.close()
                raise
            if newer is None:
                return answer
            answer.close()
            # At most one refresh for a request; a token that was adopted may be dead too (`Recovery`).
            again = not repeated and _may_repeat_again(out.route, newer)
            repeated, tokens = True, newer

    async def _token(self, route: ServerRoute) -> TokenSet | None:
        recovery = route.recovery
        if recovery is None:
            return None
        try:
            return recovery.fresh_token(route.origin) or await route.patiently(recovery.token(route.origin))
        except BurrowError as failure:
            raise RequestRefused(await _about_sign_in(route, failure)) from None
        except StillRefreshing:
            raise RequestRefused(_slow(route)) from None
        except Exception:
            # A bug of ours must not be worse than no token: the server says what it says (faults row 70).
            log.exception("no token could be put on a request")
            return None

    async def _send(self, out: Outgoing, tokens: TokenSet | None) -> ServerAnswer:
        """Send it, and read what decides. Raises `SendFailure`."""
        route, session = out.route, out.session
        besides = route.upstream.headers()
        if out.url and origin_of(out.url) != route.origin:
            # The token was chosen for the origin of the route.
            raise RequestRefused(_unavailable(route, "names an address at another origin", "Correct its address."))
        if not route.confidential and (route.recovery is not None or besides):
            words = "cannot be used: its address is not https, and a secret would travel readable"
            raise RequestRefused(_unavailable(route, words, "Correct its address."))
        headers = inward(
            out.headers,
            besides,
            bearer="" if tokens is None else tokens.bearer,
            session="" if session is None else session.upstream_id,
            more=out.more,
        )
        generation = 0 if session is None else session.generation
        answer = answer_of(await self._sender.send(out.method, out.url or route.upstream.url, headers, out.body))
        answer.tokens, answer.generation = tokens, generation
        route.answered_at = monotonic()
        try:
            await _read_opening(out, answer)
        except BaseException:
            answer.close()
            raise
        return answer

    async def _next(
        self, out: Outgoing, answer: ServerAnswer, tokens: TokenSet | None, *, last: bool
    ) -> TokenSet | None:
        """The token to repeat the request with; None when the answer stands. Raises `RequestRefused`."""
        route, recovery = out.route, out.route.recovery
        if 300 <= answer.status < 400:
            raise RequestRefused(
                _unavailable(route, "redirects to another address, which is not followed", "Correct its address.")
            )
        if recovery is None and answer.status == 401:
            # It asks for a sign-in that there never was. A client would begin one of its own, past the proxy.
            sentence = await route.sign_in_needed()
            words = f"{route.upstream.title} needs a sign-in in Burrow. {sentence}"
            raise RequestRefused(Refusal(RefusalKind.SIGN_IN_NEEDED, words, sentence, route.upstream.id))
        if recovery is None or tokens is None:
            return None
        target = recovery.target
        reply = Reply(
            answer.status,
            answer.text_headers,
            answer.message,
            at_stake=target.at_stake,
            reports_own_auth=target.reports_own_auth,
        )
        try:
            if last:
                verdict, rule = recovery.judge_repeated(reply, tokens)
            else:
                verdict, rule = recovery.judge(reply, tokens)
            if verdict is Verdict.FINE:
                route.worked()
                return None
            if verdict is Verdict.VENDOR_SIGN_IN:
                route.vendor_sign_in_needed()
                return None
            if answer.status in {401, 403} and out.follow_session and _bound(out, answer):
                return None
            if last or verdict not in {Verdict.RECOVERABLE_AUTH, Verdict.AMBIGUOUS_AUTH}:
                newer, failure = None, None
            else:
                newer, failure, _seconds = await route.patiently(recovery.remedy(verdict, rule, reply, tokens))
        except StillRefreshing:
            raise RequestRefused(_slow(route)) from None
        except Exception:
            log.exception("the refusal could not be handled")
            return None
        if newer is not None:
            return newer
        if failure is not None:
            raise RequestRefused(await _about_sign_in(route, failure))
        await _stands(route, verdict)
        return None


def _may_repeat_again(route: ServerRoute, newer: TokenSet) -> bool:
    try:
        return route.recovery is not None and route.recovery.may_repeat_again(newer)
    except Exception:
        log.exception("it is not known where a token comes from")
        return False


async def _stands(route: ServerRoute, verdict: Verdict) -> None:
    """An answer stands after all. Raises `RequestRefused` where it is about a token of ours."""
    if verdict is Verdict.AMBIGUOUS_AUTH:
        # The host accepts the token, so this is about the vendor's.
        route.vendor_sign_in_needed()
    elif verdict is Verdict.KEY_REFUSED:
        sentence = await route.sign_in_needed()
        words = f"{route.upstream.title} no longer accepts the sign-in of Burrow. {sentence}"
        raise RequestRefused(Refusal(RefusalKind.SIGN_IN_NEEDED, words, sentence, route.upstream.id))
    elif verdict is Verdict.RECOVERABLE_AUTH:
        raise RequestRefused(
            _unavailable(route, "refuses a sign-in that has just been renewed", "Ask whoever runs the server.")
        )


async def _about_sign_in(route: ServerRoute, failure: BurrowError) -> Refusal:
    """Why there is no token that works."""
    upstream = route.upstream
    refusal = refusal_of(failure, upstream.id, upstream.title)
    if refusal.kind is not RefusalKind.SIGN_IN_NEEDED:
        return refusal
    sentence = await route.sign_in_needed()
    return Refusal(refusal.kind, f"{upstream.title} needs a sign-in in Burrow. {sentence}", sentence, upstream.id)


async def _read_opening(out: Outgoing, answer: ServerAnswer) -> None:
    if answer.status >= 400:
        try:
            answer.message = await answer.peek()
        except SendFailure:
            # Its status may say enough.
            answer.cut_off()
    elif answer.status == 200:
        if answer.is_stream and out.begin is not None:
            out.begin(answer)
        if out.method != "POST":
            return
        if answer.media_type == JSON:
            answer.message = await answer.peek()
        elif answer.media_type == EVENT_STREAM:
            answer.message = await answer.first_message(out.release)


def _bound(out: Outgoing, answer: ServerAnswer) -> bool:
    """Whether the session was opened with another token, to which the server may have bound it, or was replaced."""
    session = out.session
    if session is None or answer.tokens is None:
        return False
    return answer.generation != session.generation or session.is_opened_with(answer.tokens.access_token) is False


def _unreachable(out: Outgoing, failure: SendFailure) -> RequestRefused:
    upstream = out.route.upstream
    facts = {"outcome_unknown": True} if failure.sent and not out.repeatable else {}
    if facts:
        words = f"{upstream.title} did not answer, and the request may have been carried out: {failure.reason}."
        return RequestRefused(
            Refusal(RefusalKind.SERVER_UNAVAILABLE, f"{words} {CHECK_FIRST}", CHECK_FIRST, upstream.id, facts)
        )
    return RequestRefused(_unavailable(out.route, f"cannot be reached: {failure.reason}", TRY_AGAIN))


def _slow(route: ServerRoute) -> Refusal:
    return _unavailable(route, "cannot be used yet: its sign-in is being renewed, which takes long", TRY_AGAIN)


def _unavailable(route: ServerRoute, words: str, action: str) -> Refusal:
    upstream = route.upstream
    return Refusal(RefusalKind.SERVER_UNAVAILABLE, f"{upstream.title} {words}. {action}", action, upstream.id)
