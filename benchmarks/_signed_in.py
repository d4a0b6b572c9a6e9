"""A session as the application has one, signed in at the rotating server: what a renewal costs in earnest.

The grant rests in a private file instead of the keyring, which not every machine has; journal and settings are those of
the application's database, and everything that is durable there is durable here.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.core.auth.credential import Credential
from app.core.auth.grant.files import GrantFiles
from app.core.auth.grant.grant import Grant
from app.core.auth.grant.journal import Journal
from app.core.auth.http.clients import HttpClients
from app.core.auth.oauth.authorization_server import AuthorizationServer
from app.core.auth.tokens import TokenSet
from app.core.auth.vault.base import StoreKind
from app.core.fetcher import Fetcher
from app.core.hosts import Host
from app.core.posthog.profile import posthog_profile
from app.core.storage import Storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from _control import Pair

    from app.core.auth.grant.lock import ProcessLock
    from app.core.auth.http.clients import ClientPair

LIFETIME_SECONDS = 3600.0
PATH = "/api/projects/1/tasks/42/"
CLIENT_ID = "bench"


@dataclass(frozen=True)
class Rig:
    """One process of the application, as far as signing in and asking go."""

    storage: Storage
    files: GrantFiles
    transport: HttpClients
    credential: Credential
    host: Host

    def fetcher(self, in_flight: int) -> Fetcher:
        """The door to HTTP with so many requests at a time."""
        return Fetcher(self.transport, self.credential, self.host, in_flight=in_flight)

    async def sign_in(self, pair: Pair) -> None:
        """Make `pair` the grant of the credential. Metadata is known from then on, as after every signing in."""
        metadata = await self.credential.registrar.metadata()
        now = self.credential.oauth.time.now()
        tokens = TokenSet(
            pair.access, pair.refresh, issued_at=now, expires_at=now + LIFETIME_SECONDS, scope="task:read", generation=1
        )
        await self.credential.sign_in(Grant(tokens, CLIENT_ID, metadata.issuer), "benchmark")


@contextlib.asynccontextmanager
async def application(
    origin: str, folder: Path, *, lock: ProcessLock | None = None, clients: ClientPair | None = None
) -> AsyncIterator[Rig]:
    """The application's own parts on `folder`, put together as `app.core.backend` does; nobody is signed in yet.

    `lock` takes the place of the lock between processes, and `clients` that of the network.
    """
    host = Host("bench", "Bench", origin, client_id=CLIENT_ID)
    storage = Storage.open(folder)
    transport = HttpClients(clients)
    oauth = AuthorizationServer(transport, posthog_profile(host))
    files = GrantFiles(folder / "locks", host.key)
    if lock is not None:
        files.lock = lock
    journal = Journal(oauth.profile.key, storage.grants, clock=oauth.time.clock, process="benchmark")
    session = Credential(oauth, files, storage.settings, folder, store=StoreKind.FILE, journal=journal)
    try:
        yield Rig(storage, files, transport, session, host)
    finally:
        await session.close()
        await transport.close()
        await storage.close()
