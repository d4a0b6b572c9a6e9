"""Sessions: clients have sessions with the proxy, which outlive those of the servers behind it.

A client keeps its `Mcp-Session-Id` while the server's changes: when the server was started again, or bound its session
to a token that has been refreshed since. The proxy then opens another session with the client's own `initialize`, once
for all requests that need it. Only sessions of revisions up to 2025-11-25: later ones have none.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
from collections import OrderedDict
from time import monotonic
from typing import TYPE_CHECKING, Any

from app.core.background import retrieve
from app.core.errors import StorageTrouble
from app.core.mcp.proxy.answers import error_code
from app.core.storage.proxy_sessions import LONGEST_OPENING, SessionRow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.auth.tokens import Fingerprints
    from app.core.mcp.proxy.answers import ServerAnswer
    from app.core.mcp.proxy.messages import Post
    from app.core.mcp.proxy.parts import SessionStore

log = logging.getLogger(__name__)

# In memory. Others are read again from the store.
MOST_SESSIONS = 256
TOUCH_SECONDS = 30.0
# What is kept of one session, so that no client can fill the memory.
MOST_SET_UP, LONGEST_SET_UP = 200, 2_000
METHOD_NOT_FOUND, SESSION_CODE = -32601, -32001
# What the official SDKs say of a session that they do not know (TypeScript: "No valid session ID provided", "Server not
# initialized", "Mcp-Session-Id header is required"; Python: "Missing session ID", "Invalid or expired session ID").
UNKNOWN_SESSION = re.compile(
    rb"(?:no valid|unknown|invalid(?: or expired)?|missing|expired) session"
    rb"|session(?: id)? (?:was )?(?:not found|expired|invalid|unknown|terminated|does not exist)"
    rb"|server not initialized|mcp-session-id header is required",
    re.IGNORECASE,
)
SHOWN_BYTES = 4_000
REVISION = re.compile(r"[\x21-\x7e]{1,40}")
# A server that is only busy says 503 in its new session too.
BUSY_SECONDS = 10.0


class ProxySession:
    """A session of a client. `id` is the client's, `upstream_id` the server's now.

    `opening` is the client's own `initialize`. `generation` counts the server's sessions for it. `opened_with` is the
    fingerprint of the access token of the request that opened the newest of them, empty where it is not known.
    `restarts` are called when there is a new one.
    """

    def __init__(self, row: SessionRow, fingerprint: Fingerprints) -> None:
        self.id = row.id
        self.client = row.client
        self.server = row.server
        self.opening = row.opening
        self.upstream_id = row.upstream_id
        self.protocol = row.protocol
        self.generation = 1
        self.opened_with = row.token
        self._fingerprint = fingerprint
        self.agent = agent_of(row.opening)
        self.restarts: set[Callable[[], None]] = set()
        self.reopening: asyncio.Task[bool] | None = None
        self.touched = 0.0
        # In `time.monotonic()`.
        self.opened_at = 0.0
        self.ended = False
        # What the client set up in it, as it was sent: the level of the log, and what it is subscribed to.
        self.set_up: dict[str, bytes] = {}

    def remember(self, post: Post) -> None:
        """The server took a request that holds for the rest of its session."""
        if len(post.body) > LONGEST_SET_UP:
            return
        match post.method, post.messages[0].params:
            case "logging/setLevel", _:
                self.set_up["level"] = post.body
            case "resources/subscribe", {"uri": str(uri)} if len(self.set_up) < MOST_SET_UP:
                self.set_up[f"uri {uri}"] = post.body
            case "resources/unsubscribe", {"uri": str(uri)}:
                self.set_up.pop(f"uri {uri}", None)

    @property
    def row(self) -> SessionRow:
        """As it is stored."""
        return SessionRow(
            self.id, self.client, self.server, self.opening, self.upstream_id, self.protocol, self.opened_with
        )

    def is_opened_with(self, token: str) -> bool | None:
        """Whether the server's session was opened with this access token; None where that is not known."""
        return self._fingerprint(token) == self.opened_with if self.opened_with else None


