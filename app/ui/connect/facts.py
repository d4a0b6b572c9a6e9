"""What the place shows: the proxy, the servers it offers, the clients, the programs; and the door to what it changes.

Values only. `ConnectDoor` is what the place asks of the rest of Burrow; `door.py` implements it on the services.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from app.core.errors import BurrowError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from app.core.events import Event
    from app.core.mcp.proxy.parts import ToolRule
    from app.core.mcp.servers.server import Server
    from app.core.mcp.tools import ToolInfo


class ProxyPhase(Enum):
    """How the proxy of this computer stands. `STANDING_BY`: another process of Burrow serves."""

    OFF = "off"
    STARTING = "starting"
    SERVING = "serving"
    STANDING_BY = "standing by"
    PORT_TAKEN = "port taken"
    FAILED = "failed"

    @property
    def serves(self) -> bool:
        """Whether clients are answered now."""
        return self in {ProxyPhase.SERVING, ProxyPhase.STANDING_BY}


@dataclass(frozen=True)
class ProxyFacts:
    """`address` is where clients are answered, such as `http://127.0.0.1:41717`; empty while there is none.

    `port` is the one that was chosen. With `temporary` it was taken, and `address` has another one until Burrow
    restarts. `trouble` says what is wrong and what to do, empty for nothing. While another process of Burrow serves,
    `owner` is what that is, `window` or `headless`, and `pid` which one, as far as they are known.
    """

    phase: ProxyPhase = ProxyPhase.OFF
    port: int = 0
    address: str = ""
    temporary: bool = False
    trouble: str = ""
    owner: str = ""
    pid: int = 0


@dataclass(frozen=True)
class ProxiedServer:
    """A server that the proxy offers. `address` is empty while the proxy has none."""

    server: Server
    address: str = ""

    @property
    def id(self) -> str:
        return self.server.id


@dataclass(frozen=True)
class ServerUse:
    """How often a client called tools of one server. `agent` is the name and version that the program gave itself."""

    server: str
    calls: int
    last_used: datetime | None
    agent: str = ""


@dataclass(frozen=True)
class ClientFacts:
    """A client. `servers` are the ids of those it may use, None for all. `program` is the id of a `ProgramFacts`."""

    id: str
    name: str
    program: str = ""
    servers: frozenset[str] | None = None
    created_at: datetime | None = None
    revoked_at: datetime | None = None
    use: tuple[ServerUse, ...] = ()

    @property
    def revoked(self) -> bool:
        return self.revoked_at is not None

    @property
    def calls(self) -> int:
        """How many tools it called, over all servers."""
        return sum(each.calls for each in self.use)

    @property
    def last_used(self) -> datetime | None:
        """When it last sent a request."""
        return max((each.last_used for each in self.use if each.last_used is not None), default=None)

    @property
    def agent(self) -> str:
        """The name and version that the program gave itself last."""
        named = [(each.last_used, each.agent) for each in self.use if each.agent and each.last_used is not None]
        return max(named)[1] if named else ""

    def may_use(self, server_id: str) -> bool:
        """Whether it may use a server."""
        return self.servers is None or server_id in self.servers


@dataclass(frozen=True)
class ProgramFacts:
    """A kind of client. `found` says whether it is installed here, `version` which, as far as that is known."""

    id: str
    title: str
    found: bool = False
    version: str = ""


@dataclass(frozen=True)
class SnippetFacts:
    """One way to connect a program: what to paste, and where.

    `id` names the way (`http`, `stdio`), `title` is what its choice is called, `advice` says where the text goes and
    `reload` what to do after that. A `command` is run in a terminal; anything else is a part of a file. `files` are
    those that Burrow can add it to, the likeliest first; empty where the program owns its file. With `keyed` the text
    has the client's key.
    """

    id: str
    title: str
    text: str = field(repr=False)
    advice: str
    reload: str = ""
    command: bool = False
    files: tuple[str, ...] = ()
    keyed: bool = True


@dataclass(frozen=True)
class FilePreview:
    """What would be written: `diff` is a unified diff, empty where the file has the entry already.

    `new` says that there is no such file yet; otherwise a copy is made beside it first. `note` is what else to know.
    """

    path: str
    diff: str = field(repr=False)
    new: bool = False
    note: str = ""


class PreviewOutdated(BurrowError):
    """The file is no longer what the preview showed. Nothing was written."""

    title = "The file has changed meanwhile"
    action = "Look at the changes again."


class StepOutcome(Enum):
    """How a step of the test stands. `SKIPPED`: it could not be tried, which proves nothing."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class StepFacts:
    """A step of the test of a client. `detail` says what came of it. The same `title` again replaces the step."""

    title: str
    outcome: StepOutcome
    detail: str = ""


class ConnectDoor(Protocol):
    """What the place asks of the rest of Burrow. Methods raise `BurrowError`.

    `changed` is emitted on any thread, after anything of `proxy`, `servers`, `clients` or a rule has changed,
    `tools_changed` with the id of a server that has other tools or policies.
    """

    changed: Event[None]
    tools_changed: Event[str]

    def proxy(self) -> ProxyFacts: ...
    def servers(self) -> tuple[ProxiedServer, ...]: ...
    def clients(self) -> tuple[ClientFacts, ...]: ...

    @property
    def account(self) -> str:
        """Who is signed in, as the window names them; empty for nobody."""

    async def load(self) -> None:
        """Look at what other processes changed."""

    async def watch(self) -> None:
        """Look once a second until cancelled."""

    async def programs(self) -> tuple[ProgramFacts, ...]:
        """Every program that is known, as far as it is installed."""

    async def set_on(self, on: bool) -> None:
        """Serve from now on, and at later starts, or no longer."""

    async def set_port(self, port: int) -> None:
        """Serve on this port from now on. Clients that were set up have the former address."""

    async def retry(self) -> None:
        """Try again to serve on the chosen port."""

    async def create(self, name: str, program: str, servers: frozenset[str] | None) -> tuple[str, str]:
        """Add a client; returns its id and its key, which is not kept."""

    async def renew_key(self, client_id: str) -> str:
        """Give a client another key; the former is refused from now on."""

    async def rename(self, client_id: str, name: str) -> None: ...
    async def revoke(self, client_id: str) -> None: ...
    async def choose_servers(self, client_id: str, servers: frozenset[str] | None) -> None: ...

    async def tools(self, server_id: str, *, refresh: bool = False) -> tuple[ToolInfo, ...]: ...

    def rule_of(self, client_id: str, server_id: str, tool: str) -> ToolRule | None:
        """The client's own rule for a tool; None where that of the server counts alone."""

    async def set_rules(self, client_id: str, server_id: str, rules: Sequence[tuple[str, ToolRule | None]]) -> None: ...

    async def snippets(self, client_id: str, key: str | None) -> tuple[SnippetFacts, ...]:
        """The ways to connect the client's program, the best one first. Without a key a sign stands for it."""

    async def preview(self, client_id: str, snippet: str, key: str | None, file: str) -> FilePreview:
        """What adding the snippet to one of its files would change."""

    async def write(self, shown: FilePreview) -> str:
        """Write what was shown; returns the path of the copy of the file as it was, empty where there was none.

        Raises `PreviewOutdated` where the file is another one by now.
        """

    def test(self, client_id: str, key: str | None) -> AsyncIterator[StepFacts]:
        """Try the client through the proxy, step by step."""
