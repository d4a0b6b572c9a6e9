"""The values and interfaces between the parts of the proxy: HTTP, relay, bridges, and the process around them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from app.core.errors import BurrowError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

    from app.core.auth.http.recovery import TokenSource
    from app.core.auth.http.target import Target
    from app.core.mcp.proxy.messages import Post
    from app.core.mcp.proxy.refusals import Refusal
    from app.core.storage.proxy_sessions import SessionRow

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Names in lower case, in the order received; values without white space around them."""


class RequestHeaders(tuple[tuple[bytes, bytes], ...]):
    """The `Headers` of a head that many requests have: what is looked up in them is put in order once."""

    @cached_property
    def by_name(self) -> Mapping[bytes, tuple[bytes, ...]]:
        """The values of each name, in their order."""
        found: dict[bytes, tuple[bytes, ...]] = {}
        for name, value in self:
            found[name] = (*found.get(name, ()), value)
        return found

    def __repr__(self) -> str:
        # The values of a tuple of this kind have a client's key among them.
        return f"RequestHeaders({len(self)})"


def values_of(headers: Headers, name: bytes) -> tuple[bytes, ...]:
    """The values of all headers of this name, which is in lower case."""
    if isinstance(headers, RequestHeaders):
        return headers.by_name.get(name, ())
    return tuple(value for each, value in headers if each == name)


@dataclass(frozen=True, slots=True)
class Request:
    """A request of an MCP client, with its whole body. `path` and `query` are as sent, not decoded."""

    method: str
    path: str
    query: str
    headers: Headers = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    def header(self, name: bytes) -> bytes | None:
        """The value of the first header of this name, which is in lower case."""
        found = values_of(self.headers, name)
        return found[0] if found else None


class Responder(Protocol):
    """The answer to one request. A client that goes away cancels the task that handles its request."""

    @property
    def started(self) -> bool:
        """Whether the head has been sent."""

    def start(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], *, length: int | None = None, last: bool = False
    ) -> None:
        """Send the head. Without a `length` the body is as long as what is written (chunked).

        `last`: no other answer follows on its connection.
        """

    async def write(self, data: bytes) -> None:
        """Send a part of the body; waits while the client reads slowly."""

    def end(self) -> None:
        """The body is complete."""


class UpstreamResponse(Protocol):
    """An answer of a server, whose body is read as it comes."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers: ...

    async def read(self) -> bytes:
        """The next bytes of the body, as the connection had them; empty at its end. Raises `SendFailure`."""

    def close(self) -> None:
        """Not read any further. The connection is kept if the body was read to its end, else closed."""


class SendFailure(Exception):
    """A request got no complete answer. `sent` is False only when certainly nothing left this machine."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class NotReady(BurrowError):
    """Burrow is starting or closing, for longer than a request waits."""

    title = "Burrow is not ready"
    action = "Try again in a moment."
    retryable = True


class Sender(Protocol):
    """Sends requests to servers: no redirects, no cookies, no repetition, nothing of the environment."""

    async def send(self, method: str, url: str, headers: Headers, body: bytes) -> UpstreamResponse:
        """Send a request and wait for the head of its answer. Raises `SendFailure`."""


class ToolRule(Enum):
    """Whether a client may call a tool."""

    ALLOW = "allow"
    ASK = "ask"
    BLOCK = "block"


class Decision(Enum):
    """What the user said to a call that asks.

    `TIMED_OUT`: nothing in time. `NOBODY`: there is no window to ask in. `TOO_MANY`: others of the client wait already.
    """

    ONCE = "once"
    SESSION = "session"
    ALWAYS = "always"
    REFUSE = "refuse"
    BLOCK = "block"
    TIMED_OUT = "timed-out"
    NOBODY = "nobody"
    TOO_MANY = "too-many"


@dataclass(frozen=True)
class ProxyClient:
    """An MCP client that has a key. `servers` are the ids of those it may use, None for all.

    `program` is the id of what kind of client it is (`app.core.mcp.programs`), empty for any other.
    """

    id: str
    name: str
    program: str = ""
    servers: frozenset[str] | None = None

    def may_use(self, server_id: str) -> bool:
        """Whether it is one of those that the client may use."""
        return self.servers is None or server_id in self.servers


