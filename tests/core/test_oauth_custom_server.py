"""A server that nobody prepared anything for: found, signed in to in the browser, and healed when its token dies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.core.auth.http.clients import HttpClients
from app.core.auth.oauth.discovery import find_protected_resource, profile_of
from app.core.auth.profile import CredentialProfile
from app.core.auth.status import CredentialState
from app.core.errors import SignInNeeded
from tests.core._authorization_server import OPENID, RESOURCE, ScriptedIssuer, ScriptedResource, servers
from tests.core._data_folder import opened, status_of
from tests.core.scripted import Request
from tests.faults.authority import sign_in_at


@dataclass
class Custom:
    """A resource, and its authorization server on another origin."""

    resource: ScriptedResource
    issuer: ScriptedIssuer

    async def profile(self, slot: str = "") -> CredentialProfile:
        """What a first request and discovery say."""
        transport = HttpClients()
        async with httpx.AsyncClient(trust_env=False) as client:
            refusal = await client.get(self.resource.url)
        assert refusal.status_code == 401
        found = await find_protected_resource(transport, self.resource.url, refusal.headers["www-authenticate"])
        await transport.close()
        return profile_of(found, self.resource.url, "Example", slot)


@asynccontextmanager
async def custom_server(path: str = "/tenants/one") -> AsyncIterator[Custom]:
    async with servers(2) as origins:
        issuer = ScriptedIssuer(next(origins), path)
        resource = ScriptedResource(next(origins), issuer)
        resource.metadata["scopes_supported"] = ["tools:read", "tools:call"]
        yield Custom(resource, issuer)


async def test_a_server_made_known_by_discovery_is_signed_in_to_and_healed(tmp_path: Path) -> None:
    async with custom_server() as at, opened(tmp_path) as data:
        at.issuer.publish(at.issuer.path + OPENID)
        profile = await at.profile()
        assert profile.origin != at.issuer.server.origin
        credential = data.credential(profile)
        await sign_in_at(credential)
        assert credential.status.state is CredentialState.SIGNED_IN

        [registered] = at.issuer.registered
        assert registered["token_endpoint_auth_method"] == "none"
        [asked] = at.issuer.asked
        assert asked["scope"] == "tools:read tools:call"
        assert asked["redirect_uri"].startswith("http://127.0.0.1:")

        assert await status_of(credential, at.resource.url) == 200
        dead = at.issuer.family.access_token
        at.issuer.family.killed = True
        assert await status_of(credential, at.resource.url) == 200
        # One refresh, and the refused request once more with the token that it brought.
        assert at.resource.bearers[-2:] == [dead, at.issuer.family.access_token]
        assert len(at.resource.bearers) == 1 + 1 + 2
        assert at.issuer.family.refreshes == 1
        assert len(at.issuer.forms("authorization_code")) == 1


async def test_what_was_signed_in_once_needs_no_discovery_after_a_restart(tmp_path: Path) -> None:
    async with custom_server() as at:
        async with opened(tmp_path) as data:
            profile = await at.profile()
            await sign_in_at(data.credential(profile))
        at.issuer.publish()
        at.issuer.family.killed = True
        before = len(at.issuer.server.seen)
        async with opened(tmp_path) as data:
            assert await status_of(await data.restored(profile), at.resource.url) == 200
        assert [request.path for request in at.issuer.server.seen[before:]] == [at.issuer.path + "/token"]


async def test_a_grant_that_its_server_ended_asks_for_a_sign_in_and_is_stored_no_longer(tmp_path: Path) -> None:
    async with custom_server() as at, opened(tmp_path) as data:
        profile = await at.profile()
        credential = data.credential(profile)
        await sign_in_at(credential)
        at.issuer.family.over = True
        assert await status_of(credential, at.resource.url) == 401
        assert credential.status.state is CredentialState.NEEDS_SIGN_IN
        assert isinstance(credential.no_token_error(), SignInNeeded)
        await sign_in_at(credential)
        assert await status_of(credential, at.resource.url) == 200
        assert len(at.issuer.registered) == 1


async def test_a_legacy_server_is_its_own_authorization_server_and_is_named_no_resource(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        at = Custom(ScriptedResource(issuer.server, issuer), issuer)
        del issuer.server.views[f"{RESOURCE}/mcp"]
        credential = data.credential(await at.profile())
        await sign_in_at(credential)
        issuer.family.killed = True
        assert await status_of(credential, at.resource.url) == 200
        assert issuer.family.refreshes == 1
        assert not [said for said in named_resources(issuer) if said is not None]


async def test_the_token_goes_to_the_resource_alone(tmp_path: Path) -> None:
    async with custom_server() as at, opened(tmp_path) as data:
        credential = data.credential(await at.profile())
        await sign_in_at(credential)
        assert await status_of(credential, at.resource.url) == 200
        token = at.issuer.family.access_token
        assert not [request for request in at.issuer.server.seen if token in str(request)]


@pytest.mark.parametrize("named", ["tools:read", ""])
async def test_a_server_that_names_no_scope_is_asked_for_none(tmp_path: Path, named: str) -> None:
    async with custom_server() as at, opened(tmp_path) as data:
        at.resource.metadata["scopes_supported"] = named.split()
        await sign_in_at(data.credential(await at.profile()))
        assert at.issuer.asked[0].get("scope", "") == named


def named_resources(issuer: ScriptedIssuer) -> list[str | None]:
    """The resource of each request for which RFC 8707 has one."""

    def of_form(request: Request) -> str | None:
        return request.form.get("resource")

    return [*(asked.get("resource") for asked in issuer.asked), *map(of_form, issuer.requests("/token"))]
