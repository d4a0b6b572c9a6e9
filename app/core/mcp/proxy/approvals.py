"""Approvals: the calls of agents that wait for the user's word, and what the user said to them.

It belongs to the main loop. A window shows `open`, listens to `changed`, calls `answer`, and says with `attended` that
somebody can be asked.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from app.core.background import BackgroundTasks
from app.core.errors import PolicyRefused
from app.core.events import Event
from app.core.mcp.proxy.parts import Decision, ToolRule
from app.core.mcp.secret_arguments import without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.mcp.proxy.parts import ProxyClient
    from app.core.mcp.proxy.tool_rules import RuleChange
    from app.core.mcp.servers.server import Server
    from app.core.mcp.tools import ToolInfo

HEADLESS_SETTING, HEADLESS_ALLOW = "proxy_ask_headless", "allow"
# How long a call waits for the user, in seconds.
WAIT_SECONDS = 300.0
# A client that asks for more than a person can look at is refused, and one must not crowd out the others.
MOST_OF_A_CLIENT, MOST = 20, 100
MOST_SESSIONS = 10_000


class ApprovalSettings(Protocol):
    """The settings (`app.core.storage.settings`)."""

    def get(self, key: str, default: Any = None) -> Any: ...


class ApprovalServers(Protocol):
    """What is known of tools (`app.core.mcp.servers.registry`)."""

    @property
    def listed(self) -> tuple[Server, ...]: ...

    async def kept_tool(self, server_id: str, name: str) -> ToolInfo | None: ...


class ApprovalClients(Protocol):
    """Where a client's own rules are set (`app.core.mcp.proxy.clients`)."""

    narrowed: Event[None]

    def has_access(self, client: str, server: str) -> bool: ...

    def rule_of(self, client: str, server: str, tool: str) -> ToolRule | None: ...

    async def set_rule(self, client: str, server: str, tool: str, rule: ToolRule | None) -> None: ...


class ApprovalRules(Protocol):
    """The rules in force (`app.core.mcp.proxy.tool_rules`)."""

    changed: Event[RuleChange]

    def rule(self, client: ProxyClient, server_id: str, tool: str) -> ToolRule: ...

    def server_rule(self, server_id: str, tool: str) -> ToolRule: ...


@dataclass(frozen=True, eq=False)
class ApprovalQuestion:
    """One call that waits.

    `arguments` are those of the call but the secret ones, whose paths are in `hidden`. `destroys` is what the server
    claims of the tool; with `locked` the team has set its policy, and it is asked about each time. `since` and
    `deadline` are in Unix seconds. `session` names the client's session, and is empty for a client that has none.
    """

    client: ProxyClient
    server_id: str
    server_title: str
    tool: str
    tool_title: str
    arguments: Mapping[str, Any] = field(repr=False)
    hidden: tuple[str, ...] = ()
    destroys: bool = False
    locked: bool = False
    session: str = ""
    since: float = 0.0
    deadline: float = 0.0

    def covers(self, other: ApprovalQuestion, decision: Decision) -> bool:
        """Whether what the user says to this one answers the other one too."""
        same_tool = (self.server_id, self.tool) == (other.server_id, other.tool)
        match decision:
            case Decision.SESSION:
                return same_tool and (self.client.id, self.session) == (other.client.id, other.session)
            case Decision.ALWAYS | Decision.BLOCK:
                return same_tool and self.client.id == other.client.id
            case _:
                return self is other


