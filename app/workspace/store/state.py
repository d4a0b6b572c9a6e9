"""What the MCP store, its proxy and the vendors keep in memory while the workspace runs.

Throttles (contract 2.2 and 4.3), the client for calls to MCP servers, pending vendor consents, and the
switches that the fault switchboard turns.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from app.workspace.web.envelope import throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx2

    from app.workspace.mcp.mount import McpMount
    from app.workspace.runtime.context import Workspace

T = TypeVar("T")
MINUTE, HOUR = 60.0, 3600.0
CONTRACT_LIMITS: Mapping[str, tuple[tuple[int, float], ...]] = {
    "proxy": ((60, MINUTE), (600, HOUR)),
    "oauth": ((10, MINUTE), (50, HOUR)),
    "redirect": ((5, MINUTE), (50, HOUR)),
}
UPSTREAM_SECONDS = 180.0
CONNECT_SECONDS = 10.0
SELF = "self:"
# Two threads that import one package at the same time may each see half of it.
_IMPORTING = threading.Lock()


class Throttles:
    """Sliding windows per name and key; a refused request is not counted, as in Django REST framework."""

    def __init__(self) -> None:
        self.lifted = False
        self.limits = dict(CONTRACT_LIMITS)
        self._seen: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)

    def hit(self, name: str, key: str, now: float) -> None:
        """Count one request at `now` (epoch seconds). Raises `ApiError` 429 over the limit."""
        if self.lifted:
            return
        limits = self.limits[name]
        seen = self._seen[name, key]
        longest = max(span for _count, span in limits)
        while seen and seen[0] <= now - longest:
            seen.popleft()
        for count, span in limits:
            inside = [at for at in seen if at > now - span]
            if len(inside) >= count:
                raise throttled(inside[-count] + span - now)
        seen.append(now)

    def reset(self) -> None:
        self.lifted = False
        self.limits = dict(CONTRACT_LIMITS)
        self._seen.clear()


@dataclass
class ToolFailure:
    """The next `times` tool calls at /mcp fail as if the API had refused the forwarded token (contract 2.3)."""

    times: int = 0
    shape: str = "error"


@dataclass(frozen=True)
class PendingConsent:
    """An authorize request of a vendor that a person has not answered yet."""

    issuer: str
    client_id: str
    client_name: str
    redirect_uri: str
    state: str | None
    challenge: str
    scope: str
    expires_at: float


@dataclass
class StoreRuntime:
    """One per running workspace; nothing here survives a restart."""

    throttles: Throttles = field(default_factory=Throttles)
    upstream_seconds: float = UPSTREAM_SECONDS
    tool_failure: ToolFailure = field(default_factory=ToolFailure)
    bind_sessions_to_token: bool = False
    reports_running: int = 0
    reports_cancelled: int = 0
    extra_tool: bool = False
    listeners: set[tuple[str, int]] = field(default_factory=set)
    consents: dict[str, PendingConsent] = field(default_factory=dict)
    mounts: dict[str, McpMount] = field(default_factory=dict)
    refreshing: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _http: asyncio.Task[httpx2.AsyncClient] | None = None

    async def http(self) -> httpx2.AsyncClient:
        """The client for calls to MCP servers and their authorization servers; made off the event loop."""
        if self._http is None:
            self._http = asyncio.get_running_loop().create_task(in_thread(_new_client))
        return await asyncio.shield(self._http)

    def reset(self) -> None:
        """Turn every switch back to how the workspace starts."""
        self.throttles.reset()
        self.upstream_seconds = UPSTREAM_SECONDS
        self.tool_failure = ToolFailure()
        self.bind_sessions_to_token = False


def runtime_of(workspace: Workspace) -> StoreRuntime:
    """The runtime that belongs to `workspace`, made at first use."""
    runtime = workspace.__dict__.get("_store_runtime")
    if not isinstance(runtime, StoreRuntime):
        runtime = workspace.__dict__["_store_runtime"] = StoreRuntime()
    return runtime


def _new_client() -> httpx2.AsyncClient:
    import httpx2

    return httpx2.AsyncClient(
        follow_redirects=False,
        trust_env=False,
        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
    )


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work`, which imports, in a thread that never delays the end of the process; one such work at a time."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, trouble: BaseException | None) -> None:
        if done.done():
            return
        if trouble is not None:
            done.set_exception(trouble)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        trouble: BaseException | None = None
        try:
            with _IMPORTING:
                result = work()
        except Exception as raised:  # noqa: BLE001 - carried over to the waiting coroutine
            trouble = raised
        try:
            loop.call_soon_threadsafe(settle, result, trouble)
        except RuntimeError:
            return

    threading.Thread(target=run, daemon=True, name="workspace-import").start()
    return await done


def absolute(address: str, origin: str) -> str:
    """A stored address as it is reachable now; `self:` stands for the workspace's own origin."""
    return origin + address.removeprefix(SELF) if address.startswith(SELF) else address


def relative(address: str, origin: str) -> str:
    """An address as it is stored; the inverse of `absolute`."""
    if address == origin or address.startswith(origin + "/"):
        return SELF + address.removeprefix(origin)
    return address