@dataclass(frozen=True, eq=False)
class HttpUpstream:
    """A server that is reached over HTTP; with `sse` over HTTP+SSE of MCP 2024-11-05.

    `source` provides the token, None where the server takes none; it is called on the proxy's loop. `headers` are sent
    besides. `trusted`: what it claims of its tools may decide that a call is sent again.
    """

    id: str
    title: str
    url: str
    target: Target
    source: TokenSource | None = None
    headers: Callable[[], Mapping[str, str]] = dict
    trusted: bool = False
    sse: bool = False


@dataclass(frozen=True, eq=False)
class StdioUpstream:
    """A server that is a process. `shared`: all clients use the same one, else each session has its own."""

    id: str
    title: str
    command: tuple[str, ...]
    folder: str = ""
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    shared: bool = False


Upstream: TypeAlias = HttpUpstream | StdioUpstream

Elsewhere: TypeAlias = "Callable[[bytes], Awaitable[None]]"
"""Writes an event to a stream that is not the answer to the request. Raises `ConnectionResetError` when it is over."""

LONGEST_LIST = 16 * 1024 * 1024
"""In bytes. A longer message with a list of tools is not looked into, nor passed on to whom tools are hidden from."""


class Way(Enum):
    """Under which address a request came: `/mcp/ID`, or the two of HTTP+SSE, `/sse/ID` and `/sse/ID/messages`."""

    MCP = "mcp"
    SSE = "sse"
    SSE_MESSAGES = "sse-messages"


@dataclass(frozen=True, eq=False)
class Call:
    """A request that the door let in: whose it is, which server it is for, and what its POST says (None without one).

    `session` is the client's `Mcp-Session-Id`, empty without one. `agent` is the name and version that the client gave
    itself, empty where it is not known.
    """

    request: Request
    client: ProxyClient
    upstream: Upstream
    way: Way
    post: Post | None = None
    session: str = ""
    agent: str = ""


