"""The resource that tokens are bound to (RFC 8707), offline access, and token answers of every kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from app.core.auth.cause import ASKED
from app.core.auth.credential import Credential
from app.core.auth.grant.grant import Grant
from app.core.auth.key import CredentialKey
from app.core.auth.metadata import ServerMetadata
from app.core.auth.oauth.authorization import authorization_request
from app.core.auth.profile import CredentialProfile
from app.core.errors import BurrowError, ProtocolTrouble, Rejected, SignInNeeded
from tests.core._authorization_server import ScriptedIssuer, ScriptedResource, servers
from tests.core._data_folder import opened, status_of
from tests.core.scripted import Reply
from tests.faults.authority import sign_in_at


def profile_for(issuer: ScriptedIssuer, resource: str | None, scopes: tuple[str, ...] = ()) -> CredentialProfile:
    key = CredentialKey(issuer.issuer, "https://mcp.example/mcp")
    return CredentialProfile(key, "Example", "https://mcp.example", issuer.issuer, resource=resource, scopes=scopes)


async def refreshed(credential: Credential) -> None:
    assert credential.grant is not None
    await credential.refresh(credential.grant.tokens, ASKED)


async def stored(credential: Credential) -> Grant:
    text = await credential._store.vault.read(credential._store.name)
    assert text is not None
    return Grant.decode(text)


@pytest.mark.parametrize(
    "resource", ["https://MCP.example:443/%6dcp", "https://mcp.example/", "https://mcp.example", "urn:not-an-address"]
)
async def test_the_resource_is_sent_with_every_request_as_it_is_spelled_and_stored_with_the_grant(
    tmp_path: Path, resource: str
) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        credential = data.credential(profile_for(issuer, resource))
        await sign_in_at(credential)
        await refreshed(credential)
        assert issuer.asked[0]["resource"] == resource
        assert [form["resource"] for form in issuer.forms("authorization_code")] == [resource]
        assert [form["resource"] for form in issuer.forms("refresh_token")] == [resource]
        assert (await stored(credential)).resource == resource


async def test_a_later_process_sends_what_the_grant_was_made_for_however_the_resource_is_spelled_now(
    tmp_path: Path,
) -> None:
    async with servers(2) as origins:
        issuer = ScriptedIssuer(next(origins))
        resource = ScriptedResource(next(origins), issuer)
        before = replace(profile_for(issuer, resource.url), origin=resource.server.origin)
        async with opened(tmp_path) as data:
            await sign_in_at(data.credential(before))
        after = replace(before, resource=resource.url.replace("mcp", "%6dcp"))
        issuer.family.killed = True
        async with opened(tmp_path) as data:
            credential = await data.restored(after)
            assert await status_of(credential, resource.url) == 200
            assert issuer.forms("refresh_token")[-1]["resource"] == before.resource
            assert (await stored(credential)).resource == before.resource
            # A new sign-in is for the resource as it is spelled by now.
            await sign_in_at(credential)
            assert issuer.asked[-1]["resource"] == after.resource
            assert (await stored(credential)).resource == after.resource


async def test_without_a_resource_none_is_sent(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        credential = data.credential(profile_for(issuer, None))
        await sign_in_at(credential)
        await refreshed(credential)
        assert "resource" not in issuer.asked[0]
        assert not [one for one in issuer.requests("/token") if "resource" in one.form]


@pytest.mark.parametrize("refusal", ["invalid_target", "invalid_scope"])
async def test_a_refresh_leaves_the_resource_out_once_where_the_server_does_not_take_it(
    tmp_path: Path, refusal: str
) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        credential = data.credential(profile_for(issuer, "https://mcp.example/mcp"))
        await sign_in_at(credential)
        issuer.script = [Reply(400, {"error": refusal})]
        await refreshed(credential)
        assert [form.get("resource") for form in issuer.forms("refresh_token")] == ["https://mcp.example/mcp", None]
        # What it does not take is stored all the same, and tried again: servers learn.
        assert (await stored(credential)).resource == "https://mcp.example/mcp"
        issuer.script = [Reply(400, {"error": refusal})] * 3
        with pytest.raises(Rejected):
            await refreshed(credential)
        assert len(issuer.forms("refresh_token")) == 4


@pytest.mark.parametrize("refusal", ["invalid_request", "unsupported_grant_type", "unauthorized_client", "oops"])
async def test_no_other_refusal_makes_a_refresh_leave_the_resource_out(tmp_path: Path, refusal: str) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        credential = data.credential(profile_for(issuer, "https://mcp.example/mcp"))
        await sign_in_at(credential)
        issuer.script = [Reply(400, {"error": refusal})]
        with pytest.raises(Rejected):
            await refreshed(credential)
        assert len(issuer.forms("refresh_token")) == 1


async def test_an_exchange_never_leaves_the_resource_out(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        issuer.script = [Reply(400, {"error": "invalid_target"})]
        with pytest.raises(Rejected):
            await sign_in_at(data.credential(profile_for(issuer, "https://mcp.example/mcp")))
        assert len(issuer.requests("/token")) == 1


# Offline access.


@pytest.mark.parametrize(
    ("offered", "asked_for", "added", "scope", "prompt"),
    [
        (("tools", "offline_access"), ("tools",), (), "tools offline_access", "consent"),
        (("tools", "offline_access"), ("offline_access", "tools"), (), "tools offline_access", "consent"),
        (("tools", "offline_access"), ("tools",), ("offline_access", "more"), "tools more offline_access", "consent"),
        (("tools", "offline_access"), (), (), None, None),
        (("tools",), ("tools",), (), "tools", None),
        # The resource says so, which is not for it to say.
        (("tools",), ("tools", "offline_access"), ("offline_access",), "tools", None),
        ((), ("tools", "offline_access"), (), "tools", None),
        ((), (), (), None, None),
    ],
)
def test_offline_access_is_asked_for_with_consent_where_the_authorization_server_offers_it(
    offered: tuple[str, ...],
    asked_for: tuple[str, ...],
    added: tuple[str, ...],
    scope: str | None,
    prompt: str | None,
) -> None:
    metadata = ServerMetadata("https://as.example", "https://as.example/a?x=1", "https://as.example/t", scopes=offered)
    profile = CredentialProfile(
        CredentialKey("https://as.example"), "Example", "https://mcp.example", "https://as.example", scopes=asked_for
    )
    request = authorization_request(metadata, profile, "client", "http://127.0.0.1:1/callback", scopes=added)
    query = parse_qs(urlsplit(request.url).query)
    assert query["x"] == ["1"]
    assert query.get("scope") == (None if scope is None else [scope])
    assert query.get("prompt") == (None if prompt is None else [prompt])
    assert request.scope == (scope or "")


async def test_offline_access_that_the_metadata_offers_is_asked_for_in_the_browser(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        issuer.metadata["scopes_supported"] = ["tools", "offline_access"]
        await sign_in_at(data.credential(profile_for(issuer, None, ("tools",))))
        assert (issuer.asked[0]["scope"], issuer.asked[0]["prompt"]) == ("tools offline_access", "consent")


async def test_a_refresh_token_that_nobody_asked_for_is_used(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        credential = data.credential(profile_for(issuer, None))
        await sign_in_at(credential)
        assert "scope" not in issuer.asked[0]
        await refreshed(credential)
        assert issuer.family.refreshes == 1


async def test_without_a_refresh_token_the_grant_ends_with_its_access_token(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins), issues_refresh_tokens=False)
        credential = data.credential(profile_for(issuer, None))
        await sign_in_at(credential)
        assert credential.fresh_token() is not None
        with pytest.raises(SignInNeeded):
            await refreshed(credential)
        assert issuer.forms("refresh_token") == []


# Token answers.


@pytest.mark.parametrize("lifetime", [10**400, f"1{'0' * 400}", -(10**400), float("inf")])
async def test_a_lifetime_beyond_all_numbers_is_none(tmp_path: Path, lifetime: object) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        credential = data.credential(profile_for(issuer, None))
        issuer.script = [Reply(200, {"access_token": "a", "token_type": "Bearer", "expires_in": lifetime})]
        await sign_in_at(credential)
        assert credential.grant is not None
        assert credential.grant.tokens.expires_at is None


@pytest.mark.parametrize("token", ["a\r\nHost: evil.example", "a\x00", "é", "\ud800", " \n"])
async def test_an_access_token_that_no_header_can_carry_is_refused(tmp_path: Path, token: str) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        credential = data.credential(profile_for(issuer, None))
        issuer.script = [Reply(200, {"access_token": token, "token_type": "Bearer"})]
        with pytest.raises(ProtocolTrouble, match="cannot be sent"):
            await sign_in_at(credential)
        assert credential.grant is None


@pytest.mark.parametrize("kind", ["mac", 7, None, ["Bearer"]])
async def test_a_token_of_an_unknown_type_is_refused(tmp_path: Path, kind: object) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        issuer.script = [Reply(200, {"access_token": "a", "token_type": kind})]
        with pytest.raises(BurrowError, match="unknown type"):
            await sign_in_at(data.credential(profile_for(issuer, None)))


@pytest.mark.parametrize("told", [{}, {"scope": None}, {"scope": ["tools"]}, {"scope": "tools"}])
async def test_an_answer_that_does_not_say_what_it_grants_grants_what_was_asked_for(
    tmp_path: Path, told: dict[str, object]
) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        credential = data.credential(profile_for(issuer, None, ("tools",)))
        issuer.script = [Reply(200, {"access_token": "a", "token_type": "Bearer", **told})]
        await sign_in_at(credential)
        assert credential.grant is not None
        assert credential.grant.tokens.scope == "tools"
