"""WorkspaceConsent: proves to the embedded workspace's consent page that the owner of the data folder opened it.

Every user of the machine can reach a page on loopback. Only the owner can read the secret in the workspace's private
file, and the secret buys a ticket for one page (`app/workspace/oauth/authorize.py`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.core.embedded import RUNTIME_FILE, Ready
from app.core.errors import BurrowError
from app.core.fetcher import plain_json
from app.core.redaction import hide
from app.core.urls import is_loopback

if TYPE_CHECKING:
    from pathlib import Path


class WorkspaceConsent:
    """Tickets and codes for the consent pages of the workspace that runs in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def ticket(self, url: str, challenge: str) -> str | None:
        """A single-use ticket for the authorization request at `url` with this code challenge (RFC 7636).

        None if no workspace runs in the folder, or if the request is for another server.
        """
        return await self._ask(url, "page", "ticket", {"code_challenge": challenge})

    async def code(self, url: str) -> str | None:
        """A single-use code that a person types into the page at `url`; None as for `ticket`."""
        return await self._ask(url, "code", "code", None)

    async def _ask(self, url: str, kind: str, name: str, body: dict[str, str] | None) -> str | None:
        try:
            # Read each time: the workspace may have been started again.
            ready = Ready.parse(await asyncio.to_thread((self._folder / RUNTIME_FILE).read_bytes))
            if not _same_server(ready.url, url):
                return None
            headers = {"X-Workspace-Secret": ready.secret}
            answer: Any = await plain_json("POST", f"{ready.url}/_tickets/{kind}", headers=headers, body=body)
        except (OSError, ValueError, BurrowError):
            return None
        found = answer.get(name) if isinstance(answer, dict) else None
        if not isinstance(found, str):
            return None
        hide(found)
        return found


def _same_server(one: str, other: str) -> bool:
    """Whether two URLs name one port of this machine, which has several names."""
    parts = urlsplit(one), urlsplit(other)
    return parts[0].port == parts[1].port and all(is_loopback(part.hostname or "") for part in parts)
