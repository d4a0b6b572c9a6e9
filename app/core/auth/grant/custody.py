"""Custody: how the grant of one host gets to rest, stays the newest one there, and is removed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from typing import TYPE_CHECKING

from app.core.auth.grant.keeper import Keeper
from app.core.auth.status import Trouble
from app.core.auth.vault.base import StoreKind, VaultFailure, VaultState
from app.core.auth.vault.vaults import open_vault
from app.core.errors import StorageTrouble

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from app.core.auth.grant.grant import Grant
    from app.core.auth.grant.journal import Journal
    from app.core.auth.grant.shared import Shared
    from app.core.auth.grant.state import GrantState
    from app.core.auth.settings import CredentialSettings
    from app.core.auth.vault.base import Vault
    from app.core.clock import Clock

log = logging.getLogger(__name__)

SAVE_AGAIN_SECONDS = 30.0
STORE = "store"


class Custody:
    """The resting place of the current grant. What goes wrong there is told in the status beside it."""

    def __init__(
        self,
        current: GrantState,
        look: Callable[[], Awaitable[None]],
        origin: str,
        folder: Path,
        settings: CredentialSettings,
        shared: Shared,
        journal: Journal,
        clock: Clock,
        *,
        store: StoreKind | None = None,
        vault: Vault | None = None,
    ) -> None:
        """`look` makes the current grant agree with what another process stored.

        `vault` serves in place of the one that `store`, or what was chosen at some start, would open.
        """
        self._current = current
        self._look = look
        self._folder = folder
        self._settings = settings
        self._shared = shared
        self._journal = journal
        self._clock = clock
        # State that lives in another folder is another profile, in the keyring too.
        profile = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        self._name = f"{origin}|{profile}"
        self._saving_again: asyncio.Task[None] | None = None
        self.keeper = self._keeper_of(vault or open_vault(store or self._chosen(), folder))
        current.note(store=self.keeper.kind.value)

    async def save(self, grant: Grant) -> bool:
        """Make `grant` durable, or say why it is not and try again later; whether it is."""
        try:
            await self.keeper.save(grant)
        except VaultFailure as failure:
            log.warning("the sign-in could not be stored: %s", failure.state.value)
            self.failed(failure)
            self._current.note(persistent=False)
            if grant.tokens.generation > 1:
                self._keep_trying()
            return False
        self._shared.claim.drop()
        status = self._current.status
        self._current.note(persistent=self.keeper.persistent, trouble=None if status.vault_troubled else status.trouble)
        return True

    def failed(self, failure: VaultFailure) -> None:
        """The vault could not be used: say so."""
        self._current.note(trouble=Trouble.of_vault(failure.state), reason=failure.cause)

    async def signed_out_meanwhile(self, renewed: Grant) -> bool:
        """Whether another process removed or replaced the grant while this one renewed it (faults row 17)."""
        try:
            stored = await self.keeper.newest(renewed)
        except VaultFailure:
            return False
        return stored is None or not stored.same_sign_in(renewed)

    async def remove_sign_in(self, grant: Grant | None) -> Grant | None:
        """Remove what descends from the same signing in; the newest of it, for whoever revokes it."""
        try:
            stored = await self._stored()
            if stored is not None and grant is not None and not stored.same_sign_in(grant):
                return grant
            await self.keeper.remove()
        except VaultFailure as failure:
            log.warning("the stored sign-in could not be removed: %s", failure.state.value)
            await self.keeper.expect_none()
            return grant
        return stored or grant

    async def in_place_of(self, ended: Grant) -> Grant | None:
        """What is stored once the server has ended a grant: `ended` where nothing newer is known, None when removed."""
        try:
            stored = await self.keeper.read()
        except VaultFailure:
            return ended
        if stored is None or not stored.same_sign_in(ended):
            return stored
        return stored if stored.tokens.generation > ended.tokens.generation else ended

    async def remove_ended(self) -> None:
        """Remove a grant that the server has ended. Whoever calls has compared (faults row 18)."""
        try:
            await self.keeper.remove()
        except VaultFailure as failure:
            log.warning("the ended sign-in could not be removed: %s", failure.state.value)
            await self.keeper.expect_none()

    async def move_to(self, kind: StoreKind) -> None:
        """Keep the grant elsewhere from now on, as the person chose; the former place holds nothing stale."""
        former, self.keeper = self.keeper, self._keeper_of(open_vault(kind, self._folder))
        await self._settings.set(STORE, kind.value)
        self._current.note(store=kind.value, trouble=None, reason=None)
        async with self._shared.lock.hold_briefly():
            # Looked at inside the lock: a renewal that was under way has stored a newer one.
            grant = self._current.grant
            if grant is None or not await self.save(grant) or former.kind is kind:
                return
            try:
                await former.vault.delete(former.name)
            except VaultFailure as failure:
                log.info("the former copy of the sign-in stays: %s", failure.state.value)
                self._claim()

    async def follow_choice(self) -> None:
        """Another process may have been told to keep the grant elsewhere."""
        before = self._chosen()
        await self._settings.refresh(STORE)
        kind = self._chosen()
        if kind is not before and StoreKind.MEMORY not in {kind, self.keeper.kind}:
            self.keeper = self._keeper_of(open_vault(kind, self._folder))
            self._current.note(store=kind.value)

    async def close(self) -> None:
        """Stop trying to store what could not be stored."""
        task, self._saving_again = self._saving_again, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._shared.claim.drop()

    async def _stored(self) -> Grant | None:
        try:
            return await self.keeper.read()
        except VaultFailure as failure:
            if failure.state is VaultState.DAMAGED:
                return None
            raise

    def _keep_trying(self) -> None:
        """What is stored is spent and its successor lives in this process alone: say so, and store it when possible."""
        self._claim()
        if self._saving_again is None or self._saving_again.done():
            self._saving_again = asyncio.create_task(self._save_again(), name="saving the grant again")

    async def _save_again(self) -> None:
        while not self._current.status.persistent and self.keeper.persistent:
            await self._clock.sleep(SAVE_AGAIN_SECONDS)
            async with self._shared.lock.hold_briefly():
                if self.keeper.moved:
                    with contextlib.suppress(VaultFailure):
                        await self._look()
                grant = self._current.grant
                if grant is None or self._current.status.persistent:
                    return
                if await self.save(grant):
                    await self._journal.stored(grant)

    def _claim(self) -> None:
        try:
            self._shared.claim.take()
        except StorageTrouble as trouble:
            log.warning("%s", trouble.cause)

    def _keeper_of(self, vault: Vault) -> Keeper:
        return Keeper(vault, self._name, self._settings, self._shared.stamp)

    def _chosen(self) -> StoreKind:
        try:
            return StoreKind(self._settings.get(STORE, StoreKind.KEYRING.value))
        except ValueError:
            return StoreKind.KEYRING
