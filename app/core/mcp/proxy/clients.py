"""ProxyClients: the clients that have a key for the proxy, as one process knows them.

It belongs to the main loop. The proxy's own thread reads the snapshot, which is replaced as a whole. Other processes
change the same tables: a snapshot counts for a second, and is looked at again before that while it is in use.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from app.core.background import retrieve
from app.core.errors import BurrowError, Facts, NotFound, Rejected, StorageTrouble
from app.core.events import Event
from app.core.mcp.proxy.keys import hash_of, is_key, new_key
from app.core.mcp.proxy.parts import ProxyClient, ToolRule
from app.core.redaction import redact_text
from app.core.storage.proxy_clients import ClientRow, UseRow, client_called

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from app.core.storage.proxy_clients import ClientTables, StoredClients, Version

log = logging.getLogger(__name__)

# How long a snapshot counts, and after which time the next look is taken ahead of its end. In seconds.
VALID_SECONDS, AHEAD_SECONDS = 1.0, 0.5
# Looks begin at least this far apart, in seconds: guessing keys must not keep the database busy.
LOOK_APART = 0.1
LONGEST_NAME = 80
LONGEST_AGENT = 120

# A rule that this version does not know comes from a newer one, and must not allow more than that.
_RULES = {rule.value: rule for rule in ToolRule}
_NO_RULES: Mapping[tuple[str, str], ToolRule] = {}


@dataclass(frozen=True)
class ClientUse:
    """What a client used of one server.

    `calls` of tools, `last_used` in Unix seconds, and the name and version that the client gave itself there.
    """

    server: str
    calls: int
    last_used: float
    agent: str


@dataclass(frozen=True)
class KnownClient:
    """A client with what is known of it. Times are in Unix seconds; `revoked_at` is None while it may use the proxy.

    `rules` has what the user decided for this client, by server and tool.
    """

    client: ProxyClient
    created_at: float
    revoked_at: float | None = None
    use: tuple[ClientUse, ...] = ()
    rules: Mapping[tuple[str, str], ToolRule] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        return sum(each.calls for each in self.use)

    @property
    def last_used(self) -> float | None:
        return max((each.last_used for each in self.use), default=None)

    @property
    def agent(self) -> str:
        """The name and version that it gave itself last; empty where it gave none."""
        named = [each for each in self.use if each.agent]
        return max(named, key=lambda each: each.last_used).agent if named else ""


@dataclass(frozen=True)
class _Snapshot:
    version: Version | None = None
    known: Mapping[str, KnownClient] = field(default_factory=dict)
    by_hash: Mapping[str, ProxyClient] = field(default_factory=dict, repr=False)
    rows: tuple[ClientRow, ...] = ()


class ProxyClients:
    """The clients. `client_of`, `rule_of` and `used` may be called on any thread, and answer at once from memory.

    All other methods belong to the main loop; they raise `StorageTrouble`, and those that name a client `NotFound`.
    `changed` is emitted on the main loop, after anything of a client has changed, in this process or another one.
    `narrowed` is emitted there after a key ended or a client may use fewer servers: what it has open there is to end.
    """

    def __init__(self, stored: StoredClients) -> None:
        self.changed: Event[None] = Event()
        self.narrowed: Event[None] = Event()
        self._stored = stored
        self._loop: asyncio.AbstractEventLoop | None = None
        self._snapshot = _Snapshot()
        # Monotonic: when the look began whose result the snapshot is.
        self._looked = float("-inf")
        self._began = float("-inf")
        self._coming: asyncio.Task[None] | None = None
        # Reads are numbered, so that an older one that ends later changes nothing.
        self._reads = self._applied = 0
        # Set on the proxy's thread. Where two threads meet there, one look more or less is taken.
        self._asked = self._counted = False

    async def start(self) -> None:
        """Read the clients for the first time."""
        self._loop = asyncio.get_running_loop()
        await self._read()

    async def close(self) -> None:
        """Stop looking. What was used is written when the storage is closed."""
        self._loop = None
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.wait([self._coming])

    # On any thread.

    def client_of(self, key: str) -> ProxyClient | None:
        """The client with this key. None when nobody has it, and when the snapshot is too old to tell."""
        age = time.monotonic() - self._looked
        if age > VALID_SECONDS or not is_key(key):
            return None
        if age > AHEAD_SECONDS and not self._asked:
            self._asked = True
            self._ask_for_a_look()
        return self._snapshot.by_hash.get(hash_of(key))

    def admits(self, key_hash: str, server: str) -> bool:
        """Whether the key with this hash was a client's that may use the server, at the last look, however old it is.

        `server` may be empty, for none.
        """
        client = self._snapshot.by_hash.get(key_hash)
        return client is not None and (not server or client.may_use(server))

    def has_access(self, client: str, server: str) -> bool:
        """Whether a client may use a server, at the last look."""
        known = self._snapshot.known.get(client)
        return known is not None and known.revoked_at is None and known.client.may_use(server)

    def rule_of(self, client: str, server: str, tool: str) -> ToolRule | None:
        """What the user decided about a tool for this client alone; None for nothing."""
        known = self._snapshot.known.get(client)
        return None if known is None else known.rules.get((server, tool))

    def rules_of(self, client: str) -> Mapping[tuple[str, str], ToolRule]:
        """What the user decided for a client, by server and tool. The same object while nothing changes."""
        known = self._snapshot.known.get(client)
        return _NO_RULES if known is None else known.rules

    def ruled(self) -> tuple[str, ...]:
        """The ids of the clients for which the user decided about tools."""
        return tuple(client for client, known in self._snapshot.known.items() if known.rules)

    def used(self, client: str, server: str, agent: str = "", *, calls: int = 0) -> None:
        """Count a request of a client, with the calls of tools in it, and what it named itself if that is known."""
        self._stored.count(UseRow(client, server, calls, time.time(), _shown(agent)))
        self._counted = True

    # On the main loop.

    async def find_client(self, key: str) -> ProxyClient | None:
        """The client with this key, after a look at what is stored that begins now or later."""
        if not is_key(key):
            return None
        await self.look()
        return self._snapshot.by_hash.get(hash_of(key))

    @property
    def clients(self) -> tuple[KnownClient, ...]:
        """Every client, the revoked ones included, in the order of their creation."""
        return tuple(self._snapshot.known.values())

    def called(self, name: str) -> KnownClient:
        """The client that may use the proxy and has this name, else this id. Raises `NotFound`."""
        found = client_called(self._snapshot.rows, name)
        if found is not None:
            return self._snapshot.known[found.id]
        raise NotFound(f"No client is called {name}.", action="List them: burrow connect list")

    async def look(self) -> None:
        """Read again what another process has changed. The look begins after this is called; several share one."""
        await asyncio.shield(self._begin_look())

    async def watch(self) -> None:
        """Look once a second until cancelled: for a window that shows the clients, and while streams are open."""
        while True:
            try:
                if self._counted:
                    await self._read()
                await self.look()
            except StorageTrouble as trouble:
                log.warning("the proxy's clients cannot be read: %s", trouble.cause)
            await asyncio.sleep(VALID_SECONDS)

    async def create(
        self, name: str, program: str = "", servers: Collection[str] | None = None
    ) -> tuple[ProxyClient, str]:
        """Add a client. Returns it with its key, which is not kept anywhere. Raises `Rejected` for the name."""
        called = _checked_name(name)
        key = new_key()
        chosen = None if servers is None else tuple(sorted(set(servers)))
        row = ClientRow(secrets.token_hex(8), called, program, time.time(), chosen)
        if not await self._stored.add(row, hash_of(key)):
            raise _taken(called)
        await self._read()
        return _client(row), key

    async def rename(self, client: str, name: str) -> None:
        """Raises `Rejected` for the name."""
        called = _checked_name(name)
        if not await self._stored.rename(client, called):
            await self._read()
            known = self._snapshot.known.get(client)
            raise _gone() if known is None or known.revoked_at is not None else _taken(called)
        await self._read()

    async def renew_key(self, client: str) -> str:
        """Give a client another key, which is returned and kept nowhere. The one before stops working at once."""
        key = new_key()
        await self._change(await self._stored.renew_key(client, hash_of(key), time.time()))
        return key

    async def revoke(self, client: str) -> None:
        """Take a client's access away: its keys, sessions and rules are deleted. Nothing happens if it has none."""
        await self._stored.revoke(client, time.time())
        await self._read()

    async def choose_servers(self, client: str, servers: Collection[str] | None) -> None:
        """Let a client use only the servers with these ids; None for all, also those that are added later."""
        await self._change(await self._stored.set_servers(client, servers))

    async def set_rule(self, client: str, server: str, tool: str, rule: ToolRule | None) -> None:
        """Decide about a tool for this client alone; None goes back to the server's policy.

        Raises `Rejected` for a name that is no text.
        """
        await self.set_rules(client, server, {tool: rule})

    async def set_rules(self, client: str, server: str, rules: Mapping[str, ToolRule | None]) -> None:
        """Decide about several tools of a server, all at once or none. Raises as `set_rule` does."""
        try:
            for tool in rules:
                tool.encode()
        except UnicodeEncodeError:
            raise Rejected("The name of the tool is no text.", Facts(attr="tool")) from None
        stored = {tool: None if rule is None else rule.value for tool, rule in rules.items()}
        await self._change(await self._stored.set_rules(client, server, stored))

    async def _change(self, found: bool) -> None:
        await self._read()
        if not found:
            raise _gone()

    async def _look(self) -> None:
        try:
            await asyncio.sleep(max(0.0, self._began + LOOK_APART - time.monotonic()))
        finally:
            # Who asks from now on may know of a change that this look does not see.
            self._coming = None
        self._began = began = time.monotonic()
        try:
            if await self._stored.version() == self._snapshot.version:
                self._looked = max(self._looked, began)
                return
            await self._read()
        finally:
            self._asked = False

    async def _read(self) -> None:
        self._reads += 1
        number, began = self._reads, time.monotonic()
        self._counted = False
        found = await self._stored.all()
        if number < self._applied:
            return
        self._applied = number
        before, self._snapshot = self._snapshot, _snapshot(found)
        self._looked = began
        self._tell(before)

    def _tell(self, before: _Snapshot) -> None:
        now = self._snapshot
        if any(_is_narrower(client, now.by_hash.get(key)) for key, client in before.by_hash.items()):
            self.narrowed.emit(None)
        if before.version is not None and dict(before.known) != dict(now.known):
            self.changed.emit(None)

    def _ask_for_a_look(self) -> None:
        loop = self._loop
        # The loop may be closed when a request comes at the very end.
        with contextlib.suppress(RuntimeError):
            if loop is not None:
                loop.call_soon_threadsafe(self._begin_look)

    def _begin_look(self) -> asyncio.Task[None]:
        if self._coming is None:
            self._coming = asyncio.create_task(self._look())
            self._coming.add_done_callback(retrieve)
        return self._coming


