"""A data folder as one process of Burrow has it open: its settings, journal, locks and private file of grants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx

from app.core.auth.credential import Credential
from app.core.auth.http.clients import HttpClients
from app.core.auth.http.target import Target
from app.core.auth.key import CredentialKey
from app.core.auth.profile import CredentialProfile
from app.core.auth.registry import Credentials
from app.core.auth.vault.base import StoreKind
from app.core.storage import Storage
from app.core.urls import origin_of


class DataFolder:
    """The credentials that a process has open in it."""

    def __init__(self, folder: Path, store: StoreKind = StoreKind.FILE) -> None:
        self.path = folder
        self.transport = HttpClients()
        self.storage = Storage.open(folder)
        settings, grants = self.storage.settings, self.storage.grants
        self._credentials = Credentials(folder, self.transport, settings, grants, role="test", store=store)
        self._acquired: list[Credential] = []

    def credential(self, profile: CredentialProfile) -> Credential:
        """The credential of a profile, not restored yet."""
        credential = self._credentials.acquire(profile)
        self._acquired.append(credential)
        return credential

    async def restored(self, profile: CredentialProfile) -> Credential:
        """The credential of a profile as a former process left it."""
        credential = self.credential(profile)
        await credential.restore()
        return credential

    async def close(self) -> None:
        for credential in self._acquired:
            await self._credentials.release(credential)
        await self.transport.close()
        await self.storage.close()


@asynccontextmanager
async def opened(folder: Path, store: StoreKind = StoreKind.FILE) -> AsyncIterator[DataFolder]:
    """The folder until the block ends, as a process that ends leaves it."""
    async with AsyncExitStack() as stack:
        data = DataFolder(folder, store)
        stack.push_async_callback(data.close)
        yield data


def profile_of_parts(issuer: str, resource: str, slot: str) -> CredentialProfile:
    """The profile of a credential for the server at the address that is its resource."""
    key = CredentialKey(issuer, resource, slot)
    return CredentialProfile(key, "Example", origin_of(resource), issuer, resource=resource)


async def status_of(credential: Credential, url: str) -> int:
    """Ask a server with a credential, which heals a dead token."""
    target = Target(frozenset({origin_of(url)}), name="Example", credential=credential.key)
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(url, auth=credential.auth(target))).status_code
