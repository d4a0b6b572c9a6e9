"""What changes a stored grant holds its lock, changes nothing of another sign-in, and leaves a trace first."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.core.auth.cause import ASKED
from app.core.auth.grant.grant import Grant
from app.core.auth.grant.lock import acquired
from app.core.auth.status import CredentialState
from app.core.auth.tokens import TokenSet
from app.core.auth.vault.vaults import FileVault
from app.core.errors import BurrowError, SignInNeeded
from app.core.file_lock import file_lock
from tests.core.conftest import Rig, client_of, signed_in
from tests.core.scripted import Reply
from tests.core.test_grant_store import Watched
from tests.until import until

NEXT = Grant(TokenSet("pha_9", "phr_9", generation=1), "client")


class LockSeen(Watched):
    """Notes at each change of the vault whether the lock of the grant was held."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.held: list[bool] = []
        self.lock: Path | None = None
        self.meanwhile = self._note

    def _note(self) -> None:
        if self.lock is not None:
            lock = file_lock(self.lock)
            free = acquired(lock, self.lock)
            if free:
                lock.release()
            self.held.append(not free)


def revoked(rig: Rig) -> list[str]:
    """The tokens that were revoked at the server."""
    return [request.form.get("token", "") for request in rig.server.seen if request.path == "/oauth/revoke/"]


async def sign_in(rig: Rig) -> None:
    await rig.credential.sign_in(NEXT, "test")


async def sign_out(rig: Rig) -> None:
    await rig.credential.sign_out()


async def end(rig: Rig) -> None:
    """A refresh that is refused without a request: its token was refused before."""
    grant = rig.credential.grant
    assert grant is not None
    rig.credential._coordinator._token_refresh._refused.add(grant.digest)
    with pytest.raises(SignInNeeded):
        await rig.credential.refresh(grant.tokens, ASKED)


async def refuse(rig: Rig) -> None:
    """A refresh that the token endpoint refuses."""
    grant = rig.credential.grant
    assert grant is not None
    rig.issuer.script = [Reply(400, {"error": "invalid_grant"})]
    with pytest.raises(SignInNeeded):
        await rig.credential.refresh(grant.tokens, ASKED)


@pytest.mark.parametrize("change", [sign_in, sign_out, end, refuse])
async def test_the_lock_is_held_while_the_stored_grant_is_changed(tmp_path: Path, change: object) -> None:
    vault = LockSeen(tmp_path)
    async with signed_in(tmp_path, vault=vault) as rig:
        vault.lock = tmp_path / f"{rig.name_of_files}.lock"
        await change(rig)  # type: ignore[operator]
        assert vault.held
        assert all(vault.held)


async def test_the_lock_is_held_while_a_grant_moves_to_another_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = LockSeen(tmp_path)
    async with signed_in(tmp_path) as rig:
        vault.lock = tmp_path / f"{rig.name_of_files}.lock"
        monkeypatch.setattr("app.core.auth.grant.store.open_vault", lambda _kind, _folder: vault)
        await rig.credential.choose_store("file")
        assert vault.held
        assert all(vault.held)


async def test_the_end_of_a_grant_is_in_the_journal_before_it_is_deleted(tmp_path: Path) -> None:
    vault = Watched(tmp_path)
    async with signed_in(tmp_path, vault=vault) as rig:
        journal = rig.credential.journal
        seen: list[str] = []
        vault.meanwhile = lambda: seen.extend(event.what for event in journal._memory._events)
        await refuse(rig)
        assert "ended" in seen
        assert rig.credential.status.state is CredentialState.NEEDS_SIGN_IN


async def test_a_refresh_that_ends_after_another_sign_in_is_neither_stored_nor_used(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        assert rig.credential.grant is not None
        rig.issuer.gate = asyncio.Event()
        refresh = asyncio.create_task(rig.credential.refresh(rig.credential.grant.tokens, ASKED))
        await rig.issuer.reached.wait()
        # The lock is held by the refresh, so the sign-in gives up on it after a moment.
        signing_in = asyncio.create_task(rig.credential.sign_in(NEXT, "test"))
        await asyncio.sleep(0)
        rig.issuer.gate.set()
        with pytest.raises(BurrowError):
            await refresh
        await signing_in
        assert await rig.stored_refresh_token() == "phr_9"
        assert rig.credential.grant is not None
        assert rig.credential.grant.tokens.access_token == "pha_9"
        # Nobody would ever use the tokens that came too late.
        await until(lambda: "phr_2" in revoked(rig))


async def test_a_refresh_that_ends_after_another_process_signed_out_is_not_stored(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        assert rig.credential.grant is not None
        other = client_of(rig.server, rig.issuer, tmp_path, vault=FileVault(tmp_path), remembered=rig.remembered)
        await other.credential.restore()
        # It would notice within a second. What is stored is looked at even if it has not.
        await rig.credential._watcher.stop()
        # The answer to the refresh is on its way already.
        rig.server.views["/oauth/revoke/"] = Reply(200)
        try:
            rig.issuer.gate = asyncio.Event()
            refresh = asyncio.create_task(rig.credential.refresh(rig.credential.grant.tokens, ASKED))
            await rig.issuer.reached.wait()
            await other.credential.sign_out()
            rig.issuer.gate.set()
            with pytest.raises(SignInNeeded):
                await refresh
            assert await rig.stored() is None
        finally:
            await other.credential.close()
            await other.transport.close()


async def test_a_refresh_whose_user_signs_out_after_it_was_stored_signs_nobody_in_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with signed_in(tmp_path) as rig:
        assert rig.credential.grant is not None
        settle = rig.credential.journal.settle
        signing_out: list[asyncio.Task[None]] = []

        async def sign_out_first(*arguments: Any, **named: Any) -> None:
            await settle(*arguments, **named)
            signing_out.append(asyncio.create_task(rig.credential.sign_out()))
            await asyncio.sleep(0)

        monkeypatch.setattr(rig.credential.journal, "settle", sign_out_first)
        with pytest.raises(SignInNeeded):
            await rig.credential.refresh(rig.credential.grant.tokens, ASKED)
        await asyncio.gather(*signing_out)
        assert rig.credential.status.state is CredentialState.SIGNED_OUT
        assert rig.credential.grant is None
        assert await rig.stored() is None


async def test_signing_out_leaves_a_later_sign_in_of_another_process_alone(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        other = client_of(rig.server, rig.issuer, tmp_path, vault=FileVault(tmp_path), remembered=rig.remembered)
        await other.credential.restore()
        try:
            await other.credential.sign_in(NEXT, "test")
            await rig.credential.sign_out()
            assert await rig.stored_refresh_token() == "phr_9"
        finally:
            await other.credential.close()
            await other.transport.close()
