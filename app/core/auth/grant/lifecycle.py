"""GrantLifecycle: what becomes of a grant. It is restored, signed in, stored, replaced, ended or signed out.

Several processes share the stored grant, so each step compares before it changes anything: only the sign-in that a step
is about is ever deleted or replaced (faults rows 17 and 18).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.core.auth.grant.journal import ENDED, RENEWAL, SIGNED_IN, SIGNED_OUT
from app.core.auth.grant.refresh import GRANT_ENDED, SIGNED_OUT_ELSEWHERE, Obtained
from app.core.auth.status import ELSEWHERE, CredentialState, Trouble
from app.core.auth.vault.base import VaultFailure, VaultState
from app.core.errors import StorageTrouble

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
    from app.core.errors import SignInNeeded

log = logging.getLogger(__name__)

SAVE_AGAIN_SECONDS = 30.0


class GrantLifecycle:
    """Moves a grant between the store and the state. What goes wrong in the store is shown in the status."""

    def __init__(
        self,
        state: GrantState,
        store: GrantStore,
        files: GrantFiles,
        journal: Journal,
        clock: Clock,
        revoke: Callable[[Grant], Coroutine[Any, Any, None]],
    ) -> None:
        """`revoke` tells the server that nobody needs a grant any more, and raises nothing."""
        self.revoke = revoke
        self._state = state
        self._store = store
        self._files = files
        self._journal = journal
        self._clock = clock
        self._saving_again: asyncio.Task[None] | None = None
        state.note(store=store.kind.value)

    async def restore(self) -> Grant | None:
        """Put the stored grant in force and return it; None when there is none, or another one is in force already.

        Ends in any other state than `RESTORING`, or in that with a trouble of the vault.
        """
        note = self._state.note
        note(state=CredentialState.RESTORING, reason=None, trouble=None)
        if not self._store.expects_grant:
            self._store.skip()
            state, reason = await self._how_it_ended()
            note(state=state, reason=reason)
            return None
        try:
            stored = await self._store.read()
        except VaultFailure as failure:
            if failure.state is VaultState.DAMAGED:
                note(state=CredentialState.NEEDS_SIGN_IN, reason="The stored sign-in cannot be read.")
            else:
                self.vault_failed(failure)
            return None
        if stored is None:
            note(state=CredentialState.NEEDS_SIGN_IN, reason="The stored sign-in is gone.")
            return None
        if self._state.grant is not None:
            return None
        self._state.hold(stored)
        return stored

    async def adopt(self, grant: Grant, why: str) -> None:
        """Put a newly issued grant in force: durable first, published afterwards.

        A vault that fails leaves the grant in memory, and the status says so.
        """
        self._state.supersede()
        signed_in = replace(grant, sign_in=secrets.token_hex(8))
        async with self._files.lock.hold_briefly():
            stored = await self.keep(signed_in)
            number = await self._journal.note(SIGNED_IN, why, signed_in, "ok" if stored else "not stored")
        self._state.tell(SIGNED_IN, why, "ok", signed_in)
        self._state.hold(signed_in, number=number)

    async def sign_out(self) -> None:
        """Delete the grant here, then revoke it at the server.

        A process that is just refreshing it is not waited for long: it checks the store before it saves (faults row
        17).
        """
        grant = self._state.grant
        self._state.drop(CredentialState.SIGNED_OUT)
        async with self._files.lock.hold_briefly():
            newest = await self._remove_sign_in(grant)
            if newest is not None:
                await self._journal.note(SIGNED_OUT, "asked", newest)
        if newest is not None:
            self._state.tell(SIGNED_OUT, "asked", "ok", newest)
            await self.revoke(newest)

    async def look(self) -> bool:
        """Another process changed the stored grant: make the grant in force agree with it. Raises `VaultFailure`.

        False when the stored grant cannot be decoded, which changes nothing.
        """
        if await self._store.follow_choice():
            self._state.note(store=self._store.kind.value)
        try:
            stored = await self._store.read()
        except VaultFailure as failure:
            if failure.state is VaultState.DAMAGED:
                return False
            raise
        grant = self._state.grant
        if stored is None:
            await self._follow_end()
        elif grant is None or not stored.same_sign_in(grant):
            self.replaced_by(stored)
        elif stored.tokens.generation > grant.tokens.generation:
            self._state.tell(RENEWAL, "noticed", Obtained.ADOPTED.value, stored)
            self._state.hold(stored, persistent=True)
        return True

    async def ended(self, grant: Grant, failure: SignInNeeded, cause: Cause) -> Grant | None:
        """The server ended `grant`. Forget it if the store still holds this very one.

        Otherwise returns the grant to go on with, None when there is none of the same sign-in.
        """
        if failure.facts.code == SIGNED_OUT_ELSEWHERE:
            await self._follow_end()
            return None
        outcome = failure.facts.code or "refused"
        async with self._files.lock.hold_briefly():
            stored = await self._in_place_of(grant)
            if stored is grant:
                # Written down before the grant is deleted: a process that finds it gone asks the journal why.
                await self._journal.ended(grant, cause, outcome)
                try:
                    await self._store.remove()
                except VaultFailure as unusable:
                    await self._store.expect_none(unusable)
        if stored is grant:
            self._state.drop(CredentialState.NEEDS_SIGN_IN, failure.cause)
            self._state.tell(ENDED, str(cause), outcome, grant)
        elif stored is None:
            await self._follow_end()
        elif stored.same_sign_in(grant):
            self._state.hold(stored, persistent=True)
            return stored
        else:
            self.replaced_by(stored)
        return None

    def replaced_by(self, grant: Grant) -> None:
        """Another process signed in, perhaps as somebody else."""
        self._state.supersede()
        self._state.tell(SIGNED_IN, ELSEWHERE, "ok", grant)
        self._state.note(reason=None, trouble=None)
        self._state.hold(grant, persistent=True)

    async def keep(self, grant: Grant) -> bool:
        """Make `grant` durable; whether it is. If not, the status says why, and a refreshed grant is saved later."""
        try:
            await self._store.save(grant)
        except VaultFailure as failure:
            log.warning("the sign-in could not be stored: %s", failure.state.value)
            self.vault_failed(failure)
            self._state.note(persistent=False)
            if grant.tokens.generation > 1:
                self._keep_saving()
            return False
        self._files.release_claim()
        status = self._state.status
        self._state.note(persistent=self._store.persistent, trouble=None if status.vault_troubled else status.trouble)
        return True

    async def signed_out_meanwhile(self, refreshed: Grant) -> bool:
        """Whether another process deleted or replaced the grant while this one refreshed it (faults row 17)."""
        try:
            stored = await self._store.newest(refreshed)
        except VaultFailure:
            return False
        return stored is None or not stored.same_sign_in(refreshed)

    async def move_to(self, kind: StoreKind) -> None:
        """Store the grant elsewhere from now on, as the user chose; the former copy is deleted."""
        former, elsewhere = await self._store.choose(kind)
        self._state.note(store=kind.value, trouble=None, reason=None)
        async with self._files.lock.hold_briefly():
            # Read inside the lock: a refresh that was under way has brought a newer one.
            grant = self._state.grant
            if grant is None or not await self.keep(grant) or not elsewhere:
                return
            try:
                await former.delete(self._store.name)
            except VaultFailure as failure:
                log.info("the former copy of the sign-in stays: %s", failure.state.value)
                self._claim()

    def vault_failed(self, failure: VaultFailure) -> None:
        """Show in the status that the vault could not be used."""
        self._state.note(trouble=Trouble.of_vault(failure.state), reason=failure.cause)

    async def close(self) -> None:
        """Stop saving what could not be saved."""
        task, self._saving_again = self._saving_again, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._files.release_claim()

    async def _remove_sign_in(self, grant: Grant | None) -> Grant | None:
        """Delete what is stored if it is of the same sign-in as `grant`; the newest grant of it, to be revoked."""
        try:
            stored = await self._store.current()
            if stored is not None and grant is not None and not stored.same_sign_in(grant):
                return grant
            await self._store.remove()
        except VaultFailure as failure:
            await self._store.expect_none(failure)
            return grant
        return stored or grant

    async def _in_place_of(self, ended: Grant) -> Grant | None:
        """What is stored once the server has ended a grant: `ended` if nothing newer is known, None if deleted."""
        try:
            stored = await self._store.read()
        except VaultFailure:
            return ended
        if stored is None or not stored.same_sign_in(ended):
            return stored
        return stored if stored.tokens.generation > ended.tokens.generation else ended

    async def _follow_end(self) -> None:
        """Another process deleted the stored grant: it signed out, or the server had ended the grant."""
        if self._state.grant is not None:
            self._state.drop(*await self._how_it_ended())

    async def _how_it_ended(self) -> tuple[CredentialState, str | None]:
        """Whether the user knows that nobody is signed in, and what to say."""
        last = await self._journal.last_end()
        if last is not None and last.what == ENDED:
            return CredentialState.NEEDS_SIGN_IN, GRANT_ENDED
        return CredentialState.SIGNED_OUT, None

    def _keep_saving(self) -> None:
        """The stored refresh token is spent and its successor is in this process alone: claim it, and save it later."""
        self._claim()
        if self._saving_again is None or self._saving_again.done():
            self._saving_again = asyncio.create_task(self._save_again(), name="saving the grant again")

    async def _save_again(self) -> None:
        while not self._state.status.persistent and self._store.persistent:
            await self._clock.sleep(SAVE_AGAIN_SECONDS)
            async with self._files.lock.hold_briefly():
                if self._store.moved:
                    with contextlib.suppress(VaultFailure):
                        await self.look()
                grant = self._state.grant
                if grant is None or self._state.status.persistent:
                    return
                if await self.keep(grant):
                    await self._journal.stored(grant)

    def _claim(self) -> None:
        try:
            self._files.claim()
        except StorageTrouble as trouble:
            log.warning("%s", trouble.cause)
