"""A data folder and a keyring as the first version wrote them open with the same sign-ins, drafts and journal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.auth.credential import Credential
from app.core.auth.status import CredentialState
from app.core.auth.vault.vaults import KeyringVault
from app.core.diagnostics.timeline import StepKind, Timeline
from app.core.hosts import US, Host, parse_host
from app.core.posthog.profile import posthog_profile
from app.core.services import Services
from app.core.storage import Scope
from tests.core.scripted import Issuer, ScriptedServer
from tests.secret_service import SecretService
from tests.until import until

WRITTEN = Path(__file__).with_name("written_by_0_1_0")
# That version named what it stored by the folder's path, so a copy must lie where it was written.
PLACE = Path("/tmp/burrow-written-by-0.1.0")
PORT = 47613
OWN = f"http://127.0.0.1:{PORT}"

pytestmark = pytest.mark.serial


@pytest.fixture
def folder() -> Iterator[Path]:
    """A copy of the folder."""
    shutil.rmtree(PLACE, ignore_errors=True)
    shutil.copytree(WRITTEN, PLACE, ignore=shutil.ignore_patterns("README.md", "keyring.json"))
    yield PLACE
    shutil.rmtree(PLACE)


def credential_of(services: Services, host: Host) -> Credential:
    return services.credentials.acquire(posthog_profile(host))


async def test_a_sign_in_in_the_keyring_is_still_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SecretService() as service:
        for name, value in service.variables.items():
            monkeypatch.setenv(name, value)
        vault = KeyringVault()
        for name, secret in json.loads((WRITTEN / "keyring.json").read_text()).items():
            await vault.write(name, secret)
        services = Services(folder)
        try:
            credential = credential_of(services, US)
            await credential.restore()
            assert credential.status.state is CredentialState.SIGNED_IN
            assert credential.grant is not None
            assert (credential.grant.tokens.access_token, credential.grant.resource) == ("pha_us_1", "")
            assert credential.fresh_token() is not None
            metadata = await credential.registrar.metadata()
            known = await credential.registrar.known(metadata)
            assert known is not None
            assert (known.client_id, known.secret) == ("fixture-client", None)
            await services.credentials.release(credential)
        finally:
            await services.close()


async def test_drafts_waiting_work_and_history_are_still_there(folder: Path) -> None:
    services = Services(folder)
    try:
        assert services.remembered_host() == OWN
        for host, name in ((US, "PostHog US"), (parse_host(OWN), f"127.0.0.1:{PORT}")):
            scope = Scope(host.key, f"0190-{host.key[:2]}")
            draft = await services.storage.drafts.load(scope, "task", "new")
            assert draft == {"title": "", "description": f"Half a sentence typed at {name}"}
            assert [item.kind for item in await services.storage.outbox.list(scope)] == ["create_task"]
            credential = credential_of(services, host)
            steps = await Timeline(credential.journal, credential.oauth.time.clock, "window").recent(10)
            assert steps[-1].kind is StepKind.SIGNED_IN
            assert steps[-1].process.startswith("window ")
            await services.credentials.release(credential)
    finally:
        await services.close()


async def test_a_refresh_that_the_first_version_left_unanswered_is_repeated_and_stored_in_its_place(
    folder: Path,
) -> None:
    server = ScriptedServer()
    server.origin = OWN
    async with server:
        issuer = Issuer(server)
        issuer.pair = {**issuer.pair, "refresh_token": "phr_own_1"}
        services = Services(folder)
        try:
            credential = credential_of(services, parse_host(OWN))
            await credential.restore()
            await until(lambda: credential.grant is not None and credential.grant.tokens.generation == 2, 10)
            assert (issuer.accepted, issuer.rejected) == (1, 0)
            assert credential.status.persistent
            await services.credentials.release(credential)
            assert len(list((folder / "sign-in-unencrypted").iterdir())) == 1
            again = credential_of(services, parse_host(OWN))
            await again.restore()
            assert again.grant is not None
            assert again.grant.tokens.refresh_token == issuer.refresh_token
            assert (issuer.accepted, issuer.rejected) == (1, 0)
            await services.credentials.release(again)
        finally:
            await services.close()
