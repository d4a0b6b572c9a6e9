"""StoredSessions: the sessions that clients of the local proxy have with servers, so that a restarted proxy knows them.

Losing one costs the client an `initialize`. It is no secret: without the client's key it gives nothing.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from app.core.errors import StorageTrouble
from app.core.storage.repository import Repository, Unreadable, moment, text

if TYPE_CHECKING:
    import sqlite3

# Beyond these the sessions that were not used for the longest time go. A client that opens one for each call must not
# push out those of the others.
SESSIONS, SESSIONS_OF_A_CLIENT = 1_000, 250
LONGEST_OPENING = 64 * 1024
BATCH_SECONDS = 2.0

_COLUMNS = "id, client, server, opening, upstream_id, protocol, token, used_at"
# Answered by the indexes alone: the openings are long.
_TRIM = """DELETE FROM proxy_sessions WHERE rowid IN (
    SELECT rowid FROM proxy_sessions {where} ORDER BY used_at DESC, rowid DESC LIMIT -1 OFFSET ?
)"""
_TRIM_CLIENT, _TRIM_ALL = _TRIM.format(where="WHERE client = ?"), _TRIM.format(where="")


class SessionRow(NamedTuple):
    """A session. `id` is the one that the client has, `upstream_id` the server's, empty if it gave none.

    `opening` is the client's own `initialize` message, `protocol` the version that the server chose, `token` the
    fingerprint of the token that it was opened with at the server, empty where it is not known. `used_at` is in Unix
    seconds.
    """

    id: str
    client: str
    server: str
    opening: bytes
    upstream_id: str
    protocol: str
    token: str = ""
    used_at: float = 0.0


class StoredSessions(Repository):
    """All methods but `touch` raise `StorageTrouble`. They may be awaited on any thread's loop."""

    def attach(self) -> None:
        """Start without unwritten uses."""
        # Guards what any thread may change.
        self._lock = threading.Lock()
        self._touched: dict[str, float] = {}

    async def get(self, session: str) -> SessionRow | None:
        """The session with this id, None when it is not known."""

        def job() -> SessionRow | None:
            rows = self._database.read(f"SELECT {_COLUMNS} FROM proxy_sessions WHERE id = ?", (session,))
            found = self._readable("proxy_sessions", ("id",), rows, _decode, told=False)
            return found[0] if found else None

        return await self._run(job)

    async def put(self, session: SessionRow) -> bool:
        """Store a session, used now, in the place of an earlier one of its id; the oldest beyond the bounds go.

        Returns False, and stores nothing, when its opening is too long to keep.
        """
        if len(session.opening) > LONGEST_OPENING:
            return False
        row = (*session[:-1], time.time())

        def change(connection: sqlite3.Connection) -> None:
            self._write_touched(connection)
            connection.execute("INSERT OR REPLACE INTO proxy_sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            connection.execute(_TRIM_CLIENT, (session.client, SESSIONS_OF_A_CLIENT))
            connection.execute(_TRIM_ALL, (SESSIONS,))

        await self._run(lambda: self._database.write(change, durable=False))
        return True

    def touch(self, session: str) -> None:
        """The session was used now. Returns at once, on any thread; written soon."""
        with self._lock:
            first = not self._touched
            self._touched[session] = time.time()
        if first:
            try:
                self._writer.later("proxy sessions", BATCH_SECONDS, self._flush)
            except StorageTrouble:
                # Closed: the next start takes it for a session that was used a little earlier.
                return

    async def delete(self, session: str) -> None:
        """Forget a session."""
        await self._run(
            lambda: self._database.write(
                lambda connection: connection.execute("DELETE FROM proxy_sessions WHERE id = ?", (session,)),
                durable=False,
            )
        )

    def _flush(self) -> None:
        self._database.write(self._write_touched, durable=False)

    def _write_touched(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            batch, self._touched = self._touched, {}
        rows = [(at, session) for session, at in batch.items()]
        connection.executemany("UPDATE proxy_sessions SET used_at = ? WHERE id = ?", rows)


def _decode(row: tuple[Any, ...]) -> SessionRow:
    id_, client, server, opening, upstream_id, protocol, token, used_at = row
    if not isinstance(opening, bytes):
        raise Unreadable
    return SessionRow(
        text(id_), text(client), text(server), opening, text(upstream_id), text(protocol), text(token), moment(used_at)
    )