class Approvals:
    """The open questions of one process.

    `changed` is emitted when `open` has changed, `asked` with each new question.
    """

    def __init__(
        self,
        servers: ApprovalServers,
        clients: ApprovalClients,
        rules: ApprovalRules,
        settings: ApprovalSettings,
        *,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self.changed: Event[None] = Event()
        self.asked: Event[ApprovalQuestion] = Event()
        self._servers = servers
        self._clients = clients
        self._rules = rules
        self._settings = settings
        self._wait_seconds = wait_seconds
        self._open: dict[ApprovalQuestion, asyncio.Future[Decision]] = {}
        # Client, session, server, tool: what the user allowed for a session. The oldest is forgotten first.
        self._sessions: dict[tuple[str, str, str, str], None] = {}
        self._attended = False
        self._background = BackgroundTasks()
        self._subscriptions = (
            rules.changed.subscribe(self._rules_changed),
            clients.narrowed.subscribe(self._access_narrowed),
        )

    @property
    def open(self) -> tuple[ApprovalQuestion, ...]:
        """The questions that wait, the oldest first."""
        return tuple(self._open)

    @property
    def attended(self) -> bool:
        """Whether there is a window that shows questions."""
        return self._attended

    @attended.setter
    def attended(self, attended: bool) -> None:
        self._attended = attended
        if not attended:
            decision = self._unattended()
            for question in self.open:
                self._settle(question, decision)

    async def ask(
        self, client: ProxyClient, server_id: str, tool: str, arguments: Mapping[str, Any], session: str
    ) -> Decision:
        """Ask the user whether a client may call a tool, and wait. Cancelling it withdraws the question."""
        if (client.id, session, server_id, tool) in self._sessions:
            return Decision.SESSION
        decided = self._without_asking(client)
        if decided is not None:
            return decided
        question = await self._question(client, server_id, tool, arguments, session)
        # Others asked meanwhile, or the window went.
        decided = self._without_asking(client)
        if decided is not None:
            return decided
        answer = self._open[question] = asyncio.get_running_loop().create_future()
        try:
            self.asked.emit(question)
            self.changed.emit(None)
            await asyncio.wait({answer}, timeout=self._wait_seconds)
            return answer.result() if answer.done() else Decision.TIMED_OUT
        finally:
            del self._open[question]
            self.changed.emit(None)

    async def answer(self, question: ApprovalQuestion, decision: Decision) -> None:
        """What the user said. A question that is over is answered no more.

        Always and Block become the client's own rule: nothing changes for other clients. Raises the `BurrowError` that
        keeps it from being set; then the question stays open.
        """
        match decision:
            case Decision.SESSION:
                self._remember(question)
            case Decision.ALWAYS:
                if question.locked:
                    raise PolicyRefused("The team has set that this tool asks each time.")
                await self._rule(question, ToolRule.ALLOW)
            case Decision.BLOCK:
                await self._rule(question, ToolRule.BLOCK)
            case _:
                pass
        for other in self.open:
            if question.covers(other, decision):
                self._settle(other, decision)

    async def close(self) -> None:
        """Nobody can be asked any more."""
        for unsubscribe in self._subscriptions:
            unsubscribe()
        self.attended = False
        await self._background.close()

    def _without_asking(self, client: ProxyClient) -> Decision | None:
        """What there is to say to a call that the user cannot be asked about; None where they can."""
        if not self._attended:
            return self._unattended()
        of_the_client = sum(question.client.id == client.id for question in self._open)
        return Decision.TOO_MANY if of_the_client >= MOST_OF_A_CLIENT or len(self._open) >= MOST else None

    def _unattended(self) -> Decision:
        allowed = self._settings.get(HEADLESS_SETTING) == HEADLESS_ALLOW
        return Decision.ONCE if allowed else Decision.NOBODY

    async def _question(
        self, client: ProxyClient, server_id: str, tool: str, arguments: Mapping[str, Any], session: str
    ) -> ApprovalQuestion:
        known = await self._servers.kept_tool(server_id, tool)
        schema: Mapping[str, Any] = {} if known is None else known.input_schema
        # A large object takes a while to look through.
        shown, hidden = await asyncio.to_thread(without_secrets, arguments, schema)
        titles = {server.id: server.title for server in self._servers.listed}
        now = time.time()
        return ApprovalQuestion(
            client,
            server_id,
            titles.get(server_id, server_id),
            tool,
            tool if known is None else known.label,
            shown,
            hidden,
            destroys=known is not None and known.annotations.may_destroy,
            locked=known is not None and known.locked,
            session=session,
            since=now,
            deadline=now + self._wait_seconds,
        )

    async def _rule(self, question: ApprovalQuestion, rule: ToolRule) -> None:
        await self._clients.set_rule(question.client.id, question.server_id, question.tool, rule)

    def _remember(self, question: ApprovalQuestion) -> None:
        self._sessions[question.client.id, question.session, question.server_id, question.tool] = None
        while len(self._sessions) > MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]

    def _settle(self, question: ApprovalQuestion, decision: Decision) -> None:
        answer = self._open.get(question)
        if answer is not None and not answer.done():
            answer.set_result(decision)

    def _access_narrowed(self, _nothing: None) -> None:
        """Questions of who may not use the server any more are refused, and what its sessions were allowed ends."""
        has_access = self._clients.has_access
        self._sessions = {key: None for key in self._sessions if has_access(key[0], key[2])}
        for question in self.open:
            if not has_access(question.client.id, question.server_id):
                self._settle(question, Decision.REFUSE)

    def _rules_changed(self, change: RuleChange) -> None:
        """What the user decided elsewhere answers the questions about it, and ends what was allowed for a session."""
        for client, session, server_id, tool in tuple(self._sessions):
            concerned = server_id == change.server_id and change.client_id in {None, client}
            rules = (self._rules.server_rule(server_id, tool), self._clients.rule_of(client, server_id, tool))
            if concerned and ToolRule.BLOCK in rules:
                del self._sessions[client, session, server_id, tool]
        for question in self.open:
            if question.server_id == change.server_id and change.client_id in {None, question.client.id}:
                match self._rules.rule(question.client, question.server_id, question.tool):
                    case ToolRule.BLOCK:
                        self._settle(question, Decision.BLOCK)
                    case ToolRule.ALLOW:
                        self._settle(question, Decision.ALWAYS)
                    case _:
                        pass
