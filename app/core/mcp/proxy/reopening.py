"""Reopening: requests within a session, which is opened again when the server does not know it any more."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from app.core.auth.http.openings import EVENT_STREAM
from app.core.mcp.proxy.headers import LAST_EVENT_ID, PROTOCOL_VERSION, SESSION
from app.core.mcp.proxy.healing import Outgoing
from app.core.mcp.proxy.messages import INITIALIZED
from app.core.mcp.proxy.parts import SendFailure
from app.core.mcp.proxy.sessions import BUSY_SECONDS, is_over, protocol_of
from app.core.mcp.proxy.streams import EventSplitter, OversizedEvent, data_of

if TYPE_CHECKING:
    from app.core.mcp.proxy.answers import ServerAnswer
    from app.core.mcp.proxy.healing import Healing
    from app.core.mcp.proxy.parts import Headers
    from app.core.mcp.proxy.routes import ServerRoute
    from app.core.mcp.proxy.sessions import ProxySession, Sessions

log = logging.getLogger(__name__)

# A token may die again while the session for it is opened.
MOST_OPENINGS = 3
OPEN_SECONDS = 45.0
OPENING_HEADERS: Headers = (
    (b"accept", b"application/json, text/event-stream"),
    (b"content-type", b"application/json"),
)
INITIALIZED_BODY = b'{"jsonrpc":"2.0","method":"%b"}' % INITIALIZED.encode()


class Reopening:
    """Asks servers within sessions."""

    def __init__(self, healing: Healing, sessions: Sessions) -> None:
        self._healing = healing
        self._sessions = sessions

    async def ask(self, out: Outgoing) -> ServerAnswer:
        """The answer that stands, of a session that was opened again if need be. Raises `RequestRefused`."""
        session = out.session
        for _ in range(MOST_OPENINGS):
            answer = await self._healing.ask(out)
            if session is None or not needs_session(answer, session):
                return answer
            agent = tuple(pair for pair in out.headers if pair[0] == b"user-agent")
            try:
                # All of these answers say that the request was not executed, so it may be sent again.
                opened = await self._sessions.reopen(
                    session, answer.generation, partial(self._open_again, out.route, session, agent)
                )
            except BaseException:
                answer.close()
                raise
            if not opened and answer.status not in {401, 403}:
                return answer
            answer.close()
            if not opened:
                # It was not the session, so it is the token.
                break
            # The new session knows no event of the former.
            out = replace(out, headers=tuple(pair for pair in out.headers if pair[0] != LAST_EVENT_ID))
        return await self._healing.ask(replace(out, follow_session=False))

    async def _open_again(self, route: ServerRoute, session: ProxySession, agent: Headers) -> tuple[str, str] | None:
        """Open another session at the server; its id there and the token it was opened with. Raises `RequestRefused`.

        None when there is none that can take the place of the former: the client has to open one by itself.
        """
        if not session.opening:
            return None
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                return await self._opened(route, session, agent)
        except TimeoutError:
            log.info("%s opened no session in %.0f s", route.upstream.title, OPEN_SECONDS)
            return None

    async def _opened(self, route: ServerRoute, session: ProxySession, agent: Headers) -> tuple[str, str] | None:
        out = Outgoing(route, "POST", OPENING_HEADERS + agent, session.opening)
        answer = await self._healing.ask(out)
        try:
            protocol = protocol_of(await _result(answer)) if answer.status == 200 else None
        finally:
            answer.close()
        if protocol is None or (session.protocol and protocol != session.protocol):
            log.info("%s opened no session in the place of a former one", route.upstream.title)
            return None
        upstream_id = answer.text_headers.get(SESSION.decode(), "")
        more: Headers = ((PROTOCOL_VERSION, protocol.encode("latin-1", "replace")),)
        if upstream_id:
            more += ((SESSION, upstream_id.encode("latin-1")),)
        told = await self._healing.ask(replace(out, body=INITIALIZED_BODY, more=more))
        told.close()
        if told.status >= 400:
            log.info("%s did not take the new session: status %s", route.upstream.title, told.status)
            return None
        for body in tuple(session.set_up.values()):
            (await self._healing.ask(replace(out, body=body, more=more))).close()
        return upstream_id, "" if answer.tokens is None else answer.tokens.access_token


def needs_session(answer: ServerAnswer, session: ProxySession) -> bool:
    """Whether a request may succeed in a new session, and was not executed in this one.

    401 and 403: the session may be bound to the token it was opened with, which has been refreshed since (docs/wire.md,
    "The host's MCP endpoint").
    """
    if answer.status in {401, 403}:
        if answer.tokens is None:
            return False
        opened_with_it = session.is_opened_with(answer.tokens.access_token)
        return answer.generation != session.generation or opened_with_it is not True
    if answer.status == 503 and monotonic() - session.opened_at < BUSY_SECONDS:
        return False
    return is_over(answer)


async def _result(answer: ServerAnswer) -> bytes:
    """The message that answers an `initialize`, also after others in a stream."""
    if answer.media_type != EVENT_STREAM:
        return answer.message
    splitter = EventSplitter()
    try:
        while data := await answer.next():
            for event in splitter.feed(data):
                message = data_of(event)
                if protocol_of(message) is not None or b'"error"' in message:
                    return message
    except (SendFailure, OversizedEvent):
        pass
    return b""
