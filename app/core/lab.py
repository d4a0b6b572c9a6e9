"""Lab: the fault switchboard of an embedded workspace, for people and tests that want to watch Burrow heal.

Speaks `/_faults` of a workspace on this machine with the secret of its ready line. All methods raise `NotFound` when
the secret is not the workspace's, `Offline` when it is not there, `Rejected` when it does not accept a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.errors import Facts, NotFound, Rejected
from app.core.fetcher import plain_json

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET_HEADER = "X-Workspace-Secret"


class Lab:
    """The switchboard of the workspace at `base_url` (an origin). Seconds are seconds, `times` counts requests."""

    def __init__(self, base_url: str, secret: str | None) -> None:
        self._base = base_url.rstrip("/")
        self._secret = secret

    @property
    def unlocked(self) -> bool:
        """Whether the secret is known."""
        return self._secret is not None

    async def unlock(self, secret: str) -> None:
        """Use the secret of a workspace that somebody else started. Raises `Rejected` when it is not the right one."""
        trial = Lab(self._base, secret.strip())
        try:
            await trial.state()
        except (NotFound, UnicodeError):
            raise Rejected(
                "This is not the secret of that workspace.",
                Facts(attr="secret"),
                action="Copy it from the line that `burrow workspace` prints when it starts.",
            ) from None
        self._secret = secret.strip()

    async def state(self) -> dict[str, Any]:
        """Counters (refreshes, revoked grants, requests per path), rules in force, the workspace's time."""
        return await self._ask("GET", "state")

    async def reset(self) -> None:
        """Lift every fault and set the counters and the clock back."""
        await self._post("reset")

    async def kill_access_token(self, client_id: str | None = None) -> int:
        """Make the live access tokens (of one client) dead on the server; answers how many."""
        return _count(await self._post("kill-access-token", client_id=client_id), "killed")

    async def revoke_grant(self, client_id: str | None = None) -> int:
        """End whole grants, refresh tokens too; answers how many."""
        return _count(await self._post("revoke-grant", client_id=client_id), "revoked")

    async def expire(self, seconds: float) -> None:
        """Move the workspace's clock ahead, so that tokens of a shorter life are over."""
        await self._post("advance-clock", seconds=seconds)

    async def token_endpoint(
        self,
        *,
        status: int | None = None,
        body: object | None = None,
        headers: Mapping[str, str] | None = None,
        delay: float | None = None,
        drop: str | None = None,
        times: int = 1,
    ) -> None:
        """Answer the next token requests so. `drop`: `before_commit` or `after_commit` closes without a reply."""
        await self._post(
            "token-endpoint", status=status, body=body, headers=headers, delay=delay, drop=drop, times=times
        )

    async def path_fault(
        self,
        path: str,
        *,
        method: str | None = None,
        status: int | None = None,
        body: object | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        delay: float | None = None,
        drop: str | None = None,
        times: int = 1,
    ) -> None:
        """Answer the next requests to a path (a prefix or a glob) so."""
        await self._post(
            "path",
            path=path,
            method=method,
            status=status,
            body=body,
            content_type=content_type,
            headers=headers,
            delay=delay,
            drop=drop,
            times=times,
        )

    async def slow(self, seconds: float, path: str | None = None) -> None:
        """Delay every answer (under a path) from now on; 0 ends it."""
        await self._post("slow", seconds=seconds, path=path)

    async def mcp(self, **switches: object) -> dict[str, Any]:
        """Switch faults of the workspace's MCP parts, and read how they stand; the names are the workspace's own."""
        return await self._post("mcp", **switches)

    async def vendor(self, **faults: object) -> dict[str, Any]:
        """Make the vendor behind the installed servers fail; the names are the workspace's own."""
        return await self._post("vendor", **faults)

    async def _post(self, name: str, **body: object) -> dict[str, Any]:
        return await self._ask("POST", name, {key: value for key, value in body.items() if value is not None})

    async def _ask(self, method: str, name: str, body: dict[str, object] | None = None) -> dict[str, Any]:
        if self._secret is None:
            raise NotFound("The secret of this workspace is not known.", action="Start the workspace from Burrow.")
        answer = await plain_json(
            method, f"{self._base}/_faults/{name}", headers={SECRET_HEADER: self._secret}, body=body
        )
        return answer if isinstance(answer, dict) else {}


def _count(answer: dict[str, Any], name: str) -> int:
    value = answer.get(name)
    return value if isinstance(value, int) else 0
