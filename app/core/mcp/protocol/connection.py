"""One connection to one MCP server: opened on use, owned by one task, reopened when it died or its session ended.

The SDK's context managers must be entered and left by the same task, so each connection has a task of its own that
does nothing else. Requests run in their callers' tasks and may be cancelled there at any time.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from app.core.auth.http.classifier import Reply
from app.core.background import retrieve
from app.core.error_mapping import concerns_token
from app.core.errors import BurrowError, ProtocolTrouble, TimedOut
from app.core.mcp.protocol.errors import FailedExchange, typed
from app.core.mcp.protocol.exact import prepare
from app.core.mcp.tool_list import read_tools

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.auth.http.target import CredentialAtStake
    from app.core.auth.key import CredentialKey
    from app.core.mcp.protocol.calls import ProgressReport
    from app.core.mcp.protocol.exchange import Exchange, Notice
    from app.core.mcp.protocol.listening import Listening
    from app.core.mcp.protocol.session import McpSession
    from app.core.mcp.protocol.transport import Transport
    from app.core.mcp.tools import ToolInfo

OPEN_SECONDS = 45.0
LIST_SECONDS = 60.0
CLOSE_SECONDS = 0.5
ABANDON_SECONDS = 0.3
PAGES_LIMIT = 100
TOOLS_LIMIT = 5_000
HEADER_MISMATCH = -32020
WIRE = "app.core.mcp.protocol.session"

log = logging.getLogger(__name__)

Admit: TypeAlias = "Callable[[], Awaitable[object]]"
"""Waits until it is certain for whom something is sent, and raises when it must not be sent."""


@dataclass(frozen=True, eq=False)
class Endpoint:
    """Where a connection leads, how, and whose credential an answer can complain about.

    `title` is for people, `credential` the key of the credential that is carried.
    """

    title: str
    transport: Transport
    at_stake: CredentialAtStake
    credential: CredentialKey | None = None


async def load_wire() -> Any:
    """The module over the SDK, imported in a worker thread the first time.

    While another task imports it, `sys.modules` holds an unfinished module: the import lock is what waits for it.
    """
    module = sys.modules.get(WIRE)
    if module is not None and hasattr(module, "READY"):
        return module
    return await asyncio.to_thread(_import_wire)


def _import_wire() -> Any:
    # A plain statement, which a packager follows; a module's name in a string it would not.
    from app.core.mcp.protocol import session as wire

    return wire


class OpenSession:
    """One opening of a connection: the task that owns it and the session in it."""

    def __init__(self) -> None:
        self.owner: asyncio.Task[None] | None = None
        self.opened: asyncio.Future[McpSession] = asyncio.get_running_loop().create_future()
        self.opened.add_done_callback(retrieve)
        self.leave = asyncio.Event()
        self._users = 0
        self._retired = False

    @property
    def session(self) -> McpSession:
        return self.opened.result()

    async def use(self, send: Callable[[McpSession], Awaitable[Exchange]]) -> Exchange:
        """Run one request; a retired line is left when its last request is over."""
        self._users += 1
        try:
            return await send(self.session)
        finally:
            self._users -= 1
            if self._retired and self._users == 0:
                self.leave.set()

    def retire(self) -> None:
        self._retired = True
        if self._users == 0:
            self.leave.set()


class Connection:
    """Requests to one server. `told` hears every message.

    `listening` is for changes of the tool list, None for none. All methods raise only errors of `app.core.errors`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        told: Callable[[Endpoint, Exchange | Notice], None],
        listening: Listening | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._told = told
        self._listening = listening
        self._line: OpenSession | None = None
        self._lines: set[OpenSession] = set()
        self._legacy = False
        self._closed = False
        self._tool_problem: Callable[[dict[str, Any]], str | None] | None = None
        self.protocol: str | None = None

    async def tools(self, *, admit: Admit | None = None) -> list[ToolInfo]:
        """The whole list, following `nextCursor` for at most 100 pages.

        `admit` is awaited on the open connection, before anything is sent; what it raises is raised.
        """
        try:
            async with asyncio.timeout(LIST_SECONDS):
                return await self._tools(admit)
        except TimeoutError:
            raise TimedOut(f"{self.endpoint.title} did not list its tools in {LIST_SECONDS:.0f} s.") from None

    async def call(
        self,
        name: str,
        arguments: dict[str, Any],
        *,
        repeatable: bool,
        on_progress: ProgressReport,
        admit: Admit | None = None,
    ) -> dict[str, Any]:
        """The raw result of `tools/call`. `repeatable`: a second execution would do no harm.

        `admit` is awaited on the open connection, before each time that the call is sent; what it raises is raised.
        """
        prepared, marks = prepare(arguments)

        async def send(session: McpSession) -> Exchange:
            if admit is not None:
                await admit()
            exchange = await session.call_tool(name, prepared, marks, on_progress)
            if session.modern and exchange.error is not None and exchange.error.code == HEADER_MISMATCH:
                await self._pages(session, until=name)
                exchange = await session.call_tool(name, prepared, marks, on_progress)
            return exchange

        return _complete(await self._request(send, repeatable=repeatable, calling=True))

    async def read_resource(self, uri: str, *, admit: Admit | None = None) -> dict[str, Any]:
        """The raw result of `resources/read`. `admit` as in `tools`."""

        async def send(session: McpSession) -> Exchange:
            if admit is not None:
                await admit()
            return await session.read_resource(uri)

        try:
            async with asyncio.timeout(LIST_SECONDS):
                return _complete(await self._request(send))
        except TimeoutError:
            raise TimedOut(f"{self.endpoint.title} did not answer in {LIST_SECONDS:.0f} s.") from None

    async def close(self) -> None:
        """End the connection in under a second, whatever the server does. Raises nothing."""
        self._closed = True
        owners = {line.owner for line in self._lines if line.owner is not None}
        for line in self._lines:
            line.leave.set()
        if owners and (late := (await asyncio.wait(owners, timeout=CLOSE_SECONDS))[1]):
            for owner in late:
                owner.cancel()
            await asyncio.wait(late, timeout=ABANDON_SECONDS)

    async def _tools(self, admit: Admit | None) -> list[ToolInfo]:
        items: list[Any] = []

        async def gather(session: McpSession) -> Exchange:
            if admit is not None:
                await admit()
            items.clear()
            self._tool_problem = session.tool_problem
            return await self._pages(session, into=items)

        await self._request(gather)
        return read_tools(items, self._tool_problem)

    async def _pages(self, session: McpSession, *, into: list[Any] | None = None, until: str | None = None) -> Exchange:
        """Walk `tools/list` to its end, or until a page names a tool; the last exchange tells how it went."""
        cursor: str | None = None
        seen: set[str] = set()
        for _page in range(PAGES_LIMIT):
            exchange = await session.list_page(cursor)
            page = exchange.result
            if page is None:
                return exchange
            tools = page.get("tools")
            if not isinstance(tools, list):
                raise ProtocolTrouble("The server's tool list is not a list.")
            if into is not None:
                into.extend(tools[: TOOLS_LIMIT - len(into)])
            cursor = page.get("nextCursor")
            named = until is not None and any(isinstance(tool, dict) and tool.get("name") == until for tool in tools)
            if named or not isinstance(cursor, str) or not cursor or cursor in seen:
                return exchange
            if into is not None and len(into) >= TOOLS_LIMIT:
                return exchange
            seen.add(cursor)
        return exchange

    async def _request(
        self,
        send: Callable[[McpSession], Awaitable[Exchange]],
        *,
        repeatable: bool = True,
        calling: bool = False,
    ) -> dict[str, Any]:
        line = await self._ready()
        exchange = await line.use(send)
        if exchange.result is None and _session_over(exchange, line.session):
            self._retire(line)
            line = await self._ready()
            exchange = await line.use(send)
        elif repeatable and exchange.result is None and exchange.broke:
            # A kept-alive connection that the server closed meanwhile is no failure for what may be repeated.
            if exchange.by_message:
                self._retire(line)
            line = await self._ready()
            exchange = await line.use(send)
        if exchange.result is not None:
            return exchange.result
        raise self._error(exchange, repeatable=repeatable, calling=calling)

    async def _ready(self) -> OpenSession:
        """The current line, open; single-flight for all who ask at once."""
        if self._closed:
            raise ProtocolTrouble("The connection was closed.")
        line = self._line
        if line is None or line.owner is None or line.owner.done():
            line = OpenSession()
            # Assigned before anything is awaited: whoever comes meanwhile waits for the same opening.
            self._line = line
            self._lines.add(line)
            line.owner = asyncio.create_task(self._own(line), name=f"mcp {self.endpoint.title}")
            line.owner.add_done_callback(lambda _task: self._lines.discard(line))
        await asyncio.shield(line.opened)
        return line

    def _retire(self, line: OpenSession) -> None:
        """Leave a session that the server no longer knows, as soon as no other request waits on it."""
        if self._line is line:
            self._line = None
        line.retire()

    async def _own(self, line: OpenSession) -> None:
        try:
            wire = await load_wire()
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(OPEN_SECONDS):
                    session = await self._open(wire, stack)
                self._legacy = not session.modern
                self.protocol = session.version
                line.opened.set_result(session)
                if self._listening is not None:
                    await stack.enter_async_context(self._listening.to(session, self.endpoint.title))
                await line.leave.wait()
        except BaseException as failure:
            self._legacy = False
            if not line.opened.done():
                line.opened.set_exception(self._opening_error(failure))
            elif not isinstance(failure, asyncio.CancelledError):
                log.warning("the connection to %s ended: %r", self.endpoint.title, _leaf(failure))
            if isinstance(failure, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
                raise

    async def _open(self, wire: Any, stack: AsyncExitStack) -> McpSession:
        """A session that `stack` leaves.

        A process that ends at the question for the newest revision gets another start: servers of the old revisions may
        end at any message before `initialize`.
        """

        def session(*, legacy: bool) -> Any:
            return wire.open_session(
                self.endpoint.transport,
                told=lambda item: self._told(self.endpoint, item),
                listening=self._listening,
                legacy=legacy,
            )

        try:
            opened: McpSession = await stack.enter_async_context(session(legacy=self._legacy))
        except Exception as failure:
            refused = getattr(_leaf(failure), "exchange", None)
            if self._legacy or refused is None or not refused.ending:
                raise
            opened = await stack.enter_async_context(session(legacy=True))
        return opened

    def _opening_error(self, failure: BaseException) -> BurrowError:
        leaf = _leaf(failure)
        match leaf:
            case BurrowError():
                return leaf
            case TimeoutError():
                return TimedOut(f"{self.endpoint.title} did not open a session in {OPEN_SECONDS:.0f} s.")
            case asyncio.CancelledError():
                return ProtocolTrouble("The connection was closed.")
            case _ if hasattr(leaf, "exchange"):
                return self._error(leaf.exchange)
            case _:
                log.warning("no session with %s", self.endpoint.title, exc_info=failure)
                return ProtocolTrouble(str(leaf) or type(leaf).__name__)

    def _error(self, exchange: Exchange, *, repeatable: bool = True, calling: bool = False) -> BurrowError:
        if exchange.renewal is not None and _credential_refused(exchange, self.endpoint.at_stake):
            return exchange.renewal
        stray = _stray_answer(exchange)
        if stray is not None:
            return ProtocolTrouble(stray)
        return typed(
            FailedExchange(
                at_stake=self.endpoint.at_stake,
                name=self.endpoint.title,
                origin=self.endpoint.transport.address,
                repeatable=repeatable,
                calling=calling,
                answered=exchange.answered,
                status=exchange.status if exchange.answered else None,
                ending=exchange.ending,
                headers=exchange.headers,
                body=exchange.body,
                unsent=not exchange.sent,
                cut_off=exchange.cut_off,
                limit=exchange.limit,
                rpc=exchange.error,
                credential=self.endpoint.credential,
            )
        )


def _session_over(exchange: Exchange, session: McpSession) -> bool:
    """Whether the request certainly was not executed and a new session may help.

    The server forgot the session (404), the session was bound to a token that has been refreshed since (401 or 403), or
    the connection's task died before anything was sent. See docs/wire.md, "The host's MCP endpoint".
    """
    if not exchange.sent:
        return exchange.failure is None
    if not exchange.in_session:
        return False
    rotated = exchange.bearer != session.bearer
    return exchange.status == 404 or (exchange.status in {401, 403} and rotated)


def _credential_refused(exchange: Exchange, at_stake: CredentialAtStake) -> bool:
    """Whether the answer is about the person's token, so that the reason of a failed renewal says it better."""
    reply = Reply(exchange.status or 0, exchange.headers, exchange.body, at_stake)
    return concerns_token(reply) or (exchange.error is not None and exchange.status == 200)


def _stray_answer(exchange: Exchange) -> str | None:
    """Words for an HTTP success that is no MCP answer, which the SDK reports under a misleading code."""
    if exchange.status is None or exchange.status >= 400 or exchange.by_message:
        return None
    if 300 <= exchange.status < 400:
        return "The server points to another address, which is not followed; use that address if it is the right one."
    if exchange.status == 202:
        return "The server took the request but gave no answer to it."
    if exchange.kind not in {"application/json", "text/event-stream"}:
        return (
            f"The server answered with {exchange.kind or 'something unnamed'} instead of MCP; the address may be wrong."
        )
    return None


def _complete(raw: dict[str, Any]) -> dict[str, Any]:
    """The result itself, refused when it is only a stage on the way (revision 2026-07-28, `resultType`)."""
    match raw.get("resultType"):
        case None | "complete":
            return raw
        case "input_required":
            raise ProtocolTrouble("The tool asks for more input while it runs, which Burrow does not offer yet.")
        case "task":
            raise ProtocolTrouble("The tool went on as an MCP task, which Burrow does not follow yet.")
        case other:
            raise ProtocolTrouble(f"The server gave a result of an unknown kind: {str(other)[:100]}.")


def _leaf(failure: BaseException) -> BaseException:
    """The first real exception inside nested groups."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
