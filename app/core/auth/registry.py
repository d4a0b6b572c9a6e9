"""Credentials: the open credentials of this process, one object for each key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.auth.credential import Credential
from app.core.auth.grant.files import GrantFiles
from app.core.auth.grant.journal import Journal
from app.core.auth.oauth.authorization_server import AuthorizationServer
from app.core.auth.tokens import Fingerprints
from app.core.busy import Work, WorkKind

if TYPE_CHECKING:
    from pathlib import Path

    from app.core.auth.grant.journal import JournalStorage
    from app.core.auth.http.clients import HttpClients
    from app.core.auth.key import CredentialKey
    from app.core.auth.oauth.sign_in import PageProof
    from app.core.auth.profile import CredentialProfile
    from app.core.auth.settings import SettingsStore
    from app.core.auth.vault.base import StoreKind

LOCKS_FOLDER = "locks"
INSTALL_KEY = "install_key"
SIGN_IN_ENDS = "What you do in the browser now does not arrive. Sign in again after the next start."
RENEWAL_ENDS = "Burrow waits for the server's answer before it ends."


class Credentials:
    """Opens credentials, and closes each when it was released as often as it was acquired.

    Two objects of one key would not share a refresh. Only the lock between processes would keep them apart, so each
    would wait for the other's request.
    """

    def __init__(
        self,
        folder: Path,
        clients: HttpClients,
        settings: SettingsStore,
        journal: JournalStorage,
        *,
        role: str,
        store: StoreKind | None = None,
        keeps_unstored: bool = True,
        page_proof: PageProof | None = None,
    ) -> None:
        """`role` names this process in records. `store` replaces the kind of store that the user chose before.

        `keeps_unstored`: see `TokenRefresh`.
        """
        self._folder = folder
        self._clients = clients
        self._settings = settings
        self._journal = journal
        self._role = role
        self._keeps_unstored = keeps_unstored
        self._store = store
        self._page_proof = page_proof
        self._open: dict[CredentialKey, Credential] = {}
        # Counted for each object and not for each key: after a change of the profile the former object is still in use.
        self._users: dict[Credential, int] = {}

    def acquire(self, profile: CredentialProfile, *, store: StoreKind | None = None) -> Credential:
        """The credential of a profile, opened if necessary. It has no grant before it is restored.

        Each call needs one `release`. `store` replaces the kind of store for this credential.
        """
        credential = self._open.get(profile.key)
        if credential is None or credential.profile != profile:
            credential = self._open[profile.key] = self._new(profile, store or self._store)
        self._users[credential] = self._users.get(credential, 0) + 1
        return credential

    async def release(self, credential: Credential) -> None:
        """Undo one `acquire`; the last one closes the credential."""
        users = self._users.pop(credential, 0) - 1
        if users > 0:
            self._users[credential] = users
            return
        if self._open.get(credential.key) is credential:
            del self._open[credential.key]
        await credential.close()

    def works(self) -> tuple[Work, ...]:
        """The sign-ins and renewals that are under way, for `Busy`."""
        found: list[Work] = []
        for credential in tuple(self._users):
            name = credential.profile.name
            if credential.signing_in:
                found.append(Work(WorkKind.SIGN_IN, name, SIGN_IN_ENDS))
            if credential.renewing:
                # The orderly end waits for the answer.
                found.append(Work(WorkKind.SIGN_IN, name, RENEWAL_ENDS, kept=True))
        return tuple(found)

    def _new(self, profile: CredentialProfile, store: StoreKind | None) -> Credential:
        oauth = AuthorizationServer(self._clients, profile)
        key = profile.key
        install_key = self._settings.get(INSTALL_KEY)
        journal = Journal(
            key,
            self._journal,
            clock=oauth.time.clock,
            fingerprints=Fingerprints(install_key.encode() if isinstance(install_key, str) else None, key.scope),
            process=self._role,
        )
        files = GrantFiles(self._folder / LOCKS_FOLDER, key.file_name)
        return Credential(
            oauth,
            files,
            self._settings,
            self._folder,
            store=store,
            journal=journal,
            keeps_unstored=self._keeps_unstored,
            page_proof=self._page_proof,
        )
