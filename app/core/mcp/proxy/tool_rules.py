"""ToolRules: whether a client may call a tool, by the client's own rule and the server's policy.

The stricter one counts, with one exception: what the user decided for a client alone answers what the server's policy
asks. A Block of the server, a policy that the team has locked, and a state that this version does not know count for
every client.

It belongs to the main loop. The proxy's thread reads snapshots, which are replaced as a whole. What is not known never
allows: it asks.
"""

from __future__ import annotations

import asyncio
import logging
import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Protocol

from app.core.errors import BurrowError
from app.core.events import Event
from app.core.mcp.proxy.parts import ToolRule
from app.core.mcp.servers.local_policies import kept_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.mcp.proxy.parts import ProxyClient
    from app.core.mcp.servers.policies import KeptPolicies

log = logging.getLogger(__name__)

# The states of docs/wire.md, "Tools and approval states". One that this version does not know must not allow.
RULE_OF: Mapping[str, ToolRule] = {
    "approved": ToolRule.ALLOW,
    "needs_approval": ToolRule.ASK,
    "do_not_use": ToolRule.BLOCK,
}
STRICTNESS = {ToolRule.ALLOW: 0, ToolRule.ASK: 1, ToolRule.BLOCK: 2}
# How old policies may be, in seconds. Those of this machine can be set by another process, which tells nobody. Those of
# a store are looked at by the store too, which refuses what it does not allow.
LOCAL_SECONDS, STORE_SECONDS = 1.0, 120.0
# How old those of this machine may be before they are read ahead, so that no call has to wait for that.
AHEAD_SECONDS = 0.5
# A server may refuse for reasons of its own, and the store counts requests.
AGAIN_SECONDS = 1.0
# How long changes that follow each other are waited for, in seconds.
SETTLE_SECONDS = 0.3
# When policies were read that have changed since.
CHANGED = float("-inf")
# Characters that a reader does not see, by the categories of Unicode: control and format characters. Beside them what
# else may be ignored (Unicode, 5.21), and what stands for half of a surrogate pair, which some servers drop.
UNSEEN = frozenset({"Cc", "Cf"})
IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\ufffd\U000e0100-\U000e01ef]"
)


class RuleChange(NamedTuple):
    """The rules for the tools of a server changed, for one client or, with None, for all.

    `hidden`: those of them that are blocked are others than before.
    """

    server_id: str
    client_id: str | None = None
    hidden: bool = True


class PolicyServers(Protocol):
    """Where the servers' policies come from (`app.core.mcp.servers.registry`)."""

    policies_changed: Event[str]

    async def kept_policies(self, server_id: str) -> KeptPolicies: ...


class RuledClients(Protocol):
    """Where the clients' own rules come from (`app.core.mcp.proxy.clients`)."""

    changed: Event[None]

    def rules_of(self, client: str) -> Mapping[tuple[str, str], ToolRule]:
        """What the user decided for a client, by server and tool: the same object until it changes. On any thread."""

    def ruled(self) -> tuple[str, ...]:
        """The ids of the clients with rules of their own."""


@dataclass(frozen=True)
class RuleTable:
    """The rules of one server's tools by name, and that of every other tool.

    A name that is not among them nor `listed`, and that a server could take for one of them, has the rule of that:
    it differs only in case, in white space, in characters that nobody sees, or in its Unicode form (NFKC).

    `firm` are the names of the tools whose Ask no rule of a client answers.
    """

    by_name: Mapping[str, ToolRule] = field(default_factory=dict)
    unset: ToolRule = ToolRule.ALLOW
    listed: frozenset[str] = frozenset()
    firm: frozenset[str] = frozenset()

    def rule(self, tool: str) -> ToolRule:
        """The rule for a tool."""
        name = kept_name(tool)
        found = self.by_name.get(name)
        if found is not None:
            return found
        if name in self.listed or not self._alike:
            return self.unset
        return strictest(self.unset, self._alike.get(alike(name), self.unset))

    def allows(self, tool: str) -> bool:
        """Whether there is a rule that allows the tool, under exactly this name."""
        return self.by_name.get(tool) is ToolRule.ALLOW

    def is_firm(self, tool: str) -> bool:
        """Whether an Ask for the tool is to be put to the user whatever the client's own rule says."""
        name = kept_name(tool)
        if name in self.by_name or name in self.listed or not self.firm:
            return name in self.firm
        return alike(name) in {alike(each) for each in self.firm}

    @property
    def hides(self) -> bool:
        """Whether any tool is blocked."""
        return self.unset is ToolRule.BLOCK or bool(self.blocked)

    @cached_property
    def blocked(self) -> frozenset[str]:
        """The names of the tools that are."""
        return frozenset(name for name, rule in self.by_name.items() if rule is ToolRule.BLOCK)

    @cached_property
    def _alike(self) -> Mapping[str, ToolRule]:
        found: dict[str, ToolRule] = {}
        for name, rule in self.by_name.items():
            if rule is not self.unset:
                key = alike(name)
                found[key] = strictest(rule, found.get(key, rule))
        return found


