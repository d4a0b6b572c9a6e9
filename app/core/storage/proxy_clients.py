"""StoredClients: the MCP clients that have a key for the local proxy, what they may use and what they used.

Several processes share these tables: the one that serves the proxy, the window, and commands that revoke a key. Whoever
keeps a copy asks `version` whether it is still true.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from app.core.errors import StorageTrouble
from app.core.storage.lease import LOCKS_FOLDER, NOBODY, Lease
from app.core.storage.repository import Repository, Unreadable, moment, number, text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterable, Mapping

T = TypeVar("T")
Version: TypeAlias = tuple[int, int]

log = logging.getLogger(__name__)

LOCK_PREFIX = "proxy-key-"
# The `program` of clients that Burrow makes itself, for one run each. Nobody connected them, so once they are revoked
# they are gone.
RUN_PROGRAM = "run"
# Of the clients that were revoked, the newest are kept: they say who used what until when.
REVOKED_CLIENTS = 50
BATCH_SECONDS = 5.0

_CLIENT = "id, name, program, created_at, servers, revoked_at"
_TRIM_REVOKED = """SELECT id FROM proxy_clients WHERE revoked_at IS NOT NULL
    ORDER BY revoked_at DESC, id LIMIT -1 OFFSET ?"""
_OF_A_RUN = "SELECT id FROM proxy_clients WHERE id = ? AND program = ?"
_COUNT = """INSERT INTO proxy_use SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM proxy_clients WHERE id = ?1)
    ON CONFLICT DO UPDATE SET
    calls = calls + excluded.calls, last_used = max(last_used, excluded.last_used),
    agent = CASE excluded.agent WHEN '' THEN agent ELSE excluded.agent END"""


class ClientRow(NamedTuple):
    """A client. Times are in Unix seconds. `servers` are the ids of those it may use, None for all."""

    id: str
    name: str
    program: str
    created_at: float
    servers: tuple[str, ...] | None = None
    revoked_at: float | None = None


class UseRow(NamedTuple):
    """What a client used of one server: calls of tools, the last request, and how the client named itself there."""

    client: str
    server: str
    calls: int
    last_used: float
    agent: str


class RuleRow(NamedTuple):
    """What the user decided about a tool for one client; `rule` is the text that was stored."""

    client: str
    server: str
    tool: str
    rule: str


class ClientTables(NamedTuple):
    """All clients, the revoked ones included, with the client of each key by the key's hash, rules and use.

    `version` is older than everything else here: while `StoredClients.version` is the same, this is still true.
    """

    version: Version
    clients: tuple[ClientRow, ...]
    keys: dict[str, str]
    rules: tuple[RuleRow, ...]
    use: tuple[UseRow, ...]


class StoredClients(Repository):
    """All methods but `count` raise `StorageTrouble`. Changes are durable when they return."""

    def attach(self) -> None:
        """Start without uncounted uses."""
        # Guards what any thread may change.
        self._lock = threading.Lock()
        self._uses: dict[tuple[str, str], UseRow] = {}

    async def add(self, client: ClientRow, key: str) -> bool:
        """Add a client with the hash of its key. Returns False, and adds nothing, when the name is taken."""
        servers = None if client.servers is None else json.dumps(client.servers)
        row = (client.id, client.name, client.program, client.created_at, servers, client.revoked_at)

        def change(connection: sqlite3.Connection) -> bool:
            if _is_taken(connection, client.name, client.id):
                return False
            connection.execute(f"INSERT INTO proxy_clients ({_CLIENT}) VALUES (?, ?, ?, ?, ?, ?)", row)
            _add_key(connection, key, client.id, NOBODY, client.created_at)
            return True

        return await self._write(change)

    async def rename(self, client: str, name: str) -> bool:
        """Returns False, and changes nothing, when the name is taken or there is no such client."""

        def change(connection: sqlite3.Connection) -> bool:
            return not _is_taken(connection, name, client) and _update(connection, client, "name = ?", name)

        return await self._write(change)

    async def set_servers(self, client: str, servers: Collection[str] | None) -> bool:
        """The ids of the servers that a client may use, None for all. Returns whether there is such a client."""
        stored = None if servers is None else json.dumps(sorted(servers))
        return await self._write(lambda connection: _update(connection, client, "servers = ?", stored))

    async def set_rules(self, client: str, server: str, rules: Mapping[str, str | None]) -> bool:
        """What the user decided about tools for a client, None for nothing: all of it or none.

        Returns whether there is such a client.
        """
        changed = [(client, server, tool) for tool in rules]
        kept = [(client, server, tool, rule) for tool, rule in rules.items() if rule is not None]

        def change(connection: sqlite3.Connection) -> bool:
            if not _in_force(connection, client):
                return False
            connection.executemany("DELETE FROM proxy_rules WHERE client = ? AND server = ? AND tool = ?", changed)
            connection.executemany("INSERT INTO proxy_rules VALUES (?, ?, ?, ?)", kept)
            return True

        return await self._write(change)

    async def revoke(self, client: str, at: float) -> bool:
        """Delete all keys, sessions and rules of a client, and mark it. What it used stays known, but for one of a run.

        Returns False for a client that was not there, or revoked before.
        """

        def change(connection: sqlite3.Connection) -> bool:
            found = _in_force(connection, client)
            # A client that is revoked already, or whose row was set aside, must have no key either.
            for table in ("proxy_keys", "proxy_sessions", "proxy_rules"):
                connection.execute(f"DELETE FROM {table} WHERE client = ?", (client,))
            connection.execute(
                "UPDATE proxy_clients SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (at, client)
            )
            gone = connection.execute(_OF_A_RUN, (client, RUN_PROGRAM)).fetchall()
            for (old,) in [*gone, *connection.execute(_TRIM_REVOKED, (REVOKED_CLIENTS,)).fetchall()]:
                connection.execute("DELETE FROM proxy_use WHERE client = ?", (old,))
                connection.execute("DELETE FROM proxy_clients WHERE id = ?", (old,))
            return found

        return await self._write(change)

    async def renew_key(self, client: str, key: str, at: float) -> bool:
        """Put the hash of another key in the place of the one that was given to the user.

        Returns whether there is such a client.
        """

        def change(connection: sqlite3.Connection) -> bool:
            if not _in_force(connection, client):
                return False
            connection.execute("DELETE FROM proxy_keys WHERE client = ? AND owner = ?", (client, NOBODY))
            _add_key(connection, key, client, NOBODY, at)
            return True

        return await self._write(change)

    async def lend_key(self, client: str, key: str, owner: str, at: float) -> bool:
        """Add the hash of a key that the process `owner` has; it goes when that process has ended.

        The keys of processes that ended without `return_key` are deleted. Returns whether there is such a client.
        """
        path = self._database.path
        lease = Lease(None if path is None else path.parent / LOCKS_FOLDER, LOCK_PREFIX)

        def change(connection: sqlite3.Connection) -> bool:
            if not _in_force(connection, client):
                return False
            for (other,) in connection.execute("SELECT DISTINCT owner FROM proxy_keys").fetchall():
                if other not in {NOBODY, owner} and not lease.alive_elsewhere(other):
                    connection.execute("DELETE FROM proxy_keys WHERE owner = ?", (other,))
            _add_key(connection, key, client, owner, at)
            return True

        return await self._write(change)

    async def return_key(self, key: str) -> None:
        """Delete the hash of a key."""
        await self._write(lambda connection: connection.execute("DELETE FROM proxy_keys WHERE hash = ?", (key,)))

    async def version(self) -> Version:
        """What changes when another process changed anything in the database, or another database took its place."""
        return await self._run(self._version)

    async def all(self) -> ClientTables:
        """Everything but the sessions, uses that are not written yet included. The oldest client comes first."""

        def job() -> ClientTables:
            with self._lock:
                uncounted = dict(self._uses)
            version = self._version()
            read = self._database.read
            clients = read(f"SELECT {_CLIENT} FROM proxy_clients ORDER BY created_at, id")
            keys = read("SELECT hash, client FROM proxy_keys")
            rules = read("SELECT client, server, tool, rule FROM proxy_rules")
            use = read("SELECT client, server, calls, last_used, agent FROM proxy_use")
            counted = {row[:2]: row for row in self._readable("proxy_use", ("client", "server"), use, _use, told=False)}
            for key, row in uncounted.items():
                counted[key] = _sum(counted.get(key), row)
            return ClientTables(
                version,
                tuple(self._readable("proxy_clients", ("id",), clients, _client)),
                dict(self._readable("proxy_keys", ("hash",), keys, _key)),
                tuple(self._readable("proxy_rules", ("client", "server", "tool"), rules, _rule)),
                tuple(counted.values()),
            )

        return await self._run(job)

    def count(self, use: UseRow) -> None:
        """Add calls, and the time and name if they are newer. Returns at once, on any thread; written soon."""
        key = use.client, use.server
        with self._lock:
            first = not self._uses
            self._uses[key] = _sum(self._uses.get(key), use)
        if first:
            # Closed: what is counted after that is lost, a line of statistics.
            with contextlib.suppress(StorageTrouble):
                self._writer.later("proxy use", BATCH_SECONDS, self._flush)

    def _flush(self) -> None:
        with self._lock:
            batch, self._uses = self._uses, {}
        if not batch:
            return
        rows = [tuple(use) for use in batch.values()]
        try:
            self._database.write(lambda connection: connection.executemany(_COUNT, rows), durable=False)
        except StorageTrouble as trouble:
            log.warning("what clients of the proxy used is not counted yet: %s", trouble.cause)
            for use in batch.values():
                self.count(use)

    async def _write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        return await self._run(lambda: self._database.write(change, durable=True))

    def _version(self) -> Version:
        [(found,)] = self._database.read("PRAGMA data_version")
        return self._database.replacements, int(found)


def client_called(clients: Iterable[ClientRow], name: str) -> ClientRow | None:
    """The client that may use the proxy and has this name, else this id."""
    usable = [client for client in clients if client.revoked_at is None]
    named = [client for client in usable if client.name.casefold() == name.casefold()]
    return next(iter(named or [client for client in usable if client.id == name]), None)


def _sum(before: UseRow | None, use: UseRow) -> UseRow:
    if before is None:
        return use
    newer = max(before.last_used, use.last_used)
    return UseRow(use.client, use.server, before.calls + use.calls, newer, use.agent or before.agent)


def _update(connection: sqlite3.Connection, client: str, what: str, value: object) -> bool:
    where = "id = ? AND revoked_at IS NULL"
    return connection.execute(f"UPDATE proxy_clients SET {what} WHERE {where}", (value, client)).rowcount > 0


def _is_taken(connection: sqlite3.Connection, name: str, client: str) -> bool:
    """Whether another client has the name. The command line tells clients apart by their names."""
    query = "SELECT name FROM proxy_clients WHERE revoked_at IS NULL AND id <> ? AND typeof(name) = 'text'"
    return any(str(other).casefold() == name.casefold() for (other,) in connection.execute(query, (client,)))


def _in_force(connection: sqlite3.Connection, client: str) -> bool:
    query = "SELECT 1 FROM proxy_clients WHERE id = ? AND revoked_at IS NULL"
    return connection.execute(query, (client,)).fetchone() is not None


def _add_key(connection: sqlite3.Connection, key: str, client: str, owner: str, at: float) -> None:
    connection.execute(
        "INSERT INTO proxy_keys (hash, client, owner, created_at) VALUES (?, ?, ?, ?)", (key, client, owner, at)
    )


def _client(row: tuple[Any, ...]) -> ClientRow:
    id_, name, program, created_at, servers, revoked_at = row
    return ClientRow(
        text(id_),
        text(name),
        text(program),
        moment(created_at),
        None if servers is None else _names(servers),
        None if revoked_at is None else moment(revoked_at),
    )


def _names(stored: object) -> tuple[str, ...]:
    """A value that must be the text of a JSON list of texts. Raises `Unreadable`."""
    try:
        found = json.loads(text(stored))
    except (ValueError, RecursionError):
        raise Unreadable from None
    if not isinstance(found, list):
        raise Unreadable
    return tuple(text(each) for each in found)


def _key(row: tuple[Any, ...]) -> tuple[str, str]:
    return text(row[0]), text(row[1])


def _rule(row: tuple[Any, ...]) -> RuleRow:
    return RuleRow(*(text(value) for value in row))


def _use(row: tuple[Any, ...]) -> UseRow:
    client, server, calls, last_used, agent = row
    return UseRow(text(client), text(server), max(0, int(number(calls))), moment(last_used), text(agent))
