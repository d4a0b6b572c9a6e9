"""Credentials: the credentials that this process has open, one object for each key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.auth.credential import Credential
from app.core.auth.grant.files import GrantFiles
from app.core.auth.grant.journal import Journal
from app.core.auth.oauth.authorization_server import AuthorizationServer
from app.core.auth.tokens import Fingerprints

if TYPE_CHECKING:
    from pathlib import Path

    from app.core.auth.grant.journal import JournalStorage
    from app.core.auth.http.clients import HttpClients
    from app.core.auth.key import CredentialKey
    from app.core.auth.profile import CredentialProfile
    from app.core.auth.settings import SettingsStore
    from app.core.auth.vault.base import StoreKind

LOCKS_FOLDER = "locks"
INSTALL_KEY = "install_key"


class Credentials:
    """Opens credentials and closes each when its last user has released it.

    Two objects of one key in a process would refresh the same grant beside each other: only the lock between processes
    would keep them apart, and each would wait for the other's request.
    """

    def __init__(
        self,
        folder: Path,
        transport: HttpClients,
        settings: SettingsStore,
        grants: JournalStorage,
        *,
        role: str,
        store: StoreKind | None = None,
    ) -> None:
        """`role` is what records call this process. `store` is used instead of what was chosen at some start."""
        self._folder = folder
        self._transport = transport
        self._settings = settings
        self._grants = grants
        self._role = role
        self._store = store
        self._open: dict[CredentialKey, Credential] = {}
        self._users: dict[Credential, int] = {}

    def acquire(self, profile: CredentialProfile, *, store: StoreKind | None = None) -> Credential:
        """The credential of a profile, opened if it is not yet; nobody is signed in until it is restored.

        Each call needs one `release`. `store` is where this credential is kept, whatever was chosen.
        """
        credential = self._open.get(profile.key)
        if credential is None or credential.profile != profile:
            credential = self._open[profile.key] = self._new(profile, store or self._store)
        self._users[credential] = self._users.get(credential, 0) + 1
        return credential

    async def release(self, credential: Credential) -> None:
        """This user needs it no longer; the last one closes it."""
        users = self._users.pop(credential, 0) - 1
        if users > 0:
            self._users[credential] = users
            return
        if self._open.get(credential.key) is credential:
            del self._open[credential.key]
        await credential.close()

    def _new(self, profile: CredentialProfile, store: StoreKind | None) -> Credential:
        oauth = AuthorizationServer(self._transport, profile)
        key = profile.key
        install_key = self._settings.get(INSTALL_KEY)
        journal = Journal(
            key,
            self._grants,
            clock=oauth.time.clock,
            fingerprints=Fingerprints(install_key.encode() if isinstance(install_key, str) else None, key.scope),
            process=self._role,
        )
        files = GrantFiles(self._folder / LOCKS_FOLDER, key.file_name)
        return Credential(oauth, files, self._settings, self._folder, store=store, journal=journal)
