"""Two processes' worth of clients on one folder, in one process: for races that a test steps through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from app.core.auth.vault.base import Vault
from app.core.clock import Clock
from app.core.storage import Storage
from tests.core.conftest import Rig, client_of, signed_in


@asynccontextmanager
async def two_windows(
    folder: Path, *, clock: Clock | None = None, vault: Vault | None = None
) -> AsyncIterator[tuple[Rig, Rig]]:
    """Two clients of one sign-in; each has the database, the vault and the lock files of the same folder open."""
    async with AsyncExitStack() as stack:
        storages = Storage.open(folder), Storage.open(folder)
        for storage in storages:
            stack.push_async_callback(storage.close)
        first = await stack.enter_async_context(signed_in(folder, clock=clock, vault=vault, log=storages[0].grants))
        second = client_of(
            first.server,
            first.issuer,
            folder,
            vault=vault or first.vault,
            remembered=first.remembered,
            clock=clock,
            log=storages[1].grants,
        )
        stack.push_async_callback(second.transport.close)
        stack.push_async_callback(second.credential.close)
        await second.credential.restore()
        yield first, second
