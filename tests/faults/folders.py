"""A process of Burrow on a data folder, as it finds the folder: settings, journal, stored sign-ins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from app.core.auth.credential import Credential
from app.core.auth.grant.grant import Grant
from app.core.auth.status import CredentialState
from app.core.auth.tokens import TokenSet
from app.core.auth.vault.base import StoreKind
from app.core.fetcher import Fetcher
from app.core.hosts import Host
from app.core.posthog.profile import posthog_profile
from app.core.services import Services
from tests.core.scripted import Issuer, ScriptedServer

PATH = "/api/x/"


@dataclass
class Client:
    """One credential of that process."""

    server: ScriptedServer
    credential: Credential
    fetcher: Fetcher
    services: Services

    @property
    def state(self) -> CredentialState:
        return self.credential.status.state

    @property
    def name(self) -> str:
        """The name of the grant in the vault."""
        return self.credential._store.name

    async def sign_in(self, issuer: Issuer, store: StoreKind) -> None:
        """Sign in as somebody who chose where to keep it."""
        await self.credential.choose_store(store)
        now = self.credential.oauth.time.now()
        tokens = TokenSet(
            issuer.access_token, issuer.refresh_token, issued_at=now, expires_at=now + issuer.lifetime, generation=1
        )
        await self.credential.sign_in(Grant(tokens, "client"), "test")

    async def answer(self) -> int:
        """The status of the answer to one request."""
        return (await self.fetcher.get(PATH)).status


@asynccontextmanager
async def process_on(
    folder: Path, server: ScriptedServer, slot: str = "", *, store: StoreKind | None = None
) -> AsyncIterator[Client]:
    """The process, with the stored sign-in to `server` restored. `store` is what its command line named."""
    host = Host(server.origin, "Scripted", server.origin, f"{server.origin}/mcp", "client", None)
    async with AsyncExitStack() as stack:
        services = Services(folder, store=store)
        stack.push_async_callback(services.close)
        credential = services.credentials.acquire(posthog_profile(host, slot))
        stack.push_async_callback(services.credentials.release, credential)
        await credential.restore()
        yield Client(server, credential, Fetcher(services.transport, credential, host), services)
