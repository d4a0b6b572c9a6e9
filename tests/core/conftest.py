"""A signed-in session against a scripted server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.core.auth.grant import Grant
from app.core.auth.lock import ProcessLock
from app.core.auth.oauth import OAuth
from app.core.auth.session import Session
from app.core.auth.tokens import TokenSet
from app.core.auth.transport import Transport
from app.core.auth.vault import FileVault, Vault
from app.core.fetcher import Fetcher
from app.core.hosts import Host
from tests.core.scripted import Issuer, ScriptedServer


class Remembered:
    """Settings in memory."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    def get(self, key: str, default: object = None) -> object:
        return self.values.get(key, default)

    async def set(self, key: str, value: object) -> None:
        self.values[key] = value


@dataclass
class Rig:
    """One scripted host and one client of it."""

    server: ScriptedServer
    issuer: Issuer
    session: Session
    fetcher: Fetcher
    transport: Transport
    remembered: Remembered
    folder: Path
    vault: Vault


@asynccontextmanager
async def signed_in(folder: Path, *, lifetime: Any = 3600, vault: Vault | None = None) -> AsyncIterator[Rig]:
    """A session that holds the issuer's current pair, stored in a private file."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ScriptedServer())
        issuer = Issuer(server, lifetime=lifetime)
        rig = client_of(server, issuer, folder, vault=vault)
        stack.push_async_callback(rig.transport.close)
        stack.push_async_callback(rig.session.close)
        now = rig.session._now()
        tokens = TokenSet(
            issuer.access_token,
            issuer.refresh_token,
            issued_at=now,
            expires_at=now + lifetime if isinstance(lifetime, int | float) else None,
            generation=1,
        )
        await rig.session.adopt(Grant(tokens, "client"), "test")
        yield rig


def client_of(
    server: ScriptedServer,
    issuer: Issuer,
    folder: Path,
    *,
    vault: Vault | None = None,
    remembered: Remembered | None = None,
) -> Rig:
    """A client of a scripted host, signed out so far."""
    host = Host("scripted", "Scripted", server.origin, f"{server.origin}/mcp", "client")
    transport = Transport()
    kept = remembered or Remembered()
    store = vault or FileVault(folder)
    lock = ProcessLock(folder / "lock")
    session = Session(host, OAuth(transport, server.origin), lock, kept, folder, vault=store)
    return Rig(server, issuer, session, Fetcher(transport, session, host), transport, kept, folder, store)
