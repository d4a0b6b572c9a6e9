"""What the MCP store keeps in memory: throttles, locks for token refreshes, the HTTP client for calls to vendors."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.workspace.runtime.import_thread import in_thread
from app.workspace.web.throttle import HOUR, MINUTE, Throttle

if TYPE_CHECKING:
    from collections.abc import Hashable

    import httpx2

UPSTREAM_SECONDS = 180.0
CONNECT_SECONDS = 10.0


class StoreThrottles:
    """The store's limits (docs/wire.md, "Throttling"), which the fault switchboard can lift."""

    def __init__(self) -> None:
        self.lifted = False
        self._limits = {
            "proxy": Throttle((60, MINUTE), (600, HOUR)),
            "oauth": Throttle((10, MINUTE), (50, HOUR)),
            "redirect": Throttle((5, MINUTE), (50, HOUR)),
        }

    def check(self, name: str, key: Hashable, now: float) -> None:
        """Count one request at `now` (seconds since the epoch). Raises `ApiError` 429 beyond a limit."""
        if not self.lifted:
            self._limits[name].check(key, now)

    def reset(self) -> None:
        self.lifted = False
        for throttle in self._limits.values():
            throttle.reset()


@dataclass
class StoreState:
    """One per running workspace. `refreshing` has one lock per installation, for its vendor token."""

    throttles: StoreThrottles = field(default_factory=StoreThrottles)
    upstream_seconds: float = UPSTREAM_SECONDS
    refreshing: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _http: asyncio.Task[httpx2.AsyncClient] | None = None

    async def http(self) -> httpx2.AsyncClient:
        """The client for calls to MCP servers and their authorization servers; made off the event loop."""
        if self._http is None:
            self._http = asyncio.get_running_loop().create_task(in_thread(_new_client))
        # A caller that is cancelled must not take the client from the others.
        return await asyncio.shield(self._http)

    def reset(self) -> None:
        """Turn the fault switches off and forget what was counted."""
        self.throttles.reset()
        self.upstream_seconds = UPSTREAM_SECONDS


def _new_client() -> httpx2.AsyncClient:
    import httpx2

    # Neither redirects nor a proxy of the environment: both would lead a vendor's credential off this machine.
    return httpx2.AsyncClient(
        follow_redirects=False,
        trust_env=False,
        headers={"Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
    )
