"""Cache: answers of servers, stored for each account so that the next start can show them at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from app.core.storage.repository import Repository, Unreadable, moment
from app.core.storage.values import Cached

if TYPE_CHECKING:
    from app.core.storage.values import Scope


class Cache(Repository):
    """All methods raise `StorageTrouble`. Losing an entry costs one request, so writes are not durable."""

    async def put(self, scope: Scope, name: str, payload: bytes) -> None:
        """Store `payload` under `name`, in place of any other."""
        row = (scope.host, scope.account, name, time.time(), payload)

        def job() -> None:
            self._database.write(
                lambda connection: connection.execute("INSERT OR REPLACE INTO cache VALUES (?, ?, ?, ?, ?)", row),
                durable=False,
            )

        await self._run(job)

    async def get(self, scope: Scope, name: str) -> Cached | None:
        """What was last stored under `name`, however old; None when there is nothing."""

        def job() -> Cached | None:
            rows = self._database.read(
                "SELECT host, account, name, payload, stored_at FROM cache WHERE host = ? AND account = ? AND name = ?",
                (scope.host, scope.account, name),
            )
            found = self._readable("cache", ("host", "account", "name"), rows, _decode, told=False)
            return found[0] if found else None

        return await self._run(job)

    async def clear(self, scope: Scope) -> None:
        """Delete everything cached for an account."""

        def job() -> None:
            self._database.write(
                lambda connection: connection.execute(
                    "DELETE FROM cache WHERE host = ? AND account = ?",
                    (scope.host, scope.account),
                ),
                durable=False,
            )

        await self._run(job)


def _decode(row: tuple[Any, ...]) -> Cached:
    *_key, payload, stored_at = row
    # A text that is not UTF-8 comes as bytes too.
    if type(payload) is not bytes:
        raise Unreadable
    return Cached(payload, moment(stored_at))
