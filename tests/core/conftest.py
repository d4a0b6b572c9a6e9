"""A signed-in credential against a scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.core.auth.credential import Credential
from app.core.auth.grant.files import GrantFiles
from app.core.auth.grant.grant import Grant
from app.core.auth.grant.journal import Journal, JournalStorage
from app.core.auth.http.clients import HttpClients
from app.core.auth.oauth.authorization_server import AuthorizationServer
from app.core.auth.settings import SettingsStore
from app.core.auth.tokens import Fingerprints, TokenSet
from app.core.auth.vault.base import Vault
from app.core.auth.vault.vaults import FileVault
from app.core.clock import Clock
from app.core.fetcher import Fetcher
from app.core.hosts import Host
from app.core.posthog.profile import posthog_profile
from tests.core.scripted import Issuer, ScriptedServer


class Remembered:
    """Settings in memory."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    def get(self, key: str, default: object = None) -> object:
        return self.values.get(key, default)

    async def set(self, key: str, value: object) -> None:
        self.values[key] = value

    async def refresh(self, key: str) -> None:
        return None


@dataclass
class Rig:
    """One scripted host and one client of it."""

    server: ScriptedServer
    issuer: Issuer
    credential: Credential
    fetcher: Fetcher
    transport: HttpClients
    remembered: SettingsStore
    folder: Path
    vault: Vault
    host: Host

    async def stored(self) -> Grant | None:
        """The grant in the vault."""
        text = await self.vault.read(self.name)
        return None if text is None else Grant.decode(text)

    async def stored_refresh_token(self) -> str | None:
        """The refresh token in the vault."""
        grant = await self.stored()
        return None if grant is None else grant.tokens.refresh_token

    @property
    def name_of_files(self) -> str:
        """The name of the files that processes share about the grant."""
        return f"grant-{self.server.origin.rpartition(':')[2]}"

    @property
    def name(self) -> str:
        """The name of the grant in the vault."""
        return self.credential._store.name


@asynccontextmanager
async def signed_in(
    folder: Path,
    *,
    lifetime: Any = 3600,
    vault: Vault | None = None,
    clock: Clock | None = None,
    log: JournalStorage | None = None,
    resource: str | None = None,
    keeps_unstored: bool = True,
) -> AsyncIterator[Rig]:
    """A credential with the issuer's current tokens, stored in a private file."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ScriptedServer())
        issuer = Issuer(server, lifetime=lifetime)
        rig = client_of(
            server,
            issuer,
            folder,
            vault=vault,
            clock=clock,
            log=log,
            resource=resource,
            keeps_unstored=keeps_unstored,
        )
        stack.push_async_callback(rig.transport.close)
        stack.push_async_callback(rig.credential.close)
        now = rig.credential.oauth.time.now()
        tokens = TokenSet(
            issuer.access_token,
            issuer.refresh_token,
            issued_at=now,
            expires_at=now + lifetime if isinstance(lifetime, int | float) else None,
            generation=1,
        )
        await rig.credential.sign_in(Grant(tokens, "client"), "test")
        # The tasks that this has started reach their first wait before a test advances its clock.
        await asyncio.sleep(0)
        yield rig


def client_of(
    server: ScriptedServer,
    issuer: Issuer,
    folder: Path,
    *,
    vault: Vault | None = None,
    remembered: Remembered | None = None,
    clock: Clock | None = None,
    log: JournalStorage | None = None,
    resource: str | None = None,
    keeps_unstored: bool = True,
) -> Rig:
    """A client of a scripted host, not signed in yet."""
    host = Host("scripted", "Scripted", server.origin, f"{server.origin}/mcp", "client", resource)
    transport = HttpClients()
    settings = remembered or Remembered()
    store = vault or FileVault(folder)
    oauth = AuthorizationServer(transport, posthog_profile(host), clock=clock)
    journal = Journal(
        oauth.profile.key, log, clock=oauth.time.clock, fingerprints=Fingerprints(b"test"), process="test"
    )
    credential = Credential(
        oauth,
        GrantFiles(folder, f"grant-{server.origin.rpartition(':')[2]}"),
        settings,
        folder,
        vault=store,
        journal=journal,
        keeps_unstored=keeps_unstored,
    )
    fetcher = Fetcher(transport, credential, host)
    return Rig(server, issuer, credential, fetcher, transport, settings, folder, store, host)
