"""Answers of servers kept to be shown at once on the next start, for each account apart."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from app.core.storage.access import Access
from app.core.storage.values import Cached

if TYPE_CHECKING:
    from app.core.storage.values import Scope


class Cache(Access):
    """All methods raise `StorageTrouble`. Losing an entry costs a request, nothing else."""

    async def put(self, scope: Scope, name: str, payload: bytes) -> None:
        """Keep `payload` under `name` in place of what was there."""
        row = (scope.host, scope.account, name, time.time(), payload)

        def job() -> None:
            self._database.write(
                lambda connection: connection.execute("INSERT OR REPLACE INTO cache VALUES (?, ?, ?, ?, ?)", row),
                durable=False,
            )

        await self._run(job)

    async def get(self, scope: Scope, name: str) -> Cached | None:
        """What was last kept under `name`, however old, or None."""

        def job() -> Cached | None:
            rows = self._database.read(
                "SELECT payload, stored_at FROM cache WHERE host = ? AND account = ? AND name = ?",
                (scope.host, scope.account, name),
            )
            return Cached(*rows[0]) if rows else None

        return await self._run(job)

    async def clear(self, scope: Scope) -> None:
        """Forget everything cached for an account."""

        def job() -> None:
            self._database.write(
                lambda connection: connection.execute(
                    "DELETE FROM cache WHERE host = ? AND account = ?",
                    (scope.host, scope.account),
                ),
                durable=False,
            )

        await self._run(job)