NOT_KNOWN = RuleTable(unset=ToolRule.ASK)
NO_RULES = RuleTable()


@dataclass(frozen=True)
class _Known:
    table: RuleTable
    read_at: float
    local: bool

    @property
    def fresh(self) -> bool:
        return self.age < (LOCAL_SECONDS if self.local else STORE_SECONDS)

    @property
    def age(self) -> float:
        """In seconds."""
        return monotonic() - self.read_at

    @property
    def only_old(self) -> bool:
        """Whether nothing is known to have changed since."""
        return self.read_at != CHANGED


class ToolRules:
    """The rules of all clients for the tools of all servers. `changed` is emitted on the main loop.

    `rule`, `server_rule`, `asks_elsewhere`, `hides` and `fresh` may be called on any thread; the rest belongs to the
    main loop.
    """

    def __init__(self, servers: PolicyServers, clients: RuledClients) -> None:
        self.changed: Event[RuleChange] = Event()
        self._servers = servers
        self._clients = clients
        self._known: Mapping[str, _Known] = {}
        # By client: the rules that the tables were made of, and the tables by server.
        self._own: dict[str, tuple[Mapping[tuple[str, str], ToolRule], Mapping[str, RuleTable]]] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        # On the proxy's thread: those that are to be read ahead, until the main loop has heard of it.
        self._asked: set[str] = set()
        # How often the policies of a server changed: what was read across a change is read again.
        self._changes: dict[str, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before = self._own_rules()
        self._subscriptions = (
            servers.policies_changed.subscribe(self._policies_changed),
            clients.changed.subscribe(self._clients_changed),
        )

    def rule(self, client: ProxyClient, server_id: str, tool: str) -> ToolRule:
        """Whether a client may call a tool."""
        own = self._own_table(client.id, server_id)
        if own is NO_RULES:
            return self.server_rule(server_id, tool)
        known = self._known.get(server_id)
        table = NOT_KNOWN if known is None else known.table
        found = table.rule(tool)
        if found is ToolRule.ASK and known is not None and own.allows(tool) and not table.is_firm(tool):
            return ToolRule.ALLOW
        return strictest(found, own.rule(tool))

    def server_rule(self, server_id: str, tool: str) -> ToolRule:
        """The server's policy alone; Ask while it is not known."""
        known = self._known.get(server_id)
        return (NOT_KNOWN if known is None else known.table).rule(tool)

    def asks_elsewhere(self, server_id: str, tool: str) -> bool:
        """Whether a store asks about the tool by itself, so that a call has to be allowed there too."""
        known = self._known.get(server_id)
        return known is not None and not known.local and known.table.rule(tool) is ToolRule.ASK

    def hides(self, client: ProxyClient, server_id: str) -> bool:
        """Whether there may be a tool that the client may not see."""
        known = self._known.get(server_id)
        return known is None or known.table.hides or self._own_table(client.id, server_id).hides

    def fresh(self, server_id: str) -> bool:
        """Whether the policies of a server are known, and not too old."""
        known = self._known.get(server_id)
        if known is None or not known.fresh:
            return False
        if known.local and known.age > AHEAD_SECONDS and server_id not in self._asked and self._loop is not None:
            self._asked.add(server_id)
            # A loop that has ended reads nothing more.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._read_ahead, server_id)
        return True

    async def learn(self, server_id: str) -> None:
        """Read the policies of a server if they are not fresh; several callers share one reading.

        What was known counts while they cannot be read. Raises `BurrowError` when they were never known.
        """
        self._loop = asyncio.get_running_loop()
        if self.fresh(server_id):
            return
        known = self._known.get(server_id)
        reading = self._read_soon(server_id)
        if known is not None and known.only_old and not known.local:
            # The store looks at them too, so nobody has to wait for it.
            return
        try:
            await asyncio.shield(reading)
        except BurrowError:
            # An older one that could be read was known before.
            if server_id not in self._known:
                raise

    async def learn_again(self, server_id: str) -> None:
        """Read policies of a store that has refused what they allow: somebody set them elsewhere. Raises nothing."""
        known = self._known.get(server_id)
        if known is None or known.local or known.age < AGAIN_SECONDS:
            return
        with suppress(BurrowError):
            await asyncio.shield(self._read_soon(server_id))

    async def close(self) -> None:
        """Stop reading."""
        for unsubscribe in self._subscriptions:
            unsubscribe()
        self._loop = None
        for task in tuple(self._reading.values()):
            task.cancel()
            with suppress(BaseException):
                await task

    def _read_ahead(self, server_id: str) -> None:
        self._asked.discard(server_id)
        if self._loop is not None:
            self._read_soon(server_id)

    def _read_soon(self, server_id: str) -> asyncio.Task[None]:
        reading = self._reading.get(server_id)
        if reading is None:
            reading = self._reading[server_id] = asyncio.create_task(self._read(server_id), name="policies")
            reading.add_done_callback(lambda task: self._read_ended(server_id, task))
        return reading

    def _read_ended(self, server_id: str, task: asyncio.Task[None]) -> None:
        del self._reading[server_id]
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.info("the policies of a server could not be read: %s", type(failure).__name__)

    async def _read(self, server_id: str) -> None:
        while True:
            changes, began = self._changes.get(server_id, 0), monotonic()
            kept = await self._servers.kept_policies(server_id)
            if changes == self._changes.get(server_id, 0):
                break
            if not kept.local:
                # Several policies are being set, and the store counts requests.
                await asyncio.sleep(SETTLE_SECONDS)
        former = self._known.get(server_id)
        self._known = {**self._known, server_id: _Known(_table(kept), began, kept.local)}
        before, now = (NOT_KNOWN if former is None else former.table), self._known[server_id].table
        if former is None or (before.by_name, before.unset, before.firm) != (now.by_name, now.unset, now.firm):
            hidden = former is not None and before.blocked != now.blocked
            self.changed.emit(RuleChange(server_id, hidden=hidden))

    def _policies_changed(self, server_id: str) -> None:
        # Nobody asked for those of other servers.
        if server_id in self._known or server_id in self._reading:
            self._changes[server_id] = self._changes.get(server_id, 0) + 1
            known = self._known.get(server_id)
            if known is not None:
                self._known = {**self._known, server_id: _Known(known.table, CHANGED, known.local)}
            self._read_soon(server_id)

    def _own_rules(self) -> dict[str, Mapping[tuple[str, str], ToolRule]]:
        return {client: self._clients.rules_of(client) for client in self._clients.ruled()}

    def _clients_changed(self, _nothing: None) -> None:
        before, self._before = self._before, self._own_rules()
        for client in before.keys() | self._before.keys():
            old, new = before.get(client, {}), self._before.get(client, {})
            if old is new or old == new:
                continue
            differing = {key for key in old.keys() | new.keys() if old.get(key) is not new.get(key)}
            for server_id in {server_id for server_id, _tool in differing}:
                hidden = any(ToolRule.BLOCK in {old.get(key), new.get(key)} for key in differing if key[0] == server_id)
                self.changed.emit(RuleChange(server_id, client, hidden))

    def _own_table(self, client_id: str, server_id: str) -> RuleTable:
        rules = self._clients.rules_of(client_id)
        if not rules:
            return NO_RULES
        made = self._own.get(client_id)
        if made is None or made[0] is not rules:
            made = self._own[client_id] = (rules, _tables(rules))
        return made[1].get(server_id, NO_RULES)


def strictest(one: ToolRule, other: ToolRule) -> ToolRule:
    """Of two rules, the one that allows less."""
    return one if STRICTNESS[one] >= STRICTNESS[other] else other


def alike(name: str) -> str:
    """Equal for names that a server could take for one another."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    if folded.isascii() and folded.isprintable():
        return folded.replace(" ", "")
    folded = IGNORABLE.sub("", folded)
    return "".join(each for each in folded if not each.isspace() and unicodedata.category(each) not in UNSEEN)


def _table(kept: KeptPolicies) -> RuleTable:
    by_name = {kept_name(name): RULE_OF.get(state, ToolRule.ASK) for name, state in kept.states.items()}
    odd = {name for name, state in kept.states.items() if state not in RULE_OF}
    firm = frozenset(map(kept_name, kept.locked | odd))
    return RuleTable(by_name, RULE_OF.get(kept.unset, ToolRule.ASK), frozenset(map(kept_name, kept.listed)), firm)


def _tables(rules: Mapping[tuple[str, str], ToolRule]) -> Mapping[str, RuleTable]:
    by_server: dict[str, dict[str, ToolRule]] = {}
    for (server_id, tool), rule in rules.items():
        by_server.setdefault(server_id, {})[kept_name(tool)] = rule
    return {server_id: RuleTable(by_name) for server_id, by_name in by_server.items()}
