"""RefusedProbes: servers that refuse the probe for the newest MCP revision, and take the older handshake.

Such a server answers `server/discover` with a 401 although the token is good. Each probe would cost a refresh of the
token, so the answer is remembered for a week (faults row 80).
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from app.core.errors import StorageTrouble

if TYPE_CHECKING:
    from app.core.auth.settings import SettingsStore

# A server may be updated. After this time it is probed again, in seconds.
REMEMBERED_SECONDS = 7 * 86400.0

log = logging.getLogger(__name__)


class RefusedProbes:
    """Addresses of such servers. Without `settings` they are remembered for as long as the process lives."""

    def __init__(self, settings: SettingsStore | None = None) -> None:
        self._settings = settings
        self._refused: dict[str, float] = {}

    def has(self, address: str) -> bool:
        """Whether the server at this address refused a probe within the last week."""
        stored = None if self._settings is None else self._settings.get(_key(address))
        at = self._refused.get(address, stored)
        return isinstance(at, int | float) and 0 <= time.time() - at < REMEMBERED_SECONDS

    async def add(self, address: str) -> None:
        """Remember a server. Raises nothing: a full disk costs a refresh in the next process."""
        self._refused[address] = now = time.time()
        if self._settings is None:
            return
        try:
            await self._settings.set(_key(address), now)
        except StorageTrouble as trouble:
            log.info("the refused probe could not be remembered: %s", trouble.cause)


def _key(address: str) -> str:
    return f"mcp_probe_refused:{address}"