def _snapshot(found: ClientTables) -> _Snapshot:
    use: dict[str, list[ClientUse]] = {}
    for row in found.use:
        use.setdefault(row.client, []).append(ClientUse(row.server, row.calls, row.last_used, row.agent))
    rules: dict[str, dict[tuple[str, str], ToolRule]] = {}
    for rule in found.rules:
        rules.setdefault(rule.client, {})[rule.server, rule.tool] = _RULES.get(rule.rule, ToolRule.BLOCK)
    known = {
        row.id: KnownClient(
            _client(row), row.created_at, row.revoked_at, tuple(use.get(row.id, ())), rules.get(row.id, {})
        )
        for row in found.clients
    }
    by_hash = {
        key: known[client].client
        for key, client in found.keys.items()
        if client in known and known[client].revoked_at is None
    }
    return _Snapshot(found.version, known, by_hash, found.clients)


def _is_narrower(before: ProxyClient, now: ProxyClient | None) -> bool:
    """Whether a client lost its key or a server."""
    if now is None or now.servers is None:
        return now is None
    return before.servers is None or not before.servers <= now.servers


def _client(row: ClientRow) -> ProxyClient:
    return ProxyClient(row.id, row.name, row.program, None if row.servers is None else frozenset(row.servers))


def _checked_name(name: str) -> str:
    """A name in one line without needless space. Raises `Rejected`."""
    called = " ".join(name.split())
    if not called or len(called) > LONGEST_NAME or not called.isprintable():
        raise Rejected(
            f"The name of a client has 1 to {LONGEST_NAME} characters that can be printed.", Facts(attr="name")
        )
    return called


def _taken(name: str) -> BurrowError:
    return Rejected(
        f"Another client is called {name}.", Facts(attr="name"), action="Choose another name, or revoke that client."
    )


def _gone() -> BurrowError:
    return NotFound("This client is not there any more.", action="List those that are: burrow connect list")


@lru_cache(maxsize=256)
def _shown(agent: str) -> str:
    """What a client calls itself, as one short line without secrets."""
    if not agent:
        return ""
    printable = "".join(each if each.isprintable() else " " for each in redact_text(agent[: 4 * LONGEST_AGENT]))
    return " ".join(printable.split())[:LONGEST_AGENT]