class CallPolicy(Protocol):
    """Which tools a client may see and call (`app.core.mcp.proxy.policy`)."""

    def admitted(
        self, call: Call, responder: Responder, elsewhere: Elsewhere | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Within this the calls of tools in `call.post` may be sent: a store may allow one for as long as it lasts.

        Entered for each POST with a `tools/call` before anything is sent, and left when its answer is over. Entering
        raises `RequestRefused`. It may ask the user, and meanwhile start the answer as an event stream and write to it.
        Then the answer is an event of that stream, a refusal too. Whoever writes it ends the stream. A client
        that waits `elsewhere` is told there, and the answer to its POST is ended.
        """

    def answered(self, call: Call, answer: bytes) -> None:
        """What a server answered to a call: it may want more input, which is no new call for the user."""

    async def contradicted(self, call: Call) -> bool:
        """A server refused a call for its policy, unasked: whether `admitted` is to be entered again.

        Then the policy is another one than was known. Such a call did not run.
        """

    def cancelled(self, call: Call) -> bool:
        """`call.post` is a `notifications/cancelled`: whether it is about a call that still waits for the user.

        That call is refused now. The server has never heard of it.
        """

    async def hides(self, client: ProxyClient, upstream: Upstream) -> bool:
        """Whether answers to a `tools/list` have to be looked into (`filtered`). Else they are passed on as they come.

        Raises `RequestRefused` while that is not known.
        """

    async def filtered(self, client: ProxyClient, upstream: Upstream, message: bytes) -> bytes:
        """A message of a server without the tools that the client may not see.

        Awaited for each message that may be the answer to a `tools/list`. Returns the same object when there is nothing
        to take out. Raises `RequestRefused`, also for a message longer than `LONGEST_LIST`.
        """


class OpenStreams(Protocol):
    """The streams from servers to clients that are open now (`app.core.mcp.proxy.relay`)."""

    def tools_changed(self, server_id: str, client_id: str | None) -> None:
        """Tell the sessions of a server, of one client or of all, that their list of tools is another one.

        Called on the proxy's loop. Writes `notifications/tools/list_changed` into each stream that carries such.
        """


class ServerBridge(Protocol):
    """Carries what is not streamable HTTP: processes, and servers that speak HTTP+SSE (`app.core.mcp.proxy.bridge`)."""

    def takes(self, call: Call) -> bool:
        """Whether this bridge answers the request, and not the relay."""

    async def handle(self, call: Call, responder: Responder) -> None:
        """Answer a request. Its calls of tools may be sent; lists of tools are not filtered yet.

        `responder.started` may be true: then the answer is the rest of an event stream. Raises `RequestRefused` and any
        `BurrowError`; whoever called then answers.
        """

    async def refuse(self, call: Call, responder: Responder, refusal: Refusal) -> bool:
        """Refuse a request that policy did not admit where its client waits for the answer, if that is elsewhere.

        Clients of HTTP+SSE wait on their stream. Returns whether it was answered.
        """

    def elsewhere(self, call: Call) -> Elsewhere | None:
        """The stream on which the client waits for the answer; None where that is the answer to its POST."""

    def tools_changed(self, server_id: str, client_id: str | None) -> None:
        """See `OpenStreams`."""


class SessionStore(Protocol):
    """Keeps sessions for a proxy that is started again (`app.core.storage.proxy_sessions`)."""

    async def get(self, session: str) -> SessionRow | None:
        """The session with this id."""

    async def put(self, session: SessionRow) -> bool:
        """Store a session, in the place of an earlier one of its id. False when it is too long to be kept."""

    def touch(self, session: str) -> None:
        """The session was used now. Returns at once."""

    async def delete(self, session: str) -> None:
        """Forget a session."""


class ProxyHost(Protocol):
    """What the proxy asks of the process around it. All of it is called on the proxy's loop.

    `client_of`, `admits`, `has_access`, `rule`, `asks_elsewhere`, `hides`, `knows_rules` and `used` answer from memory
    at once; the others hop to the main loop.
    """

    def client_of(self, key: str) -> ProxyClient | None:
        """The client with this key, None for a key that nobody has or that was revoked."""

    async def find_client(self, key: str) -> ProxyClient | None:
        """The same after looking at what other processes have stored."""

    def admits(self, key_hash: str, server_id: str) -> bool:
        """Whether the key with this hash was, at the last look, that of a client that may use the server.

        `server_id` may be empty, for none.
        """

    def has_access(self, client_id: str, server_id: str) -> bool:
        """Whether the client might use the server at the last look, with whatever key."""

    async def upstream(self, server_id: str) -> Upstream:
        """How to reach a server. Raises `NotFound`, and any `BurrowError` that keeps it from being used."""

    def rule(self, client: ProxyClient, server_id: str, tool: str) -> ToolRule:
        """Whether the client may call the tool, by the client's own rule and the server's policy (`tool_rules.py`)."""

    def asks_elsewhere(self, server_id: str, tool: str) -> bool:
        """Whether a store asks about the tool by itself, so that a call needs `allowed_once` whatever `rule` says."""

    def hides(self, client: ProxyClient, server_id: str) -> bool:
        """Whether there may be a tool that `rule` blocks. Answers from memory at once."""

    def knows_rules(self, server_id: str) -> bool:
        """Whether `rule` knows the policies of a server now. Answers from memory at once."""

    async def rules_known(self, server_id: str) -> None:
        """Wait until `rule` knows the policies of a server. Raises `BurrowError` when they cannot be learnt.

        What is known needs no hop.
        """

    async def rules_doubted(self, server_id: str) -> None:
        """The server refused a call that `rule` allows: learn the policies anew, where a store has them."""

    async def ask(
        self, client: ProxyClient, server_id: str, tool: str, arguments: Mapping[str, Any], session: str
    ) -> Decision:
        """Ask the user whether the client may call the tool; `session` names the client's session."""

    def allowed_once(self, server_id: str, tool: str) -> AbstractAsyncContextManager[None]:
        """Within this a tool whose policy is Ask may be called, where a store asks by itself.

        Entering raises the `BurrowError` that keeps it from being allowed, `PolicyRefused` where it is blocked by now.
        """

    def used(self, client: ProxyClient, server_id: str, tool: str | None, agent: str) -> None:
        """Count a request. `tool` is the tool that was called, None for any other request.

        `agent` is the name and version that the client gave itself at `initialize`, empty where it is not known.
        """

    async def sign_in_needed(self, upstream: HttpUpstream) -> str:
        """Tell the user, once, that a server needs a sign-in; returns what to do, as a sentence for the client."""

    async def vendor_sign_in_needed(self, upstream: HttpUpstream) -> None:
        """Mark an installed server as one to be connected again."""