class Sessions:
    """All sessions that clients have, in memory and in a store."""

    def __init__(self, store: SessionStore, fingerprint: Fingerprints) -> None:
        self._store = store
        self._fingerprint = fingerprint
        self._known: OrderedDict[str, ProxySession] = OrderedDict()

    async def find(self, identity: str, client: str, server: str) -> ProxySession | None:
        """The session with this id, if it is this client's with this server."""
        session = self._known.get(identity)
        if session is None:
            try:
                row = await self._store.get(identity)
            except StorageTrouble:
                log.warning("the sessions of clients cannot be read", exc_info=True)
                return None
            if row is None:
                return None
            # Another request may have found it meanwhile.
            session = self._known.get(identity) or self._keep(ProxySession(row, self._fingerprint))
        if session.client != client or session.server != server:
            return None
        self._known.move_to_end(identity)
        now = monotonic()
        if now - session.touched > TOUCH_SECONDS:
            session.touched = now
            self._store.touch(identity)
        return session

    async def begin(
        self, client: str, server: str, *, opening: bytes, upstream_id: str, protocol: str, opened_with: str
    ) -> ProxySession:
        """A new session, which the server knows as `upstream_id`, opened with an access token or, where empty, none."""
        # One that is too long is not kept: then the client has to open its next session by itself.
        kept = opening if len(opening) <= LONGEST_OPENING else b""
        token = self._fingerprint(opened_with)
        row = SessionRow(secrets.token_urlsafe(24), client, server, kept, upstream_id, protocol, token)
        session = self._keep(ProxySession(row, self._fingerprint))
        session.touched = session.opened_at = monotonic()
        await self._save(session)
        return session

    async def end(self, session: ProxySession) -> None:
        """Forget a session. Its streams end."""
        self._known.pop(session.id, None)
        session.ended = True
        for restart in tuple(session.restarts):
            restart()
        try:
            await self._store.delete(session.id)
        except StorageTrouble:
            log.warning("a session of a client cannot be forgotten", exc_info=True)

    async def reopen(
        self, session: ProxySession, generation: int, open_again: Callable[[], Awaitable[tuple[str, str] | None]]
    ) -> bool:
        """Replace the server's session `generation` by a new one; whether there is one now.

        `open_again` returns the server's id of it and the access token it was opened with, None when the server opened
        none that can take the place of the former. All who ask at once share one opening, and what it raises.
        """
        if session.generation != generation:
            return True
        if session.ended:
            return False
        if session.reopening is None:
            task = session.reopening = asyncio.create_task(self._reopen(session, open_again))
            task.add_done_callback(retrieve)
        return await asyncio.shield(session.reopening)

    async def _reopen(self, session: ProxySession, open_again: Callable[[], Awaitable[tuple[str, str] | None]]) -> bool:
        try:
            opened = await open_again()
            if opened is None or session.ended:
                return False
            session.upstream_id, session.opened_with = opened[0], self._fingerprint(opened[1])
            session.generation += 1
            session.opened_at = monotonic()
        finally:
            session.reopening = None
        for restart in tuple(session.restarts):
            restart()
        await self._save(session)
        return True

    async def close(self) -> None:
        """Cancel what is being opened."""
        tasks = [session.reopening for session in self._known.values() if session.reopening is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _keep(self, session: ProxySession) -> ProxySession:
        self._known[session.id] = session
        if len(self._known) > MOST_SESSIONS:
            # Of one that is in use there must be one object only.
            idle = (key for key, one in self._known.items() if not one.restarts and one.reopening is None)
            oldest = next(idle, session.id)
            if oldest != session.id:
                del self._known[oldest]
        return session

    async def _save(self, session: ProxySession) -> None:
        try:
            await self._store.put(session.row)
        except StorageTrouble:
            # It lasts as long as this process.
            log.warning("a session of a client cannot be kept", exc_info=True)


def is_over(answer: ServerAnswer) -> bool:
    """Whether a server says that it does not know the session of a request. The request then was not executed."""
    status = answer.status
    if status == 404:
        return error_code(answer.message) != METHOD_NOT_FOUND
    if status == 400:
        return UNKNOWN_SESSION.search(answer.message[:SHOWN_BYTES]) is not None
    if status == 200:
        # The code alone says nothing: it is also that of a time-out, and of a tool that waits for approval.
        message = answer.message[:SHOWN_BYTES]
        return (
            b"-32001" in message
            and error_code(answer.message) == SESSION_CODE
            and UNKNOWN_SESSION.search(message) is not None
        )
    return status == 503


def agent_of(opening: bytes) -> str:
    """Name and version that a client gave itself in its `initialize`; empty when it gave none."""
    match _json(opening):
        case {"params": {"clientInfo": info}}:
            return _words_of(info)
        case _:
            return ""


def agent_in(post: Post | None) -> str:
    """The same from a request of a client without a session: `initialize` itself, or one of MCP 2026-07-28."""
    request = None if post is None else post.request
    match {} if request is None else request.params:
        case {"clientInfo": info}:
            return _words_of(info)
        case {"_meta": {"io.modelcontextprotocol/clientInfo": info}}:
            return _words_of(info)
        case _:
            return ""


def protocol_of(message: bytes) -> str | None:
    """The revision that the answer to an `initialize` chose; None when it is no success."""
    match _json(message):
        case {"result": {"protocolVersion": str(version)}} if REVISION.fullmatch(version):
            return version
        case _:
            return None


def _words_of(info: object) -> str:
    match info:
        case {"name": str(name), **rest}:
            version = rest.get("version")
            words = f"{name} {version}" if isinstance(version, str) else name
            # Half of a surrogate pair cannot be stored.
            return words[:200].strip().encode("utf-8", "replace").decode()
        case _:
            return ""


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
