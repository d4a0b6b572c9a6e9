"""Connection: requests to one MCP server. A session is opened on first use, and again when it has died or ended.

Tasks: each session is opened, kept and left by an owner task, because the SDK's context managers must be entered and
left by the same task. Requests run in their callers' tasks and may be cancelled there at any time.

Repetition: a request is sent again only if it certainly was not executed, or if executing it twice does no harm. And
only once.
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
from app.core.mcp.protocol.errors import FailedExchange, error_for
from app.core.mcp.protocol.exact_arguments import prepare_arguments
from app.core.mcp.protocol.pages import PageWalk
from app.core.mcp.tool_list import read_tools

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.auth.http.target import CredentialAtStake
    from app.core.auth.key import CredentialKey
    from app.core.mcp.protocol.calls import ProgressReport
    from app.core.mcp.protocol.exchange import Exchange, Notification
    from app.core.mcp.protocol.listening import Listening
    from app.core.mcp.protocol.session import McpSession
    from app.core.mcp.protocol.transport import Transport
    from app.core.mcp.tools import ToolInfo

OPEN_SECONDS = 45.0
LIST_SECONDS = 60.0
CLOSE_SECONDS = 0.5
ABANDON_SECONDS = 0.3
HEADER_MISMATCH = -32020
SESSION_MODULE = "app.core.mcp.protocol.session"

log = logging.getLogger(__name__)

Admit: TypeAlias = "Callable[[], Awaitable[object]]"
"""Waits until it is known whose request this is. Raises when it must not be sent."""


@dataclass(frozen=True, eq=False)
class Endpoint:
    """The server at the other end, and whose credential its responses can complain about.

    `title` is the server's name for people. `credential` is the key of the credential that requests carry.
    """

    title: str
    transport: Transport
    at_stake: CredentialAtStake
    credential: CredentialKey | None = None


async def load_session_module() -> Any:
    """The module `session`, which imports the SDK. The first time it is imported in a worker thread."""
    # While another task imports it, `sys.modules` has an unfinished module without `READY`. Importing it in a thread
    # once more waits for the import lock, without blocking the loop.
    module = sys.modules.get(SESSION_MODULE)
    if module is not None and hasattr(module, "READY"):
        return module
    return await asyncio.to_thread(_import_session_module)


def _import_session_module() -> Any:
    # An import statement, which PyInstaller follows. It would not follow the module's name in a string.
    from app.core.mcp.protocol import session

    return session


async def _ignore() -> None:
    return None


class OpenSession:
    """A session and the task that owns it, from the start of the opening on."""

    def __init__(self) -> None:
        self.owner: asyncio.Task[None] | None = None
        self.opened: asyncio.Future[McpSession] = asyncio.get_running_loop().create_future()
        self.opened.add_done_callback(retrieve)
        # Tells the owner to leave the session.
        self.leave = asyncio.Event()
        self._users = 0
        self._retired = False

    @property
    def session(self) -> McpSession:
        return self.opened.result()

    async def use(self, send: Callable[[McpSession], Awaitable[Exchange]]) -> Exchange:
        """Run one request."""
        self._users += 1
        try:
            return await send(self.session)
        finally:
            self._users -= 1
            if self._retired and self._users == 0:
                self.leave.set()

    def retire(self) -> None:
        """Leave the session as soon as no request uses it: leaving cancels those that are in flight."""
        self._retired = True
        if self._users == 0:
            self.leave.set()


class Connection:
    """Requests to one server. All methods raise only `BurrowError`.

    `on_message` is called with every message. `listening` subscribes to changes of the tool list; None subscribes to
    none. `legacy` opens the server without the probe for the newest revision. `probe_refused` is awaited when it
    refused the probe with a 401 and was opened without it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        on_message: Callable[[Endpoint, Exchange | Notification], None],
        listening: Listening | None = None,
        *,
        legacy: bool = False,
        probe_refused: Callable[[], Awaitable[None]] = _ignore,
    ) -> None:
        self.endpoint = endpoint
        self._on_message = on_message
        self._listening = listening
        # The session for new requests. `_sessions` also has retired ones, which still serve theirs.
        self._current: OpenSession | None = None
        self._sessions: set[OpenSession] = set()
        # The server speaks only revisions before 2026-07-28. The next opening then skips the probe for the newest.
        self._legacy = self._refuses_probe = legacy
        self._probe_refused = probe_refused
        self._closed = False
        self._tool_problem: Callable[[dict[str, Any]], str | None] | None = None
        self.protocol: str | None = None
        self.tools_note = ""

    async def tools(self, *, admit: Admit | None = None) -> list[ToolInfo]:
        """The whole tool list. `tools_note` then says what is odd about it, if anything is.

        `admit` is awaited when the session is open, before anything is sent. Its exceptions are raised.
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
        on_message: Callable[[bytes], None] | None = None,
        admit: Admit | None = None,
    ) -> dict[str, Any]:
        """The raw result of `tools/call`. `repeatable`: executing the tool twice does no harm.

        `on_message` is called with the message that held the result, as it was received, where its bytes are known.
        `admit` is awaited when the session is open, each time before the call is sent. Its exceptions are raised.
        """
        prepared, placeholders = prepare_arguments(arguments)

        async def send(session: McpSession) -> Exchange:
            if admit is not None:
                await admit()
            exchange = await session.call_tool(name, prepared, placeholders, on_progress)
            # The server requires headers that mirror arguments, and the tool list may have been outdated. It refuses
            # such a request before it executes it. Reading the list tells the SDK which headers to send.
            if session.modern and exchange.error is not None and exchange.error.code == HEADER_MISMATCH:
                await self._walk(session, PageWalk(), until=name)
                exchange = await session.call_tool(name, prepared, placeholders, on_progress)
            if on_message is not None and exchange.received:
                on_message(exchange.received)
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
        owners = {opened.owner for opened in self._sessions if opened.owner is not None}
        for opened in self._sessions:
            opened.leave.set()
        # Leaving in order says goodbye to the server. One that does not answer is abandoned: its owner is cancelled.
        if owners and (late := (await asyncio.wait(owners, timeout=CLOSE_SECONDS))[1]):
            for owner in late:
                owner.cancel()
            await asyncio.wait(late, timeout=ABANDON_SECONDS)

    async def _tools(self, admit: Admit | None) -> list[ToolInfo]:
        walk = PageWalk()

        async def gather(session: McpSession) -> Exchange:
            nonlocal walk
            if admit is not None:
                await admit()
            walk = PageWalk()
            self._tool_problem = session.tool_problem
            return await self._walk(session, walk)

        await self._request(gather)
        self.tools_note = walk.note
        return read_tools(walk.items, self._tool_problem)

    async def _walk(self, session: McpSession, walk: PageWalk, *, until: str | None = None) -> Exchange:
        """Read `tools/list` to its end, or until a page has the tool `until`. Returns the last exchange that counts."""
        exchange: Exchange | None = None
        while not walk.ended:
            answered, exchange = exchange, await session.list_page(walk.cursor)
            if exchange.result is None:
                return answered if answered is not None and walk.stop_at(exchange) else exchange
            walk.add(exchange.result)
            tools = exchange.result["tools"]
            if until is not None and any(isinstance(tool, dict) and tool.get("name") == until for tool in tools):
                break
        assert exchange is not None
        return exchange

    async def _request(
        self,
        send: Callable[[McpSession], Awaitable[Exchange]],
        *,
        repeatable: bool = True,
        calling: bool = False,
    ) -> dict[str, Any]:
        """The result of one request, which is repeated once if that is safe."""
        opened = await self._open_session()
        exchange = await opened.use(send)
        if exchange.result is None and _session_over(exchange, opened.session):
            # Certainly not executed, so even a call with side effects may be sent again.
            self._retire(opened)
            opened = await self._open_session()
            exchange = await opened.use(send)
        elif repeatable and exchange.result is None and exchange.broken:
            # The server may have closed a kept-alive connection just as the request was sent. It may have been
            # executed, hence only what is repeatable. Over HTTP the session itself is still good.
            if exchange.by_message:
                self._retire(opened)
            opened = await self._open_session()
            exchange = await opened.use(send)
        if exchange.result is not None:
            return exchange.result
        raise self._error(exchange, repeatable=repeatable, calling=calling)

    async def _open_session(self) -> OpenSession:
        """The current session, opened if necessary. All who ask at once wait for the same opening."""
        if self._closed:
            raise ProtocolTrouble("The connection was closed.")
        opened = self._current
        if opened is None or opened.owner is None or opened.owner.done():
            opened = OpenSession()
            # Assigned before the first await: whoever asks meanwhile waits for the same opening.
            self._current = opened
            self._sessions.add(opened)
            opened.owner = asyncio.create_task(self._own(opened), name=f"mcp {self.endpoint.title}")
            opened.owner.add_done_callback(lambda _task: self._sessions.discard(opened))
        # Shielded: cancelling one caller must not cancel the opening for the others.
        await asyncio.shield(opened.opened)
        return opened

    def _retire(self, opened: OpenSession) -> None:
        """Use this session for no more requests, and leave it after its last one."""
        # Another caller may have replaced it already.
        if self._current is opened:
            self._current = None
        opened.retire()

    async def _own(self, opened: OpenSession) -> None:
        """Open a session, keep it until it is to be left, and leave it: the whole life of an owner task.

        A failure of the opening goes to those who wait for it. A later one only ends the session: the next request
        finds the owner done, and opens another.
        """
        try:
            session_module = await load_session_module()
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(OPEN_SECONDS):
                    session = await self._open(session_module, stack)
                self._legacy = not session.modern
                self.protocol = session.version
                opened.opened.set_result(session)
                if self._listening is not None:
                    await stack.enter_async_context(self._listening.listen(session, self.endpoint.title))
                await opened.leave.wait()
        except BaseException as failure:
            # The server may have been updated: the next opening probes again.
            self._legacy = self._refuses_probe
            if not opened.opened.done():
                opened.opened.set_exception(self._opening_error(failure))
            elif not isinstance(failure, asyncio.CancelledError):
                log.warning("the connection to %s ended: %r", self.endpoint.title, _root_cause(failure))
            if isinstance(failure, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
                raise

    async def _open(self, session_module: Any, stack: AsyncExitStack) -> McpSession:
        """A negotiated session that `stack` leaves."""

        def session(*, legacy: bool) -> Any:
            return session_module.open_session(
                self.endpoint.transport,
                on_message=lambda item: self._on_message(self.endpoint, item),
                listening=self._listening,
                legacy=legacy,
            )

        try:
            opened: McpSession = await stack.enter_async_context(session(legacy=self._legacy))
        except Exception as failure:
            # A process may end at the probe for the newest revision: older servers may do so at any message before
            # `initialize`. It is started once more, without the probe. Another server may refuse only the probe with a
            # 401, however new the token is.
            refused: Exchange | None = getattr(_root_cause(failure), "exchange", None)
            if self._legacy or refused is None or not (refused.close_reason or _token_in_vain(refused)):
                raise
            opened = await stack.enter_async_context(session(legacy=True))
            if _token_in_vain(refused):
                self._refuses_probe = True
                await self._probe_refused()
        return opened

    def _opening_error(self, failure: BaseException) -> BurrowError:
        cause = _root_cause(failure)
        match cause:
            case BurrowError():
                return cause
            case TimeoutError():
                return TimedOut(f"{self.endpoint.title} did not open a session in {OPEN_SECONDS:.0f} s.")
            case asyncio.CancelledError():
                return ProtocolTrouble("The connection was closed.")
            case _ if hasattr(cause, "exchange"):
                return self._error(cause.exchange)
            case _:
                log.warning("no session with %s", self.endpoint.title, exc_info=failure)
                return ProtocolTrouble(str(cause) or f"{self.endpoint.title} did not open a session.")

    def _error(self, exchange: Exchange, *, repeatable: bool = True, calling: bool = False) -> BurrowError:
        # The reason why the token could not be refreshed explains more than the refusal of the old one.
        if exchange.refresh_failure is not None and _credential_refused(exchange, self.endpoint.at_stake):
            return exchange.refresh_failure
        not_mcp = _not_mcp(exchange)
        if not_mcp is not None:
            return ProtocolTrouble(not_mcp)
        return error_for(
            FailedExchange(
                at_stake=self.endpoint.at_stake,
                name=self.endpoint.title,
                origin=self.endpoint.transport.address,
                repeatable=repeatable,
                calling=calling,
                answered=exchange.answered,
                status=exchange.status if exchange.answered else None,
                close_reason=exchange.close_reason,
                reason=exchange.reason,
                headers=exchange.headers,
                body=exchange.body,
                unsent=not exchange.sent,
                cut_off=exchange.cut_off,
                exceeded_limit=exchange.exceeded_limit,
                rpc=exchange.error,
                credential=self.endpoint.credential,
            )
        )


def _token_in_vain(exchange: Exchange) -> bool:
    """Whether a request was refused with a 401 although it carried a token that was refreshed for it."""
    return exchange.status == 401 and bool(exchange.bearer) and exchange.refresh_failure is None


def _session_over(exchange: Exchange, session: McpSession) -> bool:
    """Whether the request certainly was not executed and a new session may help."""
    if not exchange.sent:
        # Nothing left this machine. Without a failure of the request itself, the session's own tasks are gone.
        return exchange.failure is None
    if not exchange.in_session:
        return False
    # 404: the server forgot the session. 401 and 403: the session may be bound to the token it was opened with, which
    # has been refreshed since. See docs/wire.md, "The host's MCP endpoint".
    rotated = exchange.bearer != session.bearer
    return exchange.status == 404 or (exchange.status in {401, 403} and rotated)


def _credential_refused(exchange: Exchange, at_stake: CredentialAtStake) -> bool:
    """Whether the response is about the carried token."""
    reply = Reply(exchange.status or 0, exchange.headers, exchange.body, at_stake)
    return concerns_token(reply) or (exchange.error is not None and exchange.status == 200)


def _not_mcp(exchange: Exchange) -> str | None:
    """What is wrong with a response that is no failure and no MCP; the SDK reports a misleading error for it."""
    if exchange.malformed:
        return exchange.malformed
    if exchange.status is None or exchange.status >= 400 or exchange.by_message:
        return None
    if 300 <= exchange.status < 400:
        return "The server redirects to another address, which is not followed. If it is the right one, use it instead."
    if exchange.status == 202:
        return "The server accepted the request but did not answer it."
    if exchange.content_type not in {"application/json", "text/event-stream"}:
        content = exchange.content_type or "no content type"
        return f"The server answered with {content} instead of MCP; the address may be wrong."
    return None


def _complete(raw: dict[str, Any]) -> dict[str, Any]:
    """The result, if it is a final one. Raises `ProtocolTrouble` otherwise (revision 2026-07-28, `resultType`)."""
    match raw.get("resultType"):
        case None | "complete":
            return raw
        case "input_required":
            raise ProtocolTrouble("The tool asks for more input while it runs, which Burrow does not offer yet.")
        case "task":
            raise ProtocolTrouble("The tool went on as an MCP task, which Burrow does not follow yet.")
        case other:
            raise ProtocolTrouble(f"The server gave a result of an unknown kind: {str(other)[:100]}.")


def _root_cause(failure: BaseException) -> BaseException:
    """The first exception inside nested exception groups."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
