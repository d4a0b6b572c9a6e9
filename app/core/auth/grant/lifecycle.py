"""GrantLifecycle: restores, signs in, saves, replaces, ends and signs out a grant.

Several processes share the stored grant. So each step compares before it changes anything: only the sign-in that a step
is about is ever deleted or replaced (faults rows 17 and 18).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.core.auth.grant.journal import ENDED, REFRESH, SIGNED_IN, SIGNED_OUT
from app.core.auth.grant.refresh import GRANT_ENDED, SIGNED_OUT_ELSEWHERE, Obtained
from app.core.auth.status import ELSEWHERE, CredentialState, Trouble
from app.core.auth.vault.base import VaultFailure, VaultState
from app.core.errors import SignInNeeded, StorageTrouble

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from app.core.auth.cause import Cause
    from app.core.auth.grant.files import GrantFiles
    from app.core.auth.grant.grant import Grant
    from app.core.auth.grant.journal import Journal
    from app.core.auth.grant.state import GrantState
    from app.core.auth.grant.store import GrantStore
    from app.core.auth.vault.base import StoreKind
    from app.core.clock import Clock

log = logging.getLogger(__name__)

SAVE_AGAIN_SECONDS = 30.0


class GrantLifecycle:
    """Moves a grant between the store and the state. Failures of the store are shown in the status."""

    def __init__(
        self,
        state: GrantState,
        store: GrantStore,
        files: GrantFiles,
        journal: Journal,
        clock: Clock,
        revoke: Callable[[Grant], Coroutine[Any, Any, bool]],
    ) -> None:
        """`revoke` revokes a grant at the server, returns whether it did, and raises nothing."""
        self._revoke = revoke
        self._state = state
        self._store = store
        self._files = files
        self._journal = journal
        self._clock = clock
        self._saving: asyncio.Task[None] | None = None
        # The digest of the grant that was deleted because the server had refused it.
        self._deleted = ""
        state.update_status(store=store.kind.value)

    async def restore(self) -> Grant | None:
        """Make the stored grant the current one and return it.

        None when there is none, or when another grant has become current meanwhile. Afterwards the state is no longer
        `RESTORING`, unless the vault failed in a way that may pass.
        """
        update_status = self._state.update_status
        update_status(state=CredentialState.RESTORING, reason=None, trouble=None)
        if not self._store.may_hold_grant:
            self._store.mark_seen()
            state, reason = await self._how_it_ended()
            update_status(state=state, reason=reason)
            return None
        try:
            stored = await self._store.read()
        except VaultFailure as failure:
            if failure.state is VaultState.DAMAGED:
                update_status(state=CredentialState.NEEDS_SIGN_IN, reason="The stored sign-in cannot be read.")
            else:
                # A locked or failing keyring is no sign-out: the state stays `RESTORING`.
                self.vault_failed(failure)
            return None
        if stored is None:
            update_status(state=CredentialState.NEEDS_SIGN_IN, reason="The stored sign-in is gone.")
            return None
        if self._state.grant is not None:
            # The user signed in while the vault was read.
            return None
        self._state.set_grant(stored)
        return stored

    async def sign_in(self, grant: Grant, why: str) -> None:
        """Save a newly issued grant, then make it the current one. The one that it replaces is revoked, if possible.

        If the vault fails, the grant stays in memory and the status says so.
        """
        # First of all: a refresh of the former grant that ends now must not be stored over the new one.
        self._state.supersede()
        replaced = self._state.grant
        signed_in = replace(grant, sign_in=secrets.token_hex(8))
        async with self._files.lock.try_hold():
            # Read only where something else may be stored: on some systems each reading can show a prompt.
            if self._store.may_hold_grant and (replaced is None or self._store.changed_elsewhere):
                with contextlib.suppress(VaultFailure):
                    replaced = await self._store.read_readable() or replaced
            stored = await self.save(signed_in)
            number = await self._journal.record(SIGNED_IN, why, signed_in, "ok" if stored else "not stored")
        self._state.emit_event(SIGNED_IN, why, "ok", signed_in)
        self._state.set_grant(signed_in, event_number=number)
        # Afterwards: until the new grant is in use, requests still carry the former one.
        if replaced is not None and stored:
            await self._revoke(replaced)

    async def revoke(self, grant: Grant) -> None:
        """Revoke a grant at the server, if possible."""
        await self._revoke(grant)

    async def sign_out(self) -> bool:
        """Delete the grant here, then revoke it at the server; returns whether nothing is left to revoke there."""
        # The state changes before the first await, so that no request carries the token from now on. Another process
        # that is refreshing the grant is not waited for: it looks at the store before it saves (faults row 17).
        grant = self._state.grant
        self._state.clear_grant(CredentialState.SIGNED_OUT)
        async with self._files.lock.try_hold():
            newest = await self._remove_sign_in(grant)
            if newest is not None:
                await self._journal.record(SIGNED_OUT, "asked", newest)
        if newest is not None:
            self._state.emit_event(SIGNED_OUT, "asked", "ok", newest)
            return await self._revoke(newest)
        return True

    async def reload(self) -> bool:
        """Another process changed the stored grant: make the current grant agree with it. Raises `VaultFailure`.

        False when the stored grant cannot be decoded, which changes nothing.
        """
        if await self._store.follow_switch():
            self._state.update_status(store=self._store.kind.value)
        try:
            stored = await self._store.read()
        except VaultFailure as failure:
            if failure.state is VaultState.DAMAGED:
                return False
            raise
        grant = self._state.grant
        if stored is None:
            await self._end_like_stored()
        elif grant is None or not stored.same_sign_in(grant):
            self.replace_with(stored)
        elif stored.tokens.generation > grant.tokens.generation:
            # Only a higher generation is newer. The stored grant is older while this process cannot store its own.
            self._state.emit_event(REFRESH, "noticed", Obtained.ADOPTED.value, stored)
            self._state.set_grant(stored, persistent=True)
        return True

    async def delete_ended(self, grant: Grant, cause: Cause, code: str) -> None:
        """Delete a grant that the server refused with `code`, if the store still holds it. The caller holds its lock.

        The current grant stays until `end`.
        """
        if await self._in_place_of(grant) is not grant:
            return
        await self._delete(grant, cause, code)

    async def _delete(self, grant: Grant, cause: Cause, code: str) -> None:
        # Recorded before the grant is deleted: a process that finds it gone asks the journal why. If this one dies in
        # between, the journal keeps the next one from sending the refresh token again.
        await self._journal.record_end(grant, cause, code)
        try:
            await self._store.remove()
        except VaultFailure as unusable:
            await self._store.abandon(unusable)
        self._deleted = grant.digest

    async def end(self, grant: Grant, failure: SignInNeeded, cause: Cause) -> Grant | None:
        """The server ended `grant`. Delete it, if the store still holds this very one.

        Otherwise returns a newer grant of the same sign-in that the store holds, None when there is none. Raises
        `SignInNeeded` in place of a `failure` that takes the end for a sign-out in another process.
        """
        if failure.facts.code == SIGNED_OUT_ELSEWHERE:
            await self._end_like_stored()
            if self._state.status.state is CredentialState.NEEDS_SIGN_IN:
                # Nobody signed out: the server ended the grant, and another process was told.
                raise SignInNeeded(GRANT_ENDED, replace(failure.facts, code=None)) from None
            return None
        outcome = failure.facts.code or "refused"
        if self._deleted == grant.digest:
            stored: Grant | None = grant
        else:
            async with self._files.lock.try_hold():
                stored = await self._in_place_of(grant)
                if stored is grant:
                    await self._delete(grant, cause, outcome)
        if stored is grant:
            self._state.clear_grant(CredentialState.NEEDS_SIGN_IN, failure.cause)
            self._state.emit_event(ENDED, str(cause), outcome, grant)
        elif stored is None:
            await self._end_like_stored()
        elif stored.same_sign_in(grant):
            # This process lost a race: another one refreshed the grant first.
            self._state.set_grant(stored, persistent=True)
            return stored
        else:
            self.replace_with(stored)
        return None

    def replace_with(self, grant: Grant) -> None:
        """Another process signed in, perhaps as another user: make that grant the current one."""
        self._state.supersede()
        self._state.emit_event(SIGNED_IN, ELSEWHERE, "ok", grant)
        self._state.update_status(reason=None, trouble=None)
        self._state.set_grant(grant, persistent=True)

    async def save(self, grant: Grant) -> bool:
        """Make `grant` durable; returns whether it is. If not, the status says why, and a refreshed grant is retried.

        The caller holds the lock of the grant.
        """
        try:
            await self._store.save(grant)
        except VaultFailure as failure:
            log.warning("the sign-in could not be stored: %s", failure.state.value)
            self.vault_failed(failure)
            self._state.update_status(persistent=False)
            # The first generation is a new sign-in: what is stored, if anything, is another grant and not spent.
            if grant.tokens.generation > 1:
                self._save_later()
            return False
        self._files.release_claim()
        status = self._state.status
        trouble = None if status.vault_failing else status.trouble
        self._state.update_status(persistent=self._store.persistent, trouble=trouble)
        return True

    async def signed_out_meanwhile(self, refreshed: Grant) -> bool:
        """Whether another process deleted or replaced the grant while this one refreshed it (faults row 17)."""
        try:
            stored = await self._store.newest(refreshed)
        except VaultFailure:
            # Unknown. Dropping the new tokens would end the sign-in for certain, so they are kept.
            return False
        return stored is None or not stored.same_sign_in(refreshed)

    async def move_to(self, kind: StoreKind) -> None:
        """Store the grant elsewhere from now on, as the user chose, and delete the former copy."""
        former, different = await self._store.switch_to(kind)
        self._state.update_status(store=kind.value, trouble=None, reason=None)
        async with self._files.lock.try_hold():
            # Read inside the lock: a refresh that held it has brought a newer grant.
            grant = self._state.grant
            # The former copy is deleted only after the new one is saved: dying in between leaves two, never none.
            if grant is None or not await self.save(grant) or not different:
                return
            try:
                await former.delete(self._store.name)
            except VaultFailure as failure:
                log.info("the former copy of the sign-in stays: %s", failure.state.value)
                # Processes that still read the former place must not spend a refresh token that goes stale there.
                self._claim()

    def vault_failed(self, failure: VaultFailure) -> None:
        """Show in the status that the vault could not be used."""
        self._state.update_status(trouble=Trouble.of_vault(failure.state), reason=failure.cause)

    async def close(self) -> None:
        """Stop trying to save, and give up the claim."""
        task, self._saving = self._saving, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._files.release_claim()

    async def _remove_sign_in(self, grant: Grant | None) -> Grant | None:
        """Delete what is stored if it is of the same sign-in as `grant`; returns the newest grant of it, to revoke."""
        try:
            stored = await self._store.read_readable()
            if stored is not None and grant is not None and not stored.same_sign_in(grant):
                return grant
            await self._store.remove()
        except VaultFailure as failure:
            await self._store.abandon(failure)
            return grant
        return stored or grant

    async def _in_place_of(self, ended: Grant) -> Grant | None:
        """What is stored after the server ended a grant: `ended` itself if nothing newer is, None if it is deleted."""
        try:
            stored = await self._store.read()
        except VaultFailure:
            return ended
        if stored is None or not stored.same_sign_in(ended):
            return stored
        return stored if stored.tokens.generation > ended.tokens.generation else ended

    async def _end_like_stored(self) -> None:
        """Another process deleted the stored grant: it signed out, or the server had ended the grant."""
        if self._state.grant is not None:
            self._state.clear_grant(*await self._how_it_ended())

    async def _how_it_ended(self) -> tuple[CredentialState, str | None]:
        """The state to show without a stored grant, and the reason."""
        # A user who signed out expects to be signed out. One whose grant the server ended has to be told.
        if await self._journal.ended_by_server():
            return CredentialState.NEEDS_SIGN_IN, GRANT_ENDED
        return CredentialState.SIGNED_OUT, None

    def _save_later(self) -> None:
        """The stored refresh token is spent, and only this process has the new one: claim it, and retry to save it."""
        self._claim()
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._retry_saving(), name="saving the grant")

    async def _retry_saving(self) -> None:
        while not self._state.status.persistent and self._store.persistent:
            await self._clock.sleep(SAVE_AGAIN_SECONDS)
            async with self._files.lock.try_hold():
                # Another process may have refreshed or signed out meanwhile: never save over what it did.
                if self._store.changed_elsewhere:
                    with contextlib.suppress(VaultFailure):
                        await self.reload()
                grant = self._state.grant
                if grant is None or self._state.status.persistent:
                    return
                if await self.save(grant):
                    await self._journal.mark_stored(grant)

    def _claim(self) -> None:
        try:
            self._files.claim()
        except StorageTrouble as trouble:
            log.warning("%s", trouble.cause)
