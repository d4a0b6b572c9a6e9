"""ServerRoute: how a server is reached over HTTP, and what the proxy has learnt of it meanwhile."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, TypeVar

from app.core.auth.http.recovery import Recovery
from app.core.background import retrieve
from app.core.mcp.proxy.messages import MessageKind
from app.core.urls import is_confidential, origin_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from app.core.mcp.proxy.messages import Post
    from app.core.mcp.proxy.parts import HttpUpstream, ProxyHost

T = TypeVar("T")

# A client waits for a refresh as for anything that passes by itself, with its pauses after failures of the token
# endpoint (rows 24 to 26). While one hangs, those who come later are told at once, and it goes on.
PATIENCE_SECONDS, SHORT_PATIENCE_SECONDS = 5.0, 0.8
# The process answers where to sign in from memory. Its loop may be held up.
SENTENCE_SECONDS = 0.15
SIGN_IN = "Open Burrow and sign in again; then repeat the request."
# Executing these twice does no harm (MCP 2025-11-25 and 2026-07-28).
REPEATABLE_METHODS = frozenset(
    {
        "completion/complete",
        "initialize",
        "logging/setLevel",
        "ping",
        "prompts/get",
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/subscribe",
        "resources/templates/list",
        "resources/unsubscribe",
        "server/discover",
        "subscriptions/listen",
        "tasks/cancel",
        "tasks/get",
        "tasks/list",
        "tasks/result",
        "tools/list",
    }
)


class StillRefreshing(Exception):
    """A token is being refreshed for longer than a client waits."""


class ServerRoute:
    """One for each `HttpUpstream`. `recovery` is None where the server takes no token of ours."""

    def __init__(self, upstream: HttpUpstream, host: ProxyHost, tasks: set[asyncio.Task[Any]]) -> None:
        """`tasks` keeps what goes on alive."""
        self.upstream = upstream
        self.origin = origin_of(upstream.url)
        self.confidential = is_confidential(upstream.url)
        self.recovery = None if upstream.source is None else Recovery(upstream.source, upstream.target, origin_of)
        # When it answered last, in `time.monotonic()`.
        self.answered_at = float("-inf")
        self._host = host
        self._hung = False
        self._tasks = tasks
        self._sign_in: asyncio.Task[str] | None = None
        self._vendor: asyncio.Task[None] | None = None
        # By name: whether calling it twice does no harm, as a trusted server says.
        self._repeatable: dict[str, bool] = {}

    async def patiently(self, work: Coroutine[Any, Any, T]) -> T:
        """The outcome of work at the token endpoint. Raises `StillRefreshing`; the work goes on then."""
        task = self._start(work)
        task.add_done_callback(self._done)
        await asyncio.wait({task}, timeout=SHORT_PATIENCE_SECONDS if self._hung else PATIENCE_SECONDS)
        if not task.done():
            self._hung = True
            raise StillRefreshing
        return task.result()

    def worked(self) -> None:
        """The server accepted a request: whoever is needed next is needed anew."""
        self._sign_in = self._vendor = None

    async def sign_in_needed(self) -> str:
        """Have the user told; what to do, as a sentence for the client."""
        # The process tells it once. It knows when to tell it again, so it is asked each time.
        if self._sign_in is None or self._sign_in.done():
            self._sign_in = self._start(self._host.sign_in_needed(self.upstream))
        told = self._sign_in
        await asyncio.wait({told}, timeout=SENTENCE_SECONDS)
        return told.result() if told.done() and not _failed(told) and told.result() else SIGN_IN

    def vendor_sign_in_needed(self) -> None:
        """Have the server marked as one to be connected again, once until it worked again."""
        if self._vendor is None or (self._vendor.done() and _failed(self._vendor)):
            self._vendor = self._start(self._host.vendor_sign_in_needed(self.upstream))

    def learn(self, message: bytes) -> None:
        """Take note of what a list of tools says about repeating them."""
        if not self.upstream.trusted:
            return
        try:
            answer = json.loads(message)
        except (ValueError, RecursionError):
            return
        match answer:
            case {"result": {"tools": list(tools)}}:
                self._repeatable.update(_repeatable_of(tools))

    def learn_from(self, former: ServerRoute) -> None:
        """The process describes the server anew: what it says of its tools still holds at the same address."""
        self.answered_at = former.answered_at
        if self.upstream.trusted and former.upstream.url == self.upstream.url:
            self._repeatable = former._repeatable

    def repeatable(self, post: Post) -> bool:
        """Whether executing all messages twice does no harm."""
        for message in post.messages:
            if message.kind is not MessageKind.REQUEST:
                return False
            tool = message.tool
            if not (self._repeatable.get(tool, False) if tool is not None else message.method in REPEATABLE_METHODS):
                return False
        return True

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(retrieve)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        if not _failed(task):
            self._hung = False


class Routes:
    """The routes of all servers."""

    def __init__(self, host: ProxyHost) -> None:
        self._host = host
        self._known: dict[str, ServerRoute] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def to(self, upstream: HttpUpstream) -> ServerRoute:
        """The route to a server."""
        found = self._known.get(upstream.id)
        if found is None or found.upstream is not upstream:
            former, found = found, ServerRoute(upstream, self._host, self._tasks)
            self._known[upstream.id] = found
            if former is not None:
                found.learn_from(former)
        return found

    async def close(self) -> None:
        """Wait for nothing more. A refresh goes on in the process."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _repeatable_of(tools: list[Any]) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for tool in tools:
        match tool:
            case {"name": str(name)}:
                hints = tool.get("annotations")
                found[name] = isinstance(hints, dict) and (
                    hints.get("readOnlyHint") is True or hints.get("idempotentHint") is True
                )
    return found


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None
