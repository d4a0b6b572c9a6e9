"""Lab: the client of a workspace's fault switchboard, for people and tests that want to see how Burrow recovers.

It sends requests to `/_faults` and `/_tickets` of a workspace on this machine, with the secret of its ready line. All
methods raise `NotFound` when the secret is wrong, `Offline` when no workspace is running, `Rejected` when it refuses a
value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.errors import Facts, NotFound, Rejected
from app.core.fetcher import plain_json

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET_HEADER = "X-Workspace-Secret"


class Lab:
    """The switchboard of the workspace at the origin `base_url`. All times are in seconds; `times` counts requests."""

    def __init__(self, base_url: str, secret: str | None) -> None:
        self._base = base_url.rstrip("/")
        self._secret = secret

    @property
    def unlocked(self) -> bool:
        """Whether the secret is known."""
        return self._secret is not None

    async def unlock(self, secret: str) -> None:
        """Use the secret of a workspace that another process started. Raises `Rejected` when it is wrong."""
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
        """Counters (refreshes, revoked grants, requests per path), the active rules, the workspace's time."""
        return await self._ask("GET", "state")

    async def reset(self) -> None:
        """Remove every fault, and reset the counters and the clock."""
        await self._post("reset")

    async def kill_access_token(self, client_id: str | None = None) -> int:
        """Invalidate the live access tokens, of one client or of all; returns how many."""
        return _count(await self._post("kill-access-token", client_id=client_id), "killed")

    async def revoke_grant(self, client_id: str | None = None) -> int:
        """Revoke whole grants, refresh tokens included; returns how many."""
        return _count(await self._post("revoke-grant", client_id=client_id), "revoked")

    async def expire(self, seconds: float) -> None:
        """Advance the workspace's clock, so that tokens with a shorter lifetime expire."""
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
        """Answer the next token requests in this way.

        `drop` closes the connection without a response: `before_commit` or `after_commit` of the request's effect.
        """
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
        """Answer the next requests to a path (a prefix or a glob) in this way; `drop` as in `token_endpoint`."""
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
        """Delay every response from now on, or those under a path; 0 ends it."""
        await self._post("slow", seconds=seconds, path=path)

    async def mcp(self, **switches: object) -> dict[str, Any]:
        """Set faults of the workspace's MCP endpoints; returns all of them. The names are the workspace's own."""
        return await self._post("mcp", **switches)

    async def vendor(self, **faults: object) -> dict[str, Any]:
        """Set faults of the vendors behind installed servers; returns all of them. Names are the workspace's own."""
        return await self._post("vendor", **faults)

    async def runs(self, **switches: object) -> dict[str, Any]:
        """Set faults of runs, their streams and agents; returns all of them. The names are the workspace's own."""
        return await self._post("runs", **switches)

    async def person_code(self) -> str:
        """A code that a consent page of the workspace takes once, within five minutes, if it was opened by hand."""
        answer = await self._request("POST", "_tickets/code")
        return str(answer.get("code", ""))

    async def _post(self, name: str, **body: object) -> dict[str, Any]:
        return await self._ask("POST", name, {key: value for key, value in body.items() if value is not None})

    async def _ask(self, method: str, name: str, body: dict[str, object] | None = None) -> dict[str, Any]:
        return await self._request(method, f"_faults/{name}", body)

    async def _request(self, method: str, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
        if self._secret is None:
            raise NotFound("The secret of this workspace is not known.", action="Start the workspace from Burrow.")
        answer = await plain_json(method, f"{self._base}/{path}", headers={SECRET_HEADER: self._secret}, body=body)
        return answer if isinstance(answer, dict) else {}


def _count(answer: dict[str, Any], name: str) -> int:
    value = answer.get(name)
    return value if isinstance(value, int) else 0
